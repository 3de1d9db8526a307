"""Several arms against one control: the joint tail of |Z|, its critical value, and Holm's step-down.

The contrasts share the control, so their correlations have product form, rho_ij = l_i l_j with
l_i = sqrt(v0 / (v0 + v_i)): given the control's deviation u they are independent, and the joint tail is one integral
over u.
C. W. Dunnett, "A multiple comparison procedure for comparing several treatments with a control", JASA 50 (1955).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri_exp

Array = NDArray[np.float64]

_REACH = 8.5
"""The trapezoid rule on [-8.5, 8.5] is spectrally exact for smooth integrands; the density is 1e-16 at the ends."""
_STEP, _STEPS_A_SPREAD = 0.2, 2.5
"""Node distance, and how many at least fit into the narrowest spread that is left given the control."""
_SECANT_STEPS, _CONVERGED = 12, 1e-11
_SHARED_AT_MOST = 0.9995
"""Contrasts that share (nearly) all their variance are one contrast; beyond this the integrand is a step."""
_BONFERRONI_FROM = 8.0
"""Where two exceedances at once have no weight left against rounding, the sum of the tails is the joint tail."""


def shared_variance(control: Array, arms: Array) -> Array:
    """l_i for variances of the control's mean ``(..., 1)`` and the arms' means ``(..., m)``; unknown ones are alike."""
    total = control + arms
    share = np.divide(control, total, out=np.full(np.shape(total), 0.5), where=(total > 0) & np.isfinite(total))
    return np.asarray(np.minimum(np.sqrt(share), _SHARED_AT_MOST))


def joint_tail(critical: Array, shared: Array) -> Array:
    """P(max_i |Z_i| > critical).

    Args:
        critical: ``(...)`` bounds, from 0 up.
        shared: ``(..., m)`` square roots of the shared share of variance.

    Returns:
        ``(...)`` probabilities; relative precision is kept down to the smallest doubles.
    """
    critical = np.asarray(critical, dtype=np.float64)
    contrasts = shared.shape[-1]
    single = two_sided(critical)
    if contrasts == 1:
        return np.asarray(single)
    spread = np.sqrt(1 - shared**2)[..., :, None]
    step = min(_STEP, float(spread.min()) / _STEPS_A_SPREAD)
    nodes = np.linspace(-_REACH, _REACH, 2 * int(np.ceil(_REACH / step)) + 1)
    weights = np.exp(-nodes * nodes / 2) * (nodes[1] - nodes[0]) / np.sqrt(2 * np.pi)
    bound = np.minimum(critical, _BONFERRONI_FROM)[..., None, None]
    drift = shared[..., :, None] * nodes
    outside = ndtr((drift - bound) / spread) + ndtr((-drift - bound) / spread)
    any_outside = -np.expm1(np.log1p(-np.minimum(outside, 1 - 1e-16)).sum(axis=-2))
    tail = (any_outside * weights).sum(axis=-1)
    far = np.minimum(1.0, contrasts * single)
    return np.asarray(np.where(critical >= _BONFERRONI_FROM, far, np.clip(tail, single, 1.0)))


def critical_value(alpha: float, shared: Array) -> Array:
    """The bound c with P(max_i |Z_i| > c) = alpha, for ``shared`` of shape ``(..., m)``."""
    rows, place = np.unique(shared.reshape(-1, shared.shape[-1]), axis=0, return_inverse=True)
    return np.asarray(_critical_value(alpha, rows)[place.reshape(shared.shape[:-1])])


def _critical_value(alpha: float, shared: Array) -> Array:
    contrasts = shared.shape[-1]
    low = np.full(shared.shape[:-1], float(-ndtri_exp(np.log(alpha / 2))))
    if contrasts == 1:
        return low
    high = np.full(shared.shape[:-1], float(-ndtri_exp(np.log(alpha / (2 * contrasts)))))
    # The log of the tail is nearly a parabola in c, so the secant on it converges in a few steps.
    target = np.log(alpha)
    at_low, at_high = np.log(joint_tail(low, shared)) - target, np.log(joint_tail(high, shared)) - target
    for _ in range(_SECANT_STEPS):
        change = at_high - at_low
        step = np.divide(at_high * (high - low), change, out=np.zeros_like(high), where=change != 0)
        low, at_low = high, at_high
        high = high - step
        at_high = np.log(joint_tail(high, shared)) - target
        if np.max(np.abs(at_high)) < _CONVERGED:
            break
    return high


def holm(p: Array) -> Array:
    """Holm's adjusted p-values along the last axis. S. Holm, Scand. J. Statist. 6 (1979)."""
    p = np.asarray(p, dtype=np.float64)
    count = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")
    stepped = np.take_along_axis(p, order, axis=-1) * (count - np.arange(count))
    adjusted = np.minimum(np.maximum.accumulate(stepped, axis=-1), 1.0)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, axis=-1)
    return result


def two_sided(z: Array) -> Array:
    """P(|Z| > |z|), accurate in the far tail; where it is smaller than a double can tell, the smallest one, never 0."""
    return np.asarray(np.maximum(2 * ndtr(-np.abs(z)), np.finfo(np.float64).tiny))


def z_of_two_sided(p: Array) -> Array:
    """|z| with P(|Z| > |z|) = p, down to the smallest doubles; 0 gives the largest that a double can tell."""
    tiny = np.finfo(np.float64).tiny
    return np.asarray(-ndtri_exp(np.log(np.maximum(p, tiny)) - np.log(2)))


def log_upper_tail(z: Array) -> Array:
    """log P(Z > z) where the tail itself underflows."""
    return np.asarray(log_ndtr(-z))
