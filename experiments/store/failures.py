"""What a database driver's complaint means to the person in front of it."""

import sqlite3
from collections.abc import Callable

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from experiments.core.errors import ExperimentError, StorageFailure, TryLater

_SQLITE: dict[int, tuple[type[ExperimentError], str]] = {
    sqlite3.SQLITE_FULL: (StorageFailure, "the disk is full: free some space and run the same command again"),
    sqlite3.SQLITE_BUSY: (TryLater, "another process is writing to the database; try again in a moment"),
    sqlite3.SQLITE_LOCKED: (TryLater, "another process is writing to the database; try again in a moment"),
    sqlite3.SQLITE_READONLY: (StorageFailure, "the database cannot be written: check its permissions and its disk"),
    sqlite3.SQLITE_CANTOPEN: (
        StorageFailure,
        "the database cannot be opened: check that its folder exists and is yours",
    ),
    sqlite3.SQLITE_IOERR: (
        StorageFailure,
        "the disk under the database fails to read or write: check its space and health",
    ),
    sqlite3.SQLITE_NOTADB: (StorageFailure, "the file is not a database: restore it from your backup"),
    sqlite3.SQLITE_CORRUPT: (StorageFailure, "the database file is damaged: restore it from your backup"),
}

_POSTGRESQL: dict[str, tuple[type[ExperimentError], str]] = {
    "53100": (
        StorageFailure,
        "the database server's disk is full: free some space there and run the same command again",
    ),
    "53300": (TryLater, "the database server has no connection left; try again in a moment"),
    "40001": (TryLater, "another process wrote the same rows; try again"),
    "40P01": (TryLater, "another process wrote the same rows; try again"),
    "55P03": (TryLater, "another process holds the rows; try again in a moment"),
    "57P01": (TryLater, "the database server is shutting down; try again when it is back"),
    "57P03": (TryLater, "the database server is starting up; try again in a moment"),
    "25006": (StorageFailure, "the database server only reads (a standby?): give the URL of the primary"),
    "28P01": (StorageFailure, "the database server refuses the password: check the URL in adstyle.toml"),
    "3D000": (StorageFailure, "the database does not exist on its server: create it (createdb NAME)"),
}

_EXTENDED_BITS = 8
"""SQLite keeps the primary result code in the low byte of an extended one."""


def translate_failures(engine: Engine) -> None:
    """From now on ``engine`` raises our errors where the driver's would mean one of them."""
    read = _read_sqlite if engine.dialect.name == "sqlite" else _read_postgresql
    where = engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=True)
    event.listen(engine, "handle_error", _listener(read, str(where)))


def _listener(
    read: Callable[[BaseException], tuple[type[ExperimentError], str] | None], where: str
) -> Callable[[ExceptionContext], None]:
    def listen(context: ExceptionContext) -> None:
        if context.is_pre_ping:
            return  # a pooled connection turned out dead: the pool makes another
        meaning = read(context.original_exception)
        if meaning:
            kind, line = meaning
            raise kind(f"{where}: {line}") from context.original_exception

    return listen


def _read_sqlite(error: BaseException) -> tuple[type[ExperimentError], str] | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _SQLITE.get(code % (1 << _EXTENDED_BITS))


def _read_postgresql(error: BaseException) -> tuple[type[ExperimentError], str] | None:
    import psycopg

    state = getattr(error, "sqlstate", None)
    if state in _POSTGRESQL:
        return _POSTGRESQL[state]
    if isinstance(error, psycopg.ProgrammingError) and state is None:  # libpq refuses the URL's options
        return ExperimentError, f"{str(error).strip()}: correct the URL in adstyle.toml"
    if isinstance(error, psycopg.OperationalError) and state is None:  # no answer at all, or the line went dead
        return StorageFailure, "the database server does not answer: check that it runs and the URL in adstyle.toml"
    return None
