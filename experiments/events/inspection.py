"""What a look at the whole lake tells: who delivered its rows, in which currencies, and when the latest came."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from experiments.events.engine import bounded_engine
from experiments.events.lake import EventLake
from experiments.events.schema import TABLES
from experiments.events.storage import storage_failures
from experiments.events.stored import StoredTable


@dataclass(frozen=True, slots=True)
class Inspection:
    """One look at all rows, few columns of each."""

    deliveries: Mapping[str, frozenset[str]]
    """Which each table has rows of."""
    currencies: Mapping[str, int]
    """Conversions with a value that was not converted, by currency; no currency is called ``""``."""
    converted: int
    """Those whose value was."""
    newest: datetime | None
    """When the latest row was delivered, by the clock of that time."""


def inspect(lake: EventLake) -> Inspection:
    """Read the columns that the answers need, in the lake's memory."""
    deliveries, moments = {}, []
    with storage_failures(lake.root), bounded_engine(lake.memory) as engine:
        for name in TABLES:
            source = _columns(lake, engine, name, "delivery", "delivered_at")
            found = engine.execute(f"SELECT delivery, max(delivered_at) FROM {source} GROUP BY delivery").fetchall()
            deliveries[name] = frozenset(delivery for delivery, _ in found)
            moments += [moment for _, moment in found]
        source = _columns(lake, engine, "outcomes", "kind", "value_micros", "paid_micros", "currency")
        paid = engine.execute(
            "SELECT CASE WHEN paid_micros IS NULL THEN coalesce(currency, '') END, count(*) "
            f"FROM {source} WHERE kind = 'conversion' AND value_micros IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
    currencies = dict(paid)
    converted = currencies.pop(None, 0)
    return Inspection(deliveries, currencies, converted, max(moments, default=None))


def _columns(lake: EventLake, engine: duckdb.DuckDBPyConnection, name: str, *columns: str) -> str:
    """These of a table, as DuckDB is to name them."""
    source = lake.source(name)
    if isinstance(source, StoredTable):
        return f"({source.query(columns)})"
    engine.register(name, source)
    return name
