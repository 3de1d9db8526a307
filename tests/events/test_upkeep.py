"""Small files made one, days forgotten, a unit erased or handed out: what is left says the same as before."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from experiments.core.errors import ExperimentError, TryLater
from experiments.events import upkeep
from experiments.events.inspection import inspect
from experiments.events.lake import EventLake
from experiments.events.schema import TABLES

UNIT, OTHER = "ab" * 16, "cd" * 16


@pytest.fixture
def filled(lake, rows, at):
    """Nine deliveries of a day, and one of another; two units."""

    def event(number, hours=1.0, **fields):
        unit = (UNIT, OTHER)[number % 2]
        return {"event_id": f"i{number}", "ts": at(hours=hours), "arm": "original", "unit": unit, **fields}

    for number in range(9):
        lake.begin("impressions").commit(rows("impressions", [event(number)], f"d{number}"), f"d{number}")
    later = [event(10, 30), event(11, 30, experiment="autumn")]
    lake.begin("impressions").commit(rows("impressions", later, "d10"), "d10")
    outcomes = [
        {"event_id": "c0", "ts": at(hours=2), "kind": "click", "impression_id": "i0", "unit": None},
        {"event_id": "c1", "ts": at(hours=2), "kind": "click", "impression_id": "i1", "unit": None},
        {"event_id": "v0", "ts": at(hours=3), "kind": "conversion", "unit": UNIT, "value_micros": 5},
        {"event_id": "v1", "ts": at(hours=40), "kind": "conversion", "unit": OTHER},
    ]
    lake.begin("outcomes").commit(rows("outcomes", outcomes, "e1"), "e1")
    rejected = [
        {"name": "f.csv", "kind": "impression", "reason": "unknown_arm", "text": f"x,{unit},y", "ts": at(hours=1)}
        for unit in (UNIT, OTHER)
    ]
    lake.begin("rejects").commit(rows("rejects", rejected, "d1"), "d1")
    return lake


def contents(lake, name="impressions", version=None):
    table = lake.dataset(name, version).to_table()
    return sorted(table.to_pylist(), key=lambda row: (row.get("event_id") or row.get("text"), row["delivery"]))


def parquet(lake, name="impressions"):
    return sorted(Path(lake.root, name).rglob("*.parquet"))


def test_compaction_changes_files_and_no_row_and_old_versions_stay_readable(filled):
    before, version = contents(filled), filled.versions()["impressions"]
    assert upkeep.crowded(filled) == ("impressions",)
    done = upkeep.compact(filled, "impressions")
    assert (done.files, done.version) == (9, version + 1)
    assert contents(filled) == before
    assert contents(filled, version=version) == before
    assert upkeep.crowded(filled) == ()
    assert filled.begin("impressions").delivered("d3"), "what was delivered is still known"


def test_folders_of_any_name_are_kept_like_others(lake, rows, at):
    for number in range(8):
        events = [
            {"event_id": f"i{number}{unit[0]}", "ts": at(hours=1), "arm": "a", "unit": unit, "experiment": "a b/ü"}
            for unit in (UNIT, OTHER)
        ]
        lake.begin("impressions").commit(rows("impressions", events, f"d{number}"), f"d{number}")
    before = contents(lake)
    assert upkeep.compact(lake, "impressions").files == 8
    assert contents(lake) == before
    upkeep.erase(lake, UNIT)
    assert contents(lake) == [row for row in before if row["unit"] == OTHER]
    assert len(parquet(lake)) == 1
    assert lake.lost("impressions") == []


def test_only_what_nobody_needs_leaves_the_disk(filled):
    before = contents(filled)
    orphan = Path(filled.root, "impressions", "experiment=spring", "date=2026-11-02", "part-0.parquet")
    orphan.write_bytes(b"half written")
    upkeep.compact(filled, "impressions")
    upkeep.vacuum(filled, "impressions", 24)
    assert orphan.exists(), "it may be one that is being written"
    upkeep.vacuum(filled, "impressions", 0)
    assert not orphan.exists()
    assert len(parquet(filled)) == 3, "a file a folder"
    assert contents(filled) == before


def test_days_are_forgotten_but_for_experiments_that_measure(filled):
    day = date(2026, 11, 3)
    assert upkeep.forget(filled, "impressions", day, keep=["spring"]).rows == 0
    assert upkeep.forget(filled, "impressions", day).rows == 9
    assert [row["event_id"] for row in contents(filled)] == ["i10", "i11"]
    assert upkeep.forget(filled, "outcomes", day).rows == 3
    assert upkeep.forget(filled, "outcomes", day).rows == 0, "again changes nothing"


def test_forgotten_days_leave_the_disk_and_older_versions_of_kept_days_stay(filled, rows, at):
    odd = {"event_id": "i20", "ts": at(hours=1), "arm": "a", "unit": UNIT, "experiment": "a b/ü"}
    filled.begin("impressions").commit(rows("impressions", [odd], "d20"), "d20")
    upkeep.rewrite(filled, "impressions", "unit", "unit", ())
    later, version = date(2026, 11, 3), filled.versions()["impressions"]
    kept = [row for row in contents(filled) if row["date"] >= later]
    upkeep.forget(filled, "impressions", later)
    old, new = (lambda path: "2026-11-02" in str(path)), (lambda path: "2026-11-03" in str(path))
    now = datetime.now(UTC)
    assert upkeep.forgotten(filled, "impressions", later, (), now - timedelta(hours=1)) == ()
    soon = now + timedelta(hours=1)
    assert len(upkeep.forgotten(filled, "impressions", later, ("spring",), soon)) == 2, "those of the odd one alone"
    paths = upkeep.forgotten(filled, "impressions", later, (), soon)
    assert len(paths) == len([*filter(old, parquet(filled))]) == 20
    upkeep.remove(filled, "impressions", paths)
    assert [*filter(old, parquet(filled))] == []
    assert len([*filter(new, parquet(filled))]) == 4, "as they were rewritten, and before"
    days = pc.field("date") >= later
    for each in (version - 1, version):
        assert filled.dataset("impressions", each).to_table(filter=days).num_rows == len(kept) == 2
    assert upkeep.forgotten(filled, "impressions", later, (), soon) == ()


def test_folders_are_read_off_the_log(filled):
    assert set(upkeep.folders(filled, "impressions")) == {
        (date(2026, 11, 2), "spring"), (date(2026, 11, 3), "spring"), (date(2026, 11, 3), "autumn")
    }  # fmt: skip
    assert set(upkeep.folders(filled, "outcomes")) == {(date(2026, 11, 2), None), (date(2026, 11, 3), None)}


def test_an_erased_unit_is_nowhere_on_the_disk_and_the_others_are_untouched(filled):
    others = [row for row in contents(filled) if row["unit"] != UNIT]
    done = {each.table: each.rows for each in upkeep.erase(filled, UNIT)}
    assert done == {"impressions": 6, "outcomes": 2, "rejects": 1}
    assert contents(filled) == others
    assert [row["event_id"] for row in contents(filled, "outcomes")] == ["c1", "v1"]
    assert UNIT not in repr([contents(filled, name) for name in ("impressions", "outcomes", "rejects")])
    for file in (file for name in ("impressions", "outcomes", "rejects") for file in parquet(filled, name)):
        found = duckdb.sql(
            f"SELECT count(*) FROM read_parquet('{file}') AS t WHERE t::VARCHAR LIKE '%{UNIT}%'"
        ).fetchall()
        assert found == [(0,)], file
    assert all(each.rows == 0 for each in upkeep.erase(filled, UNIT)), "again changes nothing"


def test_a_unit_is_handed_all_that_is_held_of_it(filled):
    found = list(upkeep.of_unit(filled, UNIT))
    assert [row["event_id"] for row in found if row["table"] == "impressions"] == ["i0", "i2", "i4", "i6", "i8", "i10"]
    assert [row["event_id"] for row in found if row["table"] == "outcomes"] == ["c0", "v0"]
    assert list(upkeep.of_unit(filled, "ef" * 16)) == []


def test_what_was_said_of_a_units_conversions_is_the_units_too(filled, rows, at):
    """Refunds need not name a unit; they go with the conversions, and those of nobody's stay."""
    said = [
        {"event_id": f"a{number}", "ts": at(hours=50), "kind": "conversion", "unit": None, "adjusts": of}
        for number, of in enumerate(("v0", "v1", "v9", "c0"))
    ]
    clicked = {"event_id": "a0", "ts": at(hours=2), "kind": "click", "impression_id": "i1", "unit": None}
    filled.begin("outcomes").commit(rows("outcomes", [*said, clicked], "e2"), "e2")
    found = [row for row in upkeep.of_unit(filled, UNIT) if row["table"] == "outcomes"]
    assert [(row["event_id"], row["kind"]) for row in found] == [
        ("c0", "click"), ("v0", "conversion"), ("a0", "conversion")
    ]  # fmt: skip
    assert {each.table: each.rows for each in upkeep.erase(filled, UNIT)}["outcomes"] == 3
    assert [row["event_id"] for row in contents(filled, "outcomes")] == ["a0", "a1", "a2", "a3", "c1", "v1"]


