from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from experiments.core.evidence import Batch, Evidence, Health, SegmentMoments
from experiments.core.judgement import WrongPlanHash, judge_look
from experiments.core.metrics import metric_named
from experiments.core.plan import CTR, Allocation, Arm, Gates, Looks, Plan, Role, Rule, Stopping
from experiments.core.statistics.moments import UnitMoments
from experiments.core.statistics.multiplicity import Multiplicity, adjust
from experiments.core.verdict import Kind, held

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


def judged(arms, look=1, plan=PLAN, history=(), held=(), **health):
    return judge_look(plan, plan.seal(), evidence(arms, **health), look, history, held)


def codes(judgement):
    return [reason.code for reason in judgement.verdict.reasons]


def held_of(judgement):
    return [judgement.look] if held(judgement.verdict.kind, codes(judgement)) else []


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


def test_an_arm_that_is_empty_because_logs_are_missing_makes_the_look_invalid():
    arms = {"original": UnitMoments(), "ink": UnitMoments()}
    look = judged(arms, look=1, days_covered=0)
    assert look.verdict.kind is Kind.INVALID
    assert codes(look) == ["coverage", "no_denominator", "no_denominator"]


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


def test_a_segment_that_one_style_never_reached_does_not_hide_the_others():
    plan = replace(PLAN, arms=(*PLAN.arms, Arm("neon", "neon#1")), segments=("device",))
    whole = {name: arm(8000, 200) for name in plan.weights}
    parts = {"tv": {"original": arm(2, 0), "ink": arm(1, 1)}} | {
        device: {name: arm(4000, 100) for name in plan.weights} for device in ("phone", "desktop")
    }
    found = tuple(
        SegmentMoments("device", device, name, units, UnitMoments())
        for device, each in parts.items()
        for name, units in each.items()
    )
    reading = judge_look(plan, plan.seal(), replace(evidence(whole), segments=found), 1).segments["device"]
    assert {each.segment for each in reading.lifts} == {"phone", "desktop"}


def test_the_estimate_after_stopping_is_more_modest_than_what_was_seen():
    judgement = judged({"original": arm(8000, 200), "ink": arm(8000, 290)})
    (estimate,) = judgement.estimates
    assert judgement.verdict.kind is Kind.PROMOTE
    assert 0 < estimate.expected < estimate.median_unbiased < 0.45
    assert estimate.low < estimate.median_unbiased < estimate.high


