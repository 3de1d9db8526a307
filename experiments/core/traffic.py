"""The next batch's shares of the traffic, where the plan lets them follow the evidence (`statistics.allocation`)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.core.evidence import Evidence
from experiments.core.plan import Direction, Plan
from experiments.core.statistics.allocation import allocate_means, allocate_rates
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.tables import Outcome, arm_table, dispersion_of, outcome_of

Array = NDArray[np.float64]


def next_shares(plan: Plan, evidence: Evidence, previous: Mapping[str, float]) -> dict[str, float]:
    """Shares by arm that add to 1, the primary metric deciding.

    Where the shares have changed before, an arm's counts are held against what all arms together had at the same time
    (indirect standardisation), so that an arm is not taken for good because it was shown in a good week.

    Args:
        plan: with its floor and largest step.
        evidence: to date.
        previous: what the traffic is shared out by now.
    """
    arms = (plan.control, *(arm for arm in plan.weights if arm != plan.control))
    metric, rules = plan.primary, plan.allocation
    pairs = [evidence.pair(arm, metric) for arm in arms]
    table, outcome = arm_table([pairs], [[1.0] * len(arms)]), outcome_of(pairs)
    higher, before = metric.direction is Direction.INCREASE, np.array([previous[arm] for arm in arms])
    batches = [[batch.pair(arm, metric) for arm in arms] for batch in evidence.dealt] or [pairs]
    if outcome is Outcome.VALUE:
        shown = np.where(table.x > 0, table.x, 1.0)
        gained = table.y - _expected(batches)
        single = np.where(table.units > 1, table.variances(), 0.0) * table.units
        shares = allocate_means(
            gained / shown, single, table.units, higher_is_better=higher, floor=rules.floor, previous=before,
            largest_step=rules.largest_step,
        )  # fmt: skip
    else:
        pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
        phi, _ = dispersion_of(table, outcome, pooled)
        expected = _expected(batches)
        exposure = np.where(expected.sum() > 0, expected / np.maximum(pooled, 1e-300), table.x)
        shares = allocate_rates(
            table.y, exposure, phi, higher_is_better=higher, floor=rules.floor, previous=before,
            largest_step=rules.largest_step,
        )  # fmt: skip
    return {arm: float(share) for arm, share in zip(arms, shares[0], strict=True)}


def _expected(batches: Sequence[Sequence[PairMoments]]) -> Array:
    """``(1, arms)``: what each arm would have counted at the rate of all arms together, batch by batch."""
    total = np.zeros(len(batches[0]))
    for batch in batches:
        y, x = (np.array([float(getattr(pair, field)) for pair in batch]) for field in ("y", "x"))
        total += x * (y.sum() / x.sum() if x.sum() > 0 else 0.0)
    return total[None]
