"""Full, read-only, locked, damaged and missing: each one clear line of the right kind, and nothing half-written."""

import os
import sqlite3

import pytest
from sqlalchemy import event, text

from experiments.core.errors import ExperimentError, StorageFailure, TryLater
from experiments.store import failures
from experiments.store.control import ControlPlane
from experiments.store.database import migrate, open_database

CREATE = {"salt": "s", "control": "original", "actor": "ada"}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "adstyle.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def engine(path):
    engine = open_database(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def control(engine, clock):
    return ControlPlane(engine, clock)


@pytest.fixture
def clock():
    from datetime import UTC, datetime

    return lambda: datetime(2026, 11, 2, tzinfo=UTC)


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_a_full_disk_keeps_what_was_there(engine, control):
    control.create_experiment("before", {}, **CREATE)

    @event.listens_for(engine, "begin")
    def fill(connection):
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StorageFailure, match="the disk is full: free some space") as failure:
        control.create_experiment("after", {"picture": "x" * 100_000}, **CREATE)
    assert failure.value.exit_code == 1
    assert one_line(failure.value).startswith(str(engine.url.database))
    assert [record.name for record in control.experiments()] == ["before"]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CANTOPEN])
@pytest.mark.parametrize(("room", "files", "full"), [(0, 9, True), (8, 9, True), (99, 0, True), (99, 9, False)])
def test_a_disk_without_room_for_the_log_is_called_full(path, monkeypatch, code, room, files, full):
    def disk(_folder):
        return os.statvfs_result((4096, 4096, 100, room, room, 9, files, files, 0, 255))

    error = sqlite3.OperationalError()
    error.sqlite_errorcode = code
    monkeypatch.setattr(failures.os, "statvfs", disk)
    kind, line = failures._read_sqlite(path.parent, error)
    assert (kind, line.startswith("the disk is full")) == (StorageFailure, full)


def test_a_locked_database_says_try_later(path, engine, control):
    @event.listens_for(engine, "connect")
    def impatient(connection, _record):
        connection.execute("PRAGMA busy_timeout = 0")

    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        engine.dispose()
        with pytest.raises(TryLater, match="another process is writing") as refusal:
            control.create_experiment("spring-sale", {}, **CREATE)
        assert refusal.value.exit_code == 75
        assert control.experiments() == ()  # readers never wait for a writer
    finally:
        other.close()
    control.create_experiment("spring-sale", {}, **CREATE)


def test_a_damaged_file_is_named(path):
    path.write_bytes(b"not a database at all" * 400)
    with pytest.raises(StorageFailure, match=r"adstyle\.db: the file is not a database"):
        open_database(f"sqlite:///{path}")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageFailure, match="check that its folder exists"):
        migrate(f"sqlite:///{tmp_path / 'nowhere' / 'adstyle.db'}")


def test_a_read_only_database_is_named(engine, control):
    @event.listens_for(engine, "begin")
    def forbid(connection):
        connection.exec_driver_sql("PRAGMA query_only = ON")

    with pytest.raises(StorageFailure, match="cannot be written"):
        control.create_experiment("spring-sale", {}, **CREATE)


def test_a_postgresql_server_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(StorageFailure, match="does not answer") as failure:
        open_database("postgresql://ada:secret@127.0.0.1:1/adstyle")
    assert "secret" not in one_line(failure.value)


def test_an_option_that_postgresql_does_not_have_is_one_line():
    with pytest.raises(ExperimentError, match='invalid connection option "nonsense": correct the URL') as failure:
        open_database("postgresql://ada:secret@127.0.0.1:1/adstyle?nonsense=1")
    assert failure.value.exit_code == 2
    assert "secret" not in one_line(failure.value)


@pytest.mark.parametrize(("state", "kind"), [("53100", StorageFailure), ("40P01", TryLater), ("55P03", TryLater)])
def test_postgresqls_complaints_are_understood(state, kind):
    import psycopg.errors

    meaning = failures._read_postgresql(psycopg.errors.lookup(state)())
    assert meaning[0] is kind


def test_other_errors_pass_as_they_are(engine):
    with engine.connect() as connection, pytest.raises(Exception, match="no such table: nobody"):
        connection.execute(text("SELECT * FROM nobody"))
