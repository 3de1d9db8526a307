from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from experiments.core.evidence import Evidence, Health, SegmentMoments
from experiments.core.judgement import WrongPlanHash, judge_look
from experiments.core.metrics import metric_named
from experiments.core.plan import CTR, Arm, Looks, Plan, Role
from experiments.core.statistics.moments import UnitMoments
from experiments.core.statistics.multiplicity import Multiplicity, adjust
from experiments.core.verdict import Kind

START = datetime(2026, 11, 2, tzinfo=UTC)
GUARDRAIL = replace(metric_named("conversion-rate"), role=Role.GUARDRAIL, margin=0.1)
PLAN = Plan("spring", "salt", "original", (Arm("original", "original"), Arm("ink", "ink#1")), START, looks=Looks(2, 7))


def arm(units, clicks, conversions=0):
    """Units that saw one impression each, clicked and bought at most once, and bought only after a click."""
    both = min(clicks, conversions)
    return UnitMoments(
        units,
        (units, clicks, conversions, 0),
        (units, clicks, conversions, 0, clicks, both, 0, conversions, 0, 0),
    )


def evidence(arms, **health):
    healthy = {
        "crossover_units": 0, "invalid_impressions": {}, "invalid_clicks": {}, "repeated_clicks": 0,
        "unmatched_clicks": 0, "days_expected": 7, "days_covered": 7, "last_event": START,
    }  # fmt: skip
    return Evidence("spring", START + timedelta(days=7), {"impressions": 1}, arms, (), Health(**(healthy | health)))


def judged(arms, look=1, plan=PLAN, history=(), **health):
    return judge_look(plan, plan.seal(), evidence(arms, **health), look, history)


def codes(judgement):
    return [reason.code for reason in judgement.verdict.reasons]


def test_another_plan_than_the_sealed_one_is_not_judged():
    with pytest.raises(WrongPlanHash):
        judge_look(replace(PLAN, alpha=0.2), PLAN.seal(), evidence({"original": arm(9, 1), "ink": arm(9, 1)}), 1)


def test_a_clear_winner_is_promoted_before_the_last_look():
    judgement = judged({"original": arm(8000, 200), "ink": arm(8000, 400)})
    assert (judgement.verdict.kind, judgement.verdict.arm) == (Kind.PROMOTE, "ink")
    assert judgement.information == pytest.approx(623.4, abs=0.05), "600 clicks of units that click at most once"


def test_what_convinces_at_the_last_look_does_not_at_the_first():
    arms = {"original": arm(8000, 200), "ink": arm(8000, 245)}
    assert judged(arms, look=1).verdict.kind is Kind.KEEP_RUNNING
    assert judged(arms, look=2, history=(220,)).verdict.kind is Kind.PROMOTE


def test_an_arm_without_impressions_waits_and_is_invalid_at_the_end():
    arms = {"original": arm(500, 10), "ink": UnitMoments()}
    assert judged(arms, look=1).verdict.kind is Kind.KEEP_RUNNING
    last = judged(arms, look=2, history=(10,))
    assert last.verdict.kind is Kind.INVALID
    assert codes(last) == ["no_denominator"]


@pytest.mark.parametrize(
    ("health", "code"),
    [({"crossover_units": 400}, "crossover"), ({"days_covered": 5}, "coverage")],
)
def test_a_failed_gate_makes_the_look_invalid(health, code):
    judgement = judged({"original": arm(8000, 200), "ink": arm(8000, 400)}, **health)
    assert judgement.verdict.kind is Kind.INVALID
    assert codes(judgement) == [code]


def test_too_few_units_wait():
    judgement = judged({"original": arm(90, 1), "ink": arm(95, 40)})
    assert judgement.verdict.kind is Kind.KEEP_RUNNING
    assert codes(judgement)[0] == "wait_minimum_units"


@pytest.mark.parametrize(("bought", "state", "kind"), [(150, "harmed", Kind.NO_WINNER), (420, "held", Kind.PROMOTE)])
def test_a_winner_must_respect_its_guardrails(bought, state, kind):
    plan = replace(PLAN, metrics=(CTR, GUARDRAIL))
    arms = {"original": arm(20_000, 500, 400), "ink": arm(20_000, 900, bought)}
    judgement = judged(arms, look=2, plan=plan, history=(100,))
    assert judgement.guardrails[0].states == {"ink": state} or state == "held"
    assert judgement.verdict.kind is kind


