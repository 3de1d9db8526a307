"""Questions in an engine's SQL, step by step, so that events are held only where the expression says so.

As one statement DuckDB would hold a copy of whatever is needed twice, and all that work goes on at a time would share
its memory; Spark would compute whatever is needed twice again.

Statements are kept, for this process and in the user's cache folder for the next: they are the same for all questions
of one form. A file there is code, so it counts only if it is the user's and nobody else may write it.
"""

import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Self

from creatives.cache import cache_folder
from experiments.events.question import Form, Question, Value, definition
from experiments.events.stored import literals

_VALUE = re.compile(r"adstyle_value\('(\w+)'\)", re.IGNORECASE)
"""Of `values.FUNCTION`."""
_MOST_FILES = 200
_TOGETHER = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Step:
    """A part of an expression, in an engine's SQL."""

    name: str
    query: str
    named: bool
    """The expression gives it a name (``alias``): to be computed once. All else is read as needed."""


@dataclass(frozen=True, slots=True)
class Statements:
    """An expression's parts in the order that they need each other in, and the query that remains."""

    steps: tuple[Step, ...]
    query: str

    def about(self, values: Mapping[str, Value], literal: Callable[[Value], str]) -> Self:
        """With these values where their names were."""

        def put(query: str) -> str:
            return _VALUE.sub(lambda found: literal(values[found[1]]), query)

        steps = tuple(Step(step.name, put(step.query), step.named) for step in self.steps)
        return type(self)(steps, put(self.query))


def duckdb_statements(question: Question) -> Statements:
    """In DuckDB's words."""
    return of_form(question.form).about(question.values, duckdb_literal)


@lru_cache(maxsize=64)
def of_form(form: Form) -> Statements:
    """In DuckDB's words, but the values."""
    found = _read(form)
    if found is None:
        from experiments.events.compiling import for_duckdb

        found = for_duckdb(form)
        _write(form, found)
    return found


def duckdb_literal(value: Value) -> str:
    """In DuckDB's words."""
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(UTC).isoformat()}'"
    return literals([value])


def _file(form: Form) -> Path:
    versions = [version(package) for package in ("ibis-framework", "sqlglot")]
    key = sha256(json.dumps([definition(), versions, asdict(form)], sort_keys=True).encode()).hexdigest()
    return cache_folder() / "evidence" / f"{key[:32]}.json"


def _read(form: Form) -> Statements | None:
    with suppress(OSError, ValueError, TypeError, KeyError):  # there is none, or it is none
        with _file(form).open() as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.getuid() or status.st_mode & _TOGETHER:
                return None
            told = json.load(file)
        return Statements(tuple(Step(**step) for step in told["steps"]), told["query"])
    return None


def _write(form: Form, statements: Statements) -> None:
    """Whole or not at all; where it cannot be, the next process takes the time again."""
    file = _file(form)
    aside = file.with_suffix(f".{uuid.uuid4().hex}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(asdict(statements)))
        aside.replace(file)
        _prune(file.parent)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _prune(folder: Path) -> None:
    """What was written first goes first."""
    files = sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime)
    for file in files[:-_MOST_FILES]:
        file.unlink(missing_ok=True)
