"""Files of events in whatever form: what a form gives of a block of lines, and what their columns are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from experiments.ingest.feed import bare
from experiments.ingest.hashing import HashedUnits
from experiments.ingest.header import COLUMNS, PRIVATE, canonical, check_columns, kind_of, known_to
from experiments.ingest.layout import Layout, Mapped
from experiments.ingest.log import Block, FileRefused, Line
from experiments.ingest.masks import REASON_COLUMN, with_suffix, without_suffix

_MACRO_BEGINNINGS = (b"%%", b"${", b"{{", b"[", b"__")
MACRO_BEGINS = "|".join(re.escape(each.decode()) for each in _MACRO_BEGINNINGS)
"""The same for columns."""
DESCRIBING = frozenset({"variant", "slot", "placement", "device", "country", "user_agent", "ip", "purpose"})
"""Columns for whose values no line is rejected. Of events that are known nothing is kept, so they are not needed."""


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

    def rows(self, block: L, but: frozenset[str] = frozenset()) -> Rows:
        """The cells of a block's lines, ``but`` for those of some columns."""

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
            heading = cls(layout.kind, columns, wanted, layout, layout.masked, repaired)
            heading.refuse_mixture(file_name, names)
            return heading
        plain = list(map(without_mask, names))
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

    def wanted_but(self, columns: frozenset[str]) -> Mapping[str, int]:
        """Where what is read stands without some of our columns, which a feed makes of any of its own."""
        if self.layout is not None or not columns:
            return self.wanted
        return {name: place for name, place in self.wanted.items() if name not in columns}

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
        but: frozenset[str] = frozenset(),
        hashed: NDArray[np.bool_] | None = None,
    ) -> Rows:
        """The lines of a block from those of their cells that are wanted, under our own names.

        ``but`` are columns that are left out; ``hashed`` are the rows whose units are hashes already, where each row
        says so for itself.
        """
        layout = self.layout
        if layout is None:
            which = np.ones(len(places), np.bool_) if self.hashed else hashed
            return Rows(places, _without(cells, but), tuple(broken), macros, hashed=which)
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
        found = _without(layout.cells(raw, block.numbers[places]), but)
        which = np.ones(len(places), np.bool_) if self.hashed else None
        return Rows(places, found, tuple(broken), macros, bool(layout.telling), elsewhere, ignored, which)


def _without(cells: Mapping[str, pa.Array], columns: frozenset[str]) -> Mapping[str, pa.Array]:
    return {name: cell for name, cell in cells.items() if name not in columns}


def without_mask(name: str) -> str:
    """``unit`` of ``unit (hashed)``: of our own private columns alone."""
    inner = without_suffix(name)
    return inner if inner is not None and canonical(inner) in PRIVATE else name


def may_have_macros(block: Block) -> bool:
    data = block.data  # one octet is looked for twenty times as fast as two
    return any(beginning[:1] in data and beginning in data for beginning in _MACRO_BEGINNINGS)


def looks_like_json(file_name: str, first: Line) -> bool:
    """By the name's ending, or else by the first character."""
    endings = re.sub(r"\.(gz|zst|zstd)$", "", file_name.lower()).rpartition(".")[2]
    if endings in ("jsonl", "ndjson", "json"):
        return True
    return endings not in ("csv", "tsv") and first.text.lstrip().startswith("{")
