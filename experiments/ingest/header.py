"""Which columns a file has, and so which kind of events it holds."""

import re
from collections.abc import Collection, Iterable

from experiments.ingest.log import FileRefused

COLUMNS: dict[str, list[str]] = {
    "impression": (
        [
            "event_id",
            "ts",
            "experiment",
            "arm",
            "unit",
            "variant",
            "slot",
            "placement",
            "device",
            "country",
            "propensity",
            "user_agent",
            "ip",
            "purpose",
        ]
    ),
    "click": ["event_id", "ts", "impression_id", "unit", "user_agent", "ip", "purpose"],
    "conversion": ["event_id", "ts", "unit", "impression_id", "click_id", "action", "value", "currency", "adjusts"],
    "count": (
        [
            "date",
            "last_date",
            "experiment",
            "arm",
            "ad",
            "breakdown",
            "impressions",
            "clicks",
            "conversions",
            "value",
            "spend",
            "currency",
            "source",
        ]
    ),
}
"""All columns of each kind, in the order in which a row's cells are handed on."""
REQUIRED: dict[str, tuple[str, ...]] = {
    "impression": ("event_id", "ts", "experiment", "arm", "unit"),
    "click": ("event_id", "ts"),
    "conversion": ("event_id", "ts", "unit"),
    "count": ("date", "experiment", "arm", "impressions", "clicks"),
}
ADJUSTS = "adjusts"
"""Names the conversion that a row adjusts: whose that was is known from there, so such rows need no unit."""
EVENTS = ("impression", "click", "conversion")
"""Kinds of which a row is one event; a count is a day's sum of many."""
OF_ARMS = frozenset({"impression", "count"})
"""Kinds whose rows name their experiment and arm."""
CLICK_REFERENCES = frozenset({"impression_id", "unit"})
"""A click file has at least one of them."""
PRIVATE = ("unit", "ip")
"""Columns whose values are never kept as they came."""
_TELLS_CONVERSION = frozenset({"click_id", "action", "value", "currency", "adjusts"})
_TELLS_COUNT = frozenset({"date", "impressions"})
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_BEGINNINGS = {kind: re.compile(kind, re.IGNORECASE) for kind in EVENTS}
_BEGINNINGS["count"] = re.compile(r"counts?(?![a-z])", re.IGNORECASE)  # country-1.csv holds none


def canonical(name: str) -> str | None:
    """The column a header means, whatever its case and punctuation (``Event-ID`` is ``event_id``); None for others."""
    return _CANONICAL.get(_bare(name))


def known_to(kind: str) -> frozenset[str]:
    """The columns that mean anything in files of this kind; a file of events may have those of any kind of event."""
    return _OF_EVENTS if kind in EVENTS else frozenset(COLUMNS[kind])


def kind_of(file_name: str, asked: str | None, columns: Iterable[str]) -> str:
    """What a file holds: as asked, or by the beginning of its name, or by its columns.

    Raises:
        FileRefused: when nothing tells, or the kind is none of ours.
    """
    if asked is not None:
        if asked not in COLUMNS:
            raise FileRefused(f"there is no kind {asked!r} of events: use {', '.join(COLUMNS)}")
        return asked
    if prefixes := [kind for kind, beginning in _BEGINNINGS.items() if beginning.match(file_name)]:
        return prefixes[0]
    found = set(columns)
    if found >= _TELLS_COUNT and "ts" not in found:
        return "count"
    if {"experiment", "arm"} <= found:
        return "impression"
    if found & _TELLS_CONVERSION:
        return "conversion"
    if "impression_id" in found and "unit" not in found:
        return "click"
    raise FileRefused(
        f"{file_name} could hold any kind of events (it has {_listed(found)}): say which with --kind, or begin the "
        f"file's name with {', '.join(COLUMNS)}"
    )


def required(kind: str, columns: Collection[str]) -> tuple[str, ...]:
    """What a file with these columns cannot do without."""
    adjusting = kind == "conversion" and ADJUSTS in columns
    return tuple(column for column in REQUIRED[kind] if not (adjusting and column == "unit"))


def check_columns(file_name: str, kind: str, columns: Iterable[str], as_written: Iterable[str]) -> None:
    """Refuse a file that lacks a column no line could do without.

    Raises:
        FileRefused: in one line: what is missing, and what was found.
    """
    found = set(columns)
    missing = [column for column in required(kind, found) if column not in found]
    if kind == "click" and not found & CLICK_REFERENCES:
        missing.append("impression_id or unit")
    if missing:
        raise FileRefused(f"{file_name} lacks {', '.join(missing)} for {kind}s: it has {_listed(as_written)}")


def _bare(name: str) -> str:
    return _NOT_ALPHANUMERIC.sub("", name).lower()


_CANONICAL = {_bare(column): column for columns in COLUMNS.values() for column in columns}
_OF_EVENTS = frozenset(column for kind in EVENTS for column in COLUMNS[kind])
_SHOWN_COLUMNS, _SHOWN_CHARACTERS = 20, 40


def _listed(names: Iterable[str]) -> str:
    shown = [name[:_SHOWN_CHARACTERS] for name in sorted(names) if name.isprintable()]
    return ", ".join(shown[:_SHOWN_COLUMNS]) or "no readable column"
