"""Facts as rows of one shape, so that facts of all sorts are one table; all values are integers."""

from collections.abc import Callable, Sequence

import ibis
import ibis.expr.types as ir
from ibis import Deferred, _

from experiments.core.statistics.moments import OUTCOMES, PRODUCTS, UNITS

EXACT = "decimal(38, 0)"
"""Wider than any sum of products of 64-bit integers that a campaign could reach; beyond it the engine refuses."""

_BROUGHT = OUTCOMES[1:]


def moments(
    units: ir.Table, brought: ir.Table, sayings: ir.Table, segments: Sequence[str], *, batched: bool
) -> list[ir.Table]:
    """``units``, each outcome's sum under its name, each product's under ``left*right``; in each scope.

    Units are read once, into sums by what they said, those who ``brought`` anything once more for what they did; of
    these the finest cells are made, and every scope adds cells up.
    """
    kept = ("mature", *(("batch",) if batched else ()))
    did = units.join(brought.select("unit", *_BROUGHT), "unit")
    seen = {UNITS: units.count().cast(EXACT), **_sums(units, _of_all)}
    done = _sums(did, lambda name: not _of_all(name))
    keys = ("arm", *kept, *segments)
    cells = ibis.union(
        *(
            _cells(each.group_by("said", *kept).aggregate(sums).join(sayings, "said"), keys, tuple(sums))
            for each, sums in ((units, seen), (did, done))
        )
    ).alias("cells")
    mature = cells.filter(cells.mature)
    scopes = [_scope("all", cells), _scope("mature", mature)]
    for column in segments:
        scopes += [_scope(column, cells, column), _scope(f"mature:{column}", mature, column)]
    if batched:
        scopes += [_scope("all", cells, batched=True), _scope("mature", mature, batched=True)]
        scopes += [_scope(column, cells.filter(cells.fact == UNITS), column, batched=True) for column in segments]
    return scopes


def _of_all(name: str) -> bool:
    """Whether units that did nothing have anything of it."""
    return set(name.split("*")) == {OUTCOMES[0]}


def _sums(units: ir.Table, chosen: Callable[[str], bool]) -> dict[str, ir.Value]:
    exact = {name: units[name].cast(EXACT) for name in OUTCOMES if name in units.columns}
    sums = {name: exact[name].sum().cast(EXACT) for name in OUTCOMES if chosen(name)}
    return sums | {f"{a}*{b}": (exact[a] * exact[b]).sum().cast(EXACT) for a, b in PRODUCTS if chosen(f"{a}*{b}")}


def _cells(found: ir.Table, keys: Sequence[str], facts: Sequence[str]) -> ir.Table:
    wide = found.group_by(*keys).aggregate({name: found[name].sum().cast(EXACT) for name in facts})
    return wide.pivot_longer(list(facts), names_to="fact", values_to="value")


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
