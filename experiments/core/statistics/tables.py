"""Sums of many groups of arms as arrays, and what they tell: one experiment is a table with one row.

Columns hold the control first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError
from experiments.core.statistics import rates
from experiments.core.statistics.moments import PairMoments

Array = NDArray[np.float64]


class Outcome(StrEnum):
    """What is counted for each unit."""

    BINARY = "binary"
    """0 or 1 a unit."""
    COUNT = "count"
    """Sums that cannot be negative, over any denominator."""
    VALUE = "value"
    """Any number, such as money."""


@dataclass(frozen=True, slots=True)
class ArmTable:
    """Sums of many groups with the same number of arms; every field is ``(groups, arms)``, the control first."""

    units: Array
    y: Array
    x: Array
    yy: Array
    xx: Array
    xy: Array
    shares: Array
    """Relative shares that units were assigned in."""

    def variances(self) -> Array:
        """Delta-method variances of the rates; of a single unit nothing is known, so it is infinite."""
        rate = self.y / self.x
        squares = rates.residual_square(self.yy, self.xy, self.xx, self.units, rate)
        return np.where(self.units > 1, squares / np.square(self.x), np.inf)


def outcome_of(moments: Sequence[PairMoments]) -> Outcome:
    """0/1 outcomes are recognised by their sums of squares; whatever may be negative or fractional is a value."""
    if all(each.yy == each.y and each.xx == each.x == each.units for each in moments):
        return Outcome.BINARY
    counts = all(isinstance(each.y, int) and each.y >= 0 and each.yy >= each.y for each in moments)
    return Outcome.COUNT if counts else Outcome.VALUE


def arm_table(groups: Sequence[Sequence[PairMoments]], shares: Sequence[Sequence[float]]) -> ArmTable:
    """Columns of sums from moments, the control first in each group.

    Raises:
        ExperimentError: for moments that are not finite numbers.
    """
    fields = ("units", "y", "x", "yy", "xx", "xy")
    sums = np.array([[[float(getattr(each, field)) for field in fields] for each in group] for group in groups])
    if not np.isfinite(sums).all():
        raise ExperimentError("moments that are NaN or infinite cannot be compared: mend or leave out those units")
    columns = {field: sums[:, :, index] for index, field in enumerate(fields)}
    return ArmTable(**columns, shares=np.array(shares, dtype=np.float64))


def information(arms: Sequence[PairMoments]) -> float:
    """How much one experiment's arms tell: see `information_of`."""
    return float(information_of(arm_table([arms], [[1.0] * len(arms)]), outcome_of(arms))[0])


def information_of(table: ArmTable, outcome: Outcome) -> Array:
    """What each group tells, in proportion to the inverse variance of a rate: counts over their dispersion.

    Not the counts themselves: as units come back, dispersion rises from look to look. For values that are no counts it
    is the inverse variance of the means.
    """
    if outcome is Outcome.VALUE:
        variance = table.variances()
        return np.asarray(np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0).sum(axis=1))
    pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
    return np.asarray((table.y / dispersion_of(table, outcome, pooled)[0]).sum(axis=1))


def dispersion_of(table: ArmTable, outcome: Outcome, pooled: Array) -> tuple[Array, NDArray[np.bool_]]:
    """phi, and whether it is the arm's own: ``(groups, arms)``."""
    if outcome is Outcome.BINARY:  # binomial variance relative to the mean
        return np.broadcast_to(np.maximum(1 - pooled, 1e-12), table.y.shape), np.zeros(table.y.shape, dtype=np.bool_)
    return rates.dispersions(table.y, table.x, table.yy, table.xy, table.xx, table.units)
