"""What all experiments together say of each style and each product: the joint posterior that `pooling` comes to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from experiments.core.errors import ExperimentError
from experiments.core.statistics.meta import mixture_quantile

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """What the lift is a lift of: a style, in one segment where entries have segments."""

    style: str
    segment: str | None = None


@dataclass(frozen=True, slots=True)
class StyleLift:
    """What is known of one style's relative lift (0.05 for five percent): medians, ends of intervals."""

    cell: Cell
    experiments: int
    """How many have shown it; 0 for a style nobody has tried."""
    expected: float
    """On a typical product."""
    low: float
    high: float
    next_low: float
    """On one product, the next."""
    next_high: float
    probability_better: float
    """That ``expected`` is above 0."""


@dataclass(frozen=True, slots=True)
class Product:
    """What the experiments on one product amount to: rows are their arms but the controls."""

    cells: tuple[Cell, ...]
    """By row."""
    lifts: Array
    """``(rows,)`` log lifts, and ``(rows, rows)`` their errors' covariance."""
    errors: Array

    def alike(self, styles: Sequence[str]) -> Array:
        """``(styles, rows)``: the product effects' covariance in units of tau^2."""
        return in_common(styles, [cell.style for cell in self.cells])


def in_common(left: Sequence[str], right: Sequence[str]) -> Array:
    """1 for a style with itself, 1/2 for two styles: what they share is the control's own effect."""
    same = np.array([[one == other for other in right] for one in left], dtype=np.float64)
    return (1 + same.reshape(len(left), len(right))) / 2


@dataclass(frozen=True, slots=True)
class Pooled:
    """The joint posterior over all styles: a mixture of normals on the log of the relative lift.

    ``nodes`` values of the variances carry ``weights``; given those, cells are jointly normal.
    """

    cells: tuple[Cell, ...]
    experiments: tuple[int, ...]
    """By cell."""
    weights: Array
    """``(nodes,)``, sum 1."""
    means: Array
    """``(nodes, cells)``; the last cell is a style nobody has tried."""
    covariances: Array
    """``(nodes, cells, cells)``."""
    tau2: Array
    """``(nodes,)`` between products."""
    omega2: Array
    """``(nodes,)`` between styles."""
    segment2: Array
    """``(nodes,)`` between segments of one style; 0 where no entry has segments."""
    products: Mapping[str, Product]

    @property
    def tau(self) -> float:
        """Posterior mean of the standard deviation between products."""
        return float(self.weights @ np.sqrt(self.tau2))

    @property
    def omega(self) -> float:
        """Posterior mean of the standard deviation between styles."""
        return float(self.weights @ np.sqrt(self.omega2))

    @property
    def segment_spread(self) -> float:
        """Posterior mean of the standard deviation between segments of one style."""
        return float(self.weights @ np.sqrt(self.segment2))

    def index(self, style: str, segment: str | None = None) -> int:
        """Where a style stands; one nobody has tried is the last cell.

        Raises:
            ExperimentError: for a style that was tried, but not in that segment.
        """
        cell = Cell(style, segment)
        if cell in self.cells:
            return self.cells.index(cell)
        if segment is not None and Cell(style) in self.cells:
            raise ExperimentError(f"{style} was never shown in segment {segment!r}; ask for the style on the whole")
        return len(self.cells)

    def style(self, style: str, segment: str | None = None, level: float = 0.95) -> StyleLift:
        """What is known of one style, whether it was tried or not."""
        at = self.index(style, segment)
        mean, variance = self.means[:, at], self.covariances[:, at, at]
        middle, low, high = self.interval(mean, variance, level)
        _, next_low, next_high = self.interval(mean, variance + self.tau2, level)
        better = float(self.weights @ ndtr(mean / np.sqrt(variance)))
        count = self.experiments[at] if at < len(self.cells) else 0
        return StyleLift(
            Cell(style, segment), count, middle, low, high, next_low, next_high, better,
        )  # fmt: skip

    def next_product(self, style: str) -> tuple[float, float]:
        """Mean and variance of the log lift of ``style`` on a product nobody has tried anything on."""
        means, covariances = self.on_product(None, [style])
        mean = float(self.weights @ means[:, 0])
        return mean, float(self.weights @ (covariances[:, 0, 0] + np.square(means[:, 0] - mean)))

    def on_product(self, product: str | None, styles: Sequence[str]) -> tuple[Array, Array]:
        """Log lifts of ``styles`` on one product: ``(nodes, styles)`` means, ``(nodes, styles, styles)`` covariances.

        Where experiments on that product are among the evidence they count for it in particular: for the styles they
        showed, and through the control's own effect for all others. None, or an unknown one, is a new product.
        """
        at = [self.index(style) for style in styles]
        known = self.products.get(product) if product is not None else None
        apart = self.tau2[:, None, None] * in_common(styles, styles)
        strangers = np.array([each == len(self.cells) for each in at])
        twofold = np.outer(strangers, strangers) & ~np.eye(len(at), dtype=bool)
        apart = apart - self.omega2[:, None, None] * twofold  # they share a cell, but each is a style of its own
        if known is None:
            return self.means[:, at], self.covariances[:, at][:, :, at] + apart
        rows = [self.cells.index(cell) for cell in known.cells]
        shared = self.tau2[:, None, None] * known.alike(styles)
        among = self.tau2[:, None, None] * known.alike([cell.style for cell in known.cells])
        drawn = np.linalg.solve(known.errors + among, shared.transpose(0, 2, 1)).transpose(0, 2, 1)
        surplus = known.lifts - self.means[:, rows]
        plan = np.zeros((len(self.weights), len(styles), self.means.shape[1]))
        plan[:, np.arange(len(styles)), at] = 1
        for row, cell in enumerate(rows):
            plan[:, :, cell] -= drawn[:, :, row]
        own = apart - drawn @ shared.transpose(0, 2, 1)
        return (
            self.means[:, at] + np.einsum("nsr,nr->ns", drawn, surplus),
            own + plan @ self.covariances @ plan.transpose(0, 2, 1),
        )

    def interval(self, means: Array, variances: Array, level: float = 0.95) -> tuple[float, float, float]:
        """The relative lift's median and the ends of its interval, from each node's mean and variance of the log."""
        tails = ((1 - level) / 2, (1 + level) / 2)
        spreads = np.sqrt(variances)
        middle, low, high = (float(mixture_quantile(self.weights, means, spreads, share)) for share in (0.5, *tails))
        return math.expm1(middle), math.expm1(low), math.expm1(high)
