"""Feeds of ad servers: which of their columns mean what, as mapping files; a new one needs no code.

A mapping says, for each of a feed's files, its kind, how its name looks, and for each of our columns theirs: one name,
or several, of which the first that says something is taken, row by row; names with a plus (``ImpressionId + KeyPart``)
are joined. Names are matched whatever their case and punctuation; in JSON, ``a.b`` is the b in a. ``#line`` is the
line's own number, with its file's hash, for events that have no id: it tells them apart within one file, so that only
the same file again is known, not the same events in another. An id that is made of a unit holds its hash.

One file may hold several kinds of events: then several ``[[files]]`` fit its name, each says which rows are its own
(``where``), and each is a delivery of its own. A row may belong to several (an impression that says it was clicked);
one that belongs to none is rejected (``unknown_event_type``) or, where the mapping says to ``ignore`` such rows,
counted as ``ignored_event_type`` and not kept. Both stand in the account of the first kind, as do broken lines.

Rows of one kind may also be written in two ways (purchases and refunds both are conversions): then two ``[[files]]`` of
that kind fit the name, and their ``where`` must tell them apart for certain, by lists of values of one column with none
in both. They are deliveries of their own, known by their place among those of the kind: new ones belong at the end.

An ad server knows creatives, not experiments: the workspace's ``trafficking.csv`` says which value of which column is
which arm of which experiment, unless columns or ``constants`` of the mapping say it themselves.

Files of counts may say more (`aggregates`): one value of a list for a column, and a ``breakdown``.
"""

import csv
import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from creatives.documents import validate_document
from experiments.core.errors import ExperimentError
from experiments.ingest.aggregates import Asked, CountLayout, FirstOf, names_of
from experiments.ingest.hashing import UnitHasher
from experiments.ingest.header import ADJUSTS, CLICK_REFERENCES, COLUMNS, OF_ARMS, PRIVATE, required
from experiments.ingest.log import FileRefused
from experiments.ingest.masks import OF_A_UNIT, without_suffix
from experiments.ingest.numbers import NUMBERS, Decimal, pointed
from experiments.ingest.slots import NamePattern
from experiments.ingest.times import Times
from experiments.ingest.values import MACRO, has_macro

OWN = "adstyle"
"""The format that needs no mapping."""
TRAFFICKING = ("column", "value", "experiment", "arm")
_SHIPPED = Path(__file__).with_name("feeds")
_JOINT = "+"
LINE = "#line"
"""Stands for a column: the number of the line, and what tells its file from others."""
_LINE_PLACE = -1
_IDENTITY = 16
"""Characters of a hash: a million files have two alike with a probability of about 3e-8."""
_OF_A_KIND = 50
"""Characters of the hash in a kind's id, which is then no longer than a hash: the lake finds ids by their bounds."""
_ARM = ("experiment", "arm")
_NO_CONSTANTS = frozenset({"event_id", "ts", "unit", "impression_id", "click_id", "ip"})
_BARE = re.compile(r"[\W_]+")

Trafficking = Mapping[str, Mapping[str, tuple[str, str]]]
"""By bare column name and value: experiment and arm."""


def bare(name: str) -> str:
    """A column's name without case and punctuation."""
    return _BARE.sub("", name).lower()


_WORDS = ("anything", "not empty", "above zero")


def _known(condition: str | list[str]) -> str | list[str]:
    if isinstance(condition, str) and condition not in _WORDS:
        raise ValueError(f"a condition is a list of values, or one of {', '.join(map(repr, _WORDS))}")
    return condition


Condition = Annotated[str | list[str], AfterValidator(_known)]
"""What a value must be: one of a list, or as these words say."""


