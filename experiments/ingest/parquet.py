"""Parquet: typed columns by name, row group by row group, as the same text that a CSV file would have.

Instants are written in RFC 3339 (with ``Z`` where the column has a time zone, and without where it has none), whole
floats without a point, decimals digit by digit; a struct's fields are columns ``a.b``. A record is a row: the first is
1. Only columns that mean something are read, a few thousand rows at a time.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from experiments.ingest.formats import MACRO_BEGINS, Broken, Heading, Rows
from experiments.ingest.hashing import HashedUnits
from experiments.ingest.json_lines import masked_record
from experiments.ingest.layout import Mapped
from experiments.ingest.log import FileRefused, Line, Log
from experiments.ingest.masks import layers_in

ROWS = 50_000
"""Rows at a time."""
_BUFFER = 1 << 20
"""Bytes of each column that are read at a time, however large its row group is."""
_WHOLE = {pa.float16(): float(1 << 11), pa.float32(): float(1 << 24), pa.float64(): float(1 << 53)}
"""Below it every whole float is exact, by type."""
_IDS = frozenset({"event_id", "unit", "impression_id", "click_id", "adjusts"})
"""Columns in which a rounded number would be somebody, or something, else."""


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Some rows, as text."""

    numbers: NDArray[np.int64]
    cells: Mapping[str, pa.Array]
    """By the name of the column in the file."""
    unreadable: Mapping[int, str]
    """Rows that hold what is no text, and why not."""

    def __len__(self) -> int:
        return len(self.numbers)

    def lines(self, chosen: NDArray[np.intp]) -> Iterator[Line]:
        """The chosen rows as JSON, without what is empty."""
        for place in chosen.tolist():
            record = {name: column[place].as_py() for name, column in self.cells.items()}
            said = {name: value for name, value in record.items() if value}
            yield Line(int(self.numbers[place]), json.dumps(said, ensure_ascii=False))


class Parquet:
    """A file's columns and rows.

    Raises:
        FileRefused: where it is damaged, lacks a column, or has one of ours that is no single value.
    """

    def __init__(self, log: Log, asked: str | None, mapped: Mapped | None = None) -> None:
        self._log = log
        with _damages(log):
            self._file = pq.ParquetFile(
                pa.PythonFile(log.file, "r"), buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            )
            found = list(_leaves(self._file.schema_arrow))
        leaves = dict(found)
        self._names = list(leaves)
        if twice := sorted(name for name, count in Counter(name for name, _ in found).items() if count > 1):
            raise FileRefused(f"{log.path.name} has {twice[0]} more than once: keep one column of each")
        self._heading = Heading.of(log.path.name, self._names, asked, mapped)
        self.kind = self._heading.kind
        self.header: str | None = None
        self.feed, self.repaired = mapped.source if mapped else None, self._heading.repaired
        self.layers = layers_in(self._names[place] for place in self._heading.masked)
        self._read = [self._names[place] for place in self._heading.wanted.values()]
        self._said = dict(zip(self._names, self._heading.columns, strict=True))
        for name in self._read:
            if not _is_readable(leaves[name]):
                raise FileRefused(f"{log.path.name}: {name} holds {leaves[name]}, which is no text, number or time")

    def blocks(self) -> Iterator[RowBlock]:
        """All rows.

        Raises:
            FileRefused: where it is damaged, or changes meanwhile.
        """
        first = 1
        with _damages(self._log):
            for group in range(self._file.num_row_groups):
                for batch in self._file.iter_batches(ROWS, [group], self._read, use_threads=False):
                    yield self._block(batch, first)
                    first += batch.num_rows
        self._log.check_unchanged()

    def _block(self, batch: pa.RecordBatch, first: int) -> RowBlock:
        cells, unreadable = {}, dict[int, str]()
        for name in self._read:
            column = _column(batch, name)
            if self._said[name] in _IDS and _is_rounded(column):
                raise FileRefused(
                    f"{self._log.path.name}: {name} holds ids as {column.type}, which rounds numbers this large, so "
                    "that ids are no longer told apart: write it as whole numbers or text"
                )
            cells[name], broken = _text(column)
            unreadable = broken | unreadable
        return RowBlock(np.arange(first, first + batch.num_rows), cells, unreadable)

    def rows(self, block: RowBlock, but: frozenset[str] = frozenset()) -> Rows:
        """The block's rows, but for those that hold what is no text."""
        broken = [Broken(place, reason) for place, reason in sorted(block.unreadable.items())]
        places = np.delete(np.arange(len(block)), list(block.unreadable))
        chosen = {
            key: block.cells[self._names[place]].take(pa.array(places)) if broken else block.cells[self._names[place]]
            for key, place in self._heading.wanted.items()
        }
        macros = any(pc.any(pc.match_substring_regex(column, MACRO_BEGINS)).as_py() for column in chosen.values())
        return self._heading.rows(block, places, chosen, broken, macros=macros, but=but)

    def masked(self, text: str, units: HashedUnits) -> str:
        """As JSON, by the meaning of the columns."""
        masked = frozenset(self._names[place] for place in self._heading.masked)
        return masked_record(json.loads(text), self._said, units, masked, self._heading.nothing)


