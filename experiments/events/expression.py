"""What counts, said once: an Ibis expression from events to facts.

Its words: *kept* impressions are the experiment's own, in its window, and by a person as far as the rules of ingest
tell. A click belongs to the kept impression it names or, naming none, to its unit's latest one, if it came at most
``click_days`` after it; the first click of an impression counts. A conversion counts for its unit, once, if the unit's
latest kept impression at or before it is at most ``conversion_days`` old.

A unit belongs to the arm of its first kept impression (by time, then event id), and so do all its impressions and
outcomes, whatever it was shown later: analysis by intention to treat. Leaving such units out would leave out more of
the people who come often, and not equally many in all arms. Its segments are those of that impression too. It is
*mature* when that impression is older than the conversion window, so that nothing more can come of it.

Where the arms' shares changed in the course, units are told apart, too, by the *batch* that their first impression came
in, because only units that were dealt alike can be compared. A change moves some units to another arm; such a unit has
not crossed over: that is one which saw several arms while the shares were the same.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir
from ibis import Deferred, _

from experiments.core.evidence import MOST_SEGMENTS, OTHER, UNKNOWN
from experiments.core.plan import Plan
from experiments.core.statistics.moments import OUTCOMES, PRODUCTS

EXACT = "decimal(38, 0)"
"""Wider than any sum of products of 64-bit integers that a campaign could reach; beyond it the engine refuses."""


def evidence_expression(
    impressions: ir.Table,
    outcomes: ir.Table,
    plan: Plan,
    as_of: datetime,
    *,
    batches: Sequence[datetime] = (),
    changes: Sequence[datetime] = (),
) -> ir.Table:
    """All facts about an experiment as rows of ``fact, arm, scope, segment, batch, day, moment, value``, all integers.

    Moments have a scope: ``all`` units, the ``mature`` ones, or a segment column with its segment (and ``mature:``
    before it for the mature units of that segment). Those of one batch have its number, from 0.

    Args:
        impressions: columns as in ``schema.IMPRESSIONS``, every experiment's.
        outcomes: columns as in ``schema.OUTCOMES``.
        plan: gives the name, the start, the attribution windows, the segment columns and the cap on money.
        as_of: exclusive upper bound of event time, aware.
        batches: where the second batch begins, the third ..., in order; none where there are no batches.
        changes: those of them, or others, at which the arms' shares changed.
    """
    shown = _between(impressions.filter(impressions.experiment == plan.experiment), plan.start, as_of)
    valid = shown.filter(shown.invalid.isnull())
    people = _first_shown(valid, plan.segments)
    kept = valid.drop("arm").join(people.select("unit", "arm"), "unit")
    bots = shown.filter(shown.invalid.notnull())

    happened = _once(_between(outcomes, plan.start, as_of))
    all_clicks = happened.filter(happened.kind == "click")
    clicks = all_clicks.filter(all_clicks.invalid.isnull())
    attributed = _click_impressions(clicks, kept, plan.attribution.click_days)
    in_order = ibis.window(group_by=attributed.impression, order_by=[attributed.ts, attributed.event_id])
    ranked = attributed.mutate(place=ibis.row_number().over(in_order))
    first_clicks = ranked.filter(ranked.place == 0)
    bot_clicks = _click_impressions(all_clicks.filter(all_clicks.invalid.notnull()), shown, plan.attribution.click_days)
    conversions = _conversions(happened, kept, plan.attribution.conversion_days)

    units = _per_unit(kept, first_clicks, conversions).join(people, "unit")
    settled = as_of - timedelta(days=plan.attribution.conversion_days)
    units = units.mutate(mature=units.first_shown < settled, batch=_batch(units.first_shown, batches))
    counted = units if plan.cap is None else units.mutate(value_micros=ibis.least(units.value_micros, plan.cap))

    return ibis.union(
        *_moments(counted, plan.segments, batched=bool(batches)),
        *(() if plan.cap is None else (_by_arm("capped_units", units.filter(units.value_micros > plan.cap)),)),
        _daily("impressions", kept),
        _daily("clicks", first_clicks),
        _daily("conversions", conversions),
        _by_arm("invalid_impressions", bots),
        _by_rule("invalid_rules", bots),
        _by_arm("invalid_units", bots.select("unit", "arm").distinct()),
        *((_bots_by_batch(bots, batches),) if batches else ()),
        _by_arm("invalid_clicks", bot_clicks),
        _total("crossover_units", _crossover(valid, changes)),
        _total("repeated_clicks", ranked.filter(ranked.place > 0)),
        _total("unmatched_clicks", _unmatched(clicks, attributed, impressions, kept)),
        _fact("seen", shown.group_by("date").aggregate(value=_.count()), day=_.date),
        *(
            _fact("last_event", events.aggregate(value=_.count(), moment=_.ts.max()), moment=_.moment)
            for events in (shown, attributed, conversions)
        ),
    )


def _first_shown(valid: ir.Table, segments: Sequence[str]) -> ir.Table:
    """Each unit with what its first impression said: ``unit, arm, first_shown`` and its segments."""
    first = ibis.struct({"ts": valid.ts, "event_id": valid.event_id})
    said = ibis.struct({name: valid[name] for name in ("arm", *segments)})  # a whole, because a part may be missing
    found = valid.group_by("unit").aggregate(
        first_shown=valid.ts.min(), said=said.argmin(first), arms=valid.arm.nunique()
    )
    people = found.select("unit", "first_shown", "arms", **{name: found.said[name] for name in ("arm", *segments)})
    for column in segments:
        people = _folded(people, column)
    return people


def _folded(people: ir.Table, column: str) -> ir.Table:
    """The column's largest segments by name, the others as one: a placement may have thousands of names."""
    named = people.mutate(people[column].fill_null(UNKNOWN).name(column))
    sizes = named.group_by(column).aggregate(size=_.count())
    by_size = ibis.window(order_by=[sizes.size.desc(), sizes[column]])
    largest = sizes.mutate(place=ibis.row_number().over(by_size)).filter(_.place < MOST_SEGMENTS).select(large=column)
    joined = named.left_join(largest, named[column] == largest.large)
    return joined.mutate(joined.large.fill_null(OTHER).name(column)).drop("large")


