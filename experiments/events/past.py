"""What evidence found up to an instant, as the beginning of what it finds up to a later one.

Everything that counts looks back: a click belongs to an impression before it, a conversion to a touch before it, a unit
to the arm that it saw first. So events from an instant on change nothing of what was found of those before it, and it
can be kept (`kept`), as long as no event of before comes later. What is judged anew each time is told of units or of
single events, and never of sums over them: machines show themselves late, conversions are adjusted, units mature, and
segments grow large or small.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir
from ibis import _

from experiments.events.kept import PREFIX, columns_of


@dataclass(frozen=True, slots=True)
class Past:
    """All that evidence of an experiment's events before ``until`` found; nothing where there is no such instant."""

    until: ir.TimestampScalar | None
    segments: Sequence[str]
    _tables: dict[str, ir.Table] = field(default_factory=dict, init=False)

    def table(self, part: str) -> ir.Table:
        """What was found: a table that the engine is to know by the part's name with `PREFIX`."""
        found = self._tables.get(part)
        if found is None:
            schema = columns_of(part, self.segments)
            found = self._tables[part] = ibis.table(schema, name=f"{PREFIX}{part}")
        return found

    def and_since(self, part: str, since: ir.Table) -> ir.Table:
        """What was found then and since; ``since`` is the part, to be computed once."""
        named = since.select(*columns_of(part, self.segments)).alias(part)
        return named if self.until is None else ibis.union(self.table(part), named)

    def unknown(self, part: str, since: ir.Table, columns: Sequence[str]) -> ir.Table:
        """What was found since and, by these columns, not yet then."""
        return since if self.until is None else since.anti_join(self.table(part), columns)

    def recent(self, part: str, since: ir.Table, *, hours: int) -> ir.Table:
        """What was found since, and in so many hours before then; what a part does not keep is missing there."""
        if self.until is None:
            return since
        before = self.table(part).filter(_.ts >= self.until - ibis.interval(hours=hours))
        known = {name: before[name] for name in since.columns if name in before.columns}
        missing = {name: ibis.null(kind) for name, kind in since.schema().items() if name not in known}
        return ibis.union(before.select(**known, **missing).select(since.columns), since)

    def reach(self, days: int, start: ir.TimestampScalar) -> ir.TimestampScalar:
        """Events since then look so many days back for impressions: to here, or to ``start`` where all is new."""
        if self.until is None:
            return start
        hours = 24 * days + 1  # one more: machines are told by the hour
        return ibis.greatest(start, self.until - ibis.interval(hours=hours))
