"""What computes evidence: by default DuckDB, within bounds: so much memory, beyond it a folder, gone afterwards."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

import duckdb
import pyarrow as pa

from experiments.core.errors import ExperimentError
from experiments.events.kept import part_file
from experiments.events.numbers import UNIT_NUMBER, number_of, stand_in_for
from experiments.events.question import Question
from experiments.events.schema import TABLES
from experiments.events.scratch import Scratch
from experiments.events.statements import Statements, duckdb_statements
from experiments.events.stored import StoredTable, literals, parquet, sql_type

if TYPE_CHECKING:  # few need Arrow's datasets, and they take their time
    import pyarrow.dataset as ds

Source: TypeAlias = "StoredTable | pa.Table | ds.Dataset"
"""A table of the lake, or what has its schema."""

MEMORY = "2GiB"
"""What gathering evidence may take, unless a workspace says otherwise."""
_BYTES = {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
_A_THREAD = 125_000_000
"""Bytes; with less a thread, DuckDB's guide says, work that goes to disk may fail."""
_AN_IMPRESSION = 80
"""Bytes that telling units apart takes for each of their impressions, where a unit has seven of them."""
_HELD = 4
"""So many times as much are they, held, with their units and those known before; with less memory it takes longer."""
_FROM_TEXT = f"coalesce({number_of('unit')}, {stand_in_for('unit')})"
"""A unit's number where it is not kept; what is no hash has one that nothing kept has."""
NO_PAST: Mapping[str, Sequence[Path]] = MappingProxyType({})
_KEPT = "FORMAT parquet, COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 5000"
"""How parts are written: most have few values, or one of each, and a dictionary of those is begun in vain."""
_TURNS = (1, 2, 4, 8)
"""Each reads all impressions once more; with more of them that takes longer than disk does."""


class Engine(Protocol):
    """Answers questions about tables of the lake."""

    @property
    def reads_urls(self) -> bool:
        """Whether it fetches files from an object store itself."""

    @property
    def keeps_parts(self) -> bool:
        """Whether it can keep what evidence found, and begin with that (`past`)."""

    def turns(self, impressions: int, *, numbered: bool) -> int:
        """In how many it had best tell apart the units of so many impressions: a power of two.

        Where units are ``numbered``, reading them once more is quick.
        """

    def holds(self, impressions: int) -> bool:
        """Whether it had best hold what is read of so many impressions, beside telling their units apart."""

    def answer(
        self,
        question: Question,
        sources: Mapping[str, Source],
        columns: Mapping[str, Sequence[str]],
        past: Mapping[str, Sequence[Path]] = NO_PAST,
        keep: Path | None = None,
    ) -> pa.Table:
        """The rows of the question's expression, of tables that have these names; it reads no other columns of theirs.

        Where it ``keeps_parts``, the expression may name parts of the ``past``, which are in these files, and its own
        may be kept as files in a folder.

        To the expression ``unit`` is a whole number, the same for the same unit in all tables, whose choice is the
        engine's: 64 bits, of which texts that are hashes cannot be expected to share any.

        Raises:
            ExperimentError: where the engine cannot do it.
        """


