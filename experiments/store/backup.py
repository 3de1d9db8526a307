"""The control plane's rows as one file, and back: a backup is an SQLite database, whatever the workspace's own is.

So it can be looked at with any tool, checked, and restored into the other kind: that is how a team moves from SQLite to
PostgreSQL. Documents are carried as the text they are, so that one which was damaged hinders no backup of the others.
"""

import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.types import TypeEngine, UserDefinedType

from experiments.core.errors import ExperimentError, StorageFailure
from experiments.store.codec import RESTORE, Damaged
from experiments.store.database import NotMigrated, for_writing, has_our_tables, migrate, open_database, shown
from experiments.store.schema import Base

_ROWS = 1000
"""Carried at once."""
_MAGIC = b"SQLite format 3\x00"
"""https://www.sqlite.org/fileformat.html, section 1.3."""


class BadBackup(ExperimentError):
    """The file is no backup, or holds what the database cannot."""


class NotEmpty(ExperimentError):
    """There is something where a backup is to be written or restored: nothing is ever overwritten."""


def back_up(url: str, file: Path) -> Mapping[str, int]:
    """Write the database as it is at this moment, others may go on writing it; gives the rows of each table.

    Raises:
        NotEmpty: where the file exists.
        Damaged: where an instant is none any more.
        NotMigrated, StorageFailure: as `database.open_database`.
    """
    if os.path.lexists(file):
        raise NotEmpty(f"{file} is already there, and a backup overwrites nothing: give another name")
    if not file.parent.is_dir():
        raise BadBackup(f"there is no folder {file.parent} to write the backup into: make it first")
    with _opened(url) as source, _aside(file) as aside:
        migrate(_sqlite(aside))
        with _opened(_sqlite(aside)) as target:
            with _at_one_moment(source) as reading, for_writing(target).begin() as writing:
                counts = _carry(reading, writing)
            with target.connect() as alone:
                alone.exec_driver_sql("COMMIT")
                alone.exec_driver_sql("PRAGMA journal_mode = DELETE")  # all of it in the one file
        _publish(aside, file)
    return counts


def restore(url: str, file: Path) -> Mapping[str, int]:
    """Fill an empty database with a backup's rows, all or none; tables are made where there are none.

    The backup may be of an older version. It is only read.

    Raises:
        BadBackup: where the file is none.
        NotEmpty: where the database holds anything.
        NotMigrated, StorageFailure: as `database.migrate`.
    """
    _refuse_what_is_none(file)
    with TemporaryDirectory(prefix="adstyle-restore-") as folder:
        copy = Path(folder) / "backup.db"
        try:
            shutil.copyfile(file, copy)
        except OSError as error:
            raise StorageFailure(f"{file} cannot be copied to {folder}: {error.strerror or error}") from None
        _bring_up_to_date(copy, file)
        migrate(url)
        with _opened(_sqlite(copy)) as source, _opened(url) as target:
            try:
                with _at_one_moment(source) as reading, for_writing(target).begin() as writing:
                    _refuse_what_holds_anything(writing, shown(target))
                    counts = _carry(reading, writing)
                    _number_on(writing)
            except DataError as error:
                raise BadBackup(f"{file} holds what {shown(target)} refuses: {error.orig}") from None
            except IntegrityError:
                raise NotEmpty(f"{shown(target)} is being written by someone else: stop them first") from None
    return counts


