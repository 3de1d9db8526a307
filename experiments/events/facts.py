"""Facts as rows of one shape, so that facts of all sorts are one table; all values are integers."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import Deferred, _

from experiments.core.statistics.moments import OUTCOMES, PRODUCTS

EXACT = "decimal(38, 0)"
"""Wider than any sum of products of 64-bit integers that a campaign could reach; beyond it the engine refuses."""


def moments(units: ir.Table, segments: Sequence[str], *, batched: bool) -> list[ir.Table]:
    """``units``, each outcome's sum under its name, each product's under ``left*right``; in each scope.

    Units are read once, into the sums of the finest cells; every scope adds cells up.
    """
    sums = {name: units[name].sum().cast(EXACT) for name in OUTCOMES}
    products = {f"{left}*{right}": (units[left] * units[right]).sum().cast(EXACT) for left, right in PRODUCTS}
    facts = {"units": units.count().cast(EXACT), **sums, **products}
    cells = units.group_by("arm", "mature", *(("batch",) if batched else ()), *segments).aggregate(facts).alias("cells")
    mature = cells.filter(cells.mature)
    names = tuple(facts)
    scopes = [_scope("all", cells, names), _scope("mature", mature, names)]
    for column in segments:
        scopes += [_scope(column, cells, names, column), _scope(f"mature:{column}", mature, names, column)]
    if batched:
        scopes += [_scope("all", cells, names, batched=True), _scope("mature", mature, names, batched=True)]
        scopes += [_scope(column, cells, ("units",), column, batched=True) for column in segments]
    return scopes


def _scope(
    name: str, cells: ir.Table, facts: Sequence[str], column: str | None = None, *, batched: bool = False
) -> ir.Table:
    keys = {
        "arm": cells.arm,
        "segment": ibis.null("string") if column is None else cells[column],
        "batch": cells.batch if batched else ibis.null("int32"),
    }
    wide = cells.group_by(**keys).aggregate({fact: cells[fact].sum().cast(EXACT) for fact in facts})
    long = wide.pivot_longer(list(facts), names_to="fact", values_to="value")
    return fact(long.fact, long, arm=_.arm, scope=name, segment=_.segment, batch=_.batch)


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
