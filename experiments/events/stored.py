"""A table's files as an engine reads them: only the columns and row groups that a query needs, in its own memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from experiments.events.parts import Keys
from experiments.events.schema import TABLES, TIMESTAMP

_SQL_TYPES = {
    pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.date32(): "DATE",
    TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a table."""

    path: str
    """From the table's folder on, as it lies on the disk; the log has it encoded once more."""
    keys: Keys
    size: int
    rows: int
    numbered: bool = False
    """Whether all its units have their numbers beside them (`numbers`)."""


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One version of a table."""

    name: str
    root: str
    """Its folder, on this machine unless it is a URL."""
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size for file in self.files)

    @property
    def numbered(self) -> bool:
        """Whether all units have."""
        return all(file.numbered for file in self.files)

    def rows(self, experiment: str, since: str = "") -> int:
        """An experiment's, of a day and later ones, as the log tells."""
        by = TABLES[self.name].partition_by
        name, day = by.index("experiment"), by.index("date")
        return sum(file.rows for file in self.files if file.keys[name] == experiment and file.keys[day] >= since)

    def apart(self, column: str, value: str) -> "StoredTable":
        """The same table, but all other values of the column are one that is nobody's: two parts instead of many."""
        place = TABLES[self.name].partition_by.index(column)
        return replace(
            self,
            files=tuple(
                file
                if file.keys[place] == value
                else replace(file, keys=(*file.keys[:place], "", *file.keys[place + 1 :]))
                for file in self.files
            ),
        )

    def alike(self, columns: Sequence[str]) -> list[tuple[Mapping[str, str], list[str]]]:
        """What the log says of these columns, and the files that it says it of: they do not say it themselves."""
        told = [(place, name) for place, name in enumerate(TABLES[self.name].partition_by) if name in columns]
        found: dict[Keys, list[str]] = {}
        for file in self.files:
            found.setdefault(tuple(file.keys[place] for place, _ in told), []).append(f"{self.root}/{file.path}")
        return [(dict(zip((name for _, name in told), keys, strict=True)), paths) for keys, paths in found.items()]

    def query(self, columns: Sequence[str]) -> str:
        """These columns for DuckDB, typed as in the schema; what a file is too old to have is missing."""
        kinds = {name: sql_type(self.name, name) for name in columns}
        parts = [f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in kinds.items())} WHERE false"]
        for told, paths in self.alike(columns):
            constants = [f"{literals([value])}::{kinds[name]} AS {name}" for name, value in told.items()]
            parts.append(f"SELECT {', '.join(['*', *constants])} FROM {parquet(list(map(Path, paths)))}")
        return f"SELECT {', '.join(columns)} FROM ({' UNION ALL BY NAME '.join(parts)})"


def sql_type(table: str, column: str) -> str:
    """DuckDB's for a column of the lake."""
    return _SQL_TYPES[TABLES[table].schema.field(column).type]


def parquet(paths: Sequence[Path]) -> str:
    """Files as a table of SQL; what their folders are called says nothing."""
    return f"read_parquet([{literals(map(str, paths))}], hive_partitioning = false, union_by_name = true)"


def literals(texts: Iterable[str]) -> str:
    """Of SQL."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
