"""Rows by name, and rows as records."""

import difflib
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from experiments.core.errors import ExperimentError
from experiments.core.lifecycle import Phase
from experiments.store.codec import RESTORE, Damaged
from experiments.store.schema import Base, ExperimentRow

UNREADABLE = (KeyError, TypeError, ValueError, Damaged)
"""What reading a row raises that anyone has written anything into."""


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Record = TypeVar("Record", bound=_Dataclass)


class Unknown(ExperimentError):
    """A name nobody has given."""


def experiment_row(session: Session, name: str) -> ExperimentRow:
    """The experiment's row.

    Raises:
        Unknown: where there is none.
        Damaged: where it is not as it was written.
    """
    try:
        row = session.get(ExperimentRow, name)
        if row is not None:
            refuse_unreadable(row)
    except UnicodeEncodeError:  # the name asked for is no text
        raise
    except UNREADABLE as error:
        raise Damaged(f"{name}: its row cannot be read ({error}): {RESTORE}") from None
    if row is None:
        raise unknown("experiment", name, session.scalars(select(ExperimentRow.name)).all())
    return row


def refuse_unreadable(row: ExperimentRow) -> None:
    """SQLite keeps whatever anyone writes into a column.

    Raises:
        ValueError, TypeError: for a phase, or a document, that is none.
    """
    Phase(row.phase)
    if not isinstance(row.document, dict):
        raise TypeError("its document is no mapping")


def unknown(what: str, name: str, known: Sequence[str]) -> Unknown:
    """An error that suggests the nearest of the ``known`` names, or lists some."""
    near = difflib.get_close_matches(name, known, n=1)
    none = "there are none yet" + ("; adstyle experiment create FILE makes one" if what == "experiment" else "")
    advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known)[:8])}" if known else none
    return Unknown(f"there is no {what} {name!r}: {advice}")


def as_record(kind: type[Record], row: Base) -> Record:
    """The row as a record, which has the same names for the same things."""
    return kind(**{field: getattr(row, field) for field in kind.__dataclass_fields__})
