"""Readings that stand beside the one that decides, of the same arms.

`always_valid` is for whoever looks between the scheduled looks: it may be read as often as anyone likes, and is wider
for that. `futile_arms` are those that need not be waited for. `after_stopping` says what to expect of an arm once the
experiment ends here: its lift allowing for the looks, and drawn towards what lifts usually are, because the best of
several arms at a moment of luck is picked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from experiments.core.errors import ExperimentError
from experiments.core.plan import Direction
from experiments.core.statistics import anytime
from experiments.core.statistics.deciding import deciding_z
from experiments.core.statistics.dunnett import critical_value, shared_variance
from experiments.core.statistics.intervals import fieller
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.rates import ratio_interval
from experiments.core.statistics.sequential import Looks, boundary, futility_bounds
from experiments.core.statistics.shrinkage import DEFAULT, Prior, shrink
from experiments.core.statistics.stopping import at_stopping
from experiments.core.statistics.tables import ArmTable, Outcome, arm_table, dispersion_of, outcome_of

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AlwaysValid:
    """One arm against the control, over all arms and all times together."""

    arm: str
    p: float
    relative_low: float | None
    """None before enough is known, and where the control has nothing."""
    relative_high: float | None


def always_valid(
    arms: Mapping[str, PairMoments],
    *,
    control: str,
    planned: float,
    alpha: float = 0.05,
    split: Mapping[str, float] | None = None,
) -> tuple[AlwaysValid, ...]:
    """Every arm's anytime-valid p-value and interval, in the order given.

    Args:
        arms: at least two, each with a positive denominator.
        control: one of them.
        planned: counts over dispersion (for values: units) expected in all arms at the planned end, fixed beforehand;
            the intervals are narrowest there, and hold whatever comes.
        alpha: two-sided.
        split: relative shares of units; even where not given.

    Raises:
        ExperimentError: for fewer than two arms, an unknown control or a plan that is no positive number.
    """
    if control not in arms or len(arms) < 2:
        raise ExperimentError(f"a comparison needs the control {control!r} and another arm, got {', '.join(arms)}")
    if not 0 < planned < np.inf:
        raise anytime.BadTuning(f"what is planned in the end must be a positive number, got {planned}")
    names = (control, *(arm for arm in arms if arm != control))
    moments = [arms[name] for name in names]
    weights = [(split or {}).get(name, 1.0) for name in names]
    table, outcome = arm_table([moments], [weights]), outcome_of(moments)
    ends = planned * np.array(weights) / sum(weights)
    planned_pairs = ends[1:] * ends[0] / (ends[1:] + ends[0])
    pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
    phi, _ = dispersion_of(table, outcome, pooled)
    values = outcome is Outcome.VALUE
    variance = table.variances() if values else phi * pooled / table.x
    z = deciding_z(table, outcome, phi, variance, slice(1, None), slice(0, 1))[0]
    if values:  # in units: information relative to what one unit tells
        spread = float((variance * table.units).mean())
        known = anytime.value_information(variance / spread)[0] if 0 < spread < np.inf else np.zeros(len(z))
    else:
        known = anytime.count_information(table.y, table.x, phi)[0]
    readings = {}
    for i, name in enumerate(names[1:]):
        tuning = anytime.Tuning(
            float(planned_pairs[i]), alpha, len(z), start=0.0 if values else min(anytime.START, float(planned_pairs[i]))
        )
        p = float(anytime.p_value(z[i : i + 1], known[i : i + 1], tuning)[0])
        bound = anytime.boundary(known[i : i + 1], tuning)
        low, high = _relative(table, phi, variance, values, i, bound)
        readings[name] = AlwaysValid(name, p, low, high)
    return tuple(readings[name] for name in arms if name != control)


def _relative(
    table: ArmTable, phi: Array, variance: Array, values: bool, i: int, bound: Array
) -> tuple[float | None, float | None]:
    """The relative lifts of arm ``i + 1`` that are not rejected at ``bound``."""
    rate = table.y[0] / table.x[0]
    if rate[0] == 0 or not np.isfinite(bound).all():
        return None, None
    if values:
        ends = [float(end[0, i]) for end in fieller(table, variance, np.broadcast_to(bound, (1, len(rate) - 1)))]
        return (ends[0], ends[1]) if np.isfinite(ends).all() else (None, None)
    one, control = slice(i + 1, i + 2), slice(0, 1)
    low, high = ratio_interval(
        table.y[:, one], table.x[:, one], phi[:, one], table.y[:, control], table.x[:, control], phi[:, control], bound
    )
    return float(low[0, 0]) - 1, float(high[0, 0]) - 1 if np.isfinite(high[0, 0]) else None


@dataclass(frozen=True, slots=True)
class Ending:
    """Where an earlier look would have ended the experiment, so that there would be none now."""

    direction: Direction = Direction.INCREASE
    harm: bool = True
    """Also where every arm is worse."""
    held: Collection[int] = ()
    """Looks that could not, whatever they found: their gates waited."""

    def bounds(self, critical: float, looks: Looks, contrasts: int) -> tuple[list[float], list[float]]:
        """z from which, and down from which, each look so far ends it, at this single-look critical value.

        That one of several arms is worse ends nothing.
        """
        schedules = (_until(looks, number) for number in range(1, looks.look + 1))
        called = [
            np.inf if each.look in self.held else float(boundary(np.array([critical]), each)[0]) for each in schedules
        ]
        worse = called if self.harm and contrasts == 1 else [np.inf] * looks.look
        above, below = (called, worse) if self.direction is Direction.INCREASE else (worse, called)
        return above, [-bound for bound in below]


@dataclass(frozen=True, slots=True)
class StoppedLift:
    """One arm's relative lift, had the experiment stopped at this look. Numbers that do not exist are None."""

    arm: str
    median_unbiased: float | None
    low: float | None
    high: float | None
    """By stagewise ordering, 95 %, of this contrast alone."""
    expected: float | None
    """Drawn towards the lifts of all experiments: what to count on."""
    expected_low: float | None
    expected_high: float | None