class FeedFile(BaseModel):
    """One kind of events of a feed, and the files that hold them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["impression", "click", "conversion", "count"]
    names: Annotated[list[str], Field(min_length=1)]
    """How its file names look: ``dcm_*_impression_*``."""
    where: dict[str, Condition] = Field(default_factory=dict)
    """Which rows of such a file are events of this kind, by their column: each condition must hold. All without one."""
    ignore: dict[str, Condition] = Field(default_factory=dict)
    """Which of the rows that are of no kind are no mistake; the same conditions."""
    columns: dict[str, Asked]
    """By our column theirs."""
    constants: dict[str, str] = Field(default_factory=dict)
    """Values of our columns where theirs say nothing, or do not exist: ``currency = "EUR"``."""
    times: Times = Times()
    """How they write times, where it is otherwise than we read them."""
    decimal: Decimal = "."
    """What their numbers have before the decimals: where it is a comma, points stand between thousands."""
    nothing: dict[str, list[str]] = Field(default_factory=dict)
    """Values that stand for none, by our column."""
    trafficking: list[str] = Field(default_factory=list)
    """Their columns that may tell the arm, the surest first."""
    breakdown: list[str] = Field(default_factory=list)
    """Of counts: their columns that may split an ad's day into several rows."""
    replaces: NamePattern | None = None
    """Of a feed that delivers a file anew where the first was wrong: how its name says which file it is, and when it
    was ``made``."""

    @property
    def lists(self) -> dict[str, FirstOf]:
        """Our columns that are one value of a list."""
        return {column: asked for column, asked in self.columns.items() if isinstance(asked, FirstOf)}

    def shares_rows_with(self, other: "FeedFile") -> bool:
        """Whether a row might be an event of this kind twice: no column says that it is of one or of the other."""
        if self.kind != other.kind:
            return False
        told = {bare(column): set(values) for column, values in other.where.items() if isinstance(values, list)}
        return not any(
            isinstance(values, list) and bare(column) in told and told[bare(column)].isdisjoint(values)
            for column, values in self.where.items()
        )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "count" and "ad" not in self.columns:
            raise ValueError("counts need the column ad: which ad a row is about")
        if self.kind != "count" and (self.breakdown or self.lists):
            raise ValueError(f"breakdown and first_of are for counts, not for {self.kind}s")
        return self


class Feed(BaseModel):
    """An ad server's files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    source: str
    checked_on: date
    files: Annotated[list[FeedFile], Field(min_length=1)]

    def kinds(self, file_name: str, kind: str | None) -> tuple[FeedFile, ...]:
        """The mappings of all that a file of that name holds; or a file that holds the kind asked for.

        Of mappings of one kind that do not tell their rows apart, the first counts.

        Raises:
            FileRefused: where none fits.
        """
        fitting = [each for each in self.files if _fits(file_name, each)]
        if kind is not None and all(each.kind != kind for each in fitting):
            like = [each.names for each in self.files if each.kind == kind]
            fitting = [each for each in self.files if each.names in like[:1]]
        if kind is None and not fitting and all(each.names == self.files[0].names for each in self.files):
            fitting = self.files
        if fitting:
            held: list[FeedFile] = []
            for each in reversed(fitting):
                later = next((place for place, other in enumerate(held) if each.shares_rows_with(other)), None)
                if later is None:
                    held.append(each)
                else:
                    held[later] = each
            return tuple(reversed(held))
        if kind is not None:
            kinds = ", ".join(dict.fromkeys(each.kind for each in self.files))
            raise FileRefused(f"{file_name}: files of {self.title} hold no {kind}s: the mapping has {kinds}")
        looks = ", ".join(dict.fromkeys(name for each in self.files for name in each.names))
        raise FileRefused(f"{file_name} is no file of {self.title} by its name ({looks}): say which kind with --kind")


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
        FileRefused: where a column is missing that no event can do without, or no column that trafficking.csv names.
    """
    feed = mapped.file
    asked_for = frozenset(map(bare, asked_columns(mapped)))
    plain = [None if bare(name) in asked_for else without_suffix(name) for name in header]
    masked = frozenset(place for place, name in enumerate(plain) if name is not None)
    header = [inner or name for name, inner in zip(header, plain, strict=True)]
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


def columns_of(asked: str | list[str] | FirstOf) -> list[str]:
    """The columns that stand for one of ours, whichever is taken."""
    return [part.strip() for each in names_of(asked) for part in each.split(_JOINT)]


