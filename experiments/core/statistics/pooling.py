"""Beyond one experiment: what all of them together say of each style, on the log of the relative lift.

`pool` takes every style at once, so that a style seen once borrows what the others teach about how much products differ
(one style alone: `meta`):

    lift_es = m + a_s + b_es + error_es,   a_s ~ N(0, omega^2) between styles,   b_es ~ N(0, tau^2) between products

Arms of one experiment share its control, whose noise v0 therefore stands in every covariance of their errors; the
control also has a product effect of its own, no larger than a style's, so b has covariance tau^2 / 2 inside an
experiment: J. P. T. Higgins and A. Whitehead, "Borrowing strength from external trials", Statistics in Medicine 15
(1996). Where segments are known a_s becomes a_s + c_sg with its own variance.

Counts enter by their likelihood, not by log((y + 0.5) / x) with variance 1 / y: that weighs an arm by its own luck and
has no place for an arm without clicks. The likelihood is made quadratic around the fit, which is then renewed
(penalised quasi-likelihood: N. E. Breslow and D. G. Clayton, JASA 88, 1993). The variances are not plugged in but
integrated over (restricted likelihood times a weak prior, on a grid that closes in on where it matters), because with a
handful of experiments REML often says exactly 0 and everything built on it is too sure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.pooled import Cell, Pooled, Product, in_common
from experiments.core.statistics.rates import dispersions, residual_square

Array = NDArray[np.float64]

GRAND_SPREAD = 0.1
"""Prior standard deviation of m, the log lift of the average style."""
SCALE = 0.12
"""Scale of the half-normal priors of tau, omega and the segments' spread. With `GRAND_SPREAD` it says of a lift nobody
has measured: normal around 0 with standard deviation 0.2, between what web shops find (0.007 on the log of a rate in
the ASOS series) and what changed pictures did at Upworthy (0.28 over 615 tests that differ in nothing else)."""

_NODES = 12
"""Of each of two standard deviations; with 60 no end of an interval moves by more than 0.0003."""
_NODES_OF_THREE = 10
_WIDEST = 4.0
_NEGLIGIBLE = 1e-5
_ZOOMS = 6
_ROUNDS = 40
_SETTLED = 1e-7


@dataclass(frozen=True, slots=True)
class Entry:
    """What one experiment (or one segment of it) counted; entries of one product share what is special about it."""

    experiment: str
    product: str
    """What was advertised: the brief."""
    styles: tuple[str, ...]
    """Exact looks beside the control."""
    y: tuple[float, ...]
    """Effective counts, the control's first and one more than there are styles: sums of the numerator over their
    dispersion, so that each varies as a Poisson count does."""
    x: tuple[float, ...]
    """Sums of the denominator over the same dispersion, all positive."""
    segment: str | None = None

    def __post_init__(self) -> None:
        where = self.experiment + (f", segment {self.segment}" if self.segment else "")
        if not self.styles or len(self.y) != len(self.styles) + 1 or len(self.x) != len(self.y):
            raise ExperimentError(f"{where}: sums are given for the control and then for each style, at least one")
        if len(set(self.styles)) < len(self.styles):
            raise ExperimentError(f"{where}: a style is one arm; merge the arms that share a look")
        if not np.isfinite((*self.y, *self.x)).all():
            raise ExperimentError(f"{where}: counts must be finite numbers")
        if min(self.y) < 0 or sum(self.y) <= 0 or min(self.x) <= 0:
            raise ExperimentError(
                f"{where}: a relative lift needs counts of 0 or more, one above 0, and denominators above 0"
            )

    def contrasts(self) -> tuple[Array, Array]:
        """Each style's log lift and its error's variance, for `random_effects`: ``(styles,)`` each.

        Half a count is added, and the variance is taken at the rate that style and control have in common: it tells
        nothing of which of the two was lucky, so weighting by it favours neither. (The arms' own counts do: at four
        clicks an arm a sixth of the lift is lost, however many experiments there are.)
        """
        y, x = np.array(self.y), np.array(self.x)
        logs = np.log(y + 0.5) - np.log(x)
        both = (y[1:] + y[0] + 1) / (x[1:] + x[0])
        return logs[1:] - logs[0], (1 / x[1:] + 1 / x[0]) / both


def entry_of(
    experiment: str, product: str, arms: Mapping[str, PairMoments], control: str, segment: str | None = None
) -> Entry | None:
    """An entry from moments by exact look; None where they say nothing of a lift.

    That is: the control was never shown, or no style was, or nothing was counted, or units do not differ enough to tell
    chance from effect (one unit an arm), or a sum is negative, so that a rate has no logarithm.
    """
    shown = {look: moments for look, moments in arms.items() if moments.x > 0 and look != control}
    if not shown or control not in arms or arms[control].x <= 0:
        return None
    moments = (arms[control], *shown.values())
    y, x, yy, xy, xx, units = (
        np.array([[float(getattr(each, field)) for each in moments]]) for field in ("y", "x", "yy", "xy", "xx", "units")
    )
    if y.min() < 0 or y.sum() <= 0 or residual_square(yy, xy, xx, units, y / x).sum() <= 0:
        return None
    phi = dispersions(y, x, yy, xy, xx, units)[0][0]
    return Entry(experiment, product, tuple(shown), _floats(y[0] / phi), _floats(x[0] / phi), segment)


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(each) for each in values)


def pool(entries: Sequence[Entry], *, grand_spread: float = GRAND_SPREAD, scale: float = SCALE) -> Pooled:
    """Every style's lift from all entries together.

    Args:
        entries: one an experiment, or one for each of its segments. They must not share units.
        grand_spread: prior standard deviation of the average style's log lift.
        scale: of the half-normal priors of the standard deviations.

    Raises:
        ExperimentError: where there is no entry.
    """
    if not entries:
        raise ExperimentError("there is nothing to pool yet: no experiment has evidence of a lift")
    blocks = _blocks(entries)
    cells = _cells(blocks)
    model = _Model(blocks, cells, grand_spread, scale)
    lifts = [block.start for block in blocks]
    region = np.tile([0.0, np.sqrt(_WIDEST)], (model.levels, 1))
    for number in range(_ROUNDS):
        posterior = _integrate(model, lifts, region)
        renewed = [means.T @ posterior.weights for means in _own_lifts(model, posterior)]
        change = max(float(np.abs(new - old).max()) for new, old in zip(renewed, lifts, strict=True))
        lifts = renewed
        if number < _ZOOMS:
            region = posterior.region
        elif change < _SETTLED:
            break
    posterior = _integrate(model, lifts, region)
    products = {block.product: Product(block.cells, *data) for block, data in zip(blocks, posterior.data, strict=True)}
    return Pooled(
        cells, _counted(entries, cells), posterior.weights, posterior.means, posterior.covariances,
        posterior.tau2, posterior.omega2, posterior.segment2, products,
    )  # fmt: skip


def _counted(entries: Sequence[Entry], cells: Sequence[Cell]) -> tuple[int, ...]:
    shown: dict[Cell, set[str]] = {}
    for entry in entries:
        for style in entry.styles:
            for cell in (Cell(style), Cell(style, entry.segment)):
                shown.setdefault(cell, set()).add(entry.experiment)
    return tuple(len(shown[cell]) for cell in cells)


@dataclass(frozen=True, slots=True)
class _Block:
    """One product: rows are styles, in each experiment and segment they were shown in."""

    product: str
    entries: tuple[Entry, ...]
    cells: tuple[Cell, ...]
    alike: Array
    """``(rows, rows)``: the product effects' covariance in units of tau^2."""

    @property
    def start(self) -> Array:
        """Log lifts with half a count added, which no arm without clicks can make infinite."""
        parts = []
        for entry in self.entries:
            logs = np.log(np.array(entry.y) + 0.5) - np.log(np.array(entry.x))
            parts.append(logs[1:] - logs[0])
        return np.concatenate(parts)

    def linearise(self, lifts: Array) -> tuple[Array, Array]:
        """Log lifts and their errors' covariance that give the likelihood's slope and curvature at ``lifts``."""
        working, covariance, at = np.empty(len(lifts)), np.zeros((len(lifts), len(lifts))), 0
        for entry in self.entries:
            rows = slice(at, at + len(entry.styles))
            counts = np.array(entry.y)
            odds = np.array(entry.x) / max(entry.x) * np.exp(np.concatenate([[0.0], lifts[rows]]))
            expected = counts.sum() * odds / odds.sum()
            surplus = counts / expected - 1
            working[rows] = lifts[rows] + surplus[1:] - surplus[0]
            covariance[rows, rows] = np.diag(1 / expected[1:]) + 1 / expected[0]
            at = rows.stop
        return working, covariance


