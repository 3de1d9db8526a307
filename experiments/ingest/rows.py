"""From a line's cells to a row of the lake: every rule a line must keep, kind by kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from experiments.events.schema import IMPRESSIONS, OUTCOMES, TIMESTAMP
from experiments.ingest.bots import Agents
from experiments.ingest.formats import Cells
from experiments.ingest.hashing import HashedUnits, Networks
from experiments.ingest.values import Rejected, currency, has_macro, present, probability, timestamp, value_micros

_DAY = 86_400_000_000
_MUST_BE_EXPANDED = {
    "impression": slice(0, 5),  # event_id to unit
    "click": slice(0, 4),
    "conversion": slice(0, 5),
}
"""The leading columns by which events are told apart and joined."""

Row = tuple[str | int | float | None, ...]
Rule = Callable[[Cells], Row]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a row is checked against, with the memories of one file."""

    arms: Mapping[str, frozenset[str]]
    latest: int
    """Microseconds since 1970; what happens later is not believed."""
    units: HashedUnits
    agents: Agents
    networks: Networks

    def rule(self, kind: str) -> Rule:
        """How a row of this kind is made of its cells, in the order of the table's schema."""
        return {"impression": self._impression, "click": self._click, "conversion": self._conversion}[kind]

    def _impression(self, cells: Cells) -> Row:
        event_id, ts, experiment, arm, unit, variant, slot, placement, device, country, propensity, agent, ip = cells
        present(event_id, "missing_event_id")
        moment = timestamp(ts, self.latest)
        arms = self.arms.get(experiment)
        if arms is None:
            raise Rejected("unknown_experiment")
        if arm not in arms:
            raise Rejected("unknown_arm")
        present(unit, "missing_unit")
        return (
            *(event_id, moment, experiment, arm, self.units[unit]),
            *(variant or None, slot or None, placement or None, device or None, country or None),
            *(probability(propensity), self.agents[agent], self.networks[ip]),
        )

    def _click(self, cells: Cells) -> Row:
        event_id, ts, impression_id, unit, agent, ip = cells
        present(event_id, "missing_event_id")
        moment = timestamp(ts, self.latest)
        present(impression_id or unit, "missing_reference")
        hashed = self.units[unit] if unit else None
        seen_by = (self.agents[agent], self.networks[ip])
        return (event_id, moment, "click", impression_id or None, None, hashed, None, None, None, *seen_by)

    def _conversion(self, cells: Cells) -> Row:
        event_id, ts, unit, impression_id, click_id, action, value, money = cells
        present(event_id, "missing_event_id")
        moment = timestamp(ts, self.latest)
        present(unit, "missing_unit")
        return (
            *(event_id, moment, "conversion", impression_id or None, click_id or None, self.units[unit]),
            *(action or None, value_micros(value), currency(money), None, None),
        )


def refuse_macros(kind: str, cells: Cells) -> None:
    """Reject a row in whose identifying values an ad server left a placeholder.

    Raises:
        Rejected: unexpanded_macro.
    """
    if any(map(has_macro, cells[_MUST_BE_EXPANDED[kind]])):
        raise Rejected("unexpanded_macro")


def events_table(kind: str, rows: Sequence[Row], delivery: str, delivered_at: datetime) -> pa.Table:
    """Rows of one kind as the lake keeps them."""
    schema = IMPRESSIONS if kind == "impression" else OUTCOMES
    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(schema) - 3)
    moments = columns[1]
    arrays = [
        _moments(column) if field.type == TIMESTAMP else pa.array(column, field.type)
        for field, column in zip(schema, columns, strict=False)
    ]
    days = pa.array([moment // _DAY for moment in moments], pa.int32()).cast(pa.date32())
    delivered = (pa.repeat(delivery, len(rows)), pa.repeat(pa.scalar(delivered_at, TIMESTAMP), len(rows)))
    return pa.table([*arrays, *delivered, days], schema=schema)


def _moments(column: Sequence[object]) -> pa.Array:
    return pa.array(column, pa.int64()).cast(TIMESTAMP)
