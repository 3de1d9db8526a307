"""Where a file waits on disk between being read and being in the lake, so that memory does not grow with it."""

import shutil
import tempfile
from collections.abc import Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.events.lake import Query, storage_failures
from experiments.events.schema import REJECTS

MEMORY = "600MB"
"""What sorting out duplicates may take; beyond it they go to disk."""
_THREADS = 2
_OWN = ("delivery", "delivered_at")
_MANY = ("event_id", "unit", "impression_id", "click_id", "text")
"""Columns of many different values, which no dictionary makes smaller."""


class Staging:
    """Parts of one file, as Parquet: events with the number of their line, and rejected lines."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder = folder
        staged = [each for each in schema if each.name not in _OWN]
        self._schema = pa.schema([*staged, pa.field("line", pa.int64(), nullable=False)])
        self._columns = schema.names
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._events = _Part(folder / "events.parquet", self._schema)
        self._rejects = _Part(folder / "rejects.parquet", REJECTS)
        self.engine = duckdb.connect(
            config={"memory_limit": MEMORY, "temp_directory": str(folder), "threads": _THREADS}
        )
        self.engine.execute("SET TimeZone = 'UTC'")
        self.engine.execute("SET preserve_insertion_order = false")

    def add(self, events: pa.Table, rejects: pa.Table) -> None:
        """A block's; ``events`` with their ``line``. They are written while the next ones are read."""
        self._wait()
        self._writing = self._writer.submit(self._write, events, rejects)

    def _write(self, events: pa.Table, rejects: pa.Table) -> None:
        self._events.write(events)
        self._rejects.write(rejects)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def settle(self) -> int:
        """Close the parts; of events with one id the first stays. Returns how many are repeated."""
        self._wait()
        self._events.close()
        self._rejects.close()
        self.engine.execute(f"CREATE VIEW staged AS SELECT * FROM read_parquet('{self._folder}/events.parquet')")
        self.engine.execute("CREATE TEMP TABLE ids AS SELECT md5_number(event_id) AS id, line, date FROM staged")
        self.engine.execute("CREATE TEMP TABLE dropped (line BIGINT)")
        self.engine.execute(
            "INSERT INTO dropped SELECT line FROM ids JOIN "
            "(SELECT id, min(line) AS first FROM ids GROUP BY id HAVING count(*) > 1) USING (id) WHERE line > first"
        )
        return self._count("dropped")

    def drop_known(self) -> int:
        """Leave out events whose ids the table ``known`` has. Returns how many those are."""
        before = self._count("dropped")
        self.engine.execute(
            "INSERT INTO dropped SELECT line FROM ids SEMI JOIN known USING (id) ANTI JOIN dropped USING (line)"
        )
        return self._count("dropped") - before

    def drop_own(self, event_ids: Set[str]) -> None:
        """Leave out what this delivery has brought already."""
        if event_ids:
            self.engine.register("own", pa.table({"event_id": pa.array(sorted(event_ids), pa.string())}))
            self.engine.execute(
                "INSERT INTO dropped SELECT line FROM staged SEMI JOIN own USING (event_id) "
                "ANTI JOIN dropped USING (line)"
            )

    def remaining(self) -> int:
        """Events that are not left out."""
        return self._count("ids") - self._count("dropped")

    def events(self, delivery: str, delivered_at: str) -> Query:
        """What is not left out, as the lake's table has it."""
        own = {"delivery": f"'{delivery}'", "delivered_at": f"TIMESTAMPTZ '{delivered_at}'"}
        chosen = ", ".join(f"{own[name]} AS {name}" if name in own else name for name in self._columns)
        left = "staged ANTI JOIN dropped USING (line)" if self._count("dropped") else "staged"
        return Query(self.engine, f"SELECT {chosen} FROM {left}")

    def rejects(self) -> Query:
        """The rejected lines."""
        return Query(self.engine, f"SELECT * FROM read_parquet('{self._folder}/rejects.parquet')")

    def close(self) -> None:
        """Let go of files and threads."""
        self._writer.shutdown(cancel_futures=True)
        self.engine.close()

    def _count(self, table: str) -> int:
        ((count,),) = self.engine.execute(f"SELECT count(*) FROM {table}").fetchall()
        return int(count)


class _Part:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        few = [each.name for each in schema if each.name not in _MANY and pa.types.is_string(each.type)]
        self._writer = pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=few, write_statistics=False)
        self._schema = schema

    def write(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._writer.write_table(rows.select(self._schema.names).cast(self._schema))

    def close(self) -> None:
        self._writer.close()


@contextmanager
def staging(schema: pa.Schema, where: str) -> Iterator[Staging]:
    """A folder of its own, gone afterwards."""
    with storage_failures(where):
        folder = Path(tempfile.mkdtemp(prefix="adstyle-"))
        try:
            staged = Staging(folder, schema)
            try:
                yield staged
            finally:
                staged.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
