"""Backups: of either kind of database, into either kind; whole, of one moment, and nothing overwritten."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, event, insert, select
from sqlalchemy.exc import DatabaseError, IntegrityError

from experiments.core.errors import StorageFailure
from experiments.store import backup as backups
from experiments.store.backup import BadBackup, NotEmpty, back_up, restore
from experiments.store.codec import Damaged
from experiments.store.control import ControlPlane
from experiments.store.database import NotMigrated, migrate, open_database
from experiments.store.schema import Base

INSTANT = datetime(2026, 11, 2, 9, 0, 0, 123456, tzinfo=UTC)
DOCUMENT = {"b": [1, 0.1, None, True], "a": "Größe 雪 'quoted'", "big": 2**53}
WORDS = {"name": "frühling 雪", "actor": "Zoë", "result": None, "lease_until": None}


@pytest.fixture
def empty_url(empty_url, tmp_path):
    """Of either kind, and another than ``url``."""
    return f"sqlite:///{tmp_path / 'other.db'}" if empty_url.startswith("sqlite") else empty_url


@pytest.fixture
def url(url, engine):
    """With some rows in every table."""
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            for number in (1, 2):
                connection.execute(insert(table), row_of(table, number))
    return url


def row_of(table, number):
    """Of any table; what refers to another row refers to the one of the same number."""
    row = {}
    for column in table.columns:
        kind = column.type.python_type if column.type.__class__.__name__ != "UtcDateTime" else datetime
        if column.name in WORDS and not column.foreign_keys:
            row[column.name] = WORDS[column.name] and f"{WORDS[column.name]}-{number}"
        elif kind is datetime:
            row[column.name] = INSTANT + timedelta(days=number)
        elif kind is dict:
            row[column.name] = DOCUMENT | {"number": number}
        elif kind is bool:
            row[column.name] = number == 1
        elif kind is int:
            row[column.name] = number
        elif "experiments.name" in {key.target_fullname for key in column.foreign_keys}:
            row[column.name] = f"{WORDS['name']}-{number}"
        else:
            row[column.name] = f"{table.name}-{number}" if not column.foreign_keys else f"plans-{number}"
    return row


def rows_at(url):
    engine = open_database(url)
    try:
        with engine.connect() as connection:
            return {
                table.name: [
                    tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))
                ]
                for table in Base.metadata.sorted_tables
            }
    finally:
        engine.dispose()


def text_of(url):
    """The experiments' documents, as the database keeps them."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT CAST(document AS TEXT) FROM experiments ORDER BY 1")
            return found.scalars().all()
    finally:
        engine.dispose()


def test_what_was_backed_up_is_restored_into_either_kind(url, empty_url, tmp_path):
    file = tmp_path / "backup of today.db"
    counts = back_up(url, file)
    assert set(counts.values()) == {2}
    assert counts.keys() == set(Base.metadata.tables)
    assert restore(empty_url, file) == counts
    assert rows_at(empty_url) == rows_at(url)
    assert text_of(empty_url) == text_of(url)


def test_a_restored_database_is_written_on(url, empty_url, tmp_path, clock):
    back_up(url, tmp_path / "backup.db")
    restore(empty_url, tmp_path / "backup.db")
    engine = open_database(empty_url)
    ControlPlane(engine, clock).create_experiment("summer", {}, salt="summer", control="original", actor="ada")
    milestones = Base.metadata.tables["milestones"]
    with engine.connect() as connection:
        assert connection.execute(select(milestones.c.id).order_by("id")).scalars().all() == [1, 2, 3]
    with engine.connect() as connection, pytest.raises((DatabaseError, IntegrityError), match="append-only"):
        connection.execute(milestones.delete())
    engine.dispose()


def test_an_empty_database_is_backed_up_and_restored(empty_url, tmp_path):
    migrate(empty_url)
    assert set(back_up(empty_url, tmp_path / "backup.db").values()) == {0}
    assert set(restore(empty_url, tmp_path / "backup.db").values()) == {0}


