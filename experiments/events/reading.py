"""An Ibis expression step by step, so that events are held only where the expression says so.

As one statement DuckDB would hold a copy of whatever is needed twice, and all that work goes on at a time would share
its memory; Spark would compute whatever is needed twice again.
"""

import re
from dataclasses import dataclass

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.sql.compilers import DuckDBCompiler
from ibis.backends.sql.compilers.base import SQLGlotCompiler

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


def steps(compiler: SQLGlotCompiler, expression: ir.Table) -> tuple[list[Step], str]:
    """The expression's parts in the order that they need each other in, and the query that remains."""
    query = compiler.to_sqlglot(expression)
    parts = query.args.pop("with_").expressions if "with_" in query.args else []
    dialect = compiler.dialect
    found = [Step(part.alias, part.this.sql(dialect), not _UNNAMED.fullmatch(part.alias)) for part in parts]
    return found, query.sql(dialect)


def answer(engine: duckdb.DuckDBPyConnection, expression: ir.Table) -> pa.Table:
    """What DuckDB says; each named part is a table of its own until the end."""
    parts, query = steps(DuckDBCompiler(), expression)
    for part in parts:
        engine.execute(f'CREATE TEMP {"TABLE" if part.named else "VIEW"} "{part.name}" AS {part.query}')
    return engine.sql(query).to_arrow_table()
