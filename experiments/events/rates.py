"""Rules over several events of one unit: clicks repeated within seconds, and more in an hour than a person can do.

What a single event tells was told at ingest; these rules need the unit's other events, which come in other files and
later, so they are asked when evidence is gathered, of the lake at one version and up to one instant: the same events
give the same answer, in whatever order they came. They are general invalid traffic, as ingest's are: a robot that
keeps a person's pace is not found.

*Repeated clicks.* The first click of an impression counts. It does not count where another click of the same unit on
the same creative (the arm that was shown, and its variant) came at most ``repeat_seconds`` before it: a double click
on a page that had been loaded twice. The time runs from the latest click, whether that one counted or not, so that one
burst of clicks is one click however long it lasts; if it ran from the last one that counted, a machine that clicks
without end would count twice a minute.

*Impossible rates.* A unit with more than ``impressions_an_hour`` or ``clicks_an_hour`` in any hour of the clock (UTC)
is no person, and nothing it did counts: not its quiet hours either, because one machine did it all. What was marked at
ingest is not counted towards the limits. Such a unit is left out exactly as a declared bot is, and reported by the arm
that it was shown.

A rule by what people do after they were assigned may take more of them from one arm than from another: a style that
makes people click more has more people near a limit on clicks, and would lose its keenest. So the limits are far above
what people do, and a plan may take them away; and the gate ``invalid_p`` compares how many units of each arm were left
out, so that a rule that hits one arm more makes the look invalid instead of the winner wrong.

Industry guidance asks for both kinds and leaves the thresholds to whoever measures: activity-based filtration in the
Media Rating Council's Invalid Traffic Detection and Filtration Guidelines (mediaratingcouncil.org), and the IAB's Click
Measurement Guidelines (iab.com/guidelines/click-measurement-guidelines).
"""

import ibis
import ibis.expr.types as ir
from ibis import _

from experiments.core.plan import Traffic
from experiments.events.people import epoch_us, said_of

_HOUR = 3_600_000_000
"""Microseconds."""
_NO_LIMIT = 2**63 - 1


def creative_of(impressions: ir.Table) -> ir.IntegerValue:
    """A number for what was shown: the arm and its variant, the arm alone where no variant is known."""
    return said_of(impressions, ("variant",))


def suspects_of(people: ir.Table, traffic: Traffic) -> ir.Table:
    """Units whose impressions must be looked at one by one: within an hour there are never more than in all."""
    return people.filter(people.impressions > (traffic.impressions_an_hour or _NO_LIMIT)).select("unit")


def machines_of(suspects: ir.Table, asked: ir.Table, clicked: ir.Table, traffic: Traffic) -> tuple[ir.Table, ir.Table]:
    """Units that did more in an hour than the plan takes for possible: were shown more, and of the others clicked more.

    Args:
        suspects: as `suspects_of` names them.
        asked: impressions that ingest took for a person's, at least all of ``suspects``.
        clicked: clicks that ingest took for a person's, each once, with the unit of the impression it belongs to.
        traffic: the plan's limits.
    """
    fast = _beyond(asked.semi_join(suspects, "unit"), traffic.impressions_an_hour).alias("machines_by_impressions")
    clicking = _beyond(clicked, traffic.clicks_an_hour).alias("machines_by_clicks")
    return fast, clicking.anti_join(fast, "unit")


def _beyond(events: ir.Table, limit: int | None) -> ir.Table:
    """Units with more than ``limit`` events in an hour."""
    instant = epoch_us(events.ts)
    hours = events.group_by("unit", hour=instant - instant % _HOUR).aggregate(events=_.count())
    return hours.filter(hours.events > (limit or _NO_LIMIT)).select("unit").distinct()


def first_clicks_of(clicked: ir.Table, traffic: Traffic) -> ir.Table:
    """The clicks with ``counts``: the first on its impression, and not soon after one on the same creative.

    The first click on an impression follows, if any, a click on another impression; so one look back is enough.
    """
    order = [clicked.ts, clicked.event_id]
    place = ibis.row_number().over(ibis.window(group_by=[clicked.unit, clicked.impression], order_by=order))
    if traffic.repeat_seconds is None:
        return clicked.mutate(counts=place == 0)
    before = clicked.ts.lag().over(ibis.window(group_by=[clicked.unit, clicked.creative], order_by=order))
    placed = clicked.mutate(place=place, before=before)
    soon = placed.before.notnull() & (placed.ts <= placed.before + ibis.interval(seconds=traffic.repeat_seconds))
    return placed.mutate(counts=(placed.place == 0) & ~soon).drop("place", "before")
