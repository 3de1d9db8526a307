"""An Ibis expression as DuckDB's SQL, saying of each part that is needed several times whether it is kept.

DuckDB would keep them all, and with them a copy of the events.
"""

import ibis.expr.types as ir
from ibis.backends.sql.compilers import DuckDBCompiler
from sqlglot import exp

_WORK = (exp.Group, exp.Join, exp.Window, exp.Distinct)


def read_once(expression: ir.Table) -> str:
    """What took work is kept; events that are only chosen and renamed are read again, a few columns each time."""
    query = DuckDBCompiler().to_sqlglot(expression)
    for part in query.find_all(exp.CTE):
        asks = any(each.args.get("query") for each in part.this.find_all(exp.In))
        part.set("materialized", asks or part.this.find(*_WORK) is not None)
    return query.sql("duckdb")
