"""Opening, migrating and refusing databases."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

from experiments.core.errors import TryLater
from experiments.store import database
from experiments.store.database import BadDatabaseUrl, NotMigrated, for_writing, migrate, open_database
from experiments.store.schema import Base, BriefRow, PlanRow


def test_migrations_build_the_tables_of_the_schema(engine):
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_every_constraint_is_named(engine):
    seen = inspect(engine)
    for table in Base.metadata.tables:
        named = [seen.get_pk_constraint(table), *seen.get_unique_constraints(table), *seen.get_foreign_keys(table)]
        assert all(constraint["name"] for constraint in named), table


def test_the_newest_revision_is_the_one_this_version_asks_for():
    config = Config()
    config.set_main_option("script_location", "experiments:store/migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [database.HEAD]


def test_migrating_twice_does_nothing(url, engine, control):
    control.create_experiment("spring-sale", {}, salt="spring-sale", control="original", actor="ada")
    migrate(url)
    assert [record.name for record in control.experiments()] == ["spring-sale"]


def test_a_database_without_tables_says_what_to_run(empty_url):
    with pytest.raises(NotMigrated, match="run adstyle db migrate"):
        open_database(empty_url)
    migrate(empty_url)
    open_database(empty_url).dispose()


def test_opening_makes_no_file(tmp_path):
    with pytest.raises(NotMigrated, match=r"no database at .*run adstyle db migrate"):
        open_database(f"sqlite:///{tmp_path}/adstyle.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("revision", ["0001", "9999", "ae1027a6acf"])
@pytest.mark.parametrize("opened", [open_database, migrate])
def test_another_programs_database_is_called_so_and_left_as_it_is(tmp_path, revision, opened):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs, theirs:
        theirs.executescript(
            f"CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('{revision}')"
        )
    before = path.read_bytes()
    with pytest.raises(NotMigrated, match=rf"another program's .*{revision}.*a database of its own"):
        opened(f"sqlite:///{path}")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


@pytest.mark.parametrize(("revision", "advice"), [("0000", "run adstyle db migrate"), ("9999", "upgrade AdStyle")])
def test_other_versions_tables_are_refused(url, engine, revision, advice):
    with for_writing(engine).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    with pytest.raises(NotMigrated, match=advice):
        open_database(url)


def test_a_newer_database_is_not_migrated(url, engine):
    with for_writing(engine).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NotMigrated, match="upgrade AdStyle"):
        migrate(url)


def test_a_database_with_another_programs_tables_is_not_migrated(empty_url):
    engine = database._engine(empty_url)
    with for_writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE jobs (id INTEGER)"))
    engine.dispose()
    with pytest.raises(NotMigrated, match="'jobs' that is not AdStyle's"):
        migrate(empty_url)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://localhost/adstyle",
        "adstyle.db",
        "sqlite://",
        "sqlite:///:memory:",
        "",
        "postgresql://host:port/adstyle",
    ],
)
def test_other_kinds_of_database_are_refused(url):
    with pytest.raises(BadDatabaseUrl, match="sqlite:///"):
        open_database(url)


def test_a_broken_migration_leaves_nothing_behind(empty_url, monkeypatch):
    from alembic import op

    def broken(*_arguments, **_options):
        raise RuntimeError("half way")

    with monkeypatch.context() as patch:
        patch.setattr(op, "execute", broken)  # the triggers come after the tables
        with pytest.raises(RuntimeError, match="half way"):
            migrate(empty_url)
    engine = database._engine(empty_url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    migrate(empty_url)


def test_sqlite_is_durable_and_strict(engine):
    if engine.dialect.name != "sqlite":
        pytest.skip("settings of SQLite")
    with engine.connect() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1, "busy_timeout": 10_000}


def test_instants_come_back_as_the_same_instants_in_utc(engine):
    tokyo = timezone(timedelta(hours=9))
    instant = datetime(2026, 11, 3, 2, 30, 0, 654321, tzinfo=tokyo)
    with Session(for_writing(engine)) as session, session.begin():
        session.add(BriefRow(name="b", revision=1, sha256="", document={}, saved_at=instant))
    with Session(engine) as session:
        read = session.scalar(select(BriefRow.saved_at))
        assert session.scalar(select(BriefRow.name).where(BriefRow.saved_at == instant.astimezone(UTC))) == "b"
    assert read == instant
    assert read.tzinfo is UTC


def test_an_instant_without_zone_is_refused(engine):
    with Session(for_writing(engine)) as session, pytest.raises(Exception, match="no time zone"):
        session.execute(select(BriefRow).where(BriefRow.saved_at == datetime(2026, 11, 3)))  # noqa: DTZ001 - on purpose


def test_foreign_keys_hold(engine):
    orphan = PlanRow(hash="0" * 64, experiment="nobody", document={}, sealed_at=datetime(2026, 11, 2, tzinfo=UTC))
    with Session(for_writing(engine)) as session:
        session.add(orphan)
        with pytest.raises(IntegrityError):
            session.flush()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE milestones SET actor = 'someone else'",
        "DELETE FROM milestones",
        "TRUNCATE milestones",
        "INSERT OR REPLACE INTO milestones SELECT id, experiment, sequence, kind, at, 'x', payload FROM milestones",
    ],
)
def test_milestones_are_append_only(engine, control, statement):
    if engine.dialect.name not in {"TRUNCATE": ("postgresql",), "INSERT": ("sqlite",)}.get(
        statement.split()[0], ("sqlite", "postgresql")
    ):
        pytest.skip("not a statement of this database")
    control.create_experiment("spring-sale", {}, salt="spring-sale", control="original", actor="ada")
    with for_writing(engine).begin() as connection, pytest.raises(DatabaseError, match="append-only"):
        connection.execute(text(statement))
    assert [fact.actor for fact in control.history("spring-sale")] == ["ada"]


def test_connections_that_died_in_the_pool_are_replaced(url, engine, control):
    if engine.dialect.name != "postgresql":
        pytest.skip("a file does not hang up")
    assert control.experiments() == ()
    hang_up = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    other = open_database(url)
    with other.connect() as connection:
        assert connection.execute(text(hang_up)).all() == [(True,)]
    other.dispose()
    assert control.experiments() == ()


def test_a_connection_that_dies_at_work_says_try_later(engine):
    if engine.dialect.name != "postgresql":
        pytest.skip("a file does not hang up")
    with engine.connect() as connection, pytest.raises(TryLater, match="shutting down"):
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
