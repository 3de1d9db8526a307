"""What a PostgreSQL server may refuse, each told in one line."""

import contextlib
import os
import socket

import pytest
from sqlalchemy import make_url, text

from experiments.core.errors import ExperimentError, StorageFailure, TryLater
from experiments.store.database import migrate, open_database


@pytest.fixture
def server(postgresql, maintenance_of):
    """Statements for the server, undone at the end by others."""
    with maintenance_of(postgresql) as connection, contextlib.ExitStack() as after:

        def said(statement, undone=None):
            connection.execute(text(statement))
            if undone:
                after.callback(connection.execute, text(undone))

        yield said


def at(url, **changed):
    return make_url(url).set(**changed).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"username": "who"}, 'role "who" does not exist'),
    ],
)
def test_what_the_server_refuses_is_told_in_its_words(postgresql, changed, said):
    """The driver tells no code of a connection that was refused."""
    with pytest.raises(StorageFailure) as failure:
        open_database(at(postgresql, **changed))
    assert str(failure.value).endswith(f"the database server refuses: {said}: check the URL in adstyle.toml")


def test_a_server_without_a_place_says_try_later(postgresql, server):
    server("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0", "DROP ROLE crowded")
    with pytest.raises(TryLater, match=r"no place yet .*too many connections"):
        open_database(at(postgresql, username="crowded"))


def test_a_user_without_rights_is_told_so(migrated_postgresql, server):
    server("CREATE ROLE reader LOGIN", "DROP ROLE reader")
    with pytest.raises(StorageFailure, match="the database's user may not do that: give the user"):
        open_database(at(migrated_postgresql, username="reader"))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_keep_every_name_is_not_migrated(postgresql, server, encoding):
    name = f"of_{encoding.lower()}"
    server(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0", f"DROP DATABASE {name}")
    with pytest.raises(ExperimentError, match=f"keeps text as {encoding}.*ENCODING 'UTF8'"):
        migrate(at(postgresql, database=name))


def test_text_is_text_whatever_the_environment_says(migrated_postgresql, monkeypatch):
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    engine = open_database(migrated_postgresql)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 'ü имя'")).scalar() == "ü имя"
    engine.dispose()


def test_a_line_that_broke_says_try_later_where_nothing_was_written(migrated_postgresql):
    engine = open_database(migrated_postgresql)
    with engine.connect() as connection:
        cut(connection)
        with pytest.raises(TryLater, match="the line to the database server broke"):
            connection.execute(text("SELECT 1"))
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        cut(connection)
        with pytest.raises(StorageFailure, match="does not answer"):
            connection.commit()
    engine.dispose()


def cut(connection):
    with socket.socket(fileno=os.dup(connection.connection.driver_connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
