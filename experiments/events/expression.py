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
units clicked something unnamed; of units that bought, or saw several arms, only when they saw which. Of all others it
takes sums; where only few are new, these are held in short. What has a name (``alias``) is computed once.

Of what came more than `LOOKS_BACK` before the start only adjustments are asked for, so that it may be forgotten.

All of that looks back, so what was found of events up to some instant can be the beginning of what is found up to a
later one (`past`). It is said once for both: ``new`` are the events since then, or all.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from experiments.events.adjustments import adjusted, adjustments_of, unmatched
from experiments.events.attribution import credited
from experiments.events.facts import BROUGHT, EXACT, by_arm, crowds_of, fact, moments, total
from experiments.events.kept import WHOLE
from experiments.events.past import Past
from experiments.events.people import (
    SEVERAL,
    day_of,
    decided,
    key,
    known_and,
    people_of,
    said_of,
    sayings_of,
    settled,
)
from experiments.events.question import (
    AS_OF,
    EXPERIMENT,
    KNOWN_UNTIL,
    LOOKS_BACK,
    MONEY,
    READ,
    START,
    Form,
    batch_name,
    change_name,
)
from experiments.events.rates import creative_of, first_clicks_of, machines_of, suspects_of
from experiments.events.schema import IMPOSSIBLE_RATE, REPEATED_CLICK, TABLES
from experiments.events.values import instant, text


def _unbound(name: str) -> ir.Table:
    """A table of the lake to the expression, units as numbers.

    Nullable throughout, because a union wants the same type on all sides.
    """
    types = {**ibis.Schema.from_pyarrow(TABLES[name].schema), "unit": ibis.dtype("int64")}
    return ibis.table({column: types[column].copy(nullable=True) for column in READ[name]}, name=name)


