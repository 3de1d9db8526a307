"""Which files were ingested, and what became of their lines."""

from datetime import datetime

from sqlalchemy import ColumnElement, Engine, select
from sqlalchemy.orm import Session

from experiments.core.delivery import Delivery
from experiments.store.codec import plain
from experiments.store.database import write
from experiments.store.schema import DeliveryRow


class SqlDeliveries:
    """The register of deliveries in the control plane's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, sha256: str) -> Delivery | None:
        """The delivery of the file with these bytes."""
        with Session(self._engine) as session:
            row = session.get(DeliveryRow, sha256)
            return _delivery(row) if row else None

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery. A file is ingested once: where its bytes are known, what stands stays."""

        def work(session: Session) -> None:
            if session.get(DeliveryRow, delivery.sha256) is None:
                fields = {name: plain(getattr(delivery, name)) for name in _FIELDS}
                session.add(DeliveryRow(**{**fields, "finished_at": delivery.finished_at}))

        write(self._engine, work)

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


_FIELDS = tuple(name for name in Delivery.__dataclass_fields__ if name != "replay")
"""What is kept: whether a file came again is known only when it comes."""


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(**{name: getattr(row, name) for name in _FIELDS})
