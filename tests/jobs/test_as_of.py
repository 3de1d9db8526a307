"""No instant after the clock is acted at, and of an instant long past the page stays what it was."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from experiments.events.evidence import gather

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


def pages(office):
    return {path.name: path.read_bytes() for path in sorted((office.root / "reports").glob("*.*"))}


def milestones(office):
    with office.looks() as stores:
        return [str(fact.kind) for fact in stores.control.history("autumn")]


@pytest.mark.parametrize("command", [("analyse", "autumn"), ("job", "run", "all")], ids=" ".join)
def test_no_look_is_taken_ahead_of_the_clock(office, capsys, command):
    """What is due later may be asked, and what was due earlier be done."""
    office.delivers(1, people=300)
    office.runs("ingest")
    before, later = milestones(office), MONDAY + timedelta(days=28)
    capsys.readouterr()
    office.types(*command, "--as-of", later.isoformat(), code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "--as-of 2026-11-30T00:00:00+00:00 lies after now, 2026-11-09T06:00:00Z" in line
    assert "--now" in line
    assert milestones(office) == before
    office.types("job", "due", "--as-of", later.isoformat())
    assert "look-1" in capsys.readouterr().out
    office.types(*command, "--as-of", office.now.isoformat())
    with office.looks() as stores:
        assert [each.look for each in stores.control.verdicts("autumn")] == [1]


def stopped_and_forgotten(office, *, reported):
    """Stopped in its second week, that week's page written or not, and its events forgotten four months later."""
    office.delivers(1, people=300)
    office.delivers(2, people=300)
    office.now = MONDAY + timedelta(days=10)
    office.runs("ingest")
    office.types("experiment", "stop", "autumn")
    office.now = MONDAY + timedelta(days=14, hours=6)
    if reported:
        office.runs("report")
    office.now = MONDAY + timedelta(days=120)
    office.runs("retain")


def test_a_page_is_the_same_after_its_events_were_forgotten(office):
    """However it is asked for, and though a page without them was made at a time when nobody looked."""
    stopped_and_forgotten(office, reported=True)
    before = pages(office)
    section = json.loads(before["2026-W46.json"])["sections"][0]
    assert sum(arm["units"] for arm in section["arms"]) > 300
    office.types("report", "--week", "2026-W46")
    assert pages(office) == before
    with office.looks() as stores:
        plan, _ = stores.control.plan("autumn")
        stopped = next(fact.at for fact in stores.control.history("autumn") if fact.kind == "stopped")
        stores.control.record_evidence(gather(stores.lake, plan, stopped))
    for name in before:
        (office.root / "reports" / name).unlink()
    office.runs("report")
    assert pages(office) == before


def test_a_page_whose_evidence_nobody_recorded_is_not_made_of_what_is_left(office, capsys):
    stopped_and_forgotten(office, reported=False)
    written = office.root / "reports" / "2026-W46.html"
    written.parent.mkdir(exist_ok=True)
    written.write_text("as it was")
    capsys.readouterr()
    office.types("report", "--week", "2026-W46", code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "autumn: events from before 2026-12-02 are forgotten" in line
    assert list(pages(office).values()) == [b"as it was"]


def test_a_page_that_cannot_be_made_any_more_is_complained_of_once(office, capsys):
    """The bell rings every hour, and the week is looked back at for a year."""
    stopped_and_forgotten(office, reported=False)
    capsys.readouterr()
    office.runs("report", code=1)
    said = capsys.readouterr()
    assert "2026-W46" in said.out + said.err
    assert "its page cannot be made any more" in " ".join((said.out + said.err).split())
    office.runs("report")
    office.types("job", "due")
    assert "W46" not in capsys.readouterr().out
    office.types("report", "--week", "2026-W46", code=2)


def test_a_page_of_an_experiment_that_measures_is_made_of_all_its_events_however_old(office):
    """Also where events of others were forgotten, and less was recorded of that time before its logs were complete."""
    office.delivers(1, people=300)
    office.runs("ingest")
    with office.looks() as stores:
        plan, _ = stores.control.plan("autumn")
        stores.control.record_evidence(gather(stores.lake, plan, MONDAY + timedelta(days=14)))
    office.now = MONDAY + timedelta(days=120)
    office.delivers(2, people=300)
    office.runs("ingest")
    with office.looks() as stores:
        stores.ledger.finish(stores.ledger.claim("retain", "-", "impressions-2026-12-02", "another", 60), {"rows": 9})
    office.types("report", "--week", "2026-W46")
    section = json.loads((office.root / "reports" / "2026-W46.json").read_text())["sections"][0]
    assert sum(arm["units"] for arm in section["arms"]) == 600
