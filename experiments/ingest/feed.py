"""Feeds of ad servers: which of their columns mean what, as mapping files; a new one needs no code.

A mapping says, for each of a feed's files, its kind, how its name looks, and for each of our columns theirs: one name,
or several, of which the first that says something is taken, row by row; names with a plus (``ImpressionId + KeyPart``)
are joined. Names are matched whatever their case and punctuation. An ad server knows creatives, not experiments: the
workspace's ``trafficking.csv`` says which value of which column is which arm of which experiment.
"""

import csv
import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from creatives.documents import validate_document
from experiments.core.errors import ExperimentError
from experiments.ingest.header import COLUMNS, REQUIRED
from experiments.ingest.log import FileRefused

OWN = "adstyle"
"""The format that needs no mapping."""
TRAFFICKING = ("column", "value", "experiment", "arm")
_SHIPPED = Path(__file__).with_name("feeds")
_JOINT = "+"
_BARE = re.compile(r"[\W_]+")

Trafficking = Mapping[str, Mapping[str, tuple[str, str]]]
"""By bare column name and value: experiment and arm."""


def bare(name: str) -> str:
    """A column's name without case and punctuation."""
    return _BARE.sub("", name).lower()


class FeedFile(BaseModel):
    """One kind of file of a feed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["impression", "click", "conversion"]
    names: Annotated[list[str], Field(min_length=1)]
    """How its file names look: ``dcm_*_impression_*``."""
    columns: dict[str, str | list[str]]
    nothing: dict[str, list[str]] = Field(default_factory=dict)
    """Values that stand for none, by our column."""
    trafficking: list[str] = Field(default_factory=list)
    """Their columns that may tell the arm, the surest first."""


class Feed(BaseModel):
    """An ad server's files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    source: str
    checked_on: date
    files: Annotated[list[FeedFile], Field(min_length=1)]

    def file(self, file_name: str, kind: str | None) -> FeedFile:
        """The mapping for a file of that name, or of the kind that is asked for.

        Raises:
            FileRefused: where none fits.
        """
        for each in self.files:
            if each.kind == kind or (kind is None and _fits(file_name, each)):
                return each
        looks = ", ".join(name for each in self.files for name in each.names)
        raise FileRefused(f"{file_name} is no file of {self.title} by its name ({looks}): say which kind with --kind")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file of a feed has our columns: places in its header, joined where there are several."""

    kind: str
    places: Mapping[str, tuple[tuple[int, ...], ...]]
    """By our column: the alternatives that the file has, each of one place or of several to be joined."""
    nothing: Mapping[str, frozenset[str]]
    telling: tuple[tuple[int, Mapping[str, tuple[str, str]]], ...]
    """Places of columns that tell the arm, each with what its values mean."""

    def cells(self, raw: Mapping[int, pa.Array]) -> dict[str, pa.Array]:
        """Our columns from theirs, which are given by their place."""
        found = {column: self._first(column, alternatives, raw) for column, alternatives in self.places.items()}
        if self.kind == "impression":
            found |= self._arms(raw)
        return found

    def _first(self, column: str, alternatives: Sequence[tuple[int, ...]], raw: Mapping[int, pa.Array]) -> pa.Array:
        """Of each row the first alternative that says something; empty where none does."""
        none = pa.array(["", *sorted(self.nothing.get(column, ()))], pa.string())
        found: pa.Array | None = None
        for places in alternatives:
            parts = [pc.ascii_trim_whitespace(raw[place]) for place in places]
            values = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, "/")
            said = pc.if_else(pc.is_in(parts[0], value_set=none), pa.scalar(None, pa.string()), values)
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
        return dict(zip(("experiment", "arm"), columns, strict=True))


def layout_of(feed: FeedFile, file_name: str, header: Sequence[str], trafficking: Trafficking) -> Layout:
    """Where this file has what.

    Raises:
        FileRefused: where a column is missing that no event can do without, or no column that trafficking.csv names.
    """
    known = {bare(name): place for place, name in reversed(list(enumerate(header)))}
    places: dict[str, tuple[tuple[int, ...], ...]] = {}
    for column, asked in feed.columns.items():
        written = [
            [bare(part) for part in each.split(_JOINT)] for each in ([asked] if isinstance(asked, str) else asked)
        ]
        present = tuple(
            tuple(known[part] for part in parts) for parts in written if all(part in known for part in parts)
        )
        if present:
            places[column] = present
    needed = [each for each in REQUIRED[feed.kind] if each not in ("experiment", "arm")]
    missing = [column for column in needed if column not in places]
    if missing:
        asked = feed.columns.get(missing[0], missing[0])
        wanted = asked if isinstance(asked, str) else " or ".join(asked)
        raise FileRefused(f"{file_name} lacks {wanted}, which is the {missing[0]} of {feed.kind}s in this feed")
    telling = tuple(
        (known[bare(column)], trafficking[bare(column)])
        for column in feed.trafficking
        if bare(column) in known and bare(column) in trafficking
    )
    if feed.kind == "impression" and not telling:
        raise FileRefused(
            f"{file_name}: nothing says which creative is which arm: list values of {', '.join(feed.trafficking)} in "
            "trafficking.csv (columns column, value, experiment, arm)"
        )
    return Layout(feed.kind, places, {key: frozenset(values) for key, values in feed.nothing.items()}, telling)


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
        strangers = sorted((set(file.columns) | set(file.nothing)) - set(COLUMNS[file.kind]))
        if strangers:
            near = difflib.get_close_matches(strangers[0], COLUMNS[file.kind], n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"ours are {', '.join(COLUMNS[file.kind])}"
            raise ExperimentError(f"{path}: {strangers[0]!r} is no column of {file.kind}s: {advice}")
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
