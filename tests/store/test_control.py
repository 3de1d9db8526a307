"""The control plane on both databases."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from sqlalchemy.orm import Session

from experiments.core.evidence import DailyCounts, Evidence, Health
from experiments.core.lifecycle import (
    Approve,
    Conclude,
    Decline,
    FinishGeneration,
    Generate,
    NotPossibleNow,
    NotTheWinner,
    Phase,
    Promote,
    RecordLook,
    Start,
    allocation,
)
from experiments.core.names import BadName
from experiments.core.plan import Arm, Direction, Metric, Plan, Promotion, Role
from experiments.core.statistics.moments import UnitMoments
from experiments.store.catalogue import VariantsFixed
from experiments.store.codec import PlanTampered
from experiments.store.control import ExperimentExists, PlanNotSealed, WrongPlan
from experiments.store.database import for_writing
from experiments.store.lookups import Unknown
from experiments.store.schema import ExperimentRow, PlanRow, VerdictRow

NAME = "spring-sale"
PLAN = Plan(
    NAME, NAME, "original", (Arm("original", "original"), Arm("mosaic", "mosaic#0123456789ab@0.6", 0.1)),
    start=datetime(2026, 11, 2, 6, 0, 0, 1, tzinfo=UTC),
    metrics=(
        Metric("ctr", "clicks", "impressions"),
        Metric("bounce", "clicks", direction=Direction.DECREASE, role=Role.GUARDRAIL, margin=0.05),
    ),
    promotion=Promotion.AUTO,
)  # fmt: skip
MONEY = 123_456_789_012_345_678_901_234_567_890
EVIDENCE = Evidence(
    NAME,
    as_of=datetime(2026, 11, 9, tzinfo=UTC),
    lake_versions={"impressions": 4, "outcomes": 7},
    arms={"original": UnitMoments(3, (5, 1, 0, MONEY), (9, 2, 0, 1, 1, 0, 0, 0, 0, MONEY**2)), "mosaic": UnitMoments()},
    daily=(DailyCounts(date(2026, 11, 2), "original", 5, 1, 0),),
    health=Health(1, {"mosaic": 2}, {}, 3, 4, 7, 6, datetime(2026, 11, 8, 23, 59, 59, 999999, tzinfo=UTC)),
)


class Kind(StrEnum):
    PROMOTE = "promote"
    KEEP_RUNNING = "keep_running"


@dataclass(frozen=True, slots=True)
class FakeVerdict:
    kind: Kind
    arm: str | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FakeJudgement:
    verdict: FakeVerdict
    information: float = 0.25
    upper: float = float("inf")


@dataclass(frozen=True, slots=True)
class Gate:
    findings: tuple[dict, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    arm: str
    slot: str = "300x250"
    file_name: str = "ad.jpg"
    path: Path = Path("variants/ad.jpg")
    sha256: str = "ab" * 32
    bytes: int = 3_000_000_000
    width: int = 300
    height: int = 250
    provenance: object = None
    gate: Gate = Gate(({"code": "too-similar", "value": 0.98},))


@dataclass(frozen=True, slots=True)
class Look:
    identity: str = "mosaic#0123456789ab"
    name: str = "mosaic"
    engine: str = "filters"
    engine_version: str = "1"
    parameters: object = None
    weights_sha256: str | None = None


def variants(*arms: str) -> list[Variant]:
    return [Variant(arm, provenance={"seed": 7}) for arm in arms]


def in_review(control, name: str = NAME):
    control.create_experiment(name, {"experiment": name}, salt=name, control="original", actor="ada")
    control.execute(name, Generate(), "ada")
    control.save_variants(name, variants("original", "mosaic"))
    control.execute(name, FinishGeneration(2), "job")


def running(control) -> str:
    in_review(control)
    control.execute(NAME, Approve(), "mary")
    return control.seal_plan(NAME, PLAN, "ada")


def judge(control, look: int = 1, verdict: FakeVerdict = FakeVerdict(Kind.PROMOTE, "mosaic"), **options):
    evidence_id = control.record_evidence(EVIDENCE)
    return control.record_judgement(NAME, look, PLAN.seal(), evidence_id, FakeJudgement(verdict), "job", **options)


def test_a_life_is_written_down(control, clock):
    running(control)
    clock.forward(days=7)
    judge(control, then=Conclude("mosaic"))
    state, facts = control.execute(NAME, Promote("mosaic"), "mary")
    assert (state.phase, state.promoted_arm, [fact.kind for fact in facts]) == (Phase.PROMOTED, "mosaic", ["promoted"])
    assert control.state(NAME) == state
    history = control.history(NAME)
    assert [fact.kind for fact in history] == [
        "created", "generating", "generated", "approved", "started", "judged", "concluded", "promoted",
    ]  # fmt: skip
    assert [fact.sequence for fact in history] == list(range(1, 9))
    assert (history[-1].actor, history[-1].at, history[-1].payload) == ("mary", clock.now, {"arm": "mosaic"})
    (record,) = control.experiments()
    assert record == control.experiment(NAME)
    assert record.phase is Phase.PROMOTED
    assert (record.winner, record.promoted_arm, record.version) == ("mosaic", "mosaic", 8)
    assert (record.updated_at - record.created_at).days == 7
    assert allocation(state, PLAN.weights, PLAN.control, PLAN.holdback)["mosaic"] == 0.95


def test_what_is_refused_leaves_no_trace(control):
    in_review(control)
    before = control.experiment(NAME), control.history(NAME)
    with pytest.raises(NotPossibleNow):
        control.execute(NAME, Promote("mosaic"), "mary")
    assert (control.experiment(NAME), control.history(NAME)) == before


def test_what_is_so_already_adds_nothing(control):
    in_review(control)
    control.execute(NAME, Approve(), "mary")
    before = control.history(NAME)
    assert control.execute(NAME, Approve(), "mary")[1] == ()
    assert control.history(NAME) == before


def test_names_are_checked_and_given_once(control):
    in_review(control)
    with pytest.raises(ExperimentExists, match="choose another name"):
        in_review(control)
    with pytest.raises(BadName):
        in_review(control, "../etc")
    with pytest.raises(Unknown, match="did you mean 'spring-sale'"):
        control.execute("spring-sail", Approve(), "mary")
    for ask in (control.state, control.experiment, control.history, control.plan, control.variants, control.verdicts):
        with pytest.raises(Unknown, match="did you mean 'spring-sale'"):
            ask("sprong-sale")


def test_experiments_are_listed_oldest_first(control, clock):
    for name in ("b", "a", "c"):
        clock.forward(minutes=1)
        control.create_experiment(name, {}, salt=name, control="original", actor="ada")
    assert [record.name for record in control.experiments()] == ["b", "a", "c"]


def test_a_sealed_plan_comes_back_exactly(control):
    sealed = running(control)
    assert control.plan(NAME) == (PLAN, sealed)
    assert control.state(NAME).plan_hash == sealed == control.experiment(NAME).plan_hash
    assert control.state(NAME).arms == ("original", "mosaic")


def test_a_plan_belongs_to_its_experiment(control):
    in_review(control)
    with pytest.raises(PlanNotSealed, match="adstyle experiment start"):
        control.plan(NAME)
    control.execute(NAME, Approve(), "mary")
    for other in (replace(PLAN, experiment="x"), replace(PLAN, salt="x"), replace(PLAN, control="mosaic")):
        with pytest.raises(WrongPlan):
            control.seal_plan(NAME, other, "ada")
    with pytest.raises(WrongPlan, match="no time zone"):
        control.seal_plan(NAME, replace(PLAN, start=PLAN.start.replace(tzinfo=None)), "ada")
    with pytest.raises(WrongPlan, match="sealing"):
        control.execute(NAME, Start(PLAN.seal(), ("original", "mosaic")), "ada")
    with pytest.raises(WrongPlan, match="with its verdict"):
        control.execute(NAME, RecordLook(1, "promote", "mosaic"), "ada")
    assert control.state(NAME).phase is Phase.REVIEW


@pytest.mark.parametrize("change", [{"alpha": 0.5}, {"alpha": None}, {"extra": 1}, {"metrics": []}, {"start": "never"}])
def test_a_plan_that_was_tampered_with_is_refused(control, engine, change):
    running(control)
    with Session(for_writing(engine)) as session, session.begin():
        session.execute(update(PlanRow).values(document=PLAN.document() | change))
    with pytest.raises(PlanTampered, match="backup"):
        control.plan(NAME)


def test_creatives_change_only_while_generating(control):
    in_review(control)
    (original, mosaic) = control.variants(NAME)
    assert (mosaic.arm, mosaic.slot, mosaic.path, mosaic.bytes) == (
        "mosaic",
        "300x250",
        "variants/ad.jpg",
        3_000_000_000,
    )
    assert mosaic.gate == {"findings": [{"code": "too-similar", "value": 0.98}]}
    assert original.provenance == {"seed": 7}
    with pytest.raises(VariantsFixed, match="review"):
        control.save_variants(NAME, variants("ink"))
    control.execute(NAME, Generate(), "ada")
    control.save_variants(NAME, variants("original", "ink"))
    control.save_variants(NAME, variants("original", "ink"))
    assert [variant.arm for variant in control.variants(NAME)] == ["original", "ink"]


def test_only_arms_that_have_creatives_are_declined(control):
    in_review(control)
    with pytest.raises(Unknown, match="did you mean 'mosaic'"):
        control.execute(NAME, Decline("mosiac"), "mary")
    state, _ = control.execute(NAME, Decline("mosaic", "off brand"), "mary")
    assert state.declined_arms == ("mosaic",)


def test_briefs_are_kept_by_revision(control, clock):
    first = control.save_brief("shoes", {"headline": "Run", "slots": ("300x250",)})
    clock.forward(days=1)
    assert control.save_brief("shoes", {"slots": ["300x250"], "headline": "Run"}) == first
    second = control.save_brief("shoes", {"headline": "Fly"})
    back = control.save_brief("shoes", {"headline": "Run", "slots": ["300x250"]})
    assert [first.revision, second.revision, back.revision] == [1, 2, 3]
    assert back.sha256 == first.sha256
    assert control.brief("shoes") == back
    with pytest.raises(Unknown, match="did you mean 'shoes'"):
        control.brief("shoe")


def test_a_style_is_kept_once(control):
    control.save_style(Look(parameters={"levels": 4}))
    control.save_style(Look(parameters={"levels": 4}))
    control.save_style(Look("ink#0123456789ab", "ink", parameters={}))


def test_evidence_comes_back_exactly_and_once(control):
    in_review(control)
    evidence_id = control.record_evidence(EVIDENCE)
    assert control.record_evidence(EVIDENCE) == evidence_id
    assert control.evidence(evidence_id) == EVIDENCE
    later = replace(EVIDENCE, lake_versions={"impressions": 5})
    assert control.record_evidence(later) != evidence_id
    with pytest.raises(Unknown, match="number 99"):
        control.evidence(99)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 10**40), min_size=15, max_size=15), st.text(st.characters(codec="utf-8"), max_size=5))
def test_moments_of_any_size_survive(control, numbers, arm):
    if not control.experiments():
        in_review(control)
    arm = arm.replace("\0", "")
    moments = UnitMoments(numbers[0], tuple(numbers[1:5]), tuple(numbers[5:]))
    evidence = replace(EVIDENCE, arms={arm: moments}, health=replace(EVIDENCE.health, last_event=None))
    assert control.evidence(control.record_evidence(evidence)) == evidence


def test_a_look_is_judged_once(control, clock):
    running(control)
    keep = FakeVerdict(Kind.KEEP_RUNNING, reasons=("wait_next_look",))
    first = judge(control, 1, keep)
    assert (first.kind, first.arm, first.information) == ("keep_running", None, 0.25)
    assert first.document == {
        "verdict": {"kind": "keep_running", "arm": None, "reasons": ["wait_next_look"]},
        "information": 0.25,
        "upper": None,
    }
    clock.forward(days=1)
    assert judge(control, 1, FakeVerdict(Kind.PROMOTE, "mosaic")) == first
    second = judge(control, 2, FakeVerdict(Kind.PROMOTE, "mosaic"))
    assert control.verdicts(NAME) == (first, second)
    assert (control.state(NAME).looks_taken, control.state(NAME).found) == (2, "mosaic")


def test_a_verdict_and_what_follows_are_one(control):
    running(control)
    with pytest.raises(NotTheWinner):
        judge(control, 1, FakeVerdict(Kind.KEEP_RUNNING), then=Conclude("mosaic"))
    assert control.verdicts(NAME) == ()
    assert control.state(NAME).looks_taken == 0


def test_a_verdict_rests_on_the_sealed_plan_and_its_own_evidence(control):
    running(control)
    in_review(control, "other")
    other = control.record_evidence(replace(EVIDENCE, experiment="other"))
    judgement = FakeJudgement(FakeVerdict(Kind.KEEP_RUNNING))
    with pytest.raises(WrongPlan, match="under plan beefbeefbeef"):
        control.record_judgement(NAME, 1, "beef" * 16, other, judgement, "job")
    for evidence_id in (other, 99):
        with pytest.raises(WrongPlan, match="not this experiment's"):
            control.record_judgement(NAME, 1, PLAN.seal(), evidence_id, judgement, "job")
    assert control.verdicts(NAME) == ()


def test_rows_sum_up_the_facts(control, engine):
    """The row is a projection: whatever it says is what the milestones say."""
    running(control)
    judge(control, then=Conclude("mosaic"))
    state = control.state(NAME)
    with Session(engine) as session:
        row = session.get(ExperimentRow, NAME)
        assert (row.phase, row.version, row.plan_hash, row.winner, row.promoted_arm) == (
            state.phase, state.version, state.plan_hash, state.winner, state.promoted_arm,
        )  # fmt: skip
        assert session.query(VerdictRow).count() == 1


def test_old_evidence_is_forgotten_unless_a_verdict_rests_on_it(control):
    running(control)
    judged = control.record_evidence(EVIDENCE)
    control.record_judgement(NAME, 1, PLAN.seal(), judged, FakeJudgement(FakeVerdict(Kind.KEEP_RUNNING)), "job")
    old = control.record_evidence(replace(EVIDENCE, as_of=EVIDENCE.as_of - timedelta(microseconds=1)))
    limit = control.record_evidence(replace(EVIDENCE, as_of=EVIDENCE.as_of, lake_versions={"impressions": 1}))
    assert control.unjudged_evidence(EVIDENCE.as_of) == 1
    assert EVIDENCE in control.evidence_at(EVIDENCE.experiment, EVIDENCE.as_of)
    assert control.evidence_at(EVIDENCE.experiment, EVIDENCE.as_of + timedelta(days=1)) == ()
    assert control.forget_evidence(EVIDENCE.as_of) == 1
    with pytest.raises(Unknown):
        control.evidence(old)
    assert control.evidence(limit).as_of == EVIDENCE.as_of
    assert control.forget_evidence(EVIDENCE.as_of + timedelta(days=9)) == 1
    assert control.evidence(judged) == EVIDENCE
    assert control.unjudged_evidence(EVIDENCE.as_of + timedelta(days=9)) == 0