class _damages:  # noqa: N801 - reads like a function
    """What Arrow cannot read is refused in one line."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError):
            raise FileRefused(f"{self._log.path.name} is cut or damaged Parquet: deliver it again, whole") from error


def _leaves(fields: Sequence[pa.Field], prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Every column, with the fields of structs for the struct."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _leaves(list(field.type), f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field.type


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column by its name, or the field of a struct; nothing where the struct is nothing."""
    if name in batch.schema.names:
        return batch.column(name)
    top, *path = name.split(".")
    return pc.struct_field(batch.column(top), path)


def _is_readable(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_readable(kind.value_type)
    return _is_bytes(kind) or isinstance(kind, pa.UuidType) or any(
        each(kind)
        for each in (
            types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_timestamp, types.is_date,
            types.is_time, types.is_null,
        )
    )  # fmt: skip


def _text(column: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """A column as text, empty where there is nothing, and which of its values are none, and why."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_timestamp(kind):
        moments = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us")).cast(pa.string())
        column = moments if kind.tz is None else pc.binary_join_element_wise(moments, "Z", "")
    elif isinstance(kind, pa.UuidType):
        column = pa.array([None if each is None else str(each) for each in column.to_pylist()], pa.string())
    elif pa.types.is_floating(kind):
        column = _floats(column)
    elif _is_bytes(kind):
        return _strings(column)
    return pc.fill_null(column.cast(pa.string()), ""), {}


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        or types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )  # fmt: skip


def _is_rounded(column: pa.Array) -> bool:
    """Whether numbers are among these that floats of their type do not tell from their neighbours."""
    if not pa.types.is_floating(column.type):
        return False
    large = pc.greater_equal(pc.abs(column.cast(pa.float64())), _WHOLE[column.type])
    return bool(pc.any(pc.and_(large, pc.is_finite(column.cast(pa.float64())))).as_py())


def _floats(column: pa.Array) -> pa.Array:
    """As short as they are told apart; without a point where they are whole, and nothing where they are no number."""
    numbers = column.cast(pa.float64())
    whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less(pc.abs(numbers), _WHOLE[column.type]))
    integers = pc.if_else(pc.fill_null(whole, fill_value=False), numbers, 0.0).cast(pa.int64()).cast(pa.string())
    said = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.string()), column.cast(pa.string()))
    return pc.if_else(whole, integers, said)


def _strings(column: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Bytes as UTF-8, which Parquet promises and does not check."""
    octets = column.cast(pa.large_binary()).cast(pa.binary())
    try:
        text, broken = octets.cast(pa.string()), {}
    except pa.ArrowInvalid:
        found = [(value or b"").decode(errors="replace") for value in octets.to_pylist()]
        broken = {
            place: "not_utf8"
            for place, (value, told) in enumerate(zip(octets.to_pylist(), found, strict=True))
            if (value or b"") != told.encode()
        }
        text = pa.array(found, pa.string())
    text = pc.fill_null(text, "")
    nul = pc.match_substring(text, "\0").to_numpy(zero_copy_only=False)
    return text, dict.fromkeys(np.flatnonzero(nul).tolist(), "nul_byte") | broken
