"""Which touch has the credit for a conversion: its unit's last click or, where none is recent enough, its last view.

A click goes before a view however recent the view is, because a person who clicked chose to. What came before a unit
was first shown anything has no touch at or before it, and never counts.
"""

import ibis
import ibis.expr.types as ir
from ibis import _

from experiments.core.plan import Attribution


def credited(conversions: ir.Table, kept: ir.Table, clicks: ir.Table, windows: Attribution) -> ir.Table:
    """The conversions that a touch has the credit for, with its ``arm``, and whether it ``clicked``.

    Which of several touches at the same instant it was says nothing more: a unit's are all of the same arm.

    Args:
        conversions: each once, with its unit.
        kept: impressions that count, at least all by units with conversions, with the arm of their unit.
        clicks: those that count, each with the unit and the arm of its impression.
        windows: where clicks have none of their own, they are no touches.
    """
    touches = _touches(kept, windows.conversion_days, clicked=False)
    if windows.click_conversion_days is not None:
        touches = ibis.union(touches, _touches(clicks, windows.click_conversion_days, clicked=True))
    pairs = touches.join(conversions, "unit")
    in_time = pairs.filter((pairs.touched_at <= pairs.ts) & (pairs.ts <= pairs.until))
    last = ibis.window(group_by=in_time.event_id, order_by=[in_time.clicked.desc(), in_time.touched_at.desc()])
    return in_time.mutate(rank=ibis.row_number().over(last)).filter(_.rank == 0)


def _touches(events: ir.Table, days: int, *, clicked: bool) -> ir.Table:
    """What may have the credit for what its unit does ``until`` its window has closed."""
    until = events.ts + ibis.interval(hours=24 * days)
    return events.select("unit", "arm", touched_at=events.ts, until=until, clicked=ibis.literal(clicked))
