"""The experiment file's promises, as the plan that is sealed holds them."""

import json
from datetime import UTC, datetime

import pytest
import yaml

from creatives.errors import CreativeError
from experiments.core.errors import ExperimentError
from experiments.core.plan import UNLIMITED, Allocation, Attribution, Gates, Rule, Stopping, Traffic
from experiments.core.statistics.multiplicity import Multiplicity
from experiments.documents import read_experiment, restore_experiment, too_early
from experiments.store.codec import plain, restore_plan

START = datetime(2026, 11, 2, tzinfo=UTC)
STYLES = {"original": "original", "ink-wash": "ink-wash#1"}
LEAST = {"experiment": "autumn", "brief": "cup", "styles": ["ink-wash"]}


def plan(tmp_path, **promised):
    path = tmp_path / "autumn.yaml"
    path.write_text(yaml.safe_dump(LEAST | promised))
    return read_experiment(path).plan(STYLES, START)


def test_what_is_not_promised_is_the_default(tmp_path):
    found = plan(tmp_path)
    assert found.gates == Gates()
    assert (found.looks.spending, found.segments, found.cap) == ("obrien_fleming", (), None)


def test_every_promise_reaches_the_plan(tmp_path):
    found = plan(
        tmp_path,
        metric="revenue-per-unit",
        secondary=["ctr", "revenue-per-mille"],
        looks={"count": 4, "days": 7, "spending": "power:3"},
        segments=["device", "country"],
        multiplicity="benjamini_hochberg",
        winsorise=120.5,
        gates={"full_weeks": 2, "balance_p": None, "minimum_units": 500},
        allocation={"rule": "top_two", "floor": 0.1, "largest_step": 0.3},
        stopping={"harm": False, "futility_lift": 0.1, "power": 0.8},
        traffic={"repeat_seconds": 10, "clicks_an_hour": None},
    )
    assert found.traffic == Traffic(10, 360, None)
    assert found.allocation == Allocation(Rule.TOP_TWO, 0.1, 0.3)
    assert found.stopping == Stopping(harm=False, futility_lift=0.1, power=0.8)
    assert restore_plan(json.loads(json.dumps(plain(found.document()))), found.seal()) == found
    assert found.looks.spending == "power:3"
    assert found.segments == ("device", "country")
    assert found.multiplicity is Multiplicity.BENJAMINI_HOCHBERG
    assert [metric.winsorise for metric in found.metrics] == [120_500_000, None, 120_500_000]
    assert found.gates == Gates(full_weeks=2, balance_p=None, minimum_units=500)


def test_another_promise_is_another_seal(tmp_path):
    seals = {
        plan(tmp_path).seal(),
        plan(tmp_path, looks={"spending": "pocock"}).seal(),
        plan(tmp_path, segments=["device"]).seal(),
        plan(tmp_path, gates={"invalid_share": None}).seal(),
        plan(tmp_path, allocation={"rule": "top_two"}).seal(),
        plan(tmp_path, stopping={"harm": False}).seal(),
        plan(tmp_path, traffic={"repeat_seconds": None}).seal(),
    }
    assert len(seals) == 7


def test_what_was_sealed_before_it_could_end_early_does_not(tmp_path):
    old = plan(tmp_path, stopping={"harm": False})
    assert "stopping" not in old.document()
    assert "allocation" not in old.document()
    assert restore_plan(plain(old.document()), old.seal()).stopping.harm is False


def test_what_was_sealed_before_there_were_limits_to_traffic_has_none(tmp_path):
    none = dict.fromkeys(("repeat_seconds", "impressions_an_hour", "clicks_an_hour"))
    old = plan(tmp_path, traffic=none)
    assert "traffic" not in old.document()
    assert restore_plan(plain(old.document()), old.seal()).traffic == UNLIMITED
    new = plan(tmp_path)
    assert new.traffic == Traffic()
    assert restore_plan(plain(new.document()), new.seal()) == new


