"""From the lines of a block to columns of cells, and back to a text that may be kept: CSV and JSON lines.

One line is one record: a quoted CSV value holds no line end, so that a stray quote costs its own line and no other. CSV
is split by Arrow, a block at a time; lines that it might read otherwise than RFC 4180 says (a quote that does not
close, or stands inside a value; a carriage return alone) are split by themselves. Where the header is one quoted cell
with the names in it, every row was quoted whole, and is unwrapped; a single such row in another file is rejected.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
from numpy.typing import NDArray

from experiments.ingest.feed import Layout, Mapped, asked_columns, bare
from experiments.ingest.hashing import HashedUnits
from experiments.ingest.header import COLUMNS, PRIVATE, canonical, check_columns, kind_of, known_to
from experiments.ingest.log import Block, FileRefused, Line
from experiments.ingest.masks import REASON_COLUMN, layers_in, masked_address, masked_unit, with_suffix, without_suffix
from experiments.ingest.values import Rejected

_MACRO_BEGINNINGS = (b"%%", b"${", b"{{", b"[", b"__")
MACRO_BEGINS = "|".join(re.escape(each.decode()) for each in _MACRO_BEGINNINGS)
"""The same for columns."""
_QUOTE, _COMMA, _LINE_END, _CARRIAGE_RETURN = 34, 44, 10, 13
_SPACE = " \t\n\v\f\r"
"""What Arrow trims: a unit must be the same text wherever it is read."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that has no cells."""

    place: int
    """Which line of its block."""
    reason: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The lines of a block that have cells."""

    places: NDArray[np.int64]
    """Which line of the block each row is."""
    cells: Mapping[str, pa.Array]
    """Text by column of the file's kind, one value a row, empty where there is none; absent where no row has any."""
    broken: tuple[Broken, ...]
    macros: bool = False
    """Whether any value might be a placeholder that an ad server did not fill in."""
    fed: bool = False
    """Whether the arm was found by trafficking, in a feed that knows of no arms."""
    elsewhere: int = 0
    """Lines of the block that another delivery of the same file accounts for."""
    ignored: int = 0
    """Lines that are of no kind, and that the mapping says to ignore."""
    hashed: NDArray[np.bool_] | None = None
    """Which rows have their unit as a hash already; None where none has."""


class Lines(Protocol):
    """Some records of a file, by their numbers."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """1 is the file's first line or, where it has none, row."""

    def __len__(self) -> int: ...

    def lines(self, chosen: NDArray[np.intp]) -> Iterator[Line]:
        """The chosen ones as text."""


L = TypeVar("L", bound=Lines, contravariant=True)