def after_stopping(
    arms: Mapping[str, PairMoments],
    *,
    control: str,
    looks: Looks,
    alpha: float = 0.05,
    prior: Prior = DEFAULT,
    ending: Ending | None = None,
) -> tuple[StoppedLift, ...]:
    """Every arm's lift in the order given, on the log of the ratio.

    Args:
        arms: positive denominators.
        control: one of them; arms are not read where it, or they, counted nothing (or lost money).
        looks: so far, this one included.
        alpha: two-sided, over arms and looks.
        prior: of log lifts.
        ending: what would have ended it earlier; by default, whatever called a contrast.
    """
    names = (control, *(arm for arm in arms if arm != control))
    moments = [arms[name] for name in names]
    table, outcome = arm_table([moments], [[1.0] * len(names)]), outcome_of(moments)
    pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
    phi, _ = dispersion_of(table, outcome, pooled)
    variance = table.variances()[0] if outcome is Outcome.VALUE else (phi * pooled / table.x)[0]
    rate = table.y[0] / table.x[0]
    own = variance if outcome is Outcome.VALUE else phi[0] * rate / table.x[0]
    critical = critical_value(alpha, shared_variance(variance[None, :1], variance[None, 1:]))[0]
    bounds = (ending or Ending()).bounds(critical, looks, len(names) - 1)
    read = {}
    for i, name in enumerate(names[1:], start=1):
        error = float(np.sqrt(own[i] / rate[i] ** 2 + own[0] / rate[0] ** 2)) if rate[0] > 0 and rate[i] > 0 else None
        estimate = float(np.log(rate[i] / rate[0])) if error else None
        read[name] = stopped_lift(name, estimate, error, looks, bounds, prior)
    return tuple(read[name] for name in arms if name != control)


def futile_arms(
    arms: Mapping[str, PairMoments],
    *,
    control: str,
    looks: Looks,
    lift: float,
    power: float,
    alpha: float = 0.05,
    direction: Direction = Direction.INCREASE,
) -> tuple[str, ...]:
    """The arms whose z is lower than it would be, all but surely, if they had this lift: see `futility_bounds`.

    Args:
        arms: positive denominators.
        control: one of them.
        looks: so far, this one included.
        lift: relative, above 0: how much better than the control.
        power: of finding it; 1 - power is the chance, over all looks, that an arm which has it is named here.
        alpha: two-sided, over arms and looks.
        direction: which way is better.
    """
    names = (control, *(arm for arm in arms if arm != control))
    table, outcome = arm_table([[arms[name] for name in names]], [[1.0] * len(names)]), outcome_of(list(arms.values()))
    pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
    if pooled[0, 0] == 0:
        return ()
    phi, _ = dispersion_of(table, outcome, pooled)
    values = outcome is Outcome.VALUE
    variance = table.variances() if values else phi * pooled / table.x
    sign = 1 if direction is Direction.INCREASE else -1
    z = sign * deciding_z(table, outcome, phi, variance, slice(1, None), slice(0, 1))[0]
    critical = critical_value(alpha, shared_variance(variance[:, :1], variance[:, 1:]))[0]
    better = 1 + sign * lift
    if values:
        drift, errors = lift * abs(pooled[0, 0]), variance[0, 1:] + variance[0, 0]
    elif better <= 0:
        return ()  # nothing can be reduced by more than all of it
    else:
        drift, errors = abs(np.log(better)), (phi[0, 1:] / better / table.x[0, 1:] + phi[0, 0] / table.x[0, 0]) / pooled
    found = []
    for name, own, error in zip(names[1:], z, np.ravel(errors), strict=True):
        if 0 < error < np.inf:
            grown = np.array(looks.information) / looks.information[-1] / error
            bounds = futility_bounds(float(ndtr(-critical)), looks, drift=drift, beta=1 - power, information=grown)
            found += [name] if own < bounds[-1] else []
    return tuple(found)


def stopped_lift(
    arm: str,
    estimate: float | None,
    error: float | None,
    looks: Looks,
    bounds: tuple[Sequence[float], Sequence[float]],
    prior: Prior = DEFAULT,
) -> StoppedLift:
    """One arm's, from its log ratio and the standard error of that; None where there is none."""
    if estimate is None or not error or not np.isfinite(error):
        return StoppedLift(arm, None, None, None, None, None, None)
    above, below = bounds
    found = at_stopping(estimate, error, information=looks.information, bounds=above, below=below)
    drawn = shrink(found.mean_adjusted, error, prior)
    ends = (found.median_unbiased, found.low, found.high, float(drawn.mean), float(drawn.low), float(drawn.high))
    return StoppedLift(arm, *(float(np.expm1(end)) for end in ends))


def _until(looks: Looks, number: int) -> Looks:
    """The schedule as it stood at an earlier look."""
    if number == looks.look:
        return looks
    return Looks(number, looks.looks, looks.information[:number], looks.spending[:number], looks.family)
