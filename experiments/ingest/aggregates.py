"""What reports of ad platforms say in ways of their own: one number under several names, rows broken down by choice.

A platform's row is a sum over a day and an ad. Its list of actions may hold one purchase several times, under a name
for each place it was seen from (``omni_purchase``, ``purchase``, ``offsite_conversion.fb_pixel_purchase``): a mapping
says which names mean it, the best first, and the first that is there counts; they are never added up.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from experiments.ingest.numbers import UNREADABLE
from experiments.ingest.times import Form


class FirstOf(BaseModel):
    """One value of a list of entries: of those that bear one of several names, the one whose name comes first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_of: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names that mean the same thing, the surest first."""
    list: str
    """Their column; it holds a JSON list of objects."""
    key: str
    """Under which an entry has its name,"""
    value: str
    """and under which its value."""

    def of(self, text: str) -> str:
        """The value; ``0`` where the list has none of the names, nothing where there is no list."""
        if not text:
            return ""
        try:
            entries = json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=_once_each)
        except (ValueError, RecursionError):
            return UNREADABLE
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            return UNREADABLE
        for name in self.first_of:
            said = [entry.get(self.value) for entry in entries if entry.get(self.key) == name]
            if said:  # one name twice is one thing in parts that nobody told us of
                return said[0].strip() if len(said) == 1 and isinstance(said[0], str) else UNREADABLE
        return "0"


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of one that says two things under one key it is not known which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is repeated")
    return found


def _sort(value: Any) -> str:
    return "name" if isinstance(value, str) else "names" if isinstance(value, list) else "table"


Asked = Annotated[
    Annotated[str, Tag("name")] | Annotated[list[str], Tag("names")] | Annotated[FirstOf, Tag("table")],
    Discriminator(_sort),
]
"""What a mapping may say of one of our columns."""


def names_of(asked: "str | list[str] | FirstOf") -> list[str]:
    """The columns of theirs that it speaks of."""
    if isinstance(asked, FirstOf):
        return [asked.list]
    return [asked] if isinstance(asked, str) else asked


@dataclass(frozen=True, slots=True)
class CountLayout:
    """What a file of counts needs beyond its columns' places."""

    source: str
    """The feed's name."""
    picked: Mapping[str, FirstOf]
    """By our column."""
    breakdown: tuple[tuple[str, int], ...]
    """The columns that a row may be broken down by, and their places."""
    form: str | None
    """How days are written, if not as ISO 8601 says."""

    def cells(self, found: Mapping[str, pa.Array], raw: Mapping[int, pa.Array], rows: int) -> dict[str, pa.Array]:
        """Our columns, from what was ``found`` under theirs and, for the breakdown, from theirs themselves.

        Where an object has no such key the raw value is null: the row is then not broken down by it.
        """
        cells = {"source": pa.repeat(self.source, rows), **found}
        cells |= {column: _each(found[column], asked.of) for column, asked in self.picked.items() if column in found}
        if self.form is not None:
            days = ("date", "last_date")
            cells |= {column: _days(found[column], Form(self.form)) for column in days if column in found}
        parts = [(pa.scalar(name), pc.ascii_trim_whitespace(raw[place])) for name, place in self.breakdown]
        names = [pc.if_else(pc.is_valid(column), name, pa.scalar(None, pa.string())) for name, column in parts]
        values = [pc.binary_join_element_wise(name, column, "=") for name, column in parts]
        return cells | {"breakdown": _listing(values, rows), "broken_down_by": _listing(names, rows)}


def _days(column: pa.Array, form: Form) -> pa.Array:
    text, fitting = form.rfc3339(column)
    return pc.if_else(pa.array(fitting), text, pc.if_else(pc.equal(column, ""), "", UNREADABLE))


def _listing(columns: Sequence[pa.Array], rows: int) -> pa.Array:
    """What is not null of each row, by commas; one by one, because Arrow's own join forgets rows of nulls alone."""
    listed = pa.repeat("", rows)
    for column in columns:
        more = pc.if_else(pc.equal(listed, ""), column, pc.binary_join_element_wise(listed, column, ", "))
        listed = pc.coalesce(more, listed)
    return listed


def _each(column: pa.Array, read: Callable[[str], str]) -> pa.Array:
    """Each distinct text read once."""
    encoded = column.dictionary_encode()
    return pa.array([read(text) for text in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)
