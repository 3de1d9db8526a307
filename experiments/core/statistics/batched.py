"""The comparison of arms whose shares of the traffic changed: as `comparison`, read by `adaptive` batch by batch.

Where shares differ from batch to batch and the base rate does too, pooled rates compare an arm's good weeks with
another's bad ones (Simpson's paradox). So the lifts are those within batches, combined; and who is probably best is
read from these lifts, not from the pooled rates, which stand beside them as what was counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from experiments.core.plan import Direction
from experiments.core.statistics.adaptive import Contrast, read_batches
from experiments.core.statistics.comparison import ArmEstimate, Best, Comparison, Lift, compare
from experiments.core.statistics.dunnett import holm
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.posterior import best_of_means
from experiments.core.statistics.readings import Ending, StoppedLift, stopped_lift
from experiments.core.statistics.sample_ratio import THRESHOLD, SampleRatio
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.tables import Outcome, outcome_of

Array = NDArray[np.float64]

_SMALLEST_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class Dealt:
    """One batch: the shares that units were dealt by, how long it is, and what its units brought."""

    shares: Mapping[str, float]
    lasts: timedelta
    pairs: Mapping[str, PairMoments]


def pooled(batches: Sequence[Dealt]) -> dict[str, PairMoments]:
    """By arm, over all batches."""
    return {arm: reduce(add, (batch.pairs[arm] for batch in batches)) for arm in batches[0].pairs}


def compare_batches(
    batches: Sequence[Dealt],
    *,
    control: str,
    alpha: float = 0.05,
    looks: Looks | None = None,
    direction: Direction = Direction.INCREASE,
    threshold: float = THRESHOLD,
) -> Comparison:
    """All arms against ``control``.

    Args:
        batches: in order, each with every arm; one counts by how long it was planned to be, not by what came.
        control: which arm.
        alpha: two-sided, over all arms and looks.
        looks: the schedule, in planned time.
        direction: which way is better.
        threshold: the sample ratio's.

    Raises:
        ExperimentError: as `comparison.compare`.
    """
    looks, pairs = looks or Looks.even(), pooled(batches)
    plain = compare(pairs, control=control, alpha=alpha, looks=looks, direction=direction, threshold=threshold)
    contrasts = {each.arm: each for each in _read(batches, control, alpha, looks)}
    values = outcome_of(list(pairs.values())) is Outcome.VALUE
    base = pairs[control].y / pairs[control].x
    lifts = tuple(_lift(lift, contrasts[lift.arm], base, values=values) for lift in plain.lifts)
    gains = {lift.arm: lift.absolute or 0.0 for lift in lifts} | {control: 0.0}
    sign = 1 if direction is Direction.INCREASE else -1
    top = max(sign * gain for gain in gains.values())
    first = [arm for arm in pairs if sign * gains[arm] == top]
    p_best = _against_all(batches, first[0], list(pairs))
    return replace(
        plain,
        lifts=lifts,
        arms=_estimates(plain.arms, contrasts, control, base, values=values, direction=direction),
        best=Best(first[0], p_best < alpha and len(first) == 1, p_best),
        tied=tuple(first) if len(first) > 1 else (),
        sample_ratio=sample_ratio_of(
            [({arm: pair.units for arm, pair in batch.pairs.items()}, batch.shares) for batch in batches], threshold
        ),
    )


def stopped_batches(
    batches: Sequence[Dealt], *, control: str, looks: Looks, alpha: float = 0.05, ending: Ending | None = None
) -> tuple[StoppedLift, ...]:
    """As `readings.after_stopping`; values of which the control has none to be relative to have no estimate."""
    pairs = pooled(batches)
    values = outcome_of(list(pairs.values())) is Outcome.VALUE
    base = pairs[control].y / pairs[control].x
    read = {}
    for each in _read(batches, control, alpha, looks):
        estimate, error = each.lift, each.standard_error
        if values and estimate is not None and error is not None:
            estimate, error = (estimate / base, error / (base + estimate)) if base > 0 else (None, None)
        known = estimate is not None and estimate > -1 and error is not None and error > 0
        log_ratio = float(np.log1p(estimate)) if estimate is not None and known else None
        bounds = (ending or Ending()).bounds(each.critical, looks, len(pairs) - 1)
        read[each.arm] = stopped_lift(each.arm, log_ratio, error if known else None, looks, bounds)
    return tuple(read[arm] for arm in pairs if arm != control)


def sample_ratio_of(
    batches: Sequence[tuple[Mapping[str, int], Mapping[str, float]]], threshold: float = THRESHOLD
) -> SampleRatio:
    """Did units arrive in the shares they were dealt by, in every batch? Chi-squares add; tiny batches say nothing."""
    total, freedom = 0.0, 0
    for units, shares in batches:
        arms = [arm for arm, share in shares.items() if share > 0]
        observed = np.array([float(units.get(arm, 0)) for arm in arms])
        share = np.array([shares[arm] for arm in arms])
        expected = observed.sum() * share / share.sum()
        if len(arms) > 1 and expected.min() >= _SMALLEST_EXPECTED:
            total += float((np.square(observed - expected) / expected).sum())
            freedom += len(arms) - 1
    p = float(chdtrc(freedom, total)) if freedom else 1.0
    return SampleRatio(p, p >= threshold)


def _read(batches: Sequence[Dealt], control: str, alpha: float, looks: Looks | None) -> tuple[Contrast, ...]:
    return read_batches(
        [batch.pairs for batch in batches],
        control=control,
        planned=[batch.lasts.total_seconds() for batch in batches],
        alpha=alpha,
        looks=looks,
    )


def _lift(plain: Lift, found: Contrast, base: float, *, values: bool) -> Lift:
    """``base`` is the control's pooled rate: what is relative becomes absolute, and the other way round, by it."""

    def scaled(factor: float) -> tuple[float | None, float | None, float | None]:
        low, high = (None if end is None else end * factor for end in (found.low, found.high))
        return (None if found.lift is None else found.lift * factor), low, high

    nothing = (None, None, None)
    if values:
        absolute, relative = scaled(1.0), scaled(1 / abs(base)) if base else nothing
    elif base > 0:
        absolute, relative = scaled(base), scaled(1.0)
    else:  # a control without a click: only what the arm has is known
        absolute, relative = (plain.absolute, None, None), nothing
    return Lift(plain.arm, *absolute, *relative, found.p, found.p_adjusted)


