"""Compact and retain: what leaves the disk, and what must not."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pyarrow.compute as pc
import pytest

from experiments.events import upkeep
from experiments.jobs.registry import JOBS

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


def test_what_was_forgotten_leaves_the_disk_a_day_later_and_nothing_else_does(office, monkeypatch):
    """Evidence names the versions before a table was written anew; those of days that are kept stay readable."""
    clock = SimpleNamespace(time=lambda: office.now.timestamp())
    monkeypatch.setattr("experiments.events.append.time", clock)  # by which the log says when a file was removed

    def files():
        found = (office.root / "lake" / "impressions").rglob("*.parquet")
        return dict(sorted(Counter(path.parent.name[-2:] for path in found).items()))

    office.delivers(1, people=300)
    office.runs("ingest")
    with office.looks() as stores:
        upkeep.rewrite(stores.lake, "impressions", "unit", "unit", ())
    days = [f"0{day}" for day in range(2, 9)]
    assert files() == dict.fromkeys(days, 2)
    office.types("experiment", "stop", "autumn")
    office.now = MONDAY + timedelta(days=92, hours=6)
    office.runs("retain")
    assert files() == {"02": 1, "03": 1} | dict.fromkeys(days[2:], 2)
    with office.looks() as stores:
        assert stores.lake.dataset("impressions", 1).to_table(filter=pc.field("date") > date(2026, 11, 3)).num_rows
        office.now += timedelta(hours=17)
        assert JOBS["retain"].plan(stores, office.now) == (), "too early"
        office.now += timedelta(hours=8)
    office.runs("retain")
    assert files() == {"04": 1} | dict.fromkeys(days[3:], 2)
    office.now = MONDAY + timedelta(days=120)
    office.runs("retain")
    assert files() == dict.fromkeys(days[3:], 1)
    office.now += timedelta(hours=25)
    with office.looks() as stores:
        due = [task.period for task in JOBS["retain"].plan(stores, office.now)]
    assert due == ["impressions-2026-12-03", "outcomes-2026-12-03"], "though no day is to be forgotten"
    office.runs("retain")
    assert files() == {}
    with office.looks() as stores:
        assert JOBS["retain"].plan(stores, office.now) == ()


def test_the_last_page_of_an_old_experiment_is_made_before_its_events_go(office):
    office.delivers(1, people=300)
    office.runs("ingest")
    office.now = MONDAY + timedelta(days=99)
    office.types("experiment", "stop", "autumn")
    for days, due in ((1, []), (13, []), (15, ["impressions-2026-11-26", "outcomes-2026-11-26"])):
        office.now = MONDAY + timedelta(days=99 + days)
        with office.looks() as stores:
            assert [task.period for task in JOBS["retain"].plan(stores, office.now)] == due


@pytest.mark.parametrize("files", [1, 9])
def test_where_the_log_has_lost_its_end_nothing_is_compacted_or_removed(office, capsys, files):
    """What the register knows and the table does not is the only copy there is."""
    for number in range(files):
        line = f"e{number},{MONDAY.isoformat()},autumn,noir,u{number}"
        (office.root / "inbox" / f"impressions-{number}.csv").write_text(f"event_id,ts,experiment,arm,unit\n{line}\n")
    office.runs("ingest")
    folder = office.root / "lake" / "impressions"
    newest = max((folder / "_delta_log").glob("*.json"))
    kept, before = newest.read_text(), set(folder.rglob("*"))
    newest.unlink()
    office.now = datetime.now(UTC) + timedelta(hours=49)
    capsys.readouterr()
    office.types("events", "compact", code=1)
    told = capsys.readouterr().err
    office.types("events", "erase", "u0", "--yes", code=1)
    office.types("events", "rekey", "--yes", code=1)
    assert f"the log does not know impressions-{files - 1}.csv" in told.replace("\n", " ")
    assert set(folder.rglob("*")) == before - {newest}
    newest.write_text(kept)
    office.types("events", "compact")
    with office.looks() as stores:
        assert stores.lake.dataset("impressions").count_rows() == files


def test_rejected_lines_in_which_everything_was_hashed_are_erased_too(office, capsys):
    """Also after the key was changed: a click names its impression, and neither is readable there."""
    shown = "".join(f"i{n},{MONDAY.isoformat()},autumn,noir,u{n}\n" for n in (1, 2))
    hit = "".join(f"c{n},{MONDAY.isoformat()},i{n},too,many\n" for n in (1, 2))
    (office.root / "inbox" / "impressions.csv").write_text(f"event_id,ts,experiment,arm,unit\n{shown}")
    (office.root / "inbox" / "clicks.csv").write_text(f"event_id,ts,impression_id\n{hit}")
    office.runs("ingest")
    office.types("events", "rekey", "--yes")
    capsys.readouterr()
    office.types("events", "erase", "u1", "--yes")
    assert "rejects: 1 rows erased; outcomes: 0 rows erased; impressions: 1 rows erased" in capsys.readouterr().out
    with office.looks() as stores:
        assert stores.lake.dataset("rejects").to_table()["line"].to_pylist() == [3]
