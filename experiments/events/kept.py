"""The parts of what evidence found that are kept as files, for later evidence to begin with (`past`)."""

import re
import uuid
from collections.abc import Sequence
from pathlib import Path

_INSTANT = "timestamp('UTC', 6)"
_PARTS: dict[str, dict[str, str]] = {
    "people": {
        "unit": "int64", "first_shown": _INSTANT, "last_shown": _INSTANT, "impressions": "int64", "said": "uint64",
        "sole": "uint64",
    },
    "decisions": {"unit": "int64", "said": "uint64"},
    "texts": {"said": "uint64", "arm": "string"},
    "tally": {"arm": "string", "date": "date", "invalid": "string", "value": "int64", "moment": _INSTANT},
    "bots": {"unit": "int64", "arm": "string", "batch": "int32"},
    "machines": {"unit": "int64"},
    "arms_seen": {"unit": "int64", "arm": "uint64", "dealing": "int32"},
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
