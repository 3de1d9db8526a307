"""One look of a scheduled experiment: gates, comparison, guardrails, verdict, all by the sealed plan."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.core.errors import ExperimentError
from experiments.core.evidence import Evidence
from experiments.core.gates import failed_gates, waiting_gates
from experiments.core.plan import Direction, Metric, Plan, Role
from experiments.core.statistics.batched import Dealt, compare_batches, stopped_batches
from experiments.core.statistics.comparison import Comparison, Lift, compare
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.multiplicity import adjust
from experiments.core.statistics.readings import Ending, StoppedLift, after_stopping, futile_arms
from experiments.core.statistics.segments import BadSegments, SegmentReading, read_segments
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.spending import Spending
from experiments.core.statistics.tables import information
from experiments.core.verdict import Kind, Reason, Verdict, invalid, judge


class WrongPlanHash(ExperimentError):
    """The plan is not the one that was sealed."""


@dataclass(frozen=True, slots=True)
class GuardrailReading:
    """A guardrail metric at one look: each arm ``held``, ``harmed`` or ``unknown``."""

    metric: str
    comparison: Comparison | None
    states: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one look found. ``information`` is kept for the boundaries of later looks."""

    look: int
    information: float
    comparison: Comparison | None
    guardrails: tuple[GuardrailReading, ...]
    secondary: Mapping[str, Comparison]
    """By metric, uncorrected for each other (see ``secondary_p``); they decide nothing."""
    verdict: Verdict
    secondary_p: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By secondary metric and arm, corrected for how many they are."""
    segments: Mapping[str, SegmentReading] = field(default_factory=dict)
    """By segment column; they decide nothing."""
    estimates: tuple[StoppedLift, ...] = ()
    """What to expect of each arm, were the experiment to end here."""


def judge_look(
    plan: Plan,
    plan_hash: str,
    evidence: Evidence,
    look: int,
    information_history: Sequence[float] = (),
    held: Collection[int] = (),
) -> Judgement:
    """Judge look 1, 2, ... of ``plan``.

    Alpha is spent by the plan's calendar (look k of K spends what falls due at k/K), the correlation between looks
    comes from the information that was there: the primary metric's counts over their dispersion. Earlier looks that
    were ``held`` (`verdict.held`) could not end the experiment: that it went on is no sign of a smaller lift.

    Raises:
        WrongPlanHash: where ``plan`` is not what ``plan_hash`` sealed.
    """
    if plan.seal() != plan_hash:
        raise WrongPlanHash(f"{plan.experiment}: the plan is not the one sealed as {plan_hash[:12]}; nothing is judged")
    metric = plan.primary
    pairs = _pairs(evidence, plan, metric)
    empty = [arm for arm, pair in pairs.items() if pair.x <= 0]
    if empty:
        counted = float(sum(pair.y for pair in pairs.values()))
        return Judgement(look, counted, None, (), {}, _without_comparison(plan, evidence, look, empty))
    told = information(list(pairs.values()))
    looks = _looks_by_time(plan, look, evidence) if evidence.moved else _looks(plan, look, (*information_history, told))
    comparison = compare_evidence(plan, metric, evidence, looks)
    guardrails = tuple(_guardrail(plan, each, evidence, looks) for each in plan.metrics if each.role is Role.GUARDRAIL)
    secondary = {
        each.name: compare_evidence(plan, each, evidence, Looks.even())
        for each in plan.metrics
        if each.role is Role.SECONDARY and all(pair.x > 0 for pair in _pairs(evidence, plan, each).values())
    }
    harmed = {
        arm: Reason("guardrail_harmed", {"metric": reading.metric, "arm": arm})
        for reading in guardrails
        for arm, state in reading.states.items()
        if state == "harmed"
    }
    verdict = judge(
        comparison,
        sample_ratio_threshold=plan.gates.sample_ratio_p,
        failed=failed_gates(plan, evidence),
        waiting=waiting_gates(plan, evidence, look),
        harmed=harmed,
        given_up=_given_up(plan, comparison, pairs, looks, harmed, moved=evidence.moved),
    )
    return Judgement(
        look, told, comparison, guardrails, secondary, verdict,
        secondary_p=_secondary_p(plan, secondary),
        segments=_segments(plan, evidence),
        estimates=_estimates(plan, evidence, pairs, looks, held),
    )  # fmt: skip


def _estimates(
    plan: Plan, evidence: Evidence, pairs: Mapping[str, PairMoments], looks: Looks, held: Collection[int]
) -> tuple[StoppedLift, ...]:
    """What to expect of each arm: earlier looks did not end the experiment, of those that could have."""
    ending = Ending(plan.primary.direction, plan.stopping.harm, held)
    if evidence.moved:
        dealt = _dealt(evidence, plan.primary)
        return stopped_batches(dealt, control=plan.control, looks=looks, alpha=plan.alpha, ending=ending)
    return after_stopping(pairs, control=plan.control, looks=looks, alpha=plan.alpha, ending=ending)


def _given_up(
    plan: Plan,
    comparison: Comparison,
    pairs: Mapping[str, PairMoments],
    looks: Looks,
    harmed: Mapping[str, Reason],
    *,
    moved: bool,
) -> dict[str, Reason]:
    """Arms that the plan's stopping rules do not wait for, with the reason: worse, harmful, or futile.

    Where traffic follows the evidence futility is not asked: an arm without prospects is hardly shown any more.
    """
    rules, given_up = plan.stopping, dict[str, Reason]()
    if rules.futility_lift is not None and not moved:
        arms = futile_arms(
            pairs, control=plan.control, looks=looks, lift=rules.futility_lift, power=rules.power, alpha=plan.alpha,
            direction=comparison.direction,
        )  # fmt: skip
        given_up |= {arm: Reason("arm_futile", {"arm": arm, "lift": rules.futility_lift}) for arm in arms}
    if rules.harm:
        given_up |= harmed
        for lift in comparison.lifts:
            worse = lift.absolute is not None and (lift.absolute < 0) is (comparison.direction is Direction.INCREASE)
            if worse and lift.absolute and lift.p_adjusted is not None and lift.p_adjusted <= comparison.alpha:
                given_up[lift.arm] = Reason("arm_worse", {"arm": lift.arm, "p_adjusted": lift.p_adjusted})
    return given_up


def _secondary_p(plan: Plan, secondary: Mapping[str, Comparison]) -> dict[str, dict[str, float]]:
    """p-values of all secondary metrics and arms, corrected for their number as the plan says."""
    asked = [(name, lift.arm, lift.p) for name, each in secondary.items() for lift in each.lifts if lift.p is not None]
    corrected: dict[str, dict[str, float]] = {name: {} for name in secondary}
    if asked:
        adjusted = adjust(np.array([p for _, _, p in asked]), plan.multiplicity)
        for (name, arm, _), p in zip(asked, adjusted, strict=True):
            corrected[name][arm] = float(p)
    return corrected


def _segments(plan: Plan, evidence: Evidence) -> dict[str, SegmentReading]:
    """The primary metric by each of the plan's segment columns, where enough segments have every arm.

    Not where shares moved: a segment's pooled rates then compare different times.
    """
    if evidence.moved:
        return {}
    metric, readings = plan.primary, {}
    for column in plan.segments:
        table: dict[str, dict[str, PairMoments]] = {}
        for each in evidence.segments:
            if each.column == column and each.arm in plan.weights:
                moments = each.mature if metric.matures else each.moments
                arms = table.setdefault(each.segment, {arm: PairMoments() for arm in plan.weights})
                arms[each.arm] = moments.pair(metric.numerator, metric.denominator)
        try:
            readings[column] = read_segments(table, control=plan.control)
        except BadSegments:
            continue  # one segment, or hardly anyone: nothing to hold against each other
    return readings


def _pairs(evidence: Evidence, plan: Plan, metric: Metric) -> dict[str, PairMoments]:
    return {arm.name: evidence.pair(arm.name, metric) for arm in plan.arms}


def _looks(plan: Plan, look: int, information: tuple[float, ...]) -> Looks:
    """Information relative to what the plan's last look may be expected to have; it only matters in proportion."""
    calendar = tuple(number / plan.looks.count for number in range(1, look + 1))
    grown: list[float] = []
    for amount in information:  # a look at which nothing came adds nothing; the recursion needs a step, however small
        grown.append(max(amount, grown[-1] * (1 + 1e-6) if grown else 1e-6))
    scale = calendar[-1] / grown[-1]
    family = Spending.parse(plan.looks.spending)
    return Looks(look, plan.looks.count, tuple(amount * scale for amount in grown), calendar, family)


