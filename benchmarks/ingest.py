"""Lines a second from a log into the lake, beside DuckDB reading the same file into Parquet without any checks."""

import csv
import gzip
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from benchmarks.table import Table
from experiments.events.lake import EventLake
from experiments.ingest.files import ingest_file
from experiments.ingest.hashing import UnitHasher

LINES = 300_000
NOW = datetime(2026, 11, 9, 6, tzinfo=UTC)
ARMS = {"spring": frozenset({"original", "mosaic"})}
COLUMNS = ("event_id", "ts", "experiment", "arm", "unit", "device", "country", "propensity", "user_agent", "ip")
AGENTS = tuple(f"Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101" for version in range(90, 140))


class NoRegister:
    """Every file is new."""

    def find(self, sha256: str) -> None:
        """None was ingested before."""

    def record(self, delivery: object) -> None:
        """Nothing is kept."""


def events() -> list[tuple[str, ...]]:
    """A day's impressions: three a unit, fifty browsers, a thousand networks."""
    start = datetime(2026, 11, 8, tzinfo=UTC)
    return [
        (
            f"i{number}",
            (start + timedelta(milliseconds=288 * number)).isoformat(),
            "spring",
            ("original", "mosaic")[number % 2],
            f"user-{number // 3}",
            "phone",
            "DE",
            "0.5",
            AGENTS[number % len(AGENTS)],
            f"203.{number % 250}.{number // 1000 % 4}.{number % 200}",
        )
        for number in range(LINES)
    ]


def measure() -> Table:
    """The same events as CSV, as gzipped CSV and as JSON lines."""
    rows = events()
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = _write(folder, rows)
        figures = [(path.name, _adstyle(folder, path), _duckdb(folder, path)) for path in files]
    return Table(
        f"Ingest of {LINES:,} impressions, lines a second",
        ("file", "AdStyle: hashed, checked, accounted, once", "DuckDB: read and written, unchecked"),
        tuple((f"`{name}`", f"{ours:,.0f}", f"{theirs:,.0f}") for name, ours, theirs in figures),
    )


def _write(folder: Path, rows: list[tuple[str, ...]]) -> tuple[Path, Path, Path]:
    plain, packed, lines = (folder / f"impressions.{ending}" for ending in ("csv", "csv.gz", "jsonl"))
    with plain.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    packed.write_bytes(gzip.compress(plain.read_bytes(), 6))
    with lines.open("w") as file:
        file.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows)
    return plain, packed, lines


def _rate(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return LINES / (time.perf_counter() - began)


def _adstyle(folder: Path, path: Path) -> float:
    lake = EventLake(folder / f"lake-{path.name}")
    lake.versions()
    hasher = UnitHasher(b"a key of the benchmark's own")

    def work() -> None:
        delivery = ingest_file(path, lake=lake, deliveries=NoRegister(), hasher=hasher, arms=ARMS, now=NOW)
        if delivery.accepted != LINES:
            raise AssertionError(f"{path.name}: {delivery.accepted} of {LINES} accepted")

    return _rate(work)


def _duckdb(folder: Path, path: Path) -> float:
    read = "read_json" if path.suffix == ".jsonl" else "read_csv"
    with duckdb.connect(config={"threads": 2}) as engine:
        return _rate(lambda: engine.execute(f"COPY (SELECT * FROM {read}('{path}')) TO '{folder / path.name}.parquet'"))
