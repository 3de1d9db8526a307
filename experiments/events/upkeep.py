"""Keeping the lake: small files made one, old days forgotten, one unit erased or handed out, tables exported.

Every change is a commit of Delta, so whoever reads a version goes on reading it until its files are vacuumed; only then
is what was deleted gone from the disk. Files of an object store are worked on as copies on this machine, few at a time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError

from experiments.core.errors import ExperimentError, TryLater
from experiments.events.append import LOG, Append
from experiments.events.engine import bounded_engine
from experiments.events.lake import EventLake
from experiments.events.numbers import UNIT_NUMBER, numbered
from experiments.events.parts import Keys, Parts
from experiments.events.schema import TABLES
from experiments.events.storage import storage_failures
from experiments.events.stored import StoredFile, StoredTable, parquet

MANY_FILES = 8
"""In one folder: so many are worth making one."""
ORPHAN_HOURS = 48
"""A file that no log speaks of may be one that is being written; after so long it is not."""
EVENTS = ("impressions", "outcomes")
_VALUE, _AROUND = r'"(?:[^"\\]|\\.)*"|[^",]+', '" {}[]:'
"""A value of a rejected line, which is kept as JSON or as CSV with commas, and what may be around it."""
_SAID = (
    f"flatten(list_transform(regexp_extract_all(text, '{_VALUE}'), "
    f"lambda value: string_split(trim(value, '{_AROUND}'), '/')))"
)
"""All values of such a line, and the parts of those that are joined, in SQL."""
Marks = Callable[[str], Sequence[str]]
"""What may stand for a text where a line's values could not be told apart, and all were hashed."""


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
    handle = _begin(lake, name)
    parts, gone = handle.parts(), list[StoredFile]()
    order = "ORDER BY ts, event_id" if name in EVENTS else ""
    with storage_failures(lake.root), bounded_engine(lake.memory) as engine, _discarding(parts):
        for keys, files in _by_folder(handle).items():
            if len(files) >= MANY_FILES:
                with handle.at_hand(files) as paths:
                    _copy(engine, parts, keys, f"SELECT * FROM {_whole(name, parquet(paths))} {order}")
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


def orphaned(lake: EventLake, as_of: datetime) -> tuple[str, ...]:
    """The tables that have files of writers who died, none of them so young that its writer may live."""
    before = as_of - timedelta(hours=ORPHAN_HOURS)
    return tuple(name for name in TABLES if lake.orphans(name, before))


def clear(lake: EventLake, name: str, as_of: datetime) -> Upkeep:
    """Remove those files; no version loses anything."""
    return remove(lake, name, lake.orphans(name, as_of - timedelta(hours=ORPHAN_HOURS)))


def remove(lake: EventLake, name: str, paths: Collection[str]) -> Upkeep:
    """Remove files of a table from the disk."""
    handle = lake.begin(name)
    with storage_failures(lake.root):
        objects = handle.objects()
        for path in paths:
            objects.remove(path)
    return Upkeep(name, files=len(paths), version=handle.version)


def folders(lake: EventLake, name: str) -> tuple[tuple[date, str | None], ...]:
    """The days, and where the table has them the experiments, that it has rows of; from its log alone."""
    return tuple(_day_and_experiment(name, keys) for keys in _by_folder(lake.begin(name)))


def forget(lake: EventLake, name: str, before: date, keep: Collection[str] = ()) -> Upkeep:
    """Delete the days before ``before``; the experiments in ``keep`` keep theirs (where the table has experiments).

    Raises:
        TryLater: where somebody else wrote meanwhile.
    """
    handle, gone = _begin(lake, name), list[StoredFile]()
    for keys, files in _by_folder(handle).items():
        if _is_old(name, keys, before, keep):
            gone += files
    if gone:
        handle.replace(gone, handle.parts(), data_change=True)
        if name in EVENTS:  # of others no evidence is made
            lake.forget_checkpoints(before)
    return Upkeep(name, rows=sum(each.rows for each in gone), files=len(gone), version=handle.version)


