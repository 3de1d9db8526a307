"""Where a file of a feed has what: a mapping applied to its header, and what its columns say of each row."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from experiments.ingest.aggregates import CountLayout, FirstOf, names_of
from experiments.ingest.feed import JOINT, LINE, Condition, FeedFile, Trafficking, bare, columns_of
from experiments.ingest.hashing import UnitHasher
from experiments.ingest.header import ADJUSTS, CLICK_REFERENCES, OF_ARMS, PRIVATE, required
from experiments.ingest.log import FileRefused
from experiments.ingest.masks import OF_A_UNIT, without_suffix
from experiments.ingest.numbers import NUMBERS, pointed
from experiments.ingest.values import MACRO, has_macro

_LINE_PLACE = -1
_IDENTITY = 16
"""Characters of a hash: a million files have two alike with a probability of about 3e-8."""
_OF_A_KIND = 50
"""Characters of the hash in a kind's id, which is then no longer than a hash: the lake finds ids by their bounds."""
_ARM = ("experiment", "arm")


@dataclass(frozen=True, slots=True)
class Mapped:
    """One kind of events in a file of a feed, and what else is to be known to read them."""

    file: FeedFile
    trafficking: Trafficking
    beside: tuple[FeedFile, ...]
    """The mappings of the other kinds that the same file holds."""
    first: bool
    """Whether lines that are of no kind count here."""
    identity: str
    """What tells the file from others, for ids made of line numbers."""
    hashed: Callable[[str], str]
    """The hash of a unit, for ids made of it."""
    source: str = ""
    """The feed's name."""
    number: int = 1
    """Which of the file's mappings of its kind it is."""

    @classmethod
    def of(
        cls,
        kinds: Sequence[FeedFile],
        place: int,
        trafficking: Trafficking,
        sha256: str,
        hasher: UnitHasher,
        source: str = "",
    ) -> "Mapped":
        """One of the kinds of the feed's file with this hash."""
        beside = tuple(each for number, each in enumerate(kinds) if number != place)
        number = 1 + sum(each.kind == kinds[place].kind for each in kinds[:place])
        hashed = hasher.of_ids.hashed
        return cls(kinds[place], trafficking, beside, place == 0, sha256[:_IDENTITY], hashed, source, number)

    @property
    def conditions(self) -> frozenset[str]:
        """The bare names of columns by which the file's kinds are told apart."""
        return frozenset(bare(name) for each in (self.file, *self.beside) for name in each.where)

    def delivery(self, sha256: str) -> str:
        """The delivery's own id: the hash of the file or, for all that it holds but its first, most of it and what."""
        return sha256 if self.first else f"{sha256[:_OF_A_KIND]}:{self.label}"

    @property
    def label(self) -> str:
        """What tells it from all else that the file holds: its kind, with a number from the second of a kind on."""
        return self.file.kind if self.number == 1 else f"{self.file.kind}.{self.number}"

    def layout(self, file_name: str, header: Sequence[str]) -> "Layout":
        """Where the file has what."""
        return layout_of(self, file_name, header)


