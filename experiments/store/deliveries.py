"""Which files were ingested, and what became of their lines."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Engine, select, update
from sqlalchemy.orm import Session

from experiments.core.delivery import Delivery, Edition
from experiments.store.codec import plain
from experiments.store.database import write
from experiments.store.schema import DeliveryRow, EditionRow


class Brief(NamedTuple):
    """The little of a delivery that tells whether a file is a new one."""

    name: str
    kind: str
    replaced_by: str | None


class SqlDeliveries:
    """The register of deliveries in the control plane's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, sha256: str) -> Delivery | None:
        """The delivery of the file with these bytes."""
        with Session(self._engine) as session:
            row = session.get(DeliveryRow, sha256)
            return _delivery(row) if row else None

    def briefs(self) -> dict[str, Brief]:
        """Of every delivery by its id."""
        asked = select(DeliveryRow.sha256, DeliveryRow.name, DeliveryRow.kind, DeliveryRow.replaced_by)
        with Session(self._engine) as session:
            return {sha256: Brief(name, kind, by) for sha256, name, kind, by in session.execute(asked)}

    def named(self, name: str) -> tuple[Delivery, ...]:
        """The deliveries of files of this name, the earliest first."""
        return self._select(DeliveryRow.name == name)

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery. A file is ingested once: where its bytes are known, what stands stays."""

        def work(session: Session) -> None:
            if session.get(DeliveryRow, delivery.sha256) is None:
                fields = {name: plain(getattr(delivery, name)) for name in _FIELDS}
                session.add(DeliveryRow(**{**fields, "finished_at": delivery.finished_at}))
                if delivery.slot is not None and delivery.replaced_by is None:
                    _replace(session, delivery)

        write(self._engine, work)

    def claim(self, edition: Edition) -> None:
        """Tell of a file before any of its events is in the lake: who replaces it must find them, however it ends."""

        def work(session: Session) -> None:
            if session.get(EditionRow, edition.sha256) is None:
                session.add(EditionRow(**{name: getattr(edition, name) for name in Edition.__dataclass_fields__}))

        write(self._engine, work)

    def claimed(self, delivery: str) -> Edition | None:
        """What was told so of the delivery with this id."""
        with Session(self._engine) as session:
            row = session.get(EditionRow, delivery)
            return _edition(row) if row else None

    def editions(self, slot: str) -> tuple[Edition, ...]:
        """The files of a slot that were begun, the newest last."""
        with Session(self._engine) as session:
            rows = session.scalars(select(EditionRow).where(EditionRow.slot == slot)).all()
        return tuple(sorted(map(_edition, rows)))

    def replaced(self, sha256: str) -> tuple[Delivery, ...]:
        """The deliveries that the one with these bytes replaced, the earliest first."""
        return self._select(DeliveryRow.replaced_by == sha256)

    def between(self, start: datetime, end: datetime) -> tuple[Delivery, ...]:
        """Deliveries finished from ``start`` on and before ``end``, the earliest first."""
        return self._select(DeliveryRow.finished_at >= start, DeliveryRow.finished_at < end)

    def all(self) -> tuple[Delivery, ...]:
        """Every delivery, the earliest first."""
        return self._select()

    def _select(self, *conditions: ColumnElement[bool]) -> tuple[Delivery, ...]:
        with Session(self._engine) as session:
            rows = session.scalars(
                select(DeliveryRow).where(*conditions).order_by(DeliveryRow.finished_at, DeliveryRow.sha256)
            )
            return tuple(_delivery(row) for row in rows)


def _replace(session: Session, by: Delivery) -> None:
    """Whatever stood in the slot, and what was taken from its rejects, counts no longer."""
    session.flush()
    standing, before = DeliveryRow.replaced_by.is_(None), DeliveryRow.sha256 != by.sha256
    here = select(DeliveryRow.sha256).where(DeliveryRow.slot == by.slot, before)
    theirs = (DeliveryRow.slot == by.slot) | DeliveryRow.rejects_of.in_(here)
    session.execute(update(DeliveryRow).where(theirs, standing, before).values(replaced_by=by.sha256))


_FIELDS = tuple(name for name in Delivery.__dataclass_fields__ if name != "replay")
"""What is kept: whether a file came again is known only when it comes."""


def _edition(row: EditionRow) -> Edition:
    return Edition(row.slot, row.made, row.sha256, row.rejects)


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(**{name: getattr(row, name) for name in _FIELDS})
