"""From the lines of a block to columns of cells, and back to a text that may be kept: CSV and JSON lines.

One line is one record: a quoted CSV value holds no line end, so that a stray quote costs its own line and no other. CSV
is split by Arrow, a block at a time; lines that it might read otherwise than RFC 4180 says (a quote that does not
close, or stands inside a value; a carriage return alone) are split by themselves.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
from numpy.typing import NDArray

from experiments.ingest.feed import FeedFile, Layout, Trafficking, layout_of
from experiments.ingest.hashing import HashedUnits, network_of
from experiments.ingest.header import COLUMNS, PRIVATE, canonical, check_columns, kind_of
from experiments.ingest.log import Block, FileRefused, Line
from experiments.ingest.values import Rejected

_MACRO_BEGINNINGS = (b"%%", b"${", b"{{", b"[", b"__")
_QUOTE, _COMMA, _LINE_END, _CARRIAGE_RETURN = 34, 44, 10, 13


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


@dataclass(frozen=True, slots=True)
class Mapped:
    """A file of a feed, and what its creatives are."""

    file: FeedFile
    trafficking: Trafficking

    def layout(self, file_name: str, header: list[str]) -> Layout:
        """Where the file has what."""
        return layout_of(self.file, file_name, header, self.trafficking)


class Format(Protocol):
    """A file's form, known once its beginning was read."""

    kind: str

    def rows(self, block: Block) -> Rows:
        """The cells of a block's lines."""

    def masked(self, text: str, units: HashedUnits) -> str:
        """The line as it may be kept: values under our own public names as they came, units and addresses hashed."""


class Csv:
    """Comma-separated values under a header line (RFC 4180, but for line ends in quotes)."""

    def __init__(self, file_name: str, header: Line, asked: str | None, mapping: Mapped | None = None) -> None:
        if header.unreadable or not header.ended:
            raise FileRefused(f"{file_name} has no whole header line of text: was it cut?")
        try:
            names = _split(header.text)
        except Rejected:
            raise FileRefused(f"{file_name} has a header line that is no CSV: it says {header.text[:80]!r}") from None
        self._width = len(names)
        if mapping is None:
            self._own(file_name, names, asked)
        else:
            self._theirs(mapping.layout(file_name, names))

    def _own(self, file_name: str, names: list[str], asked: str | None) -> None:
        """Columns under our own names."""
        columns = [canonical(name) for name in names]
        found = [column for column in columns if column]
        twice = sorted({column for column in found if found.count(column) > 1})
        if twice:
            raise FileRefused(f"{file_name} has {', '.join(twice)} more than once: keep one column of each")
        self.kind = kind_of(file_name, asked, found)
        check_columns(file_name, self.kind, found, names)
        self._columns = columns
        self._wanted = {column: columns.index(column) for column in COLUMNS[self.kind] if column in columns}
        self._layout: Layout | None = None

    def _theirs(self, layout: Layout) -> None:
        """Columns of a feed."""
        self.kind, self._layout = layout.kind, layout
        meant = {place: "variant" for place, _ in layout.telling}
        for column in (*(each for each in layout.places if each != "unit"), "unit"):  # what is a unit, too, is private
            meant |= {place: column for places in layout.places.get(column, ()) for place in places}
        self._columns = [meant.get(place) for place in range(self._width)]
        self._wanted = {str(place): place for place in sorted(meant)}

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
        broken += [Broken(int(quick[row]), "ragged_row") for row in skipped]
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
        if self._layout is not None:
            cells = self._layout.cells({place: cells[str(place)] for place in self._wanted.values()})
        where = np.concatenate([places for places, _ in parts])
        return Rows(where, cells, tuple(broken), _may_have_macros(block), fed=self._layout is not None)

    def _cells(self, line: Line) -> list[str]:
        row = _split(line.text)
        if len(row) != self._width:
            raise Rejected("ragged_row")
        return [row[place] for place in self._wanted.values()]

    def _careful(self, block: Block) -> NDArray[np.bool_]:
        """The lines that Arrow might not read as we do."""
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
        except Rejected:
            row = []
        if len(row) == self._width:
            row = [_kept(name, cell, units) for name, cell in zip(self._columns, row, strict=True)]
        else:
            row = [units[cell] if cell else "" for cell in row or text.split(",")]
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow(row)
        return out.getvalue()


