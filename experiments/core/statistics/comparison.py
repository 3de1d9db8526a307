"""Compare arms with their control: rates, lifts, intervals and p-values that account for arms and looks together.

Everything is computed on tables of ``(groups, arms)``, so thousands of experiments cost one pass; one experiment is a
table with one row. Columns hold the control first.

Every contrast has a signed z that decides; arms and looks are accounted for by what it takes for the largest |z| of
all contrasts at all looks to be as large (`dunnett`, `sequential`). Each interval is moved by the same z: it excludes 0
exactly where the adjusted p-value is at most alpha.

For counts of units that z is the mid-p test of `rates`. For 0/1 outcomes too, below `ASYMPTOTIC` expected counts; the
p-value that is shown beside it is then Pearson's or Fisher's, as everyone reports them, and no adjusted p-value is
below it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError
from experiments.core.plan import Direction
from experiments.core.statistics import proportions, rates
from experiments.core.statistics.adjustment import FEWEST, HistoryMoments, adjust_arms
from experiments.core.statistics.dunnett import (
    critical_value,
    holm,
    joint_tail,
    shared_variance,
    two_sided,
    z_of_two_sided,
)
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.posterior import (
    JEFFREYS,
    RatePrior,
    best_of_means,
    best_of_rates,
    best_of_shares,
    interval_of_means,
    interval_of_rates,
    interval_of_shares,
)
from experiments.core.statistics.sample_ratio import THRESHOLD, SampleRatio, sample_ratio_p
from experiments.core.statistics.sequential import Looks, boundary, single_look_equivalent
from experiments.core.statistics.student import normal_of, t_of

Array = NDArray[np.float64]
Columns = slice | NDArray[np.intp]

MARGINAL = 0.05
"""The arms' own intervals are at 95 %, whatever the comparison's alpha."""
_FURTHEST_APART = 2.0
"""An interval family whose z is off by more than this factor is not followed."""
ASYMPTOTIC = 1000.0
"""Expected counts from which the score test and the mid-p test are the same to three digits, and the former decides."""


class Correction(StrEnum):
    """How the contrasts of one comparison are corrected for each other."""

    DUNNETT = "dunnett"
    """Jointly: the exact distribution of the largest of them."""
    HOLM = "holm"
    """Step-down Bonferroni: needs no joint distribution."""
    NONE = "none"
    """Not at all: for one planned contrast."""


class Outcome(StrEnum):
    """What is counted for each unit."""

    BINARY = "binary"
    """0 or 1 a unit."""
    COUNT = "count"
    """Sums that cannot be negative, over any denominator."""
    VALUE = "value"
    """Any number, such as money."""


@dataclass(frozen=True, slots=True)
class ArmEstimate:
    """One arm on its own; ``low`` and ``high`` are marginal."""

    arm: str
    units: int
    numerator: int | float
    denominator: int | float
    rate: float | None
    low: float | None
    high: float | None
    probability_best: float | None
    expected_loss: float | None
    credible_low: float | None = None
    credible_high: float | None = None
    """95 % of the posterior lies between."""


@dataclass(frozen=True, slots=True)
class Lift:
    """One arm against the control."""

    arm: str
    absolute: float | None
    absolute_low: float | None
    absolute_high: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    p: float | None
    p_adjusted: float | None


@dataclass(frozen=True, slots=True)
class Best:
    """The arm with the best rate, and whether it is better than every other (Holm over all pairs)."""

    arm: str
    beats_every_other: bool
    p_adjusted: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that can be said of one set of arms at one look."""

    control: str
    alpha: float
    look: int
    looks: int
    direction: Direction
    sample_ratio: SampleRatio
    arms: tuple[ArmEstimate, ...]
    lifts: tuple[Lift, ...]
    best: Best
    tied: tuple[str, ...]
    """The arms that share the best rate, where more than one does."""
    dispersed: tuple[str, ...] = ()
    """The arms whose units are far more unlike each other than the other arms' are."""
    adjusted: float = 0.0
    """Share of the variance that adjustment by the units' history took off."""


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