class Format(Protocol[L]):
    """A file's form, known once its beginning was read."""

    kind: str
    header: str | None
    """The first line as it is to be kept with rejected ones: its masked columns are named so; None where each line
    names its values itself."""
    feed: str | None
    repaired: bool
    """Whether the file is one of rejected lines that were exported."""
    layers: frozenset[int]
    """Under how many keys the units are hashed that are hashed already."""

    def rows(self, block: L) -> Rows:
        """The cells of a block's lines."""

    def masked(self, text: str, units: HashedUnits) -> str:
        """The line as it may be kept: values under our own public names as they came, units and addresses hashed."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What a file's columns are."""

    kind: str
    columns: Sequence[str | None]
    """Ours for each of theirs; None for those that are not asked for."""
    wanted: Mapping[str, int]
    """Where each column that is read stands: ours by name, a feed's by place."""
    layout: Layout | None = None
    masked: frozenset[int] = frozenset()
    """Places of columns whose units are hashed and addresses cut already."""
    repaired: bool = False
    """Whether it has a column of reasons to reject its rows."""

    @classmethod
    def of(cls, file_name: str, names: Sequence[str], asked: str | None, mapped: Mapped | None) -> "Heading":
        """Of a file with columns of these names.

        Raises:
            FileRefused: where it lacks one that no event can do without, or has one of ours twice.
        """
        repaired = any(bare(name) == bare(REASON_COLUMN) for name in names)
        if mapped is not None:
            layout = mapped.layout(file_name, names)
            meant = layout.meant
            columns = [meant.get(place) for place in range(len(names))]
            wanted = {str(place): place for place in sorted(layout.read)}
            found = cls(layout.kind, columns, wanted, layout, layout.masked, repaired)
            found.refuse_mixture(file_name, names)
            return found
        plain = list(map(_without_mask, names))
        masked = frozenset(place for place, name in enumerate(names) if plain[place] != name)
        columns = list(map(canonical, plain))
        kind = kind_of(file_name, asked, filter(None, columns))
        columns = [column if column in known_to(kind) else None for column in columns]
        found = [column for column in columns if column]
        twice = sorted({column for column in found if found.count(column) > 1})
        if twice:
            raise FileRefused(f"{file_name} has {', '.join(twice)} more than once: keep one column of each")
        check_columns(file_name, kind, found, names)
        wanted = {each: columns.index(each) for each in COLUMNS[kind] if each in columns}
        return cls(kind, columns, wanted, None, masked, repaired)

    @property
    def hashed(self) -> bool:
        """Whether units are hashes already."""
        return any(self.columns[place] == "unit" for place in self.masked)

    @property
    def nothing(self) -> frozenset[str]:
        """Values that stand for no unit."""
        return frozenset(self.layout.mapped.file.nothing.get("unit", ()) if self.layout else ())

    def with_hashes(self, hashed: bool) -> "Heading":
        """The same where all that is private is masked already, or nothing is."""
        if not hashed or self.layout is None:
            return self
        private = frozenset(self.layout.private)
        return replace(self, layout=replace(self.layout, masked=private), masked=private)

    def refuse_mixture(self, file_name: str, names: Sequence[str]) -> None:
        """A feed may have several columns of units: of which a row's is taken, nothing tells afterwards."""
        bare_ones = [
            name for place, name in enumerate(names) if self.columns[place] == "unit" and place not in self.masked
        ]
        if self.hashed and bare_ones:
            raise FileRefused(f"{file_name} has units both hashed and not ({', '.join(bare_ones)}): deliver two files")

    def named(self, names: Sequence[str]) -> list[str]:
        """The columns' names as rejected lines keep them."""
        private = {place for place, column in enumerate(self.columns) if column in PRIVATE} - self.masked
        return [
            with_suffix(without_suffix(name) or name) if place in private | self.masked else name
            for place, name in enumerate(names)
        ]

    def rows(
        self,
        block: Lines,
        places: NDArray[np.int64],
        cells: Mapping[str, pa.Array],
        broken: Sequence[Broken],
        *,
        macros: bool,
        hashed: NDArray[np.bool_] | None = None,
    ) -> Rows:
        """The lines of a block from those of their cells that are wanted, under our own names.

        ``hashed`` are the rows whose units are hashes already, where each row says so for itself.
        """
        layout = self.layout
        if layout is None:
            which = np.ones(len(places), np.bool_) if self.hashed else hashed
            return Rows(places, cells, tuple(broken), macros, hashed=which)
        raw = {place: cells[str(place)] for place in self.wanted.values()}
        elsewhere, ignored = 0, 0
        if sorts := layout.sorts(raw, len(places)):
            ours, nobodys, skipped = sorts
            broken = [*broken, *(Broken(int(place), "unknown_event_type") for place in places[nobodys])]
            ignored, elsewhere = int(skipped.sum()), int((~(ours | nobodys | skipped)).sum())
            if not ours.all():
                raw = {place: column.filter(pa.array(ours)) for place, column in raw.items()}
                places = places[ours]
        if not layout.mapped.first:
            elsewhere, broken = elsewhere + len(broken), ()
        found = layout.cells(raw, block.numbers[places])
        which = np.ones(len(places), np.bool_) if self.hashed else None
        return Rows(places, found, tuple(broken), macros, bool(layout.telling), elsewhere, ignored, which)