def forgotten(
    lake: EventLake, name: str, before: date, keep: Collection[str], removed_before: datetime
) -> tuple[str, ...]:
    """Files of such days that left the table before an instant and are on the disk yet.

    Those of days that are kept are none of them, whatever took them out of the table: evidence names older versions.
    """
    outdated = lake.outdated(name)
    if not outdated:  # all of the log is read only where it must be
        return ()
    with storage_failures(lake.root):
        removed = lake.begin(name).removed(removed_before)
    return tuple(path for path, keys in removed.items() if path in outdated and _is_old(name, keys, before, keep))


def erase(
    lake: EventLake, unit: str, earlier: Sequence[str] = (), marks: Marks = lambda _text: ()
) -> tuple[Upkeep, ...]:
    """Delete every row of a unit, given by its hash, and what rejected lines say of it; the disk is vacuumed at once.

    Clicks that name an impression of the unit, and not the unit itself, are the unit's too, and so are conversions that
    name such a click, refunds of its conversions, and rejected lines that name any of them. What names goes before what
    is named, so that an erasure that was interrupted finds the rest when it is repeated. Rejected lines may know the
    unit by its ``earlier`` hashes, those before the key was changed, and its events by ``marks``.
    """
    with storage_failures(lake.root), bounded_engine(lake.memory) as engine:
        _theirs(lake, engine, unit, marks)
        done = (
            _delete(lake, engine, "rejects", _speaks_of(unit, *earlier)),
            _delete(lake, engine, "outcomes", _followed(unit)),
            _delete(lake, engine, "impressions", f"unit = '{unit}'"),
        )
    lake.forget_checkpoints()
    for name in TABLES:
        vacuum(lake, name, 0)
        handle = lake.begin(name)
        if any(each in entry for entry in handle.log() for each in (unit, *earlier)):
            forget_log(lake, name)
    return done


def of_unit(
    lake: EventLake, unit: str, earlier: Sequence[str] = (), marks: Marks = lambda _text: ()
) -> Iterator[Mapping[str, Any]]:
    """Everything the lake holds of a unit, as `erase` finds it, each with its table."""
    conditions = {
        "impressions": f"unit = '{unit}'",
        "outcomes": _followed(unit),
        "rejects": _speaks_of(unit, *earlier),
    }
    with storage_failures(lake.root), bounded_engine(lake.memory) as engine:
        _theirs(lake, engine, unit, marks)
        for name, condition in conditions.items():
            order = "ts, event_id" if name in EVENTS else "delivered_at, delivery, line"
            source = _rows(lake, engine, name)
            rows = engine.sql(f"SELECT * FROM {source} WHERE {condition} ORDER BY {order}").to_arrow_table()
            for row in rows.to_pylist():
                yield {"table": name, **row}


def _theirs(lake: EventLake, engine: duckdb.DuckDBPyConnection, unit: str, marks: Marks) -> None:
    """Make the tables ``theirs`` of the unit's impressions, ``clicked`` of its clicks, and ``adjusting`` of what was
    said of its conversions.

    Files that are older than adjustments have no such column, so those are told by their ids. The last, ``speaking``,
    is of the rejected lines of outcomes that have an id of any of its events among their values: of an id that a
    mapping joins, all parts.
    """
    source, outcomes = _rows(lake, engine, "impressions"), _rows(lake, engine, "outcomes")
    engine.execute(f"CREATE TABLE theirs AS SELECT event_id FROM {source} WHERE unit = '{unit}'")
    engine.execute(f"CREATE TABLE clicked AS SELECT event_id FROM {outcomes} WHERE kind = 'click' AND ({_named(unit)})")
    engine.execute(
        f"CREATE TABLE adjusting AS SELECT event_id FROM {outcomes} WHERE adjusts IN "
        f"(SELECT event_id FROM {outcomes} WHERE kind = 'conversion' AND ({_converted(unit)}))"
    )
    events = f"FROM theirs UNION SELECT event_id FROM {outcomes} WHERE {_followed(unit)}"
    ids = [name for (name,) in engine.execute(events).fetchall()]
    spelled = [parts for name in ids for parts in _spellings(name, marks)]
    texts = pa.array([max(parts, key=len) for parts in spelled], pa.string())
    engine.register("spelled", pa.table({"longest": texts, "parts": pa.array(spelled, pa.list_(pa.string()))}))
    lines = f"SELECT text, unnest({_SAID}) AS value FROM {_rows(lake, engine, 'rejects')}"
    engine.execute(
        f"CREATE TABLE speaking AS SELECT DISTINCT text FROM ({lines} WHERE kind NOT IN ('impression', 'count')) "
        f"JOIN spelled ON value = longest WHERE list_has_all({_SAID}, parts)"
    )
    engine.unregister("spelled")


