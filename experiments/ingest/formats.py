"""From a line to its cells, and back to a text that may be kept: CSV and JSON lines.

One line is one record: a quoted CSV value holds no line end, so that a stray quote costs its own line and no other.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Protocol

from experiments.ingest.hashing import HashedUnits, network_of
from experiments.ingest.header import COLUMNS, PRIVATE, canonical, check_columns, kind_of
from experiments.ingest.log import FileRefused, Line
from experiments.ingest.values import Rejected

Cells = Sequence[str]
"""A row's values in the order of COLUMNS of its kind; empty where there is none."""


class Format(Protocol):
    """A file's form, known once its beginning was read."""

    kind: str

    def cells(self, line: Line) -> Cells:
        """The line's values.

        Raises:
            Rejected: where it has no such form.
        """

    def masked(self, text: str, units: HashedUnits) -> str:
        """The line without raw units and addresses."""


class Csv:
    """Comma-separated values under a header line (RFC 4180, but for line ends in quotes)."""

    def __init__(self, file_name: str, header: Line, asked: str | None) -> None:
        if header.unreadable or not header.ended:
            raise FileRefused(f"{file_name} has no whole header line of text: was it cut?")
        try:
            names = _split(header.text)
        except Rejected:
            raise FileRefused(f"{file_name} has a header line that is no CSV: it says {header.text[:80]!r}") from None
        columns = [canonical(name) for name in names]
        found = [column for column in columns if column]
        twice = sorted({column for column in found if found.count(column) > 1})
        if twice:
            raise FileRefused(f"{file_name} has {', '.join(twice)} more than once: keep one column of each")
        self.kind = kind_of(file_name, asked, found)
        check_columns(file_name, self.kind, found, names)
        self._width = len(names)
        self._private = {columns.index(name): name for name in PRIVATE if name in columns}
        absent = len(names)  # index of the empty cell put behind each row
        self._choose = itemgetter(*(columns.index(c) if c in columns else absent for c in COLUMNS[self.kind]))

    def cells(self, line: Line) -> Cells:
        """The line's values; a last line without a line end may have been cut within a value, so it is not taken."""
        if not line.ended:
            raise Rejected("unterminated_line")
        row = _split(line.text)
        if len(row) != self._width:
            raise Rejected("ragged_row")
        row.append("")
        return self._choose(row)

    def masked(self, text: str, units: HashedUnits) -> str:
        """A ragged row does not say where its values belong: all that could have slid under a private name is masked."""
        try:
            row = _split(text)
        except Rejected:
            row = text.split(",")
        if len(row) == self._width:
            for index, name in self._private.items():
                row[index] = _masked_value(name, row[index], units)
        elif self._private:
            start = max(0, min(self._private) - max(0, self._width - len(row)))
            row[start:] = [units[cell] if cell else "" for cell in row[start:]]
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

    def cells(self, line: Line) -> Cells:
        """The line's values as text; numbers as they are written."""
        columns = self._columns
        named: dict[str | None, object] = {columns[key]: value for key, value in _object(line.text).items()}
        return [_scalar(named.get(column)) for column in COLUMNS[self.kind]]

    def masked(self, text: str, units: HashedUnits) -> str:
        """In a line that is no JSON, what follows a private name is masked wherever it looks like its value."""
        try:
            record = dict(_object(text))
        except Rejected:
            return _PRIVATE_PAIR.sub(lambda pair: f"{pair[1]}{json.dumps(units[pair[2]])}", text)
        for key in record:
            if (name := self._columns[key]) in PRIVATE and record[key] is not None:
                record[key] = _masked_value(str(name), _text(record[key]), units)
        return json.dumps(record, ensure_ascii=False)


def looks_like_json(file_name: str, first: Line) -> bool:
    """By the name's ending, or else by the first character."""
    endings = file_name.lower().removesuffix(".gz").rpartition(".")[2]
    if endings in ("jsonl", "ndjson", "json"):
        return True
    return endings != "csv" and first.text.lstrip().startswith("{")


class _Columns(dict[str, str | None]):
    """The column each key means; a file has few different keys and many lines."""

    def __missing__(self, key: str) -> str | None:
        column = self[key] = canonical(key)
        return column


_PRIVATE_PAIR = re.compile(
    r"""(["'](?:%s)["']\s*:\s*)("(?:[^"\\]|\\.)*"?|[^,}\s]+)""" % "|".join(PRIVATE), re.IGNORECASE
)
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


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _masked_value(name: str, value: str, units: HashedUnits) -> str:
    if not value:
        return value
    return units[value] if name == "unit" else network_of(value) or units[value]