class Csv:
    """Comma-separated values under a header line (RFC 4180, but for line ends in quotes)."""

    def __init__(self, file_name: str, header: Line, asked: str | None, mapped: Mapped | None = None) -> None:
        if header.unreadable:
            raise FileRefused(f"{file_name} {_UNREADABLE[header.unreadable]}")
        if not header.ended:
            raise FileRefused(f"{file_name} has no whole header line of text: was it cut?")
        try:
            names = _split(header.text)
            self._wrapped = len(names) == 1 and "," in names[0]
            names = _split(names[0]) if self._wrapped else names
        except Rejected:
            raise FileRefused(f"{file_name} has a header line that is no CSV: it says {header.text[:80]!r}") from None
        self._width = len(names)
        self._heading = Heading.of(file_name, names, asked, mapped)
        self.kind, self._columns, self._wanted = self._heading.kind, self._heading.columns, self._heading.wanted
        self.header: str | None = joined(self._heading.named(names))
        self.feed, self.repaired = mapped.source if mapped else None, self._heading.repaired
        self.layers = layers_in(names[place] for place in self._heading.masked)

    def rows(self, block: Block) -> Rows:
        """A last line without a line end may have been cut within a value, so it is not taken."""
        broken = []
        careful, unreadable = self._careful(block), {}
        for place, line in zip(np.flatnonzero(careful).tolist(), block.lines(careful), strict=True):
            if line.unreadable:
                unreadable[place] = line.unreadable
        if not block.ended:
            careful = careful.copy()
            careful[-1] = True
            unreadable.setdefault(len(block) - 1, "unterminated_line")
        quick = np.flatnonzero(~careful)
        table, skipped = self._split(block, quick, whole=not careful.any())
        broken += self._ragged(block, quick[skipped])
        parts = [(np.delete(quick, skipped), [table[f"c{place}"].combine_chunks() for place in self._wanted.values()])]
        slow = [place for place in np.flatnonzero(careful).tolist() if place not in unreadable]
        broken += [Broken(place, reason) for place, reason in unreadable.items()]
        if slow:
            taken, places = [], []
            for place, line in zip(slow, block.lines(np.array(slow)), strict=True):
                try:
                    taken.append(self._cells(line))
                    places.append(place)
                except Rejected as rejected:
                    broken.append(Broken(place, rejected.reason))
            columns = list(zip(*taken, strict=True)) if taken else [()] * len(self._wanted)
            parts.append((np.array(places, dtype=np.int64), [pa.array(each, pa.string()) for each in columns]))
        cells = {
            column: pa.concat_arrays([arrays[number] for _, arrays in parts])
            for number, column in enumerate(self._wanted)
        }
        where = np.concatenate([places for places, _ in parts])
        return self._heading.rows(block, where, cells, broken, macros=_may_have_macros(block))

    def _cells(self, line: Line) -> list[str]:
        row = self._row(line.text)
        return [row[place] for place in self._wanted.values()]

    def _row(self, text: str) -> list[str]:
        row = _split(text)
        if self._wrapped:
            row = _split(row[0]) if len(row) == 1 else []
        if len(row) != self._width:
            raise Rejected("whole_row_quoted" if self._unwrapped(row) else "ragged_row")
        return row

    def _unwrapped(self, row: list[str]) -> list[str]:
        """The whole row that stands in a single cell; nothing where none does."""
        if self._wrapped or len(row) != 1 or "," not in row[0]:
            return []
        inner = _split(row[0])
        return inner if len(inner) == self._width else []

    def _ragged(self, block: Block, places: NDArray[np.intp]) -> Iterator[Broken]:
        """Lines of another width, and which of them were quoted whole."""
        for place, line in zip(places.tolist(), block.lines(places), strict=True):
            try:
                self._row(line.text)
            except Rejected as rejected:
                yield Broken(place, rejected.reason)
            else:
                yield Broken(place, "ragged_row")

    def _careful(self, block: Block) -> NDArray[np.bool_]:
        """The lines that Arrow might not read as we do."""
        if self._wrapped:
            return np.ones(len(block), dtype=np.bool_)
        careful = np.zeros(len(block), dtype=np.bool_)
        octets = np.frombuffer(block.data, np.uint8)
        if b"\0" in block.data:
            careful |= _with(block, np.flatnonzero(octets == 0))
        returns = np.flatnonzero(octets == _CARRIAGE_RETURN)
        if not block.data.isascii():
            try:
                block.data.decode()
            except UnicodeDecodeError:
                careful |= np.array([line.unreadable is not None for line in block.lines()])
        if len(returns):
            alone = octets[np.minimum(returns + 1, len(octets) - 1)] != _LINE_END
            careful |= _with(block, returns[alone])
        if b'"' in block.data:
            quotes = np.flatnonzero(octets == _QUOTE)
            first = np.searchsorted(quotes, block.starts)
            careful |= (np.searchsorted(quotes, block.ends) - first) % 2 == 1
            line = np.searchsorted(block.starts, quotes, side="right") - 1
            opens = (np.arange(len(quotes)) - first[line]) % 2 == 0
            before = np.where(quotes > 0, octets[quotes - 1], _LINE_END)
            after = octets[np.minimum(quotes + 1, len(octets) - 1)]
            after = np.where(quotes + 1 < len(octets), after, _LINE_END)
            apart = np.where(opens, np.isin(before, _BEFORE_QUOTE), np.isin(after, _AFTER_QUOTE))
            if not apart.all():
                careful |= _with(block, quotes[~apart])
        return careful

    def _split(self, block: Block, quick: NDArray[np.intp], *, whole: bool) -> tuple[pa.Table, list[int]]:
        """The wanted columns of the chosen lines, and which of them have another width."""
        skipped: list[int] = []
        wanted = [f"c{place}" for place in self._wanted.values()]
        if not len(quick):
            return pa.table({name: pa.array([], pa.string()) for name in wanted}), skipped
        if whole:
            data = memoryview(block.data)[int(block.starts[0]) :]
        else:
            bounds = zip(block.starts[quick].tolist(), block.ends[quick].tolist(), strict=True)
            data = memoryview(b"".join(block.data[start:end] + b"\n" for start, end in bounds))

        def skip(row: pv.InvalidRow) -> str:
            skipped.append(row.number - 1)
            return "skip"

        table = pv.read_csv(
            pa.py_buffer(data),
            read_options=pv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=[f"c{n}" for n in range(self._width)]
            ),
            parse_options=pv.ParseOptions(invalid_row_handler=skip),
            convert_options=pv.ConvertOptions(
                check_utf8=False,
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
            ),
        )
        return table, skipped

    def masked(self, text: str, units: HashedUnits) -> str:
        """A row of another width does not say where its values belong: each of them may be a unit."""
        try:
            row = _split(text)
            row = (_split(row[0]) if self._wrapped and len(row) == 1 else self._unwrapped(row)) or row
        except Rejected:
            row = []
        if len(row) == self._width:
            nothing, masked = self._heading.nothing, self._heading.masked
            row = [
                _kept(name, cell, units, nothing, hashed=place in masked)
                for place, (name, cell) in enumerate(zip(self._columns, row, strict=True))
            ]
        else:
            row = [units[cell] if cell else "" for cell in row or text.split(",")]
        return joined(row)