def _batch(instant: ir.TimestampValue, begin: Sequence[datetime]) -> ir.IntegerValue:
    """The number of the batch that the instant lies in."""
    number = ibis.literal(0, "int32")
    for boundary in begin:
        number = number + (instant >= boundary).cast("int32")
    return number.cast("int32")


def _crossover(valid: ir.Table, changes: Sequence[datetime]) -> ir.Table:
    """Units that saw several arms between two changes of the shares."""
    between = valid.select("unit", "arm", dealing=_batch(valid.ts, changes))
    arms_of_unit = between.group_by("unit", "dealing").aggregate(arms=between.arm.nunique())
    return arms_of_unit.filter(arms_of_unit.arms > 1).select("unit").distinct()


def _bots_by_batch(bots: ir.Table, batches: Sequence[datetime]) -> ir.Table:
    """Units with an impression by no person in each batch."""
    shown = bots.select("unit", "arm", batch=_batch(bots.ts, batches)).distinct()
    counts = shown.group_by("arm", "batch").aggregate(value=_.count())
    return _fact("invalid_units", counts, arm=_.arm, scope="all", batch=_.batch)


def _between(events: ir.Table, start: datetime, end: datetime) -> ir.Table:
    return events.filter((events.ts >= start) & (events.ts < end))


def _once(outcomes: ir.Table) -> ir.Table:
    """Each event once: the lake drops repetitions within a day, an id that came on several days counts on the first."""
    by_time = ibis.window(group_by=[outcomes.kind, outcomes.event_id], order_by=outcomes.ts)
    return outcomes.mutate(place=ibis.row_number().over(by_time)).filter(_.place == 0).drop("place")


def _click_impressions(clicks: ir.Table, impressions: ir.Table, days: int) -> ir.Table:
    """Clicks that belong to one of ``impressions``, with it: ``event_id, ts, date, impression, arm, unit``."""
    shown = impressions.select(impression="event_id", unit="unit", arm="arm", shown_at="ts")
    by_name = clicks.filter(clicks.impression_id.notnull()).select("event_id", "ts", "date", impression="impression_id")
    by_unit = clicks.filter(clicks.impression_id.isnull()).select("event_id", "ts", "date", "unit")
    columns = ("event_id", "ts", "date", "impression", "arm", "unit", "shown_at")
    pairs = ibis.union(by_name.join(shown, "impression").select(*columns), by_unit.join(shown, "unit").select(*columns))
    return _latest_shown(pairs, days)


