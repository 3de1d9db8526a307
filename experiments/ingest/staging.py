"""One file on its way into the lake: written part by part, sorted out, and only then told of.

Memory does not grow with the file: rows are written as they come, and what is kept of each is the MD5 of its id, as a
number, the number of its line and its day. Of events with one id the first stays.
"""

from collections.abc import Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from experiments.events.append import Append
from experiments.events.parts import Parts
from experiments.events.schema import TIMESTAMP
from experiments.events.scratch import Scratch
from experiments.events.storage import storage_failures
from experiments.ingest.hashing import UnitHasher

MEMORY = "500MB"
"""What sorting out duplicates may take; beyond it they go to disk."""
_THREADS = 2
_MOSTLY = 0.99
"""A file whose first events are known to this share is one that came before under another name."""


class Staging:
    """Events and rejected lines of one file, as parts of their tables."""

    def __init__(
        self,
        folder: Path,
        events: Append,
        rejects: Append,
        hasher: UnitHasher,
        delivery: str,
        delivered_at: datetime,
        *,
        expecting_known: bool,
    ) -> None:
        self._tables, self._hasher = (events, rejects), hasher
        self.events: Parts = events.parts()
        self.rejects: Parts = rejects.parts()
        self._delivery, self._delivered_at = delivery, pa.scalar(delivered_at, TIMESTAMP)
        self._known_file = None if expecting_known else False
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self.engine = duckdb.connect(
            config={"memory_limit": MEMORY, "temp_directory": str(folder), "threads": _THREADS}
        )
        self.engine.execute("SET preserve_insertion_order = false")
        self.engine.execute("CREATE TABLE ids (id UHUGEINT, line BIGINT, date DATE, kind VARCHAR)")
        self.engine.execute("CREATE TABLE dropped (line BIGINT)")

    def add(self, events: pa.Table, rejects: pa.Table) -> None:
        """A block's; hashed and written while the next ones are read. ``events`` lack the delivery."""
        self._wait()
        self._writing = self._writer.submit(self._write, events, rejects)

    def _write(self, events: pa.Table, rejects: pa.Table) -> None:
        if events.num_rows:
            if self._known_file is None:
                self._known_file = self._mostly_known(events)
            kind = "kind" if "kind" in events.column_names else "NULL"
            self.engine.register("block", events)
            self.engine.execute(f"INSERT INTO ids SELECT md5_number(event_id), line, date, {kind} FROM block")
            self.engine.unregister("block")
            if self._known_file:
                events = events.slice(0, 0)
        if events.num_rows:
            place = events.schema.get_field_index("unit")
            if place >= 0:
                hashed = self._hasher.hash_column(events["unit"])
                if "hashed" in events.column_names:  # rejected lines that were repaired
                    hashed = pc.if_else(events["hashed"], pc.utf8_lower(events["unit"]), hashed)
                    events = events.drop_columns(["hashed"])
                events = events.set_column(place, events.schema.field(place), hashed)
            delivered = pa.repeat(self._delivery, events.num_rows), pa.repeat(self._delivered_at, events.num_rows)
            for name, values in zip(("delivery", "delivered_at"), delivered, strict=True):
                events = events.append_column(name, values)
            self.events.add(events)
        if rejects.num_rows:
            self.rejects.add(rejects)

    def _mostly_known(self, events: pa.Table) -> bool:
        """Whether these first events came before: then all are likely to have, and none is written for now."""
        with duckdb.connect() as engine:
            engine.register("block", events)
            kind = "kind" if "kind" in events.column_names else "NULL"
            engine.execute(f"CREATE TABLE ids AS SELECT md5_number(event_id) AS id, date, {kind} AS kind FROM block")
            self._tables[0].find_known(engine, self._delivery)
            ((known,),) = engine.execute("SELECT count(*) FROM ids SEMI JOIN known USING (id)").fetchall()
        return bool(known > _MOSTLY * events.num_rows)

    @property
    def expects_known(self) -> bool:
        """Whether all events seem to be known, so that none is written for now."""
        return bool(self._known_file)

    @property
    def unwritten(self) -> bool:
        """Whether there are new events that were not written, because all seemed known: read the file again."""
        return self.expects_known and self.remaining() > 0

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def finish(self) -> None:
        """All is read: write what waits."""
        self._wait()
        self.events.close()
        self.rejects.close()

    def drop_known(self) -> int:
        """Leave out events whose ids the table ``known`` has. Returns how many those are."""
        return self._drop("SELECT line FROM ids SEMI JOIN known USING (id)")

    def drop_repeated(self) -> int:
        """Leave out events that repeat the id of an earlier one. Returns how many that are not left out already."""
        if self.remaining() == 0:
            return 0
        return self._drop(
            "SELECT line FROM ids JOIN "
            "(SELECT id, min(line) AS first FROM ids GROUP BY id HAVING count(*) > 1) USING (id) WHERE line > first"
        )

    def _drop(self, lines: str) -> int:
        """Leave out the lines of a query. Returns how many are left out because of it."""
        before = self._count("dropped")
        self.engine.execute(f"INSERT INTO dropped SELECT line FROM ({lines}) ANTI JOIN dropped USING (line)")
        return self._count("dropped") - before

    def drop_own(self, event_ids: Set[str]) -> None:
        """Leave out what this delivery has brought already."""
        if event_ids:
            self.engine.register("own", pa.table({"event_id": pa.array(sorted(event_ids), pa.string())}))
            self._drop("SELECT line FROM ids SEMI JOIN (SELECT md5_number(event_id) AS id FROM own) USING (id)")

    def dropped(self) -> int:
        """Events that are left out."""
        return self._count("dropped")

    def dropped_lines(self) -> NDArray[np.int64]:
        """The lines of those that are left out, in order."""
        found = self.engine.execute("SELECT DISTINCT line FROM dropped ORDER BY line").fetchnumpy()
        return np.asarray(found["line"], np.int64)

    def remaining(self) -> int:
        """Events that are not left out."""
        return self._count("ids") - self._count("dropped")

    def rewrite(self) -> None:
        """Take what is left out from the parts that hold it."""
        if self._count("dropped") == 0:
            return
        if self.remaining() == 0:
            self._tables[0].take_back(self.events, self._delivery)
            return
        for file in list(self.events.files):
            source = f"read_parquet('{_quoted(file)}', hive_partitioning = false)"
            ((all_rows, gone),) = self.engine.execute(
                f"SELECT count(*), count(*) FILTER (line IN (SELECT line FROM dropped)) FROM {source}"
            ).fetchall()
            if gone == all_rows:
                self.events.replace(file, None)
            elif gone:
                other = self.events.beside(file)
                self.engine.execute(
                    f"COPY (SELECT * FROM {source} ANTI JOIN dropped USING (line)) TO '{_quoted(other)}' "
                    "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
                )
                self.events.replace(file, other)

    def discard(self) -> None:
        """Remove the parts that nobody was told of."""
        for table, parts in zip(self._tables, (self.events, self.rejects), strict=True):
            table.take_back(parts, self._delivery)

    def close(self) -> None:
        """Let go of threads and memory."""
        self._writer.shutdown(cancel_futures=True)
        self.engine.close()

    def _count(self, table: str) -> int:
        ((count,),) = self.engine.execute(f"SELECT count(*) FROM {table}").fetchall()
        return int(count)


def _quoted(file: Path) -> str:
    return str(file).replace("'", "''")


@contextmanager
def staging(
    events: Append,
    rejects: Append,
    hasher: UnitHasher,
    delivery: str,
    delivered_at: datetime,
    where: str,
    *,
    expecting_known: bool,
) -> Iterator[Staging]:
    """For one file; what fails on the way leaves nothing behind.

    Where it is ``expecting_known`` events, and the first are, nothing is written until it is seen whether all are.
    """
    with storage_failures(where), Scratch() as folder:
        staged = Staging(folder, events, rejects, hasher, delivery, delivered_at, expecting_known=expecting_known)
        try:
            yield staged
        except BaseException:
            staged.discard()
            raise
        finally:
            staged.close()
