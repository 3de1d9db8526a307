"""Answering an Ibis expression step by step, so that events are held only where the expression says so.

As one statement DuckDB would hold a copy of whatever is needed twice, and all that work goes on at a time would share
its memory.
"""

import re

import duckdb
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.sql.compilers import DuckDBCompiler

_UNNAMED = re.compile(r"t\d+")
"""What Ibis calls parts that it finds itself."""


def answer(engine: duckdb.DuckDBPyConnection, expression: ir.Table) -> pa.Table:
    """Parts that the expression gives a name (``alias``) are computed once, in turn; all else is read as needed."""
    query = DuckDBCompiler().to_sqlglot(expression)
    parts = query.args.pop("with_").expressions
    for part in parts:
        kind = "VIEW" if _UNNAMED.fullmatch(part.alias) else "TABLE"
        engine.execute(f'CREATE TEMP {kind} "{part.alias}" AS {part.this.sql("duckdb")}')
    return engine.sql(query.sql("duckdb")).to_arrow_table()