def test_conversions_that_name_a_units_click_are_the_units_too(filled, rows, at):
    """By whatever unit: the same person may be known by another id where she buys; and refunds name none."""
    said = [
        {"event_id": "b0", "ts": at(hours=50), "kind": "conversion", "unit": OTHER, "click_id": "c0"},
        {"event_id": "b1", "ts": at(hours=50), "kind": "conversion", "unit": OTHER, "click_id": "c1"},
        {"event_id": "b2", "ts": at(hours=50), "kind": "conversion", "unit": None, "click_id": "c0", "adjusts": "x"},
        {"event_id": "b3", "ts": at(hours=50), "kind": "conversion", "unit": None, "adjusts": "b0"},
        {"event_id": "b4", "ts": at(hours=50), "kind": "conversion", "unit": OTHER, "click_id": "v0"},
    ]
    filled.begin("outcomes").commit(rows("outcomes", said, "e2"), "e2")
    found = [row["event_id"] for row in upkeep.of_unit(filled, UNIT) if row["table"] == "outcomes"]
    assert sorted(found) == ["b0", "b2", "b3", "c0", "v0"]
    assert {each.table: each.rows for each in upkeep.erase(filled, UNIT)}["outcomes"] == 5
    assert [row["event_id"] for row in contents(filled, "outcomes")] == ["b1", "b4", "c1", "v1"]