def _refuse_what_is_none(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            magic = opened.read(len(_MAGIC))
        log = file.with_name(f"{file.name}-wal")
        in_use = log.exists() and log.stat().st_size > 0
    except OSError as error:
        raise BadBackup(f"{file} cannot be read: {error.strerror or error}") from None
    if magic != _MAGIC:
        raise BadBackup(f"{file} is no backup: adstyle db backup writes an SQLite database, and it is none")
    if in_use:
        raise BadBackup(f"{file} is a database in use, and its last changes lie in {log.name}: back it up first")


def _bring_up_to_date(copy: Path, file: Path) -> None:
    """To this version's tables."""
    if not _is_sound(copy):
        raise BadBackup(f"{file} is damaged, and nothing is restored from it: take another backup")
    none_of_ours = BadBackup(f"{file} is a database without AdStyle's tables: nothing is restored from it")
    try:
        if not has_our_tables(_sqlite(copy)):
            raise none_of_ours
    except NotMigrated:
        raise none_of_ours from None
    try:
        migrate(_sqlite(copy))
    except NotMigrated:
        raise BadBackup(f"{file} was written by a newer AdStyle: upgrade this one, then restore it") from None


def _is_sound(copy: Path) -> bool:
    """Whether all its pages hold together: SQLite would otherwise tell of a bad one only when it comes to it."""
    with closing(sqlite3.connect(copy)) as connection, suppress(sqlite3.DatabaseError):
        return connection.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]
    return False


def _refuse_what_holds_anything(connection: Connection, where: str) -> None:
    for table in Base.metadata.sorted_tables:
        rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
        if rows:
            raise NotEmpty(
                f"{where} has rows already ({table.name}: {rows:,}), and a backup is only restored into an empty "
                "database: move it away, or name another in adstyle.toml"
            )


def _carry(reading: Connection, writing: Connection) -> dict[str, int]:
    """All rows, those first that others refer to."""
    counts = {}
    for table in Base.metadata.sorted_tables:
        rows, into, counts[table.name] = _rows_of(table), _into(table), 0
        try:
            for part in reading.execution_options(yield_per=_ROWS).execute(rows).mappings().partitions():
                writing.execute(into, [dict(row) for row in part])
                counts[table.name] += len(part)
        except ValueError as error:  # of an instant: SQLite lets anyone write anything
            raise Damaged(f"table {table.name} has a row that cannot be read ({error}): {RESTORE}") from None
    return counts


def _rows_of(table: Table) -> Select[Any]:
    return select(*(_as_kept(column).label(column.name) for column in table.columns))


def _as_kept(column: Column[Any]) -> ColumnElement[Any]:
    return cast(column, Text) if isinstance(column.type, JSON) else column


def _into(table: Table) -> Any:
    kinds: dict[str, TypeEngine[Any]] = {
        column.name: _Document() if isinstance(column.type, JSON) else column.type for column in table.columns
    }
    return insert(table).values({name: bindparam(name, type_=kind) for name, kind in kinds.items()})


class _Document(UserDefinedType[str]):
    """A JSON document's text: unlike SQLAlchemy's own type it leaves the text alone, and the database to judge it."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "JSON"


def _number_on(connection: Connection) -> None:
    """The next row of each table comes after those restored; SQLite counts by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        if "id" in table.columns:
            sequence, last = func.pg_get_serial_sequence(table.name, "id"), func.max(table.c.id)
            connection.execute(select(func.setval(sequence, last)).having(last.is_not(None)))


@contextmanager
def _opened(url: str | URL) -> Iterator[Engine]:
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _at_one_moment(engine: Engine) -> Iterator[Connection]:
    """What is read is of one instant, whoever writes meanwhile; SQLite's transactions are so by themselves."""
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**options) as connection:
        yield connection


@contextmanager
def _aside(file: Path) -> Iterator[Path]:
    """A name beside the file, nobody else's to read; nothing stays of it."""
    aside = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        aside.touch(mode=0o600)
        yield aside
    except OSError as error:
        raise StorageFailure(f"{file} cannot be written: {error.strerror or error}") from None
    finally:
        for each in (aside, *(aside.with_name(f"{aside.name}{end}") for end in ("-wal", "-shm", "-journal"))):
            with suppress(OSError):
                each.unlink(missing_ok=True)


def _publish(aside: Path, file: Path) -> None:
    """Whole or not at all, and never in another's place."""
    with aside.open("rb") as written:
        os.fsync(written.fileno())
    try:
        os.link(aside, file)
    except FileExistsError:
        raise NotEmpty(f"{file} was made by someone else meanwhile: give another name") from None
    except OSError:  # a disk without links
        aside.rename(file)


def _sqlite(file: Path) -> URL:
    return URL.create("sqlite", database=str(file))
