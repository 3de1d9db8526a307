"""Ten million events, packed, into the lake and out again as evidence, beside what a user would write by hand.

Each figure is that of a process of its own, start and imports included, so that its memory is its own, too.
"""

import csv
import gzip
import hashlib
import hmac
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.clock import Run, timed
from benchmarks.table import Table

IMPRESSIONS, CLICKS, CONVERSIONS, PEERS = 9_700_000, 270_000, 30_000, 1_000_000
MONDAY, NOW = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 9, 6, tzinfo=UTC)
ARMS = ("original", "mosaic")
KEY = b"a key of the benchmark's own"
BATCH = 10_000

_WEEK = f"TIMESTAMP '2026-11-02' + to_microseconds(i * (604800000000 // {IMPRESSIONS}))"
_EVENTS = {
    "impressions": f"""
        SELECT md5('i' || i) AS event_id, strftime({_WEEK}, '%Y-%m-%dT%H:%M:%S.%fZ') AS ts, 'spring' AS experiment,
            CASE WHEN hash(i) % 800000 % 2 = 0 THEN 'original' ELSE 'mosaic' END AS arm,
            md5('u' || hash(i) % 800000) AS unit, 'v' || i % 2 AS variant, '300x250' AS slot,
            'site' || i % 40 AS placement, 'phone' AS device, 'DE' AS country, '0.5' AS propensity,
            'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/' || (60 + i % 90)
                || '.0.0.0 Safari/537.36' AS user_agent,
            '203.' || i % 250 || '.' || i // 1000 % 50 || '.' || i % 200 AS ip
        FROM range({{count}}) t(i)""",
    "clicks": f"""
        SELECT md5('c' || i) AS event_id, strftime({_WEEK} + INTERVAL 5 SECOND, '%Y-%m-%dT%H:%M:%S.%fZ') AS ts,
            md5('i' || i) AS impression_id, md5('u' || hash(i) % 800000) AS unit
        FROM range(0, {IMPRESSIONS}, {IMPRESSIONS} // {{count}}) t(i) LIMIT {{count}}""",
    "conversions": f"""
        SELECT md5('v' || i) AS event_id, strftime({_WEEK} + INTERVAL 1 HOUR, '%Y-%m-%dT%H:%M:%S.%fZ') AS ts,
            md5('u' || hash(i) % 800000) AS unit, '19.99' AS value, 'EUR' AS currency
        FROM range(0, {IMPRESSIONS} - 100000, ({IMPRESSIONS} - 100000) // {{count}}) t(i) LIMIT {{count}}""",
}


def make() -> None:
    """The logs, in the folder this runs in; the same events in the same order, packed otherwise, as ``*-again``."""
    import duckdb

    wanted = {"impressions": IMPRESSIONS, "clicks": CLICKS, "conversions": CONVERSIONS}
    files = [(f"{name}.csv.gz", name, count) for name, count in wanted.items()]
    with duckdb.connect() as engine:
        for file, name, count in [*files, ("million.csv.gz", "impressions", PEERS)]:
            query = _EVENTS[name].format(count=count)
            engine.execute(f"COPY ({query}) TO '{file}' (FORMAT csv, HEADER, COMPRESSION gzip)")
    for name in wanted:
        again = Path(f"{name}-again.csv.gz")
        again.write_bytes(Path(f"{name}.csv.gz").read_bytes() + gzip.compress(b""))  # other bytes, the same lines


def adstyle_once() -> None:
    """Hashed, checked, accounted for, into the lake."""
    _ingest("", new=True)


def adstyle_again() -> None:
    """The same events under other names."""
    _ingest("-again", new=False)


def adstyle_evidence() -> None:
    """Every unit's moments, with attribution, filters, crossover and maturity."""
    from experiments.core.plan import Arm, Plan
    from experiments.events.evidence import gather
    from experiments.events.lake import EventLake

    plan = Plan("spring", "salt", "original", tuple(Arm(arm, arm) for arm in ARMS), start=MONDAY)
    evidence = gather(EventLake("lake"), plan, NOW)
    counted = sum(arm.total("impressions") for arm in evidence.arms.values())
    if counted != IMPRESSIONS:
        raise AssertionError(f"{counted} of {IMPRESSIONS} impressions")


