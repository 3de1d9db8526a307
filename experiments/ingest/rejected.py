"""Rejected lines as the lake keeps them: what there is, and files made of them again, for somebody to repair.

A line says of no one who it was: units are hashes in it and addresses networks, in columns named so, and a repaired
file is ingested as it is. Not every line can be repaired from what was kept of it; which cannot, and why, is said.
Where an experiment was not started in time whole files are rejected, so lines are read some at a time.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TextIO

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from experiments.core.errors import ExperimentError
from experiments.events.append import Append
from experiments.events.lake import EventLake
from experiments.events.storage import storage_failures
from experiments.ingest.comma_separated import joined
from experiments.ingest.hashing import UnitHasher
from experiments.ingest.header import PRIVATE, canonical
from experiments.ingest.masks import REASON_COLUMN, is_hash, with_suffix, without_suffix

LONGEST_REJECT = 64 << 10
"""Bytes kept of a rejected line."""
_CHARACTER = 4
"""Bytes, at most: so much shorter may a line be that was cut."""
_TOLD_NOTHING = ("ragged_row", "not_json")
"""Reasons of lines whose values cannot be told apart: every one of them is hashed, whoever's it was."""
_OF_BROKEN_TEXT = ("not_utf8", "nul_byte")
"""Reasons of lines in which something is lost that a reader does not miss any more: a person must look."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What lines were rejected from, and how that file was read."""

    delivery: str
    name: str
    kind: str
    feed: str | None
    header: str | None

    @property
    def label(self) -> str:
        """What of that file: its kind, with a number where it holds rows of that kind in several ways."""
        return self.delivery.partition(":")[2] or self.kind

    @property
    def width(self) -> int | None:
        """Of its rows; None where each line names its values itself."""
        return None if self.header is None else len(cells_of(self.header))


