"""Parquet files in a table's folders that its log does not know of yet: written as rows come, then told all at once.

Until the log speaks of them they count for nothing, so a writer may die at any moment.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from experiments.events.numbers import LARGEST, UNIT_NUMBER, with_numbers
from experiments.events.schema import TableLayout
from experiments.events.scratch import Scratch

ROWS_A_GROUP = 120_000
_MANY = ("event_id", "unit", UNIT_NUMBER, "impression_id", "click_id", "text", "ts", "line")
"""Columns of so many values that no dictionary makes them smaller."""

_LONGEST_BOUND = 64
"""Characters; a log is no place for longer texts."""
_PRIVATE = ("unit", UNIT_NUMBER, "text")
"""Columns that speak of people: the log outlives files, and must not go on naming a unit that was erased."""
_LEAST, _MOST = "", "\U0010ffff"
"""Bounds of any text. (A column that has values and no bounds is one that pyarrow's filters find nothing in.)"""

Keys = tuple[str, ...]
"""Values of the partition columns, as the log writes them."""


@dataclass(slots=True)
class _Part:
    path: Path
    writer: pq.ParquetWriter
    waiting: list[pa.Table] = field(default_factory=list)
    rows: int = 0

    def add(self, rows: pa.Table) -> None:
        self.waiting.append(rows)
        self.rows += rows.num_rows
        if self.rows >= ROWS_A_GROUP:
            self.flush()

    def flush(self) -> None:
        if self.rows:
            self.writer.write_table(pa.concat_tables(self.waiting), row_group_size=2 * ROWS_A_GROUP)
            self.waiting, self.rows = [], 0


class Parts:
    """The files of one attempt at one delivery. Close them before anybody reads them.

    Where the folder is of ``scratch``, files only wait in it to be sent elsewhere, and it goes when that is done.
    """

    def __init__(self, folder: Path, layout: TableLayout, scratch: Scratch | None = None) -> None:
        self.folder = folder
        self.sent = False
        """Whether the files, or some, are where the log may speak of them."""
        self._scratch = scratch
        self._layout = layout
        self._attempt = uuid.uuid4().hex
        self._stored = pa.schema([each for each in layout.schema if each.name not in layout.partition_by])
        self._open: dict[Keys, _Part] = {}
        self.files: dict[Path, Keys] = {}

    def add(self, rows: pa.Table) -> None:
        """Rows with the columns that the table has from others (``told``), in whatever folders they belong."""
        if UNIT_NUMBER in self._stored.names:
            rows = with_numbers(rows)
        for keys, chosen in _split(rows, self._layout.partition_by):
            part = self._open.get(keys)
            if part is None:
                part = self._open[keys] = self._begin(keys)
            part.add(chosen.select(self._stored.names).cast(self._stored))

    def close(self) -> None:
        """Write what waits."""
        for part in self._open.values():
            part.flush()
            part.writer.close()
        self._open.clear()

    def replace(self, file: Path, by: Path | None) -> None:
        """Another file in place of one of these, or none."""
        keys = self.files.pop(file)
        file.unlink()
        if by is not None:
            self.files[by] = keys

    def beside(self, file: Path) -> Path:
        """A name for a file that is to replace one of these."""
        return file.with_name(f"part-{uuid.uuid4().hex}.parquet")

    def told(self) -> None:
        """The log speaks of them now: they are no longer ours to remove."""
        self.files.clear()
        self._pass()

    def discard(self) -> None:
        """Remove them all: nobody will be told."""
        for part in self._open.values():
            part.writer.close()
        self._open.clear()
        for file in self.files:
            file.unlink(missing_ok=True)
        self.files.clear()
        self._pass()

    def path_of(self, file: Path) -> str:
        """As the log names it."""
        return file.relative_to(self.folder).as_posix()

    def beginning(self, keys: Keys) -> Path:
        """A file of that folder, to be written by somebody else."""
        path = self._folder_of(keys) / f"part-{uuid.uuid4().hex}.parquet"
        self.files[path] = keys
        return path

    def actions(self, *, data_change: bool = True) -> list[AddAction]:
        """What the log is to say of them."""
        return [self._action(file, keys, data_change=data_change) for file, keys in self.files.items()]

    def _pass(self) -> None:
        if self._scratch is not None:
            self._scratch.close()

    def _folder_of(self, keys: Keys) -> Path:
        named = zip(self._layout.partition_by, keys, strict=True)
        folder = self.folder.joinpath(*(f"{column}={quote(value, safe='')}" for column, value in named))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _begin(self, keys: Keys) -> _Part:
        path = self._folder_of(keys) / f"part-{self._attempt}.parquet"
        few = [each.name for each in self._stored if each.name not in _MANY]
        writer = pq.ParquetWriter(path, self._stored, compression="zstd", compression_level=1, use_dictionary=few)
        self.files[path] = keys
        return _Part(path, writer)

    def _action(self, file: Path, keys: Keys, *, data_change: bool) -> AddAction:
        facts, size = pq.read_metadata(file), file.stat().st_size
        return AddAction(
            path=self.path_of(file),
            size=size,
            partition_values=dict(zip(self._layout.partition_by, keys, strict=True)),
            modification_time=int(file.stat().st_mtime * 1000),
            data_change=data_change,
            stats=json.dumps(_statistics(facts)),
        )


def _split(rows: pa.Table, columns: tuple[str, ...]) -> Iterator[tuple[Keys, pa.Table]]:
    """The rows of each folder; most often they are all of one."""
    distinct = rows.group_by(list(columns), use_threads=False).aggregate([]).to_pylist()
    for values in distinct:
        keys = tuple(str(values[column]) for column in columns)
        if len(distinct) == 1:
            yield keys, rows
            continue
        chosen = pc.equal(rows[columns[0]], pa.scalar(values[columns[0]], rows.schema.field(columns[0]).type))
        for column in columns[1:]:
            scalar = pa.scalar(values[column], rows.schema.field(column).type)
            chosen = pc.and_(chosen, pc.equal(rows[column], scalar))
        yield keys, rows.filter(chosen)


def _statistics(facts: pq.FileMetaData) -> dict[str, Any]:
    """Rows, and of each column its ends and how many values are missing; readers skip files by them."""
    ends: dict[str, dict[str, Any]] = {"minValues": {}, "maxValues": {}}
    missing: dict[str, int] = {}
    for number in range(facts.num_columns):
        groups = [facts.row_group(group).column(number) for group in range(facts.num_row_groups)]
        known = [each.statistics for each in groups]
        name = facts.schema.column(number).path
        if any(each is None or not each.has_null_count for each in known):
            continue
        missing[name] = sum(each.null_count for each in known)
        some = [each for each in known if each.has_min_max]
        if some and all(each.has_min_max or each.num_values == 0 for each in known):
            least, most = min(each.min for each in some), max(each.max for each in some)
            if isinstance(most, str) and (name in _PRIVATE or max(len(least), len(most)) > _LONGEST_BOUND):
                least, most = _LEAST, _MOST
            elif name in _PRIVATE:
                least, most = 0, LARGEST
            ends["minValues"][name], ends["maxValues"][name] = _bound(least), _bound(most)
    return {"numRecords": facts.num_rows, **ends, "nullCount": missing}


def _bound(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value
