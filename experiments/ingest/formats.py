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
        """The line as it may be kept: values under our own public names as they came, units and addresses hashed."""


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
        self._columns = columns
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

    def cells(self, line: Line) -> Cells:
        """The line's values as text; numbers as they are written."""
        columns = self._columns
        named: dict[str | None, object] = {columns[key]: value for key, value in _object(line.text).items()}
        return [_scalar(named.get(column)) for column in COLUMNS[self.kind]]

    def masked(self, text: str, units: HashedUnits) -> str:
        """Keys that are not ours are left out."""
        try:
            record = _object(text)
        except Rejected:
            return _masked_tokens(text, units)
        known = {key: value for key, value in record.items() if self._columns[key]}
        kept = {key: _kept(self._columns[key], _text(value, units), units) for key, value in known.items()}
        return json.dumps(kept, ensure_ascii=False)


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