class JsonLines:
    """One object a line; keys are matched like headers, and each line says for itself what it has."""

    def __init__(
        self, file_name: str, beginning: Iterable[Line], asked: str | None, mapped: Mapped | None = None
    ) -> None:
        self._read: Callable[[str], Mapping[str, object]] = _object if mapped is None else _flat
        written: dict[str, None] = {}
        for line in beginning:
            try:
                written.update(dict.fromkeys(self._read(line.text)))
            except Rejected:
                continue
        if not written:
            raise FileRefused(f"{file_name} holds no JSON object in its first lines: deliver CSV or JSON lines")
        self.header: str | None = None
        self.feed, self.repaired = mapped.source if mapped else None, REASON_COLUMN in written
        if mapped is None:
            self._plain = _Columns(_without_mask)
            self.kind = kind_of(file_name, asked, filter(None, (canonical(_without_mask(key)) for key in written)))
            known = known_to(self.kind)
            self._meaning = _Columns(lambda key: column if (column := canonical(_without_mask(key))) in known else None)
            check_columns(file_name, self.kind, filter(None, map(self._meaning.__getitem__, written)), written)
            self._heading = Heading(self.kind, COLUMNS[self.kind], dict.fromkeys(COLUMNS[self.kind], 0))
            self._said, self._public = self._meaning, _PUBLIC
            self._lists, self._optional = frozenset[str](), ()
        else:
            asked_for = asked_columns(mapped)
            theirs = frozenset(map(bare, asked_for))
            self._plain = _Columns(lambda key: key if bare(key) in theirs else without_suffix(key) or key)
            plain = {key: str(self._plain[key]) for key in written}
            hashed = any(bare(name) in theirs for key, name in plain.items() if name != key)
            if not mapped.conditions & set(map(bare, written)):  # else each kind's lines have what theirs need
                Heading.of(file_name, list(written), asked, mapped)
            names = list(dict.fromkeys(map(bare, (*plain.values(), *asked_for))))  # a later line may have them
            self._heading = Heading.of(file_name, names, asked, mapped).with_hashes(hashed)
            self.kind = self._heading.kind
            places = {name: place for place, name in enumerate(names)}

            def place_of(key: str) -> int | None:
                plain = str(self._plain[key])
                return places.get(bare(plain)) if hashed or plain == key else None

            self._meaning = _Columns(lambda key: _listed_at(place_of(key), self._heading.wanted))
            self._said = _Columns(lambda key: _column_at(place_of(key), self._heading.columns))
            self._public = frozenset[str]()  # a column called like one of ours may hold their units
            self._lists = frozenset(mapped.file.lists)
            self._optional = tuple(str(places[bare(name)]) for name in mapped.file.breakdown)
        self.layers = layers_in(key for key in written if self._plain[key] != key)

    def rows(self, block: Block) -> Rows:
        """The lines' values as text; numbers as they are written."""
        meaning, broken, places = self._meaning, [], []
        taken: list[list[str]] = []
        wanted = tuple(self._heading.wanted)
        hashed: list[bool] = []
        for place, line in enumerate(block.lines()):
            try:
                if line.unreadable:
                    raise Rejected(line.unreadable)  # noqa: TRY301 - one place writes them down
                record = self._read(line.text)
                named: dict[str | None, object] = {meaning[key]: value for key, value in record.items()}
                cells_of = (
                    [self._value(column, named.get(column)) for column in wanted]
                    if self._lists
                    else [_scalar(named.get(column)) for column in wanted]
                )
                hashed.append("(" in line.text and self._has_hash(record))
                taken.append(cells_of)
                places.append(place)
            except Rejected as rejected:
                broken.append(Broken(place, rejected.reason))
        cells = list(zip(*taken, strict=True)) if taken else [()] * len(wanted)
        arrays = {column: pa.array(each, pa.string()) for column, each in zip(wanted, cells, strict=True)}
        for column in self._optional:  # to have no such key is another thing than to say nothing under it
            arrays[column] = pc.if_else(pc.equal(arrays[column], ""), pa.scalar(None, pa.string()), arrays[column])
        where = np.array(places, dtype=np.int64)
        which = np.array(hashed, np.bool_) if any(hashed) else None
        return self._heading.rows(block, where, arrays, broken, macros=_may_have_macros(block), hashed=which)

    def _has_hash(self, record: Mapping[str, object]) -> bool:
        """Whether a line of our own format has its unit as a hash already.

        Raises:
            Rejected: bad_hash, where it has one that is and one that is not.
        """
        keys = [key for key in record if self._meaning[key] == "unit"]
        marks = [self._plain[key] != key for key in keys]
        if any(marks) and not all(marks):
            raise Rejected("bad_hash")
        return any(marks)

    def _value(self, column: str, value: object) -> str:
        """As text; a list only where the mapping says so."""
        if isinstance(value, list) and self._heading.columns[self._heading.wanted[column]] in self._lists:
            return json.dumps(value, ensure_ascii=False)
        return _scalar(value)

    def masked(self, text: str, units: HashedUnits) -> str:
        """Keys that are not ours are left out."""
        try:
            record = self._read(text)
        except Rejected:
            return _masked_tokens(text, units, self._public)
        masked = frozenset(key for key in record if self._plain[key] != key)
        return masked_record(record, self._said, units, masked, self._heading.nothing, self._lists)


