"""Intervals of arms and of lifts that agree with the test that decides: one excludes 0 exactly where that calls."""

import numpy as np
from numpy.typing import NDArray

from experiments.core.statistics import proportions, rates
from experiments.core.statistics.dunnett import z_of_two_sided
from experiments.core.statistics.tables import ArmTable, Outcome

Array = NDArray[np.float64]

MARGINAL = 0.05
"""The arms' own intervals are at 95 %, whatever the comparison's alpha."""

_FURTHEST_APART = 2.0
"""An interval family whose z is off by more than this factor is not followed."""


def marginal_interval(table: ArmTable, outcome: Outcome, phi: Array, variance: Array) -> tuple[Array, Array]:
    """Each arm's rate by itself: low and high, ``(groups, arms)``."""
    z = float(z_of_two_sided(np.array(MARGINAL)))
    if outcome is Outcome.BINARY:
        return proportions.wilson(table.y, table.x, z)
    if outcome is Outcome.COUNT:
        return rates.rate_interval(table.y, table.x, phi, z)
    half = z * np.sqrt(variance)
    return table.y / table.x - half, table.y / table.x + half


def absolute_interval(
    table: ArmTable,
    outcome: Outcome,
    phi: Array,
    variance: Array,
    deciding: Array,
    bound: Array,
    crossed: NDArray[np.bool_],
) -> tuple[Array, Array, Array]:
    """Differences of rates: estimate, low and high, ``(groups, arms - 1)``.

    Args:
        table, outcome, phi, variance: as for `deciding.deciding_z`.
        deciding: z, as far out as its degrees of freedom make it (`student.t_of`).
        bound: the same of what calls a contrast.
        crossed: which contrasts are called.
    """
    y1, x1, y0, x0 = table.y[:, 1:], table.x[:, 1:], table.y[:, :1], table.x[:, :1]
    gap = y1 / x1 - y0 / x0
    if outcome is Outcome.VALUE:
        spread = np.sqrt(variance[:, 1:] + variance[:, :1])
        return gap, gap - bound * spread, gap + bound * spread

    def interval(z: Array) -> tuple[Array, Array]:
        if outcome is Outcome.BINARY:
            return proportions.difference_interval(y1, x1, y0, x0, z)
        low1, high1 = rates.rate_interval(y1, x1, phi[:, 1:], z)
        low0, high0 = rates.rate_interval(y0, x0, phi[:, :1], z)
        return gap - np.hypot(gap + y0 / x0 - low1, high0 - y0 / x0), gap + np.hypot(high1 - y1 / x1, y0 / x0 - low0)

    touching = _touches_zero(interval, gap, np.abs(deciding))
    low, high = interval(_scaled(bound, touching, deciding))
    return gap, *_agree(gap, low, high, crossed, 0.0)


def relative_interval(
    table: ArmTable,
    outcome: Outcome,
    phi: Array,
    variance: Array,
    deciding: Array,
    bound: Array,
    crossed: NDArray[np.bool_],
) -> tuple[Array, Array, Array]:
    """As `absolute_interval`, relative to the control's rate; NaN where that is 0."""
    y1, x1, y0, x0 = np.broadcast_arrays(table.y[:, 1:], table.x[:, 1:], table.y[:, :1], table.x[:, :1])
    control = y0 / x0
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(control != 0, y1 / x1 / control - 1, np.nan)
        if outcome is Outcome.VALUE:
            relative = np.where(control != 0, (y1 / x1 - control) / np.abs(control), np.nan)
            low, high = fieller(table, variance, bound)
            low, high = _agree(relative, low, high, crossed, 0.0)
            known = np.isfinite(low) & np.isfinite(high)
            return relative, np.where(known, low, np.nan), np.where(known, high, np.nan)
    if outcome is Outcome.BINARY:
        score = np.abs(proportions.score_z(y1, x1, y0, x0))
        low, high = proportions.ratio_interval(y1, x1, y0, x0, _scaled(bound, score, deciding))
    else:
        low, high = rates.ratio_interval(y1, x1, phi[:, 1:], y0, x0, phi[:, :1], bound)
    low, high = _agree(relative, low - 1, high - 1, crossed, -1.0)
    known = control > 0
    return relative, np.where(known, low, np.nan), np.where(known, high, np.nan)


def told_ends(told: NDArray[np.bool_], interval: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """The estimate, and its ends where there are any."""
    estimate, low, high = interval
    return estimate, np.where(told, low, np.nan), np.where(told, high, np.nan)


def fieller(table: ArmTable, variance: Array, bound: Array) -> tuple[Array, Array]:
    """Relative lifts of means: the ratios R at which mean1 - R mean0 is within ``bound`` of 0; NaN where any might be.

    At R = 1 that is the test itself, so the two agree. E. C. Fieller, JRSS B 16 (1954).
    """
    mean, control = table.y[:, 1:] / table.x[:, 1:], table.y[:, :1] / table.x[:, :1]
    square = np.square(bound)
    leading = np.square(control) - square * variance[:, :1]
    middle, last = mean * control, np.square(mean) - square * variance[:, 1:]
    root = np.sqrt(np.maximum(np.square(middle) - leading * last, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = [np.where(leading > 0, (middle + sign * root) / leading - 1, np.nan) for sign in (-1, 1)]
    towards = np.where(control < 0, -1.0, 1.0)  # a lift is relative to the size of the control's mean
    return np.minimum(*(end * towards for end in ends)), np.maximum(*(end * towards for end in ends))


def _scaled(bound: Array, family: Array, deciding: Array) -> Array:
    """The bound for an interval family whose own z at no difference is ``family`` while another test decides.

    The two must agree on 0 where the decision hangs; far from it the family's own bound covers better.
    """
    deciding = np.abs(deciding)
    ratio = np.divide(family, deciding, out=np.full_like(bound, _FURTHEST_APART), where=deciding > 0)
    ratio = np.where((family == 0) & (deciding == 0), 1.0, ratio)
    return np.asarray(
        bound * np.clip(ratio, 1 / _FURTHEST_APART, _FURTHEST_APART) ** np.exp(-np.square(deciding - bound) / 2)
    )


def _touches_zero(interval, gap: Array, near: Array) -> Array:  # type: ignore[no-untyped-def]
    """The z at which an interval around ``gap`` just reaches 0: its ends move nearly in proportion to z, so from
    another test's z two secant steps are enough."""
    size = np.maximum(np.abs(gap), 1e-300)

    def inner_end(z: Array) -> Array:
        ends = interval(z)
        return np.asarray(np.where(gap >= 0, ends[0], -ends[1]))

    first = inner_end(near)
    z = near * np.clip(size / np.maximum(size - first, 1e-3 * size), 1 / _FURTHEST_APART, _FURTHEST_APART)
    second = inner_end(z)
    change = second - first
    step = np.divide(second * (z - near), change, out=np.zeros_like(z), where=change != 0)
    return np.asarray(np.clip(z - step, near / _FURTHEST_APART, near * _FURTHEST_APART))


def _agree(estimate: Array, low: Array, high: Array, crossed: NDArray[np.bool_], floor: float) -> tuple[Array, Array]:
    """Where rounding (or an exact test far from the interval's own) would let the two disagree, the test is right."""
    nearest = np.abs(estimate) * 1e-9
    low = np.where(crossed & (estimate > 0), np.maximum(low, nearest), low)
    high = np.where(crossed & (estimate < 0), np.minimum(high, -nearest), high)
    low = np.where(~crossed, np.minimum(low, 0.0), low)
    high = np.where(~crossed, np.maximum(high, 0.0), high)
    return np.maximum(low, floor) if floor else low, high
