"""Units, and what the first impression of each said: one pass over all impressions, keeping a few numbers a unit."""

from collections.abc import Sequence
from functools import reduce

import ibis
import ibis.expr.types as ir
from ibis import _

from experiments.core.evidence import MOST_SEGMENTS, OTHER, UNKNOWN
from experiments.events.facts import EXACT

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


def people_of(valid: ir.Table, turns: int = 1) -> ir.Table:
    """Each unit: ``unit, first_shown, impressions, said`` by the first of them, ``tied``, ``crossed``.

    It is tied where impressions at its first instant differ in what they say, and their ids must tell which is first;
    it has crossed where it saw several arms. In each of ``turns``, a power of two, an equal share of units is told
    apart, so that an engine need not know all of them at a time.
    """
    if turns == 1:
        return _people(valid).alias("people")
    last = ibis.literal(turns - 1, "int64")
    return ibis.union(*(_people(valid.filter(valid.unit & last == n)).alias(f"people_{n}") for n in range(turns)))


def _people(valid: ir.Table) -> ir.Table:
    instant, said, arm = epoch_us(valid.ts).cast(EXACT) * _WORD, valid.said.cast(EXACT), key(valid.arm)
    # An instant and what was said then, in one number: its least is the first instant's least said, and so is its most.
    found = valid.group_by("unit").aggregate(
        impressions=_.count(), first_shown=valid.ts.min(), least=(instant + said).min(), most=(said - instant).max(),
        one=arm.min(), other=arm.max(),
    )  # fmt: skip
    first = epoch_us(found.first_shown).cast(EXACT) * _WORD
    return found.select(
        "unit", "first_shown", "impressions", said=(found.least - first).cast("uint64"),
        tied=found.least - first != found.most + first, crossed=found.one != found.other,
    )  # fmt: skip


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


def sayings_of(valid: ir.Table, people: ir.Table, decisions: ir.Table, segments: Sequence[str]) -> ir.Table:
    """What the numbers of first impressions stand for: ``said, arm`` and the segments, small ones folded."""
    firsts = ibis.union(people.filter(~people.tied).select("said"), decisions.select("said"))
    units = firsts.group_by(first_said="said").aggregate(units=_.count())
    texts = valid.select("said", "arm", *segments).distinct()
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