def test_a_look_at_which_nothing_came_does_no_harm():
    arms = {"original": arm(8000, 200), "ink": arm(8000, 330)}
    assert judged(arms, look=2, history=(530,)).verdict.kind is Kind.PROMOTE


def test_secondary_metrics_are_read_and_decide_nothing():
    secondary = replace(metric_named("conversion-rate"), role=Role.SECONDARY)
    plan = replace(PLAN, metrics=(CTR, secondary))
    judgement = judged({"original": arm(8000, 200, 20), "ink": arm(8000, 203, 190)}, look=2, plan=plan, history=(90,))
    assert judgement.secondary["conversion-rate"].lifts[0].p < 1e-6
    assert judgement.verdict.kind is Kind.NO_WINNER


def test_secondary_metrics_are_corrected_for_their_number():
    names = ("conversion-rate", "clicks-per-unit", "conversions-per-click")
    secondary = tuple(replace(metric_named(name), role=Role.SECONDARY) for name in names)
    plan = replace(PLAN, metrics=(CTR, *secondary))
    judgement = judged({"original": arm(8000, 200, 90), "ink": arm(8000, 203, 130)}, plan=plan)
    alone = [judgement.secondary[name].lifts[0].p for name in names]
    together = [judgement.secondary_p[name]["ink"] for name in names]
    assert together == pytest.approx(adjust(np.array(alone), Multiplicity.HOLM))
    uncorrected = judged({"original": arm(8000, 200, 90), "ink": arm(8000, 203, 130)}, plan=replace(
        plan, multiplicity=Multiplicity.NONE
    ))  # fmt: skip
    assert [uncorrected.secondary_p[name]["ink"] for name in names] == pytest.approx(alone)


def test_the_plans_spending_decides_how_much_an_early_look_may_find():
    arms = {"original": arm(8000, 200), "ink": arm(8000, 250)}
    pocock = replace(PLAN, looks=Looks(2, 7, "pocock"))
    assert judged(arms).verdict.kind is Kind.KEEP_RUNNING
    assert judged(arms, plan=pocock).verdict.kind is Kind.PROMOTE


def test_segments_are_read_beside_the_verdict():
    plan = replace(PLAN, segments=("device",))
    arms = {"original": arm(8000, 200), "ink": arm(8000, 300)}
    parts = {"phone": {"original": arm(4000, 100), "ink": arm(4000, 220)}, "desktop": {
        "original": arm(4000, 100), "ink": arm(4000, 80)
    }}  # fmt: skip
    found = replace(
        evidence(arms),
        segments=tuple(
            SegmentMoments("device", device, name, units, UnitMoments())
            for device, each in parts.items()
            for name, units in each.items()
        ),
    )
    reading = judge_look(plan, plan.seal(), found, 1).segments["device"]
    assert reading.heterogeneity[0].p < 1e-6
    lifts = {each.segment: each.lift for each in reading.lifts}
    assert lifts["phone"] == pytest.approx(1.2)
    assert lifts["desktop"] == pytest.approx(-0.2)


def test_the_estimate_after_stopping_is_more_modest_than_what_was_seen():
    judgement = judged({"original": arm(8000, 200), "ink": arm(8000, 290)})
    (estimate,) = judgement.estimates
    assert judgement.verdict.kind is Kind.PROMOTE
    assert 0 < estimate.expected < estimate.median_unbiased < 0.45
    assert estimate.low < estimate.median_unbiased < estimate.high


def test_a_conversion_metric_is_judged_on_mature_units():
    plan = replace(PLAN, metrics=(metric_named("conversion-rate"),))
    young = {"original": arm(8000, 200, 150), "ink": arm(8000, 200, 150)}
    old = {"original": arm(5000, 200, 100), "ink": arm(5000, 200, 190)}
    judgement = judge_look(plan, plan.seal(), replace(evidence(young), mature=old), 1)
    assert judgement.verdict.kind is Kind.PROMOTE
    assert judgement.comparison.lifts[0].relative == pytest.approx(0.9)