def _looks_by_time(plan: Plan, look: int, evidence: Evidence) -> Looks:
    """Batches count by how long they were planned to be: that is known before a unit comes, unlike what it will tell.

    A pause counts nothing; alpha is spent by the calendar nevertheless.
    """
    ends = [plan.look_time(number) for number in range(1, look + 1)]
    grown = tuple(
        sum((batch.until - batch.since).total_seconds() for batch in evidence.dealt if batch.until <= end)
        for end in ends
    )
    return _looks(plan, look, grown)


def _dealt(evidence: Evidence, metric: Metric) -> tuple[Dealt, ...]:
    return tuple(
        Dealt(batch.shares, batch.until - batch.since, {arm: batch.pair(arm, metric) for arm in batch.shares})
        for batch in evidence.dealt
    )


def compare_evidence(plan: Plan, metric: Metric, evidence: Evidence, looks: Looks) -> Comparison:
    """One metric of all arms, batch by batch where the shares moved; every arm has a denominator."""
    if evidence.moved:
        return compare_batches(
            _dealt(evidence, metric),
            control=plan.control,
            alpha=plan.alpha,
            looks=looks,
            direction=metric.direction,
            threshold=plan.gates.sample_ratio_p,
        )
    return compare(
        _pairs(evidence, plan, metric),
        control=plan.control,
        alpha=plan.alpha,
        looks=looks,
        split=plan.weights,
        direction=metric.direction,
        threshold=plan.gates.sample_ratio_p,
    )


