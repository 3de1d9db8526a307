"""Spark as the engine: for a lake that one machine is not enough for, or where a cluster is at hand anyway.

It reads the Parquet files that the Delta log names, with the schema that is ours, and needs no other connector than one
for the object store where the lake lies in one. The evidence is the same to the last digit, or an error: see
``sparksql.py``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from experiments.core.errors import ExperimentError
from experiments.events.engine import MEMORY, NO_PAST, Source, bytes_of
from experiments.events.question import Question
from experiments.events.schema import TABLES
from experiments.events.scratch import Scratch
from experiments.events.sparksession import one_session
from experiments.events.stored import StoredTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MASTER = "local[*]"
_SMALL = 16 << 20
"""Bytes of Parquet that one task has read and joined before several have exchanged their rows."""
_PATTERN = re.compile(r"[{}\[\]*?\\]")
"""What means something else in a path of Hadoop's."""


@dataclass(frozen=True, slots=True)
class Spark:
    """One session in this process, begun when it is needed and kept until the end; one expression at a time."""

    master: str = MASTER
    settings: tuple[tuple[str, str], ...] = ()
    """``spark.*``, as Spark's documentation has them."""
    memory: str = MEMORY
    """For Java, where ``master`` is this machine."""

    @property
    def reads_urls(self) -> bool:
        """By Hadoop's connectors."""
        return True

    def turns(self, impressions: int, *, numbered: bool) -> int:  # noqa: ARG002
        """One: it deals units out to its tasks itself."""
        return 1

    @property
    def keeps_parts(self) -> bool:
        """Not: lakes of a size for Spark are not in a folder beside it."""
        return False

    def holds(self, impressions: int) -> bool:  # noqa: ARG002
        """Never: it begins with nothing that was found before."""
        return False

    def answer(
        self,
        question: Question,
        sources: Mapping[str, Source],
        columns: Mapping[str, Sequence[str]],
        past: Mapping[str, Sequence[Path]] = NO_PAST,  # noqa: ARG002
        keep: Path | None = None,  # noqa: ARG002
    ) -> pa.Table:
        """Each named part is computed once and held, in memory or on disk, until the end."""
        with one_session(self.master, self._options()) as session, Scratch() as near:
            tables = {name: _table(name, source, columns[name], near) for name, source in sources.items()}
            small = sum(table.size for table in tables.values()) <= _SMALL
            for name, table in tables.items():
                frame = _frame(session, table, columns[name])
                (frame.coalesce(1) if small else frame).createOrReplaceTempView(name)
            return _answer(session, question, small=small)

    def _options(self) -> dict[str, str]:
        memory = {"spark.driver.memory": f"{bytes_of(self.memory) >> 20}m"} if self.master.startswith("local") else {}
        return memory | dict(self.settings)


def _answer(session: "SparkSession", question: Question, *, small: bool) -> pa.Table:
    from experiments.events.sparksql import column_type, spark_statements

    statements = spark_statements(question)
    lasting = session.conf.get("spark.checkpoint.dir", None)
    for part in statements.steps:
        frame = session.sql(part.query)
        if part.named:  # held, and its plan forgotten: each later plan would repeat it wherever it is named
            frame = frame.coalesce(1) if small else frame
            frame = frame.checkpoint() if lasting else frame.localCheckpoint()
        frame.createOrReplaceTempView(part.name)
    schema = question.expression().schema()
    # Instants travel as numbers: in Python Spark takes them for local time.
    plain = [
        f"unix_micros(`{name}`) AS `{name}`" if kind.is_timestamp()
        else f"CAST(`{name}` AS {column_type(kind)}) AS `{name}`"
        for name, kind in schema.items()
    ]  # fmt: skip
    rows = session.sql(statements.query).selectExpr(*plain).collect()
    return pa.Table.from_pylist([row.asDict() for row in rows], schema=schema.to_pyarrow())


@dataclass(frozen=True, slots=True)
class _Table:
    """Parquet files, and what their log says of them that they do not say themselves."""

    name: str
    size: int
    groups: list[tuple[Mapping[str, str], list[str]]]


def _table(name: str, source: Source, columns: Sequence[str], near: Path) -> _Table:
    """What is in no file that Spark could read is written to one."""
    if isinstance(source, StoredTable):
        groups = [(told, source.paths(files)) for told, files in source.alike(columns)]
        return _Table(name, source.size, groups)
    path = near / f"{name}.parquet"
    dataset = source if isinstance(source, ds.Dataset) else ds.dataset(source)
    batches = dataset.scanner(columns=[each for each in columns if each in dataset.schema.names]).to_reader()
    with pq.ParquetWriter(path, batches.schema) as file:
        for batch in batches:
            file.write_batch(batch)
    return _Table(name, path.stat().st_size, [({}, [str(path)])])


def _frame(session: "SparkSession", table: _Table, columns: Sequence[str]) -> "DataFrame":
    """These columns, typed as in the schema, units as numbers; what a file is too old to have is missing."""
    from ibis import Schema
    from pyspark.sql import functions as of

    from experiments.events.sparksql import column_type

    kinds = Schema.from_pyarrow(TABLES[table.name].schema)
    types = {column: column_type(kinds[column]) for column in columns}
    nothing = (f"CAST(NULL AS {kind}) AS {column}" for column, kind in types.items())
    frame = session.sql(f"SELECT {', '.join(nothing)} WHERE false")
    for told, paths in table.groups:
        held = ", ".join(f"{column} {kind}" for column, kind in types.items() if column not in told)
        # What folders are called says nothing (Spark would make columns of it).
        files = session.read.schema(held).option("recursiveFileLookup", "true").parquet(*map(_hadoop, paths))
        constants = {column: of.lit(value).cast(types[column]) for column, value in told.items()}
        frame = frame.unionByName(files.withColumns(constants))
    numbers = {"unit": of.when(of.col("unit").isNotNull(), of.xxhash64("unit"))} if "unit" in types else {}
    return frame.withColumns(numbers)


def _hadoop(path: str) -> str:
    """A file's name or address as Hadoop wants it."""
    scheme, found, rest = path.partition("://")
    if scheme == "az" and found:
        raise ExperimentError(
            "Spark cannot tell the account of an az:// address: give the lake as "
            "abfss://container@account.dfs.core.windows.net/folder"
        )
    plain = _PATTERN.sub(lambda each: "\\" + each[0], rest if found else path)
    if not found:
        return plain
    return unquote(plain) if scheme == "file" else f"{'s3a' if scheme == 's3' else scheme}://{plain}"