def test_a_backup_is_one_file_that_nobody_else_reads(url, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    back_up(url, folder / "one.db")
    assert [each.name for each in folder.iterdir()] == ["one.db"]
    assert stat.S_IMODE((folder / "one.db").stat().st_mode) == 0o600
    with closing(sqlite3.connect(folder / "one.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]


def test_a_backup_is_of_one_moment(url, tmp_path, clock):
    """Another writer comes while the first table is being read."""
    others, before = open_database(url), rows_at(url)
    written = []

    def write_meanwhile(connection, cursor, statement, *_):
        if not written and "FROM briefs" in statement:
            written.append(statement)
            ControlPlane(others, clock).create_experiment("late", {}, salt="late", control="original", actor="ada")

    opened = backups.open_database

    def watched(url_of_it):
        engine = opened(url_of_it)
        event.listen(engine, "after_cursor_execute", write_meanwhile)
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backups, "open_database", watched)
        back_up(url, tmp_path / "backup.db")
    others.dispose()
    assert written
    assert rows_at(f"sqlite:///{tmp_path / 'backup.db'}") == before
    assert rows_at(url) != before


def test_nothing_is_overwritten_by_a_backup(url, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(NotEmpty, match="give another name"):
        back_up(url, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"
    with pytest.raises(BadBackup, match="no folder"):
        back_up(url, tmp_path / "missing" / "backup.db")


def test_of_two_backups_to_one_name_the_first_stays(url, tmp_path, monkeypatch):
    file, sync = tmp_path / "backup.db", os.fsync
    monkeypatch.setattr(backups.os, "fsync", lambda handle: (file.write_text("first"), sync(handle)))
    with pytest.raises(NotEmpty, match="someone else"):
        back_up(url, file)
    assert file.read_text() == "first"


def test_of_a_backup_that_fails_nothing_stays(url, tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    (tmp_path / "backups").mkdir()
    monkeypatch.setattr(backups.os, "fsync", full)
    with pytest.raises(StorageFailure, match="No space left"):
        back_up(url, tmp_path / "backups" / "backup.db")
    assert list((tmp_path / "backups").iterdir()) == []


def test_only_an_empty_database_is_restored_into(url, tmp_path):
    back_up(url, tmp_path / "backup.db")
    before = rows_at(url)
    with pytest.raises(NotEmpty, match="rows already") as refused:
        restore(url, tmp_path / "backup.db")
    assert "adstyle.toml" in str(refused.value)
    assert rows_at(url) == before


def test_a_damaged_document_is_carried_as_it_is(tmp_path, migrated_sqlite, empty_url):
    """One damaged experiment is no reason to have no backup of the others; PostgreSQL takes none that is no JSON."""
    source = tmp_path / "source.db"
    shutil.copy(migrated_sqlite, source)
    engine = open_database(f"sqlite:///{source}")
    with engine.begin() as connection:
        connection.execute(insert(Base.metadata.tables["experiments"]), row_of(Base.metadata.tables["experiments"], 1))
        connection.exec_driver_sql("UPDATE experiments SET document = '{\"half'")
    engine.dispose()
    back_up(f"sqlite:///{source}", tmp_path / "backup.db")
    if empty_url.startswith("sqlite"):
        restore(empty_url, tmp_path / "backup.db")
        assert text_of(empty_url) == ['{"half']
    else:
        with pytest.raises(BadBackup, match="invalid input syntax for type json"):
            restore(empty_url, tmp_path / "backup.db")
        assert all(not rows for rows in rows_at(empty_url).values())


def test_an_instant_that_is_none_is_told_and_leaves_no_backup(tmp_path, migrated_sqlite):
    source = tmp_path / "source.db"
    shutil.copy(migrated_sqlite, source)
    execute(source, "INSERT INTO briefs VALUES ('cup', 1, 'ab', '{}', 'yesterday')")
    with pytest.raises(Damaged, match=r"table briefs has a row that cannot be read .*yesterday"):
        back_up(f"sqlite:///{source}", tmp_path / "backup.db")
    assert not list(tmp_path.glob("*backup*"))


def test_a_restore_that_fails_leaves_nothing(url, empty_url, tmp_path, monkeypatch):
    back_up(url, tmp_path / "backup.db")

    def fail(_connection):
        raise StorageFailure("the disk is full")

    monkeypatch.setattr(backups, "_number_on", fail)
    with pytest.raises(StorageFailure):
        restore(empty_url, tmp_path / "backup.db")
    assert all(not rows for rows in rows_at(empty_url).values())
    monkeypatch.undo()
    restore(empty_url, tmp_path / "backup.db")
    assert rows_at(empty_url) == rows_at(url)


def test_a_backup_of_an_older_version_is_brought_to_this_one(tmp_path, empty_url):
    old = tmp_path / "old.db"
    config = Config()
    config.set_main_option("script_location", "experiments:store/migrations")
    engine = create_engine(f"sqlite:///{old}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO briefs VALUES ('cup', 1, 'ab', '{}', '2026-11-02 09:00:00.000000')")
    engine.dispose()
    untouched = old.read_bytes()
    assert restore(empty_url, old)["briefs"] == 1
    assert old.read_bytes() == untouched
    with pytest.raises(NotMigrated, match="older version"):
        back_up(f"sqlite:///{old}", tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda _file: None, "cannot be read: No such file"),
        (lambda file: file.mkdir(), "cannot be read: Is a directory"),
        (lambda file: file.write_text("PGDMP"), "is no backup"),
        (lambda file: file.write_bytes(b""), "is no backup"),
        (lambda file: execute(file, "CREATE TABLE t (a)"), "without AdStyle's tables"),
        (
            lambda file: execute(
                file, "CREATE TABLE alembic_version (version_num)", "INSERT INTO alembic_version VALUES ('ae1027')"
            ),
            "without AdStyle's tables",
        ),
        (
            lambda file: execute(
                migrated(file), "PRAGMA journal_mode = DELETE", "UPDATE alembic_version SET version_num = '9999'"
            ),
            "a newer AdStyle",
        ),
        (lambda file: cut(migrated(file)), "is damaged"),
        (lambda file: spoil_a_page(migrated(file)), "is damaged"),
        (lambda file: migrated(file).with_name(f"{file.name}-wal").write_text("changes"), "is a database in use"),
    ],
)
def test_what_is_no_backup_is_refused_by_name(tmp_path, empty_url, made, said):
    file = tmp_path / "given.db"
    made(file)
    with pytest.raises(BadBackup, match=said) as refused:
        restore(empty_url, file)
    assert str(file) in str(refused.value)
    with pytest.raises(NotMigrated):  # not even tables were made
        open_database(empty_url)


def execute(file, *statements):
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def migrated(file):
    migrate(f"sqlite:///{file}")
    return file


def cut(file):
    execute(file, "PRAGMA journal_mode = DELETE")
    file.write_bytes(file.read_bytes()[:5000])


def spoil_a_page(file):
    """One that is only read where its rows are."""
    execute(file, "PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(file)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'verdicts'").fetchall()
        ((size,),) = connection.execute("PRAGMA page_size").fetchall()
    with file.open("r+b") as opened:
        opened.seek((page - 1) * size)
        opened.write(b"\xff" * size)
