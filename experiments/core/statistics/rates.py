"""Ratios of per-unit sums: dispersion by the delta method, and a likelihood test that keeps its level at small counts.

For arm i with sums Y_i (numerator) over X_i (denominator), the counts given their total behave like a binomial whose
variance is inflated by the dispersion phi that units bring in (returning visitors, differing appetites). The signed
root of the quasi-likelihood ratio, divided by sqrt(phi), is read as a normal z. At ten clicks an arm its two tails are
near alpha / 2 each, where the plain difference is lopsided.
P. McCullagh and J. A. Nelder, Generalized Linear Models (1989), sections 9.2 and 4.5.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Array = NDArray[np.float64]

_STEPS = 70


def residual_square(yy: Array, xy: Array, xx: Array, units: Array, rate: Array) -> Array:
    """Sum over units of (y - rate x)^2, Bessel corrected; the delta method's numerator."""
    total = yy - 2 * rate * xy + np.square(rate) * xx
    return np.maximum(total, 0.0) * np.divide(units, units - 1, out=np.ones_like(rate), where=units > 1)


def pooled_dispersion(y: Array, x: Array, yy: Array, xy: Array, xx: Array, units: Array) -> Array:
    """Dispersion phi over all arms (last axis): residual variance relative to that of independent counts.

    Each arm's residuals are taken around its own rate; never below what the count itself carries at the common rate.
    """
    rate = np.divide(y, x, out=np.zeros_like(y), where=x > 0)
    squares = residual_square(yy, xy, xx, units, rate).sum(axis=-1)
    expected = y.sum(axis=-1)
    return np.where(expected > 0, np.divide(squares, expected, out=np.ones_like(expected), where=expected > 0), 1.0)


def signed_root(y1: Array, x1: Array, y0: Array, x0: Array, phi: Array, ratio: Array | float = 1.0) -> Array:
    """The signed root of the quasi-likelihood ratio of rate1 = ratio * rate0 against the best fit."""
    total = y1 + y0
    share = ratio * x1 / (ratio * x1 + x0)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = 2 * (xlogy(y1, y1 / (total * share)) + xlogy(y0, y0 / (total * (1 - share))))
    deviance = np.where(total > 0, np.maximum(np.nan_to_num(deviance), 0.0), 0.0)
    return np.asarray(np.sign(y1 * x0 - ratio * y0 * x1) * np.sqrt(deviance / phi))


def ratio_interval(y1: Array, x1: Array, y0: Array, x0: Array, phi: Array, z: Array) -> tuple[Array, Array]:
    """The ratios rate1 / rate0 that `signed_root` does not reject at ``z``; 0 and infinity where there is no end."""
    anchor = np.log((y1 + 0.5) / x1) - np.log((y0 + 0.5) / x0)
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = np.log(y1 / x1) - np.log(y0 / x0)
    centre = np.where((y1 > 0) & (y0 > 0), exact, anchor)
    low = _edge(y1, x1, y0, x0, phi, z, centre, centre - 40)
    high = _edge(y1, x1, y0, x0, phi, z, centre, centre + 40)
    return np.where(y1 > 0, np.exp(low), 0.0), np.where(y0 > 0, np.exp(high), np.inf)


def _edge(y1: Array, x1: Array, y0: Array, x0: Array, phi: Array, z: Array, inside: Array, outside: Array) -> Array:
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        within = np.abs(signed_root(y1, x1, y0, x0, phi, np.exp(middle))) <= z
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return np.asarray((inside + outside) / 2)


def rate_interval(y: Array, x: Array, phi: Array, z: Array | float) -> tuple[Array, Array]:
    """The rates that the likelihood of one arm's overdispersed count does not reject at ``z``."""
    rate = y / x
    scale = np.maximum(y, 0.5) / x
    ends = []
    for far in (1e-12, 1e12):
        inside, outside = np.log(scale), np.log(scale * far)
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            mean = np.exp(middle) * x
            within = 2 * (xlogy(y, y / mean) - (y - mean)) <= np.square(z) * phi
            inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
        ends.append(np.exp((inside + outside) / 2))
    return np.where(y > 0, np.minimum(ends[0], rate), 0.0), np.maximum(ends[1], rate)
