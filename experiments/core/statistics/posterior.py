"""The Bayesian reading: how probably each arm is best, and what choosing it would cost on average.

A rate's posterior is a gamma with a weakly informative half count (Jeffreys) and the sample's dispersion; a mean's is
normal. No Monte Carlo: one sum over a grid that has nodes around every arm, so that spreads may differ a thousandfold.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtr

Array = NDArray[np.float64]

_QUANTILES = np.linspace(-6.5, 6.5, 53)
_EXACT_BELOW = 12.0
"""Gamma shapes above this are normal on the cube-root scale to three digits (Wilson and Hilferty, PNAS 17, 1931)."""


def best_of_rates(y: Array, x: Array, phi: Array, *, higher_is_better: bool = True) -> tuple[Array, Array]:
    """Probability of being best, and expected loss in units of the rate.

    Args:
        y, x: ``(groups, arms)`` sums of numerator and denominator, ``x`` positive.
        phi: ``(groups,)`` or ``(groups, arms)`` dispersion.
    """
    phi = np.broadcast_to(phi if phi.ndim == 2 else phi[:, None], y.shape)
    shape = (y + 0.5) / phi
    scale = phi / x
    cube = np.cbrt(shape * scale)
    centre, spread = cube * (1 - 1 / (9 * shape)), cube / (3 * np.sqrt(shape))
    grid = np.sort(np.maximum(centre[:, :, None] + spread[:, :, None] * _QUANTILES, 0).reshape(len(y), -1), axis=1)
    below = ndtr((grid[:, None, :] - centre[:, :, None]) / spread[:, :, None])
    few = (shape < _EXACT_BELOW).any(axis=1)
    if few.any():
        below[few] = gammainc(shape[few][:, :, None], (grid[few] ** 3)[:, None, :] / scale[few][:, :, None])
    return _read(below, grid**3, shape * scale, higher_is_better)


def best_of_means(mean: Array, variance: Array, *, higher_is_better: bool = True) -> tuple[Array, Array]:
    """As `best_of_rates`, for normal posteriors."""
    largest = np.max(np.abs(mean), axis=1, keepdims=True)
    spread = np.sqrt(np.maximum(variance, np.maximum(largest * 1e-12, 1e-300) ** 2))
    grid = np.sort((mean[:, :, None] + spread[:, :, None] * _QUANTILES).reshape(len(mean), -1), axis=1)
    below = ndtr((grid[:, None, :] - mean[:, :, None]) / spread[:, :, None])
    return _read(below, grid, mean, higher_is_better)


def _read(below: Array, grid: Array, mean: Array, higher_is_better: bool) -> tuple[Array, Array]:
    """``below``: (groups, arms, nodes) distribution functions on ``grid`` (groups, nodes)."""
    beside = below if higher_is_better else 1 - below
    logs = np.log(np.maximum(beside, 1e-300))
    all_of = logs.sum(axis=1)
    others = np.exp(all_of[:, None, :] - logs)
    mass = np.diff(below, axis=2)
    probability = (mass * (others[:, :, 1:] + others[:, :, :-1]) / 2).sum(axis=2)
    probability /= probability.sum(axis=1, keepdims=True)
    extreme = np.exp(all_of) if higher_is_better else 1 - np.exp(all_of)
    steps = np.diff(extreme, axis=1)
    best = (steps * (grid[:, 1:] + grid[:, :-1]) / 2).sum(axis=1) / steps.sum(axis=1)
    loss = best[:, None] - mean if higher_is_better else mean - best[:, None]
    return probability, np.maximum(loss, 0.0)
