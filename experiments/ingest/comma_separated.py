"""CSV: from the lines of a block to columns of cells, and back to a text that may be kept.

One line is one record: a quoted value holds no line end, so that a stray quote costs its own line and no other. Arrow
splits a block at a time; lines that it might read otherwise than RFC 4180 says (a quote that does not close, or stands
inside a value; a carriage return alone) are split by themselves. Where the header is one quoted cell with the names in
it, every row was quoted whole, and is unwrapped; a single such row in another file is rejected.

A header without a comma outside quotes, but with semicolons (as spreadsheets write where the comma is for decimals) or
with tabs, says that its rows are separated so; so does a line of its own before it, ``sep=;``, as spreadsheets heed it.
What is kept of a line is separated by commas, whatever it came with.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
from numpy.typing import NDArray

from experiments.ingest.formats import Broken, Heading, Rows, may_have_macros
from experiments.ingest.hashing import HashedUnits
from experiments.ingest.layout import Mapped
from experiments.ingest.log import Block, FileRefused, Line
from experiments.ingest.masks import SPACE, kept, layers_in
from experiments.ingest.values import Rejected

_QUOTE, _LINE_END, _CARRIAGE_RETURN = 34, 10, 13
_COMMA, _OTHER_SEPARATORS = ",", {";": "semicolons", "\t": "tabs"}
_BYTE_ORDER_MARK = "\ufeff"
_TOLD = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""A first line that tells the separator of all others."""
_ENDING = "\r\n"
"""Python quotes cells with characters that end lines, but only those of the ending that it is told."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_UNREADABLE = {
    "not_utf8": "is not UTF-8 text: save or export it as UTF-8",
    "nul_byte": "has NUL bytes in its first line: it is no text, or UTF-16; save or export it as UTF-8",
}
_BEFORE_QUOTE = (_LINE_END, _QUOTE)
_AFTER_QUOTE = (_LINE_END, _CARRIAGE_RETURN, _QUOTE)
"""What stands, but for separators, before a quote that opens a cell, after one that closes it (RFC 4180); a doubled one
closes and opens."""


class Csv:
    """Values under a header line, separated by commas (RFC 4180, but for line ends in quotes) or as that line says."""

    def __init__(
        self, file_name: str, header: Line, asked: str | None, mapped: Mapped | None = None, told: str | None = None
    ) -> None:
        """``told`` is the separator where a line before the header says it: see `separator_told`."""
        if header.unreadable:
            raise FileRefused(f"{file_name} {_UNREADABLE[header.unreadable]}")
        if not header.ended:
            raise FileRefused(f"{file_name} has no whole header line of text: was it cut?")
        try:
            separator = told or _separator(file_name, header.text)
            names = _as_written(header.text, separator or _COMMA)
            within = _separator(file_name, names[0]) if separator is None else None
            self._wrapped, self._separator = within is not None, within or separator or _COMMA
            names = _stripped(_as_written(names[0], self._separator) if self._wrapped else names)
        except Rejected:
            raise FileRefused(f"{file_name} has a header line that is no CSV: it says {header.text[:80]!r}") from None
        self._before_quote, self._after_quote = (
            _among([ord(self._separator), *others]) for others in (_BEFORE_QUOTE, _AFTER_QUOTE)
        )
        self._width = len(names)
        self._heading = Heading.of(file_name, names, asked, mapped)
        self.kind, self._columns = self._heading.kind, self._heading.columns
        self.header: str | None = joined(self._heading.named(names))
        self.feed, self.repaired = mapped.source if mapped else None, self._heading.repaired
        self.layers = layers_in(names[place] for place in self._heading.masked)

    def rows(self, block: Block, but: frozenset[str] = frozenset()) -> Rows:
        """A last line without a line end may have been cut within a value, so it is not taken."""
        wanted = self._heading.wanted_but(but)
        broken = list[Broken]()
        careful, unreadable = self._careful(block), {}
        for place, line in zip(np.flatnonzero(careful).tolist(), block.lines(careful), strict=True):
            if line.unreadable:
                unreadable[place] = line.unreadable
        if not block.ended:
            careful = careful.copy()
            careful[-1] = True
            unreadable.setdefault(len(block) - 1, "unterminated_line")
        quick = np.flatnonzero(~careful)
        table, skipped = self._split(block, quick, wanted, whole=not careful.any())
        broken += self._ragged(block, quick[skipped])
        parts = [(np.delete(quick, skipped), [table[f"c{place}"].combine_chunks() for place in wanted.values()])]
        slow = [place for place in np.flatnonzero(careful).tolist() if place not in unreadable]
        broken += [Broken(place, reason) for place, reason in unreadable.items()]
        if slow:
            taken, places = [], []
            for place, line in zip(slow, block.lines(np.array(slow)), strict=True):
                try:
                    row = self._row(line.text)
                    taken.append([row[place] for place in wanted.values()])
                    places.append(place)
                except Rejected as rejected:
                    broken.append(Broken(place, rejected.reason))
            columns = list(zip(*taken, strict=True)) if taken else [()] * len(wanted)
            parts.append((np.array(places, dtype=np.int64), [pa.array(each, pa.string()) for each in columns]))
        cells = {
            column: pa.concat_arrays([arrays[number] for _, arrays in parts]) for number, column in enumerate(wanted)
        }
        where = np.concatenate([places for places, _ in parts])
        return self._heading.rows(block, where, cells, broken, macros=may_have_macros(block), but=but)

    def _row(self, text: str) -> list[str]:
        row = _as_written(text, self._separator)
        if self._wrapped:
            row = _as_written(row[0], self._separator) if len(row) == 1 else []
        if len(row) != self._width:
            raise Rejected("whole_row_quoted" if self._unwrapped(row) else "ragged_row")
        return _stripped(row)

    def _unwrapped(self, row: list[str]) -> list[str]:
        """The whole row that stands in a single cell; nothing where none does."""
        if self._wrapped or len(row) != 1 or self._separator not in row[0]:
            return []
        inner = _as_written(row[0], self._separator)
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
        if not block.data.isascii():
            try:
                block.data.decode()
            except UnicodeDecodeError:
                careful |= np.array([line.unreadable is not None for line in block.lines()])
            if len(block) and _BYTE_ORDER_MARK.encode() in block.data:
                careful |= _marked(block, octets)
        if b"\r" in block.data:
            returns = np.flatnonzero(octets == _CARRIAGE_RETURN)
            alone = octets[np.minimum(returns + 1, len(octets) - 1)] != _LINE_END
            careful |= _with(block, returns[alone])
        if len(block) and b'"' in block.data:
            careful |= self._misquoted(block, octets)
        return careful

    def _misquoted(self, block: Block, octets: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """The lines with a quote that does not close, or that stands inside a value."""
        quotes = np.flatnonzero(octets == _QUOTE)
        quotes = quotes[np.searchsorted(quotes, block.starts[0]) :]
        first = np.searchsorted(quotes, block.starts)
        how_many = np.diff(first, append=len(quotes))
        odd = how_many % 2 == 1
        opens = (np.arange(len(quotes)) - np.repeat(first, how_many)) % 2 == 0
        before = np.where(quotes > 0, octets[quotes - 1], _LINE_END)
        after = np.where(quotes + 1 < len(octets), octets[np.minimum(quotes + 1, len(octets) - 1)], _LINE_END)
        apart = np.where(opens, self._before_quote[before], self._after_quote[after])
        return odd if apart.all() else odd | _with(block, quotes[~apart])

    def _split(
        self, block: Block, quick: NDArray[np.intp], wanted: Mapping[str, int], *, whole: bool
    ) -> tuple[pa.Table, list[int]]:
        """The wanted columns of the chosen lines, and which of them have another width."""
        skipped: list[int] = []
        names = [f"c{place}" for place in wanted.values()]
        if not len(quick):
            return pa.table({name: pa.array([], pa.string()) for name in names}), skipped
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
            parse_options=pv.ParseOptions(delimiter=self._separator, invalid_row_handler=skip),
            convert_options=pv.ConvertOptions(
                check_utf8=False,
                include_columns=names,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
            ),
        )
        return table, skipped

    def masked(self, text: str, units: HashedUnits) -> str:
        """A row of another width does not say where its values belong: each of them may be a unit."""
        try:
            row = _as_written(text, self._separator)
            inner = _as_written(row[0], self._separator) if self._wrapped and len(row) == 1 else self._unwrapped(row)
            row = _stripped(inner or row)
        except Rejected:
            row = []
        if len(row) == self._width:
            nothing, masked = self._heading.nothing, self._heading.masked
            row = [
                kept(name, cell, units, nothing, hashed=place in masked)
                for place, (name, cell) in enumerate(zip(self._columns, row, strict=True))
            ]
        else:
            row = [units[cell] if cell else "" for cell in row or text.split(self._separator)]
        return joined(row)


def joined(row: Sequence[str]) -> str:
    """A line of CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator=_ENDING).writerow(row)
    return out.getvalue().removesuffix(_ENDING)


