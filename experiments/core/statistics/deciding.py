"""The signed z that decides each contrast, and what it must exceed.

For counts of units that z is the mid-p test of `rates`. For 0/1 outcomes too, below `ASYMPTOTIC` expected counts; the
p-value that is shown beside it is then Pearson's or Fisher's, as everyone reports them. Values have Welch's test.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.core.statistics import proportions, rates
from experiments.core.statistics.dunnett import critical_value, shared_variance
from experiments.core.statistics.sequential import Looks, boundary
from experiments.core.statistics.student import normal_of
from experiments.core.statistics.tables import ArmTable, Outcome, dispersion_of

Array = NDArray[np.float64]

Columns = slice | NDArray[np.intp]

ASYMPTOTIC = 1000.0
"""Expected counts from which the score test and the mid-p test are the same to three digits, and the former decides."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What decides each contrast: ``(groups, arms - 1)`` each."""

    z: Array
    bound: Array
    """|z| from which the contrast is called, at this look."""


def decide_table(table: ArmTable, *, outcome: Outcome, alpha: float, looks: Looks) -> Decision:
    """Only what decides, jointly over arms and looks: for simulations of many thousand experiments."""
    pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
    phi, _ = dispersion_of(table, outcome, pooled)
    variance = table.variances() if outcome is Outcome.VALUE else phi * pooled / table.x
    deciding = deciding_z(table, outcome, phi, variance, slice(1, None), slice(0, 1))
    critical = critical_value(alpha, shared_of(table, outcome, phi, variance))
    return Decision(deciding, np.broadcast_to(boundary(critical, looks)[:, None], deciding.shape))


def deciding_z(table: ArmTable, outcome: Outcome, phi: Array, variance: Array, arm: Columns, against: Columns) -> Array:
    """The signed z that decides, of arms against others, its variance's degrees of freedom allowed for.

    ``arm`` and ``against`` index the arm axis.
    """
    y1, x1, y0, x0 = table.y[:, arm], table.x[:, arm], table.y[:, against], table.x[:, against]
    if outcome is Outcome.VALUE:
        spread = np.sqrt(variance[:, arm] + variance[:, against])
        gap = y1 / x1 - y0 / x0
        z = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
        return normal_of(z, freedom_of(table, outcome, variance, arm, against))
    if outcome is Outcome.COUNT:
        z = rates.signed_z(y1, x1, phi[:, arm], y0, x0, phi[:, against])
        return normal_of(z, freedom_of(table, outcome, variance, arm, against))
    share = (y1 + y0) / (x1 + x0)
    rare = share <= 0.5
    phi_of_rarer = np.maximum(np.where(rare, 1 - share, share), 1e-12)
    few1, few0 = np.where(rare, y1, x1 - y1), np.where(rare, y0, x0 - y0)
    few = np.where(rare, 1, -1) * rates.signed_z(few1, x1, phi_of_rarer, few0, x0, phi_of_rarer)
    many = proportions.smallest_expected(y1, x1, y0, x0) >= ASYMPTOTIC
    return np.where(many, proportions.score_z(y1, x1, y0, x0), few)


def freedom_of(
    table: ArmTable,
    outcome: Outcome,
    variance: Array,
    arm: Columns = slice(1, None),
    against: Columns = slice(0, 1),
) -> Array:
    """Degrees of freedom of each contrast's variance: all units' where it is pooled, Welch's where it is not.

    None where no unit differs from another of its arm: there is nothing to tell chance by.

    0/1 outcomes have theirs from the rate. B. L. Welch, "The generalization of 'Student's' problem when several
    different population variances are involved", Biometrika 34 (1947).
    """
    if outcome is Outcome.BINARY:
        return np.full((len(table.y), 1), np.inf)
    if outcome is Outcome.COUNT:
        return np.asarray((table.units - 1).sum(axis=1, keepdims=True))
    one, other = variance[:, arm], variance[:, against]
    few, fewer = table.units[:, arm] - 1, table.units[:, against] - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.square(one + other) / (np.square(one) / few + np.square(other) / fewer)
    nothing = (np.minimum(few, fewer) < 1) | (one + other <= 0)
    return np.where(nothing, 0.0, np.where(np.isfinite(freedom), freedom, few + fewer))


def reported_z(table: ArmTable, outcome: Outcome, phi: Array, variance: Array, arm: Columns, against: Columns) -> Array:
    """The signed z of the p-value that is shown: for 0/1 outcomes Pearson's test or, at small counts, Fisher's."""
    if outcome is Outcome.BINARY:
        return proportions.difference_test(table.y[:, arm], table.x[:, arm], table.y[:, against], table.x[:, against])
    return deciding_z(table, outcome, phi, variance, arm, against)


def shared_of(table: ArmTable, outcome: Outcome, phi: Array, variance: Array) -> Array:
    """The square roots of what each contrast's variance shares with the others', ``(groups, arms - 1)``."""
    spread = variance if outcome is Outcome.VALUE else phi / table.x
    return shared_variance(spread[:, :1], spread[:, 1:])
