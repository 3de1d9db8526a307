"""What a database driver's complaint means to the person in front of it."""

import os
import re
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

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
    sqlite3.SQLITE_NOTADB: (
        StorageFailure,
        "the file is not a database: move it away, and restore your backup of it (adstyle db restore)",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StorageFailure,
        "the database file is damaged: move it away, and restore your backup of it (adstyle db restore)",
    ),
}

_NO_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""What SQLite says, too, of a disk that is full: the index of its log is no part of the database."""
_LEAST_ROOM = 64 * 1024
"""That index and a page or two."""

_POSTGRESQL: dict[str, tuple[type[ExperimentError], str]] = {
    "53100": (
        StorageFailure,
        "the database server's disk is full: free some space there and run the same command again",
    ),
    "40001": (TryLater, "another process wrote the same rows; try again"),
    "40P01": (TryLater, "another process wrote the same rows; try again"),
    "55P03": (TryLater, "another process holds the rows; try again in a moment"),
    "57P01": (TryLater, "the database server is shutting down; try again when it is back"),
    "25006": (StorageFailure, "the database server only reads (a standby?): give the URL of the primary"),
    "42501": (
        StorageFailure,
        "the database's user may not do that: give the user in adstyle.toml's URL its rights (GRANT), or another user",
    ),
    "22P05": (
        StorageFailure,
        "the database's encoding cannot keep a character: make the database anew with ENCODING 'UTF8'",
    ),
}
_REFUSED = re.compile(r"FATAL:\s+(.+)")
"""What the server says of a connection that it does not grant; the driver tells no code then."""
_SOON = re.compile(
    r"starting up|shutting down|in recovery mode|not yet accepting|too many (clients|connections)|connection slots"
)
"""Of such refusals, in English, those that pass."""

_BROKEN = TryLater, "the line to the database server broke, and nothing was written; try again in a moment"

_EXTENDED_BITS = 8
"""SQLite keeps the primary result code in the low byte of an extended one."""


def translate_failures(engine: Engine) -> None:
    """From now on ``engine`` raises our errors where the driver's would mean one of them."""
    sqlite = engine.dialect.name == "sqlite"
    where = str(engine.url.database if sqlite else engine.url.render_as_string(hide_password=True))
    read = partial(_read_sqlite, Path(where).parent) if sqlite else _read_postgresql
    event.listen(engine, "handle_error", _listener(read, where))


def _listener(
    read: Callable[[BaseException], tuple[type[ExperimentError], str] | None], where: str
) -> Callable[[ExceptionContext], None]:
    def listen(context: ExceptionContext) -> None:
        if context.is_pre_ping:
            return  # a pooled connection turned out dead: the pool makes another
        # At the commit nobody knows whether the server still did it.
        broken = context.is_disconnect and context.connection is not None and context.statement is not None
        meaning = read(context.original_exception)
        if broken and (meaning is None or meaning[0] is not TryLater):
            meaning = _BROKEN
        if meaning:
            kind, line = meaning
            raise kind(f"{where}: {line}") from context.original_exception

    return listen


def _read_sqlite(folder: Path, error: BaseException) -> tuple[type[ExperimentError], str] | None:
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    code = extended % (1 << _EXTENDED_BITS)
    return _SQLITE.get(sqlite3.SQLITE_FULL if code in _NO_ROOM and _is_full(folder) else code)


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    no_file_more = disk.f_files > 0 and disk.f_favail == 0  # some file systems do not count files
    return no_file_more or disk.f_bavail * disk.f_frsize < _LEAST_ROOM


def _read_postgresql(error: BaseException) -> tuple[type[ExperimentError], str] | None:
    import psycopg

    state = getattr(error, "sqlstate", None)
    if state in _POSTGRESQL:
        return _POSTGRESQL[state]
    if isinstance(error, psycopg.ProgrammingError) and state is None:  # libpq refuses the URL's options
        return ExperimentError, f"{str(error).strip()}: correct the URL in adstyle.toml"
    if isinstance(error, psycopg.OperationalError) and state is None:
        if refused := _REFUSED.search(str(error)):
            if _SOON.search(refused[1]):
                return TryLater, f"the database server has no place yet ({refused[1]}); try again in a moment"
            return StorageFailure, f"the database server refuses: {refused[1]}: check the URL in adstyle.toml"
        # no answer at all, or the line went dead
        return StorageFailure, "the database server does not answer: check that it runs and the URL in adstyle.toml"
    return None
