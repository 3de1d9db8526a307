"""What counts, said once: an Ibis expression from events to facts.

Its words: *kept* impressions are the experiment's own, in its window, and by a person as far as the rules of ingest
tell. A click belongs to the kept impression it names or, naming none, to its unit's latest one, if it came at most
``click_days`` after it; the first click of an impression counts. A conversion counts for its unit, once, if the unit's
latest click that counts is at most ``click_conversion_days`` old, or else its latest kept impression at most
``conversion_days`` (`attribution`); with what refunds and corrections have left of it (`adjustments`). Units that do
more than people can are left out, and so are clicks that repeat one of seconds before (`rates`).

A unit belongs to the arm of its first kept impression (by time, then event id), and so do all its impressions and
outcomes, whatever it was shown later: analysis by intention to treat. Leaving such units out would leave out more of
the people who come often, and not equally many in all arms. Its segments are those of that impression too. It is
*mature* when nothing more can come of that impression (`Attribution.matures_after`): no click on it, and no conversion
by it or by such a click. Of later impressions more may come, in all arms alike. Maturity goes by the first impression
alone, which no style has any bearing on. If it waited for what a unit did (the whole window after a click, less where
there was none), those who clicked would be missing longest, and most of them where a style makes people click.

Where the arms' shares changed in the course, units are told apart, too, by the *batch* that their first impression came
in, because only units that were dealt alike can be compared. A change moves some units to another arm; such a unit has
not crossed over: that is one which saw several arms while the shares were the same.

Impressions are read a few columns at a time, and only those *asked* for one by one are held: clicks name them, or their
units did something, or saw several arms. Of all others it takes sums. What has a name (``alias``) is computed once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir
from ibis import _

from experiments.core.plan import Plan
from experiments.events.adjustments import MONEY, adjusted, adjustments_of, unmatched
from experiments.events.attribution import credited
from experiments.events.facts import EXACT, by_arm, fact, moments, total
from experiments.events.people import day_of, decided, key, people_of, said_of, sayings_of, settled
from experiments.events.rates import Machines, creative_of, first_clicks_of, machines_of, suspects_of
from experiments.events.schema import IMPOSSIBLE_RATE, REPEATED_CLICK

_BROUGHT = ("clicks", "conversions", "value_micros")


def evidence_expression(
    impressions: ir.Table,
    outcomes: ir.Table,
    plan: Plan,
    as_of: datetime,
    *,
    batches: Sequence[datetime] = (),
    changes: Sequence[datetime] = (),
    turns: int = 1,
) -> ir.Table:
    """All facts about an experiment as rows of ``fact, arm, scope, segment, batch, date, moment, value``, all integers.

    Moments have a scope: ``all`` units, the ``mature`` ones, or a segment column with its segment (and ``mature:``
    before it for the mature units of that segment). Those of one batch have its number, from 0.

    Args:
        impressions: columns as in ``schema.IMPRESSIONS``, every experiment's, but units as numbers (`engine`).
        outcomes: columns as in ``schema.OUTCOMES``, units as the same numbers.
        plan: gives the name, the start, the attribution windows, the segment columns and the cap on money.
        as_of: exclusive upper bound of event time, aware.
        batches: where the second batch begins, the third ..., in order; none where there are no batches.
        changes: those of them, or others, at which the arms' shares changed.
        turns: in which units are told apart (`people_of`); the facts are the same.
    """
    everything = impressions.mutate(date=day_of(impressions.ts), said=said_of(impressions, plan.segments))
    shown = _between(everything.filter(everything.experiment == plan.experiment), plan.start, as_of)
    valid = shown.filter(shown.invalid.isnull())
    bots = shown.filter(shown.invalid.notnull())
    everybody = people_of(valid, turns)

    outcomes = outcomes.mutate(date=day_of(outcomes.ts))
    adjustments = adjustments_of(outcomes, as_of).alias("adjustments")
    happened = _happened(outcomes.filter(outcomes.adjusts.isnull()), plan.start, as_of).alias("happened")
    clicks = happened.filter((happened.kind == "click") & happened.invalid.isnull())
    bot_clicks = happened.filter((happened.kind == "click") & happened.invalid.notnull())
    conversions = happened.filter((happened.kind == "conversion") & happened.invalid.isnull())

    moved = everybody.filter(everybody.tied | everybody.crossed).alias("moved")
    suspects = suspects_of(everybody, plan.traffic).alias("suspects")
    asked = _asked(shown, happened, moved, suspects).alias("asked")
    asked_valid = asked.filter(asked.invalid.isnull())
    clicked = _click_impressions(clicks, asked_valid, plan.attribution.click_days).alias("clicked")
    machines = machines_of(suspects, asked_valid, clicked, plan.traffic)
    rushed = machines.shown(valid, asked_valid).alias("rushed")
    people = everybody.anti_join(machines.units, "unit")
    asked_of_people = asked_valid.anti_join(machines.units, "unit")

    decisions = decided(moved.filter(moved.tied), asked_of_people).alias("decisions")
    sayings = sayings_of(valid, people, decisions, plan.segments).alias("sayings")
    homes = settled(moved, decisions)
    kept = _at_home(asked_of_people, homes, sayings).alias("kept")

    attributed = _at_home(clicked.anti_join(machines.units, "unit"), homes, sayings)
    ranked = first_clicks_of(attributed, plan.traffic).alias("ranked")
    first_clicks = ranked.filter(ranked.counts)
    bots_clicked = _bots_clicked(bot_clicks, clicked, asked, machines, plan.attribution.click_days).alias(
        "bots_clicked"
    )
    bought = credited(
        conversions.select("event_id", "ts", "date", "unit", *MONEY), kept, first_clicks, plan.attribution
    )
    left = adjusted(bought, adjustments).alias("left")
    converted = left.filter(left.counts)

    brought = _brought(first_clicks, converted).alias("brought")
    capped = brought if plan.cap is None else brought.mutate(value_micros=ibis.least(brought.value_micros, plan.cap))
    mature_at = as_of - timedelta(days=plan.attribution.matures_after)
    units = _counted(settled(people, decisions).join(sayings, "said"), capped)
    units = units.mutate(mature=units.first_shown < mature_at, batch=_batch(units.first_shown, batches))
    tally = shown.group_by("arm", "date", "invalid").aggregate(value=_.count(), moment=_.ts.max()).alias("tally")
    rushed_daily = rushed.group_by("arm", "date").aggregate(value=_.count())
    bots = ibis.union(bots.select("unit", "arm", "ts"), rushed.select("unit", "arm", "ts"))

    return ibis.union(
        *moments(units, plan.segments, batched=bool(batches)),
        *(() if plan.cap is None else (by_arm("capped_units", brought.filter(brought.value_micros > plan.cap)),)),
        _daily("impressions", _shown_daily(tally, rushed_daily, kept)),
        _daily("clicks", first_clicks.group_by("arm", "date").aggregate(value=_.count())),
        _daily("conversions", converted.group_by("arm", "date").aggregate(value=_.count())),
        _daily("by_click", converted.filter(converted.clicked).group_by("arm", "date").aggregate(value=_.count())),
        _currencies(bought),
        total("withdrawn_conversions", left.filter(~left.counts)),
        total("unmatched_adjustments", unmatched(adjustments, outcomes, plan.start, as_of)),
        *_of_bots(tally, rushed_daily),
        by_arm("invalid_units", bots.select("unit", "arm").distinct()),
        *((_bots_by_batch(bots, batches),) if batches else ()),
        by_arm("invalid_clicks", bots_clicked),
        _click_rules(bots_clicked, ranked.filter(~ranked.counts)),
        total("crossover_units", _crossover(kept.semi_join(moved, "unit"), changes)),
        total("repeated_clicks", ranked.filter(~ranked.counts)),
        total(
            "unmatched_clicks",
            _unmatched(clicks, clicked, _beyond(everything, asked, machines, plan, as_of), kept),
        ),
        fact("seen", tally.group_by("date").aggregate(value=_.value.sum()), day=_.date),
        fact("last_event", tally.aggregate(value=_.value.sum().fill_null(0), moment=_.moment.max()), moment=_.moment),
        *(
            fact("last_event", events.aggregate(value=_.count(), moment=_.ts.max()), moment=_.moment)
            for events in (ranked, converted)
        ),
    )


def _between(events: ir.Table, start: datetime, end: datetime) -> ir.Table:
    return events.filter((events.ts >= start) & (events.ts < end))


def _happened(outcomes: ir.Table, start: datetime, end: datetime) -> ir.Table:
    """Each event once: the lake drops repetitions within a day, an id that came on several days counts on the first,
    and not at all where that was before ``start``.
    """
    found = _between(outcomes, start, end)
    by_time = ibis.window(group_by=[found.kind, found.event_id], order_by=found.ts)
    once = found.mutate(place=ibis.row_number().over(by_time)).filter(_.place == 0).drop("place")
    return once.anti_join(outcomes.filter(outcomes.ts < start).select("kind", "event_id"), ["kind", "event_id"])


def _asked(shown: ir.Table, happened: ir.Table, moved: ir.Table, suspects: ir.Table) -> ir.Table:
    """The impressions that must be looked at one by one, and a few whose ids only have the key of one that must."""
    of_clicks = happened.kind == "click"
    named = happened.filter(of_clicks & happened.impression_id.notnull())
    by_unit = happened.filter(~(of_clicks & happened.impression_id.notnull()) & happened.unit.notnull())
    names = named.select(name=key(named.impression_id)).distinct()
    units = ibis.union(by_unit.select("unit"), moved.select("unit"), suspects, distinct=True)
    found = shown.filter(key(shown.event_id).isin(names.name) | shown.unit.isin(units.unit))
    return found.select("event_id", "unit", "ts", "date", "arm", "invalid", "said", creative=creative_of(found))


def _at_home(asked: ir.Table, moved: ir.Table, sayings: ir.Table) -> ir.Table:
    """Impressions, or clicks on them, with the arm that their unit belongs to, and the ``shown_arm``."""
    homes = moved.join(sayings, "said").select("arm", moved_unit="unit")
    joined = asked.rename(shown_arm="arm").left_join(homes, asked.unit == homes.moved_unit)
    return joined.mutate(arm=ibis.coalesce(joined.arm, joined.shown_arm)).drop("moved_unit")


def _click_impressions(clicks: ir.Table, impressions: ir.Table, days: int) -> ir.Table:
    """Clicks that belong to one of ``impressions``: ``event_id, ts, date, impression, arm, unit, creative``."""
    shown = impressions.select("unit", "arm", "creative", impression="event_id", shown_at="ts")
    by_name = clicks.filter(clicks.impression_id.notnull()).select("event_id", "ts", "date", impression="impression_id")
    by_unit = clicks.filter(clicks.impression_id.isnull()).select("event_id", "ts", "date", "unit")
    columns = ("event_id", "ts", "date", "impression", "arm", "unit", "creative", "shown_at")
    pairs = ibis.union(shown.join(by_name, "impression").select(*columns), shown.join(by_unit, "unit").select(*columns))
    return _latest_shown(pairs, days)


def _latest_shown(pairs: ir.Table, days: int) -> ir.Table:
    """Of each event's impressions at or before it and at most ``days`` old, the latest."""
    in_time = pairs.filter((pairs.shown_at <= pairs.ts) & (pairs.ts <= pairs.shown_at + ibis.interval(hours=24 * days)))
    latest = ibis.window(group_by=in_time.event_id, order_by=[in_time.shown_at.desc(), in_time.impression.desc()])
    return in_time.mutate(rank=ibis.row_number().over(latest)).filter(_.rank == 0).drop("rank", "shown_at")


