"""Ratios of per-unit sums: dispersion by the delta method, and a test that keeps its level at small counts.

For arm i with sums Y_i (numerator) over X_i (denominator), the counts given their total behave like a binomial whose
variance is inflated by the dispersion phi that units bring in (returning visitors, differing appetites): a quasi-
binomial of Y_i / phi effective counts. Its mid-p tail is read as a normal z. Mid-p, because an exact tail is too timid;
and since the sums stay whole numbers while their effective counts are spread out, the step that mid-p halves shrinks
from 1 as phi grows. At ten clicks an arm both tails are near alpha / 2, with three times as many in the control and
twelve arms too, where the difference and the score test are lopsided (`make calibrate`).
P. McCullagh and J. A. Nelder, Generalized Linear Models (1989), sections 9.2 and 4.5; H. O. Lancaster, "Significance
tests in discrete distributions", JASA 56 (1961).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, ndtri, xlogy

Array = NDArray[np.float64]

_NEWTON_STEPS, _ROOT_STEPS, _EXACT = 6, 60, 1e-9
_ROUNDING, _FEWEST_ROUNDED = 1e-16, 1e4
"""Of the sums of squares: what each rounded addition of a unit may come to, and how many are taken for granted."""
_SMALLEST_TAIL = 1e-290
"""Below it a tail is on its way to underflow; the likelihood root, equal to three digits out there, takes over."""
_CANCELLED = 1e-5
"""One minus a tail below this has lost digits that count."""
_STEP_POWER = 3.0
"""The mid-p step is phi to the minus this: chosen by calibration at 3 to 50 clicks an arm, phi 1 and 1.65."""
_FARTHEST = 40.0
"""Log ratios beyond this are infinite."""
_OWN_DISPERSION_FROM, _BEYOND_DOUBT = 2.0, 2.5
"""An arm dispersed more than the others by this factor, and by so many standard errors, keeps its own."""


def residual_square(yy: Array, xy: Array, xx: Array, units: Array, rate: Array) -> Array:
    """Sum over units of (y - rate x)^2, Bessel corrected; the delta method's numerator.

    What is left of a difference of sums by rounding alone is 0: units that are all alike would have a variance.
    """
    fitted = np.square(rate) * xx
    total = yy - 2 * rate * xy + fitted
    total = np.where(total > _ROUNDING * (units + _FEWEST_ROUNDED) * (yy + fitted), total, 0.0)
    return total * np.divide(units, units - 1, out=np.ones_like(rate), where=units > 1)


def pooled_dispersion(y: Array, x: Array, yy: Array, xy: Array, xx: Array, units: Array) -> Array:
    """Dispersion phi over all arms (last axis): residual variance relative to that of independent counts.

    Each arm's residuals are taken around its own rate.
    """
    rate = np.divide(y, x, out=np.zeros_like(y), where=x > 0)
    return _over(residual_square(yy, xy, xx, units, rate).sum(axis=-1), y.sum(axis=-1))


def dispersions(y: Array, x: Array, yy: Array, xy: Array, xx: Array, units: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Each arm's dispersion phi, ``(..., arms)``, and which arms have one of their own.

    Arms share the pooled value, which few counts can tell better than each arm's own; an arm that is far more
    dispersed than the rest together keeps its own, or a few people who click all day would call it better or worse.
    In what the others share it counts the more, the fewer they are (of two arms as any other): the largest orders are
    in one arm or another by chance, and whoever has none of them looks sure of its poor rate.
    Where the rest counted nothing, nothing is known of theirs: in millionths of a purchase it is far from 1.
    """
    rate = np.divide(y, x, out=np.zeros_like(y), where=x > 0)
    squares = residual_square(yy, xy, xx, units, rate)
    rest = _over(squares.sum(axis=-1, keepdims=True) - squares, y.sum(axis=-1, keepdims=True) - y)
    own = _over(squares, y)
    # phi comes from y / phi effective counts, and log phi has about twice the relative variance of their number.
    doubt = np.sqrt(2 * (_over(own, y) + _over(rest, y.sum(axis=-1, keepdims=True) - y)))
    apart = np.log(own / rest)
    told = (y > 0) & (y.sum(axis=-1, keepdims=True) > y)
    alone = told & (apart > np.log(_OWN_DISPERSION_FROM)) & (apart > _BEYOND_DOUBT * doubt)
    counted = np.where(alone, 1 / np.maximum((~alone).sum(axis=-1, keepdims=True), 1), 1.0)
    shared = _over(*((counted * each).sum(axis=-1, keepdims=True) for each in (squares, y)))
    return np.maximum(np.where(alone, own, shared), 1e-12), alone


def _over(part: Array, whole: Array, otherwise: float = 1.0) -> Array:
    positive = (whole > 0) & (part > 0)
    out = np.full(np.broadcast_shapes(part.shape, whole.shape), otherwise)
    return np.asarray(np.divide(part, whole, out=out, where=positive))


def signed_root(y1: Array, x1: Array, y0: Array, x0: Array, ratio: Array | float = 1.0) -> Array:
    """The signed root of the likelihood ratio of rate1 = ratio * rate0 against the best fit, for effective counts."""
    total = y1 + y0
    share = ratio * x1 / (ratio * x1 + x0)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = 2 * (xlogy(y1, y1 / (total * share)) + xlogy(y0, y0 / (total * (1 - share))))
    deviance = np.where(total > 0, np.maximum(np.nan_to_num(deviance), 0.0), 0.0)
    return np.asarray(np.sign(y1 * x0 - ratio * y0 * x1) * np.sqrt(deviance))


