"""What the control plane hands out (records) and what it takes in (anything with the right fields)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from typing import Any, Protocol

from experiments.core.lifecycle import MilestoneKind, Phase, State
from experiments.core.plan import Plan
from experiments.store.codec import RESTORE, Damaged


@dataclass(frozen=True, slots=True)
class BriefRecord:
    """One revision of a brief."""

    name: str
    revision: int
    sha256: str
    """Of the document's canonical JSON."""
    document: Mapping[str, Any]
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """An experiment as lists show it; `ControlPlane.state` knows the rest."""

    name: str
    phase: Phase | None
    """None where it cannot be read (``damage``)."""
    version: int
    document: Mapping[str, Any]
    salt: str
    control: str
    plan_hash: str | None
    winner: str | None
    promoted_arm: str | None
    created_at: datetime
    updated_at: datetime
    damage: Damaged | None = None
    """Why nobody can work on it: what else is said here is what can still be read."""

    @property
    def brief(self) -> str:
        """The name of what it advertises.

        Raises:
            Damaged: where the document does not say.
        """
        brief = self.document.get("brief")
        if not isinstance(brief, str):
            raise Damaged(f"{self.name}: its document names no brief: {RESTORE}")
        return brief


@dataclass(frozen=True, slots=True)
class MilestoneRecord:
    """A fact, when it happened and who brought it about."""

    sequence: int
    """1, 2, ... within its experiment."""
    kind: MilestoneKind
    at: datetime
    actor: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Life:
    """A started experiment's: what was promised, and all that happened."""

    plan: Plan
    history: tuple[MilestoneRecord, ...]
    state: State


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """One finished advertisement."""

    arm: str
    slot: str
    file_name: str
    path: str
    sha256: str
    bytes: int
    width: int
    height: int
    provenance: Mapping[str, Any]
    gate: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """What the sealed plan said at one look."""

    look: int
    plan_hash: str
    evidence_id: int
    kind: str
    arm: str | None
    document: Mapping[str, Any]
    """The whole judgement as plain values; numbers that do not exist are None."""
    at: datetime

    @property
    def information(self) -> float:
        """The information this look had, which later looks' boundaries depend on."""
        return float(self.document["information"])

    @property
    def reason_codes(self) -> tuple[str, ...]:
        """Of the verdict's reasons."""
        return tuple(reason["code"] for reason in self.document["verdict"]["reasons"])


class StyleLike(Protocol):
    """One exact look, as `ControlPlane.save_style` takes it."""

    @property
    def identity(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def engine(self) -> str: ...
    @property
    def engine_version(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def weights_sha256(self) -> str | None: ...


class VariantLike(Protocol):
    """One finished advertisement, as `ControlPlane.save_variants` takes it.

    ``provenance`` and ``gate`` are mappings or dataclasses of plain values.
    """

    @property
    def arm(self) -> str: ...
    @property
    def slot(self) -> str: ...
    @property
    def file_name(self) -> str: ...
    @property
    def path(self) -> str | PathLike[str]: ...
    @property
    def sha256(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def provenance(self) -> Any: ...
    @property
    def gate(self) -> Any: ...


class VerdictLike(Protocol):
    """The verdict inside a judgement."""

    @property
    def kind(self) -> str: ...
    @property
    def arm(self) -> str | None: ...


class JudgementLike(Protocol):
    """A dataclass of plain values with a verdict in it; it is kept whole."""

    @property
    def verdict(self) -> VerdictLike: ...
