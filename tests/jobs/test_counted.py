"""From a platform's file in the inbox to the weekly page; no verdict and no evidence hears of it."""

import json
import shutil
from datetime import UTC, datetime, timedelta

from experiments.jobs.registry import JOBS
from reports.counted import WARNING

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
MEANT = "column,value,experiment,arm\nad_id,501,autumn,original\nad_id,502,autumn,noir\n"


def insights(day, *ads, clicks="900", bought="70"):
    """A day of Meta's: one style seems far better."""
    row = {
        "date_start": day, "date_stop": day, "impressions": "10000", "clicks": clicks, "spend": "12.50",
        "account_currency": "NOK",
        "actions": [{"action_type": "purchase", "value": bought}, {"action_type": "omni_purchase", "value": bought}],
    }  # fmt: skip
    return "".join(json.dumps(row | {"ad_id": ad}) + "\n" for ad in ads)


def counts_into(office):
    """Meta's days, one of them restated, and a file by hand."""
    (office.root / "trafficking.csv").write_text(MEANT)
    inbox = office.root / "inbox"
    (inbox / "meta_insights_1.jsonl").write_text(
        insights("2026-11-01", "501")
        + insights("2026-11-02", "501", "502")
        + insights("2026-11-08", "502", "777")
        + insights("2026-11-09", "502")
    )
    (inbox / "meta_insights_2.jsonl").write_text(insights("2026-11-02", "502", clicks="950", bought="75"))
    (inbox / "counts-kiosk.csv").write_text(
        "date,experiment,arm,impressions,clicks,source\n2026-11-03,autumn,noir,50,5,\n2026-11-03,autumn,noir,70,7,kiosk\n"
    )


def section(office, week="2026-W45"):
    return json.loads((office.root / "reports" / f"{week}.json").read_text())["sections"][0]


def test_what_platforms_counted_is_on_the_page_and_in_no_verdict(office, tmp_path, capsys):
    office.delivers(week=1)
    other = type(office)(tmp_path / "other")
    shutil.copytree(office.root, other.root)
    other.now = office.now
    counts_into(office)
    capsys.readouterr()
    office.runs("ingest")
    said = capsys.readouterr().out
    assert "meta_insights_1.jsonl: 6 read = 5 accepted + 0 duplicate + 1 rejected" in said
    for each in (office, other):
        each.runs("all")
    shown, plain = section(office), section(other)
    assert shown["counted_text"] == WARNING
    assert [(row["source"], row["arm"], row["impressions"], row["clicks"]) for row in shown["counted"]] == [
        ("", "noir", 50, 5), ("kiosk", "noir", 70, 7), ("Meta Ads Insights", "original", 10_000, 900),
        ("Meta Ads Insights", "noir", 20_000, 1_850),
    ]  # fmt: skip
    meta = shown["counted"][-1]
    assert (meta["days"], meta["first"], meta["last"], meta["conversions"]) == (2, "2026-11-02", "2026-11-08", 145)
    assert meta["spend"] == [["NOK", 25_000_000]]
    assert ["counts", 3] in shown["method"]["lake_versions"]
    assert plain["counted"] == []
    assert "not randomised" in (office.root / "reports" / "2026-W45.html").read_text()
    assert "not randomised" not in (other.root / "reports" / "2026-W45.html").read_text()
    for same in ("verdict", "decision", "arms", "lifts", "looks_taken", "daily", "guardrails", "timeline"):
        assert shown[same] == plain[same], same
    with office.looks() as mine, other.looks() as theirs:
        pairs = list(zip(mine.control.verdicts("autumn"), theirs.control.verdicts("autumn"), strict=True))
        for one, another in pairs:
            assert (one.kind, one.document) == (another.kind, another.document)
            found, expected = mine.control.evidence(one.evidence_id), theirs.control.evidence(another.evidence_id)
            assert found.arms == expected.arms
            assert "counts" not in found.lake_versions
        assert pairs


def test_ingest_prints_counts_and_a_late_restatement_is_on_the_next_page(office, capsys):
    counts_into(office)
    capsys.readouterr()
    files = sorted((office.root / "inbox").glob("*"))
    office.types("ingest", *files)
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines()[1:4]] == ["count"] * 3
    assert "meta_insights_1.jsonl: 1 × a creative that trafficking.csv does not name" in said
    office.now += timedelta(days=7)
    late = office.root / "inbox" / "meta_insights_3.jsonl"
    late.write_text(insights("2026-11-08", "502", clicks="1000"))
    office.runs("all")
    assert section(office, "2026-W46")["counted"][-1]["clicks"] == 950 + 1000 + 900


def test_counts_are_kept_for_thirteen_months(office, capsys):
    counts_into(office)
    office.runs("ingest")
    office.now = MONDAY + timedelta(days=390)
    with office.looks() as stores:
        assert [task.period for task in JOBS["retain"].plan(stores, office.now) if "counts" in task.period] == []
    office.now = MONDAY + timedelta(days=397)
    capsys.readouterr()
    office.types("events", "retain")
    assert "retain counts: 4 rows from before 2026-11-03 forgotten" in capsys.readouterr().out
    with office.looks() as stores:
        assert stores.lake.dataset("counts").count_rows() == 4


def test_the_doctor_and_the_export_know_the_table(office, capsys):
    counts_into(office)
    office.runs("ingest")
    capsys.readouterr()
    office.types("doctor")
    said = " ".join(capsys.readouterr().out.split())
    assert "counts version 3, 8 rows" in said
    assert "meta, revive" in said
    office.types("export", "events", "--out", office.root / "out", "--format", "csv")
    assert (office.root / "out" / "counts.csv").read_text().count("\n") == 9
