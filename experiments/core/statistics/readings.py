"""Readings that stand beside the one that decides, of the same arms.

`always_valid` is for whoever looks between the scheduled looks: it may be read as often as anyone likes, and is wider
for that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError
from experiments.core.statistics import anytime
from experiments.core.statistics.comparison import (
    ArmTable,
    Outcome,
    arm_table,
    deciding_z,
    dispersion_of,
    fieller,
    outcome_of,
)
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.rates import ratio_interval

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
        known = anytime.value_information(variance / spread)[0] if spread > 0 else np.zeros(len(z))
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
