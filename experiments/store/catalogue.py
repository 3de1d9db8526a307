"""The catalogue: briefs, styles and creatives."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from experiments.core.errors import ExperimentError
from experiments.core.lifecycle import Phase
from experiments.core.names import check_name
from experiments.store.codec import canonical_sha256, plain
from experiments.store.database import write
from experiments.store.lookups import as_record, experiment_row, unknown
from experiments.store.records import BriefRecord, StyleLike, VariantLike, VariantRecord
from experiments.store.schema import BriefRow, StyleRow, VariantRow


class VariantsFixed(ExperimentError):
    """Creatives change only while they are being generated."""


class Catalogue:
    """What experiments are made of. `ControlPlane` adds their life."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def save_brief(self, name: str, document: Mapping[str, Any]) -> BriefRecord:
        """Keep a brief; where it differs from the latest revision, as a new one."""
        check_name("brief", name)
        kept = plain(document)
        sha256 = canonical_sha256(kept)

        def work(session: Session) -> BriefRecord:
            latest = _latest_brief(session, name)
            if latest is None or latest.sha256 != sha256:
                revision = latest.revision + 1 if latest else 1
                latest = BriefRow(name=name, revision=revision, sha256=sha256, document=kept, saved_at=self._clock())
                session.add(latest)
                session.flush()
            return as_record(BriefRecord, latest)

        return write(self._engine, work)

    def brief(self, name: str) -> BriefRecord:
        """The latest revision of a brief."""
        with Session(self._engine) as session:
            row = _latest_brief(session, name)
            if row is None:
                raise unknown("brief", name, session.scalars(select(BriefRow.name).distinct()).all())
            return as_record(BriefRecord, row)

    def save_style(self, style: StyleLike) -> None:
        """Keep one exact look; one that is known already stays as it is."""

        def work(session: Session) -> None:
            if session.get(StyleRow, style.identity) is None:
                session.add(
                    StyleRow(
                        identity=style.identity, name=style.name, engine=style.engine,
                        engine_version=style.engine_version, parameters=plain(style.parameters),
                        weights_sha256=style.weights_sha256, first_seen=self._clock(),
                    )
                )  # fmt: skip

        write(self._engine, work)

    def save_variants(self, name: str, variants: Iterable[VariantLike]) -> None:
        """Keep the creatives of an experiment that is generating, in place of any it had.

        Raises:
            VariantsFixed: in any other phase, because what people approved is what is served.
        """
        kept = [_variant(name, variant) for variant in variants]

        def work(session: Session) -> None:
            phase = experiment_row(session, name).phase
            if phase != Phase.GENERATING:
                raise VariantsFixed(f"{name} is {phase}: creatives change only while they are being generated")
            session.execute(delete(VariantRow).where(VariantRow.experiment == name))
            session.add_all(VariantRow(**fields) for fields in kept)

        write(self._engine, work)

    def variants(self, name: str) -> tuple[VariantRecord, ...]:
        """The experiment's creatives, in the order in which they were saved."""
        with Session(self._engine) as session:
            experiment_row(session, name)
            rows = session.scalars(select(VariantRow).where(VariantRow.experiment == name).order_by(VariantRow.id))
            return tuple(as_record(VariantRecord, row) for row in rows)


def _latest_brief(session: Session, name: str) -> BriefRow | None:
    return session.scalar(select(BriefRow).where(BriefRow.name == name).order_by(BriefRow.revision.desc()).limit(1))


def _variant(name: str, variant: VariantLike) -> dict[str, Any]:
    return {
        "experiment": name,
        **{field: plain(getattr(variant, field)) for field in VariantRecord.__dataclass_fields__},
    }
