"""Questions of one form as engines' SQL (`statements`)."""

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager

import ibis
from ibis.backends.sql.compilers import DuckDBCompiler
from ibis.backends.sql.compilers.base import SQLGlotCompiler

from experiments.events.question import Form, expression_of
from experiments.events.statements import Statements, Step

ibis.options.sql.fuse_selects = False
"""Engines merge queries within queries themselves; that Ibis does it first takes half of all its time."""
_UNNAMED = re.compile(r"t\d+")
"""What Ibis calls parts that it finds itself."""


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


def for_duckdb(form: Form) -> Statements:
    """In DuckDB's words."""
    return statements_of(DuckDBCompiler(), form)


@uncollected()
def statements_of(compiler: SQLGlotCompiler, form: Form) -> Statements:
    """In a compiler's words, step by step."""
    query = compiler.to_sqlglot(expression_of(form))
    parts = query.args.pop("with_").expressions if "with_" in query.args else []
    dialect = compiler.dialect
    steps = (Step(part.alias, part.this.sql(dialect), not _UNNAMED.fullmatch(part.alias)) for part in parts)
    return Statements(tuple(steps), query.sql(dialect))
