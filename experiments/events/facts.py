"""Facts as rows of one shape, so that facts of all sorts are one table; all values are integers."""

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir
from ibis import Deferred, _

from experiments.core.statistics.moments import OUTCOMES, PRODUCTS, UNITS

EXACT = "decimal(38, 0)"
"""Wider than any sum of products of 64-bit integers that a campaign could reach; beyond it the engine refuses."""

SHOWN, BROUGHT = OUTCOMES[0], OUTCOMES[1:]
"""What is shown to all units, and what they do."""


def crowds_of(units: ir.Table, told: Sequence[str]) -> ir.Table:
    """Units whose first impressions said the same, and alike in what else is ``told``, with the facts that all have."""
    shown = units[SHOWN]  # counts, and their squares, are far from filling 64 bits
    sums = _sums({SHOWN: shown, f"{SHOWN}*{SHOWN}": shown * shown})
    return units.group_by("said", *told).aggregate({UNITS: units.count().cast(EXACT), **sums})


def moments(
    crowds: ir.Table, doers: ir.Table, sayings: ir.Table, segments: Sequence[str], told: Sequence[str]
) -> list[ir.Table]:
    """Each outcome's sum under its name, each product's under ``left*right``; in each scope.

    ``doers`` are the units that `BROUGHT` anything; nothing else need be known of the others than their ``crowds``. The
    finest cells are made of both, and every scope adds cells up; ``told`` are the columns beside what was said:
    ``mature`` and, where there are batches, ``batch``.
    """
    exact = {name: doers[name].cast(EXACT) for name in OUTCOMES}
    products = {f"{a}*{b}": exact[a] * exact[b] for a, b in PRODUCTS if (a, b) != (SHOWN, SHOWN)}
    done = doers.group_by("said", *told).aggregate(_sums({name: exact[name] for name in BROUGHT} | products))
    finest = (_cells(each.join(sayings, "said"), ("arm", *told, *segments), each.columns) for each in (crowds, done))
    cells = ibis.union(*finest).alias("cells")
    mature = cells.filter(cells.mature)
    scopes = [_scope("all", cells), _scope("mature", mature)]
    for column in segments:
        scopes += [_scope(column, cells, column), _scope(f"mature:{column}", mature, column)]
    if "batch" in told:
        scopes += [_scope("all", cells, batched=True), _scope("mature", mature, batched=True)]
        scopes += [_scope(column, cells.filter(cells.fact == UNITS), column, batched=True) for column in segments]
    return scopes


def _sums(values: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
    return {name: value.sum().cast(EXACT) for name, value in values.items()}


def _cells(found: ir.Table, keys: Sequence[str], columns: Sequence[str]) -> ir.Table:
    facts = [name for name in columns if name not in ("said", *keys)]
    wide = found.group_by(*keys).aggregate(_sums({name: found[name] for name in facts}))
    return wide.pivot_longer(facts, names_to="fact", values_to="value")


def _scope(name: str, cells: ir.Table, column: str | None = None, *, batched: bool = False) -> ir.Table:
    keys = {
        "arm": cells.arm,
        "segment": ibis.null("string") if column is None else cells[column],
        "batch": cells.batch if batched else ibis.null("int32"),
        "fact": cells.fact,
    }
    sums = cells.group_by(**keys).aggregate(value=cells.value.sum())
    return fact(sums.fact, sums, arm=_.arm, scope=name, segment=_.segment, batch=_.batch)


def by_arm(name: str, events: ir.Table) -> ir.Table:
    """So many rows of each arm."""
    return fact(name, events.group_by("arm").aggregate(value=_.count()), arm=_.arm)


def total(name: str, events: ir.Table) -> ir.Table:
    """So many rows."""
    return fact(name, events.aggregate(value=_.count()))


def fact(
    name: str | ir.Value,
    values: ir.Table,
    *,
    arm: Deferred | None = None,
    scope: str | None = None,
    segment: Deferred | None = None,
    batch: Deferred | None = None,
    day: Deferred | None = None,
    moment: Deferred | None = None,
) -> ir.Table:
    """One for each row of ``values``, which has a column ``value``."""
    return values.select(
        fact=ibis.literal(name) if isinstance(name, str) else name,
        arm=ibis.null("string") if arm is None else arm,
        scope=ibis.null("string") if scope is None else ibis.literal(scope),
        segment=ibis.null("string") if segment is None else segment,
        batch=ibis.null("int32") if batch is None else batch,
        day=ibis.null("date") if day is None else day,
        moment=ibis.null("timestamp('UTC', 6)") if moment is None else moment,
        value=values.value.cast(EXACT),
    )