def _blocks(entries: Sequence[Entry]) -> list[_Block]:
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.product, []).append(entry)
    given = [(entry.experiment, entry.segment) for entry in entries]
    twice = next((experiment for experiment, segment in given if given.count((experiment, segment)) > 1), None)
    if twice is not None:
        raise ExperimentError(f"{twice}: its evidence of one segment is given twice")
    blocks = []
    for name, members in grouped.items():
        cells = tuple(Cell(style, entry.segment) for entry in members for style in entry.styles)
        names = [cell.style for cell in cells]
        blocks.append(_Block(name, tuple(members), cells, in_common(names, names)))
    return blocks


def _cells(blocks: Sequence[_Block]) -> tuple[Cell, ...]:
    """Styles in the order they were first seen, each on the whole before its segments."""
    seen = tuple(dict.fromkeys(cell for block in blocks for cell in block.cells))
    ordered: dict[Cell, None] = {}
    for cell in seen:
        ordered |= {Cell(cell.style): None} | {each: None for each in seen if each.style == cell.style}
    return tuple(ordered)


class _Model:
    """Priors, and which rows of which product speak of which cell; the last cell is a style nobody has tried."""

    def __init__(self, blocks: Sequence[_Block], cells: Sequence[Cell], grand_spread: float, scale: float) -> None:
        self.blocks, self.scale, self.size = blocks, scale, len(cells) + 1
        self.rows = [np.array([cells.index(cell) for cell in block.cells]) for block in blocks]
        self.shown = [np.unique(rows) for rows in self.rows]
        self.designs = [
            (rows[:, None] == shown).astype(np.float64) for rows, shown in zip(self.rows, self.shown, strict=True)
        ]
        names = [cell.style for cell in cells]
        self.grand = np.full((self.size, self.size), grand_spread**2)
        self.same_style = np.eye(self.size)
        self.same_style[:-1, :-1] = [[left == right for right in names] for left in names]
        self.own_segment = np.diag([*(float(cell.segment is not None) for cell in cells), 0.0])
        segmented = bool(self.own_segment.any())
        self.levels, self.nodes = (3, _NODES_OF_THREE) if segmented else (2, _NODES)

    def covariance(self, omega2: float, segment2: float) -> Array:
        """Of the cells before any evidence."""
        return np.asarray(self.grand + omega2 * self.same_style + segment2 * self.own_segment)