@dataclass(frozen=True, slots=True)
class TableResult:
    """As `Comparison`, in arrays: ``(groups, arms)`` for arms and ``(groups, arms - 1)`` for contrasts."""

    rate: Array
    low: Array
    high: Array
    probability_best: Array
    expected_loss: Array
    credible: tuple[Array, Array]
    absolute: tuple[Array, Array, Array]
    relative: tuple[Array, Array, Array]
    p: Array
    p_adjusted: Array
    sample_ratio_p: Array
    best: NDArray[np.intp]
    best_p: Array
    tied: NDArray[np.bool_]
    dispersed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decision:
    """What decides each contrast: ``(groups, arms - 1)`` each."""

    z: Array
    bound: Array
    """|z| from which the contrast is called, at this look."""


def compare(
    arms: Mapping[str, PairMoments],
    *,
    control: str,
    alpha: float = 0.05,
    correction: Correction = Correction.DUNNETT,
    looks: Looks | None = None,
    split: Mapping[str, float] | None = None,
    outcome: Outcome | None = None,
    direction: Direction = Direction.INCREASE,
    threshold: float = THRESHOLD,
    prior: RatePrior = JEFFREYS,
) -> Comparison:
    """One experiment's arms, in the order given, against ``control``.

    Args:
        arms: their moments.
        control: which of them the others are compared with.
        alpha: two-sided, over all arms and looks.
        correction: of the arms for each other.
        looks: the schedule so far; a single look by default.
        split: relative shares that units were assigned in; even by default.
        outcome: what the moments count; recognised by default.
        direction: which way is better.
        threshold: the sample ratio's.
        prior: of every arm's rate, for the Bayesian reading; means have none.

    Raises:
        ExperimentError: for fewer than two arms or an unknown control; an arm without any denominator has no rate, so
            leave it out.
    """
    if control not in arms or len(arms) < 2:
        raise ExperimentError(
            f"a comparison needs the control {control!r} and at least one other arm, got {', '.join(arms)}"
        )
    names = (control, *(arm for arm in arms if arm != control))
    moments = [arms[name] for name in names]
    table = arm_table([moments], [[(split or {}).get(name, 1.0) for name in names]])
    looks = looks or Looks.even()
    kind = outcome or outcome_of(moments)
    result = compare_table(
        table, outcome=kind, alpha=alpha, correction=correction, looks=looks, direction=direction, prior=prior
    )
    return as_comparison(result, 0, names, moments, tuple(arms), alpha, looks, direction, threshold)


def compare_adjusted(
    arms: Mapping[str, HistoryMoments],
    *,
    control: str,
    alpha: float = 0.05,
    correction: Correction = Correction.DUNNETT,
    looks: Looks | None = None,
    split: Mapping[str, float] | None = None,
    direction: Direction = Direction.INCREASE,
    threshold: float = THRESHOLD,
) -> Comparison:
    """As `compare`, for rates that are adjusted by the units' own history; `adjusted` says how much that took off.

    Counts stay counts: adjusted, they are as many as the adjusted rate says, dispersed as much as is left. Where an
    arm has too few of them for its history to be believed nothing is adjusted, and it is 0.

    Raises:
        ExperimentError: as `compare` does, and for histories that cannot be adjusted by.
    """
    pairs = {name: each.pair for name, each in arms.items()}
    kind = outcome_of(list(pairs.values()))
    plain = compare(
        pairs, control=control, alpha=alpha, correction=correction, looks=looks, split=split, direction=direction,
        threshold=threshold,
    )  # fmt: skip
    names = (control, *(arm for arm in arms if arm != control))
    found = adjust_arms({name: arms[name] for name in names})
    table = arm_table([[pairs[name] for name in names]], [[(split or {}).get(name, 1.0) for name in names]])
    y = found.rate * table.x[0]
    effective = y / np.maximum(found.variance * table.x[0] ** 2 / np.maximum(y, 1e-300), 1e-300)
    if kind is not Outcome.VALUE and (y.min() <= 0 or effective.min() < FEWEST):
        return plain
    squares = found.variance * np.square(table.x[0]) * (table.units[0] - 1) / table.units[0]
    none = np.zeros_like(y)[None]
    adjusted = replace(table, y=y[None], yy=squares[None], xx=none, xy=none)
    looks = looks or Looks.even()
    result = compare_table(
        adjusted, outcome=Outcome.VALUE if kind is Outcome.VALUE else Outcome.COUNT, alpha=alpha,
        correction=correction, looks=looks, direction=direction,
    )  # fmt: skip
    moments = [pairs[name] for name in names]
    comparison = as_comparison(result, 0, names, moments, tuple(arms), alpha, looks, direction, threshold)
    return replace(comparison, adjusted=found.reduction)


