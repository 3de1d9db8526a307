"""Opening the control plane's database (SQLite or PostgreSQL), and bringing it to this version's tables."""

import json
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from experiments.core.errors import ExperimentError, TryLater
from experiments.store.codec import read_json
from experiments.store.failures import translate_failures
from experiments.store.schema import Base, MilestoneRow

HEAD = "0002"
"""The newest migration this version knows; revisions are numbered in order."""
_NUMBERED = re.compile(r"\d{4}")

BUSY_SECONDS = 10
_BLINK = 0.02
_WRITES = "adstyle_writes"
_MOST_TRIES = 16
"""Each round of a contended write has a winner, so this many writers at once all get through."""
_MIGRATION_LOCK = 0x6164_7374_796C_65  # "adstyle": the key of PostgreSQL's advisory lock

T = TypeVar("T")


class BadDatabaseUrl(ExperimentError):
    """Neither ``sqlite:///`` nor ``postgresql+psycopg://``."""


class NotMigrated(ExperimentError):
    """The database's tables are not those of this version."""


def open_database(url: str | URL) -> Engine:
    """An engine on a database that has this version's tables.

    Raises:
        BadDatabaseUrl: for another kind of database.
        NotMigrated: where the tables are missing, older or newer; says what to run.
        StorageFailure: where the database cannot be opened.
    """
    engine = _engine(url)
    try:
        if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
            raise NotMigrated(f"there is no database at {engine.url.database}: run adstyle db migrate")  # noqa: TRY301
        with engine.connect() as connection:
            _check_revision(connection, shown(engine))
    except BaseException:
        engine.dispose()
        raise
    return engine


def migrate(url: str | URL) -> None:
    """Create or upgrade the tables, whole or not at all; on an up-to-date database nothing happens.

    Raises:
        NotMigrated: where a newer version of AdStyle made the tables.
        BadDatabaseUrl, StorageFailure: as `open_database`.
    """
    from alembic import command
    from alembic.config import Config

    engine = _engine(url)
    try:
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:  # kept in the file: later connections find it so
                _refuse_unfit(connection, shown(engine))
                connection.exec_driver_sql("COMMIT")
                _keep_a_log(connection)
        with for_writing(engine).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            _refuse_unfit(connection, shown(engine))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def has_our_tables(url: str | URL) -> bool:
    """Of this version or another.

    Raises:
        NotMigrated: where they are another program's.
        BadDatabaseUrl, StorageFailure: as `open_database`.
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            return _revision(connection, shown(engine)) is not None
    finally:
        engine.dispose()


def for_writing(engine: Engine) -> Engine:
    """The same engine and pool; its transactions take SQLite's write lock at once.

    A transaction that reads first and then finds another writer ahead of it could otherwise only fail.
    """
    return engine.execution_options(**{_WRITES: True})


def write(engine: Engine, work: Callable[[Session], T]) -> T:
    """Run ``work`` in one transaction; where another writer was quicker, run it again on what that writer left.

    Raises:
        TryLater: when others kept being quicker.
    """
    writing = for_writing(engine)
    for attempt in range(_MOST_TRIES):
        try:
            with Session(writing) as session, session.begin():
                return work(session)
        except StaleDataError:
            continue
        except IntegrityError:
            if attempt == _MOST_TRIES - 1:
                raise
    raise TryLater(f"{shown(engine)}: others keep writing the same rows; try again in a moment")


def _engine(url: str | URL) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: of a port that is no number
        parsed = None
    if parsed and parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed is None or parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise BadDatabaseUrl(
            f"database {parsed or url!r} is neither sqlite:///FILE nor postgresql+psycopg://USER@HOST/NAME"
        )
    serialise = partial(json.dumps, allow_nan=False)
    if parsed.drivername == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise BadDatabaseUrl("the database must be a file that several processes can open: sqlite:///adstyle.db")
        engine = create_engine(
            parsed, json_serializer=serialise, json_deserializer=read_json, connect_args={"timeout": BUSY_SECONDS}
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        try:
            encoding = {"client_encoding": "utf8"}  # whatever the database's or the environment's: text is never bytes
            engine = create_engine(parsed, json_serializer=serialise, pool_pre_ping=True, connect_args=encoding)
        except ModuleNotFoundError:
            raise BadDatabaseUrl("PostgreSQL needs its driver: pip install 'adstyle[postgres]'") from None
    translate_failures(engine)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver would say it too late, and not before DDL
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = NORMAL")  # under WAL a power cut may lose the last commits, never consistency
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")


def _keep_a_log(connection: Connection) -> None:
    """Readers and a writer at once. Of several who ask for it SQLite may refuse one on the spot."""
    patience = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        except TryLater:
            if time.monotonic() > patience:
                raise
            time.sleep(_BLINK)
        else:
            return


def shown(engine: Engine) -> str:
    """Which database, without its password."""
    return engine.url.render_as_string(hide_password=True)


def _revision(connection: Connection, shown: str) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is not None and not (_NUMBERED.fullmatch(revision) and MilestoneRow.__tablename__ in tables):
        raise NotMigrated(
            f"{shown} is another program's (it is at that one's migration {revision}): give AdStyle a database of its "
            "own in adstyle.toml"
        )
    return revision


def _check_revision(connection: Connection, shown: str) -> None:
    revision = _revision(connection, shown)
    _refuse_newer(revision, shown)
    if revision is None:
        raise NotMigrated(f"{shown} has no AdStyle tables yet: run adstyle db migrate")
    if revision != HEAD:
        raise NotMigrated(
            f"{shown} has the tables of an older version ({revision}, not {HEAD}): run adstyle db migrate"
        )


def _refuse_unfit(connection: Connection, shown: str) -> None:
    """What migrations would spoil, or cannot bring to this version."""
    revision = _revision(connection, shown)
    _refuse_newer(revision, shown)
    if revision is None:
        _refuse_others_tables(connection, shown)
        _refuse_other_encodings(connection, shown)


def _refuse_newer(revision: str | None, shown: str) -> None:
    if revision is not None and revision > HEAD:
        raise NotMigrated(
            f"{shown} has the tables of a newer version ({revision}; this one knows {HEAD}): upgrade AdStyle, "
            "then run adstyle db migrate"
        )


def _refuse_others_tables(connection: Connection, shown: str) -> None:
    taken = sorted(set(inspect(connection).get_table_names()) & set(Base.metadata.tables))
    if taken:
        raise NotMigrated(
            f"{shown} has a table {taken[0]!r} that is not AdStyle's, or has lost what says so: give a database of "
            "its own, or restore the backup"
        )


def _refuse_other_encodings(connection: Connection, shown: str) -> None:
    """Names of files and experiments, and who did what, may be in any script."""
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar()
        if encoding != "UTF8":
            raise ExperimentError(
                f"{shown} keeps text as {encoding}, and not every name fits in: make the database anew with "
                "ENCODING 'UTF8' TEMPLATE template0"
            )
