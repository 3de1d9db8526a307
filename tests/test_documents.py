"""The experiment file's promises, as the plan that is sealed holds them."""

from datetime import UTC, datetime

import yaml

from experiments.core.plan import Gates
from experiments.core.statistics.multiplicity import Multiplicity
from experiments.documents import read_experiment

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
    )
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
    }
    assert len(seals) == 4
