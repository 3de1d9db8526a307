"""What platforms counted, as they say it now: of all that was delivered of a day and an ad, the last.

A platform restates its days for weeks, so the lake has a row for each time that a number changed; the one delivered
last counts, and nothing is ever added to what it replaces. The same day of an ad may also come broken down in different
ways (by age this week, by country the next): each way is the whole day, so only the way that came last is summed.

Nothing here was randomised: platforms choose who sees what, by what they think of each. It is shown and never judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb

from experiments.events.engine import bounded_engine
from experiments.events.lake import EventLake
from experiments.events.schema import COUNTS
from experiments.events.storage import storage_failures
from experiments.events.stored import StoredTable

AD_DAY = "regexp_replace(event_id, '/[^/]*$', '')"
"""Of a row's id all but the breakdown, in SQL."""
DELIVERED = "delivered_at, delivery, line"
"""The order in which rows were delivered, in SQL."""
_LATEST = "delivered_at DESC, delivery DESC, line DESC"
_CURRENT = f"""
    CREATE OR REPLACE TEMP VIEW current AS SELECT * EXCLUDE (place, way) FROM (
        SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY {_LATEST}) AS place,
            first_value(broken_down_by) OVER (PARTITION BY {AD_DAY} ORDER BY {_LATEST}) AS way FROM counts)
    WHERE place = 1 AND broken_down_by IS NOT DISTINCT FROM way
"""
_TOTALS = """
    SELECT source, arm, min(date), max(date), count(DISTINCT date), sum(impressions), sum(clicks), sum(conversions)
    FROM current WHERE experiment = $1 GROUP BY source, arm ORDER BY source, arm
"""
_MONEY = """
    SELECT source, arm, currency, sum(value_micros), sum(spend_micros)
    FROM current WHERE experiment = $1 GROUP BY source, arm, currency ORDER BY source, arm, currency NULLS FIRST
"""
_COLUMNS = tuple(field.name for field in COUNTS)


@dataclass(frozen=True, slots=True)
class PlatformCounts:
    """All that one platform counted of one arm; money by currency, in millionths, None where it did not say which."""

    source: str
    arm: str
    first: date
    last: date
    days: int
    """Days with any count: not all between the first and the last need have one."""
    impressions: int
    clicks: int
    conversions: int | None
    """None where it counted none at all, not even zero."""
    value_micros: Mapping[str | None, int]
    spend_micros: Mapping[str | None, int]


def platform_counts(
    lake: EventLake, experiment: str, first: date, last: date, version: int | None = None
) -> tuple[PlatformCounts, ...]:
    """What was counted of an experiment on the days from ``first`` to ``last``, by source and arm.

    Raises:
        ExperimentError: when the table has no such version.
        StorageFailure: when it cannot be read.
    """
    source = lake.source("counts", version)
    if isinstance(source, StoredTable) and not source.files:
        return ()
    with storage_failures(lake.root), bounded_engine(lake.memory) as engine:
        if isinstance(source, StoredTable):
            rows = source.query(_COLUMNS)
        else:
            engine.register("counts_of_lake", source)
            rows = f"SELECT {', '.join(_COLUMNS)} FROM counts_of_lake"
        engine.execute(
            f"CREATE TEMP VIEW counts AS SELECT * FROM ({rows}) "
            f"WHERE date BETWEEN DATE '{first.isoformat()}' AND DATE '{last.isoformat()}'"
        )
        return totals(engine, experiment)


def totals(engine: duckdb.DuckDBPyConnection, experiment: str) -> tuple[PlatformCounts, ...]:
    """The sums of what stands now in a table ``counts``, whose experiments may have changed hands in the course."""
    engine.execute(_CURRENT)
    value: dict[tuple[str, str], dict[str | None, int]] = {}
    spend: dict[tuple[str, str], dict[str | None, int]] = {}
    for source, arm, currency, brought, cost in engine.execute(_MONEY, [experiment]).fetchall():
        for money, sums in ((brought, value), (cost, spend)):
            if money is not None:
                sums.setdefault((source, arm), {})[currency] = int(money)
    return tuple(
        PlatformCounts(
            source, arm, first, last, days, int(impressions), int(clicks),
            None if conversions is None else int(conversions),
            value.get((source, arm), {}), spend.get((source, arm), {}),
        )
        for source, arm, first, last, days, impressions, clicks, conversions
        in engine.execute(_TOTALS, [experiment]).fetchall()
    )  # fmt: skip