def compare_estimates(
    arms: Mapping[str, tuple[float, float, int]],
    *,
    control: str,
    alpha: float = 0.05,
    correction: Correction = Correction.DUNNETT,
    looks: Looks | None = None,
    split: Mapping[str, float] | None = None,
    direction: Direction = Direction.INCREASE,
) -> Comparison:
    """As `compare`, for estimates that come with a variance of their own (quantiles, rates over strata).

    Args:
        arms: estimate, its variance, and how many units it comes from; these also stand for the denominators.
        control, alpha, correction, looks, split, direction: as for `compare`.

    Raises:
        ExperimentError: as `compare`, and for estimates or variances that are none.
    """
    moments = {}
    for name, (estimate, variance, units) in arms.items():
        if not (np.isfinite(estimate) and variance >= 0 and units > 1):
            raise ExperimentError(f"arm {name!r}: {estimate} with variance {variance} of {units} units is no estimate")
        squares = variance * units * (units - 1)
        moments[name] = PairMoments(
            units, estimate * units, units, squares + estimate**2 * units, units, estimate * units
        )
    return compare(
        moments, control=control, alpha=alpha, correction=correction, looks=looks, split=split, outcome=Outcome.VALUE,
        direction=direction,
    )  # fmt: skip


def outcome_of(moments: Sequence[PairMoments]) -> Outcome:
    """0/1 outcomes are recognised by their sums of squares; whatever may be negative or fractional is a value."""
    if all(each.yy == each.y and each.xx == each.x == each.units for each in moments):
        return Outcome.BINARY
    counts = all(isinstance(each.y, int) and each.y >= 0 and each.yy >= each.y for each in moments)
    return Outcome.COUNT if counts else Outcome.VALUE