def _spellings(event: str, marks: Marks) -> Iterator[list[str]]:
    """The ways in which a rejected line may write an event's id: the values that it has then."""
    parts = [part.strip(_AROUND) for part in event.split("/")]
    parts = [part for part in parts if part]
    if parts:
        yield parts
        yield from ([mark] for mark in marks(event))
        yield from map(list, zip(*map(marks, parts), strict=True))


def _named(unit: str) -> str:
    """Which outcomes name a unit, or an impression of its."""
    return f"unit = '{unit}' OR impression_id IN (FROM theirs)"


def _converted(unit: str) -> str:
    """Which conversions name those, or one of its clicks."""
    return f"{_named(unit)} OR click_id IN (FROM clicked)"


def _followed(unit: str) -> str:
    """Which outcomes are a unit's."""
    return f"{_named(unit)} OR (kind = 'conversion' AND ({_converted(unit)} OR event_id IN (FROM adjusting)))"


def _speaks_of(*hashes: str) -> str:
    """Which rejected lines name a unit, or what is known as its."""
    return " OR ".join([*(f"contains(text, '{each}')" for each in hashes), "text IN (SELECT text FROM speaking)"])


def rewrite(
    lake: EventLake,
    name: str,
    column: str,
    by: str,
    told: Sequence[Transaction],
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Upkeep:
    """Put the SQL expression ``by`` in place of a column, in every row that has a value in it, in their order.

    A file is rewritten at a time, and one commit, which remembers what it is ``told``, makes all of them count at once.

    Raises:
        TryLater: where somebody else wrote meanwhile.
    """
    handle = _begin(lake, name)
    parts, gone, rows, done = handle.parts(), list[StoredFile](), 0, 0
    files = handle.files()
    of = sum(file.rows for file in files)
    with storage_failures(lake.root), bounded_engine(lake.memory) as engine, _discarding(parts):
        engine.execute("SET preserve_insertion_order = true")
        progress(0, of)
        for file in files:
            with handle.at_hand([file]) as paths:
                ((found,),) = engine.execute(f"SELECT count({column}) FROM {parquet(paths)}").fetchall()
                if found:
                    replaced = f"(SELECT * REPLACE ({by} AS {column}) FROM {parquet(paths)})"
                    _copy(engine, parts, file.keys, f"FROM {_whole(name, replaced)}")
                    gone.append(file)
            rows, done = rows + found, done + file.rows
            progress(done, of)
        handle.replace(gone, parts, data_change=True, also=told)
    lake.forget_checkpoints()
    return Upkeep(name, rows=rows, files=len(gone), version=handle.version)


def forget_log(lake: EventLake, name: str) -> None:
    """Remove the log's entries before the latest version: they name what files held that are gone.

    The latest version is written down whole first, what was delivered included; older ones can no longer be asked for.
    """
    with _changing(lake, name) as table:
        table.create_checkpoint()
        objects = lake.begin(name).objects()
        for path in objects.sizes(LOG):
            number = path.rpartition("/")[2].partition(".")[0]
            if number.isdigit() and int(number) < table.version():
                objects.remove(path)


def export(lake: EventLake, name: str, out: Path, form: str) -> int:
    """One table as Parquet or CSV, whole or not at all. Returns its rows.

    Raises:
        ExperimentError: for another form.
    """
    if form not in ("parquet", "csv"):
        raise ExperimentError(f"events are exported as parquet or csv, not as {form!r}")
    aside = out.with_name(f".{out.name}.part")
    try:
        with storage_failures(str(out)), bounded_engine(lake.memory) as engine:
            source = _rows(lake, engine, name)
            target = str(aside).replace("'", "''")
            header = "" if form == "parquet" else ", HEADER"
            ((count,),) = engine.execute(
                f"COPY (SELECT * FROM {source}) TO '{target}' (FORMAT {form}{header})"
            ).fetchall()
        aside.replace(out)
        return int(count)
    finally:
        aside.unlink(missing_ok=True)


def _delete(lake: EventLake, engine: duckdb.DuckDBPyConnection, name: str, condition: str) -> Upkeep:
    """Rewrite the files that hold such rows without them."""
    handle = _begin(lake, name)
    parts, gone, rows = handle.parts(), list[StoredFile](), 0
    with _discarding(parts):
        for file in handle.files():
            with handle.at_hand([file]) as paths:
                source = parquet(paths)
                ((found,),) = engine.execute(f"SELECT count(*) FROM {source} WHERE {condition}").fetchall()
                if found:
                    gone.append(file)
                    rows += found
                    if found < file.rows:
                        _copy(engine, parts, file.keys, f"SELECT * FROM {source} WHERE ({condition}) IS NOT TRUE")
        if gone:
            handle.replace(gone, parts, data_change=True)
    return Upkeep(name, rows=rows, files=len(gone), version=handle.version)


def _begin(lake: EventLake, name: str) -> Append:
    """A handle on a table whose files hold its rows and no others."""
    handle = lake.begin(name)
    if features := handle.table.protocol().reader_features:
        raise ExperimentError(
            f"{lake.root}/{name} uses {', '.join(sorted(features))} of Delta, which we do not: keep it with the tool "
            "that brought that in"
        )
    return handle


def _rows(lake: EventLake, engine: duckdb.DuckDBPyConnection, name: str) -> str:
    """A table of the lake as DuckDB is to name it."""
    source, told = lake.source(name), TABLES[name].told
    if isinstance(source, StoredTable):
        return f"({source.query(told)})"
    engine.register(name, source)
    return f"(SELECT {', '.join(told)} FROM {name})"


def _whole(name: str, rows: str) -> str:
    """Rows of a table's files with what is made of them."""
    return numbered(rows) if UNIT_NUMBER in TABLES[name].schema.names else rows


def _by_folder(handle: Append) -> dict[Keys, list[StoredFile]]:
    found: dict[Keys, list[StoredFile]] = {}
    for file in handle.files():
        found.setdefault(file.keys, []).append(file)
    return found


def _is_old(name: str, keys: Keys, before: date, keep: Collection[str]) -> bool:
    """Whether a folder is to be forgotten."""
    day, experiment = _day_and_experiment(name, keys)
    return day < before and experiment not in keep


def _day_and_experiment(name: str, keys: Keys) -> tuple[date, str | None]:
    told = dict(zip(TABLES[name].partition_by, keys, strict=True))
    return date.fromisoformat(told["date"]), told.get("experiment")


def _copy(engine: duckdb.DuckDBPyConnection, parts: Parts, keys: Keys, query: str) -> None:
    target = str(parts.beginning(keys)).replace("'", "''")
    engine.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


@contextmanager
def _discarding(parts: Parts) -> Iterator[None]:
    """What nobody was told of does not stay behind."""
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
