"""One look of a scheduled experiment: gates, comparison, guardrails, verdict, all by the sealed plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.core.errors import ExperimentError
from experiments.core.evidence import Evidence
from experiments.core.plan import Direction, Metric, Plan, Role
from experiments.core.statistics.comparison import Comparison, Lift, compare
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.sequential import Looks
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
    """By metric, uncorrected for each other; they decide nothing."""
    verdict: Verdict


def judge_look(
    plan: Plan, plan_hash: str, evidence: Evidence, look: int, information_history: Sequence[float] = ()
) -> Judgement:
    """Judge look 1, 2, ... of ``plan``.

    Alpha is spent by the plan's calendar (look k of K spends what falls due at k/K), the correlation between looks
    comes from the information that was there: the primary metric's denominators, which grow as units do.

    Raises:
        WrongPlanHash: where ``plan`` is not what ``plan_hash`` sealed.
    """
    if plan.seal() != plan_hash:
        raise WrongPlanHash(f"{plan.experiment}: the plan is not the one sealed as {plan_hash[:12]}; nothing is judged")
    metric = plan.primary
    pairs = _pairs(evidence, plan, metric)
    empty = [arm for arm, pair in pairs.items() if pair.x <= 0]
    information = _information(pairs, metric)
    if empty:
        verdict = _without_comparison(plan, look, empty)
        return Judgement(look, information, None, (), {}, verdict)
    looks = _looks(plan, look, (*information_history, information))
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
        failed=_failed_gates(plan, evidence),
        waiting=_waiting_gates(plan, evidence),
        harmed={
            arm: Reason("guardrail_harmed", {"metric": reading.metric, "arm": arm})
            for reading in guardrails
            for arm, state in reading.states.items()
            if state == "harmed"
        },
    )
    return Judgement(look, information, comparison, guardrails, secondary, verdict)


def _pairs(evidence: Evidence, plan: Plan, metric: Metric) -> dict[str, PairMoments]:
    return {arm.name: evidence.arms[arm.name].pair(metric.numerator, metric.denominator) for arm in plan.arms}


def _information(pairs: Mapping[str, PairMoments], metric: Metric) -> float:
    """What the variance of a rate falls with: its numerator's count (for money, its units), over all arms."""
    money = metric.numerator == "value_micros"
    return float(sum(pair.units if money else pair.y for pair in pairs.values()))


def _looks(plan: Plan, look: int, information: tuple[float, ...]) -> Looks:
    """Information relative to what the plan's last look may be expected to have; it only matters in proportion."""
    calendar = tuple(number / plan.looks.count for number in range(1, look + 1))
    grown: list[float] = []
    for amount in information:  # a look at which nothing came adds nothing; the recursion needs a step, however small
        grown.append(max(amount, grown[-1] * (1 + 1e-6) if grown else 1e-6))
    scale = calendar[-1] / grown[-1]
    return Looks(look, plan.looks.count, tuple(amount * scale for amount in grown), calendar)


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


def _failed_gates(plan: Plan, evidence: Evidence) -> list[Reason]:
    gates, health, failed = plan.gates, evidence.health, []
    seen = sum(moments.units for moments in evidence.arms.values()) + health.crossover_units
    share = health.crossover_units / seen if seen else 0.0
    if share > gates.crossover_share:
        failed.append(Reason("crossover", {"share": share, "threshold": gates.crossover_share}))
    if health.days_expected and health.days_covered / health.days_expected < gates.coverage:
        said: dict[str, Any] = {"covered": health.days_covered, "expected": health.days_expected}
        failed.append(Reason("coverage", said | {"threshold": gates.coverage}))
    return failed


def _waiting_gates(plan: Plan, evidence: Evidence) -> list[Reason]:
    fewest = min(plan.arms, key=lambda arm: evidence.arms[arm.name].units).name
    units = evidence.arms[fewest].units
    if units >= plan.gates.minimum_units:
        return []
    return [Reason("wait_minimum_units", {"arm": fewest, "units": units, "needed": plan.gates.minimum_units})]


def _without_comparison(plan: Plan, look: int, empty: Sequence[str]) -> Verdict:
    reasons = [Reason("no_denominator", {"arm": arm}) for arm in empty]
    if look < plan.looks.count:
        wait = Reason("wait_next_look", {"look": look, "looks": plan.looks.count})
        return Verdict(Kind.KEEP_RUNNING, None, (*reasons, wait))
    return invalid(*reasons)
