"""Spark where a workspace asks for it: the evidence of a real lake, to the byte, and one line where it cannot be had.

That the expression means the same on it is in ``test_evidence.py``.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from creatives.documents import DocumentError
from experiments.composition import engine_of, open_context
from experiments.core.errors import ExperimentError, StorageFailure
from experiments.core.plan import Looks
from experiments.doctor import examine
from experiments.events import compiling
from experiments.events.engine import DuckDB
from experiments.events.evidence import evidence_of, gather
from experiments.events.lake import EventLake
from experiments.events.schema import TABLES
from experiments.events.spark import Spark
from experiments.events.sparksession import check_installed
from experiments.events.sparksql import SparkCompiler
from experiments.events.stored import StoredFile, StoredTable
from experiments.store.codec import evidence_document
from experiments.store.database import migrate
from experiments.workspace import SETTINGS, create_workspace, open_workspace

DAYS = timedelta(days=9)
ODD = "it's 50 % of [a] b*/ü=?%41"
GATHER = """
import json, pickle, sys
from pathlib import Path
from experiments.cli import set_process_up
from experiments.composition import open_context
from experiments.events.evidence import gather
from experiments.store.codec import evidence_document
from experiments.workspace import open_workspace

set_process_up()
plan, as_of, versions = pickle.loads(Path("asked").read_bytes())
with open_context(open_workspace(Path(sys.argv[1]))) as stores:
    for each in versions:
        print(json.dumps(evidence_document(gather(stores.lake, plan, as_of, each))))
"""


@pytest.fixture
def workspace(tmp_path):
    """Of a team that works with Spark, its lake in a folder whose name Spark would take for a pattern."""
    made = create_workspace(tmp_path / "ads")
    migrate(made.database_url)
    settings = made.root / SETTINGS
    text = settings.read_text().replace('# engine = "spark"', 'engine = "spark"')
    settings.write_text(text.replace('lake = "lake"', 'lake = "it\'s {a} [b] *c? 100 % d=e"'))
    return open_workspace(made.root)


def configured(workspace, spark):
    """With the tests' settings, half of them as quoted names, half as tables."""
    lines = [f'"{name}" = "{value}"' if number % 2 else f'{name} = "{value}"'
             for number, (name, value) in enumerate(spark.settings)]  # fmt: skip
    with (workspace.root / SETTINGS).open("a") as file:
        file.write("\n".join(["[spark]", f'master = "{spark.master}"', *lines, ""]))
    return open_workspace(workspace.root)


def renamed(table, column, names):
    place = table.schema.get_field_index(column)
    values = pa.array([names.get(each, each) for each in table[column].to_pylist()])
    return table.set_column(place, table.schema.field(place), values)