def by_pandas() -> None:
    """Read, hashed, without repetitions, into Parquet; no line is checked."""
    import pandas as pd

    rows = pd.read_csv("million.csv.gz", dtype=str)
    rows["ts"] = pd.to_datetime(rows["ts"], utc=True)
    rows["unit"] = rows["unit"].map({unit: _hashed(unit) for unit in rows["unit"].unique()})
    rows = rows.drop_duplicates("event_id").drop(columns=["ip", "user_agent"])
    rows.assign(date=rows["ts"].dt.date.astype(str)).to_parquet("by-pandas", partition_cols=["experiment", "date"])


def by_sqlalchemy() -> None:
    """Read, hashed, inserted where the id is new, into SQLite; no line is checked."""
    from sqlalchemy import Column, MetaData, String, Table, create_engine
    from sqlalchemy.dialects.sqlite import insert

    engine = create_engine("sqlite:///by-sqlalchemy.db")
    kept = ("event_id", "ts", "experiment", "arm", "unit", "variant", "slot", "placement", "device", "country")
    columns = (Column(name, String, primary_key=name == "event_id") for name in kept)
    impressions = Table("impressions", MetaData(), *columns)
    impressions.create(engine)
    with gzip.open("million.csv.gz", "rt", newline="") as file, engine.begin() as connection:
        for rows in _batches(csv.DictReader(file)):
            values = [{name: row[name] for name in kept} | {"unit": _hashed(row["unit"])} for row in rows]
            connection.execute(insert(impressions).on_conflict_do_nothing(), values)


def measure() -> Table:
    """What each of these takes."""
    every = IMPRESSIONS + CLICKS + CONVERSIONS
    works: tuple[tuple[str, Callable[[], None], int], ...] = (
        ("AdStyle: into the lake", adstyle_once, every),
        ("AdStyle: the same events under other names", adstyle_again, every),
        ("AdStyle: evidence from the lake", adstyle_evidence, every),
        ("pandas: into Parquet, unchecked", by_pandas, PEERS),
        ("SQLAlchemy: into SQLite, unchecked", by_sqlalchemy, PEERS),
    )
    with TemporaryDirectory() as name:
        _process(make, Path(name))
        runs = [(title, _process(work, Path(name)), events) for title, work, events in works]
    return Table(
        f"{every:,} impressions, clicks and conversions of 800,000 units, from `.csv.gz`",
        ("work", "events", "seconds", "events a second", "peak memory"),
        tuple(
            (title, f"{events:,}", f"{run.seconds:.1f}", f"{events / run.seconds:,.0f}", f"{run.peak_mib:,.0f} MiB")
            for title, run, events in runs
        ),
    )


def _process(work: Callable[[], None], folder: Path) -> Run:
    root = str(Path(__file__).resolve().parents[1])
    code = f"import sys; sys.path.insert(0, {root!r}); from benchmarks import volume; volume.{work.__name__}()"
    return timed(code, cwd=folder, program=(sys.executable, "-c"))


def _ingest(ending: str, *, new: bool) -> None:
    from benchmarks.ingest import NoRegister
    from experiments.events.lake import EventLake
    from experiments.ingest.files import ingest_file
    from experiments.ingest.hashing import UnitHasher

    for name, count in (("impressions", IMPRESSIONS), ("clicks", CLICKS), ("conversions", CONVERSIONS)):
        told = ingest_file(
            Path(f"{name}{ending}.csv.gz"),
            lake=EventLake("lake"),
            deliveries=NoRegister(),
            hasher=UnitHasher(KEY),
            arms={"spring": frozenset(ARMS)},
            now=NOW,
        )
        if (told.accepted, told.duplicate) != ((count, 0) if new else (0, count)):
            raise AssertionError(f"{name}: {told}")


def _hashed(unit: str) -> str:
    return hmac.new(KEY, unit.encode(), hashlib.sha256).hexdigest()[:32]


def _batches(rows: Iterator[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    while batch := list(islice(rows, BATCH)):
        yield batch
