"""Keeping the lake: small files made one, old days forgotten, one unit erased or handed out, tables exported.

Every change is a commit of Delta, so whoever reads a version goes on reading it until its files are vacuumed; only then
is what was deleted gone from the disk.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from experiments.core.errors import ExperimentError, TryLater
from experiments.events.lake import Append, EventLake, storage_failures
from experiments.events.parts import Keys, Parts
from experiments.events.schema import TABLES
from experiments.events.stored import StoredFile, parquet

MANY_FILES = 8
"""In one folder: so many are worth making one."""
ORPHAN_HOURS = 48
"""A file that no log speaks of may be one that is being written; after so long it is not."""
EVENTS = ("impressions", "outcomes")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done to one table."""

    table: str
    rows: int = 0
    """Deleted."""
    files: int = 0
    """Made into fewer, or removed from the disk."""
    version: int = 0


def crowded(lake: EventLake) -> tuple[str, ...]:
    """The tables in which some folder has MANY_FILES or more."""
    return tuple(
        name for name in TABLES if any(len(each) >= MANY_FILES for each in _by_folder(lake.begin(name)).values())
    )


def compact(lake: EventLake, name: str) -> Upkeep:
    """Make the files of each crowded folder one, in the order of their events; no row changes.

    Raises:
        TryLater: where somebody else wrote meanwhile.
    """
    handle = _local(lake, name)
    parts, gone = handle.parts(), list[StoredFile]()
    with _discarding(parts, lake), duckdb.connect() as engine:
        for keys, files in _by_folder(handle).items():
            if len(files) >= MANY_FILES:
                order = "ORDER BY ts, event_id" if name in EVENTS else ""
                _copy(engine, parts, keys, f"SELECT * FROM {_read(parts, files)} {order}")
                gone += files
        if gone:
            handle.replace(gone, parts, data_change=False)
    return Upkeep(name, files=len(gone), version=handle.version)


def vacuum(lake: EventLake, name: str, hours: int) -> Upkeep:
    """Remove from the disk what no version of the last ``hours`` needs, orphans too.

    Older versions can then no longer be read: the evidence that was taken from them stands by its stored moments.
    """
    with _changing(lake, name) as table:
        gone = table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
        return Upkeep(name, files=len(gone), version=table.version())


def folders(lake: EventLake, name: str) -> tuple[tuple[date, str | None], ...]:
    """The days, and where the table has them the experiments, that it has rows of; from its log alone."""
    return tuple(_day_and_experiment(name, keys) for keys in _by_folder(lake.begin(name)))


def forget(lake: EventLake, name: str, before: date, keep: Collection[str] = ()) -> Upkeep:
    """Delete the days before ``before``; the experiments in ``keep`` keep theirs (where the table has experiments).

    Raises:
        TryLater: where somebody else wrote meanwhile.
    """
    handle, gone = _local(lake, name), list[StoredFile]()
    for keys, files in _by_folder(handle).items():
        day, experiment = _day_and_experiment(name, keys)
        if day < before and experiment not in keep:
            gone += files
    if gone:
        handle.replace(gone, handle.parts(), data_change=True)
    return Upkeep(name, rows=sum(each.rows for each in gone), files=len(gone), version=handle.version)


def erase(lake: EventLake, unit: str) -> tuple[Upkeep, ...]:
    """Delete every row of a unit, given by its hash, and what rejected lines say of it; the disk is vacuumed at once.

    Clicks that name an impression of the unit, and not the unit itself, are the unit's too.
    """
    with duckdb.connect() as engine:
        engine.register("impressions", lake.dataset("impressions"))
        engine.execute("CREATE TABLE theirs AS SELECT event_id FROM impressions WHERE unit = ?", [unit])
        done = (
            _delete(lake, engine, "impressions", f"unit = '{unit}'"),
            _delete(lake, engine, "outcomes", f"unit = '{unit}' OR impression_id IN (SELECT event_id FROM theirs)"),
            _delete(lake, engine, "rejects", f"contains(text, '{unit}')"),
        )
    for name in TABLES:
        vacuum(lake, name, 0)
    return done


