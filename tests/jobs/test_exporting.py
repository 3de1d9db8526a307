"""``export evidence``: what a look was judged by, whole, and enough to check the judgement with other tools."""

import csv
import json
import math
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from experiments.core.evidence import Batch
from experiments.core.statistics.moments import UnitMoments
from experiments.jobs.exporting import moments_rows
from experiments.store.codec import canonical_sha256, restore_evidence


def judged(office, weeks):
    for week in range(1, weeks + 1):
        office.delivers(week, people=3000)
        office.runs("ingest")
        office.runs("analyse")
        office.now += timedelta(weeks=1)
    return office


def exported(office, out, look, *more):
    office.types("export", "evidence", "autumn", "--out", out, *more)
    begin = f"autumn-look-{look}"
    tables = ((out / f"{begin}-{of}.csv").read_text().splitlines() for of in ("moments", "daily"))
    moments, days = (list(csv.DictReader(lines)) for lines in tables)
    return json.loads((out / f"{begin}.json").read_text()), moments, days


@pytest.fixture
def judged_curious(curious):
    return judged(curious, 2)


def test_the_judgement_can_be_computed_from_the_moments(judged_curious, tmp_path):
    """Rate and its error by the delta method, written out here once more."""
    document, moments, days = exported(judged_curious, tmp_path / "out", 2)
    arms = {row["arm"]: row for row in moments if row["scope"] == "all" and not row["column"] and not row["since"]}
    told = {arm["arm"]: arm for arm in document["judgement"]["comparison"]["arms"]}
    assert arms.keys() == told.keys() == {"original", "duotone-dusk", "noir"}
    for arm, row in arms.items():
        units, shown, clicks = (int(row[name]) for name in ("units", "impressions", "clicks"))
        assert (units, clicks, shown) == tuple(told[arm][name] for name in ("units", "numerator", "denominator"))
        rate = clicks / shown
        squares = int(row["clicks*clicks"]) - 2 * rate * int(row["impressions*clicks"])
        squares += rate**2 * int(row["impressions*impressions"])
        half = 1.96 * math.sqrt(squares * units / (units - 1)) / shown
        assert told[arm]["rate"] == pytest.approx(rate)
        assert (told[arm]["high"] - told[arm]["low"]) / 2 == pytest.approx(half, rel=0.05)
        assert sum(int(day["clicks"]) for day in days if day["arm"] == arm) == clicks
    phones = [row for row in moments if (row["column"], row["scope"]) == ("device", "all")]
    assert {row["segment"] for row in phones} == {"desktop", "phone"}
    assert sum(int(row["units"]) for row in phones) == sum(int(row["units"]) for row in arms.values())
    mature = [int(row["units"]) for row in moments if row["scope"] == "mature"]
    assert len(mature) == len(arms) * 3
    assert not any(mature), "two weeks are too early"


def test_the_document_is_the_recorded_evidence_and_the_sealed_plan(judged_curious, tmp_path):
    document, _, _ = exported(judged_curious, tmp_path / "out", 1, "--look", 1)
    with judged_curious.looks() as stores:
        first, _ = stores.control.verdicts("autumn")
        kept = stores.control.evidence(first.evidence_id)
    again = restore_evidence(
        document["experiment"], datetime.fromisoformat(document["as_of"]), document["lake_versions"],
        document["evidence"],
    )  # fmt: skip
    assert again == kept
    assert canonical_sha256(document["plan"]) == document["plan_hash"] == first.plan_hash
    assert document["judgement"]["verdict"]["kind"] == first.kind


def test_batches_are_rows_of_their_own(judged_curious):
    with judged_curious.looks() as stores:
        evidence = stores.control.evidence(stores.control.verdicts("autumn")[0].evidence_id)
    begun, ended = evidence.as_of - timedelta(days=7), evidence.as_of
    batch = Batch(begun, ended, {}, {"noir": UnitMoments(units=5)}, {"noir": UnitMoments(units=2)}, {}, {})
    found = [row for row in moments_rows(replace(evidence, batches=(batch,))) if "since" in row]
    assert [(row["since"], row["until"], row["scope"], row["units"]) for row in found] == [
        (begun.isoformat(), ended.isoformat(), "all", 5),
        (begun.isoformat(), ended.isoformat(), "mature", 2),
    ]


def test_without_such_a_look_nothing_is_written(office, tmp_path, capsys):
    out = tmp_path / "out"
    office.types("export", "evidence", "autumn", "--out", out, code=2)
    assert "no look was taken at autumn yet" in capsys.readouterr().err
    judged(office, 1)
    office.types("export", "evidence", "autumn", "--look", 2, "--out", out, code=2)
    assert "look 2 was not taken at autumn: there are 1\n" in capsys.readouterr().err
    assert not out.exists()


def test_what_cannot_be_written_is_told_in_a_line_and_leaves_nothing_in_part(office, tmp_path, capsys):
    judged(office, 1)
    (tmp_path / "autumn-look-1-moments.csv").mkdir()
    office.types("export", "evidence", "autumn", "--out", tmp_path, code=2)
    assert "autumn-look-1-moments.csv" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))