def _guardrail(plan: Plan, metric: Metric, evidence: Evidence, looks: Looks) -> GuardrailReading:
    """Harmed: the interval lies wholly beyond the margin. Held: wholly inside it. Unknown: neither yet."""
    pairs = _pairs(evidence, plan, metric)
    if any(pair.x <= 0 for pair in pairs.values()):
        return GuardrailReading(metric.name, None, dict.fromkeys((a for a in pairs if a != plan.control), "unknown"))
    comparison = compare_evidence(plan, metric, evidence, looks)
    return GuardrailReading(metric.name, comparison, {lift.arm: _state(lift, metric) for lift in comparison.lifts})


def _state(lift: Lift, metric: Metric) -> str:
    margin = metric.margin or 0.0
    if metric.direction is Direction.INCREASE:
        best, worst = lift.relative_high, lift.relative_low
        if best is not None and best < -margin:
            return "harmed"
        return "held" if worst is not None and worst > -margin else "unknown"
    best, worst = lift.relative_low, lift.relative_high
    if best is not None and best > margin:
        return "harmed"
    return "held" if worst is not None and worst < margin else "unknown"


def _without_comparison(plan: Plan, evidence: Evidence, look: int, empty: Sequence[str]) -> Verdict:
    """Where logs are missing, arms are empty for that, and not because their time is still to come."""
    failed, reasons = failed_gates(plan, evidence), [Reason("no_denominator", {"arm": arm}) for arm in empty]
    if failed:
        return invalid(*failed, *reasons)
    if look < plan.looks.count:
        wait = Reason("wait_next_look", {"look": look, "looks": plan.looks.count})
        return Verdict(Kind.KEEP_RUNNING, None, (*reasons, wait))
    return invalid(*reasons)