class JsonLines:
    """One object a line; keys are matched like headers, and each line says for itself what it has."""

    def __init__(self, file_name: str, beginning: Iterable[Line], asked: str | None) -> None:
        written: dict[str, None] = {}
        for line in beginning:
            try:
                written.update(dict.fromkeys(_object(line.text)))
            except Rejected:
                continue
        if not written:
            raise FileRefused(f"{file_name} holds no JSON object in its first lines: deliver CSV or JSON lines")
        found = [column for column in map(canonical, written) if column]
        self.kind = kind_of(file_name, asked, found)
        check_columns(file_name, self.kind, found, written)
        self._columns = _Columns()

    def rows(self, block: Block) -> Rows:
        """The lines' values as text; numbers as they are written."""
        columns, broken, places = self._columns, [], []
        taken: list[list[str]] = []
        wanted = COLUMNS[self.kind]
        for place, line in enumerate(block.lines()):
            try:
                if line.unreadable:
                    raise Rejected(line.unreadable)  # noqa: TRY301 - one place writes them down
                named: dict[str | None, object] = {columns[key]: value for key, value in _object(line.text).items()}
                taken.append([_scalar(named.get(column)) for column in wanted])
                places.append(place)
            except Rejected as rejected:
                broken.append(Broken(place, rejected.reason))
        cells = list(zip(*taken, strict=True)) if taken else [()] * len(wanted)
        arrays = {column: pa.array(each, pa.string()) for column, each in zip(wanted, cells, strict=True)}
        return Rows(np.array(places, dtype=np.int64), arrays, tuple(broken), _may_have_macros(block))

    def masked(self, text: str, units: HashedUnits) -> str:
        """Keys that are not ours are left out."""
        try:
            record = _object(text)
        except Rejected:
            return _masked_tokens(text, units)
        known = {key: value for key, value in record.items() if self._columns[key]}
        kept = {key: _kept(self._columns[key], _text(value, units), units) for key, value in known.items()}
        return json.dumps(kept, ensure_ascii=False)


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

    def __missing__(self, key: str) -> str | None:
        column = self[key] = canonical(key)
        return column


_PUBLIC = frozenset(column for columns in COLUMNS.values() for column in columns) - frozenset(PRIVATE)
_TOKEN = re.compile(r"""("(?:[^"\\]|\\.)*("?)|[^\s"{}\[\],:]+)(\s*:)?""", re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _split(text: str) -> list[str]:
    if '"' not in text:
        return [cell.strip() for cell in text.split(",")]
    try:
        (row,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):  # ValueError: a quote that closes on no line, or an escape on the next
        raise Rejected("ragged_row") from None
    return [cell.strip() for cell in row]


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
    return value.strip()


def _text(value: object, units: HashedUnits) -> str:
    """A value as text; what has parts may have a unit among them."""
    if isinstance(value, str):
        return value
    return units[json.dumps(value)] if isinstance(value, list | dict) else json.dumps(value)


def _kept(name: str | None, value: str, units: HashedUnits) -> str:
    """A value as it may be kept; nothing of what stands under a name that is not ours."""
    if not value or name is None:
        return ""
    if name == "unit":
        return units[value]
    if name == "ip":
        return network_of(value) or units[value]
    return value


def _masked_tokens(text: str, units: HashedUnits) -> str:
    """A line that is no JSON object: but for names and the whole value right after a public one, all is hashed."""
    public = False

    def mask(token: re.Match[str]) -> str:
        nonlocal public
        written, closing, colon = token[1], token[2], token[3] or ""
        name = canonical(written)
        whole = bool(closing) or not written.startswith('"')
        keep = name is not None if colon else public and whole
        public = bool(colon) and name in _PUBLIC
        return (written if keep else json.dumps(units[written.strip('"')])) + colon

    return _TOKEN.sub(mask, text)
