"""The next batch's shares of the traffic, where the plan lets them follow the evidence (`statistics.allocation`)."""

from collections.abc import Mapping

import numpy as np

from experiments.core.evidence import Evidence
from experiments.core.plan import Direction, Plan
from experiments.core.statistics.allocation import allocate_means, allocate_rates
from experiments.core.statistics.tables import Outcome, arm_table, dispersion_of, outcome_of


def next_shares(plan: Plan, evidence: Evidence, previous: Mapping[str, float]) -> dict[str, float]:
    """Shares by arm that add to 1, the primary metric deciding.

    Where the shares have changed before, an arm is not taken for good because it was shown in a good week: see
    `statistics.standardised`.

    Args:
        plan: with its floor and largest step.
        evidence: to date.
        previous: what the traffic is shared out by now.
    """
    arms = (plan.control, *(arm for arm in plan.weights if arm != plan.control))
    metric, rules = plan.primary, plan.allocation
    outcome = outcome_of([evidence.pair(arm, metric) for arm in arms])
    fair = evidence.standardised(arms, metric)
    table = arm_table([[fair[arm] for arm in arms]], [[1.0] * len(arms)])
    higher, before = metric.direction is Direction.INCREASE, np.array([previous[arm] for arm in arms])
    if outcome is Outcome.VALUE:
        single = np.where(table.units > 1, table.variances(), 0.0) * table.units
        shares = allocate_means(
            table.y / np.where(table.x > 0, table.x, 1.0), single, table.units, higher_is_better=higher,
            floor=rules.floor, previous=before, largest_step=rules.largest_step,
        )  # fmt: skip
    else:
        phi, _ = dispersion_of(table, outcome, table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True))
        shares = allocate_rates(
            table.y, table.x, phi, higher_is_better=higher, floor=rules.floor, previous=before,
            largest_step=rules.largest_step,
        )  # fmt: skip
    return {arm: float(share) for arm, share in zip(arms, shares[0], strict=True)}