def test_an_earlier_look_that_could_not_end_it_says_nothing_of_the_estimate():
    """It was a gate that waited, or one bad style of two: that the experiment went on is no sign of a smaller lift."""
    waited = replace(PLAN, gates=Gates(full_weeks=2))
    first, last = ({"original": arm(n, n // 40), "ink": arm(n, 3 * n // 80)} for n in (80_000, 160_000))
    going = judged(first, plan=waited)
    (found,) = judged(last, look=2, plan=waited, history=(going.information,), held=held_of(going)).estimates
    assert found.median_unbiased == pytest.approx(0.5, abs=1e-3), "0.09 if the first look could have promoted"
    assert found.low == pytest.approx(0.442, abs=2e-3)
    broken = judged(first, days_covered=1)
    assert broken.verdict.kind is Kind.INVALID
    (again,) = judged(last, look=2, history=(broken.information,), held=held_of(broken)).estimates
    assert again.median_unbiased == found.median_unbiased
    arms = (*PLAN.arms, Arm("neon", "neon#1"))
    both = ({"original": arm(n, n // 40), "ink": arm(n, n // 39), "neon": arm(n, n // 80)} for n in (20_000, 40_000))
    first, last = both
    plan = replace(PLAN, arms=arms)
    going = judged(first, plan=plan)
    assert going.verdict.kind is Kind.KEEP_RUNNING
    assert held_of(going) == []
    neon = judged(last, look=2, plan=plan, history=(going.information,)).estimates[1]
    assert neon.low < -0.5 < neon.high
    assert neon.median_unbiased == pytest.approx(-0.5, abs=1e-3)


def test_a_plan_that_spends_nothing_early_is_judged_early():
    plan = replace(PLAN, looks=Looks(12, 7, "power:20"))
    first = judged({"original": arm(8000, 200), "ink": arm(8000, 400)}, plan=plan)
    assert first.verdict.kind is Kind.KEEP_RUNNING
    second = judged({"original": arm(16_000, 400), "ink": arm(16_000, 800)}, 2, plan, (first.information,))
    assert second.estimates[0].median_unbiased == pytest.approx(1.0, abs=0.05)


def test_a_conversion_metric_is_judged_on_mature_units():
    plan = replace(PLAN, metrics=(metric_named("conversion-rate"),))
    young = {"original": arm(8000, 200, 150), "ink": arm(8000, 200, 150)}
    old = {"original": arm(5000, 200, 100), "ink": arm(5000, 200, 190)}
    judgement = judge_look(plan, plan.seal(), replace(evidence(young), mature=old), 1)
    assert judgement.verdict.kind is Kind.PROMOTE
    assert judgement.comparison.lifts[0].relative == pytest.approx(0.9)


DAY = timedelta(days=1)


def batch(since, until, shares, arms, *, devices=None):
    """From day to day, of units that are all mature."""
    return Batch(START + since * DAY, START + until * DAY, shares, arms, arms, {"device": devices or {}}, {})


def in_batches(*batches, segments=()):
    arms = {name: sum((each.arms[name] for each in batches), UnitMoments()) for name in batches[0].arms}
    return replace(evidence(arms), batches=batches, segments=segments)


def read(plan, found, look=1, history=()):
    return judge_look(plan, plan.seal(), found, look, history)


MOST, LEAST = {"original": 0.8, "ink": 0.2}, {"original": 0.3, "ink": 0.7}
FOLLOWING = replace(PLAN, allocation=Allocation(Rule.TOP_TWO), looks=Looks(2, 7))


def test_where_shares_moved_a_good_week_is_not_held_against_a_bad_one():
    weeks = (
        batch(0, 7, MOST, {"original": arm(8000, 160), "ink": arm(2000, 40)}),
        batch(7, 14, LEAST, {"original": arm(3000, 120), "ink": arm(7000, 280)}),
    )
    judgement = read(FOLLOWING, in_batches(*weeks), 2, (190,))
    assert judgement.verdict.kind is Kind.NO_WINNER
    assert judgement.comparison.sample_ratio.ok
    assert judgement.comparison.lifts[0].relative == pytest.approx(0, abs=0.01)
    naive = judged({"original": arm(11_000, 280), "ink": arm(9000, 320)}, 2, history=(190,))
    assert naive.comparison.lifts[0].p_adjusted < 0.001


def test_where_shares_moved_a_winner_is_still_found_and_its_estimate_drawn_in():
    weeks = (
        batch(0, 7, MOST, {"original": arm(8000, 160), "ink": arm(2000, 64)}),
        batch(7, 14, LEAST, {"original": arm(3000, 120), "ink": arm(7000, 430)}),
    )
    judgement = read(FOLLOWING, in_batches(*weeks), 2, (190,))
    assert (judgement.verdict.kind, judgement.verdict.arm) == (Kind.PROMOTE, "ink")
    (estimate,) = judgement.estimates
    assert 0 < estimate.expected < judgement.comparison.lifts[0].relative


def test_alpha_is_spent_by_the_calendar_and_batches_count_by_their_time():
    weeks = (
        batch(0, 3, MOST, {"original": arm(8000, 160), "ink": arm(2000, 64)}),
        batch(3, 7, LEAST, {"original": arm(3000, 120), "ink": arm(7000, 320)}),
    )
    early, late = (read(replace(FOLLOWING, looks=Looks(count, 7)), in_batches(*weeks), 1) for count in (8, 2))
    assert early.comparison.lifts[0].p == late.comparison.lifts[0].p
    assert early.comparison.lifts[0].p_adjusted > late.comparison.lifts[0].p_adjusted


def test_what_the_control_was_shown_in_a_pause_is_not_compared():
    pause = {"original": 1.0, "ink": 0.0}
    even = {"original": 0.5, "ink": 0.5}
    ran = {"original": arm(8000, 200), "ink": arm(8000, 400)}
    shown = batch(3, 5, pause, {"original": arm(5000, 900), "ink": arm(0, 0)})
    found = in_batches(batch(0, 3, even, ran), shown, batch(5, 7, even, ran))
    judgement = read(PLAN, found)
    assert (judgement.verdict.kind, judgement.verdict.arm) == (Kind.PROMOTE, "ink")
    assert judgement.comparison.lifts[0].relative == pytest.approx(1.0)
    counted = {"original": arm(16_000, 400), "ink": arm(16_000, 800)}
    assert judgement.comparison == judged(counted).comparison, "as if the pause had never been"


def test_an_experiment_that_was_paused_all_the_time_has_nothing_to_say():
    found = in_batches(batch(0, 7, {"original": 1.0, "ink": 0.0}, {"original": arm(5000, 90), "ink": arm(0, 0)}))
    assert codes(read(PLAN, found)) == ["no_denominator", "no_denominator", "wait_next_look"]


def test_the_audience_may_change_from_batch_to_batch_but_not_between_arms_within_one():
    plan = replace(FOLLOWING, segments=("device",))

    def weeks(second):
        return in_batches(
            batch(0, 7, MOST, {"original": arm(8000, 160), "ink": arm(2000, 40)},
                  devices={"phone": {"original": 6400, "ink": 1600}, "desktop": {"original": 1600, "ink": 400}}),
            batch(7, 14, LEAST, {"original": arm(3000, 60), "ink": arm(7000, 140)}, devices=second),
        )  # fmt: skip

    fair = {"phone": {"original": 600, "ink": 1400}, "desktop": {"original": 2400, "ink": 5600}}
    assert read(plan, weeks(fair), 2).verdict.kind is not Kind.INVALID
    unfair = {"phone": {"original": 600, "ink": 2400}, "desktop": {"original": 2400, "ink": 4600}}
    assert codes(read(plan, weeks(unfair), 2)) == ["covariate_imbalance"]


def test_units_that_did_not_come_in_their_batchs_shares_make_it_invalid():
    weeks = (
        batch(0, 7, MOST, {"original": arm(8000, 160), "ink": arm(2000, 40)}),
        batch(7, 14, LEAST, {"original": arm(5000, 120), "ink": arm(5000, 280)}),
    )
    assert codes(read(FOLLOWING, in_batches(*weeks), 2)) == ["sample_ratio_mismatch"]


def test_an_experiment_ends_once_every_style_is_worse():
    arms = {"original": arm(8000, 400), "ink": arm(8000, 200)}
    judgement = judged(arms)
    assert (judgement.verdict.kind, codes(judgement)) == (Kind.NO_WINNER, ["arm_worse"])
    patient = replace(PLAN, stopping=Stopping(harm=False))
    assert codes(judged(arms, plan=patient)) == ["best_is_control", "wait_next_look"]
    waiting = judged({"original": arm(90, 80), "ink": arm(90, 5)})
    assert (waiting.verdict.kind, codes(waiting)[:2]) == (Kind.KEEP_RUNNING, ["best_is_control", "arm_worse"])


def test_one_style_that_is_not_worse_keeps_it_running():
    plan = replace(PLAN, arms=(*PLAN.arms, Arm("neon", "neon#1")))
    judgement = judged({"original": arm(8000, 400), "ink": arm(8000, 200), "neon": arm(8000, 410)}, plan=plan)
    assert judgement.verdict.kind is Kind.KEEP_RUNNING
    assert codes(judgement) == ["not_significant", "arm_worse", "wait_next_look"]


def test_a_style_without_a_chance_left_of_the_lift_looked_for_ends_it_where_the_plan_says_so():
    arms = {"original": arm(80_000, 2000), "ink": arm(80_000, 1990)}
    plan = replace(PLAN, stopping=Stopping(futility_lift=0.2))
    judgement = judged(arms, plan=plan)
    assert (judgement.verdict.kind, codes(judgement)) == (Kind.NO_WINNER, ["arm_futile"])
    assert judged(arms).verdict.kind is Kind.KEEP_RUNNING
    smaller = judged(arms, plan=replace(PLAN, stopping=Stopping(futility_lift=0.02)))
    assert smaller.verdict.kind is Kind.KEEP_RUNNING


def test_a_style_that_harms_a_guardrail_is_given_up():
    plan = replace(PLAN, metrics=(CTR, GUARDRAIL))
    judgement = judged({"original": arm(8000, 200, 800), "ink": arm(8000, 400, 200)}, plan=plan)
    assert (judgement.verdict.kind, codes(judgement)) == (Kind.NO_WINNER, ["guardrail_harmed"])
