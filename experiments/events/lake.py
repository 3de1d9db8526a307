"""The event lake: four Delta tables, appended to once per delivery, readable as of any version."""

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError

from experiments.core.errors import ExperimentError, StorageFailure
from experiments.events.append import LOG, Append, actions_of
from experiments.events.engine import MEMORY, DuckDB, Engine
from experiments.events.objects import Objects
from experiments.events.schema import TABLES, TableLayout
from experiments.events.storage import storage_failures
from experiments.events.stored import StoredTable

if TYPE_CHECKING:
    import pyarrow.dataset as ds

CHECKPOINT = "checkpoint.json"
"""What a checkpoint of evidence says of itself."""
_CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}
"""A verdict names the versions it was computed from; they stay readable until someone vacuums on purpose."""


@dataclass(frozen=True, slots=True)
class TableHealth:
    """One table, as its log describes it."""

    name: str
    version: int
    rows: int
    bytes: int


class EventLake:
    """The tables under one root, a local folder or an object store URL; a missing table is created empty.

    Work on them takes no more than ``memory``, in DuckDB's words, and a folder for what is beyond it; evidence is
    computed by ``engine``, DuckDB where nothing is said. ``options`` say how an object store is reached (deltalake's
    ``storage_options``); a folder needs none.
    """

    def __init__(
        self,
        root: str | Path,
        memory: str | None = None,
        options: Mapping[str, str] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.root = str(root).rstrip("/")
        self.memory = memory or MEMORY
        self.engine = engine or DuckDB(self.memory)
        self.options = dict(options or {}) if "://" in self.root else {}

    def versions(self) -> dict[str, int]:
        """The latest version of each table."""
        return {name: self._open(name).version() for name in TABLES}

    def health(self) -> tuple[TableHealth, ...]:
        """Version and size of each table, from its log alone."""
        return tuple(self._health(name) for name in TABLES)

    def dataset(self, name: str, version: int | None = None) -> "ds.Dataset":
        """A table's rows at one version (the latest by default), read only where and when a query needs them.

        Raises:
            ExperimentError: when the table has no such version, or no longer.
        """
        with storage_failures(self.root):
            return self._open(name, version).to_pyarrow_dataset()

    def source(self, name: str, version: int | None = None) -> "StoredTable | ds.Dataset":
        """The same, where the engine can read the files itself: most on this machine, and if nothing else must be read.

        Raises:
            ExperimentError: when the table has no such version.
        """
        with storage_failures(self.root):
            table = self._open(name, version)
            if table.protocol().reader_features or ("://" in self.root and not self.engine.reads_urls):
                return table.to_pyarrow_dataset()
            return StoredTable(name, f"{self.root}/{name}", tuple(Append(table, name, self.root).files()))

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints of evidence are (`checkpoints`), which only a lake in a folder has."""
        return Path(self.root, "checkpoints")

    def forget_checkpoints(self, before: date | None = None) -> None:
        """Remove those that may have been made of what is forgotten: of days ``before`` one or, without it, of any."""
        if "://" in self.root:
            return
        if before is None:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        for folder in [Path(folder) for folder, _, names in os.walk(self.checkpoints) if CHECKPOINT in names]:
            try:
                told = json.loads((folder / CHECKPOINT).read_text())
                spared = before is not None and date.fromisoformat(told["made_from"]) >= before
            except (OSError, ValueError, KeyError, TypeError):
                spared = False
            if not spared:
                shutil.rmtree(folder, ignore_errors=True)

    def mark(self, name: str, version: int) -> str:
        """Of all commits of a table up to a version, one that no other history of it has."""
        with storage_failures(self.root):
            return self.begin(name).mark(version)

    def kept_between(
        self, day: date, instant: datetime, experiment: str, name: str, since: tuple[int, str], version: int
    ) -> bool:
        """Whether a table has, at a version, the same events between a day and an instant that it had ``since`` one;
        other experiments may have got more.

        That one was marked then: a table restored from a backup may have got another version of that number meanwhile.
        """
        number, mark = since
        with storage_failures(self.root):
            table = self.begin(name)
            known = number <= version and mark == table.mark(number)
            return known and table.kept_between(day, instant, experiment, number, version)

    def begin(self, name: str, replacing: Collection[str] = ()) -> Append:
        """A table as it is now, to be appended to; the append succeeds only if nobody else wrote meanwhile.

        The deliveries in ``replacing`` leave the table with the commit that brings the new one.
        """
        return Append(self._open(name), name, self.root, self.options, replacing)

    def at(self, name: str, version: int | None = None) -> Append:
        """A table at one version (the latest by default); to an earlier one nothing can be appended."""
        return Append(self._open(name, version), name, self.root, self.options)

    def _open(self, name: str, version: int | None = None) -> DeltaTable:
        uri = f"{self.root}/{name}"
        with storage_failures(self.root):
            if not DeltaTable.is_deltatable(uri, self.options):
                _create(uri, TABLES[name], self.options)
            table = _grown(DeltaTable(uri, storage_options=self.options), TABLES[name])
            if version is not None and version != table.version():
                if not 0 <= version < table.version():
                    raise ExperimentError(
                        f"table {name} in {self.root} has no version {version}: its latest is {table.version()}"
                    )
                try:
                    table.load_as_version(version)
                except DeltaError as error:
                    raise ExperimentError(
                        f"table {name} in {self.root} has version {version} no longer: versions before a change of the "
                        "unit key, or before a unit was erased, are gone; what evidence was recorded stays"
                    ) from error
            return table

    def lost(self, name: str) -> list[str]:
        """Files of a table that are missing or of another size than the log says."""
        handle = self.begin(name)
        with storage_failures(self.root):
            sizes = handle.sizes()
        return [f"{self.root}/{name}/{file.path}" for file in handle.files() if sizes.get(file.path) != file.size]

    def outdated(self, name: str) -> dict[str, int]:
        """Files in a table's folder that its latest version does not need, and their sizes."""
        return self._without(self.begin(name), None)

    def orphans(self, name: str, before: datetime | None = None) -> dict[str, int]:
        """Those of them that no version needs: a writer died before it told of them, or is about to tell.

        With ``before`` only files that were last written before that instant.
        """
        handle = self.begin(name)
        found = self._without(handle, before)
        if not found:
            return {}
        with storage_failures(self.root):
            told = {path for entry in handle.log() for path in _paths_in(entry)}
        return {path: size for path, size in found.items() if path not in told}

    def _without(self, handle: Append, before: datetime | None) -> dict[str, int]:
        with storage_failures(self.root):
            sizes = handle.sizes(before)
        known = {file.path for file in handle.files()}
        return {path: size for path, size in sizes.items() if path not in known}

    def _health(self, name: str) -> TableHealth:
        table = self._open(name)
        files = actions_of(table)
        rows, size = (pc.sum(files[column]).as_py() or 0 for column in ("num_records", "size_bytes"))
        return TableHealth(name, table.version(), rows, size)


def _create(uri: str, layout: TableLayout, options: dict[str, str]) -> None:
    """An empty table. Whoever is a moment too late must not create it again on top: that would be version 1.

    Raises:
        StorageFailure: where files of a table lie that has lost its log; under a new one nobody would need them.
    """
    objects = Objects(uri.removeprefix("file://"), options)  # deltalake's own want a folder that is there
    left = any(path.endswith(".parquet") for path in objects.sizes())
    if left and not DeltaTable.is_deltatable(uri, options):
        raise StorageFailure(
            f"{uri} has files of data and no log: restore {uri}/{LOG} from the backup that the files came from"
        )
    try:
        DeltaTable.create(
            uri,
            layout.schema,
            mode="ignore",
            partition_by=list(layout.partition_by),
            configuration=_CONFIGURATION,
            storage_options=options,
            commit_properties=CommitProperties(max_commit_retries=0),
        )
    except CommitFailedError:
        if not DeltaTable.is_deltatable(uri, options):
            raise


def _grown(table: DeltaTable, layout: TableLayout) -> DeltaTable:
    """With the columns that came after the table was made; what is there has none in them."""
    known = {each.name for each in table.schema().fields}
    missing = [each for each in Schema.from_arrow(layout.schema).fields if each.name not in known]
    if missing:
        table.alter.add_columns(missing)
    return table


def _paths_in(entry: str) -> Iterator[str]:
    """The files that a commit speaks of."""
    for line in entry.splitlines():
        action = json.loads(line)
        told = action.get("add") or action.get("remove")
        if told:
            yield unquote(told["path"])