@dataclass(frozen=True, slots=True)
class _Posterior:
    weights: Array
    means: Array
    covariances: Array
    tau2: Array
    omega2: Array
    segment2: Array
    region: Array
    data: Sequence[tuple[Array, Array]]


def _integrate(model: _Model, lifts: Sequence[Array], region: Array) -> _Posterior:
    """The posterior over a grid of the standard deviations, even in their square roots (denser near 0).

    For each tau the products are summed up in A = sum Z'WZ and b = sum Z'Wy with W = (V + tau^2 H)^-1; with the
    cells' prior covariance K the marginal likelihood is, but for a constant,
    -(log|W^-1| + y'Wy + log|I + K A| - b'C b) / 2 with C = (I + K A)^-1 K, the cells' posterior covariance.
    """
    roots = [low + (high - low) * (np.arange(model.nodes) + 0.5) / model.nodes for low, high in region]
    tau, *others = (np.square(each) for each in roots)
    data = [block.linearise(each) for block, each in zip(model.blocks, lifts, strict=True)]
    precision, pull, constant = _summed(model, data, np.square(tau))
    between = np.array(np.meshgrid(*others, indexing="ij")).reshape(len(others), -1)
    priors = np.array([model.covariance(*np.square(np.append(each, 0.0)[:2])) for each in between.T])
    logs = np.empty((len(tau), len(priors)))
    for at in range(len(tau)):
        mixed = np.eye(model.size) + priors @ precision[at]
        solved = np.linalg.solve(mixed, (priors @ pull[at])[..., None])[..., 0]
        logs[at] = (solved @ pull[at] - np.linalg.slogdet(mixed)[1] - constant[at]) / 2
    logs -= (np.square(tau)[:, None] + np.square(between).sum(axis=0)) / (2 * model.scale**2)
    logs += np.log(tau)[:, None] / 2 + np.log(between).sum(axis=0) / 2  # from standard deviations to their roots
    share = np.exp(logs - logs.max())
    kept = np.argwhere(share > _NEGLIGIBLE)
    first, second = kept[:, 0], kept[:, 1]
    weights = share[first, second] / share[first, second].sum()
    covariances = np.linalg.solve(np.eye(model.size) + priors[second] @ precision[first], priors[second])
    covariances = (covariances + covariances.transpose(0, 2, 1)) / 2
    means = np.einsum("nij,nj->ni", covariances, pull[first])
    wide = np.square(np.vstack([between, np.zeros_like(between)])[:2, second])
    closer = _closer(share.reshape([model.nodes] * model.levels), roots, region)
    return _Posterior(weights, means, covariances, np.square(tau)[first], wide[0], wide[1], closer, data)


