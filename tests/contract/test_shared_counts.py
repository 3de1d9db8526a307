"""A real platform's report, with its own names and day-first dates, through a mapping: the sums its README says."""

import csv
import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from experiments.events.counts import platform_counts
from experiments.events.lake import EventLake
from experiments.ingest.feed import read_feed
from experiments.ingest.files import ingest_file
from experiments.ingest.hashing import UnitHasher

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILE = DATA / "kag_conversion_data.csv.gz"
CAMPAIGNS = ("916", "936", "1178")
MAPPING = """
name = "kag"
title = "Facebook ad results"
source = "../shared/data/README.md"
checked_on = 2026-11-26

[[files]]
kind = "count"
names = ["kag_conversion_data*"]
trafficking = ["xyz_campaign_id"]
breakdown = ["age", "gender", "interest"]
[files.columns]
date = "Date"
ad = "ad_id"
impressions = "Impressions"
clicks = "Clicks"
spend = "Spent"
conversions = "Approved_Conversion"
[files.times]
form = "%d-%m-%Y"
"""

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"the real report is not here ({FILE})")


class Register(dict):
    """Deliveries by hash, in memory."""

    def find(self, sha256):
        return self.get(sha256)

    def record(self, delivery):
        self[delivery.sha256] = delivery


@pytest.fixture(scope="module")
def expected():
    return json.loads((DATA / "answers_dev.json").read_text())[FILE.name]


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """The lake with the whole report in it, and how to deliver another."""
    folder = tmp_path_factory.mktemp("kag")
    (folder / "kag.toml").write_text(MAPPING)
    lake, register, feed = EventLake(folder / "lake"), Register(), read_feed(folder / "kag.toml")

    def deliver(path):
        return ingest_file(
            path, lake=lake, deliveries=register, hasher=UnitHasher(b"k" * 32),
            arms={"facebook": frozenset(CAMPAIGNS)}, now=datetime(2023, 9, 30, tzinfo=UTC), feed=feed,
            trafficking={"xyzcampaignid": {each: ("facebook", each) for each in CAMPAIGNS}},
        )  # fmt: skip

    return lake, deliver(FILE), deliver


def totals(lake):
    return {each.arm: each for each in platform_counts(lake, "facebook", date(2023, 8, 1), date(2023, 9, 30))}


def test_every_line_is_accepted_and_the_sums_are_the_answers(delivered, expected):
    lake, delivery, _ = delivered
    assert (delivery.kind, delivery.read, delivery.accepted, delivery.rejected) == ("count", 1143, 1143, {})
    found = totals(lake)
    assert set(found) == set(expected) == set(CAMPAIGNS)
    for campaign, sums in expected.items():
        each = found[campaign]
        assert (each.impressions, each.clicks) == (sums["Impressions"], sums["Clicks"])
        assert each.conversions == sums["Approved_Conversion"]
        assert each.spend_micros[None] / 1e6 == pytest.approx(sums["Spent"], abs=1143 * 0.5e-6)


def test_ads_that_convert_without_a_click_are_as_they_came(delivered):
    lake, _, _ = delivered
    rows = lake.dataset("counts").to_table().to_pylist()
    with gzip.open(FILE, "rt") as file:
        told = list(csv.DictReader(file))
    silent = [row for row in told if int(row["Clicks"]) == 0 and int(row["Total_Conversion"]) > 0]
    assert len(silent) == 204, "as the README says"
    approved = sum(int(row["Approved_Conversion"]) > 0 for row in silent)
    assert sum(row["clicks"] == 0 and row["conversions"] > 0 for row in rows) == approved > 0


def test_delivered_again_nothing_adds_up(delivered, tmp_path):
    lake, _, deliver = delivered
    before = totals(lake)
    with gzip.open(FILE, "rt") as file:
        head, *lines = file.read().splitlines()
    again = tmp_path / "kag_conversion_data-2.csv"
    again.write_text("\n".join([head, *reversed(lines)]) + "\n")
    delivery = deliver(again)
    assert (delivery.accepted, delivery.duplicate) == (0, 1143)
    assert totals(lake) == before


def test_days_first_are_days_first(delivered):
    lake, _, _ = delivered
    days = {row["date"] for row in lake.dataset("counts").to_table(columns=["date"]).to_pylist()}
    with gzip.open(FILE, "rt") as file:
        told = {tuple(map(int, row["Date"].split("-"))) for row in csv.DictReader(file)}
    assert days == {date(year, month, day) for day, month, year in told}
