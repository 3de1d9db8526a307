"""Real logs that nobody here wrote, through mappings: their counts are what was computed of them independently."""

import csv
import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from experiments.core.plan import Arm, Attribution, Plan
from experiments.events.evidence import gather
from experiments.ingest.feed import feed_for, feeds

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MAPPINGS = Path(__file__).with_name("mappings")
CHANNELS = ("Facebook", "Instagram", "Online Display", "Online Video", "Paid Search")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real logs are not here ({DATA})")


@pytest.fixture(scope="module")
def answers():
    return json.loads((DATA / "answers_dev.json").read_text())


@pytest.fixture
def take(ingest_all):
    """One of the logs into the lake, by the mapping that its name finds."""

    def take(name, arms):
        return ingest_all(DATA / name, feed=feed_for(name, feeds(MAPPINGS), None), arms=arms)

    return take


def planned(experiment, arms, start, **attribution):
    return Plan(
        experiment, "salt", arms[0], tuple(Arm(arm, arm) for arm in arms), start=start,
        attribution=Attribution(**attribution),
    )  # fmt: skip


def counts(lake, table, column):
    return Counter(lake.dataset(table).to_table(columns=[column])[column].to_pylist())


def told(found):
    return {kind: (each.read, each.accepted, each.duplicate, each.rejected) for kind, each in found.items()}


def test_impressions_and_conversions_of_one_log(take, lake, answers):
    name, expected = "attribution_events_dev.csv.gz", answers["attribution_events_dev.csv.gz"]
    found = take(name, {"channels": frozenset(CHANNELS)})
    shown, bought = expected["impressions"], expected["conversions"]
    assert told(found) == {"impression": (shown, shown, 0, {}), "conversion": (bought, bought, 0, {})}
    assert shown + bought == expected["rows"] == 30_867
    assert counts(lake, "impressions", "arm") == expected["impressions_by_channel"]
    events = lake.dataset("impressions").to_table(columns=["arm", "unit", "ts"])
    units = Counter(arm for arm, _ in set(zip(events["arm"].to_pylist(), events["unit"].to_pylist(), strict=True)))
    assert units == expected["unique_customers_by_channel"]
    sales = lake.dataset("outcomes").to_table()
    assert pc.sum(sales["value_micros"]).as_py() == expected["conversion_value_sum"] * 1_000_000
    assert set(sales["currency"].to_pylist()) == {"USD"}
    assert len(set(sales["unit"].to_pylist()) | set(events["unit"].to_pylist())) == expected["customers"]
    last = max(pc.max(table["ts"]).as_py() for table in (events, sales))
    assert last.isoformat(" ") == expected["last"]


def test_as_many_conversions_are_attributed_as_a_search_by_hand_attributes(take, lake, answers):
    expected = answers["attribution_events_dev.csv.gz"]
    take("attribution_events_dev.csv.gz", {"channels": frozenset(CHANNELS)})
    for days in (1, 7, 30):
        plan = planned("channels", CHANNELS, datetime(2018, 7, 1, tzinfo=UTC), click_days=days, conversion_days=days)
        evidence = gather(lake, plan, datetime(2018, 8, 1, tzinfo=UTC))
        attributed = sum(evidence.arms[arm].pair("conversions", "units").y for arm in CHANNELS)
        assert attributed == expected["conversions"] - expected[f"last_touch_{days}d"]["unattributed"]


def test_a_row_that_was_clicked_is_an_impression_and_a_click(take, lake, answers):
    expected = answers["obd_random_men.csv.gz"]
    creatives = tuple(str(number) for number in range(expected["arms"]))
    found = take("obd_random_men.csv.gz", {"fashion": frozenset(creatives)})
    rows, clicks = expected["rows"], expected["clicks"]
    assert told(found) == {"impression": (rows, rows, 0, {}), "click": (clicks, clicks, 0, {})}
    days = counts(lake, "impressions", "date")
    assert {day.isoformat(): count for day, count in days.items()} == expected["impressions_per_utc_day"]
    positions = counts(lake, "impressions", "slot")
    assert dict(positions) == {position: each["n"] for position, each in expected["position_ctr"].items()}
    start = datetime(2019, 11, 24, tzinfo=UTC)
    evidence = gather(lake, planned("fashion", creatives, start), start + timedelta(days=7))
    pairs = {creative: evidence.arms[creative].pair("clicks", "impressions") for creative in creatives}
    table = [[int(creative), pair.x, pair.y] for creative, pair in pairs.items()]
    assert table == expected["arm_table"]
    assert evidence.health.unmatched_clicks == evidence.health.crossover_units == 0


def test_users_in_both_groups_come_out_as_crossover(take, lake, answers):
    expected = answers["ab_data.csv.gz"]
    found = take("ab_data.csv.gz", {"page": frozenset({"control", "treatment"})})
    groups = expected["raw_rows_by_group"]
    bought = sum(groups[group]["x"] for group in groups if group in ("control", "treatment"))
    assert told(found) == {
        "impression": (expected["rows"], expected["rows"], 0, {}), "conversion": (bought, bought, 0, {})
    }  # fmt: skip
    assert counts(lake, "impressions", "arm") == {group: groups[group]["n"] for group in ("control", "treatment")}
    start = datetime(2017, 1, 2, tzinfo=UTC)
    evidence = gather(lake, planned("page", ("control", "treatment"), start), start + timedelta(days=30))
    assert evidence.health.crossover_units == 1_895
    pairs = [evidence.arms[arm].pair("conversions", "units") for arm in ("control", "treatment")]
    assert (sum(pair.units for pair in pairs), sum(pair.y for pair in pairs)) == (expected["users"], bought)


def test_pages_that_contradict_the_group_can_be_rejected_by_name(ingest_all, tmp_path):
    """The arm may be made of both columns: what no experiment knows is rejected."""
    mapping = (MAPPINGS / "landing.toml").read_text().partition('[[files]]\nkind = "conversion"')[0]
    (tmp_path / "landing.toml").write_text(mapping.replace('arm = "group"', 'arm = "group + landing_page"'))
    arms = {"page": frozenset({"control/old_page", "treatment/new_page"})}
    found = ingest_all(DATA / "ab_data.csv.gz", feed=feeds(tmp_path)["landing"], arms=arms)
    assert told(found) == {"impression": (294_478, 294_478 - 3_893, 0, {"unknown_arm": 3_893})}


def test_without_a_declared_zone_naive_times_are_rejected(ingest_all, tmp_path):
    with gzip.open(DATA / "ab_data.csv.gz", "rt") as log:
        rows = [next(log) for _ in range(2_001)]
    path = tmp_path / "ab_data.csv"
    path.write_text("".join(rows))
    mapping = (MAPPINGS / "landing.toml").read_text()
    (tmp_path / "landing.toml").write_text(mapping.replace('times = { zone = "America/Los_Angeles" }', ""))
    found = ingest_all(path, feed=feeds(tmp_path)["landing"], arms={"page": frozenset({"control", "treatment"})})
    converted = sum(row["converted"] == "1" for row in csv.DictReader(rows))
    assert told(found) == {
        "impression": (2_000, 0, 0, {"naive_timestamp": 2_000}),
        "conversion": (converted, 0, 0, {"naive_timestamp": converted}),
    }
