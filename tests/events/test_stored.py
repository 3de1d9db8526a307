"""Evidence from files, wherever they lie and however little memory there is: the same as from tables in memory."""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from creatives.documents import DocumentError
from experiments.composition import open_context
from experiments.core.errors import ExperimentError, StorageFailure
from experiments.core.plan import Looks
from experiments.events import engine, upkeep
from experiments.events.engine import DuckDB
from experiments.events.evidence import evidence_of, gather
from experiments.events.lake import EventLake
from experiments.events.schema import TABLES
from experiments.events.stored import StoredFile, StoredTable
from experiments.store.database import migrate
from experiments.workspace import SETTINGS, create_workspace, open_workspace

DAYS = timedelta(days=9)
ODD = ("with a space", 'it\'s 100 % "odd"', "[a] *b* ?c", "date=2026-11-02/unit=u", "ümläut&#")


@pytest.fixture
def plan(plan):
    return replace(plan, segments=("placement",), looks=Looks(2, 7))


def put(lake, tables):
    for name, table in zip(("impressions", "outcomes"), tables, strict=True):
        for number, part in enumerate((table.slice(0, 700), table.slice(700))):
            lake.begin(name).commit(part, f"{name}-{number}")


def same(evidence, other):
    return replace(evidence, lake_versions={}) == replace(other, lake_versions={})


def test_the_crowd_has_every_kind_of_trouble(crowd, plan, start):
    health = evidence_of(*crowd(3000), plan, start + DAYS, {}).health
    assert min(health.crossover_units, health.repeated_clicks, health.unmatched_clicks) > 0
    assert all(health.invalid_clicks.values())
    assert all(health.invalid_units.values())


@pytest.mark.parametrize("name", ODD)
def test_folders_may_have_any_name(crowd, plan, start, tmp_path, name):
    lake, tables = EventLake(tmp_path / name / "lake"), crowd(3000)
    put(lake, tables)
    assert isinstance(lake.source("impressions"), StoredTable)
    assert same(gather(lake, plan, start + DAYS), evidence_of(*tables, plan, start + DAYS, {}))


def test_experiments_may_have_any_name(lake, crowd, plan, start):
    name = "it's 50 % of [a] b/ü=?"
    impressions, outcomes = crowd(3000)
    place = impressions.schema.get_field_index("experiment")
    named = pa.array([name if each == "spring" else each for each in impressions["experiment"].to_pylist()])
    tables = impressions.set_column(place, impressions.schema.field(place), named), outcomes
    put(lake, tables)
    chosen = replace(plan, experiment=name)
    found = gather(lake, chosen, start + DAYS)
    assert same(found, evidence_of(*tables, chosen, start + DAYS, {}))
    assert found.arms["original"].units > 0


def test_a_lake_that_is_no_folder_is_read_through_arrow(crowd, plan, start, tmp_path):
    tables = crowd(3000)
    put(EventLake(tmp_path / "lake"), tables)
    elsewhere = EventLake(f"file://{tmp_path}/lake")
    assert not isinstance(elsewhere.source("impressions"), StoredTable)
    assert same(gather(elsewhere, plan, start + DAYS), evidence_of(*tables, plan, start + DAYS, {}))


def test_an_empty_lake_has_nothing_to_say(lake, plan, start):
    nothing = evidence_of(
        *(TABLES[name].schema.empty_table() for name in ("impressions", "outcomes")), plan, start + DAYS, {}
    )
    assert same(gather(lake, plan, start + DAYS), nothing)
    assert nothing.health.last_event is None
    assert [moments.units for moments in nothing.arms.values()] == [0, 0]


def test_what_was_erased_or_forgotten_does_not_count(lake, crowd, plan, start):
    impressions, outcomes = crowd(3000)
    put(lake, (impressions, outcomes))
    unit = impressions["unit"][0].as_py()
    day = (start + timedelta(days=2)).date()
    upkeep.erase(lake, unit)
    for name in ("impressions", "outcomes"):
        upkeep.forget(lake, name, day)
        upkeep.compact(lake, name)
    theirs = {row["event_id"] for row in impressions.to_pylist() if row["unit"] == unit}
    left = [
        pa.Table.from_pylist(
            [row for row in table.to_pylist()
             if row["unit"] != unit and row["date"] >= day and row.get("impression_id") not in theirs],
            schema=table.schema,
        )
        for table in (impressions, outcomes)
    ]  # fmt: skip
    found = gather(lake, plan, start + DAYS)
    assert same(found, evidence_of(*left, plan, start + DAYS, {}))
    assert 0 < left[0].num_rows < impressions.num_rows


def test_columns_that_older_files_lack_are_missing_there(lake, crowd, plan, start):
    impressions, outcomes = crowd(3000)
    put(lake, (impressions, outcomes))
    handle = lake.begin("impressions")
    parts = handle.parts()
    row = {"event_id": "old", "ts": start, "arm": "mosaic", "unit": "f" * 32, "delivery": "d", "delivered_at": start}
    stored = pa.schema([field for field in impressions.schema if field.name in row])
    pq.write_table(pa.Table.from_pylist([row], schema=stored), parts.beginning(("spring", str(start.date()))))
    handle.commit(parts, "old")
    whole = {"experiment": "spring", "date": start.date(), **row}
    more = pa.concat_tables([impressions, pa.Table.from_pylist([whole], schema=impressions.schema)])
    assert same(gather(lake, plan, start + DAYS), evidence_of(more, outcomes, plan, start + DAYS, {}))


