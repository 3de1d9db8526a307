"""From the lake to moments, as the lake grows: what an event costs and what memory it takes.

Beside it, what an analyst would write in SQL over the same files: each unit's impressions, clicks by the impression
they name, all orders of the unit; sums and squares by arm. It attributes nothing, filters nobody, takes a unit that saw
two arms for two, and has no limit of memory: within evidence's own it cannot do a hundred million.

The lakes are made at once, as ingest would have left them, because it is not ingest that is measured here: all but the
last day, of which evidence is taken; then the last day, whose evidence begins with what was found the day before; then
that of all days again, as if nothing had been found. Both must say the same. Each figure is that of a process of its
own, as a command begins it, start and imports included.

    python -m benchmarks.evidence IMPRESSIONS...

measures other sizes: a hundred million take ten minutes and 5 GB of disk.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.clock import Run, timed
from benchmarks.table import Table

SIZES = (1_000_000, 10_000_000, 100_000_000)
"""Impressions; one unit has 20 in three on average."""
ARMS, DAYS = 12, 28
LARGE = "3500MiB"
"""Of memory, for evidence that is to stay within 4 GiB; without a word it takes 2."""
START = datetime(2026, 11, 2, tzinfo=UTC)

_DELIVERED = "repeat('d', 64) AS delivery, TIMESTAMPTZ '2026-11-30 00:00:00+00' AS delivered_at"
_AT = "to_timestamp(epoch(TIMESTAMPTZ '{day} 00:00:00+00') + (i - {first}) * 86400.0 / {count})"
_PERSON = "(hash(i) % {units})"
_IMPRESSIONS = f"""
    SELECT md5('i' || i) AS event_id, {_AT} AS ts,
        'arm' || CASE WHEN hash(i + 2) % 1000 < 5 THEN hash(i + 3) ELSE hash({_PERSON}) END % {ARMS} AS arm,
        md5('u' || {_PERSON}) AS unit, 'v' || i % 2 AS variant, '300x250' AS slot,
        'site' || hash(i + 4) % 40 AS placement,
        CASE hash({_PERSON} + 1) % 3 WHEN 0 THEN 'phone' WHEN 1 THEN 'desktop' END AS device,
        'C' || hash({_PERSON} + 2) % 30 AS country, 1.0 / {ARMS} AS propensity,
        CASE WHEN hash(i + 5) % 100 < 2 THEN 'declared_bot' END AS invalid,
        '203.' || i % 250 || '.' || i // 1000 % 50 || '.0/24' AS network, i - {{first}} + 2 AS line, {_DELIVERED}
    FROM range({{first}}, {{first}} + {{count}}) t(i)"""
_CLICKS = f"""
    SELECT md5('c' || i) AS event_id, {_AT} + INTERVAL 5 SECOND AS ts, 'click' AS kind,
        CASE WHEN hash(i + 6) % 10 > 0 THEN md5('i' || i) END AS impression_id, NULL::VARCHAR AS click_id,
        md5('u' || {_PERSON}) AS unit, NULL::VARCHAR AS action, NULL::BIGINT AS value_micros, NULL::VARCHAR AS currency,
        CASE WHEN hash(i + 7) % 100 < 2 THEN 'declared_bot' END AS invalid, NULL::VARCHAR AS network,
        i - {{first}} + 2 AS line, {_DELIVERED}
    FROM range({{first}}, {{first}} + {{count}} - {{count}} // 1000) t(i) WHERE hash(i + 8) % 1000 < 28"""
_BY_HAND = """
    WITH impressions AS (FROM 'lake/impressions/*/*/*.parquet'), outcomes AS (FROM 'lake/outcomes/*/*.parquet'),
    shown AS (SELECT unit, arm, count(*) AS n FROM impressions GROUP BY ALL),
    clicked AS (
        SELECT i.unit, i.arm, count(*) AS n FROM outcomes o JOIN impressions i ON o.impression_id = i.event_id
        WHERE o.kind = 'click' GROUP BY ALL
    ),
    bought AS (
        SELECT unit, count(*) AS n, sum(value_micros) AS money FROM outcomes WHERE kind = 'conversion' GROUP BY unit
    ),
    units AS (
        SELECT shown.arm, shown.n::HUGEINT AS i, coalesce(clicked.n, 0) AS c, coalesce(bought.n, 0) AS b,
            coalesce(bought.money, 0) AS m
        FROM shown LEFT JOIN clicked USING (unit, arm) LEFT JOIN bought USING (unit)
    )
    SELECT arm, sum(i), count(*), sum(c), sum(b), sum(m), sum(i * i), sum(c * c), sum(b * b), sum(m * m), sum(i * c),
        sum(i * b), sum(i * m), sum(c * b), sum(c * m), sum(b * m)
    FROM units GROUP BY arm"""
_CONVERSIONS = f"""
    SELECT md5('v' || i), {_AT} + INTERVAL 1 HOUR, 'conversion', NULL, NULL, md5('u' || {_PERSON}), 'purchase',
        (hash(i + 9) % 100000000)::BIGINT, 'EUR', NULL, NULL, i - {{first}} + 2, {_DELIVERED}
    FROM range({{first}}, {{first}} + {{count}} - {{count}} // 20) t(i) WHERE hash(i + 10) % 1000 < 3"""


def make(impressions: int, first: int = 0, last: int = DAYS) -> None:
    """Some days of events, into a lake in the folder this runs in."""
    from experiments.events.lake import EventLake
    from experiments.events.numbers import UNIT_NUMBER, number_of

    lake, days = EventLake("lake"), range(first, last)
    numbered = f"SELECT *, {number_of('unit')} AS {UNIT_NUMBER} FROM ({_IMPRESSIONS})"
    _fill(lake, "impressions", numbered, impressions, days)
    _fill(lake, "outcomes", f"{_CLICKS} UNION ALL {_CONVERSIONS}", impressions, days)


def evidence(
    impressions: int, days: int = DAYS, segments: Sequence[str] = ("device", "country"), memory: str | None = None
) -> None:
    """Every unit's moments, with attribution, filters, crossover and maturity, in all and by segment."""
    from experiments.core.plan import Arm, Plan
    from experiments.events.evidence import gather
    from experiments.events.lake import EventLake
    from experiments.store.codec import evidence_document

    arms = tuple(Arm(f"arm{n}", f"arm{n}") for n in range(ARMS))
    plan = Plan("spring", "salt", "arm0", arms, start=START, segments=segments)
    found = gather(EventLake("lake", memory), plan, START + timedelta(days=days, hours=6))
    counted = sum(arm.total("impressions") for arm in found.arms.values())
    left_out = sum(found.health.invalid_impressions.values())
    if counted + left_out != sum(_each(impressions)[:days]):
        raise AssertionError(f"{counted} and {left_out} of {impressions} impressions")
    said, before = json.dumps(evidence_document(found)), Path(f"said-{days}-{len(segments)}.json")
    if before.exists() and before.read_text() != said:
        raise AssertionError("evidence that began with what was found before says something else")
    before.write_text(said)


def undivided(impressions: int) -> None:
    """The same without segments, in more memory."""
    evidence(impressions, segments=(), memory=LARGE)


def by_hand(impressions: int) -> None:
    """Impressions, clicks and orders of each unit, their sums and squares by arm, in as much memory as DuckDB likes."""
    import duckdb

    with duckdb.connect() as engine:
        shown = sum(row[1] for row in engine.execute(_BY_HAND).fetchall())
    if shown != impressions:
        raise AssertionError(f"{shown} of {impressions} impressions")


def measure(sizes: Sequence[int] = SIZES) -> Table:
    """What evidence takes from small and large lakes."""
    rows = []
    for impressions in sizes:
        with TemporaryDirectory() as name:
            folder = Path(name)
            _process(f"make({impressions}, 0, {DAYS - 1})", folder)
            _process(f"evidence({impressions}, {DAYS - 1})", folder)
            _process(f"make({impressions}, {DAYS - 1})", folder)
            daily = _process(f"evidence({impressions})", folder)
            shutil.rmtree(folder / "lake" / "checkpoints", ignore_errors=True)
            ours, plain, theirs = (
                _process(f"{who}({impressions})", folder) for who in ("evidence", "undivided", "by_hand")
            )
        speed = f"{impressions / ours.seconds / 1e6:.1f} M"
        figures = (*_figures(ours), speed, *_figures(daily), *_figures(plain), *_figures(theirs))
        rows.append((f"{impressions:,}", f"{_units(impressions):,}", *figures))
    return Table(
        f"From lake to moments: {ARMS} arms, {DAYS} days, 3 clicks and orders per 100 impressions, two segment columns",
        (
            "impressions",
            "units",
            "seconds",
            "peak memory",
            "a second",
            "the day before known: seconds",
            "peak memory",
            f"without segments, in {LARGE}: seconds",
            "peak memory",
            "SQL without rules: seconds",
            "peak memory",
        ),
        rows,
    )


def _figures(run: Run) -> tuple[str, str]:
    return f"{run.seconds:.0f}", f"{run.peak_mib:,.0f} MiB"


def _units(impressions: int) -> int:
    return impressions * 3 // 20


def _each(impressions: int) -> list[int]:
    """Impressions of each day."""
    each = impressions // DAYS
    return [each] * (DAYS - 1) + [impressions - each * (DAYS - 1)]


def _fill(lake, name: str, query: str, impressions: int, days: Sequence[int]) -> None:  # type: ignore[no-untyped-def]
    import duckdb

    handle, counts = lake.begin(name), _each(impressions)
    parts = handle.parts()
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute("SET enable_progress_bar = false")
        for number in days:
            day: date = START.date() + timedelta(days=number)
            told = {"day": day, "first": number * counts[0], "count": counts[number], "units": _units(impressions)}
            target = parts.beginning(("spring", str(day)) if name == "impressions" else (str(day),))
            engine.execute(
                f"COPY ({query.format(**told)}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
            )
    handle.commit(parts, f"made-{days[0]}")


def _process(call: str, folder: Path) -> Run:
    root = str(Path(__file__).resolve().parents[1])
    begin = f"import sys; sys.path.insert(0, {root!r}); from experiments.cli import set_process_up; set_process_up()"
    code = f"{begin}; from benchmarks import evidence; evidence.{call}"
    return timed(code, cwd=folder, program=(sys.executable, "-c"))


if __name__ == "__main__":
    print(measure([int(size) for size in sys.argv[1:]] or SIZES).markdown())