def compare_table(
    table: ArmTable,
    *,
    outcome: Outcome,
    alpha: float,
    correction: Correction,
    looks: Looks,
    direction: Direction,
    prior: RatePrior = JEFFREYS,
) -> TableResult:
    """All groups of a table at once; every denominator is positive."""
    better = direction is Direction.INCREASE
    rate = table.y / table.x
    pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
    phi, dispersed = dispersion_of(table, outcome, pooled)
    if outcome is Outcome.VALUE:
        variance = table.variances()
        known = np.isfinite(variance).all(axis=1, keepdims=True)
        found = best_of_means(rate, np.where(known, variance, 1.0), higher_is_better=better)
        probability, loss = (np.where(known, each, np.nan) for each in found)
        credible = interval_of_means(rate, variance, MARGINAL)
    else:
        variance = phi * np.maximum(pooled, 0) / table.x
        if outcome is Outcome.BINARY:
            probability, loss = best_of_shares(table.y, table.x, higher_is_better=better, prior=prior)
            credible = interval_of_shares(table.y, table.x, alpha=MARGINAL, prior=prior)
        else:
            probability, loss = best_of_rates(table.y, table.x, phi, higher_is_better=better, prior=prior)
            credible = interval_of_rates(table.y, table.x, phi, alpha=MARGINAL, prior=prior)
    low, high = _marginal(table, outcome, phi, variance)
    arms, control = slice(1, None), slice(0, 1)
    shared = _shared(table, outcome, phi, variance)
    deciding, freedom = deciding_z(table, outcome, phi, variance, arms, control), _freedom(table, outcome, variance)
    p = two_sided(_reported_z(table, outcome, phi, variance, arms, control))
    adjusted, critical = _adjust(single_look_equivalent(deciding, looks), shared, alpha, correction)
    adjusted = np.maximum(adjusted, p)
    bound = boundary(critical, looks)
    told = np.broadcast_to(freedom >= 1, bound.shape)  # of one unit a variance says nothing
    wide = np.where(told, t_of(bound, freedom), 1.0)
    far = np.copysign(np.where(told, t_of(np.abs(deciding), freedom), 0.0), deciding)
    absolute = _where(told, _absolute_interval(table, outcome, phi, variance, far, wide, adjusted <= alpha))
    relative = _where(told, _relative_interval(table, outcome, phi, variance, far, wide, adjusted <= alpha))
    order = rate if better else -rate
    best = np.argmax(order, axis=1)
    return TableResult(
        rate, low, high, probability, loss, credible, absolute, relative, p, adjusted,
        sample_ratio_p(table.units, table.shares), best, _best_against_all(table, outcome, phi, variance, best),
        order == order.max(axis=1, keepdims=True), dispersed,
    )  # fmt: skip