def test_files_that_a_question_does_not_need_are_not_opened(lake, crowd):
    """A lake of many experiments has thousands; to open all of them for each part of a question takes seconds."""
    put(lake, crowd(30))
    own = lake.source("impressions")
    unread = [StoredFile(f"{name}.parquet", ("autumn", "2026-11-02"), 10, 7) for name in "ab"]
    table = StoredTable("impressions", own.root, (*own.files, *unread))
    for path in table.paths(unread):
        Path(path).write_text("no Parquet")
    with duckdb.connect() as engine:
        engine.execute(f"CREATE VIEW impressions AS {table.query(('experiment', 'unit'))}")
        shown = "SELECT count(unit) FROM impressions WHERE experiment ="
        ((found,),) = engine.execute(f"{shown} 'spring'").fetchall()
        assert found == sum(file.rows for file in own.files) > 0
        with pytest.raises(duckdb.Error, match="Parquet"):
            engine.execute(f"{shown} 'autumn'")


def test_the_engine_is_told_how_much_there_is(lake, crowd):
    """Or it would guess from one file, and hold the larger table in memory instead of the smaller."""
    put(lake, crowd(3000))
    table = lake.source("impressions")
    with duckdb.connect() as engine:
        ((_, plan),) = engine.execute(f"EXPLAIN {table.query(('unit',))}").fetchall()
    assert f"{sum(file.rows for file in table.files):,} rows" in plan


def test_what_does_not_fit_in_memory_goes_to_disk_and_is_gone_afterwards(
    lake, crowd, plan, start, monkeypatch, tmp_path
):
    tables, spilled = crowd(400_000), []
    put(lake, tables)
    real = engine._answer

    def watching(connection, *asked):
        facts = real(connection, *asked)
        spilled.append(connection.sql("SELECT coalesce(sum(size), 0) FROM duckdb_temporary_files()").fetchall()[0][0])
        return facts

    monkeypatch.setattr(engine, "_answer", watching)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "it's temporary"))
    (tmp_path / "it's temporary").mkdir()
    in_memory = gather(lake, plan, start + DAYS)
    on_disk = gather(EventLake(lake.root, "60MB"), plan, start + DAYS)
    assert spilled[0] == 0 < spilled[1]
    assert on_disk == in_memory
    assert list((tmp_path / "it's temporary").iterdir()) == []


@pytest.mark.parametrize("turns", [2, 4])
def test_units_told_apart_in_turns_are_the_same(lake, crowd, plan, start, turns, monkeypatch):
    impressions, outcomes = crowd(3000)
    put(lake, (impressions, outcomes))
    at_once, asked = gather(lake, plan, start + DAYS), []
    monkeypatch.setattr(DuckDB, "turns", lambda _, impressions, **__: asked.append(impressions) or turns)
    assert gather(lake, plan, start + DAYS) == at_once
    assert asked == [impressions["experiment"].to_pylist().count("spring")]
    assert asked[0] < impressions.num_rows
    elsewhere = gather(EventLake(f"file://{lake.root}"), plan, start + DAYS)
    assert same(elsewhere, at_once)
    assert len(asked) == 1, "what is fetched is fetched once"


def test_units_take_turns_where_they_would_not_fit_and_reading_is_quicker_than_disk():
    sizes = (0, 20_000_000, 40_000_000, 100_000_000, 200_000_000, 1_000_000_000)
    assert [DuckDB("2GiB").turns(each, numbered=True) for each in sizes] == [1, 1, 2, 4, 8, 1]
    assert [DuckDB("2GiB").turns(each, numbered=False) for each in sizes] == [1, 1, 2, 4, 1, 1]
    assert DuckDB("4GiB").turns(40_000_000, numbered=True) == 1
    assert [DuckDB("2GiB").holds(each) for each in sizes] == [True, False, False, False, False, False]
    assert DuckDB("2GiB").holds(5_000_000)


def test_too_little_memory_is_said_in_one_line(lake, crowd, plan, start):
    put(lake, crowd(3000))
    with pytest.raises(ExperimentError, match=r"2MB of memory is too little .* `memory` under \[stores\]") as caught:
        gather(EventLake(lake.root, "2MB"), plan, start + DAYS)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone_is_a_failure_of_storage(lake, crowd, plan, start):
    put(lake, crowd(3000))
    next(Path(lake.root, "impressions").rglob("*.parquet")).unlink()
    with pytest.raises(StorageFailure, match="cannot be read"):
        gather(lake, plan, start + DAYS)


def test_a_workspace_says_how_much_memory_there_is(tmp_path):
    workspace = create_workspace(tmp_path / "ads")
    settings = workspace.root / SETTINGS
    migrate(workspace.database_url)
    with open_context(workspace) as context:
        assert context.lake.engine == DuckDB("2GiB")
    settings.write_text(settings.read_text().replace('# memory = "2GiB"', 'memory = "512 MiB"'))
    with open_context(open_workspace(workspace.root)) as context:
        assert context.lake.engine == DuckDB("512 MiB")
    settings.write_text(settings.read_text().replace("512 MiB", "plenty"))
    with pytest.raises(DocumentError, match=r"stores\.memory"):
        open_workspace(workspace.root)


def test_others_experiments_are_one_part_beside_ones_own():
    named = [(name, day) for name in ("spring", "winter", "it's summer") for day in ("2026-11-02", "2026-11-03")]
    files = tuple(StoredFile(f"{number}.parquet", keys, 1, 1) for number, keys in enumerate(named))
    apart = StoredTable("impressions", "/lake", files).apart("experiment", "spring")
    parts = {told["experiment"]: len(paths) for told, paths in apart.alike(["experiment"])}
    assert parts == {"spring": 2, "": 4}
