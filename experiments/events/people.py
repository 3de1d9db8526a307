"""Units, and what the first impression of each said: one pass over all impressions, keeping a few numbers a unit.

Of each unit: ``unit, first_shown, last_shown, impressions``; what was ``said`` by the first of them, nothing where it
is *tied*: impressions at its first instant differ in what they say, and their ids must tell which is first; ``sole``,
the key of its arm, `SEVERAL` where it saw several.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import ibis
import ibis.expr.types as ir
from ibis import _

from experiments.core.evidence import MOST_SEGMENTS, OTHER, UNKNOWN
from experiments.events.facts import EXACT

SEVERAL = ibis.literal(0, "uint64")
"""No arm's key. (Nothing at all would be one more bit of each unit to write and to read.)"""
_WORD = ibis.literal(2**64, EXACT)
_DAY = 86_400_000_000
"""Microseconds."""


@ibis.udf.scalar.builtin(name="hash", signature=(("string",), "uint64"))
def key(text: str) -> int:  # type: ignore[empty-body]
    """A number in a text's place, DuckDB's, of 64 bits."""


@ibis.udf.scalar.builtin(name="hash", signature=(("uint64", "string"), "uint64"))
def _key_with(so_far: int, text: str) -> int:  # type: ignore[empty-body]
    """The key of several texts."""


@ibis.udf.scalar.builtin(signature=(("timestamp('UTC', 6)",), "int64"))
def epoch_us(instant: int) -> int:  # type: ignore[empty-body]
    """Microseconds since 1970, DuckDB's: casts of instants ask a calendar for each."""


@ibis.udf.scalar.builtin(name="make_date", signature=(("int32",), "date"))
def _date(days: int) -> int:  # type: ignore[empty-body]
    """Of days since 1970."""


