"""What every job receives."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from creatives.packs import StyleLibrary
    from experiments.events.lake import EventLake
    from experiments.ingest.hashing import UnitHasher
    from experiments.ingest.money import Rates
    from experiments.store.control import ControlPlane
    from experiments.store.deliveries import SqlDeliveries
    from experiments.store.ledger import SqlLedger

Clock = Callable[[], datetime]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, how many there are."""


class Folders(Protocol):
    """The part of a workspace that jobs know: its name and where things lie."""

    @property
    def name(self) -> str: ...

    def folder(self, name: str) -> Path: ...

    @property
    def zone(self) -> str | None: ...

    def rates(self) -> "Rates | None": ...


@dataclass(frozen=True)
class Context:
    """The stores, engines and clock of one workspace, made by the composition root."""

    workspace: Folders
    control: "ControlPlane"
    ledger: "SqlLedger"
    deliveries: "SqlDeliveries"
    open_lake: "Callable[[], EventLake]"
    library: "StyleLibrary"
    hasher: "Callable[[], UnitHasher]"
    """Under the keys as they are now. Who needs none (to pause, to roll back) needs no key file."""
    clock: Clock
    owner: str
    """This process, as leases name it."""

    @cached_property
    def lake(self) -> "EventLake":
        """Opened when it is first asked for: what it is read with takes a while to load, and most commands need none of
        it.
        """
        return self.open_lake()


def silent(_what: str, _done: int, _of: int) -> None:
    """Progress for whoever does not watch."""