def _estimates(
    plain: Sequence[ArmEstimate],
    contrasts: Mapping[str, Contrast],
    control: str,
    base: float,
    *,
    values: bool,
    direction: Direction,
) -> tuple[ArmEstimate, ...]:
    """Counted rates, and who is best by the combined lifts: normal, on the log for counts; None where those are not."""
    names = (control, *contrasts)
    lift = np.array([0.0, *(np.nan if each.lift is None else each.lift for each in contrasts.values())])
    error = np.array([0.0, *(each.standard_error or np.nan for each in contrasts.values())])
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = lift if values else np.log1p(lift)
    if not (np.isfinite(mean).all() and np.isfinite(error).all()):
        return tuple(replace(each, probability_best=None, expected_loss=None) for each in plain)
    # Every contrast has the control's variance in common, as far as the control is the smaller of the two.
    counted = {each.arm: each.denominator for each in plain}
    parts = [counted[arm] / (counted[arm] + counted[control]) for arm in contrasts]
    shared = (np.square(error[1:]) * parts).min()
    variance = np.array([shared, *(np.square(error[1:]) - shared)])
    probability, loss = best_of_means(mean[None], variance[None], higher_is_better=direction is Direction.INCREASE)
    cost = loss[0] if values else base * np.exp(mean) * np.expm1(loss[0])
    place = {name: i for i, name in enumerate(names)}
    return tuple(
        replace(
            each,
            probability_best=float(probability[0, place[each.arm]]),
            expected_loss=float(cost[place[each.arm]]),
        )
        for each in plain
    )


def _against_all(batches: Sequence[Dealt], best: str, arms: Sequence[str]) -> float:
    """The largest Holm-adjusted p, over all pairs, among the pairs that contain the best arm."""
    pairs, p = [], []
    for number, arm in enumerate(arms[:-1]):
        some = [
            Dealt(batch.shares, batch.lasts, {name: batch.pairs[name] for name in arms[number:]}) for batch in batches
        ]
        for each in _read(some, arm, 0.05, None):
            pairs.append((arm, each.arm))
            p.append(each.p)
    adjusted = holm(np.array([p]))[0]
    return float(max(value for pair, value in zip(pairs, adjusted, strict=True) if best in pair))
