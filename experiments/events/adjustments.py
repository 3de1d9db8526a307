"""Refunds and corrections: what is left of a conversion by what was said of it later.

An adjustment names its conversion (``adjusts``), and its value says what it does. A negative one is a refund of so
much. One of zero or more restates: that is the value from then on, whatever was refunded before. None retracts: the
conversion never was one, and nothing said later brings it back. These are the adjustments that ad platforms take:
Google Ads knows restatements and retractions (https://support.google.com/google-ads/answer/7686447), in the order of
their times, and takes out a conversion that is left without value (https://support.google.com/google-ads/answer/7686449);
Google Analytics has refunds of a transaction, whole or in part
(https://developers.google.com/analytics/devguides/collection/ga4/ecommerce).

They count up to the evidence's instant, long after a conversion's window has closed, and in whatever order they were
delivered. Refunds never make a conversion less than nothing. One whose value was refunded whole no longer counts, as a
conversion either; whole means as much as was paid, in the currency that it was paid in, because a rate of exchange may
have moved meanwhile.
"""

import ibis
import ibis.expr.types as ir
from ibis import _

from experiments.events.facts import EXACT


def adjustments_of(outcomes: ir.Table, as_of: ir.TimestampScalar) -> ir.Table:
    """All adjustments before ``as_of``, each once: ``event_id, ts, adjusts`` and money.

    However old: a day's refunds may be dated to the midnight before what they refund.
    """
    said = outcomes.filter(outcomes.adjusts.notnull() & outcomes.invalid.isnull() & (outcomes.ts < as_of))
    by_time = ibis.window(group_by=said.event_id, order_by=said.ts)
    once = said.mutate(place=ibis.row_number().over(by_time)).filter(_.place == 0)
    return once.select("event_id", "ts", "adjusts", "value_micros", paid=_paid(once), currency=_currency(once))


def adjusted(conversions: ir.Table, adjustments: ir.Table) -> ir.Table:
    """Of conversions ``unit, arm, ts, date, clicked``, what is left of ``value_micros``, and whether they ``count``."""
    said = _in_sum(adjustments)
    both = conversions.left_join(said, conversions.event_id == said.adjusts)
    nothing, restated = ibis.literal(0, EXACT), both.restated.notnull()
    value = ibis.ifelse(restated, both.restated, both.value_micros).fill_null(0).cast(EXACT)
    paid = ibis.ifelse(restated, both.restated_paid, _paid(both)).fill_null(0).cast(EXACT)
    currency = ibis.ifelse(restated, both.restated_currency, _currency(both))
    left = ibis.greatest(value - both.refunded.fill_null(nothing), nothing)
    comparable = (both.refund_currency == currency) & (both.other_currency == currency)
    some_left = ibis.ifelse(both.refunded.notnull() & comparable, paid > both.refunded_paid, left > nothing)
    return both.select(
        "unit", "arm", "ts", "date", "clicked", value_micros=left.cast("int64"),
        counts=both.adjusts.isnull() | (~both.retracted & some_left),
    )  # fmt: skip


def unmatched(
    adjustments: ir.Table, outcomes: ir.Table, start: ir.TimestampScalar, as_of: ir.TimestampScalar
) -> ir.Table:
    """Adjustments since ``start`` of conversions that never came."""
    known = outcomes.filter((outcomes.kind == "conversion") & outcomes.adjusts.isnull() & (outcomes.ts < as_of))
    named = known.filter(known.event_id.isin(adjustments.adjusts)).select("event_id")
    recent = adjustments.filter(adjustments.ts >= start)
    return recent.anti_join(named, recent.adjusts == named.event_id)


def _paid(events: ir.Table) -> ir.IntegerValue:
    """In the currency it was paid in; that is the reporting one where nothing else is said."""
    return ibis.coalesce(events.paid_micros, events.value_micros)


def _currency(events: ir.Table) -> ir.StringValue:
    return events.currency.fill_null("")


def _in_sum(adjustments: ir.Table) -> ir.Table:
    """All that was said of each conversion: retracted, the latest restatement, and the refunds since."""
    in_order = ibis.cumulative_window(group_by=adjustments.adjusts, order_by=[adjustments.ts, adjustments.event_id])
    restates = adjustments.value_micros.fill_null(-1) >= 0
    told = adjustments.mutate(restates=restates, era=restates.cast("int64").sum().over(in_order))
    eras = told.mutate(last=told.era.max().over(ibis.window(group_by=told.adjusts)))
    valid = eras.era == eras["last"]
    restatement, refund = valid & eras.restates, valid & (eras.value_micros < 0)
    return eras.group_by("adjusts").aggregate(
        retracted=eras.value_micros.isnull().any(),
        restated=eras.value_micros.max(where=restatement),
        restated_paid=eras.paid.max(where=restatement),
        restated_currency=eras.currency.max(where=restatement),
        refunded=-eras.value_micros.cast(EXACT).sum(where=refund),
        refunded_paid=-eras.paid.cast(EXACT).sum(where=refund),
        refund_currency=eras.currency.min(where=refund),
        other_currency=eras.currency.max(where=refund),
    )
