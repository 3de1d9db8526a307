"""A table's files as DuckDB reads them: only the columns and row groups that a query needs, in its own memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One version of a table, its files on this machine."""

    name: str
    folder: Path
    files: tuple[StoredFile, ...]

    def query(self, columns: Sequence[str]) -> str:
        """These columns, typed as in the schema; what a file is too old to have is missing."""
        layout = TABLES[self.name]
        kinds = {name: sql_type(self.name, name) for name in columns}
        parts = [f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in kinds.items())} WHERE false"]
        told = [(place, name) for place, name in enumerate(layout.partition_by) if name in kinds]
        alike: dict[Keys, list[Path]] = {}
        for file in self.files:
            alike.setdefault(tuple(file.keys[place] for place, _ in told), []).append(self.folder / file.path)
        for keys, paths in alike.items():
            constants = [
                f"{literals([key])}::{kinds[name]} AS {name}" for (_, name), key in zip(told, keys, strict=True)
            ]
            parts.append(f"SELECT {', '.join(['*', *constants])} FROM {parquet(paths)}")
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