@pytest.mark.spark
def test_a_workspaces_lake_gives_the_same_evidence_to_the_byte(spark, workspace, crowd, plan, start, tmp_path):
    impressions, outcomes = crowd(1200)
    arms = {"mosaic": "mosaïc 100%41 / 'it'"}
    impressions = renamed(renamed(impressions, "experiment", {"spring": ODD}), "arm", arms)
    lake = EventLake(workspace.lake_root)
    for number in range(3):
        for name, table in (("impressions", impressions), ("outcomes", outcomes)):
            lake.begin(name).commit(table.slice(number * 400, 400 if number < 2 else None), f"{name}-{number}")
    handle = lake.begin("impressions")
    parts = handle.parts()
    row = {"event_id": "old", "ts": start, "arm": "original", "unit": "f" * 32, "delivery": "d", "delivered_at": start}
    stored = pa.schema([field for field in impressions.schema if field.name in row])
    pq.write_table(pa.Table.from_pylist([row], schema=stored), parts.beginning((ODD, str(start.date()))))
    handle.commit(parts, "a file from before there were placements")
    asked = replace(
        plan, experiment=ODD, segments=("placement", "device"), looks=Looks(2, 7),
        arms=tuple(replace(arm, name=arms.get(arm.name, arm.name)) for arm in plan.arms),
    )  # fmt: skip
    versions = [{}, {"impressions": 2, "outcomes": 1}]
    expected = [json.dumps(evidence_document(gather(lake, asked, start + DAYS, each))) for each in versions]
    assert expected[0] != expected[1]
    assert json.dumps(arms["mosaic"]) in expected[0]

    (tmp_path / "asked").write_bytes(pickle.dumps((asked, start + DAYS, versions)))
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", GATHER, str(configured(workspace, spark).root)],
        cwd=tmp_path, env={**os.environ, "TZ": "Asia/Tokyo"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stderr == "", "Java and Spark keep to themselves"
    assert found.stdout.splitlines() == expected


@pytest.mark.spark
def test_a_file_that_is_gone_is_a_failure_of_storage(spark, lake, crowd, plan, start):
    for name, table in zip(("impressions", "outcomes"), crowd(300), strict=True):
        lake.begin(name).commit(table, name)
    next(Path(lake.root, "impressions").rglob("*.parquet")).unlink()
    with pytest.raises(StorageFailure, match="cannot be read") as caught:
        gather(EventLake(lake.root, engine=spark), plan, start + DAYS)
    assert "\n" not in str(caught.value)


@pytest.mark.spark
@pytest.mark.parametrize(
    ("root", "says"),
    [("az://box/lake", "give the lake as abfss://"), ("s3://box/lake", "connector"), ("gs://box/lake", "connector")],
)
def test_an_object_store_that_spark_cannot_read_is_named(spark, plan, start, root, says):
    files = (StoredFile("part.parquet", ("spring", "2026-11-02"), 1, 1),)
    nothing = TABLES["outcomes"].schema.empty_table()
    with pytest.raises(ExperimentError, match=says) as caught:
        evidence_of(StoredTable("impressions", root, files), nothing, plan, start + DAYS, {}, engine=spark)
    assert "\n" not in str(caught.value)


class Repeated:
    """A question of another kind."""

    form = "repeated"
    values: ClassVar = {}

    def expression(self):
        events = ibis.table({"event_id": "string"}, name="impressions")
        held = events.group_by("event_id").aggregate(times=events.count()).alias("held")
        return held.filter(held.times > 1)


@pytest.mark.spark
def test_nothing_is_held_afterwards_and_ctrl_c_stays_ours(spark, monkeypatch):
    from pyspark.sql import SparkSession

    monkeypatch.setattr(compiling, "expression_of", lambda _form: Repeated().expression())
    before = signal.getsignal(signal.SIGINT)
    impressions = TABLES["impressions"].schema.empty_table()
    found = spark.answer(Repeated(), {"impressions": impressions}, {"impressions": ("event_id",)})
    assert found.num_rows == 0
    session = SparkSession.getActiveSession()
    assert session.sql("SHOW VIEWS").collect() == []
    assert len(session.sparkContext._jsc.getPersistentRDDs()) == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_keys_are_signed_and_sums_exact_in_sparks_words():
    @ibis.udf.scalar.builtin(name="hash", signature=(("string",), "uint64"))
    def key(text: str) -> int: ...

    @ibis.udf.scalar.builtin(name="epoch", signature=(("string",), "int64"))
    def unknown(text: str) -> int: ...

    table = ibis.table({"name": "string", "count": "int64"}, name="t")
    query = SparkCompiler().to_sqlglot(table.group_by(key=key(table.name)).aggregate(n=table["count"].sum()))
    assert "XXHASH64(" in query.sql("spark").upper()
    assert "SUM(CAST(`t0`.`count` AS DECIMAL(38, 0)))" in query.sql("spark")
    assert "CAST(NULL AS BIGINT)" in SparkCompiler().to_sqlglot(table.select(k=ibis.null("uint64"))).sql("spark")
    with pytest.raises(NotImplementedError, match="epoch"):
        SparkCompiler().to_sqlglot(table.select(k=unknown(table.name)))


def java(folder, version):
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    program.chmod(0o755)


@pytest.mark.parametrize(("version", "found"), [("1.8.0_392", 8), ("11.0.2", 11), ("16", 16)])
def test_an_old_java_is_said_to_be_old(tmp_path, monkeypatch, version, found):
    pytest.importorskip("pyspark")
    java(tmp_path, version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ExperimentError, match=f"needs Java 17 or later.*is {found}$"):
        check_installed()


def test_no_java_and_no_pyspark_are_one_line_that_says_what_to_install(tmp_path, monkeypatch, workspace):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    pytest.importorskip("pyspark")
    with pytest.raises(ExperimentError, match=r"Java 17 or later.*default-jre-headless.*none is in JAVA_HOME"):
        check_installed()
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(ExperimentError, match=r"pip install 'adstyle\[spark\]'"):
        check_installed()
    findings = {each.check: each for each in examine(open_workspace(workspace.root), lambda: datetime.now(UTC))}
    assert not findings["engine"].ok
    assert "adstyle[spark]" in findings["engine"].says


def test_duckdb_is_the_engine_unless_a_workspace_asks_for_spark(tmp_path, workspace):
    assert engine_of(create_workspace(tmp_path / "other")) == DuckDB()
    told = open_workspace(workspace.root)
    assert engine_of(told) == Spark("local[*]")
    with (workspace.root / SETTINGS).open("a") as file:
        file.write(
            '[spark]\nmaster = "spark://box:7077"\nspark.sql.shuffle.partitions = 8\n"spark.ui.enabled" = true\n'
        )
    expected = (("spark.sql.shuffle.partitions", "8"), ("spark.ui.enabled", "true"))
    with open_context(open_workspace(workspace.root)) as stores:
        assert stores.lake.engine == Spark("spark://box:7077", expected)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ('[stores]\nengine = "sparc"', "sparc is no engine for evidence; did you mean 'spark'?"),
        ('[stores]\nengine = "presto"', "known are duckdb, spark"),
        ('[spark]\nmastr = "local[2]"', "mastr is no known key; did you mean 'master'?"),
        ('[spark]\nspark.master = "local[2]"', "spark.master is called master here"),
        ('[spark]\n"spark.jars" = ["a"]', "spark.jars is no text, number, true or false"),
        ('[spark]\nmaster = ""', "spark.master"),
    ],
)
def test_wrong_settings_are_one_line_with_a_suggestion(tmp_path, wrong, says):
    (tmp_path / SETTINGS).write_text(f'[workspace]\nname = "ads"\n{wrong}\n')
    with pytest.raises(DocumentError) as caught:
        open_workspace(tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