@pytest.mark.parametrize(
    ("promised", "said"),
    [
        ({"allocation": {"rule": "top_two"}, "looks": {"count": 1}}, "plan two looks or more"),
        (
            {"gates": {"full_weeks": 2}, "looks": {"count": 4, "days": 3}},
            r"on day 14 or later, but looks are on days 3, 6, 9, 12: plan",
        ),
        ({"gates": {"full_weeks": 3}, "looks": {"count": 2, "days": 7}}, "on day 21 or later"),
        ({"allocation": {"rule": "top_two", "floor": 0.45}, "styles": ["a", "b"]}, "leaves no room: 3 arms"),
        ({"allocation": {"rule": "top-two"}}, "allocation"),
        ({"stopping": {"futile": 0.1}}, "futile"),
        ({"stopping": {"power": 1.0}}, "power"),
        ({"attribution": {"conversion_days": 7, "view_conversion_days": 1}}, "one window for all conversions"),
        ({"attribution": {"conversion_day": 7}}, "conversion_days"),
        ({"attribution": {"click_conversion_days": 0}}, "click_conversion_days"),
        ({"attribution": {"view_conversion_days": 91}}, "view_conversion_days"),
        ({"traffic": {"repeat_second": 30}}, "repeat_second"),
        ({"traffic": {"impressions_an_hour": 0}}, "impressions_an_hour"),
        ({"traffic": {"repeat_seconds": 1.5}}, "repeat_seconds"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused_before_it_starts(tmp_path, promised, said):
    with pytest.raises(Exception, match=said) as refusal:
        plan(tmp_path, **promised)
    assert isinstance(refusal.value, ExperimentError | CreativeError)


def test_conversions_count_thirty_days_after_a_click_and_one_after_a_view(tmp_path):
    assert plan(tmp_path).attribution == Attribution(1, 1, click_conversion_days=30)
    assert plan(tmp_path).attribution.matures_after == 31
    found = plan(tmp_path, attribution={"click_days": 2, "click_conversion_days": 7, "view_conversion_days": 3})
    assert found.attribution == Attribution(2, 3, click_conversion_days=7)
    assert restore_plan(json.loads(json.dumps(plain(found.document()))), found.seal()) == found


def test_one_window_for_all_conversions_is_what_it_was(tmp_path):
    found = plan(tmp_path, attribution={"click_days": 1, "conversion_days": 7})
    assert found.attribution == Attribution(1, 7)
    assert found.document()["attribution"] == {"click_days": 1, "conversion_days": 7}


SEALED = "b96397732eaaf94d54eeeba7c19a79630c62008a2e6b0118cefab0f3bebb62ae"
"""The hash of this plan, as it was sealed before clicks had a window of their own."""
SEALED_PLAN = {
    "experiment": "autumn", "salt": "autumn", "control": "original", "start": "2026-11-02T00:00:00+00:00",
    "arms": [{"name": "original", "style": "original", "weight": 1.0},
             {"name": "ink", "style": "ink#1", "weight": 1.0}],
    "metrics": [{"name": "ctr", "numerator": "clicks", "denominator": "impressions", "direction": "increase",
                 "role": "primary", "margin": None}],
    "alpha": 0.05, "looks": {"count": 3, "days": 7}, "attribution": {"click_days": 1, "conversion_days": 7},
    "gates": {"sample_ratio_p": 0.001, "crossover_share": 0.01, "minimum_units": 100, "coverage": 0.9,
              "minimum_information": 10.0, "mature_share": 0.5, "balance_p": 0.001, "invalid_share": 0.5,
              "invalid_p": 0.001},
    "promotion": "propose", "holdback": 0.05, "stopping": {"harm": True, "futility_lift": None, "power": 0.9},
}  # fmt: skip


def test_a_plan_that_was_sealed_with_one_window_keeps_its_hash_and_its_window():
    found = restore_plan(SEALED_PLAN, SEALED)
    assert found.seal() == SEALED
    assert found.attribution == Attribution(1, 7, click_conversion_days=None)
    assert found.attribution.matures_after == 7


def test_a_draft_from_before_keeps_its_window():
    draft = LEAST | {"attribution": {"click_days": 1, "conversion_days": 7}}
    assert restore_experiment(draft).plan(STYLES, START).attribution == Attribution(1, 7)
    today = restore_experiment(LEAST).model_dump(mode="json")
    assert restore_experiment(today).plan(STYLES, START).attribution == Attribution(1, 1, click_conversion_days=30)


@pytest.mark.parametrize(
    ("promised", "warned"),
    [
        ({"metric": "conversion-rate"}, True),
        ({"guardrails": [{"metric": "revenue-per-unit", "margin": 0.1}]}, True),
        ({"secondary": ["conversion-rate"]}, False),
        ({"metric": "conversion-rate", "attribution": {"conversion_days": 20}}, False),
        ({"metric": "conversion-rate", "attribution": {"conversion_days": 21}}, True),
        ({"metric": "conversion-rate", "looks": {"count": 5, "days": 7}}, False),
    ],
    ids=str,
)
def test_looks_that_end_before_any_unit_counts_are_warned_of(promised, warned):
    said = too_early(restore_experiment(LEAST | promised))
    assert (said is not None) == warned
    assert not warned or (said.startswith("Warning: ") and "last look is on day 21" in said and "\n" not in said)