def _summed(model: _Model, data: Sequence[tuple[Array, Array]], tau2: Array) -> tuple[Array, Array, Array]:
    precision, pull = np.zeros((len(tau2), model.size, model.size)), np.zeros((len(tau2), model.size))
    constant = np.zeros(len(tau2))
    for block, design, shown, (lifts, errors) in zip(model.blocks, model.designs, model.shown, data, strict=True):
        total = errors + tau2[:, None, None] * block.alike
        inverse = np.linalg.inv(total)
        precision[:, shown[:, None], shown] += design.T @ inverse @ design
        pull[:, shown] += inverse @ lifts @ design
        constant += np.linalg.slogdet(total)[1] + lifts @ (inverse @ lifts).T
    return precision, pull, constant


def _closer(share: Array, roots: Sequence[Array], region: Array) -> Array:
    """The part of the grid that matters, and a node more on each side."""
    narrowed = np.empty_like(region)
    for axis, nodes in enumerate(roots):
        others = tuple(each for each in range(share.ndim) if each != axis)
        matters = np.flatnonzero(share.max(axis=others) > _NEGLIGIBLE)
        step = nodes[1] - nodes[0]
        narrowed[axis] = nodes[matters[0]] - step, nodes[matters[-1]] + step
    return np.clip(narrowed, 0.0, np.sqrt(_WIDEST))


def _own_lifts(model: _Model, posterior: _Posterior) -> Iterator[Array]:
    """For each product the ``(nodes, rows)`` means of its rows' own log lifts: Z a + T(y - Z a), T = tau^2 H W."""
    known, which = np.unique(posterior.tau2, return_inverse=True)
    for block, rows, (lifts, errors) in zip(model.blocks, model.rows, posterior.data, strict=True):
        spread = known[:, None, None] * block.alike
        drawn = np.linalg.solve(errors + spread, spread).transpose(0, 2, 1)
        cells = posterior.means[:, rows]
        yield cells + np.einsum("nij,nj->ni", drawn[which], lifts - cells)
