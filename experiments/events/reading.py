"""An Ibis expression as DuckDB's SQL, saying of each part that is needed several times whether it is kept.

DuckDB would keep every one of them, and so a copy of the events.
"""

import re

import ibis.expr.types as ir
from ibis.backends.sql.compilers import DuckDBCompiler
from sqlglot import exp

_UNNAMED = re.compile(r"t\d+")
"""What Ibis calls parts that it finds itself."""


def read_once(expression: ir.Table) -> str:
    """What the expression gives a name (``alias``) is kept; all else is read again, a few columns each time."""
    query = DuckDBCompiler().to_sqlglot(expression)
    for part in query.find_all(exp.CTE):
        part.set("materialized", not _UNNAMED.fullmatch(part.alias))
    return query.sql("duckdb")