def evidence_expression(form: Form) -> ir.Table:
    """All facts about an experiment as rows of ``fact, arm, scope, segment, batch, date, moment, value``, all integers.

    Moments have a scope: ``all`` units, the ``mature`` ones, or a segment column with its segment (and ``mature:``
    before it for the mature units of that segment). Those of one batch have its number, from 0.

    It is of the tables and columns of `READ`, every experiment's impressions and all outcomes, units as numbers
    (`engine`), and where it begins with what was found, of parts (`kept`). Names and instants are values (`Question`).
    """
    experiment, start, as_of, windows = text(EXPERIMENT), instant(START), instant(AS_OF), form.attribution
    past = Past(instant(KNOWN_UNTIL) if form.knows else None, form.segments)
    since = start if past.until is None else past.until
    batches = [instant(batch_name(number)) for number in range(form.batches)]
    changes = [instant(change_name(number)) for number in range(form.changes)]
    first = start - ibis.interval(hours=24 * LOOKS_BACK.days)
    impressions, outcomes = map(_unbound, READ)
    everything = impressions.filter(impressions.ts >= first)
    own = everything.filter(everything.experiment == experiment)
    shown = _told(_between(own, start, as_of), form.segments)
    valid = shown.filter(shown.invalid.isnull())
    new = _between(shown, since, as_of)
    if form.holds:
        new = new.select("unit", "ts", "date", "arm", "said", "invalid", *form.segments).alias("new")
    new_valid = new.filter(new.invalid.isnull())
    everybody = _everybody(new_valid, form.turns, past)
    texts = past.and_since("texts", new_valid.select("said", "arm", *form.segments).distinct())
    tally = new.group_by("arm", "date", "invalid").aggregate(value=_.count(), moment=_.ts.max())
    tally = past.and_since("tally", tally)

    outcomes = outcomes.mutate(date=day_of(outcomes.ts))
    adjustments = adjustments_of(outcomes, as_of).alias("adjustments")
    happened = _happened(outcomes.filter(outcomes.adjusts.isnull() & (outcomes.ts >= first)), since, as_of)
    happened = happened.alias("happened")
    clicks = happened.filter((happened.kind == "click") & happened.invalid.isnull())
    bot_clicks = happened.filter((happened.kind == "click") & happened.invalid.notnull())
    conversions = happened.filter((happened.kind == "conversion") & happened.invalid.isnull())

    ties = everybody.filter(everybody.said.isnull() & (everybody.first_shown >= since)).alias("ties")
    suspects = suspects_of(everybody, form.traffic).alias("suspects")
    clickable = _between(own, past.reach(windows.click_days, start), as_of)
    asked = _asked(clickable, clicks, bot_clicks, ties, suspects, form.segments).alias("asked")
    asked_valid = asked.filter(asked.invalid.isnull())
    clicked = _click_impressions(clicks, asked_valid, windows.click_days).alias("clicked")
    fast, clicking = machines_of(suspects, asked_valid, past.recent("clicks", clicked, hours=1), form.traffic)
    machines = past.and_since("machines", past.unknown("machines", ibis.union(fast, clicking), ["unit"]))
    rushed = _rushed(fast, clicking, machines, asked_valid, valid, past).alias("rushed")
    people = everybody.anti_join(machines, "unit")

    decisions = past.and_since("decisions", decided(ties, asked_valid))
    mature_at = as_of - ibis.interval(hours=24 * windows.matures_after)
    units = settled(people, decisions)
    units = units.mutate(mature=units.first_shown < mature_at, batch=_batch(units.first_shown, batches))
    told = ("mature", *(("batch",) if batches else ()))
    crowds = crowds_of(units, told).alias("crowds")
    sayings = sayings_of(texts.distinct(), crowds, form.segments).alias("sayings")
    crossed = people.filter(people.sole == SEVERAL).select("unit", "said").alias("crossed")
    homes = _homes(crossed, decisions, sayings).alias("homes")
    buyers = conversions.filter(conversions.unit.notnull()).select("unit").distinct()
    followed = _followed(new_valid, buyers, crossed, machines).alias("followed")
    kept = _at_home(followed, homes)
    moves = past.and_since("moves", kept.filter(kept.arm != kept.shown_arm))
    earlier = _earlier(past, buyers, crossed)
    newly_seen = _arms_seen(kept, earlier, crossed, changes)
    arms_seen = past.and_since("arms_seen", past.unknown("arms_seen", newly_seen, newly_seen.columns))
    views = _views(kept, earlier, decisions, sayings)

    repeated_hours = -(-(form.traffic.repeat_seconds or 0) // 3600)
    attributed = past.recent("clicks", _at_home(clicked, homes), hours=max(24 * windows.click_days, repeated_hours))
    ranked = first_clicks_of(attributed, form.traffic)
    all_clicks = past.and_since("clicks", ranked.filter(ranked.ts >= since))
    person_clicks = all_clicks.anti_join(machines, "unit")
    first_clicks = person_clicks.filter(person_clicks.counts)
    repeated = person_clicks.filter(~person_clicks.counts)
    by_bots = _click_impressions(bot_clicks, asked, windows.click_days).select("event_id", "arm")
    by_bots = past.and_since("bot_clicks", by_bots.join(bot_clicks.select("event_id", "invalid"), "event_id"))
    by_machines = all_clicks.semi_join(machines, "unit").select(arm="shown_arm", invalid=ibis.literal(IMPOSSIBLE_RATE))
    bots_clicked = ibis.union(by_bots, by_machines)
    of_bots = _click_impressions(clicks, asked.filter(asked.invalid.notnull()), windows.click_days)
    elsewhere = (everything.filter(everything.experiment != experiment), own.filter(own.ts < start))
    later = own.filter(own.ts >= as_of)

    bought = credited(conversions.select("event_id", "ts", "date", "unit", *MONEY), views, first_clicks, windows)
    bought = past.and_since("bought", bought).anti_join(machines, "unit")
    left = adjusted(bought, adjustments).alias("left")
    converted = left.filter(left.counts)

    brought = _brought(first_clicks, converted, by_arm=form.cap is not None).alias("brought")
    capped = brought if form.cap is None else brought.mutate(value_micros=ibis.least(brought.value_micros, form.cap))
    rushed_daily = rushed.group_by("arm", "date").aggregate(value=_.count())
    new_bots = _in_batches(new.filter(new.invalid.notnull()), batches)
    bots = past.and_since("bots", past.unknown("bots", new_bots, new_bots.columns))
    no_people = ibis.union(bots, _in_batches(rushed, batches).anti_join(bots, new_bots.columns))

    return ibis.union(
        *moments(crowds, units.join(capped.select("unit", *BROUGHT), "unit"), sayings, form.segments, told),
        *(() if form.cap is None else (by_arm("capped_units", brought.filter(brought.value_micros > form.cap)),)),
        _daily("impressions", _shown_daily(tally, rushed_daily, moves.anti_join(machines, "unit"))),
        _daily("clicks", first_clicks.group_by("arm", "date").aggregate(value=_.count())),
        _daily("conversions", converted.group_by("arm", "date").aggregate(value=_.count())),
        _daily("by_click", converted.filter(converted.clicked).group_by("arm", "date").aggregate(value=_.count())),
        _currencies(bought),
        total("withdrawn_conversions", left.filter(~left.counts)),
        total("unmatched_adjustments", unmatched(adjustments, outcomes, start, as_of)),
        *_of_bots(tally, rushed_daily),
        by_arm("invalid_units", no_people.select("unit", "arm").distinct() if batches else no_people),
        *((_by_batch("invalid_units", no_people),) if batches else ()),
        by_arm("invalid_clicks", bots_clicked),
        _click_rules(bots_clicked, repeated),
        total("crossover_units", _crossed(arms_seen.anti_join(machines, "unit"))),
        total("repeated_clicks", repeated),
        total("unmatched_clicks", _unmatched(clicks, clicked, of_bots, elsewhere, later, machines, past)),
        fact("seen", tally.group_by("date").aggregate(value=_.value.sum()), day=_.date),
        fact("last_event", tally.aggregate(value=_.value.sum().fill_null(0), moment=_.moment.max()), moment=_.moment),
        *(
            fact("last_event", events.aggregate(value=_.count(), moment=_.ts.max()), moment=_.moment)
            for events in (person_clicks, converted)
        ),
    )


def _everybody(new_valid: ir.Table, turns: int, past: Past) -> ir.Table:
    if past.until is None:
        return people_of(new_valid, turns, WHOLE)
    return known_and(past.table(WHOLE), new_valid, turns, WHOLE)


def _told(impressions: ir.Table, segments: Sequence[str]) -> ir.Table:
    return impressions.mutate(date=day_of(impressions.ts), said=said_of(impressions, segments))


def _between(events: ir.Table, start: ir.TimestampScalar, end: ir.TimestampScalar) -> ir.Table:
    return events.filter((events.ts >= start) & (events.ts < end))


def _happened(outcomes: ir.Table, start: ir.TimestampScalar, end: ir.TimestampScalar) -> ir.Table:
    """Each event once: the lake drops repetitions within a day, an id that came on several days counts on the first,
    and not at all where that was before ``start``.
    """
    found = _between(outcomes, start, end)
    by_time = ibis.window(group_by=[found.kind, found.event_id], order_by=found.ts)
    once = found.mutate(place=ibis.row_number().over(by_time)).filter(_.place == 0).drop("place")
    return once.anti_join(outcomes.filter(outcomes.ts < start).select("kind", "event_id"), ["kind", "event_id"])


def _asked(
    shown: ir.Table, clicks: ir.Table, bot_clicks: ir.Table, ties: ir.Table, suspects: ir.Table, segments: Sequence[str]
) -> ir.Table:
    """The impressions that must be looked at one by one, and a few whose ids only have the key of one that must."""
    all_clicks = ibis.union(*(each.select("impression_id", "unit") for each in (clicks, bot_clicks)))
    named, unnamed = _named_and_not(all_clicks)
    names = named.select(name=key(named.impression_id)).distinct()
    of_units = unnamed.filter(unnamed.unit.notnull()).select("unit")
    units = ibis.union(of_units, ties.select("unit"), suspects, distinct=True)
    found = _told(shown.filter(key(shown.event_id).isin(names.name) | shown.unit.isin(units.unit)), segments)
    return found.select("event_id", "unit", "ts", "date", "arm", "invalid", "said", creative=creative_of(found))


def _followed(new: ir.Table, buyers: ir.Table, crossed: ir.Table, machines: ir.Table) -> ir.Table:
    """The impressions of people who bought something, or saw several arms."""
    units = ibis.union(buyers, crossed.select("unit"), distinct=True).anti_join(machines, "unit")
    return new.semi_join(units, "unit").select("unit", "arm", "ts", "date")


def _earlier(past: Past, buyers: ir.Table, crossed: ir.Table) -> ir.Table | None:
    """People known before who bought something since, or who since then have seen several arms; where all is new, none
    were.
    """
    if past.until is None:
        return None
    newly = crossed.anti_join(past.table("arms_seen"), "unit").select("unit")
    units = ibis.union(buyers, newly, distinct=True)
    known = past.table(WHOLE).select("unit", "last_shown", "said", "sole")
    return known.semi_join(units, "unit").alias("earlier")


def _arms_seen(
    kept: ir.Table, earlier: ir.Table | None, crossed: ir.Table, changes: Sequence[ir.TimestampScalar]
) -> ir.Table:
    """Of units that saw several arms, which they saw since which change of the shares: ``unit, arm, dealing``.

    Until they saw another they had all seen the same: the last time tells whether that was since the same change.
    """
    theirs = kept.semi_join(crossed, "unit")
    seen = theirs.select("unit", arm=key(theirs.shown_arm), dealing=_batch(theirs.ts, changes))
    if earlier is None:
        return seen.distinct()
    first = earlier.filter(earlier.sole != SEVERAL).semi_join(crossed, "unit")
    return ibis.union(seen, first.select("unit", arm="sole", dealing=_batch(first.last_shown, changes)), distinct=True)


def _views(kept: ir.Table, earlier: ir.Table | None, decisions: ir.Table, sayings: ir.Table) -> ir.Table:
    """What people who bought something had seen before, with the arm that they belong to.

    Of all before ``past.until`` only the last can have the credit for what they did since.
    """
    views = kept.select("unit", "arm", "ts")
    if earlier is None:
        return views
    known = settled(earlier, decisions).join(sayings.select("said", "arm"), "said")
    return ibis.union(views, known.select("unit", "arm", ts="last_shown"))


def _homes(crossed: ir.Table, decisions: ir.Table, sayings: ir.Table) -> ir.Table:
    """The arms that units who saw several belong to: ``home_unit, home``. All others belong to the one they saw."""
    return settled(crossed, decisions).join(sayings, "said").select(home_unit="unit", home="arm")


def _at_home(events: ir.Table, homes: ir.Table) -> ir.Table:
    """Impressions, or clicks on them, with the arm that their unit belongs to, and the ``shown_arm``."""
    joined = events.rename(shown_arm="arm").left_join(homes, events.unit == homes.home_unit)
    return joined.mutate(arm=ibis.coalesce(joined.home, joined.shown_arm)).drop("home_unit", "home")


def _named_and_not(clicks: ir.Table) -> tuple[ir.Table, ir.Table]:
    """Clicks that name an impression, and those that name none."""
    return clicks.filter(clicks.impression_id.notnull()), clicks.filter(clicks.impression_id.isnull())


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


def _brought(clicks: ir.Table, conversions: ir.Table, *, by_arm: bool) -> ir.Table:
    """Each unit that did anything, with the sums, exact, of what it did, and its arm where that is asked for."""
    keys = ("unit", *(("arm",) if by_arm else ()))
    clicked = clicks.group_by(*keys).aggregate(clicks=_.count())
    money = conversions.value_micros.sum().cast(EXACT)
    bought = conversions.group_by(*keys).aggregate(conversions=_.count(), value_micros=money)
    bought = bought.rename({f"buyer_{key}": key for key in keys})
    both = clicked.outer_join(bought, clicked.unit == bought.buyer_unit)
    who = {key: ibis.coalesce(both[key], both[f"buyer_{key}"]) for key in keys}
    return both.select(**who, **{name: both[name].fill_null(0) for name in BROUGHT})


def _batch(moment: ir.TimestampValue, begin: Sequence[ir.TimestampScalar]) -> ir.IntegerValue:
    """The number of the batch that it lies in."""
    number = ibis.literal(0, "int32")
    for boundary in begin:
        number = number + (moment >= boundary).cast("int32")
    return number.cast("int32")


def _rushed(
    fast: ir.Table, clicking: ir.Table, machines: ir.Table, asked: ir.Table, valid: ir.Table, past: Past
) -> ir.Table:
    """What machines were shown. All impressions are read once more for it only where there are any that all of them
    were not asked for anyway.
    """
    columns = ("unit", "arm", "date", "ts")
    if past.until is not None:
        return valid.semi_join(machines, "unit").select(*columns)
    return ibis.union(
        asked.semi_join(fast, "unit").select(*columns), valid.semi_join(clicking, "unit").select(*columns)
    )


def _shown_daily(tally: ir.Table, rushed_daily: ir.Table, moves: ir.Table) -> ir.Table:
    """Kept impressions by the arm of their unit: all by the arm that was shown, less and more where that is another."""
    counts = ibis.union(
        tally.filter(tally.invalid.isnull()).select("arm", "date", "value"),
        rushed_daily.select("arm", "date", value=-_.value),
        moves.select("arm", "date", value=ibis.literal(1, "int64")),
        moves.select(arm="shown_arm", date="date", value=ibis.literal(-1, "int64")),
    )
    return counts.group_by("arm", "date").aggregate(value=_.value.sum()).filter(_.value != 0)


def _crossed(arms_seen: ir.Table) -> ir.Table:
    """Units that saw several arms between two changes of the shares."""
    arms = arms_seen.group_by("unit", "dealing").aggregate(one=_.arm.min(), other=_.arm.max())
    return arms.filter(arms.one != arms.other).select("unit").distinct()


def _of_bots(tally: ir.Table, rushed_daily: ir.Table) -> tuple[ir.Table, ir.Table]:
    """Impressions by no person, of each arm and, of each arm, by each rule."""
    marked = ibis.union(
        tally.filter(tally.invalid.notnull()).select("arm", "invalid", "value"),
        rushed_daily.select("arm", "value", invalid=ibis.literal(IMPOSSIBLE_RATE)).select("arm", "invalid", "value"),
    )
    arms = marked.group_by("arm").aggregate(value=_.value.sum())
    rules = marked.group_by("arm", "invalid").aggregate(value=_.value.sum())
    return fact("invalid_impressions", arms, arm=_.arm), fact("invalid_rules", rules, arm=_.arm, segment=_.invalid)


def _currencies(bought: ir.Table) -> ir.Table:
    """Conversions with money by the currency that it counts in: where it was converted, that is the reporting one."""
    unconverted = bought.filter(bought.value_micros.notnull() & bought.paid_micros.isnull() & bought.currency.notnull())
    return fact("currency", unconverted.group_by("currency").aggregate(value=_.count()), segment=_.currency)


def _click_rules(bots_clicked: ir.Table, repeated: ir.Table) -> ir.Table:
    """Clicks that are left out of each arm, by each rule."""
    told = ibis.union(bots_clicked, repeated.select("arm", invalid=ibis.literal(REPEATED_CLICK)))
    return fact("click_rules", told.group_by("arm", "invalid").aggregate(value=_.count()), arm=_.arm, segment=_.invalid)


def _in_batches(shown: ir.Table, batches: Sequence[ir.TimestampScalar]) -> ir.Table:
    """Units that impressions were shown to, of each arm and in each batch once."""
    return shown.select("unit", "arm", batch=_batch(shown.ts, batches)).distinct()


def _by_batch(name: str, units: ir.Table) -> ir.Table:
    counts = units.group_by("arm", "batch").aggregate(value=_.count())
    return fact(name, counts, arm=_.arm, scope="all", batch=_.batch)


def _unmatched(
    clicks: ir.Table, clicked: ir.Table, of_bots: ir.Table, elsewhere: Sequence[ir.Table], later: ir.Table,
    machines: ir.Table, past: Past,
) -> ir.Table:  # fmt: skip
    """Clicks that nothing explains: neither an impression that they belong to, whoever saw it, nor a machine, nor an
    impression elsewhere: another experiment's, or one before the start or after the end.

    What is elsewhere is read in parts that the engine can leave unread by what files say of themselves.
    """
    loose = clicks.anti_join(clicked, "event_id").anti_join(of_bots, "event_id").select("impression_id", "unit")
    loose = loose.alias("loose_ends")
    candidates = loose if past.until is None else ibis.union(past.table("loose"), loose)
    named_elsewhere = _named_by(candidates, elsewhere).alias("elsewhere")
    named_later = _named_by(candidates, (later,)).alias("later")
    rest = past.and_since("loose", _unexplained(loose, named_elsewhere))
    return _unexplained(rest, ibis.union(named_elsewhere, named_later)).anti_join(machines, "unit")


def _named_by(clicks: ir.Table, parts: Sequence[ir.Table]) -> ir.Table:
    """The impressions that clicks name or, of clicks that name none, those of their units."""
    named, unnamed = _named_and_not(clicks)
    all_parts = ibis.union(*(part.select("event_id", "unit") for part in parts)) if len(parts) > 1 else parts[0]
    found = all_parts.filter(all_parts.event_id.isin(named.impression_id) | all_parts.unit.isin(unnamed.unit))
    return found.select("event_id", "unit")


def _unexplained(clicks: ir.Table, found: ir.Table) -> ir.Table:
    """Clicks of which no such impression was found."""
    named, unnamed = _named_and_not(clicks)
    return ibis.union(named.anti_join(found, named.impression_id == found.event_id), unnamed.anti_join(found, "unit"))


def _daily(name: str, counts: ir.Table) -> ir.Table:
    return fact(f"daily_{name}", counts, arm=_.arm, day=_.date)