def test_rejected_lines_may_write_an_id_in_parts_or_hashed(filled, rows, at):
    """A mapping joins ids of several columns; a line whose values cannot be told apart has hashes in their places."""
    joined = {"event_id": "imp/7/k", "ts": at(hours=2), "arm": "original", "unit": UNIT}
    filled.begin("impressions").commit(rows("impressions", [joined], "d9"), "d9")
    naming = ["e1,x,7,imp,k", '{"a":"k","b":"imp","c":"7"}', "e2,imp/7/k", "#imp-7-k,#x", "#k,#e,#7,#imp", "e3,c0"]
    others = ["e1,x,8,imp,k", "7,k", "e2,imp/7", "#imp,#7", "#imp,7,k", "e3,c1"]
    said = [
        {"name": "f", "kind": "click", "reason": "bad_time", "text": text, "ts": at(hours=1)}
        for text in (*naming, *others)
    ]
    filled.begin("rejects").commit(rows("rejects", said, "d2"), "d2")
    marks = lambda text: ("#" + text.replace("/", "-"),)  # noqa: E731 - as a hash, it has no parts
    shown = [row["text"] for row in upkeep.of_unit(filled, UNIT, (), marks) if row["table"] == "rejects"]
    assert sorted(shown) == sorted([*naming, f"x,{UNIT},y"])
    upkeep.erase(filled, UNIT, (), marks)
    assert [row["text"] for row in contents(filled, "rejects")] == sorted([*others, f"x,{OTHER},y"])


NAMING = {
    '{"event_id":"k5","ts":"x","impression_id":"i0","ip":"198.51.100.0"}': "click",
    '{"event_id": "k6", "ts": "x", "impression_id" : i2}': "click",
    "k7,x,i4,198.51.100.0": "click",
    '"k,8",x,"{i6}",': "conversion",
    "r1,x,-5,v0": "conversion",
}
NOT_NAMING = {
    '{"event_id":"k5","ts":"x","impression_id":"i00"}': "click",
    "k9,x,i1,": "click",
    "k0,x,i0-2,a i2,i4.": "conversion",
    "r2,x,-5,v1": "conversion",
    "i0,x,spring,original": "impression",
    "v0,x,spring,original": "count",
}


@pytest.fixture
def named(filled, rows, at):
    """Rejected lines, some of which name what is a unit's."""
    said = [
        {"name": "f", "kind": kind, "reason": "bad_time", "text": text, "ts": at(hours=1)}
        for text, kind in {**NAMING, **NOT_NAMING}.items()
    ]
    filled.begin("rejects").commit(rows("rejects", said, "d2"), "d2")
    return filled


