"""What evidence found up to an instant, in parts that evidence of a later one begins with.

Everything that counts looks back: a click belongs to an impression before it, a conversion to a touch before it, a unit
to the arm that it saw first. So events from an instant on change nothing of what was found of those before it, and it
can be kept, as long as no event of before comes later. What is judged anew each time is told of units or of single
events, and never of sums over them: machines show themselves late, conversions are adjusted, units mature, and segments
grow large or small.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis import _

_INSTANT = "timestamp('UTC', 6)"
_PARTS: dict[str, dict[str, str]] = {
    "people": {
        "unit": "int64", "first_shown": _INSTANT, "impressions": "int64", "said": "uint64", "tied": "boolean",
        "sole": "uint64",
    },
    "decisions": {"unit": "int64", "said": "uint64"},
    "texts": {"said": "uint64", "arm": "string"},
    "tally": {"arm": "string", "date": "date", "invalid": "string", "value": "int64", "moment": _INSTANT},
    "bots": {"unit": "int64", "arm": "string"},
    "machines": {"unit": "int64"},
    "moves": {"unit": "int64", "arm": "string", "shown_arm": "string", "date": "date"},
    "clicks": {
        "ts": _INSTANT, "date": "date", "impression": "string", "unit": "int64", "creative": "uint64", "arm": "string",
        "shown_arm": "string", "counts": "boolean",
    },
    "bot_clicks": {"arm": "string", "invalid": "string"},
    "loose": {"impression_id": "string", "unit": "int64"},
    "bought": {
        "event_id": "string", "ts": _INSTANT, "date": "date", "unit": "int64", "arm": "string", "clicked": "boolean",
        "value_micros": "int64", "paid_micros": "int64", "currency": "string",
    },
}  # fmt: skip
"""Each a part of the evidence expression by its name there, and its columns; texts have those of segments, too."""
PARTS = frozenset(_PARTS)
WHOLE = "people"
"""The part that is made anew each time; to all others rows are added."""
PREFIX = "past_"
"""Before the names that the expression has for them."""
_OF_PART, _TURN = "-", re.compile(r"_\d+$")


def columns_of(part: str, segments: Sequence[str]) -> dict[str, str]:
    """A part's columns and their types, in Ibis's words."""
    return _PARTS[part] | (dict.fromkeys(segments, "string") if part == "texts" else {})


def part_file(folder: Path, name: str) -> Path | None:
    """A new file for what the expression calls so; none for what is not kept. Units take turns, each its own file."""
    part = _TURN.sub("", name)
    return folder / f"{part}{_OF_PART}{uuid.uuid4().hex}.parquet" if part in _PARTS else None


def part_files(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder by part; of what is whole no part is missing (`PARTS`)."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.parquet")):
        found.setdefault(file.name.partition(_OF_PART)[0], []).append(file)
    return found


@dataclass(frozen=True, slots=True)
class Past:
    """All that evidence of an experiment's events before ``until`` found; nothing where there is no such instant."""

    until: datetime | None
    segments: Sequence[str]
    _tables: dict[str, ir.Table] = field(default_factory=dict, init=False)

    def table(self, part: str) -> ir.Table:
        """What was found: a table that the engine is to know by the part's name with `PREFIX`."""
        found = self._tables.get(part)
        if found is None:
            schema = columns_of(part, self.segments)
            found = self._tables[part] = ibis.table(schema, name=f"{PREFIX}{part}")
        return found

    def and_since(self, part: str, since: ir.Table) -> ir.Table:
        """What was found then and since; ``since`` is the part, to be computed once."""
        named = since.select(*columns_of(part, self.segments)).alias(part)
        return named if self.until is None else ibis.union(self.table(part), named)

    def unknown(self, part: str, since: ir.Table, column: str) -> ir.Table:
        """What was found since and not yet then."""
        return since if self.until is None else since.anti_join(self.table(part), column)

    def recent(self, part: str, since: ir.Table, *, hours: int) -> ir.Table:
        """What was found since, and in so many hours before then; what a part does not keep is missing there."""
        if self.until is None:
            return since
        before = self.table(part).filter(_.ts >= self.until - timedelta(hours=hours))
        known = {name: before[name] for name in since.columns if name in before.columns}
        missing = {name: ibis.null(kind) for name, kind in since.schema().items() if name not in known}
        return ibis.union(before.select(**known, **missing).select(since.columns), since)

    def reach(self, days: int, start: datetime) -> datetime:
        """Events since then look so many days back for impressions: to here, or to ``start`` where all is new."""
        if self.until is None:
            return start
        return max(start, self.until - timedelta(days=days, hours=1))  # an hour more: machines are told by the hour
