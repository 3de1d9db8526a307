"""The control plane: experiments and their milestones, and all that is known of them besides events.

Every change is one transaction: the facts, the row that sums them up, and what they speak of (a plan, a verdict) are
written together or not at all. Of two writers at once one wins; the other's wish is decided anew on what it left.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from experiments.core.commands import Command, Conclude, Create, Decline, RecordLook, Reweight, Start
from experiments.core.errors import ExperimentError
from experiments.core.evidence import Evidence
from experiments.core.lifecycle import Dealing, Milestone, MilestoneKind, Phase, State, dealings, decide, evolve, replay
from experiments.core.names import check_name
from experiments.core.plan import Plan
from experiments.store.catalogue import Catalogue
from experiments.store.codec import (
    RESTORE,
    Damaged,
    PlanTampered,
    canonical_sha256,
    evidence_document,
    plain,
    restore_evidence,
    restore_plan,
)
from experiments.store.database import write
from experiments.store.lookups import UNREADABLE, Unknown, as_record, experiment_row, refuse_unreadable, unknown
from experiments.store.records import ExperimentRecord, JudgementLike, Life, MilestoneRecord, VerdictRecord
from experiments.store.schema import EvidenceRow, ExperimentRow, MilestoneRow, PlanRow, VariantRow, VerdictRow

NO_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
"""Of a row that cannot be read: nothing is earlier."""


class ExperimentExists(ExperimentError):
    """A name is given once."""


class PlanNotSealed(ExperimentError):
    """The experiment has not started, so nothing is promised yet."""


class WrongPlan(ExperimentError):
    """A plan or verdict that does not belong to this experiment."""


class ControlPlane(Catalogue):
    """All reading and writing of the control plane; cheap to make, safe to share between threads.

    Made of an engine from `open_database` and a clock that gives aware instants.
    """

    # --- an experiment's life -----------------------------------------------------------------------------------------

    def create_experiment(
        self, name: str, document: Mapping[str, Any], *, salt: str, control: str, actor: str
    ) -> State:
        """Take an experiment in as a draft; ``document`` is kept as given.

        Raises:
            BadName: for a name that is no slug.
            ExperimentExists: where the name is taken.
        """
        check_name("experiment", name)

        def work(session: Session) -> State:
            if session.get(ExperimentRow, name):
                raise ExperimentExists(
                    f"there is an experiment {name!r} already, and what its file said then holds; for a changed file "
                    "choose another name"
                )
            now = self._clock()
            facts = decide(None, Create(name, control))
            state = evolve(None, facts[0])
            session.add(
                ExperimentRow(
                    name=name, phase=state.phase, version=state.version, document=plain(document), salt=salt,
                    control=control, created_at=now, updated_at=now,
                )
            )  # fmt: skip
            session.flush()
            self._append(session, name, 0, facts, actor)
            return state

        return write(self._engine, work)

    def execute(self, name: str, command: Command, actor: str) -> tuple[State, tuple[Milestone, ...]]:
        """Decide ``command`` and write down what follows; returns the new state and the facts added.

        No fact is added where everything is so already.

        Raises:
            Unknown: for an experiment that does not exist.
            Refusal: where the life cycle does not allow it.
        """
        if isinstance(command, Start):
            raise WrongPlan(f"{name}: an experiment is started by sealing its plan (seal_plan)")
        if isinstance(command, RecordLook):
            raise WrongPlan(f"{name}: a look is recorded with its verdict (record_judgement)")
        return write(self._engine, lambda session: self._execute(session, name, command, actor))

    def seal_plan(self, name: str, plan: Plan, actor: str) -> str:
        """Start: keep ``plan`` under its hash and run. Returns the hash.

        Raises:
            WrongPlan: where the plan is another experiment's.
            Refusal: where the experiment cannot start.
        """
        sealed = plan.seal()

        def work(session: Session) -> str:
            row = experiment_row(session, name)
            promised = (plan.experiment, plan.salt, plan.control)
            if promised != (name, row.salt, row.control):
                raise WrongPlan(
                    f"{name}: the plan is for experiment {plan.experiment!r}, salt {plan.salt!r} and control "
                    f"{plan.control!r}; this is {name!r}, {row.salt!r} and {row.control!r}"
                )
            if plan.start.tzinfo is None:
                raise WrongPlan(f"{name}: the plan's start {plan.start} has no time zone; give it in UTC")
            self._execute(session, name, Start(sealed, tuple(plan.weights)), actor)
            session.add(PlanRow(hash=sealed, experiment=name, document=plain(plan.document()), sealed_at=self._clock()))
            return sealed

        return write(self._engine, work)

    def plan(self, name: str) -> tuple[Plan, str]:
        """The sealed plan and its hash, which is computed anew.

        Raises:
            PlanNotSealed: before the start.
            PlanTampered: where the kept plan is not what was sealed.
        """
        with Session(self._engine) as session:
            sealed = experiment_row(session, name).plan_hash
            if sealed is None:
                raise PlanNotSealed(
                    f"{name} has not started, so it has no sealed plan: adstyle experiment start {name}"
                )
            kept = select(PlanRow.document).where(PlanRow.experiment == name, PlanRow.hash == sealed)
            try:
                document = session.scalar(kept)
            except Damaged as error:
                raise PlanTampered(f"{name}: {error}") from None
            return _restored(name, sealed, document), sealed

    def state(self, name: str) -> State:
        """What the experiment's milestones amount to.

        Raises:
            Damaged: as `history`.
        """
        with Session(self._engine) as session:
            return _replayed(session, name)[1]

    def experiment(self, name: str) -> ExperimentRecord:
        """One experiment as lists show it, with its document."""
        with Session(self._engine) as session:
            return _experiment_record(experiment_row(session, name))

    def experiments(self) -> tuple[ExperimentRecord, ...]:
        """Every experiment, the oldest first; of a damaged one what can be read."""
        order = (ExperimentRow.created_at, ExperimentRow.name)
        with Session(self._engine) as session:
            try:
                rows = session.scalars(select(ExperimentRow).order_by(*order)).all()
                for row in rows:
                    refuse_unreadable(row)
            except UNREADABLE:  # which of them it is, each tells for itself
                names = session.scalars(select(ExperimentRow.name).order_by(*order)).all()
                return tuple(_as_readable(session, name) for name in names)
            return tuple(_experiment_record(row) for row in rows)

    def lives(self) -> tuple[tuple[ExperimentRecord, Life | Damaged], ...]:
        """Every experiment that has started, and its life or what keeps anyone from telling it.

        As `plan` and `history` say, in as many questions for all as they take for one.
        """
        started = [record for record in self.experiments() if record.plan_hash is not None]
        plans, facts = dict[tuple[str, str], Any](), defaultdict[str, list[Any]](list)
        with Session(self._engine) as session:
            try:
                for experiment, sealed, document in session.execute(
                    select(PlanRow.experiment, PlanRow.hash, PlanRow.document)
                ):
                    plans[experiment, sealed] = document
                for fact in session.execute(select(*_FACTS).order_by(MilestoneRow.experiment, MilestoneRow.sequence)):
                    facts[fact.experiment].append(fact)
            except UNREADABLE:  # whose it is, each tells for itself
                return tuple((record, self._life(record.name)) for record in started)
        return tuple(
            (record, _life(record, plans.get((record.name, str(record.plan_hash))), facts[record.name]))
            for record in started
        )

    def _life(self, name: str) -> Life | Damaged:
        try:
            return Life(self.plan(name)[0], self.history(name), self.state(name))
        except Damaged as error:
            return error

    def damage(self, name: str) -> Damaged | None:
        """What keeps anyone from working on the experiment, and on no other."""
        try:
            self.experiment(name)
            self.state(name)
            self.plan(name)
        except PlanNotSealed:
            return None
        except Damaged as error:
            return error
        return None

    def history(self, name: str) -> tuple[MilestoneRecord, ...]:
        """Every fact of the experiment's life, in order.

        Raises:
            Damaged: where the facts are not those that were written.
        """
        with Session(self._engine) as session:
            return _history(_replayed(session, name)[0])

    def dealings(self, name: str) -> tuple[Dealing, ...]:
        """How the experiment's units have been dealt since its start: anew at every pause and change of shares.

        Raises:
            PlanNotSealed: before the start.
        """
        plan, _ = self.plan(name)
        return dealings(((fact.at, Milestone(fact.kind, fact.payload)) for fact in self.history(name)), plan)

    # --- evidence and verdicts ----------------------------------------------------------------------------------------

    def record_evidence(self, evidence: Evidence) -> int:
        """Keep a snapshot of evidence and return its id; the same evidence has one id."""
        document = evidence_document(evidence)
        versions = plain(evidence.lake_versions)
        digest = canonical_sha256([evidence.experiment, evidence.as_of.timestamp(), versions, document])

        def work(session: Session) -> int:
            experiment_row(session, evidence.experiment)
            row = session.scalar(select(EvidenceRow).where(EvidenceRow.digest == digest))
            if row is None:
                row = EvidenceRow(
                    experiment=evidence.experiment, as_of=evidence.as_of, lake_versions=versions, document=document,
                    digest=digest,
                )  # fmt: skip
                session.add(row)
                session.flush()
            return row.id

        return write(self._engine, work)

    def evidence(self, evidence_id: int) -> Evidence:
        """The evidence exactly as it was recorded."""
        with Session(self._engine) as session:
            row = session.get(EvidenceRow, evidence_id)
            if row is None:
                raise Unknown(f"there is no evidence number {evidence_id}")
            return restore_evidence(row.experiment, row.as_of, row.lake_versions, row.document)

    def evidence_at(self, name: str, as_of: datetime) -> tuple[Evidence, ...]:
        """All that was recorded of an experiment at an instant, the latest first."""
        query = select(EvidenceRow).where(EvidenceRow.experiment == name, EvidenceRow.as_of == as_of)
        with Session(self._engine) as session:
            rows = session.scalars(query.order_by(EvidenceRow.id.desc()))
            return tuple(restore_evidence(row.experiment, row.as_of, row.lake_versions, row.document) for row in rows)

    def unjudged_evidence(self, before: datetime) -> int:
        """How many snapshots of evidence before ``before`` no verdict rests on."""
        with Session(self._engine) as session:
            return session.scalar(select(func.count()).select_from(EvidenceRow).where(*_unjudged(before))) or 0

    def forget_evidence(self, before: datetime) -> int:
        """Delete those; what a verdict rests on stays for ever. Returns how many they were."""

        def work(session: Session) -> int:
            gone = session.scalars(delete(EvidenceRow).where(*_unjudged(before)).returning(EvidenceRow.id))
            return len(gone.all())

        return write(self._engine, work)

    def record_judgement(
        self,
        name: str,
        look: int,
        plan_hash: str,
        evidence_id: int,
        judgement: JudgementLike,
        actor: str,
        *,
        then: Conclude | Reweight | None = None,
    ) -> VerdictRecord:
        """Keep a verdict, the fact that the look was taken, and what follows from it (``then``), together.

        A look is judged once: for a look taken before, the verdict that stands is returned and nothing is written.

        Raises:
            WrongPlan: where the verdict rests on another plan or another experiment's evidence.
            Refusal: where the life cycle does not allow it.
        """
        verdict = judgement.verdict

        def work(session: Session) -> VerdictRecord:
            standing = session.scalar(select(VerdictRow).where(VerdictRow.experiment == name, VerdictRow.look == look))
            if standing:
                return as_record(VerdictRecord, standing)
            self._refuse_other_plan(session, name, plan_hash, evidence_id)
            self._execute(session, name, RecordLook(look, verdict.kind, verdict.arm), actor)
            row = VerdictRow(
                experiment=name, look=look, plan_hash=plan_hash, evidence_id=evidence_id, kind=str(verdict.kind),
                arm=verdict.arm, document=plain(judgement), at=self._clock(),
            )  # fmt: skip
            session.add(row)
            session.flush()
            if then is not None:
                self._execute(session, name, then, actor)
            return as_record(VerdictRecord, row)

        return write(self._engine, work)

    def verdicts(self, name: str) -> tuple[VerdictRecord, ...]:
        """Every verdict of the experiment, by look."""
        with Session(self._engine) as session:
            experiment_row(session, name)
            rows = session.scalars(select(VerdictRow).where(VerdictRow.experiment == name).order_by(VerdictRow.look))
            try:
                return tuple(as_record(VerdictRecord, row) for row in rows)
            except UNREADABLE as error:
                raise Damaged(f"{name}: its verdicts cannot be read ({error}): {RESTORE}") from None

    # --- within one transaction ---------------------------------------------------------------------------------------

    def _execute(
        self, session: Session, name: str, command: Command, actor: str
    ) -> tuple[State, tuple[Milestone, ...]]:
        row = experiment_row(session, name)
        _, before = _replayed(session, name)
        if isinstance(command, Decline) and before.phase is Phase.REVIEW:
            _refuse_unknown_arm(session, name, command.arm)
        facts = decide(before, command)
        after = before
        for fact in facts:
            after = evolve(after, fact)
        if facts:
            row.phase, row.version, row.plan_hash = after.phase, after.version, after.plan_hash
            row.winner, row.promoted_arm, row.updated_at = after.winner, after.promoted_arm, self._clock()
            self._append(session, name, before.version, facts, actor)
        return after, facts

    def _append(self, session: Session, name: str, version: int, facts: Iterable[Milestone], actor: str) -> None:
        now = self._clock()
        session.add_all(
            MilestoneRow(
                experiment=name, sequence=sequence, kind=fact.kind, at=now, actor=actor, payload=plain(fact.payload)
            )
            for sequence, fact in enumerate(facts, start=version + 1)
        )
        session.flush()

    def _refuse_other_plan(self, session: Session, name: str, plan_hash: str, evidence_id: int) -> None:
        sealed = experiment_row(session, name).plan_hash
        if sealed != plan_hash:
            raise WrongPlan(
                f"{name}: the verdict was reached under plan {plan_hash[:12]}, but "
                f"{f'{sealed[:12]} is sealed' if sealed else 'none is sealed'}; judge it again"
            )
        evidence = session.get(EvidenceRow, evidence_id)
        if evidence is None or evidence.experiment != name:
            raise WrongPlan(f"{name}: evidence number {evidence_id} is not this experiment's; judge its own")


def _unjudged(before: datetime) -> tuple[ColumnElement[bool], ...]:
    return EvidenceRow.as_of < before, ~exists().where(VerdictRow.evidence_id == EvidenceRow.id)


class _Fact(Protocol):
    """One of the experiment's milestones, as a row or as some of its columns."""

    @property
    def sequence(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def actor(self) -> str: ...
    @property
    def payload(self) -> Mapping[str, Any]: ...


_FACTS = (MilestoneRow.experiment, *(getattr(MilestoneRow, each) for each in MilestoneRecord.__dataclass_fields__))


def _replayed(session: Session, name: str) -> tuple[Sequence[MilestoneRow], State]:
    """The experiment's facts in order, and what they amount to."""
    query = select(MilestoneRow).where(MilestoneRow.experiment == name).order_by(MilestoneRow.sequence)
    try:
        rows = session.scalars(query).all()
    except UnicodeEncodeError:  # the name asked for is no text
        raise
    except UNREADABLE as error:
        raise _untold(name, error) from None
    if not rows:
        experiment_row(session, name)
    return rows, _amount_to(name, rows)


def _amount_to(name: str, facts: Sequence[_Fact]) -> State:
    try:
        state = replay(Milestone(MilestoneKind(fact.kind), fact.payload) for fact in facts)
    except UNREADABLE as error:
        raise _untold(name, error) from None
    if state is None:
        raise Damaged(f"{name}: its milestones are not there any more: {RESTORE}")
    return state


def _untold(name: str, error: Exception) -> Damaged:
    return Damaged(f"{name}: its milestones cannot be read ({error}): {RESTORE}")


def _history(facts: Iterable[_Fact]) -> tuple[MilestoneRecord, ...]:
    return tuple(
        MilestoneRecord(fact.sequence, MilestoneKind(fact.kind), fact.at, fact.actor, fact.payload) for fact in facts
    )


def _life(record: ExperimentRecord, document: Any, facts: Sequence[_Fact]) -> Life | Damaged:
    try:
        if record.damage:
            raise record.damage
        state = _amount_to(record.name, facts)
        return Life(_restored(record.name, str(record.plan_hash), document), _history(facts), state)
    except Damaged as error:
        return error


def _restored(name: str, sealed: str, document: Any) -> Plan:
    if document is None:
        raise PlanTampered(f"{name}: the plan {sealed[:12]} is not there any more: {RESTORE}")
    try:
        return restore_plan(document, sealed)
    except PlanTampered as error:
        raise PlanTampered(f"{name}: {error}") from None


def _refuse_unknown_arm(session: Session, name: str, arm: str | None) -> None:
    arms = session.scalars(select(VariantRow.arm).where(VariantRow.experiment == name).distinct()).all()
    if arm is not None and arm not in arms:
        raise unknown(f"arm of {name}", arm, arms)


def _experiment_record(row: ExperimentRow) -> ExperimentRecord:
    fields = {column.key: getattr(row, column.key) for column in ExperimentRow.__table__.columns}
    return ExperimentRecord(**{**fields, "phase": Phase(row.phase)})


_ALWAYS_READABLE = ("name", "version", "salt", "control", "plan_hash", "winner", "promoted_arm")
"""Columns of text and numbers, which any driver gives back."""


def _as_readable(session: Session, name: str) -> ExperimentRecord:
    try:
        return _experiment_record(experiment_row(session, name))
    except Damaged as error:
        known = (getattr(ExperimentRow, each) for each in _ALWAYS_READABLE)
        (values,) = session.execute(select(*known).where(ExperimentRow.name == name))
        return ExperimentRecord(
            **values._mapping, phase=None, document={}, created_at=NO_INSTANT, updated_at=NO_INSTANT, damage=error
        )