def _conversions(happened: ir.Table, kept: ir.Table, days: int) -> ir.Table:
    """Conversions that count: ``event_id, ts, date, value_micros, unit, arm``."""
    valid = happened.filter((happened.kind == "conversion") & happened.invalid.isnull())
    converted = valid.select("event_id", "ts", "date", "unit", value_micros=valid.value_micros.fill_null(0))
    shown = kept.select(impression="event_id", unit="unit", arm="arm", shown_at="ts")
    return _latest_shown(converted.join(shown, "unit"), days)


def _latest_shown(pairs: ir.Table, days: int) -> ir.Table:
    """Of each event's impressions at or before it and at most ``days`` old, the latest."""
    in_time = pairs.filter((pairs.shown_at <= pairs.ts) & (pairs.ts <= pairs.shown_at + ibis.interval(hours=24 * days)))
    latest = ibis.window(group_by=in_time.event_id, order_by=[in_time.shown_at.desc(), in_time.impression.desc()])
    return in_time.mutate(rank=ibis.row_number().over(latest)).filter(_.rank == 0).drop("rank", "shown_at")


def _unmatched(clicks: ir.Table, attributed: ir.Table, impressions: ir.Table, kept: ir.Table) -> ir.Table:
    """Clicks that nothing explains: not attributed here, nor naming an impression (or unit) left out or elsewhere."""
    elsewhere = impressions.anti_join(kept, "event_id")
    loose = clicks.anti_join(attributed, "event_id")
    named = loose.filter(loose.impression_id.notnull())
    unnamed = loose.filter(loose.impression_id.isnull())
    return ibis.union(
        named.anti_join(elsewhere, named.impression_id == elsewhere.event_id).select("event_id"),
        unnamed.anti_join(elsewhere, "unit").select("event_id"),
    )


def _per_unit(kept: ir.Table, clicks: ir.Table, conversions: ir.Table) -> ir.Table:
    """Each unit's sums of all outcomes, exact."""
    counted = ibis.union(
        _counted(kept, impressions=1),
        _counted(clicks, clicks=1),
        _counted(conversions, conversions=1, value_micros=_.value_micros),
    )
    return counted.group_by("unit").aggregate({name: counted[name].sum().cast(EXACT) for name in OUTCOMES})


def _counted(events: ir.Table, **amounts: int | Deferred) -> ir.Table:
    return events.select(
        "unit",
        **{name: _integer(amounts.get(name, 0)) for name in OUTCOMES},
    )


def _integer(amount: int | Deferred) -> ir.Value | Deferred:
    return ibis.literal(amount, "int64") if isinstance(amount, int) else amount


def _moments(units: ir.Table, segments: Sequence[str], *, batched: bool) -> list[ir.Table]:
    """``units``, each outcome's sum under its name, each product's under ``left*right``; in each scope.

    Units are read once, into the sums of the finest cells; every scope adds cells up.
    """
    sums = {name: units[name].sum().cast(EXACT) for name in OUTCOMES}
    products = {f"{left}*{right}": (units[left] * units[right]).sum().cast(EXACT) for left, right in PRODUCTS}
    facts = {"units": units.count().cast(EXACT), **sums, **products}
    cells = units.group_by("arm", "mature", *(("batch",) if batched else ()), *segments).aggregate(facts)
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
    return _fact(long.fact, long, arm=_.arm, scope=name, segment=_.segment, batch=_.batch)


def _daily(name: str, events: ir.Table) -> ir.Table:
    counts = events.group_by("arm", "date").aggregate(value=_.count())
    return _fact(f"daily_{name}", counts, arm=_.arm, day=_.date)


def _by_arm(name: str, events: ir.Table) -> ir.Table:
    return _fact(name, events.group_by("arm").aggregate(value=_.count()), arm=_.arm)


def _by_rule(name: str, events: ir.Table) -> ir.Table:
    counts = events.group_by("arm", "invalid").aggregate(value=_.count())
    return _fact(name, counts, arm=_.arm, segment=_.invalid)


def _total(name: str, events: ir.Table) -> ir.Table:
    return _fact(name, events.aggregate(value=_.count()))


def _fact(
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
    """Rows of one shape, so that facts of all sorts are one table."""
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
