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

    def alike(self, columns: Sequence[str]) -> list[tuple[Mapping[str, str], list[StoredFile]]]:
        """What the log says of these columns, and the files that it says it of: they do not say it themselves."""
        told = [(place, name) for place, name in enumerate(TABLES[self.name].partition_by) if name in columns]
        found: dict[Keys, list[StoredFile]] = {}
        for file in self.files:
            found.setdefault(tuple(file.keys[place] for place, _ in told), []).append(file)
        return [(dict(zip((name for _, name in told), keys, strict=True)), files) for keys, files in found.items()]

    def paths(self, files: Sequence[StoredFile]) -> list[str]:
        """Of its files, whole."""
        return [f"{self.root}/{file.path}" for file in files]

    def query(self, columns: Sequence[str]) -> str:
        """These columns for DuckDB, typed as in the schema; what a file is too old to have is missing."""
        kinds = {name: sql_type(self.name, name) for name in columns}
        parts = [f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in kinds.items())} WHERE false"]
        for told, files in self.alike(columns):
            constants = [f"{literals([value])}::{kinds[name]} AS {name}" for name, value in told.items()]
            held = {name: kind for name, kind in kinds.items() if name not in told}
            source = _held(self.paths(files), held, sum(file.rows for file in files))
            parts.append(f"SELECT {', '.join([*held, *constants])} FROM {source}")
        return f"SELECT {', '.join(columns)} FROM ({' UNION ALL BY NAME '.join(parts)})"


def sql_type(table: str, column: str) -> str:
    """DuckDB's for a column of the lake."""
    return _SQL_TYPES[TABLES[table].schema.field(column).type]


def parquet(paths: Sequence[Path]) -> str:
    """Files as a table of SQL; what their folders are called says nothing."""
    return f"read_parquet([{literals(map(str, paths))}], hive_partitioning = false, union_by_name = true)"


def _held(paths: Sequence[str], kinds: Mapping[str, str], rows: int) -> str:
    """Files of which the log has said what they hold, and how much of it.

    Otherwise DuckDB opens each, of thousands, whenever they are named, and that is often.
    """
    schema = ", ".join(
        f"'{name}': {{name: '{name}', type: '{kind}', default_value: NULL}}" for name, kind in kinds.items()
    )
    told = f"schema = MAP {{{schema}}}, explicit_cardinality = {rows}"
    return f"read_parquet([{literals(paths)}], hive_partitioning = false, {told})"


def literals(texts: Iterable[str]) -> str:
    """Of SQL."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
