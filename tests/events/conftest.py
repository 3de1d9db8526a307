"""A lake of its own for each test, rows for it written by hand, and both engines."""

import os
import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from experiments.core.errors import ExperimentError
from experiments.core.plan import Arm, Attribution, Plan
from experiments.events.engine import DuckDB
from experiments.events.evidence import evidence_of
from experiments.events.lake import EventLake
from experiments.events.schema import DECLARED_BOT, TABLES
from experiments.events.spark import Spark
from experiments.events.sparksession import check_installed

START = datetime(2026, 11, 2, tzinfo=UTC)
SPARK = Spark(
    "local[2]",
    tuple({
        "spark.sql.shuffle.partitions": "2",
        # A handful of rows are computed sooner than code for them is generated, planned anew and compiled.
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }.items()),
    memory="1GiB",
)  # fmt: skip


IN_SHORT = (
    "test_the_expression_says_what_the_loops_say[spark-0]",
    "test_a_workspaces_lake",
)
"""On Spark a lake of ten rows takes seconds: of what is run on both engines, these have most rules in them."""


def pytest_collection_modifyitems(items):
    if os.environ.get("ADSTYLE_SPARK") == "all":
        return
    later = pytest.mark.skip(reason="the whole suite on Spark takes minutes: make spark runs it")
    for item in items:
        if item.get_closest_marker("spark") and "[spark" in item.name and not item.name.startswith(IN_SHORT):
            item.add_marker(later)


@pytest.fixture(scope="session")
def spark():
    """Where it is not installed its tests are skipped, or fail if ADSTYLE_REQUIRE_SPARK is set."""
    try:
        check_installed()
    except ExperimentError as error:
        (pytest.fail if os.environ.get("ADSTYLE_REQUIRE_SPARK") else pytest.skip)(str(error))
    return SPARK


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def engine(request):
    """What holds of evidence holds whatever computes it."""
    return DuckDB() if request.param == "duckdb" else request.getfixturevalue("spark")


@pytest.fixture
def start():
    return START


@pytest.fixture
def lake(tmp_path):
    return EventLake(tmp_path / "lake")


@pytest.fixture
def plan():
    arms = (Arm("original", "original"), Arm("mosaic", "mosaic#0123456789ab"))
    return Plan("spring", "salt", "original", arms, start=START, attribution=Attribution(1, 7))


@pytest.fixture
def at():
    """An instant, so long after the start."""

    def at(**after: float) -> datetime:
        return START + timedelta(**after)

    return at


@pytest.fixture
def rows():
    """An Arrow table with a lake table's schema, from dicts that leave out what does not matter."""

    def rows(name: str, events: list[dict], delivery: str = "d1") -> pa.Table:
        whole = {"delivery": delivery, "delivered_at": START, "experiment": "spring", "unit": "u"}
        kept = [{**whole, "date": event["ts"].date(), **event} for event in events]
        return pa.Table.from_pylist(kept, schema=TABLES[name].schema)

    return rows


@pytest.fixture
def measure(rows, plan, engine):
    """The evidence of events given as dicts, as the lake would hand them to the expression."""

    def measure(impressions, outcomes, as_of, plan=plan):
        tables = rows("impressions", impressions), rows("outcomes", outcomes)
        return evidence_of(*tables, plan, as_of, {"impressions": 3}, engine=engine)

    return measure


@pytest.fixture
def impression(at):
    def impression(event_id, unit="u1", arm="original", *, hours=1.0, **fields):
        whole = {"experiment": "spring", "invalid": None, "ts": at(hours=hours)}
        return {"event_id": event_id, "arm": arm, "unit": unit, **whole, **fields}

    return impression


@pytest.fixture
def outcome(at):
    def outcome(event_id, kind="click", *, hours=2.0, **fields):
        whole = {"impression_id": None, "unit": None, "invalid": None, "value_micros": None, "ts": at(hours=hours)}
        return {"event_id": event_id, "kind": kind, **whole, **fields}

    return outcome


@pytest.fixture(scope="session")
def oracle():
    """``loops.py``: tests are not a package, so that it is run rather than imported."""
    return runpy.run_path(str(Path(__file__).with_name("loops.py")))


@pytest.fixture(scope="session")
def loops(oracle):
    """What counts, by loops."""
    return oracle["Loops"]


@pytest.fixture(scope="session")
def world(oracle):
    """Events of a few units, by seed and start."""
    return oracle["world"]


@pytest.fixture
def crowd():
    """Tables of so many impressions and what came of them: some arms, some bots, units that cross, clicks without a
    name, at their impression's instant or of nothing; conversions early and late.
    """

    def crowd(count):
        at = "TIMESTAMPTZ '2026-11-02 00:00:00+00' + to_minutes((hash(i) % 10000)::BIGINT)"
        unit = f"lpad(to_hex(hash(i + 1) % ({count} // 3)), 32, '0')"
        delivered = "'d' AS delivery, TIMESTAMPTZ '2026-11-12 00:00:00+00' AS delivered_at"
        queries = {
            "impressions": f"""SELECT 'i' || i AS event_id, {at} AS ts,
                CASE WHEN hash(i + 2) % 50 = 0 THEN 'autumn' ELSE 'spring' END AS experiment,
                CASE WHEN hash(i + 3) % 40 = 0 OR hash({unit}) % 2 = 0 THEN 'original' ELSE 'mosaic' END AS arm,
                {unit} AS unit, CASE WHEN hash(i + 4) % 3 > 0 THEN 'p' || hash(i + 4) % 30 END AS placement,
                CASE WHEN hash(i + 5) % 20 = 0 THEN '{DECLARED_BOT}' END AS invalid, {delivered}
                FROM range({count}) t(i)""",
            "outcomes": f"""SELECT 'o' || i AS event_id, {at} + to_minutes((hash(i + 6) % 3000)::BIGINT) AS ts,
                CASE WHEN i % 3 > 0 THEN 'click' ELSE 'conversion' END AS kind,
                CASE WHEN i % 3 > 0 AND i % 7 > 0 THEN 'i' || (i + (hash(i + 7) % 30 = 0)::INT * 999983) END
                    AS impression_id,
                CASE WHEN hash(i + 8) % 30 > 0 THEN {unit} END AS unit, (i % 1000)::BIGINT AS value_micros,
                CASE WHEN hash(i + 9) % 20 = 0 THEN '{DECLARED_BOT}' END AS invalid, {delivered}
                FROM range(0, {count}, 5) t(i)""",
        }
        tables = []
        for name, query in queries.items():
            layout = TABLES[name].schema
            with duckdb.connect() as engine:
                engine.execute("SET TimeZone = 'UTC'")
                table = engine.sql(f"SELECT *, ts::DATE AS date FROM ({query})").to_arrow_table()
            columns = [table[each.name] if each.name in table.column_names else None for each in layout]
            filled = [pa.nulls(table.num_rows, each.type) if column is None else column.cast(each.type)
                      for each, column in zip(layout, columns, strict=True)]  # fmt: skip
            tables.append(pa.table(filled, schema=layout))
        return tables

    return crowd