def _brought(clicks: ir.Table, conversions: ir.Table) -> ir.Table:
    """Each unit that did anything, with its arm and the sums, exact, of what it did."""
    none, one = ibis.literal(0, "int64"), ibis.literal(1, "int64")
    did = ibis.union(
        clicks.select("unit", "arm", clicks=one, conversions=none, value_micros=none),
        conversions.select("unit", "arm", clicks=none, conversions=one, value_micros=_.value_micros),
    )
    return did.group_by("unit", "arm").aggregate({name: did[name].sum().cast(EXACT) for name in _BROUGHT})


def _counted(people: ir.Table, brought: ir.Table) -> ir.Table:
    """Each unit with its sums of all outcomes."""
    sums = brought.select(*_BROUGHT, did_unit="unit")
    units = people.left_join(sums, people.unit == sums.did_unit)
    return units.mutate(
        impressions=units.impressions.cast(EXACT),
        **{name: units[name].fill_null(ibis.literal(0, EXACT)) for name in _BROUGHT},
    )


def _batch(instant: ir.TimestampValue, begin: Sequence[datetime]) -> ir.IntegerValue:
    """The number of the batch that the instant lies in."""
    number = ibis.literal(0, "int32")
    for boundary in begin:
        number = number + (instant >= boundary).cast("int32")
    return number.cast("int32")


