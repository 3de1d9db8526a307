"""An Ibis expression step by step, so that events are held only where the expression says so.

As one statement DuckDB would hold a copy of whatever is needed twice, and all that work goes on at a time would share
its memory; Spark would compute whatever is needed twice again.
"""

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.sql.compilers import DuckDBCompiler
from ibis.backends.sql.compilers.base import SQLGlotCompiler

from experiments.events.past import part_file
from experiments.events.stored import literals, parquet

ibis.options.sql.fuse_selects = False
"""Engines merge queries within queries themselves; that Ibis does it first takes half of all its time."""
_UNNAMED = re.compile(r"t\d+")
"""What Ibis calls parts that it finds itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of an expression, in an engine's SQL."""

    name: str
    query: str
    named: bool
    """The expression gives it a name (``alias``): to be computed once. All else is read as needed."""


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for garbage: making an expression makes a million objects and no garbage, and takes a fifth longer."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@uncollected()
def steps(compiler: SQLGlotCompiler, expression: ir.Table) -> tuple[list[Step], str]:
    """The expression's parts in the order that they need each other in, and the query that remains."""
    query = compiler.to_sqlglot(expression)
    parts = query.args.pop("with_").expressions if "with_" in query.args else []
    dialect = compiler.dialect
    found = [Step(part.alias, part.this.sql(dialect), not _UNNAMED.fullmatch(part.alias)) for part in parts]
    return found, query.sql(dialect)


def answer(engine: duckdb.DuckDBPyConnection, expression: ir.Table, keep: Path | None = None) -> pa.Table:
    """What DuckDB says; each named part is a table of its own until the end, or a file of the folder ``keep``."""
    parts, query = steps(DuckDBCompiler(), expression)
    for part in parts:
        if keep and (file := part_file(keep, part.name)):
            target = literals([str(file)])
            engine.execute(f"COPY ({part.query}) TO {target} (FORMAT parquet, COMPRESSION uncompressed)")
            engine.execute(f'CREATE TEMP VIEW "{part.name}" AS FROM {parquet([file])}')
        else:
            engine.execute(f'CREATE TEMP {"TABLE" if part.named else "VIEW"} "{part.name}" AS {part.query}')
    return engine.sql(query).to_arrow_table()
