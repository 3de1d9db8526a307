"""Millions of rows of units, four metrics, from a Parquet file to lifts: beside tea-tasting, in turns.

The peers live in an environment of their own, which is made the first time (a minute or two).
"""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import duckdb

from benchmarks.peers import environment
from benchmarks.table import Table
from experiments.core.statistics.comparison import compare, compare_adjusted
from experiments.ingest.units import Measure, read_unit_metrics

UNITS, ARMS, RUNS = 10_000_000, (2, 12), 3
MEASURES = (
    Measure("ctr", "clicks", "impressions"),
    Measure("minutes", "minutes", before="minutes_before"),
    Measure("conversion", "converted"),
    Measure("revenue", "revenue"),
)


def measure() -> Table:
    """Each in its own way; only we check that a unit has one row. Lifts must be the same to nine digits."""
    environment.make()
    rows = []
    with TemporaryDirectory() as folder:
        for arms in ARMS:
            path = Path(folder) / f"{arms}.parquet"
            write(path, UNITS, arms)
            taken: dict[str, list[float]] = {"AdStyle": [], "tea-tasting, pyarrow": [], "tea-tasting, pandas": []}
            for _ in range(RUNS):
                seconds, ours = lifts(path)
                taken["AdStyle"].append(seconds)
                for engine in ("pyarrow", "pandas"):
                    (peer,) = environment.ask("lifts.py", [], str(path), engine)
                    taken[f"tea-tasting, {engine}"].append(peer["seconds"])
                    _same(ours, peer["lifts"])
            best = median(taken["AdStyle"])
            rows += [
                (f"{arms} arms", who, f"{median(seconds):.2f}", f"{median(seconds) / best:.1f}")
                for who, seconds in taken.items()
            ]
    return Table(
        f"{UNITS:,} rows of units, four metrics (one adjusted by history), from Parquet to lifts; median of {RUNS}",
        ("arms", "who", "seconds", "times ours"),
        rows,
    )


def write(path: Path, units: int, arms: int) -> None:
    """Made-up people, the same for everyone: their numbers come from hashes."""
    duckdb.execute(
        f"""
        COPY (
            SELECT i AS unit, 'arm' || (hash(i) % {arms}) AS arm, 1 + CAST(hash(i + 1) % 7 AS INTEGER) AS impressions,
                CAST(hash(i + 2) % 100 < 4 AS INTEGER) + CAST(hash(i + 3) % 1000 < 5 AS INTEGER) AS clicks,
                CAST(hash(i + 4) % 100 < 3 AS INTEGER) AS converted,
                CASE WHEN hash(i + 4) % 100 < 3 THEN CAST(hash(i + 5) % 20000 AS DOUBLE) / 100 ELSE 0 END AS revenue,
                CAST(hash(i + 6) % 1000 AS DOUBLE) / 10 AS minutes_before,
                CAST(hash(i + 6) % 1000 AS DOUBLE) / 10 + CAST(hash(i + 7) % 500 AS DOUBLE) / 10 AS minutes
            FROM range({units}) AS people(i)
        ) TO '{path}' (FORMAT parquet)
        """
    )


def lifts(path: Path) -> tuple[float, dict[str, dict[str, float | None]]]:
    """Seconds, and each metric's relative lift by arm."""
    began = time.perf_counter()
    found = read_unit_metrics(path, arm="arm", unit="unit", measures=MEASURES)
    read: dict[str, dict[str, float | None]] = {}
    for each in MEASURES:
        arms = found.metrics[each.name]
        compared = (
            compare_adjusted(arms, control="arm0")
            if each.before
            else compare({name: moments.pair for name, moments in arms.items()}, control="arm0")
        )
        for lift in compared.lifts:
            read.setdefault(lift.arm, {})[each.name] = lift.relative
    return time.perf_counter() - began, read


def _same(ours: dict[str, dict[str, float | None]], theirs: dict[str, dict[str, float]]) -> None:
    for arm, metrics in theirs.items():
        for metric, lift in metrics.items():
            found = ours[arm][metric]
            if found is None or abs(found - lift) > (1e-9 if metric != "minutes" else 1e-4):
                raise AssertionError(f"{arm} {metric}: we say {found}, tea-tasting {lift}")
