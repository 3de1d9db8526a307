"""Compare arms with their control: rates, lifts, intervals and p-values that account for arms and looks together.

Everything is computed on tables of ``(groups, arms)``, so thousands of experiments cost one pass. Every contrast has a
signed z that decides (`deciding`); arms and looks are accounted for by what it takes for the largest |z| of all
contrasts at all looks to be as large (`dunnett`, `sequential`). Each interval is moved by the same z (`intervals`): it
excludes 0 exactly where the adjusted p-value is at most alpha, and no adjusted p-value is below the one that is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError
from experiments.core.plan import Direction
from experiments.core.statistics.adjustment import FEWEST, HistoryMoments, adjust_arms
from experiments.core.statistics.deciding import deciding_z, freedom_of, reported_z, shared_of
from experiments.core.statistics.dunnett import (
    critical_value,
    holm,
    joint_tail,
    two_sided,
    z_of_two_sided,
)
from experiments.core.statistics.intervals import (
    MARGINAL,
    absolute_interval,
    marginal_interval,
    relative_interval,
    told_ends,
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
from experiments.core.statistics.student import t_of
from experiments.core.statistics.tables import ArmTable, Outcome, arm_table, dispersion_of, outcome_of

Array = NDArray[np.float64]


class Correction(StrEnum):
    """How the contrasts of one comparison are corrected for each other."""

    DUNNETT = "dunnett"
    """Jointly: the exact distribution of the largest of them."""
    HOLM = "holm"
    """Step-down Bonferroni: needs no joint distribution."""
    NONE = "none"
    """Not at all: for one planned contrast."""


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
    low, high = marginal_interval(table, outcome, phi, variance)
    arms, control = slice(1, None), slice(0, 1)
    shared = shared_of(table, outcome, phi, variance)
    deciding, freedom = deciding_z(table, outcome, phi, variance, arms, control), freedom_of(table, outcome, variance)
    p = two_sided(reported_z(table, outcome, phi, variance, arms, control))
    adjusted, critical = _adjust(single_look_equivalent(deciding, looks), shared, alpha, correction)
    adjusted = np.maximum(adjusted, p)
    bound = boundary(critical, looks)
    told = np.broadcast_to(freedom >= 1, bound.shape)  # of one unit, or units all alike, a variance says nothing
    wide = np.where(told, t_of(bound, freedom), 1.0)
    far = np.copysign(np.where(told, t_of(np.abs(deciding), freedom), 0.0), deciding)
    absolute = told_ends(told, absolute_interval(table, outcome, phi, variance, far, wide, adjusted <= alpha))
    relative = told_ends(told, relative_interval(table, outcome, phi, variance, far, wide, adjusted <= alpha))
    order = rate if better else -rate
    best = np.argmax(order, axis=1)
    return TableResult(
        rate, low, high, probability, loss, credible, absolute, relative, p, adjusted,
        sample_ratio_p(table.units, table.shares), best, _best_against_all(table, outcome, phi, variance, best),
        order == order.max(axis=1, keepdims=True), dispersed,
    )  # fmt: skip


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


def _best_against_all(table: ArmTable, outcome: Outcome, phi: Array, variance: Array, best: NDArray[np.intp]) -> Array:
    """The largest Holm-adjusted p, over all pairs, among the pairs that contain the best arm."""
    count = table.y.shape[1]
    left, right = np.triu_indices(count, 1)
    p = holm(two_sided(reported_z(table, outcome, phi, variance, left, right)))
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
