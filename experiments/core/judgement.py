"""One look of a scheduled experiment: gates, comparison, guardrails, verdict, all by the sealed plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.core.errors import ExperimentError
from experiments.core.evidence import Evidence
from experiments.core.gates import failed_gates, waiting_gates
from experiments.core.plan import Direction, Metric, Plan, Role
from experiments.core.statistics.comparison import Comparison, Lift, compare, information
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.multiplicity import adjust
from experiments.core.statistics.readings import StoppedLift, after_stopping
from experiments.core.statistics.segments import BadSegments, SegmentReading, read_segments
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.spending import Spending
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
    plan: Plan, plan_hash: str, evidence: Evidence, look: int, information_history: Sequence[float] = ()
) -> Judgement:
    """Judge look 1, 2, ... of ``plan``.

    Alpha is spent by the plan's calendar (look k of K spends what falls due at k/K), the correlation between looks
    comes from the information that was there: the primary metric's counts over their dispersion.

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
        return Judgement(look, counted, None, (), {}, _without_comparison(plan, look, empty))
    told = information(list(pairs.values()))
    looks = _looks(plan, look, (*information_history, told))
    comparison = _compare(plan, metric, pairs, looks)
    guardrails = tuple(_guardrail(plan, each, evidence, looks) for each in plan.metrics if each.role is Role.GUARDRAIL)
    secondary = {
        each.name: _compare(plan, each, found, Looks.even())
        for each in plan.metrics
        if each.role is Role.SECONDARY
        for found in (_pairs(evidence, plan, each),)
        if all(pair.x > 0 for pair in found.values())
    }
    verdict = judge(
        comparison,
        sample_ratio_threshold=plan.gates.sample_ratio_p,
        failed=failed_gates(plan, evidence),
        waiting=waiting_gates(plan, evidence, look),
        harmed={
            arm: Reason("guardrail_harmed", {"metric": reading.metric, "arm": arm})
            for reading in guardrails
            for arm, state in reading.states.items()
            if state == "harmed"
        },
    )
    return Judgement(
        look, told, comparison, guardrails, secondary, verdict,
        secondary_p=_secondary_p(plan, secondary),
        segments=_segments(plan, evidence),
        estimates=after_stopping(pairs, control=plan.control, looks=looks, alpha=plan.alpha),
    )  # fmt: skip


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
    """The primary metric by each of the plan's segment columns, where enough segments have every arm."""
    metric, readings = plan.primary, {}
    for column in plan.segments:
        table: dict[str, dict[str, PairMoments]] = {}
        for each in evidence.segments:
            if each.column == column and each.arm in plan.weights:
                moments = each.mature if metric.matures else each.moments
                table.setdefault(each.segment, {})[each.arm] = moments.pair(metric.numerator, metric.denominator)
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


def _compare(plan: Plan, metric: Metric, pairs: Mapping[str, PairMoments], looks: Looks) -> Comparison:
    return compare(
        pairs,
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
    comparison = _compare(plan, metric, pairs, looks)
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


def _without_comparison(plan: Plan, look: int, empty: Sequence[str]) -> Verdict:
    reasons = [Reason("no_denominator", {"arm": arm}) for arm in empty]
    if look < plan.looks.count:
        wait = Reason("wait_next_look", {"look": look, "looks": plan.looks.count})
        return Verdict(Kind.KEEP_RUNNING, None, (*reasons, wait))
    return invalid(*reasons)