def masked_record(
    record: Mapping[str, object],
    said: Mapping[str, str | None],
    units: HashedUnits,
    masked: Collection[str],
    nothing: frozenset[str],
    lists: frozenset[str] = frozenset(),
) -> str:
    """A record as JSON that may be kept: what is not ours is left out, units and addresses are hashed.

    What has parts may have a unit among them, but for ``lists`` that a mapping takes numbers from. ``masked`` are keys
    whose values are hashed or cut already; ``nothing`` are values that stand for no unit.
    """
    kept: dict[str, object] = {}
    for key, value in record.items():
        if column := said[key]:
            name = with_suffix(without_suffix(key) or key if key in masked else key) if column in PRIVATE else key
            as_it_is = column in lists and isinstance(value, list)
            kept[name] = value if as_it_is else _kept_value(column, value, units, nothing, hashed=key in masked)
    return json.dumps(kept, ensure_ascii=False)


def _without_mask(name: str) -> str:
    """``unit`` of ``unit (hashed)``: of our own private columns alone."""
    inner = without_suffix(name)
    return inner if inner is not None and canonical(inner) in PRIVATE else name


def _listed_at(place: int | None, wanted: Mapping[str, int]) -> str | None:
    return str(place) if place is not None and str(place) in wanted else None


def _column_at(place: int | None, columns: Sequence[str | None]) -> str | None:
    return None if place is None else columns[place]


def _flat(text: str) -> Mapping[str, object]:
    """A JSON object with ``a.b`` for the b in a."""
    return dict(_leaves("", _object(text)))


