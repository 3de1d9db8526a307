"""The experiment file's promises, as the plan that is sealed holds them."""

import json
from datetime import UTC, datetime

import pytest
import yaml

from creatives.errors import CreativeError
from experiments.core.errors import ExperimentError
from experiments.core.plan import Allocation, Gates, Rule, Stopping
from experiments.core.statistics.multiplicity import Multiplicity
from experiments.documents import read_experiment
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
    )
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
    }
    assert len(seals) == 6


def test_what_was_sealed_before_it_could_end_early_does_not(tmp_path):
    old = plan(tmp_path, stopping={"harm": False})
    assert "stopping" not in old.document()
    assert "allocation" not in old.document()
    assert restore_plan(plain(old.document()), old.seal()).stopping.harm is False


@pytest.mark.parametrize(
    ("promised", "said"),
    [
        ({"allocation": {"rule": "top_two"}, "looks": {"count": 1}}, "plan two looks or more"),
        ({"allocation": {"rule": "top_two", "floor": 0.45}, "styles": ["a", "b"]}, "leaves no room: 3 arms"),
        ({"allocation": {"rule": "top-two"}}, "allocation"),
        ({"stopping": {"futile": 0.1}}, "futile"),
        ({"stopping": {"power": 1.0}}, "power"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused_before_it_starts(tmp_path, promised, said):
    with pytest.raises(Exception, match=said) as refusal:
        plan(tmp_path, **promised)
    assert isinstance(refusal.value, ExperimentError | CreativeError)