def test_rejected_lines_that_name_a_units_events_are_the_units_too(named):
    shown = [row["text"] for row in upkeep.of_unit(named, UNIT) if row["table"] == "rejects"]
    assert sorted(shown) == sorted([*NAMING, f"x,{UNIT},y"])
    assert {each.table: each.rows for each in upkeep.erase(named, UNIT)}["rejects"] == len(shown)
    assert [row["text"] for row in contents(named, "rejects")] == sorted([*NOT_NAMING, f"x,{OTHER},y"])


def test_a_unit_without_events_has_no_lines_that_name_them(named):
    assert list(upkeep.of_unit(named, "ef" * 16)) == []


def test_a_unit_is_found_in_files_that_are_older_than_adjustments(filled):
    for file in parquet(filled, "outcomes"):
        table = pq.ParquetFile(file).read().drop_columns(["adjusts", "paid_micros"])
        pq.write_table(table, file)
    assert [row["event_id"] for row in upkeep.of_unit(filled, UNIT) if row["table"] == "outcomes"] == ["c0", "v0"]
    assert {each.table: each.rows for each in upkeep.erase(filled, UNIT)}["outcomes"] == 2


def test_a_log_that_still_names_an_erased_unit_is_forgotten(lake, rows, at, monkeypatch):
    """Logs of earlier versions of this program bounded a file's units by name."""
    monkeypatch.setattr("experiments.events.parts._PRIVATE", ())
    for number, unit in enumerate([UNIT, OTHER]):
        event = {"event_id": f"i{number}", "ts": at(hours=1), "arm": "original", "unit": unit}
        lake.begin("impressions").commit(rows("impressions", [event], f"d{number}"), f"d{number}")
    log = Path(lake.root, "impressions", "_delta_log")
    assert UNIT in "".join(path.read_text() for path in log.glob("*.json"))
    upkeep.erase(lake, UNIT)
    assert [path for path in Path(lake.root).rglob("*") if path.is_file() and UNIT.encode() in path.read_bytes()] == []
    assert [row["event_id"] for row in contents(lake)] == ["i1"]
    assert lake.begin("impressions").delivered("d0")
    entries = sorted(log.iterdir())
    upkeep.erase(lake, "ef" * 16)
    assert entries[0].exists(), "what names nobody stays"


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_an_erasure_that_was_interrupted_finds_all_when_it_is_repeated(named, monkeypatch, commits):
    """Killed after any of its commits: clicks, and rejected lines, are known as the unit's by what they name."""
    from experiments.events.append import Append

    class Killed(BaseException):
        pass

    real, done = Append.replace, []

    def counted(*arguments, **options):
        real(*arguments, **options)
        done.append(1)
        if len(done) == commits:
            raise Killed

    monkeypatch.setattr(Append, "replace", counted)
    with pytest.raises(Killed):
        upkeep.erase(named, UNIT)
    upkeep.erase(named, UNIT)
    assert [row["event_id"] for row in contents(named, "outcomes")] == ["c1", "v1"]
    assert [row["text"] for row in contents(named, "rejects")] == sorted([*NOT_NAMING, f"x,{OTHER},y"])
    assert UNIT not in repr([contents(named, name) for name in ("impressions", "outcomes", "rejects")])


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_tables_are_exported_whole(filled, tmp_path, form):
    out = tmp_path / f"it's.{form}"
    assert upkeep.export(filled, "impressions", out, form) == 11
    read = duckdb.sql(f"SELECT event_id FROM read_{form}('{str(out).replace(chr(39), chr(39) * 2)}')").fetchall()
    assert {name for (name,) in read} == {row["event_id"] for row in contents(filled)}
    assert [path.name for path in tmp_path.glob(".*")] == []
    with pytest.raises(ExperimentError, match="as parquet or csv, not as 'xml'"):
        upkeep.export(filled, "impressions", out, "xml")


def test_upkeep_that_meets_an_ingest_is_told_to_try_later(filled, rows, at, monkeypatch):
    real = EventLake.begin

    def overtaken(self, name):
        handle = real(self, name)
        monkeypatch.setattr(EventLake, "begin", real)
        event = {"event_id": "late", "ts": at(hours=1), "arm": "original", "unit": OTHER}
        real(self, "impressions").commit(rows("impressions", [event], "d20"), "d20")
        return handle

    monkeypatch.setattr(EventLake, "begin", overtaken)
    with pytest.raises(TryLater, match="somebody else wrote to impressions"):
        upkeep.forget(filled, "impressions", date(2026, 11, 3))
    assert len(contents(filled)) == 12


