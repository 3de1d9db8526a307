"""Variance reduction by what units did before the experiment: CUPED, for means and for ratios.

A unit's outcome is compared with what its own history led one to expect. The history cannot have been touched by the
arm, so taking off theta (h - mean h) leaves every contrast as it was, on average, and removes the share rho^2 of its
variance. For a ratio metric R = Y / X the outcome of a unit is its linearisation y - R x, and its history the
linearisation of the same ratio before, y' - R' x', whose mean over a unit that has none is 0: units without history
stay in and are simply not corrected. theta is pooled over the arms, each around its own means.
A. Deng, Y. Xu, R. Kohavi, T. Walker, "Improving the sensitivity of online controlled experiments by utilizing
pre-experiment data", WSDM 2013; W. Lin, Ann. Appl. Statist. 7 (2013), why pooling theta is safe with equal shares and
what it costs with others; R. Budylin et al., "Consistent transformation of ratio metrics", WSDM 2018.

All from sums and sums of products, which add over disjoint units.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError
from experiments.core.statistics.moments import PairMoments

Array = NDArray[np.float64]

NAMES = ("y", "x", "yb", "xb")
"""Numerator and denominator, and both before the experiment."""
PAIRS = tuple((left, right) for i, left in enumerate(NAMES) for right in NAMES[i:])
FEWEST = 50
"""Effective counts of an arm below which a count is not adjusted: its test must be the one for few counts."""


class BadHistory(ExperimentError):
    """Histories that no adjustment can be made from."""


@dataclass(frozen=True, slots=True)
class HistoryMoments:
    """Sums over one arm's units of y, x, their values before (b), and all products. A mean has x = xb = 1."""

    units: int = 0
    y: int | float = 0
    x: int | float = 0
    yb: int | float = 0
    xb: int | float = 0
    yy: int | float = 0
    yx: int | float = 0
    yyb: int | float = 0
    yxb: int | float = 0
    xx: int | float = 0
    xyb: int | float = 0
    xxb: int | float = 0
    ybyb: int | float = 0
    ybxb: int | float = 0
    xbxb: int | float = 0

    def __add__(self, other: "HistoryMoments") -> "HistoryMoments":
        return HistoryMoments(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @classmethod
    def of(cls, units: Iterable[tuple[int | float, int | float, int | float, int | float]]) -> Self:
        """Moments of units given as (y, x, y before, x before)."""
        count = 0
        sums: list[int | float] = [0] * 4
        products: list[int | float] = [0] * len(PAIRS)
        for unit in units:
            count += 1
            values = dict(zip(NAMES, unit, strict=True))
            sums = [total + value for total, value in zip(sums, unit, strict=True)]
            products = [total + values[a] * values[b] for total, (a, b) in zip(products, PAIRS, strict=True)]
        return cls(count, *sums, *products)

    @property
    def pair(self) -> PairMoments:
        """Without the history."""
        return PairMoments(self.units, self.y, self.x, self.yy, self.xx, self.yx)


@dataclass(frozen=True, slots=True)
class Adjusted:
    """``(arms,)`` each, in the order given."""

    rate: Array
    """Numerator over denominator, had every arm had the same history."""
    variance: Array
    """Of the rates."""
    theta: float
    reduction: float
    """Share of the variance that the history took off; 0 where it says nothing."""


def adjust_arms(arms: Mapping[str, HistoryMoments]) -> Adjusted:
    """The arms' rates, corrected for what their units did before.

    Raises:
        BadHistory: for fewer than two arms, an arm of fewer than two units, or a denominator that is 0.
    """
    if len(arms) < 2:
        raise BadHistory("an adjustment needs at least two arms")
    for name, each in arms.items():
        if each.units < 2 or each.x <= 0:
            raise BadHistory(f"arm {name!r} has {each.units} units and a denominator of {each.x}: nothing to adjust")
        if not all(np.isfinite(float(getattr(each, field.name))) for field in fields(each)):
            raise BadHistory(f"arm {name!r}: a moment is not a finite number")
    columns = {
        field.name: np.array([float(getattr(each, field.name)) for each in arms.values()])
        for field in fields(HistoryMoments)
    }
    units, rate = columns["units"], columns["y"] / columns["x"]
    before = float(columns["yb"].sum() / columns["xb"].sum()) if columns["xb"].sum() > 0 else 0.0

    def product(left: str, right: str) -> Array:
        return columns[left + right] if left + right in columns else columns[right + left]

    def covariance(left: tuple[tuple[str, Array], ...], right: tuple[tuple[str, Array], ...]) -> Array:
        """Of two linearised units, about their means in the arm, times the units less one."""
        total = sum(a * b * product(one, other) for one, a in left for other, b in right)
        means = [sum(weight * columns[name] for name, weight in side) / units for side in (left, right)]
        return np.asarray(total - units * means[0] * means[1])

    one = np.ones_like(units)
    now, then = (("y", one), ("x", -rate)), (("yb", one), ("xb", -before * one))
    spread, history, shared = covariance(now, now), covariance(then, then), covariance(now, then)
    known = history.sum() > 1e-12 * max(float((np.square(columns["yb"]) / units).sum()), 1e-300)
    theta = float(shared.sum() / history.sum()) if known else 0.0
    left_over = np.maximum(spread - 2 * theta * shared + theta**2 * history, 0.0)
    per_unit = columns["x"] / units
    mean_history = (columns["yb"] - before * columns["xb"]) / units
    overall = float((columns["yb"] - before * columns["xb"]).sum() / units.sum())
    reduction = 1 - float(left_over.sum() / spread.sum()) if spread.sum() > 0 else 0.0
    return Adjusted(
        rate - theta * (mean_history - overall) / per_unit,
        left_over / (units - 1) / units / np.square(per_unit),
        theta,
        max(0.0, reduction),
    )
