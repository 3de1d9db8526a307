"""Counts that a platform states anew: what changed is taken beside what was said before, what did not is a duplicate.

Platforms go on attributing conversions for weeks (Meta for 28 days), so the same day is delivered again and again. The
row that was delivered last counts (`experiments.events.counts`); here only such rows are left out as say what was said
last anyway. A number that returns to what it was the time before last has changed and is taken.
"""

from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from experiments.events.append import Append
from experiments.events.counts import AD_DAY, DELIVERED
from experiments.events.schema import COUNTS
from experiments.events.stored import StoredTable, parquet
from experiments.ingest.log import FileRefused
from experiments.ingest.staging import Staging

_OF_A_LINE = ("line", "delivery", "delivered_at")
_SAYS = tuple(field.name for field in COUNTS if field.name not in (*_OF_A_LINE, "date"))
_SAID = ", ".join(_SAYS)
"""All that a row says; the day is a part of its id."""
_TICK = timedelta(milliseconds=1)
"""The log of a table in an object store knows no finer time."""


def after_all_of(table: Append, now: datetime) -> datetime:
    """When a delivery that comes ``now`` was delivered: after all others, though the clock may have been set back."""
    latest = table.newest("delivered_at")
    return now if latest is None else max(now, latest + _TICK)


def drop_unchanged(staged: Staging, table: Append, delivery: str, file_name: str) -> int:
    """Leave out rows that say what the one before them said of the same, in the lake or in the file.

    Where the ad's day came in another breakdown meanwhile, the first row says that this one holds again: it is taken.
    A delivery that is in the lake already was judged when it came; others may have come since, so it is not judged
    again. Returns how many rows are left out.

    Raises:
        FileRefused: for a file that says two things of the same, because one of them would be lost.
    """
    staged.finish()
    engine = staged.engine
    if table.delivered(delivery):
        lines = [row["line"] for row in table.rows_of(delivery, "line")]
        engine.register("taken", pa.table({"line": pa.array(lines, pa.int64())}))
        engine.execute("INSERT INTO dropped SELECT line FROM ids ANTI JOIN taken USING (line)")
        return staged.dropped()
    if not staged.events.files:
        return 0
    incoming = parquet(list(staged.events.files))
    _refuse_contradictions(staged, incoming, file_name)
    parts = f"SELECT line, delivery, delivered_at, {_SAID}, true AS incoming FROM {incoming}"
    if stored := _stored(staged, table):
        parts += f" UNION ALL SELECT line, delivery, delivered_at, {_SAID}, false FROM {stored}"
    engine.execute(
        f"""
        INSERT INTO dropped SELECT line FROM (
            SELECT line, incoming, ROW({_SAID}) AS said, broken_down_by AS way,
                lag(said) OVER (PARTITION BY event_id ORDER BY {DELIVERED}) AS said_before,
                lag(way) OVER (PARTITION BY {AD_DAY} ORDER BY {DELIVERED}) AS way_before
            FROM ({parts}))
        WHERE incoming AND said IS NOT DISTINCT FROM said_before AND way IS NOT DISTINCT FROM way_before
        """
    )
    return staged.dropped()


def _refuse_contradictions(staged: Staging, incoming: str, file_name: str) -> None:
    found = staged.engine.execute(
        f"SELECT event_id, min(line), max(line) FROM {incoming} GROUP BY event_id "
        f"HAVING count(DISTINCT ROW({_SAID})) > 1 ORDER BY ALL LIMIT 1"
    ).fetchone()
    if found:
        said, first, last = found
        raise FileRefused(
            f"{file_name} says two things of {said.rstrip('/')}, in lines {first} and {last}: if a column splits the "
            "day, name it under breakdown; reports of different times belong in files of their own"
        )


def _stored(staged: Staging, table: Append) -> str | None:
    """What the lake has of the incoming days."""
    days = {str(day) for (day,) in staged.engine.execute("SELECT DISTINCT date FROM ids").fetchall()}
    files = [file for file in table.files() if file.keys[0] in days]
    if not files:
        return None
    if table.folder is None:
        chosen = pc.field("date").isin(sorted(date.fromisoformat(day) for day in days))
        staged.engine.register("stored", table.table.to_pyarrow_dataset().scanner(filter=chosen))
        return "stored"
    return f"({StoredTable('counts', str(table.folder), tuple(files)).query([*_OF_A_LINE, *_SAYS])})"
