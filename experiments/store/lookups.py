"""Rows by name, and rows as records."""

import difflib
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from experiments.core.errors import ExperimentError
from experiments.store.schema import Base, ExperimentRow


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Record = TypeVar("Record", bound=_Dataclass)


class Unknown(ExperimentError):
    """A name nobody has given."""


def experiment_row(session: Session, name: str) -> ExperimentRow:
    """The experiment's row, or `Unknown`."""
    row = session.get(ExperimentRow, name)
    if row is None:
        raise unknown("experiment", name, session.scalars(select(ExperimentRow.name)).all())
    return row


def unknown(what: str, name: str, known: Sequence[str]) -> Unknown:
    """An error that suggests the nearest of the ``known`` names, or lists some."""
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known)[:8]) or 'none yet'}"
    return Unknown(f"there is no {what} {name!r}: {advice}")


def as_record(kind: type[Record], row: Base) -> Record:
    """The row as a record, which has the same names for the same things."""
    return kind(**{field: getattr(row, field) for field in kind.__dataclass_fields__})