def _shown_daily(tally: ir.Table, rushed_daily: ir.Table, kept: ir.Table) -> ir.Table:
    """Kept impressions by the arm of their unit: all by the arm that was shown, less and more where that is another."""
    elsewhere = kept.filter(kept.arm != kept.shown_arm)
    counts = ibis.union(
        tally.filter(tally.invalid.isnull()).select("arm", "date", "value"),
        rushed_daily.select("arm", "date", value=-_.value),
        elsewhere.select("arm", "date", value=ibis.literal(1, "int64")),
        elsewhere.select(arm="shown_arm", date="date", value=ibis.literal(-1, "int64")),
    )
    return counts.group_by("arm", "date").aggregate(value=_.value.sum()).filter(_.value != 0)


def _crossover(crossed: ir.Table, changes: Sequence[datetime]) -> ir.Table:
    """Units that saw several arms between two changes of the shares."""
    between = crossed.select("unit", "shown_arm", dealing=_batch(crossed.ts, changes))
    arms_of_unit = between.group_by("unit", "dealing").aggregate(arms=between.shown_arm.nunique())
    return arms_of_unit.filter(arms_of_unit.arms > 1).select("unit").distinct()


def _of_bots(tally: ir.Table, rushed_daily: ir.Table) -> tuple[ir.Table, ir.Table]:
    """Impressions by no person, of each arm and, of each arm, by each rule."""
    marked = ibis.union(
        tally.filter(tally.invalid.notnull()).select("arm", "invalid", "value"),
        rushed_daily.select("arm", "value", invalid=ibis.literal(IMPOSSIBLE_RATE)).select("arm", "invalid", "value"),
    )
    arms = marked.group_by("arm").aggregate(value=_.value.sum())
    rules = marked.group_by("arm", "invalid").aggregate(value=_.value.sum())
    return fact("invalid_impressions", arms, arm=_.arm), fact("invalid_rules", rules, arm=_.arm, segment=_.invalid)