def signed_z(y1: Array, x1: Array, phi1: Array, y0: Array, x0: Array, phi0: Array, ratio: Array | float = 1.0) -> Array:
    """The z of rate1 = ratio * rate0: positive where arm 1 has more, 0 where nothing was counted. Elementwise."""
    a, b = y1 / phi1, y0 / phi0
    n1, n0 = ratio * x1 / phi1, x0 / phi0
    share = n1 / (n1 + n0)
    half = np.maximum((phi1 + phi0) / 2, 1.0) ** -_STEP_POWER / 2
    few, many = (a + 0.5 - half, b + 0.5 + half), (a + 0.5 + half, b + 0.5 - half)
    above = (betainc(*few, share) + betainc(*many, share)) / 2
    below = 1 - above
    tiny = below < _CANCELLED
    if tiny.any():
        below[tiny] = (_upper(few, share, tiny) + _upper(many, share, tiny)) / 2
    z = np.where(above < below, -ndtri(np.maximum(above, _SMALLEST_TAIL)), ndtri(np.maximum(below, _SMALLEST_TAIL)))
    z = np.where(np.minimum(above, below) < _SMALLEST_TAIL, signed_root(a, n1, b, n0), z)
    return np.asarray(np.where(a + b > 0, z, 0.0))


def _upper(shape: tuple[Array, Array], share: Array, where: NDArray[np.bool_]) -> Array:
    return np.asarray(betaincc(*(np.broadcast_to(each, where.shape)[where] for each in (*shape, share))))


def ratio_interval(
    y1: Array, x1: Array, phi1: Array, y0: Array, x0: Array, phi0: Array, z: Array
) -> tuple[Array, Array]:
    """The ratios rate1 / rate0 that `signed_z` does not reject at ``z``; 0 and infinity where there is no end."""
    few1, few0 = y1 + 0.5 * phi1, y0 + 0.5 * phi0
    middle = np.log(few1 / x1) - np.log(few0 / x0)
    width = np.minimum(z * np.sqrt(phi1 / few1 + phi0 / few0), _FARTHEST)
    sign = np.array([1.0, -1.0]).reshape(2, *(1,) * middle.ndim)

    def inside(log: Array) -> Array:
        return z - sign * signed_z(y1, x1, phi1, y0, x0, phi0, np.exp(log))

    near = middle - sign * 1.5 * width
    enough = inside(near) < 0
    outer = np.where(enough, near, middle - sign * _FARTHEST)
    inner = np.where(enough, middle, middle + sign * _FARTHEST)
    low, high = _root(inside, inner, outer, middle - sign * width)
    open_ends = _FARTHEST * 0.999
    return (
        np.where((y1 > 0) & (low > middle - open_ends), np.exp(low), 0.0),
        np.where((y0 > 0) & (high < middle + open_ends), np.exp(high), np.inf),
    )


def _root(function: Callable[[Array], Array], positive: Array, negative: Array, guess: Array) -> Array:
    """Where ``function`` changes sign between two bounds, elementwise: regula falsi with Illinois' halving.

    M. Dowell, P. Jarratt, BIT 11 (1971). Function values at the bounds themselves are never asked for.
    """
    above, below = np.full_like(guess, np.nan), np.full_like(guess, np.nan)
    before = np.zeros(guess.shape, dtype=np.int8)
    for _ in range(_ROOT_STEPS):
        value = function(guess)
        side = np.where(value >= 0, 1, -1).astype(np.int8)
        up, again = side > 0, side == before
        positive, negative = np.where(up, guess, positive), np.where(up, negative, guess)
        above, below = (
            np.where(up, value, np.where(again, above / 2, above)),
            np.where(up, np.where(again, below / 2, below), value),
        )
        before = side
        if np.max(np.abs(value)) < _EXACT or np.max(np.abs(positive - negative)) < _EXACT:
            break
        with np.errstate(invalid="ignore", divide="ignore"):
            guess = positive + (negative - positive) * above / (above - below)
        guess = np.where(np.isfinite(guess), guess, (positive + negative) / 2)
    return guess


def rate_interval(y: Array, x: Array, phi: Array, z: Array | float) -> tuple[Array, Array]:
    """The rates that the likelihood of one arm's overdispersed count does not reject at ``z``.

    With mean y r the deviance is 2 y (r - log r - 1): both ends solve r - log r = 1 + z^2 phi / (2 y) for log r.
    """
    excess = np.square(z) * phi / 2
    deviation = np.divide(excess, y, out=np.ones(np.broadcast_shapes(excess.shape, y.shape)), where=y > 0)
    root = np.sqrt(2 * deviation)
    low, high = -(root + deviation), np.log1p(deviation + root)
    for _ in range(_NEWTON_STEPS):  # convex, begun outside: it closes in from there
        low, high = (
            end - np.divide(np.expm1(end) - end - deviation, np.expm1(end), out=np.zeros_like(end), where=end != 0)
            for end in (low, high)
        )
    return np.where(y > 0, y * np.exp(low), 0.0) / x, np.where(y > 0, y * np.exp(high), excess) / x
