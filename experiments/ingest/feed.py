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
import io
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from creatives.documents import validate_document
from experiments.core.errors import ExperimentError
from experiments.ingest.aggregates import Asked, FirstOf, names_of
from experiments.ingest.header import COLUMNS
from experiments.ingest.log import FileRefused
from experiments.ingest.numbers import Decimal
from experiments.ingest.slots import NamePattern
from experiments.ingest.times import Times

OWN = "adstyle"
"""The format that needs no mapping."""
TRAFFICKING = ("column", "value", "experiment", "arm")
SHEET = ("share", "slot", "width", "height", "file", "bytes", "sha256", "landing_url")
"""Beside those columns in the sheet that goes to the ad server and comes back with its numbers; they are not read."""
_SEPARATORS = (",", ";", "\t")
"""Spreadsheets write their country's."""
_SHIPPED = Path(__file__).with_name("feeds")
JOINT = "+"
"""Between the names of columns that are joined."""
LINE = "#line"
"""Stands for a column: the number of the line, and what tells its file from others."""
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


def columns_of(asked: str | list[str] | FirstOf) -> list[str]:
    """The columns that stand for one of ours, whichever is taken."""
    return [part.strip() for each in names_of(asked) for part in each.split(JOINT)]


def feeds(own: Path | None = None) -> dict[str, Feed]:
    """The shipped feeds and those in the folder ``own``, which come first; by name.

    Raises:
        ExperimentError: for a mapping that is none, in one line with its file.
    """
    if own is not None and os.path.lexists(own) and not own.is_dir():
        raise ExperimentError(f"{own} is no folder: it is to hold mappings of feeds, or not to be there")
    found = {feed.name: feed for feed in _shipped()}
    paths = sorted(own.glob("*.toml")) if own is not None and own.is_dir() else []
    mine = {feed.name: feed for feed in map(read_feed, paths)}
    return mine | {name: feed for name, feed in found.items() if name not in mine}


def read_feed(path: Path) -> Feed:
    """One mapping file, checked."""
    text = own_text(path)
    try:
        document = tomllib.loads(text)
    except ValueError as error:
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
    if not os.path.lexists(path):
        return {}
    told: dict[str, dict[str, tuple[str, str]]] = {}
    rows = _rows(path)
    _, header = next(rows, (1, []))
    named = tuple(map(bare, header))
    if named[: len(TRAFFICKING)] != TRAFFICKING:
        raise ExperimentError(f"{path} has not the columns {', '.join(TRAFFICKING)}: begin it with that line")
    known = set(map(bare, SHEET))
    for name, shown in zip(named[len(TRAFFICKING) :], header[len(TRAFFICKING) :], strict=True):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else "take it out"
            raise ExperimentError(f"{path}: {shown!r} is no column of it: {advice}")
    for number, row in rows:
        if len(row) > len(header):
            raise ExperimentError(
                f"{path}:{number}: has {len(row)} values; it is to have {', '.join(header)}: take out what is too "
                "much, or put a value that holds a comma in quotes"
            )
        if len(row) < len(TRAFFICKING) or not all(row[: len(TRAFFICKING)]):
            raise ExperimentError(f"{path}:{number}: column, value, experiment or arm is empty: fill it in")
        column, value, experiment, arm = row[: len(TRAFFICKING)]
        meaning = told.setdefault(bare(column), {}).setdefault(value, (experiment, arm))
        if meaning != (experiment, arm):
            raise ExperimentError(
                f"{path}:{number}: {column} {value} is arm {meaning[1]!r} of {meaning[0]!r} already; it can be one"
            )
    return told


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table that are not blank, each with the number of its last line."""
    text = own_text(path)
    header = text.partition("\n")[0]
    separator = next((each for each in _SEPARATORS if each in header), _SEPARATORS[0])
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        for row in rows:
            if row:
                yield rows.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise ExperimentError(f"{path}:{rows.line_num}: {error}: is a quote left open?") from None


def own_text(path: Path) -> str:
    """What a file of the workspace's own says.

    Raises:
        ExperimentError: where it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ExperimentError(f"{path} is no UTF-8 text: save or export it as UTF-8") from None
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read ({error.strerror}): mend it or take it away") from None


def _fits(file_name: str, file: FeedFile) -> bool:
    return any(fnmatchcase(file_name.lower(), pattern.lower()) for pattern in file.names)


@cache
def _shipped() -> tuple[Feed, ...]:
    return tuple(map(read_feed, sorted(_SHIPPED.glob("*.toml"))))