def of_unit(lake: EventLake, unit: str) -> Iterator[Mapping[str, Any]]:
    """Everything the lake holds of a unit, given by its hash, each with its table."""
    with storage_failures(lake.root), duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        for name in EVENTS:
            engine.register(name, lake.dataset(name))
        engine.execute("CREATE TABLE theirs AS SELECT event_id FROM impressions WHERE unit = ?", [unit])
        conditions = ("unit = $1", "unit = $1 OR impression_id IN (SELECT event_id FROM theirs)")
        for name, condition in zip(EVENTS, conditions, strict=True):
            query = f"SELECT * FROM {name} WHERE {condition} ORDER BY ts, event_id"
            for row in engine.sql(query, params=[unit]).to_arrow_table().to_pylist():
                yield {"table": name, **row}


def export(lake: EventLake, name: str, out: Path, form: str) -> int:
    """One table as Parquet or CSV, whole or not at all. Returns its rows.

    Raises:
        ExperimentError: for another form.
    """
    if form not in ("parquet", "csv"):
        raise ExperimentError(f"events are exported as parquet or csv, not as {form!r}")
    aside = out.with_name(f".{out.name}.part")
    try:
        with storage_failures(str(out)), duckdb.connect() as engine:
            engine.execute("SET TimeZone = 'UTC'")
            engine.register("rows", lake.dataset(name))
            target = str(aside).replace("'", "''")
            header = "" if form == "parquet" else ", HEADER"
            ((count,),) = engine.execute(f"COPY (SELECT * FROM rows) TO '{target}' (FORMAT {form}{header})").fetchall()
        aside.replace(out)
        return int(count)
    finally:
        aside.unlink(missing_ok=True)


def _delete(lake: EventLake, engine: duckdb.DuckDBPyConnection, name: str, condition: str) -> Upkeep:
    """Rewrite the files that hold such rows without them."""
    handle = _local(lake, name)
    parts, gone, rows = handle.parts(), list[StoredFile](), 0
    with _discarding(parts, lake):
        for file in handle.files():
            source = _read(parts, [file])
            ((found,),) = engine.execute(f"SELECT count(*) FROM {source} WHERE {condition}").fetchall()
            if found:
                gone.append(file)
                rows += found
                if found < file.rows:
                    _copy(engine, parts, file.keys, f"SELECT * FROM {source} WHERE ({condition}) IS NOT TRUE")
        if gone:
            handle.replace(gone, parts, data_change=True)
    return Upkeep(name, rows=rows, files=len(gone), version=handle.version)


def _local(lake: EventLake, name: str) -> Append:
    if "://" in lake.root:
        raise ExperimentError(
            f"{lake.root}: files in an object store are kept by that store's own tools for Delta tables"
        )
    return lake.begin(name)


def _by_folder(handle: Append) -> dict[Keys, list[StoredFile]]:
    found: dict[Keys, list[StoredFile]] = {}
    for file in handle.files():
        found.setdefault(file.keys, []).append(file)
    return found


def _day_and_experiment(name: str, keys: Keys) -> tuple[date, str | None]:
    told = dict(zip(TABLES[name].partition_by, keys, strict=True))
    return date.fromisoformat(told["date"]), told.get("experiment")


def _read(parts: Parts, files: Sequence[StoredFile]) -> str:
    return parquet([parts.folder / file.path for file in files])


def _copy(engine: duckdb.DuckDBPyConnection, parts: Parts, keys: Keys, query: str) -> None:
    target = str(parts.beginning(keys)).replace("'", "''")
    engine.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


@contextmanager
def _discarding(parts: Parts, lake: EventLake) -> Iterator[None]:
    """What nobody was told of does not stay behind."""
    with storage_failures(lake.root):
        try:
            yield
        finally:
            parts.discard()


@contextmanager
def _changing(lake: EventLake, name: str) -> Iterator[DeltaTable]:
    """The table as it is now; a conflict is for later, a failure of the disk is one line."""
    with storage_failures(lake.root):
        try:
            yield lake.begin(name).table
        except CommitFailedError as error:
            raise TryLater(f"{lake.root}: somebody else wrote to {name}; try again in a moment") from error
