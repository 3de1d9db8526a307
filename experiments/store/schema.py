"""The control plane's tables. `migrations/` builds the same; a test holds the two together.

Milestones are the source of truth of an experiment's life; ``experiments`` carries beside its document a projection of
them (phase, version, plan_hash, winner, promoted_arm) for lists and for optimistic locking. Text is unbounded: names
are checked by their makers, and neither database gains from a limit.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from experiments.store.types import UtcDateTime

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """What all tables share: named constraints, so that a migration can speak of them on either database."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON}  # noqa: RUF012 - SQLAlchemy's own idiom


class BriefRow(Base):
    """What an advertiser handed in, each change of it a new revision."""

    __tablename__ = "briefs"

    name: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str]
    document: Mapped[dict[str, Any]]
    saved_at: Mapped[datetime]


class StyleRow(Base):
    """One exact look: evidence belongs to the identity, not to the name."""

    __tablename__ = "styles"

    identity: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    engine: Mapped[str]
    engine_version: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    weights_sha256: Mapped[str | None]
    first_seen: Mapped[datetime]


class ExperimentRow(Base):
    """One experiment: its document as given, and what its milestones amount to."""

    __tablename__ = "experiments"

    name: Mapped[str] = mapped_column(primary_key=True)
    phase: Mapped[str] = mapped_column(index=True)
    version: Mapped[int] = mapped_column()
    document: Mapped[dict[str, Any]]
    salt: Mapped[str]
    control: Mapped[str]
    plan_hash: Mapped[str | None]
    winner: Mapped[str | None]
    promoted_arm: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": version, "version_id_generator": False}  # noqa: RUF012


class PlanRow(Base):
    """A sealed plan under its own hash."""

    __tablename__ = "plans"

    hash: Mapped[str] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(ForeignKey("experiments.name"), unique=True)
    document: Mapped[dict[str, Any]]
    sealed_at: Mapped[datetime]


class MilestoneRow(Base):
    """One fact of an experiment's life. Append-only: triggers refuse UPDATE and DELETE."""

    __tablename__ = "milestones"
    __table_args__ = (UniqueConstraint("experiment", "sequence"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(ForeignKey("experiments.name"))
    sequence: Mapped[int]
    kind: Mapped[str]
    at: Mapped[datetime]
    actor: Mapped[str]
    payload: Mapped[dict[str, Any]]


class VariantRow(Base):
    """One finished advertisement: where it lies, what it is made of, what the quality gate measured."""

    __tablename__ = "variants"
    __table_args__ = (UniqueConstraint("experiment", "arm", "slot"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(ForeignKey("experiments.name"))
    arm: Mapped[str]
    slot: Mapped[str]
    file_name: Mapped[str]
    path: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    provenance: Mapped[dict[str, Any]]
    gate: Mapped[dict[str, Any]]


class JobRow(Base):
    """One period of one job: who holds it, how it ended. ``experiment`` is ``-`` where there is none."""

    __tablename__ = "jobs"

    job: Mapped[str] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(index=True)


class DeliveryRow(Base):
    """One ingested file, accounted for line by line."""

    __tablename__ = "deliveries"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    read: Mapped[int] = mapped_column(BigInteger)
    accepted: Mapped[int] = mapped_column(BigInteger)
    duplicate: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[datetime] = mapped_column(index=True)
    rejected: Mapped[dict[str, Any]]
    lake_versions: Mapped[dict[str, Any]]
    slot: Mapped[str | None] = mapped_column(index=True)
    made: Mapped[str | None]
    replaced_by: Mapped[str | None] = mapped_column(index=True)
    rejects_of: Mapped[str | None]


class EditionRow(Base):
    """A file that may be delivered anew, told before its first event is in the lake; one that was begun, at least."""

    __tablename__ = "editions"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    made: Mapped[str]
    rejects: Mapped[bool]


class EvidenceRow(Base):
    """Moments, daily counts and health at one lake version; the same evidence is kept once (``digest``)."""

    __tablename__ = "evidence"

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(ForeignKey("experiments.name"), index=True)
    as_of: Mapped[datetime]
    lake_versions: Mapped[dict[str, Any]]
    document: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(unique=True)


class VerdictRow(Base):
    """What the sealed plan said at one look, with the whole judgement behind it."""

    __tablename__ = "verdicts"
    __table_args__ = (
        UniqueConstraint("experiment", "look"),
        Index(None, "evidence_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(ForeignKey("experiments.name"))
    look: Mapped[int]
    plan_hash: Mapped[str] = mapped_column(ForeignKey("plans.hash"))
    evidence_id: Mapped[int] = mapped_column(ForeignKey("evidence.id"))
    kind: Mapped[str]
    arm: Mapped[str | None]
    document: Mapped[dict[str, Any]]
    at: Mapped[datetime]