Conditions = Sequence[tuple[int, Condition]]
"""By place."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file of a feed has our columns: places in its header, joined where there are several."""

    mapped: Mapped
    places: Mapping[str, tuple[tuple[int, ...], ...]]
    """By our column: the alternatives that the file has, each of one place or of several to be joined."""
    telling: tuple[tuple[int, Mapping[str, tuple[str, str]]], ...]
    """Places of columns that tell the arm, each with what its values mean."""
    where: Conditions
    elsewhere: tuple[Conditions, ...]
    """Which rows are of each other kind."""
    ignored: tuple[Conditions, ...]
    read: frozenset[int]
    """Places of what any of the file's kinds reads: a row that one of them cannot read, none can."""
    private: Mapping[int, str]
    """Places of what is never kept as it came, whichever kind says so."""
    counts: CountLayout | None = None
    may_tell: tuple[int, ...] = ()
    """Places of columns that would tell the arm if trafficking.csv named their values: rejected lines keep them."""
    masked: frozenset[int] = frozenset()
    """Places of columns whose units are hashed and addresses cut already."""

    @property
    def kind(self) -> str:
        return self.mapped.file.kind

    @property
    def meant(self) -> dict[int, str]:
        """What is said of each place that this kind reads; what is a unit, too, is private."""
        found = {place: "kind" for each in (self.where, *self.elsewhere, *self.ignored) for place, _ in each}
        found |= dict.fromkeys(self.may_tell, "variant")
        found |= {place: "breakdown" for _, place in self.counts.breakdown} if self.counts else {}
        for column, alternatives in self.places.items():
            found |= {place: column for places in alternatives for place in places if place != _LINE_PLACE}
        return found | dict(self.private)

    def sorts(self, raw: Mapping[int, pa.Array], rows: int) -> tuple[NDArray[np.bool_], ...] | None:
        """Which rows are of this kind, which of none, and which of those are to be ignored; None where all are ours."""
        if not self.where:
            return None
        ours = _holding(self.where, raw, rows)
        if not self.mapped.first:
            return ours, np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
        nobodys = ~ours
        for conditions in self.elsewhere:
            nobodys &= ~_holding(conditions, raw, rows)
        ignored = np.zeros(rows, np.bool_)
        for conditions in self.ignored:
            ignored |= nobodys & _holding(conditions, raw, rows)
        return ours, nobodys & ~ignored, ignored

    def cells(self, raw: Mapping[int, pa.Array], numbers: NDArray[np.int64]) -> dict[str, pa.Array]:
        """Our columns from theirs, which are given by their place, in rows of these line numbers."""
        if any(_LINE_PLACE in places for alternatives in self.places.values() for places in alternatives):
            lines = pc.binary_join_element_wise(self.mapped.identity, pa.array(numbers).cast(pa.string()), "/")
            raw = {**raw, _LINE_PLACE: lines}
        found = {column: self._first(column, alternatives, raw) for column, alternatives in self.places.items()}
        for column, value in self.mapped.file.constants.items():
            found[column] = (
                pc.if_else(pc.equal(found[column], ""), value, found[column])
                if column in found
                else pa.repeat(value, len(numbers))
            )
        if self.telling:
            for column, told in self._arms(raw).items():
                said = found.get(column, pa.repeat("", len(numbers)))
                found[column] = pc.if_else(pc.equal(told, ""), said, told)
        if self.counts is not None:
            found = self.counts.cells(found, raw, len(numbers))
        if self.mapped.file.decimal == ",":
            found |= {column: pointed(found[column]) for column in NUMBERS if column in found}
        return found

    def _first(self, column: str, alternatives: Sequence[tuple[int, ...]], raw: Mapping[int, pa.Array]) -> pa.Array:
        """Of each row the first alternative that says something; empty where none does."""
        none = pa.array(["", *sorted(self.mapped.file.nothing.get(column, ()))], pa.string())
        private = frozenset() if column in PRIVATE else frozenset(self.private)
        found: pa.Array | None = None
        for places in alternatives:
            parts = [pc.ascii_trim_whitespace(raw[place]) for place in places]
            empty = pc.is_in(parts[0], value_set=none)
            if private & self.masked & frozenset(places):
                values: pa.Array = pa.repeat(OF_A_UNIT, len(empty))
            else:
                parts = [
                    _hashed(part, self.mapped.hashed) if place in private else part
                    for place, part in zip(places, parts, strict=True)
                ]
                values = parts[0] if len(parts) == 1 else _joined(parts)
            said = pc.if_else(empty, pa.scalar(None, pa.string()), values)
            found = said if found is None else pc.coalesce(found, said)
        return pc.fill_null(found, "")

    def _arms(self, raw: Mapping[int, pa.Array]) -> dict[str, pa.Array]:
        """The first column that knows a row's value says its experiment and arm; nothing where none does."""
        columns: list[pa.Array] = []
        for part in (0, 1):
            found: pa.Array | None = None
            for place, meanings in self.telling:
                encoded = pc.ascii_trim_whitespace(raw[place]).dictionary_encode()
                said = [meanings.get(value, (None, None))[part] for value in encoded.dictionary.to_pylist()]
                told = pa.array(said, pa.string()).take(encoded.indices)
                found = told if found is None else pc.coalesce(found, told)
            columns.append(pc.fill_null(found, ""))
        return dict(zip(_ARM, columns, strict=True))