def _bots_clicked(bot_clicks: ir.Table, clicked: ir.Table, asked: ir.Table, machines: Machines, days: int) -> ir.Table:
    """Clicks by no person that belong to an impression, whoever saw it: ``arm``, the one shown, and ``invalid``."""
    found = _click_impressions(bot_clicks, asked, days).select("event_id", "arm")
    told = found.join(bot_clicks.select("event_id", "invalid"), "event_id").select("arm", "invalid")
    rushed = clicked.semi_join(machines.units, "unit").select("arm", invalid=ibis.literal(IMPOSSIBLE_RATE))
    return ibis.union(told, rushed)


def _currencies(bought: ir.Table) -> ir.Table:
    """Conversions with money by the currency that it counts in: where it was converted, that is the reporting one."""
    unconverted = bought.filter(bought.value_micros.notnull() & bought.paid_micros.isnull() & bought.currency.notnull())
    return fact("currency", unconverted.group_by("currency").aggregate(value=_.count()), segment=_.currency)


def _click_rules(bots_clicked: ir.Table, repeated: ir.Table) -> ir.Table:
    """Clicks that are left out of each arm, by each rule."""
    told = ibis.union(bots_clicked, repeated.select("arm", invalid=ibis.literal(REPEATED_CLICK)))
    return fact("click_rules", told.group_by("arm", "invalid").aggregate(value=_.count()), arm=_.arm, segment=_.invalid)


def _bots_by_batch(bots: ir.Table, batches: Sequence[datetime]) -> ir.Table:
    """Units with an impression by no person in each batch."""
    shown = bots.select("unit", "arm", batch=_batch(bots.ts, batches)).distinct()
    counts = shown.group_by("arm", "batch").aggregate(value=_.count())
    return fact("invalid_units", counts, arm=_.arm, scope="all", batch=_.batch)


def _unmatched(clicks: ir.Table, clicked: ir.Table, beyond: ir.Table, kept: ir.Table) -> ir.Table:
    """Clicks that nothing explains: of no impression here, nor naming an impression (or unit) left out or elsewhere.

    An id may have come twice, for a kept impression and another: what is kept is not elsewhere.
    """
    loose = clicks.anti_join(clicked, "event_id").alias("loose")
    named = loose.filter(loose.impression_id.notnull())
    unnamed = loose.filter(loose.impression_id.isnull() & loose.unit.notnull())
    found = beyond.filter(beyond.event_id.isin(named.impression_id) | beyond.unit.isin(unnamed.unit)).alias("elsewhere")
    by_name = found.anti_join(kept, "event_id")
    by_unit = found.anti_join(kept, ["event_id", "unit"])
    return ibis.union(
        named.anti_join(by_name, named.impression_id == by_name.event_id).select("event_id"),
        loose.filter(loose.impression_id.isnull()).anti_join(by_unit, "unit").select("event_id"),
    )


def _beyond(everything: ir.Table, asked: ir.Table, machines: Machines, plan: Plan, as_of: datetime) -> ir.Table:
    """All impressions that are not kept, in parts that the engine can leave unread by what files say of themselves.

    Of those by no person only the ones that were asked for; what is not asked for is named by no click.
    """
    own = everything.filter(everything.experiment == plan.experiment)
    parts = (
        everything.filter(everything.experiment != plan.experiment),
        own.filter(own.ts < plan.start),
        own.filter(own.ts >= as_of),
        asked.filter(asked.invalid.notnull()),
        asked.filter(asked.invalid.isnull()).semi_join(machines.units, "unit"),
    )
    return ibis.union(*(part.select("event_id", "unit") for part in parts))


def _daily(name: str, counts: ir.Table) -> ir.Table:
    return fact(f"daily_{name}", counts, arm=_.arm, day=_.date)