def _parts(asked: str | list[str] | FirstOf) -> list[list[str]]:
    """The alternatives, each as the bare names that are joined."""
    return [[LINE if part.strip() == LINE else bare(part) for part in each.split(_JOINT)] for each in names_of(asked)]


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


def feeds(own: Path | None = None) -> dict[str, Feed]:
    """The shipped feeds and those in the folder ``own``, which come first; by name.

    Raises:
        ExperimentError: for a mapping that is none, in one line with its file.
    """
    found = {feed.name: feed for feed in _shipped()}
    paths = sorted(own.glob("*.toml")) if own is not None and own.is_dir() else []
    mine = {feed.name: feed for feed in map(read_feed, paths)}
    return mine | {name: feed for name, feed in found.items() if name not in mine}


def read_feed(path: Path) -> Feed:
    """One mapping file, checked."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: {error}") from None
    feed = validate_document(document, Feed, str(path))
    for file in feed.files:
        strangers = sorted((set(file.columns) | set(file.nothing) | set(file.constants)) - set(COLUMNS[file.kind]))
        if strangers:
            near = difflib.get_close_matches(strangers[0], COLUMNS[file.kind], n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"ours are {', '.join(COLUMNS[file.kind])}"
            raise ExperimentError(f"{path}: {strangers[0]!r} is no column of {file.kind}s: {advice}")
        if file.ignore and not file.where:
            raise ExperimentError(
                f"{path}: nothing is left to ignore where every row is one of the {file.kind}s: add where"
            )
        if held := sorted(set(file.constants) & _NO_CONSTANTS):
            raise ExperimentError(f"{path}: {held[0]} cannot be the same in every row: name its column")
    for place, file in enumerate(feed.files):
        for name in file.names:
            rivals = [other for other in feed.files[:place] if name in other.names and file.shares_rows_with(other)]
            if rivals or file.names.count(name) > 1:
                raise ExperimentError(
                    f"{path}: {name} has two mappings of {file.kind}s: make them one, with alternatives, or tell their "
                    "rows apart by where: lists of values of one column, with none in both"
                )
    return feed


def feed_for(file_name: str, known: Mapping[str, Feed], asked: str | None) -> Feed | None:
    """The feed that is asked for or, where nothing is, the one whose file names look like this; None for our own.

    Raises:
        ExperimentError: for a name that is no feed, with the nearest one.
    """
    if asked == OWN:
        return None
    if asked is not None:
        if asked not in known:
            near = difflib.get_close_matches(asked, [OWN, *known], n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join([OWN, *known])}"
            raise ExperimentError(f"there is no format {asked!r}: {advice}")
        return known[asked]
    return next((feed for feed in known.values() for each in feed.files if _fits(file_name, each)), None)


def read_trafficking(path: Path) -> Trafficking:
    """``trafficking.csv``: which value of which column is which arm; nothing where there is no such file.

    Raises:
        ExperimentError: for a file that is no such table, or that says two things of one value.
    """
    if not path.is_file():
        return {}
    told: dict[str, dict[str, tuple[str, str]]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if tuple(bare(name or "") for name in rows.fieldnames or ()) != TRAFFICKING:
            raise ExperimentError(f"{path} has not the columns {', '.join(TRAFFICKING)}: begin it with that line")
        for number, row in enumerate(rows, start=2):
            cells = [(row[name] or "").strip() for name in rows.fieldnames or ()]
            column, value, experiment, arm = cells
            if not all(cells):
                raise ExperimentError(f"{path}:{number}: column, value, experiment or arm is empty: fill it in")
            meaning = told.setdefault(bare(column), {}).setdefault(value, (experiment, arm))
            if meaning != (experiment, arm):
                raise ExperimentError(
                    f"{path}:{number}: {column} {value} is arm {meaning[1]!r} of {meaning[0]!r} already; it can be one"
                )
    return told


def _fits(file_name: str, file: FeedFile) -> bool:
    return any(fnmatchcase(file_name.lower(), pattern.lower()) for pattern in file.names)


@cache
def _shipped() -> tuple[Feed, ...]:
    return tuple(map(read_feed, sorted(_SHIPPED.glob("*.toml"))))
