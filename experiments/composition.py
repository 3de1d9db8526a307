"""The composition root: the one place that constructs stores, engines and clocks. Everything else receives them.

What a command does not ask for is not loaded either: a list of styles needs no database, a pause no engine.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from creatives.packs import StyleLibrary
    from experiments.events.engine import Engine
    from experiments.events.lake import EventLake
    from experiments.ingest.hashing import UnitHasher
    from experiments.jobs.context import Clock, Context
    from experiments.workspace import Workspace


def system_clock() -> datetime:
    """The only place that asks what time it is."""
    return datetime.now(UTC)


@contextmanager
def open_context(workspace: "Workspace", clock: "Clock" = system_clock) -> Iterator["Context"]:
    """Everything a job or a command needs of a workspace; closed at the end."""
    from experiments.jobs.context import Context
    from experiments.store.control import ControlPlane
    from experiments.store.database import open_database
    from experiments.store.deliveries import SqlDeliveries
    from experiments.store.ledger import SqlLedger, process_owner

    database = open_database(workspace.database_url)
    try:
        yield Context(
            workspace=workspace,
            control=ControlPlane(database, clock),
            ledger=SqlLedger(database, system_clock),  # a lease lasts real time, whatever instant is rehearsed
            deliveries=SqlDeliveries(database),
            open_lake=lambda: lake_of(workspace),
            library=library_of(workspace),
            hasher=lambda: _hasher_of(workspace),
            clock=clock,
            owner=process_owner(secrets.token_hex(4)),
        )
    finally:
        database.dispose()


def lake_of(workspace: "Workspace") -> "EventLake":
    """The workspace's events."""
    from experiments.events.lake import EventLake

    stores = workspace.settings.stores
    return EventLake(workspace.lake_root, stores.memory, stores.options, engine_of(workspace))


def engine_of(workspace: "Workspace") -> "Engine":
    """What computes evidence; Spark is not begun before it is asked."""
    from experiments.events.engine import MEMORY, DuckDB

    stores, spark = workspace.settings.stores, workspace.settings.spark
    if stores.engine == "duckdb":
        return DuckDB(stores.memory or MEMORY)
    from experiments.events.spark import Spark

    return Spark(spark.master, tuple(sorted(spark.settings.items())), stores.memory or MEMORY)


def library_of(workspace: "Workspace | None") -> "StyleLibrary":
    """The shipped packs and, in a workspace, the team's own."""
    from creatives.packs import StyleLibrary

    return StyleLibrary((workspace.folder("packs"),) if workspace else ())


def _hasher_of(workspace: "Workspace") -> "UnitHasher":
    from experiments.ingest.hashing import UnitHasher

    return UnitHasher(*workspace.key_file.keys(), changing=workspace.key_file.changing)
