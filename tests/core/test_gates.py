from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from experiments.core.evidence import Evidence, Health, SegmentMoments
from experiments.core.gates import balance_p, contingency_p, failed_gates, waiting_gates
from experiments.core.judgement import judge_look
from experiments.core.metrics import metric_named
from experiments.core.plan import Arm, Gates, Looks, Plan, Role
from experiments.core.statistics.moments import PRODUCTS, UnitMoments
from experiments.core.verdict import Kind

START = datetime(2026, 11, 2, tzinfo=UTC)
PLAN = Plan(
    "spring", "salt", "original", (Arm("original", "original"), Arm("ink", "ink#1")), START,
    looks=Looks(2, 7), segments=("device",),
)  # fmt: skip
BUYERS = replace(PLAN, metrics=(metric_named("conversion-rate"),))


def arm(units, clicks=0, conversions=0):
    """Units that saw one impression each, clicked and bought at most once, and bought only after a click."""
    both = min(clicks, conversions)
    products = (units, clicks, conversions, 0, clicks, both, 0, conversions, 0, 0)
    return UnitMoments(units, (units, clicks, conversions, 0), products)


def evidence(arms=None, mature=None, devices=(), **health):
    healthy = {
        "crossover_units": 0, "invalid_impressions": {}, "invalid_clicks": {}, "repeated_clicks": 0,
        "unmatched_clicks": 0, "days_expected": 7, "days_covered": 7, "last_event": START,
    }  # fmt: skip
    arms = arms or {"original": arm(8000, 200), "ink": arm(8000, 400)}
    segments = tuple(
        SegmentMoments("device", device, name, arm(units, units // 40), arm(0))
        for device, *shown in devices
        for name, units in zip(arms, shown, strict=True)
    )
    end = START + timedelta(days=7)
    return Evidence("spring", end, {"impressions": 1}, arms, (), Health(**(healthy | health)), mature, segments)


def codes(reasons):
    return [reason.code for reason in reasons]


def test_sound_evidence_passes_every_gate():
    assert failed_gates(PLAN, evidence(devices=(("phone", 5000, 5040), ("desktop", 3000, 2960)))) == []
    assert waiting_gates(PLAN, evidence(), 1) == []


@pytest.mark.parametrize(
    ("found", "code", "off"),
    [
        ({"crossover_units": 161}, "crossover", {"crossover_share": 0.02}),
        ({"days_covered": 6}, "coverage", {"coverage": 0.8}),
        ({"invalid_impressions": {"ink": 8001}}, "invalid_traffic", {"invalid_share": None}),
        ({"invalid_units": {"ink": 60, "original": 10}}, "invalid_traffic_imbalance", {"invalid_p": None}),
        ({"devices": (("phone", 5000, 5400), ("desktop", 3000, 2600))}, "covariate_imbalance", {"balance_p": None}),
    ],
)
def test_each_gate_fails_for_its_own_reason_and_can_be_left_unasked(found, code, off):
    assert codes(failed_gates(PLAN, evidence(**found))) == [code]
    assert failed_gates(replace(PLAN, gates=replace(Gates(), **off)), evidence(**found)) == []


def test_just_at_the_thresholds_nothing_fails():
    at = {"crossover_units": 160, "invalid_impressions": {"ink": 8000}, "invalid_units": {"ink": 35, "original": 30}}
    assert failed_gates(PLAN, evidence(**at)) == []


def test_money_in_several_currencies_decides_nothing():
    found, one = evidence(currencies={"EUR": 300, "SEK": 2}), evidence(currencies={"SEK": 302})
    assert failed_gates(PLAN, found) == [], "clicks decide"
    rich = replace(PLAN, metrics=(metric_named("revenue-per-unit"),))
    assert codes(failed_gates(rich, found)) == ["mixed_currencies"]
    assert failed_gates(rich, one) == []
    shown = replace(PLAN, metrics=(*PLAN.metrics, replace(rich.primary, role=Role.SECONDARY)))
    assert failed_gates(shown, found) == [], "what decides nothing"


def test_an_imbalance_makes_the_clearest_lead_invalid():
    uneven = evidence(devices=(("phone", 5000, 5400), ("desktop", 3000, 2600)))
    assert judge_look(PLAN, PLAN.seal(), uneven, 1).verdict.kind is Kind.INVALID


def test_few_events_wait_though_units_are_many():
    few = evidence({"original": arm(9000, 4), "ink": arm(9000, 9)})
    assert codes(waiting_gates(PLAN, few, 1)) == ["wait_information"]
    assert waiting_gates(replace(PLAN, gates=Gates(minimum_information=None)), few, 1) == []


def test_money_of_a_few_large_orders_waits_and_of_many_does_not():
    rich = replace(PLAN, metrics=(metric_named("revenue-per-unit"),))

    def orders(*amounts):
        sums, squares = sum(amounts) * 1_000_000, sum(each**2 for each in amounts) * 10**12
        return UnitMoments(9000, (9000, 0, len(amounts), sums), (*[0] * (len(PRODUCTS) - 1), squares))

    few = evidence({"original": orders(*[20] * 40, 3000), "ink": orders(*[20] * 45)})
    many = evidence({"original": orders(*[20] * 40), "ink": orders(*[20] * 45)})
    assert codes(waiting_gates(rich, few, 1)) == ["wait_information"]
    assert waiting_gates(rich, many, 1) == []


def test_full_weeks_are_waited_for_only_where_the_plan_asks():
    patient = replace(PLAN, gates=Gates(full_weeks=2))
    assert codes(waiting_gates(patient, evidence(), 1)) == ["wait_full_weeks"]
    assert waiting_gates(patient, evidence(), 2) == []
    often = replace(patient, looks=Looks(7, 4))
    assert [codes(waiting_gates(often, evidence(), look)) == [] for look in range(1, 8)] == [False] * 6 + [True]


def test_conversions_wait_for_their_windows_and_clicks_do_not():
    arms = {"original": arm(8000, 200, 100), "ink": arm(8000, 400, 150)}
    young = {"original": arm(3000, 90, 60), "ink": arm(3000, 190, 90)}
    assert codes(waiting_gates(BUYERS, evidence(arms, young), 1)) == ["wait_maturity"]
    assert waiting_gates(PLAN, evidence(arms, young), 1) == []
    assert waiting_gates(BUYERS, evidence(arms, arms), 1) == []


def test_the_fewest_units_of_a_conversion_metric_are_mature_ones():
    arms = {"original": arm(150, 80, 40), "ink": arm(150, 80, 50)}
    mature = {"original": arm(99, 80, 40), "ink": arm(120, 80, 40)}
    assert codes(waiting_gates(BUYERS, evidence(arms, mature), 1)) == ["wait_minimum_units"]


def test_balance_is_asked_of_columns_that_tell_units_apart():
    assert balance_p(PLAN, evidence(devices=(("phone", 8000, 8000),))) == {}
    table = (("phone", 5000, 5100), ("desktop", 3000, 2900))
    expected = chi2_contingency([row[1:] for row in table], correction=False).pvalue
    assert balance_p(PLAN, evidence(devices=table))["device"] == pytest.approx(expected, rel=1e-9)


def test_the_contingency_test_is_scipys():
    draw = np.random.default_rng(4)
    for shape in ((2, 2), (7, 12), (3, 5)):
        table = draw.poisson(60, shape) + 6
        expected = chi2_contingency(table, correction=False).pvalue
        assert contingency_p(table.tolist()) == pytest.approx(expected, rel=1e-9)


def test_rows_too_small_to_test_are_taken_together():
    assert contingency_p([[900, 910], [1, 0], [0, 1]]) == 1.0, "two large counts and no second row to hold them against"
    together = chi2_contingency([[900, 910], [12, 9]], correction=False).pvalue
    assert contingency_p([[900, 910], *[[4, 3]] * 3]) == pytest.approx(together, rel=1e-9)


@pytest.mark.parametrize("table", [[], [[0, 0]], [[5, 0], [7, 0]]])
def test_where_there_is_nothing_to_test_nothing_is_found(table):
    assert contingency_p(table) == 1.0


def test_a_plan_sealed_before_a_gate_existed_is_not_asked_it():
    old = {"sample_ratio_p": 0.001, "crossover_share": 0.01, "minimum_units": 100, "coverage": 0.9}
    gates = Gates.sealed(old)
    assert (gates.minimum_information, gates.balance_p, gates.invalid_share) == (None, None, None)
