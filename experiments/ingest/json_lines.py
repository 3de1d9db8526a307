"""JSON lines: from the lines of a block to columns of cells, and back to a text that may be kept."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.ingest.feed import bare
from experiments.ingest.formats import Broken, Heading, Rows, may_have_macros, without_mask
from experiments.ingest.hashing import HashedUnits
from experiments.ingest.header import COLUMNS, PRIVATE, canonical, check_columns, kind_of, known_to
from experiments.ingest.layout import Mapped, asked_columns
from experiments.ingest.log import Block, FileRefused, Line
from experiments.ingest.masks import REASON_COLUMN, SPACE, kept, layers_in, with_suffix, without_suffix
from experiments.ingest.values import Rejected

_PUBLIC = known_to("impression") - frozenset(PRIVATE)
_TOKEN = re.compile(r"""("(?:[^"\\]|\\.)*("?)|[^\s"{}\[\],:]+)(\s*:)?""", re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_JSON_SPACE = " \t\n\r"
_DEEPEST = 100
"""Objects and lists within each other. Python gives up a good deal deeper, and where depends on who asks."""
_BRACKETS_TO_COMMAS = str.maketrans("[]{}", ",,,,")


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
            self._plain = _Columns(without_mask)
            self.kind = kind_of(file_name, asked, filter(None, (canonical(without_mask(key)) for key in written)))
            known = known_to(self.kind)
            self._meaning = _Columns(lambda key: _known(canonical(without_mask(key)), known))
            check_columns(file_name, self.kind, filter(None, map(self._meaning.__getitem__, written)), written)
            self._heading = Heading(self.kind, COLUMNS[self.kind], dict.fromkeys(COLUMNS[self.kind], 0))
            self._said, self._public = self._meaning, _PUBLIC
            self._lists, self._optional = frozenset[str](), tuple[str, ...]()
        else:
            asked_for = asked_columns(mapped)
            theirs = frozenset(map(bare, asked_for))
            self._plain = _Columns(lambda key: key if bare(key) in theirs else without_suffix(key) or key)
            plain = {key: str(self._plain[key]) for key in written}
            hashed = any(bare(name) in theirs for key, name in plain.items() if name != key)
            if not mapped.conditions & set(map(bare, written)):  # else each kind's lines have what theirs need
                spelled = {bare(name): key for key, name in reversed(plain.items())}  # each line in its own way
                Heading.of(file_name, list(spelled.values()), asked, mapped)
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
        # what is not read has a name each, too: a line with fewer names than keys has a column twice
        self._apart = _Columns(lambda key: self._meaning[key] or f" {key}")
        self.layers = layers_in(key for key in written if self._plain[key] != key)

    def rows(self, block: Block, but: frozenset[str] = frozenset()) -> Rows:
        """The lines' values as text; numbers as they are written. Those that are left out are looked at: a line may
        be rejected for what kind of value it has, whatever its column.
        """
        broken, places = list[Broken](), list[int]()
        taken: list[tuple[str, ...]] = []
        wanted = tuple(self._heading.wanted)
        hashed: list[bool] = []
        for place, line in enumerate(block.lines()):
            try:
                if line.unreadable:
                    raise Rejected(line.unreadable)  # noqa: TRY301 - one place writes them down
                record, named = self._record(line.text)
                cells_of = (
                    [self._value(column, named.get(column)) for column in wanted]
                    if self._lists
                    else [  # asked here, as most are text: a call for each takes longer
                        value.strip(SPACE) if isinstance(value := named.get(column, ""), str) else _scalar(value)
                        for column in wanted
                    ]
                )
                hashed.append("(" in line.text and self._has_hash(record))
                taken.append(tuple(cells_of))  # the collector of garbage passes tuples of text over, but no lists
                places.append(place)
            except Rejected as rejected:
                broken.append(Broken(place, rejected.reason))
        cells = list(zip(*taken, strict=True)) if taken else [()] * len(wanted)
        arrays = {column: pa.array(each, pa.string()) for column, each in zip(wanted, cells, strict=True)}
        for column in self._optional:  # to have no such key is another thing than to say nothing under it
            arrays[column] = pc.if_else(pc.equal(arrays[column], ""), pa.scalar(None, pa.string()), arrays[column])
        where = np.array(places, dtype=np.int64)
        which = np.array(hashed, np.bool_) if any(hashed) else None
        return self._heading.rows(block, where, arrays, broken, macros=may_have_macros(block), but=but, hashed=which)

    def _record(self, text: str) -> tuple[Mapping[str, object], Mapping[str | None, object]]:
        """A line's object, and its values by the column that each key means.

        Raises:
            Rejected: ragged_row, where it has a column that is read twice: by one key again, or by two that mean it.
        """
        record, apart = self._read(text), self._apart
        named = {apart[key]: value for key, value in record.items()}
        if len(named) < len(record) or isinstance(record, _Repeating):
            columns = [column for key, _ in _pairs(record) if (column := self._meaning[key]) is not None]
            if len(set(columns)) < len(columns):
                raise Rejected("ragged_row")
        return record, named

    def _has_hash(self, record: Mapping[str, object]) -> bool:
        """Whether a line of our own format has its unit as a hash already."""
        return any(self._plain[key] != key for key in record if self._meaning[key] == "unit")

    def _value(self, column: str, value: object) -> str:
        """As text; a list only where the mapping says so."""
        if isinstance(value, list) and self._heading.columns[self._heading.wanted[column]] in self._lists:
            if any(isinstance(entry, _Repeating) for entry in value):
                raise Rejected("bad_value")
            return json.dumps(value, ensure_ascii=False)
        return _scalar(value)

    def masked(self, text: str, units: HashedUnits) -> str:
        """Keys that are not ours are left out."""
        try:
            record, _ = self._record(text)
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


class _Columns(dict[str, str | None]):
    """The column each key means; a file has few different keys and many lines."""

    def __init__(self, meaning: Callable[[str], str | None]) -> None:
        super().__init__()
        self._meaning = meaning

    def __missing__(self, key: str) -> str | None:
        column = self[key] = self._meaning(key)
        return column


def _known(column: str | None, known: Collection[str]) -> str | None:
    return column if column in known else None


def _listed_at(place: int | None, wanted: Mapping[str, int]) -> str | None:
    return str(place) if place is not None and str(place) in wanted else None


def _column_at(place: int | None, columns: Sequence[str | None]) -> str | None:
    return None if place is None else columns[place]


class _Repeating(dict[str, object]):
    """An object that has a key more than once: as a dict with what it says last, in pairs with all that it says."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _of_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    return record if len(record) == len(pairs) else _Repeating(pairs)