def separator_told(file_name: str, first: Line) -> str | None:
    """What a file's first line says that separates the columns, where it says that and nothing else.

    Raises:
        FileRefused: where that is nothing we know.
    """
    found = _TOLD.fullmatch(first.text)
    if found is None:
        return None
    if (told := found[1]) == _COMMA or told in _OTHER_SEPARATORS:
        return told
    raise FileRefused(
        f"{file_name} says {found[0]}: separate the columns by commas, {' or '.join(_OTHER_SEPARATORS.values())}"
    )


def _separator(file_name: str, header: str) -> str | None:
    """What stands between the names of a header; None where nothing does.

    Raises:
        FileRefused: where two might.
    """
    between = _QUOTED.sub("", header)
    if _COMMA in between:
        return _COMMA
    found = [each for each in _OTHER_SEPARATORS if each in between]
    if len(found) > 1:
        both = " and ".join(map(_OTHER_SEPARATORS.__getitem__, found))
        raise FileRefused(
            f"{file_name} has {both} in its header line: separate the columns by one of them, or by commas"
        )
    return found[0] if found else None


def _as_written(text: str, separator: str) -> list[str]:
    """The cells with the white space around them: within one that holds a whole row, it may separate.

    A byte order mark before them is none of theirs: files that were put together have one wherever another began.
    """
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if '"' not in text:
        return text.split(separator)
    try:
        (row,) = csv.reader([text], delimiter=separator, strict=True)
    except (csv.Error, ValueError):  # ValueError: a quote that closes on no line, or an escape on the next
        raise Rejected("ragged_row") from None
    return row


def _marked(block: Block, octets: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The lines that begin with a byte order mark. Arrow takes it away where it is the first thing that Arrow is given,
    and leaves it in the value where it is not.
    """
    mark = np.frombuffer(_BYTE_ORDER_MARK.encode(), np.uint8)
    begin = octets[np.minimum(block.starts[:, None] + np.arange(len(mark)), len(octets) - 1)]
    found: NDArray[np.bool_] = (begin == mark).all(axis=1)
    return found


def _stripped(row: Sequence[str]) -> list[str]:
    return [cell.strip(SPACE) for cell in row]


def _with(block: Block, positions: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The lines that any of these positions in the block's bytes lies in."""
    found = np.zeros(len(block), dtype=np.bool_)
    places = np.searchsorted(block.starts, positions, side="right") - 1
    places = places[places >= 0]
    found[places] = True
    return found


def _among(octets: Sequence[int]) -> NDArray[np.bool_]:
    """By octet: whether it is one of these."""
    found = np.zeros(256, np.bool_)
    found[octets] = True
    return found