def layout_of(mapped: Mapped, file_name: str, header: Sequence[str]) -> Layout:
    """Where this file has what.

    Raises:
        FileRefused: where a column is missing that no event can do without, or no column that trafficking.csv names, or
            where one that the mapping asks for is there twice.
    """
    feed = mapped.file
    asked_for = {bare(name): name for name in asked_columns(mapped)}
    plain = [None if bare(name) in asked_for else without_suffix(name) for name in header]
    masked = frozenset(place for place, name in enumerate(plain) if name is not None)
    header = [inner or name for name, inner in zip(header, plain, strict=True)]
    often = Counter(map(bare, header))
    if twice := sorted(name for short, name in asked_for.items() if often[short] > 1):
        raise FileRefused(f"{file_name} has {', '.join(twice)} more than once: keep one column of each")
    known = {LINE: _LINE_PLACE} | {bare(name): place for place, name in reversed(list(enumerate(header)))}
    places: dict[str, tuple[tuple[int, ...], ...]] = {}
    for column, asked in feed.columns.items():
        present = tuple(
            tuple(known[part] for part in parts) for parts in _parts(asked) if all(part in known for part in parts)
        )
        if present:
            places[column] = present
    telling = tuple(
        (known[bare(column)], mapped.trafficking[bare(column)])
        for column in feed.trafficking
        if bare(column) in known and bare(column) in mapped.trafficking
    )
    told = {*places, *feed.constants, *(_ARM if telling else ())}
    needs = (*required(feed.kind, told), *(("ad",) if feed.kind == "count" else ()))
    missing = [column for column in needs if column not in told]
    if feed.kind in OF_ARMS and feed.trafficking and set(missing) & set(_ARM) and not set(missing) - set(_ARM):
        if absent := [column for column in feed.trafficking if bare(column) in mapped.trafficking]:
            raise FileRefused(f"{file_name} lacks {' or '.join(absent)}, by which trafficking.csv tells the arm")
        raise FileRefused(
            f"{file_name}: nothing says which creative is which arm: list values of {', '.join(feed.trafficking)} in "
            "trafficking.csv (columns column, value, experiment, arm)"
        )
    if feed.kind == "click" and not told & CLICK_REFERENCES:
        missing += ["impression_id"]
    if missing:
        needed = next((each for each in missing if each not in _ARM), missing[0])
        if needed == "unit" and "unit" not in feed.columns and ADJUSTS in feed.columns:
            needed = ADJUSTS  # with which none is needed
        wanted = " or ".join(names_of(feed.columns.get(needed, needed)))
        raise FileRefused(f"{file_name} lacks {wanted}, which is the {needed} of {feed.kind}s in this feed")
    conditions = [_conditions(file_name, each.where, known) for each in (feed, *mapped.beside)]
    ignored = [_conditions(file_name, each.ignore, known) for each in (feed, *mapped.beside) if each.ignore]
    counts = _counts_of(mapped, known) if feed.kind == "count" else None
    read = frozenset(known[bare(name)] for name in asked_columns(mapped) if bare(name) in known)
    private = {
        known[part]: column
        for column in PRIVATE[::-1]  # what is a unit as well as an address is a unit
        for each in (feed, *mapped.beside)
        for parts in _parts(each.columns.get(column, []))
        for part in parts
        if part in known and part != LINE
    }
    may_tell = tuple(known[bare(column)] for column in feed.trafficking if bare(column) in known)
    return Layout(
        mapped, places, telling, conditions[0], tuple(conditions[1:]), tuple(ignored), read, private, counts, may_tell,
        masked,
    )  # fmt: skip


def _counts_of(mapped: Mapped, known: Mapping[str, int]) -> CountLayout:
    breakdown = tuple((name, known[bare(name)]) for name in mapped.file.breakdown if bare(name) in known)
    return CountLayout(mapped.source, mapped.file.lists, breakdown, mapped.file.times.form)


def asked_columns(mapped: Mapped) -> list[str]:
    """Every column that the mappings of a file speak of, as they write them."""
    names: list[str] = []
    for file in (mapped.file, *mapped.beside):
        names += [name for asked in file.columns.values() for name in columns_of(asked)]
        names += [*file.trafficking, *file.breakdown, *file.where, *file.ignore]
    return [name for name in dict.fromkeys(names) if name != LINE]


def _parts(asked: str | list[str] | FirstOf) -> list[list[str]]:
    """The alternatives, each as the bare names that are joined."""
    return [[LINE if part.strip() == LINE else bare(part) for part in each.split(JOINT)] for each in names_of(asked)]


def _conditions(file_name: str, asked: Mapping[str, Condition], known: Mapping[str, int]) -> Conditions:
    for column in asked:
        if bare(column) not in known:
            raise FileRefused(f"{file_name} lacks {column}, which tells what kind its rows are in this feed")
    return [(known[bare(column)], condition) for column, condition in asked.items()]


def _holding(conditions: Conditions, raw: Mapping[int, pa.Array], rows: int) -> NDArray[np.bool_]:
    """The rows for which all hold; each distinct value is asked once."""
    found = np.ones(rows, np.bool_)
    for place, condition in conditions:
        encoded = pc.ascii_trim_whitespace(pc.fill_null(raw[place], "")).dictionary_encode()
        holds = np.array([_holds(condition, value) for value in encoded.dictionary.to_pylist()], np.bool_)
        found &= holds[encoded.indices.to_numpy()] if len(holds) else found
    return found


def _holds(condition: Condition, value: str) -> bool:
    if isinstance(condition, list):
        return value in condition
    if condition == "above zero":
        try:
            return float(value) > 0
        except ValueError:
            return False
    return condition == "anything" or bool(value)


def _hashed(column: pa.Array, hashed: Callable[[str], str]) -> pa.Array:
    """What stands for each value; nothing for nothing, and a placeholder for itself."""
    encoded = column.dictionary_encode()
    said = [hashed(value) if value and not has_macro(value) else value for value in encoded.dictionary.to_pylist()]
    return pa.array(said, pa.string()).take(encoded.indices)


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    """All parts of each row; of one with a placeholder that nobody filled in nothing but that, so that it is found."""
    values = pc.binary_join_element_wise(*parts, "/")
    for part in parts:
        values = pc.if_else(pc.match_substring_regex(part, f"^(?:{MACRO})$"), part, values)
    return values