def test_evidence_is_the_same_after_compaction(filled):
    chosen = pc.field("experiment") == "spring"
    before = filled.dataset("impressions").to_table(filter=chosen).num_rows
    upkeep.compact(filled, "impressions")
    assert filled.dataset("impressions").to_table(filter=chosen).num_rows == before == 10


def test_files_of_writers_who_died_are_told_from_those_of_older_versions_and_cleared(filled):
    def aged(path, hours):
        os.utime(path, (time.time() - hours * 3600,) * 2)

    folder = Path(filled.root, "impressions", "experiment=spring", "date=2026-11-02")
    (folder / "part-old.parquet").write_bytes(b"12345")
    (folder / "part-new.parquet").write_bytes(b"1")
    aged(folder / "part-old.parquet", 50)
    upkeep.compact(filled, "impressions")
    for path in folder.glob("part-*"):
        if path.name != "part-new.parquet":
            aged(path, 50)
    assert len(filled.outdated("impressions")) == 11
    inside = folder.relative_to(Path(filled.root, "impressions"))
    assert filled.orphans("impressions") == {f"{inside}/part-old.parquet": 5, f"{inside}/part-new.parquet": 1}
    now = datetime.now(UTC)
    assert upkeep.orphaned(filled, now) == ("impressions",)
    assert upkeep.orphaned(filled, now - timedelta(hours=3)) == ()
    assert upkeep.clear(filled, "impressions", now).files == 1
    assert not (folder / "part-old.parquet").exists()
    assert (folder / "part-new.parquet").exists()
    assert len(contents(filled, version=9)) == 9, "older versions lose nothing"
    assert upkeep.orphaned(filled, now) == ()


def test_work_that_is_larger_than_its_memory_goes_to_disk_or_is_told(lake, rows, at):
    """Compaction sorts: in little memory it must still end, in the order of the events, or say what to do."""
    rng = np.random.default_rng(7)
    for number in range(8):
        moments = rng.integers(0, 80_000, 30_000)
        table = pa.table({
            "event_id": [f"i{number}-{n}-{'x' * 100}" for n in range(30_000)],
            "ts": pa.array([at(seconds=int(each)) for each in moments], TABLES["impressions"].schema.field("ts").type),
        })  # fmt: skip
        one = rows("impressions", [{"event_id": "i", "ts": at(hours=1), "arm": "original", "unit": UNIT}], f"d{number}")
        for name in one.schema.names:
            if name not in table.column_names:
                value = pa.scalar(one[name][0].as_py(), one.schema.field(name).type)
                table = table.append_column(one.schema.field(name), pa.repeat(value, 30_000))
        lake.begin("impressions").commit(table.select(one.schema.names).cast(one.schema), f"d{number}")
    small = EventLake(lake.root, "160MB")
    assert upkeep.compact(small, "impressions").files == 8
    (file,) = (Path(lake.root, "impressions", each.path) for each in small.begin("impressions").files())
    moments = pq.read_table(file, columns=["ts"])["ts"].to_pylist()
    assert len(moments) == 240_000
    assert moments == sorted(moments)


@pytest.mark.parametrize(
    "work",
    [
        lambda lake: upkeep.compact(lake, "impressions"),
        lambda lake: upkeep.erase(lake, UNIT),
        lambda lake: upkeep.rewrite(lake, "impressions", "unit", "unit || 'x'", ()),
        lambda lake: list(upkeep.of_unit(lake, UNIT)),
        lambda lake: upkeep.export(lake, "impressions", Path(lake.root) / "out.csv", "csv"),
        inspect,
    ],
    ids=["compact", "erase", "rewrite", "of_unit", "export", "inspect"],
)
def test_all_work_is_done_in_the_memory_that_the_workspace_gives(filled, work):
    """So little that nothing can be done in it, which is told in one line and leaves the lake as it was."""
    before = contents(filled)
    with pytest.raises(ExperimentError, match="1MB of memory is too little for this; give more as `memory`"):
        work(EventLake(filled.root, "1MB"))
    assert contents(filled) == before
    assert filled.orphans("impressions") == {}


def test_a_table_that_other_tools_gave_features_of_their_own_is_left_alone(filled, monkeypatch):
    class Protocol:
        reader_features = ("deletionVectors",)

    monkeypatch.setattr("deltalake.DeltaTable.protocol", lambda _table: Protocol)
    with pytest.raises(ExperimentError, match="uses deletionVectors of Delta"):
        upkeep.compact(filled, "impressions")
    with pytest.raises(ExperimentError, match="keep it with the tool that brought that in"):
        upkeep.rewrite(filled, "impressions", "unit", "unit", ())