@dataclass(frozen=True, slots=True)
class DuckDB:
    """In this process."""

    memory: str = MEMORY
    """In DuckDB's words."""

    @property
    def reads_urls(self) -> bool:
        """Its readers of object stores would have to be downloaded."""
        return False

    def turns(self, impressions: int, *, numbered: bool) -> int:
        """So many that it need not take disk for them, unless reading the impressions so often would take longer."""
        for turns in _TURNS if numbered else _TURNS[:-1]:
            if impressions * _AN_IMPRESSION <= turns * bytes_of(self.memory):
                return turns
        return 1

    def holds(self, impressions: int) -> bool:
        """So few that none of it goes to disk."""
        return impressions * _AN_IMPRESSION * _HELD <= bytes_of(self.memory)

    @property
    def keeps_parts(self) -> bool:
        """As Parquet."""
        return True

    def answer(
        self,
        question: Question,
        sources: Mapping[str, Source],
        columns: Mapping[str, Sequence[str]],
        past: Mapping[str, Sequence[Path]] = NO_PAST,
        keep: Path | None = None,
    ) -> pa.Table:
        """Beyond ``memory`` it takes disk."""
        statements = duckdb_statements(question)
        numbered = all(_has_numbers(source) for name, source in sources.items() if _keeps_numbers(name))
        with bounded_engine(self.memory) as engine:
            for name, source in sources.items():
                column, unit = "unit", stand_in_for("unit")
                if numbered:
                    column, unit = (UNIT_NUMBER,) * 2 if _keeps_numbers(name) else ("unit", _FROM_TEXT)
                read = [column if each == "unit" else each for each in columns[name]]
                rows = _rows(engine, name, source, read)
                told = ", ".join(f"{unit} AS unit" if each == "unit" else each for each in columns[name])
                engine.execute(f"CREATE VIEW {name} AS SELECT {told} FROM ({rows})")
            for name, files in past.items():
                engine.execute(f"CREATE VIEW {name} AS FROM {parquet(files)}")
            return _answer(engine, statements, keep)


def _answer(engine: duckdb.DuckDBPyConnection, statements: Statements, keep: Path | None) -> pa.Table:
    """Each named part is a table of its own until the end, or a file of the folder ``keep``."""
    for step in statements.steps:
        if keep and (file := part_file(keep, step.name)):
            target = literals([str(file)])
            engine.execute(f"COPY ({step.query}) TO {target} ({_KEPT})")
            engine.execute(f'CREATE TEMP VIEW "{step.name}" AS FROM {parquet([file])}')
        else:
            engine.execute(f'CREATE TEMP {"TABLE" if step.named else "VIEW"} "{step.name}" AS {step.query}')
    return engine.sql(statements.query).to_arrow_table()


def _keeps_numbers(table: str) -> bool:
    return UNIT_NUMBER in TABLES[table].schema.names


def _has_numbers(source: Source) -> bool:
    return isinstance(source, StoredTable) and source.numbered


def _rows(engine: duckdb.DuckDBPyConnection, name: str, source: Source, columns: Sequence[str]) -> str:
    """These columns in SQL; what the source does not know of is missing."""
    if isinstance(source, StoredTable):
        return source.query(columns)
    engine.register(f"{name}_of_lake", source)
    known = source.schema.names
    read = (each if each in known else f"NULL::{sql_type(name, each)} AS {each}" for each in columns)
    return f"SELECT {', '.join(read)} FROM {name}_of_lake"


@contextmanager
def bounded_engine(memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine with no database; what does not fit in ``memory`` goes to disk for as long as it is needed.

    Raises:
        ExperimentError: where that much memory is too little for the work.
    """
    try:
        with (
            Scratch() as folder,
            duckdb.connect(config={"memory_limit": memory, "temp_directory": str(folder)}) as engine,
        ):
            engine.execute("SET TimeZone = 'UTC'")
            engine.execute("SET enable_progress_bar = false")
            engine.execute("SET preserve_insertion_order = false")
            ((cores,),) = engine.execute("SELECT current_setting('threads')").fetchall()
            engine.execute(f"SET threads = {max(1, min(cores, bytes_of(memory) // _A_THREAD))}")
            yield engine
    except duckdb.OutOfMemoryException as error:
        raise ExperimentError(
            f"{memory} of memory is too little for this; give more as `memory` under [stores] in adstyle.toml"
        ) from error


def bytes_of(memory: str) -> int:
    """So many, in DuckDB's words."""
    number, unit = re.fullmatch(r"(\d+) ?(\w+)", memory).groups()  # type: ignore[union-attr]
    return int(number) * _BYTES[unit]