def _pairs(record: Mapping[str, object]) -> Collection[tuple[str, object]]:
    return record.pairs if isinstance(record, _Repeating) else record.items()


def _flat(text: str) -> Mapping[str, object]:
    """A JSON object with ``a.b`` for the b in a."""
    return _of_pairs(list(_leaves("", _object(text))))


def _leaves(prefix: str, record: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """What an object under a repeated key holds is told twice: readers of JSON differ in which of them they take."""
    often = Counter(key for key, _ in record.pairs) if isinstance(record, _Repeating) else Counter[str]()
    for key, value in _pairs(record):
        if isinstance(value, dict):
            yield from [*_leaves(f"{prefix}{key}.", value)] * min(often.get(key, 1), 2)
        else:
            yield prefix + key, value


def _no_constant(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_constant, object_pairs_hook=_of_pairs)


def _object(text: str) -> Mapping[str, object]:
    text = text.strip(_JSON_SPACE)
    try:
        record, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        raise Rejected("not_json") from None
    if (
        end < len(text)
        or not isinstance(record, dict)
        or (("[" in text or text.rfind("{") > 0) and _has_many_brackets(text) and _is_deep(record))
    ):
        raise Rejected("not_json")
    if "\\u" in text:
        if "\\u0000" in text:
            raise Rejected("nul_byte")
        if _SURROGATE.search(text) and not _is_unicode(record):
            raise Rejected("not_utf8")
    return record


def _has_many_brackets(text: str) -> bool:
    """Without which nothing in it is deep."""
    return text.count("[") + text.count("{") > _DEEPEST


def _is_deep(record: object) -> bool:
    """Level by level: to call itself it would need a stack as deep."""
    level = [record]
    for _ in range(_DEEPEST):
        inner = (
            part
            for each in level
            for part in ([value for _, value in _pairs(each)] if isinstance(each, dict) else cast("list[object]", each))
        )
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return False
    return True


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
    return value.strip(SPACE)


def _kept_value(column: str, value: object, units: HashedUnits, nothing: frozenset[str], *, hashed: bool) -> object:
    """A value of JSON as it may be kept; what has parts may have a unit among them, and stays what has parts."""
    if isinstance(value, str):
        return kept(column, value.strip(SPACE), units, nothing, hashed=hashed)
    return [units[json.dumps(value)]] if isinstance(value, list | dict) else value


def _masked_tokens(text: str, units: HashedUnits, public: frozenset[str]) -> str:
    """A line that is no JSON object: but for names and the whole value right after a public one, all is hashed.

    One that is deep is kept without its brackets: whoever reads it again must not have to follow them.
    """
    if _has_many_brackets(text):
        text = text.translate(_BRACKETS_TO_COMMAS)
    told: int | None = None
    """Where a public name ended."""

    def mask(token: re.Match[str]) -> str:
        nonlocal told
        written, closing, colon = token[1], token[2], token[3] or ""
        name = canonical(written)
        whole = bool(closing) or not written.startswith('"')
        after = told is not None and not text[told : token.start()].strip()  # what has parts may have a unit in them
        keep = name is not None if colon else after and whole
        told = token.end() if colon and name in public else None
        return (written if keep else json.dumps(units[written.strip('"')])) + colon

    return _TOKEN.sub(mask, text)