_FIELDS = tuple(Origin.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Exported:
    """A file of rejects, and what of them is not in it, by why."""

    origin: Origin
    path: Path | None
    """None where there was nothing to write."""
    lines: int
    left: Mapping[str, int]


def lost(text: str, reason: str, origin: Origin, width: int | None) -> str | None:
    """Why a kept line cannot be repaired from what was kept of it, as a code; None where it can."""
    if origin.kind == "count":
        return "part_of_a_count"
    if len(text.encode()) > LONGEST_REJECT - _CHARACTER:
        return "shortened"
    if reason == "unterminated_line":
        return "cut_off"
    if reason in _TOLD_NOTHING:
        return "values_not_told_apart"
    if width is not None:
        return None if len(cells_of(text)) == width else "values_not_told_apart"
    record = record_of(text)
    if origin.feed is not None:  # under whichever names it has units
        return "values_not_told_apart" if record is None or reason in _OF_BROKEN_TEXT else None
    if record is not None and not any(canonical(key) in PRIVATE for key in record):
        return None
    return "values_not_told_apart" if reason in _OF_BROKEN_TEXT else "columns_not_kept"


def lost_to_machines(text: str, reason: str, origin: Origin, width: int | None) -> str | None:
    """Why a kept line cannot be judged again as it is; None where it can."""
    return lost(text, reason, origin, width) or ("broken_text" if reason in _OF_BROKEN_TEXT else None)


def counted(lake: EventLake, reason: str | None = None, name: str | None = None) -> dict[tuple[Origin, str], int]:
    """How many lines are kept, by what they were rejected from and why; in the order of files' names."""
    with storage_failures(lake.root), duckdb.connect() as engine:
        engine.register("rejects", lake.dataset("rejects"))
        rows = engine.execute(
            "SELECT delivery, name, kind, feed, header, reason, count(*) FROM rejects "
            "WHERE ($1 IS NULL OR reason = $1) AND ($2 IS NULL OR name = $2) GROUP BY ALL "
            "ORDER BY name, delivery, kind, feed, header, reason",
            [reason, name],
        ).fetchall()
    return {(Origin(*origin), why): count for *origin, why, count in rows}


def of_origin(batch: pa.RecordBatch, origin: Origin, reason: str | None = None) -> pa.Array:
    """Which rows of the lake were rejected from that file, and for that reason where one is given."""
    asked = dict(zip(_FIELDS, astuple(origin), strict=True)) | ({"reason": reason} if reason is not None else {})
    found = pc.equal(batch["delivery"], origin.delivery)
    for column, value in asked.items():
        same = (
            pc.is_null(batch[column])
            if value is None
            else pc.fill_null(pc.equal(batch[column], value), fill_value=False)
        )
        found = pc.and_(found, same)
    return found


def export(
    lake: EventLake, hasher: UnitHasher, folder: Path, reason: str | None = None, name: str | None = None
) -> tuple[Exported, ...]:
    """Write the kept lines out, a file for each that they came in: all of them, or none.

    Raises:
        ExperimentError: where a file of that name is there already: somebody may be repairing it.
    """
    origins = list(dict.fromkeys(origin for origin, _ in counted(lake, reason, name)))
    names, kept = _names(origins), lake.begin("rejects")
    taken = [folder / each for each in names.values() if (folder / each).exists()]
    if taken:
        raise ExperimentError(f"{taken[0]} is there already, and may be half repaired: give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    done: list[Exported] = []
    aside: dict[Path, Path] = {}
    try:
        for origin in origins:
            path = folder / names[origin]
            part = aside[path] = path.with_name(f"{path.name}.part")
            with part.open("w", encoding="utf-8", newline="") as file:
                lines, left = _write(file, kept, origin, reason, hasher)
            if not lines:
                aside.pop(path).unlink()
            done.append(Exported(origin, path if lines else None, lines, dict(sorted(left.items()))))
        for path, part in aside.items():
            part.replace(path)
    finally:
        for part in aside.values():
            part.unlink(missing_ok=True)
    return tuple(done)


def cells_of(text: str) -> list[str]:
    """A kept line of CSV, which we wrote ourselves; nothing of what is none."""
    try:
        (row,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        return []
    return row


def record_of(text: str) -> dict[str, object] | None:
    """A kept line of JSON; None for what is no object."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def raised(text: str, layers: int | None, origin: Origin, hasher: UnitHasher) -> str:
    """A kept line with its units hashed under all keys: it was kept under the first ``layers``, or the first alone."""
    behind = layers or 1
    if behind == hasher.keys.layers:
        return text

    def now(name: str, value: object) -> object:
        hashed = isinstance(value, str) and is_hash(value) and without_suffix(name) is not None
        return hasher.raised(str(value), behind) if hashed else value

    if origin.header is None:
        record = record_of(text)
        return text if record is None else json.dumps(_each_of(record, now), ensure_ascii=False)
    names, cells = cells_of(origin.header), cells_of(text)
    return joined([str(now(*pair)) for pair in zip(names, cells, strict=True)]) if len(names) == len(cells) else text


def _each_of(record: Mapping[str, object], change: Callable[[str, object], object]) -> dict[str, object]:
    """The same object, each value under its own name changed, in objects within it too."""
    return {
        name: _each_of(value, change) if isinstance(value, dict) else change(name, value)
        for name, value in record.items()
    }


def _write(
    file: TextIO, kept: Append, origin: Origin, reason: str | None, hasher: UnitHasher
) -> tuple[int, Counter[str]]:
    """One file of rejects; how many lines it has, and what is not in it, by why."""
    layers = hasher.keys.layers
    names = [_named(name, layers) for name in cells_of(origin.header or "")]
    again = names[:1] == [REASON_COLUMN]  # rejected from a file of rejects
    if origin.header is not None:
        file.write(joined([REASON_COLUMN, *names[again:]]) + "\n")
    lines, left = 0, Counter[str]()
    width = origin.width
    for text, why in _lines(kept, origin, reason, hasher):
        gone = lost(text, why, origin, width)
        if gone:
            left[gone] += 1
            continue
        lines += 1
        if origin.header is None:
            record = _renamed(record_of(text) or {}, layers)
            file.write(json.dumps({REASON_COLUMN: why, **record}, ensure_ascii=False) + "\n")
        else:
            file.write(joined([why, *cells_of(text)[again:]]) + "\n")
    return lines, left


def _named(name: str, layers: int) -> str:
    """A masked column says under how many keys its units are hashed."""
    inner = without_suffix(name)
    return name if inner is None else with_suffix(inner, layers)


def _renamed(record: Mapping[str, object], layers: int) -> dict[str, object]:
    return {
        _named(name, layers): _renamed(value, layers) if isinstance(value, dict) else value
        for name, value in record.items()
    }


def _lines(kept: Append, origin: Origin, reason: str | None, hasher: UnitHasher) -> Iterator[tuple[str, str]]:
    """Text, as it is under all keys, and reason of each."""
    for batch in kept.batches_of(origin.delivery):
        chosen = batch.filter(of_origin(batch, origin, reason))
        told = (chosen[name].to_pylist() for name in ("text", "layers", "reason"))
        for text, layers, why in zip(*told, strict=True):
            yield raised(text, layers, origin, hasher), why


def _names(origins: Sequence[Origin]) -> dict[Origin, str]:
    """Of the files; they begin with the original's name, by which its format and kind are known."""
    often = Counter(origin.name for origin in origins)
    names = {}
    for origin in origins:
        apart = (origin.delivery[:8], origin.label) if often[origin.name] > 1 else ()
        form = "jsonl" if origin.header is None else "csv"
        names[origin] = ".".join((origin.name, *apart, "rejects", form))
    return names
