"""Two proportions: the pooled score test, Fisher's exact test where counts are small, and intervals by inversion.

All functions are elementwise over arrays of ``x`` successes among ``n`` independent units.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from experiments.core.statistics.dunnett import z_of_two_sided

Array = NDArray[np.float64]

SMALLEST_EXPECTED = 5.0
"""Cochran's rule: below this expected count in any cell the chi-square reading is not trusted."""
_FISHER_UP_TO = 1e4
"""Expected counts beyond which an arm without successes has a p below the smallest double, by Fisher's test and by the
score test alike; the former would sum as many terms as there are successes."""
_STEPS = 70


def score_z(x1: Array, n1: Array, x0: Array, n0: Array) -> Array:
    """The pooled z statistic of p1 - p0; its square is Pearson's chi-square without continuity correction."""
    pooled = (x1 + x0) / (n1 + n0)
    variance = pooled * (1 - pooled) * (1 / n1 + 1 / n0)
    return np.divide(x1 / n1 - x0 / n0, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)


def smallest_expected(x1: Array, n1: Array, x0: Array, n0: Array) -> Array:
    """The smallest expected count of the two-by-two table."""
    share = (x1 + x0) / (n1 + n0)
    return np.asarray(np.minimum(share, 1 - share) * np.minimum(n1, n0))


def counts_are_small(x1: Array, n1: Array, x0: Array, n0: Array) -> NDArray[np.bool_]:
    """Where any expected cell of the two-by-two table is below SMALLEST_EXPECTED, or an arm has no success at all."""
    expected = smallest_expected(x1, n1, x0, n0)
    none = (x1 == 0) | (x0 == 0)
    return np.asarray((expected < SMALLEST_EXPECTED) | (none & (expected < _FISHER_UP_TO)))


def fisher_p(x1: int, n1: int, x0: int, n0: int) -> float:
    """Fisher's exact two-sided p: the sum over tables no more probable than the one seen.

    The hypergeometric terms are summed from the tail in logarithms, so it stays accurate down to 1e-300.
    """
    total = int(x1 + x0)
    low, high = max(0, total - int(n0)), min(total, int(n1))
    if low == high:
        return 1.0
    support = np.arange(low, high + 1, dtype=np.float64)
    log_weights = _log_choose(float(n1), support) + _log_choose(float(n0), total - support)
    log_weights -= log_weights.max()
    log_total = np.log(np.exp(log_weights).sum())
    seen = log_weights[int(x1) - low]
    chosen = log_weights[log_weights <= seen + 1e-7]  # as probable as the one seen, up to rounding
    peak = chosen.max()
    return float(min(1.0, np.exp(peak - log_total + np.log(np.exp(chosen - peak).sum()))))


def _log_choose(n: float, k: Array) -> Array:
    """log C(n, k), by the beta function: differences of log-gammas lose ten digits at n = 1e9."""
    return np.asarray(-np.log1p(n) - betaln(n - k + 1, k + 1))


def difference_test(x1: Array, n1: Array, x0: Array, n0: Array) -> Array:
    """The signed z of the score test or, where counts are small, of Fisher's exact p-value."""
    z = score_z(x1, n1, x0, n0)
    small = counts_are_small(x1, n1, x0, n0)
    if small.any():
        columns = zip(*(np.broadcast_to(each, small.shape)[small] for each in (x1, n1, x0, n0)), strict=True)
        exact = np.array([fisher_p(*map(int, case)) for case in columns])
        z[small] = np.copysign(np.where(exact >= 1, 0.0, z_of_two_sided(np.minimum(exact, 1.0))), z[small])
    return z


def wilson(x: Array, n: Array, z: float | Array) -> tuple[Array, Array]:
    """Wilson's score interval of one proportion. E. B. Wilson, JASA 22 (1927)."""
    rate, square = x / n, np.square(z)
    centre = (x + square / 2) / (n + square)
    half = z * np.sqrt(rate * (1 - rate) / n + square / (4 * n * n)) / (1 + square / n)
    return np.where(x == 0, 0.0, np.maximum(centre - half, 0.0)), np.where(x == n, 1.0, np.minimum(centre + half, 1.0))


def difference_interval(x1: Array, n1: Array, x0: Array, n0: Array, z: Array) -> tuple[Array, Array]:
    """Newcombe's hybrid score interval of p1 - p0 (method 10). R. G. Newcombe, Statist. Med. 17 (1998)."""
    rate1, rate0 = x1 / n1, x0 / n0
    low1, high1 = wilson(x1, n1, z)
    low0, high0 = wilson(x0, n0, z)
    gap = rate1 - rate0
    return gap - np.hypot(rate1 - low1, high0 - rate0), gap + np.hypot(high1 - rate1, rate0 - low0)


def ratio_interval(x1: Array, n1: Array, x0: Array, n0: Array, z: Array) -> tuple[Array, Array]:
    """Koopman's score interval of p1 / p0. P. A. R. Koopman, Biometrics 40 (1984).

    The lower end is 0 where the arm has no success, the upper infinity where the control has none.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(x0 > 0, (x1 / n1) / (x0 / n0), np.inf)
        anchor = np.log(np.clip((x1 + 0.5) / n1 / ((x0 + 0.5) / n0), 1e-12, 1e12))
        seen = np.where(np.isfinite(np.log(ratio)), np.log(ratio), anchor)
    low = _edge(x1, n1, x0, n0, z, seen, seen - 40)
    high = _edge(x1, n1, x0, n0, z, seen, seen + 40)
    return np.where(x1 == 0, 0.0, np.exp(low)), np.where(x0 == 0, np.inf, np.exp(high))


def _edge(x1: Array, n1: Array, x0: Array, n0: Array, z: Array, inside: Array, outside: Array) -> Array:
    square = np.square(z)
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        within = _ratio_chi_square(x1, n1, x0, n0, np.exp(middle)) <= square
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return np.asarray((inside + outside) / 2)


def _ratio_chi_square(x1: Array, n1: Array, x0: Array, n0: Array, ratio: Array) -> Array:
    """Koopman's statistic at a hypothesised ratio, with the restricted maximum-likelihood rates."""
    b = -(ratio * (n1 + x0) + x1 + n0)
    root = np.sqrt(np.maximum(b * b - 4 * (n1 + n0) * ratio * (x1 + x0), 0))
    rate0 = 2 * (x1 + x0) / (root - b)
    rate1 = np.minimum(rate0 * ratio, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.square(x1 - n1 * rate1) / (n1 * rate1 * (1 - rate1))
        second = np.square(x0 - n0 * rate0) / (n0 * rate0 * (1 - rate0))
    return np.asarray(np.nan_to_num(first, nan=0.0) + np.nan_to_num(second, nan=0.0))