def _leaves(prefix: str, record: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(f"{prefix}{key}.", value)
        else:
            yield prefix + key, value


_UNREADABLE = {
    "not_utf8": "is not UTF-8 text: save or export it as UTF-8",
    "nul_byte": "has NUL bytes in its first line: it is no text, or UTF-16; save or export it as UTF-8",
}


_BEFORE_QUOTE = np.array([_COMMA, _LINE_END, _QUOTE], np.uint8)
_AFTER_QUOTE = np.array([_COMMA, _LINE_END, _CARRIAGE_RETURN, _QUOTE], np.uint8)
"""What stands before a quote that opens a cell, after one that closes it (RFC 4180); a doubled one closes and opens."""


def _may_have_macros(block: Block) -> bool:
    data = block.data  # one octet is looked for twenty times as fast as two
    return any(beginning[:1] in data and beginning in data for beginning in _MACRO_BEGINNINGS)


def _with(block: Block, positions: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The lines that any of these positions in the block's bytes lies in."""
    found = np.zeros(len(block), dtype=np.bool_)
    places = np.searchsorted(block.starts, positions, side="right") - 1
    places = places[places >= 0]
    found[places] = True
    return found


def looks_like_json(file_name: str, first: Line) -> bool:
    """By the name's ending, or else by the first character."""
    endings = re.sub(r"\.(gz|zst|zstd)$", "", file_name.lower()).rpartition(".")[2]
    if endings in ("jsonl", "ndjson", "json"):
        return True
    return endings != "csv" and first.text.lstrip().startswith("{")


class _Columns(dict[str, str | None]):
    """The column each key means; a file has few different keys and many lines."""

    def __init__(self, meaning: Callable[[str], str | None]) -> None:
        super().__init__()
        self._meaning = meaning

    def __missing__(self, key: str) -> str | None:
        column = self[key] = self._meaning(key)
        return column


_PUBLIC = known_to("impression") - frozenset(PRIVATE)
_TOKEN = re.compile(r"""("(?:[^"\\]|\\.)*("?)|[^\s"{}\[\],:]+)(\s*:)?""", re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def joined(row: Sequence[str]) -> str:
    """A line of CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(row)
    return out.getvalue()


def _split(text: str) -> list[str]:
    if '"' not in text:
        return [cell.strip(_SPACE) for cell in text.split(",")]
    try:
        (row,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):  # ValueError: a quote that closes on no line, or an escape on the next
        raise Rejected("ragged_row") from None
    return [cell.strip(_SPACE) for cell in row]


def _no_constant(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constant)


def _object(text: str) -> Mapping[str, object]:
    try:
        record = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise Rejected("not_json") from None
    if not isinstance(record, dict):
        raise Rejected("not_json")
    if "\\u" in text:
        if "\\u0000" in text:
            raise Rejected("nul_byte")
        if _SURROGATE.search(text) and not _is_unicode(record):
            raise Rejected("not_utf8")
    return record


def _is_unicode(record: object) -> bool:
    """False where an escape names half a surrogate pair, which no encoding can carry."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _scalar(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Rejected("bad_value")
    return value.strip(_SPACE)


def _kept_value(column: str, value: object, units: HashedUnits, nothing: frozenset[str], *, hashed: bool) -> object:
    """A value of JSON as it may be kept; what has parts may have a unit among them, and stays what has parts."""
    if isinstance(value, str):
        return _kept(column, value.strip(_SPACE), units, nothing, hashed=hashed)
    return [units[json.dumps(value)]] if isinstance(value, list | dict) else value


def _kept(name: str | None, value: str, units: HashedUnits, nothing: frozenset[str], *, hashed: bool) -> str:
    """A value as it may be kept; nothing of what stands under a name that is not ours."""
    if name is None:
        return ""
    if name == "unit":
        return masked_unit(value, units, nothing, hashed=hashed)
    return masked_address(value, units) if name == "ip" else value


def _masked_tokens(text: str, units: HashedUnits, public: frozenset[str]) -> str:
    """A line that is no JSON object: but for names and the whole value right after a public one, all is hashed."""
    told = False

    def mask(token: re.Match[str]) -> str:
        nonlocal told
        written, closing, colon = token[1], token[2], token[3] or ""
        name = canonical(written)
        whole = bool(closing) or not written.startswith('"')
        keep = name is not None if colon else told and whole
        told = bool(colon) and name in public
        return (written if keep else json.dumps(units[written.strip('"')])) + colon

    return _TOKEN.sub(mask, text)
