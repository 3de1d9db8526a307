"""One table of the lake: what it holds, as its log tells, and one commit for each delivery."""

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import RemoveAction
from numpy.typing import NDArray

from experiments.core.errors import TryLater
from experiments.events.native import native_silence
from experiments.events.numbers import UNIT_NUMBER
from experiments.events.objects import Objects
from experiments.events.parts import Keys, Parts
from experiments.events.replacing import Share, delivery_ends, shares, write_the_rest
from experiments.events.schema import TABLES
from experiments.events.scratch import Scratch
from experiments.events.storage import is_disk_full, storage_failures
from experiments.events.stored import StoredFile, literals, parquet

LOG = "_delta_log"
_ROWS_A_BATCH = 20_000
_FINEST, _COARSEST = timedelta(microseconds=1), timedelta(milliseconds=1)
"""Ours, and Delta's protocol: the log of another writer has rounded instants down."""


class Append:
    """One handle on one table: what it has seen is what its commit is checked against.

    An application transaction alone does not make a delivery exactly-once, because Delta does not compare its version
    with the recorded one; and a retried commit would rebase on a table this handle never read. So the question "was it
    delivered?", the look for duplicates and the commit share this handle, and the commit is not retried.
    """

    def __init__(
        self,
        table: DeltaTable,
        name: str,
        root: str,
        options: Mapping[str, str] | None = None,
        replacing: Collection[str] = (),
    ) -> None:
        self._table = table
        self._name = name
        self._root = root
        self._options = dict(options or {})
        self._replacing = sorted(replacing)

    @property
    def table(self) -> DeltaTable:
        """The table itself, for its upkeep."""
        return self._table

    @property
    def name(self) -> str:
        """The table's."""
        return self._name

    @property
    def folder(self) -> Path | None:
        """Where its files lie; none where that is an object store."""
        return None if "://" in self._root else Path(self._root, self._name)

    def objects(self) -> Objects:
        """The table's files, whether its log speaks of them or not."""
        return Objects(f"{self._root}/{self._name}", self._options)

    def log(self) -> Iterator[str]:
        """What the log says, commit by commit; its checkpoints say nothing else."""
        objects = self.objects()
        return (objects.text(path) for path in objects.sizes(LOG) if path.endswith(".json"))

    def kept_between(self, day: date, instant: datetime, experiment: str, since: int, version: int) -> bool:
        """Whether, after version ``since`` and up to ``version``, nothing went of that day and later ones, and nothing
        came of before that instant, unless it is another experiment's.

        Also false where the log does not tell. That rows moved to other files is no change.
        """
        for number in range(since + 1, version + 1):
            entry = self._entry(number)
            if not entry:
                return False
            for action in map(json.loads, entry.splitlines()):
                came, went = action.get("add"), action.get("remove")
                others = came and came["partitionValues"].get("experiment", experiment) != experiment
                if came and came.get("dataChange", True) and not others:
                    least = json.loads(came.get("stats") or "{}").get("minValues", {}).get("ts")
                    if least is None or datetime.fromisoformat(least) < instant:
                        return False
                if went and went.get("dataChange", True):
                    told = (went.get("partitionValues") or {}).get("date")
                    if told is None or date.fromisoformat(told) >= day:
                        return False
        return True

    def mark(self, version: int) -> str:
        """Of the commit that made a version: its files have names that no others have. Empty where the log lost it."""
        entry = self._entry(version)
        return entry and hashlib.sha256(entry.encode()).hexdigest()

    def _entry(self, version: int) -> str:
        try:
            return self.objects().text(f"{LOG}/{version:020d}.json")
        except OSError:
            return ""

    def removed(self, before: datetime) -> dict[str, Keys]:
        """Files that commits before an instant took out of the table, and what their folders are named after."""
        columns, found = TABLES[self._name].partition_by, dict[str, Keys]()
        for line in (line for entry in self.log() for line in entry.splitlines()):
            told = json.loads(line).get("remove", {})
            keys = told.get("partitionValues")  # which other tools may leave out, and their files stay
            if keys and told.get("deletionTimestamp", 0) < before.timestamp() * 1000:
                found[unquote(told["path"])] = tuple(str(keys[column]) for column in columns)
        return found

    def sizes(self, before: datetime | None = None) -> dict[str, int]:
        """The files of data among them, with their sizes; those last written before an instant, where one is given."""
        found = self.objects().sizes(before=before).items()
        return {path: size for path, size in found if path.endswith(".parquet") and not path.startswith(f"{LOG}/")}

    @contextmanager
    def at_hand(self, files: Sequence[StoredFile]) -> Iterator[list[Path]]:
        """These files on this machine, for as long as the body runs."""
        if self.folder is not None:
            yield [self.folder / file.path for file in files]
            return
        objects = self.objects()
        with Scratch() as folder:
            yield [objects.fetch(file.path, folder) for file in files]

    @property
    def version(self) -> int:
        """The version this handle has seen, or made."""
        return self._table.version()

    def newest(self, column: str) -> Any:
        """The greatest value of a column, by what the log says of the files; None where it says nothing."""
        actions, name = actions_of(self._table), f"max.{column}"
        return pc.max(actions[name]).as_py() if name in actions.column_names else None

    def end(self, otherwise: datetime) -> datetime:
        """An instant after all events of the table, as the log tells; ``otherwise`` where it does not tell of all."""
        actions = actions_of(self._table)
        if actions.num_rows == 0:
            return datetime.min.replace(tzinfo=UTC)
        if "max.ts" not in actions.column_names or actions["max.ts"].null_count:
            return otherwise
        return max(_after(instant) for instant in actions["max.ts"].to_pylist())

    def delivered(self, delivery: str) -> bool:
        """True when the delivery's rows are in the table already: all of them, since a commit is all or nothing."""
        return self._table.transaction_version(delivery) is not None

    def find_known(self, engine: duckdb.DuckDBPyConnection, delivery: str) -> None:
        """Make the table ``known`` of ids that *other* deliveries left here on the days of the incoming ones.

        Those that are being replaced have left nothing. An event that a third delivery repeated was kept from the first
        that brought it: where that one is replaced and the new one has it no more, it is gone, as its ad server says it
        should be, and the third delivery's account still calls it a duplicate.

        ``engine`` has a table ``ids`` of the incoming: ``id`` (the event id's MD5 as a number), ``date`` and ``kind``.
        """
        engine.execute("CREATE OR REPLACE TEMP TABLE known (id UHUGEINT)")
        days = {str(day) for (day,) in engine.execute("SELECT DISTINCT date FROM ids").fetchall()}
        kinds = [kind for (kind,) in engine.execute("SELECT DISTINCT kind FROM ids WHERE kind IS NOT NULL").fetchall()]
        place = TABLES[self._name].partition_by.index("date")
        files = [file for file in self.files() if file.keys[place] in days]
        if not files:
            return
        of_kind = f" AND kind IN ({literals(kinds)})" if kinds else ""
        with storage_failures(self._root):
            if "://" in self._root:
                chosen = pc.field("date").isin(sorted(date.fromisoformat(day) for day in days))
                engine.register("stored", self._table.to_pyarrow_dataset().scanner(filter=chosen))
                source = "stored"
            else:
                source = parquet([Path(self._root, self._name, file.path) for file in files])
            engine.execute(
                f"INSERT INTO known SELECT md5_number(event_id) FROM {source} "
                f"WHERE delivery NOT IN ({literals([delivery, *self._replacing])}){of_kind}"
            )

    def rows_of(self, delivery: str, *columns: str) -> list[dict[str, Any]]:
        """What a delivery left in the table; nothing is read where it left nothing."""
        if not self.delivered(delivery):
            return []
        with storage_failures(self._root):
            rows = self._table.to_pyarrow_dataset().to_table(list(columns), filter=pc.field("delivery") == delivery)
        return rows.to_pylist()

    def batches_of(self, delivery: str, *columns: str) -> Iterator[pa.RecordBatch]:
        """The same, some rows at a time; all columns where none is named."""
        chosen = list(columns) or TABLES[self._name].schema.names
        with storage_failures(self._root):
            theirs = pc.field("delivery") == delivery
            rows = self._table.to_pyarrow_dataset()
            yield from rows.to_batches(columns=chosen, filter=theirs, batch_size=_ROWS_A_BATCH)

    def lines_of(self, delivery: str) -> NDArray[np.int64]:
        """Which lines of a delivery are in the table."""
        if not self.delivered(delivery):
            return np.empty(0, np.int64)
        with storage_failures(self._root):
            found = self._table.to_pyarrow_dataset().to_table(["line"], filter=pc.field("delivery") == delivery)
        return found["line"].drop_null().to_numpy()

    def parts(self) -> Parts:
        """Where rows may be written before they are committed."""
        layout = TABLES[self._name]
        if self.folder is None:
            scratch = Scratch()
            return Parts(scratch.folder, layout, scratch)
        return Parts(self.folder, layout)

    def holds(self) -> bool:
        """Whether the table has rows of deliveries that are to be replaced."""
        with storage_failures(self._root):
            return next(self._shares(), None) is not None

    def commit(self, rows: pa.Table | Parts, delivery: str) -> None:
        """Append ``rows`` in one atomic commit that also records the delivery, and removes those that it replaces.

        Raises:
            TryLater: when somebody else committed since this handle was opened; nothing was added.
            StorageFailure: when the disk is full; nothing was added.
        """
        parts, layout = self.parts() if isinstance(rows, pa.Table) else rows, TABLES[self._name]
        once = CommitProperties(max_commit_retries=0, app_transactions=[Transaction(delivery, 1)])
        with storage_failures(self._root):
            try:
                if isinstance(rows, pa.Table):
                    parts.add(rows)
                    parts.close()
                gone = write_the_rest(self._shares(), parts, self._replacing, self.at_hand)
                removed = self._removing(gone, data_change=True)
                with native_silence():
                    self._send(parts)
                    self._table.create_write_transaction(
                        [*parts.actions(), *removed], "append", layout.schema, list(layout.partition_by),
                        commit_properties=once,
                    )  # fmt: skip
                    parts.told()
                    self._table.update_incremental()
            except CommitFailedError as error:
                self.take_back(parts, delivery)
                if is_disk_full(error):
                    raise
                raise TryLater(f"{self._root}: another ingest wrote to {self._name}; try again in a moment") from error

    def _send(self, parts: Parts) -> None:
        """Files that wait on this machine go where the log will speak of them."""
        if self.folder is None:
            parts.sent, objects = True, self.objects()
            for file in parts.files:
                objects.send(file, parts.path_of(file))

    def _withdraw(self, parts: Parts) -> None:
        """Remove files that nobody will be told of, wherever they are."""
        if parts.sent:
            objects = self.objects()
            for file in parts.files:
                objects.remove(parts.path_of(file))
        parts.discard()

    def files(self) -> list[StoredFile]:
        """The table's files as its log has them."""
        actions, layout = actions_of(self._table), TABLES[self._name]
        if actions.num_rows == 0:
            return []
        keys = zip(*(actions[f"partition.{column}"].to_pylist() for column in layout.partition_by), strict=True)
        paths, sizes, rows = (actions[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
        missing = f"null_count.{UNIT_NUMBER}"
        without = actions[missing].to_pylist() if missing in actions.column_names else [None] * actions.num_rows
        return [
            StoredFile(unquote(path), tuple(str(key) for key in each), size, count, numbered=unnumbered == 0)
            for path, each, size, count, unnumbered in zip(paths, keys, sizes, rows, without, strict=True)
        ]

    def replace(
        self, gone: Sequence[StoredFile], by: Parts, *, data_change: bool, also: Sequence[Transaction] = ()
    ) -> None:
        """Other files in place of these, in one atomic commit, which remembers what is ``also`` told.

        Raises:
            TryLater: when somebody else committed since this handle was opened; nothing was changed.
        """
        layout, removed = TABLES[self._name], self._removing(gone, data_change=data_change)
        once = CommitProperties(max_commit_retries=0, app_transactions=list(also))
        with storage_failures(self._root):
            try:
                self._send(by)
                self._table.create_write_transaction(
                    [*by.actions(data_change=data_change), *removed], "append", layout.schema,
                    list(layout.partition_by), commit_properties=once,
                )  # fmt: skip
            except CommitFailedError as error:
                self._withdraw(by)
                if is_disk_full(error):
                    raise
                raise TryLater(f"{self._root}: somebody else wrote to {self._name}; try again in a moment") from error
            by.told()
            self._table.update_incremental()

    def _shares(self) -> Iterator[Share]:
        """What the deliveries that are to be replaced have of the table's files."""
        if not self._replacing:
            return iter(())
        ends = delivery_ends(actions_of(self._table))
        return shares(((file, ends[file.path]) for file in self.files()), self._replacing, self.at_hand)

    def _removing(self, gone: Sequence[StoredFile], *, data_change: bool) -> list[RemoveAction]:
        now, columns = int(time.time() * 1000), TABLES[self._name].partition_by
        return [
            RemoveAction(each.path, data_change, now, each.size, dict(zip(columns, each.keys, strict=True)))
            for each in gone
        ]

    def take_back(self, parts: Parts, delivery: str) -> None:
        """Remove files that no log speaks of. Where the log knows of the delivery, or cannot be asked, they stay."""
        try:
            table = DeltaTable(f"{self._root}/{self._name}", storage_options=self._options)
            known = table.transaction_version(delivery) is not None
        except (OSError, DeltaError):
            return
        if known:
            parts.told()
        else:
            self._withdraw(parts)


def actions_of(table: DeltaTable) -> pa.Table:
    """What the log says of the files. (``pa.table`` would ask pandas first, which takes longer than all the rest.)"""
    return pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()


def _after(instant: datetime) -> datetime:
    """Later than whatever the log may have told so."""
    return instant + (_FINEST if instant.microsecond % 1000 else _COARSEST)