def day_of(instant: ir.TimestampValue) -> ir.DateValue:
    """In UTC."""
    instant_us = epoch_us(instant)
    return _date(((instant_us - instant_us % _DAY) // _DAY).cast("int32"))  # Ibis divides as floats do: only whole days


def said_of(events: ir.Table, segments: Sequence[str]) -> ir.IntegerValue:
    """A number for an impression's arm and segments together; 10,000 of them share one with a probability of 3e-12."""
    return reduce(lambda so_far, column: _key_with(so_far, events[column]), segments, key(events.arm))


def people_of(valid: ir.Table, turns: int, name: str) -> ir.Table:
    """Each unit of these impressions.

    In each of ``turns``, a power of two, an equal share of units is told apart, so that an engine need not know all of
    them at a time.
    """

    def people(part: ir.Table, called: str) -> ir.Table:
        found = _found(part)
        told = _Told(found.first_shown, found.least, found.most, found.one, found.other)
        columns = ("unit", "first_shown", "last_shown", "impressions")
        return found.select(*columns, said=told.said, sole=told.sole).alias(called)

    return _in_turns(valid, turns, people, name)


def known_and(before: ir.Table, valid: ir.Table, turns: int, name: str) -> ir.Table:
    """Units known ``before`` these impressions, with what they were shown since, and those that are new."""
    found = _in_turns(valid, turns, lambda part, called: _found(part).alias(called), "newcomers")
    new = found.rename({f"new_{column}": column for column in found.columns})
    both = before.outer_join(new, before.unit == new.new_unit)
    told = _Told(both.new_first_shown, both.new_least, both.new_most, both.new_one, both.new_other)
    is_new = both.unit.isnull()
    same = both.new_unit.isnull() | (both.sole == told.sole)
    return both.select(
        unit=ibis.coalesce(both.unit, both.new_unit),
        first_shown=ibis.coalesce(both.first_shown, both.new_first_shown),
        last_shown=ibis.coalesce(both.new_last_shown, both.last_shown),
        impressions=both.impressions.fill_null(0) + both.new_impressions.fill_null(0),
        said=ibis.ifelse(is_new, told.said, both.said),  # it is costly, and so only asked of those that are new
        sole=ibis.ifelse(is_new, told.sole, ibis.ifelse(same, both.sole, SEVERAL)),
    ).alias(name)


def _in_turns(valid: ir.Table, turns: int, of: Callable[[ir.Table, str], ir.Table], name: str) -> ir.Table:
    if turns == 1:
        return of(valid, name)
    last = ibis.literal(turns - 1, "int64")
    return ibis.union(*(of(valid.filter(valid.unit & last == n), f"{name}_{n}") for n in range(turns)))


def _found(valid: ir.Table) -> ir.Table:
    """Of each unit a few least and greatest numbers, which tell the rest (`_Told`)."""
    instant, said, arm = _packed(valid.ts), valid.said.cast(EXACT), key(valid.arm)
    return valid.group_by("unit").aggregate(
        impressions=_.count(), first_shown=valid.ts.min(), last_shown=valid.ts.max(), least=(instant + said).min(),
        most=(said - instant).max(), one=arm.min(), other=arm.max(),
    )  # fmt: skip


def _packed(instant: ir.TimestampValue) -> ir.DecimalValue:
    """An instant, with room for what was said then: the least is the first instant's least said, and so is the most."""
    return epoch_us(instant).cast(EXACT) * _WORD


@dataclass(frozen=True, slots=True)
class _Told:
    """What those numbers tell."""

    first_shown: ir.TimestampValue
    least: ir.DecimalValue
    most: ir.DecimalValue
    one: ir.IntegerValue
    other: ir.IntegerValue

    @property
    def said(self) -> ir.IntegerValue:
        least, most = self.least - _packed(self.first_shown), self.most + _packed(self.first_shown)
        return ibis.ifelse(least == most, least, None).cast("uint64")

    @property
    def sole(self) -> ir.IntegerValue:
        return ibis.ifelse(self.one == self.other, self.one, SEVERAL)


def decided(tied: ir.Table, asked: ir.Table) -> ir.Table:
    """What the first impressions of tied units said: of those at the same instant, the one with the lowest id.

    ``unit, said``.
    """
    firsts = asked.join(tied.select("unit", "first_shown"), ["unit", asked.ts == tied.first_shown])
    return firsts.group_by("unit").aggregate(said=firsts.said.argmin(firsts.event_id))


def settled(people: ir.Table, decisions: ir.Table) -> ir.Table:
    """``people``, the tied ones as decided."""
    told = decisions.select(decided_unit="unit", decision="said")
    joined = people.left_join(told, people.unit == told.decided_unit)
    return joined.mutate(said=ibis.coalesce(joined.decision, joined.said)).drop("decided_unit", "decision")


def sayings_of(texts: ir.Table, crowds: ir.Table, segments: Sequence[str]) -> ir.Table:
    """What the numbers of first impressions stand for: ``said, arm`` and the segments, small ones folded."""
    units = crowds.group_by(first_said="said").aggregate(units=_.units.sum())
    sayings = texts.join(units, texts.said == units.first_said).drop("first_said")
    for column in segments:
        sayings = _folded(sayings, column)
    return sayings.drop("units")


def _folded(sayings: ir.Table, column: str) -> ir.Table:
    """The column's largest segments by name, the others as one: a placement may have thousands of names."""
    named = sayings.mutate(sayings[column].fill_null(UNKNOWN).name(column)).alias(f"by_{column}")
    sizes = named.group_by(column).aggregate(size=_.units.sum())
    by_size = ibis.window(order_by=[sizes["size"].desc(), sizes[column]])
    largest = sizes.mutate(place=ibis.row_number().over(by_size)).filter(_.place < MOST_SEGMENTS).select(large=column)
    joined = named.left_join(largest, named[column] == largest.large)
    return joined.mutate(joined.large.fill_null(OTHER).name(column)).drop("large")