def _where(told: NDArray[np.bool_], interval: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """The estimate, and its ends where there are any."""
    estimate, low, high = interval
    return estimate, np.where(told, low, np.nan), np.where(told, high, np.nan)


def decide_table(table: ArmTable, *, outcome: Outcome, alpha: float, looks: Looks) -> Decision:
    """Only what decides, jointly over arms and looks: for simulations of many thousand experiments."""
    pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
    phi, _ = dispersion_of(table, outcome, pooled)
    variance = table.variances() if outcome is Outcome.VALUE else phi * pooled / table.x
    deciding = deciding_z(table, outcome, phi, variance, slice(1, None), slice(0, 1))
    critical = critical_value(alpha, _shared(table, outcome, phi, variance))
    return Decision(deciding, np.broadcast_to(boundary(critical, looks)[:, None], deciding.shape))


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


def as_comparison(
    result: TableResult,
    row: int,
    names: Sequence[str],
    moments: Sequence[PairMoments],
    order: Sequence[str],
    alpha: float,
    looks: Looks,
    direction: Direction,
    threshold: float,
) -> Comparison:
    """One row of a table's result, its arms in the caller's ``order``; numbers that do not exist are None."""
    estimates = {
        name: ArmEstimate(
            arm=name,
            units=each.units,
            numerator=each.y,
            denominator=each.x,
            rate=_number(result.rate[row, i]),
            low=_number(result.low[row, i]),
            high=_number(result.high[row, i]),
            probability_best=_number(result.probability_best[row, i]),
            expected_loss=_number(result.expected_loss[row, i]),
            credible_low=_number(result.credible[0][row, i]),
            credible_high=_number(result.credible[1][row, i]),
        )
        for i, (name, each) in enumerate(zip(names, moments, strict=True))
    }
    lifts = {
        name: Lift(
            arm=name,
            absolute=_number(result.absolute[0][row, i]),
            absolute_low=_number(result.absolute[1][row, i]),
            absolute_high=_number(result.absolute[2][row, i]),
            relative=_number(result.relative[0][row, i]),
            relative_low=_number(result.relative[1][row, i]),
            relative_high=_number(result.relative[2][row, i]),
            p=_number(result.p[row, i]),
            p_adjusted=_number(result.p_adjusted[row, i]),
        )
        for i, name in enumerate(names[1:])
    }
    tied = tuple(name for name, is_tied in zip(names, result.tied[row], strict=True) if is_tied)
    p_best = float(result.best_p[row])
    p_ratio = float(result.sample_ratio_p[row])
    return Comparison(
        control=names[0],
        alpha=alpha,
        look=looks.look,
        looks=looks.looks,
        direction=direction,
        sample_ratio=SampleRatio(p_ratio, p_ratio >= threshold),
        arms=tuple(estimates[name] for name in order),
        lifts=tuple(lifts[name] for name in order if name != names[0]),
        best=Best(names[result.best[row]], p_best < alpha and len(tied) == 1, p_best),
        tied=tied if len(tied) > 1 else (),
        dispersed=tuple(name for name, alone in zip(names, result.dispersed[row], strict=True) if alone),
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def dispersion_of(table: ArmTable, outcome: Outcome, pooled: Array) -> tuple[Array, NDArray[np.bool_]]:
    """phi, and whether it is the arm's own: ``(groups, arms)``."""
    if outcome is Outcome.BINARY:  # binomial variance relative to the mean
        return np.broadcast_to(np.maximum(1 - pooled, 1e-12), table.y.shape), np.zeros(table.y.shape, dtype=np.bool_)
    return rates.dispersions(table.y, table.x, table.yy, table.xy, table.xx, table.units)


def _shared(table: ArmTable, outcome: Outcome, phi: Array, variance: Array) -> Array:
    """The square roots of what each contrast's variance shares with the others', ``(groups, arms - 1)``."""
    spread = variance if outcome is Outcome.VALUE else phi / table.x
    return shared_variance(spread[:, :1], spread[:, 1:])


def _marginal(table: ArmTable, outcome: Outcome, phi: Array, variance: Array) -> tuple[Array, Array]:
    z = float(z_of_two_sided(np.array(MARGINAL)))
    if outcome is Outcome.BINARY:
        return proportions.wilson(table.y, table.x, z)
    if outcome is Outcome.COUNT:
        return rates.rate_interval(table.y, table.x, phi, z)
    half = z * np.sqrt(variance)
    return table.y / table.x - half, table.y / table.x + half


def deciding_z(table: ArmTable, outcome: Outcome, phi: Array, variance: Array, arm: Columns, against: Columns) -> Array:
    """The signed z that decides, of arms against others, its variance's degrees of freedom allowed for.

    ``arm`` and ``against`` index the arm axis.
    """
    y1, x1, y0, x0 = table.y[:, arm], table.x[:, arm], table.y[:, against], table.x[:, against]
    if outcome is Outcome.VALUE:
        spread = np.sqrt(variance[:, arm] + variance[:, against])
        gap = y1 / x1 - y0 / x0
        z = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
        return normal_of(z, _freedom(table, outcome, variance, arm, against))
    if outcome is Outcome.COUNT:
        z = rates.signed_z(y1, x1, phi[:, arm], y0, x0, phi[:, against])
        return normal_of(z, _freedom(table, outcome, variance, arm, against))
    share = (y1 + y0) / (x1 + x0)
    rare = share <= 0.5
    phi_of_rarer = np.maximum(np.where(rare, 1 - share, share), 1e-12)
    few1, few0 = np.where(rare, y1, x1 - y1), np.where(rare, y0, x0 - y0)
    few = np.where(rare, 1, -1) * rates.signed_z(few1, x1, phi_of_rarer, few0, x0, phi_of_rarer)
    many = proportions.smallest_expected(y1, x1, y0, x0) >= ASYMPTOTIC
    return np.where(many, proportions.score_z(y1, x1, y0, x0), few)


def _freedom(
    table: ArmTable,
    outcome: Outcome,
    variance: Array,
    arm: Columns = slice(1, None),
    against: Columns = slice(0, 1),
) -> Array:
    """Degrees of freedom of each contrast's variance: all units' where it is pooled, Welch's where it is not.

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
    return np.where(np.minimum(few, fewer) < 1, 0.0, np.where(np.isfinite(freedom), freedom, few + fewer))


def _reported_z(
    table: ArmTable, outcome: Outcome, phi: Array, variance: Array, arm: Columns, against: Columns
) -> Array:
    """The signed z of the p-value that is shown: for 0/1 outcomes Pearson's test or, at small counts, Fisher's."""
    if outcome is Outcome.BINARY:
        return proportions.difference_test(table.y[:, arm], table.x[:, arm], table.y[:, against], table.x[:, against])
    return deciding_z(table, outcome, phi, variance, arm, against)


def _adjust(equivalent: Array, shared: Array, alpha: float, correction: Correction) -> tuple[Array, Array]:
    """Adjusted p-values, and the single-look critical value each contrast's interval uses."""
    single = two_sided(equivalent)
    if correction is Correction.NONE:
        return single, np.full(equivalent.shape, float(z_of_two_sided(np.array(alpha))))
    if correction is Correction.DUNNETT:
        adjusted = joint_tail(equivalent, shared[:, None, :])
        critical = critical_value(alpha, shared)
        return adjusted, np.repeat(critical[:, None], equivalent.shape[1], axis=1)
    adjusted = holm(single)
    # Holm tests each p at its own level, alpha p / p_adjusted: the interval of that level agrees with the test.
    level = alpha * np.divide(single, adjusted, out=np.full_like(single, 1 / single.shape[1]), where=adjusted > 0)
    return adjusted, z_of_two_sided(np.clip(level, 1e-300, 1.0))


def _absolute_interval(
    table: ArmTable,
    outcome: Outcome,
    phi: Array,
    variance: Array,
    deciding: Array,
    bound: Array,
    crossed: NDArray[np.bool_],
) -> tuple[Array, Array, Array]:
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


def _relative_interval(
    table: ArmTable,
    outcome: Outcome,
    phi: Array,
    variance: Array,
    deciding: Array,
    bound: Array,
    crossed: NDArray[np.bool_],
) -> tuple[Array, Array, Array]:
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


def _best_against_all(table: ArmTable, outcome: Outcome, phi: Array, variance: Array, best: NDArray[np.intp]) -> Array:
    """The largest Holm-adjusted p, over all pairs, among the pairs that contain the best arm."""
    count = table.y.shape[1]
    left, right = np.triu_indices(count, 1)
    p = holm(two_sided(_reported_z(table, outcome, phi, variance, left, right)))
    concerned = (left[None, :] == best[:, None]) | (right[None, :] == best[:, None])
    return np.asarray(np.where(concerned, p, 0.0).max(axis=1))


def compare_groups(
    groups: Sequence[tuple[str, Mapping[str, PairMoments]]],
    *,
    split: Mapping[str, float] | None,
    alpha: float,
    correction: Correction,
    looks: Looks,
    prior: RatePrior = JEFFREYS,
) -> list[Comparison]:
    """Many comparisons (control, arms) at once, in order: those with equally many arms share one pass."""
    prepared = []
    for control, arms in groups:
        names = (control, *(arm for arm in arms if arm != control))
        moments = tuple(arms[name] for name in names)
        prepared.append((names, moments, tuple(arms), outcome_of(moments)))
    batches: dict[tuple[int, Outcome], list[int]] = {}
    for index, (names, _, _, outcome) in enumerate(prepared):
        batches.setdefault((len(names), outcome), []).append(index)
    results: dict[int, Comparison] = {}
    for (_, outcome), members in batches.items():
        shares = [[(split or {}).get(name, 1.0) for name in prepared[index][0]] for index in members]
        table = arm_table([prepared[index][1] for index in members], shares)
        result = compare_table(
            table, outcome=outcome, alpha=alpha, correction=correction, looks=looks, direction=Direction.INCREASE,
            prior=prior,
        )  # fmt: skip
        for row, index in enumerate(members):
            names, moments, order, _ = prepared[index]
            results[index] = as_comparison(
                result, row, names, moments, order, alpha, looks, Direction.INCREASE, THRESHOLD
            )
    return [results[index] for index in range(len(groups))]


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
