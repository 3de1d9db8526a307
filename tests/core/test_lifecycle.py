"""The life of an experiment: every path Hypothesis can think of keeps what people rely on."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from experiments.core.lifecycle import (
    TRANSITIONS,
    Approve,
    Archive,
    BadArm,
    Conclude,
    Create,
    Decline,
    FinishGeneration,
    Generate,
    LookOutOfTurn,
    Milestone,
    MilestoneKind,
    NotApproved,
    NothingWaits,
    NotPossibleNow,
    NotTheWinner,
    Pause,
    Phase,
    Promote,
    ProposalAnswered,
    ProposePromotion,
    RecordLook,
    Refusal,
    Resume,
    Reweight,
    Rollback,
    Start,
    State,
    Stop,
    allocation,
    dealings,
    decide,
    draw_transitions,
    evolve,
    replay,
)
from experiments.core.plan import Arm, Plan

ARMS = ("original", "mosaic", "ink")
WEIGHTS = {"original": 0.5, "mosaic": 0.3, "ink": 0.2}
MOVED = {"original": 0.4, "mosaic": 0.5, "ink": 0.1}
NEW = Create("spring-sale", "original")
REVIEW = (NEW, Generate(), FinishGeneration(6))
RUNNING = (*REVIEW, Approve(), Start("cafe", ARMS))
WON = (*RUNNING, RecordLook(1, "promote", "mosaic"), Conclude("mosaic"))
LOST = (*RUNNING, RecordLook(1, "no_winner"), Conclude())


def after(*commands, state: State | None = None) -> State:
    for command in commands:
        for fact in decide(state, command):
            state = evolve(state, fact)
    return state


def kinds(state: State | None, command) -> list[str]:
    return [fact.kind for fact in decide(state, command)]


COMMANDS = st.one_of(
    st.sampled_from(
        [Generate(), FinishGeneration(6), Approve(), Pause(), Resume(), Stop("why"), Rollback(), Archive()]
    ),
    st.builds(Decline, st.sampled_from([None, *ARMS]), st.text(max_size=5)),
    st.builds(Start, st.just("cafe"), st.sampled_from([ARMS, ARMS[:2], ARMS[1:], ARMS[:1]])),
    st.builds(
        RecordLook, st.integers(0, 4), st.sampled_from(["promote", "keep_running"]), st.sampled_from([None, *ARMS])
    ),
    st.builds(
        Reweight,
        st.sampled_from(
            [
                {"original": 0.4, "mosaic": 0.5, "ink": 0.1},
                {"original": 0.5, "mosaic": 0.5},
                {"original": 0.5, "mosaic": 0.4, "ink": 0.2},
                {"original": 0.0, "mosaic": 0.5, "ink": 0.5},
            ]
        ),
    ),
    st.builds(Conclude, st.sampled_from([None, *ARMS])),
    st.builds(ProposePromotion, st.sampled_from(ARMS)),
    st.builds(Promote, st.sampled_from([None, *ARMS])),
)


class Life(RuleBasedStateMachine):
    """Anybody may ask for anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.state = after(NEW)
        self.facts = list(decide(None, NEW))
        self.verdicts: list[RecordLook] = []
        self.refusals: list[str] = []

    @rule(command=COMMANDS)
    def ask(self, command) -> None:
        before = self.state
        try:
            facts = decide(before, command)
        except Refusal as refusal:
            self.refusals.append(str(refusal))
            return
        for fact in facts:
            self.state = evolve(self.state, fact)
        self.facts += facts
        if facts:
            assert (facts[-1].kind, self.state.phase) == TRANSITIONS[before.phase, type(command)]
        if facts and isinstance(command, RecordLook):
            self.verdicts.append(command)
            assert command.look == before.looks_taken + 1

    @precondition(lambda self: self.state.phase is not Phase.ARCHIVED)
    @rule()
    def go_on(self) -> None:
        """The shortest way on, so that the late phases are reached too."""
        ways = {
            Phase.DRAFT: Generate(),
            Phase.GENERATING: FinishGeneration(6),
            Phase.REVIEW: Start("cafe", tuple(arm for arm in ARMS if arm not in self.state.declined_arms))
            if self.state.approved
            else Approve(),
            Phase.RUNNING: Conclude(self.state.found)
            if self.state.found
            else RecordLook(self.state.looks_taken + 1, "promote", self.state.arms[-1] if self.state.arms else None),
            Phase.PAUSED: Resume(),
            Phase.CONCLUDED: Promote(self.state.winner),
            Phase.PROMOTED: Rollback("fatigue"),
            Phase.ROLLED_BACK: Archive(),
        }
        self.ask(ways[self.state.phase])

    @invariant()
    def refusals_are_one_line_and_name_the_experiment(self) -> None:
        assert all(line.startswith("spring-sale") and "\n" not in line for line in self.refusals)

    @invariant()
    def facts_tell_the_state(self) -> None:
        told = [Milestone(MilestoneKind(fact.kind), json.loads(json.dumps(dict(fact.payload)))) for fact in self.facts]
        assert replay(told) == self.state
        assert self.state.version == len(self.facts)

    @invariant()
    def nothing_runs_without_a_plan_and_a_persons_yes(self) -> None:
        if self.state.phase in (Phase.RUNNING, Phase.PAUSED, Phase.CONCLUDED, Phase.PROMOTED, Phase.ROLLED_BACK):
            assert self.state.plan_hash == "cafe"
            assert self.state.approved
            assert self.state.control in self.state.arms
            assert not set(self.state.arms) & set(self.state.declined_arms)
            assert len(self.state.arms) > 1

    @invariant()
    def only_what_the_plan_found_is_promoted(self) -> None:
        if self.state.winner:
            last = self.verdicts[-1]
            assert (last.verdict, last.arm) == ("promote", self.state.winner)
            assert self.state.winner != self.state.control
        assert self.state.promoted_arm in (None, self.state.winner)

    @invariant()
    def serving_is_always_possible_and_never_shows_a_declined_arm(self) -> None:
        weights = {arm: WEIGHTS[arm] for arm in self.state.arms}
        shares = allocation(self.state, weights, self.state.control, 0.05)
        assert sum(shares.values()) > 0
        assert not set(shares) & set(self.state.declined_arms)
        if self.state.phase not in (Phase.RUNNING, Phase.PROMOTED):
            assert shares == {"original": 1.0}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


TYPED = {
    Phase.DRAFT: "generate, archive",
    Phase.GENERATING: "generate, archive",
    Phase.REVIEW: "generate, approve, decline, start, archive",
    Phase.RUNNING: "pause, stop",
    Phase.PAUSED: "resume, stop, archive",
    Phase.CONCLUDED: "approve, decline, promote, archive",
    Phase.PROMOTED: "rollback, archive",
    Phase.ROLLED_BACK: "archive",
    Phase.ARCHIVED: "nothing",
}
"""What a person can type in each phase."""


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("command", sorted({command for _, command in TRANSITIONS}, key=lambda each: each.__name__))
def test_what_the_table_does_not_hold_is_refused_with_what_is_possible(phase, command):
    if (phase, command) in TRANSITIONS:
        return
    arguments = {Create: ("x", "y"), FinishGeneration: (1,), Start: ("cafe", ARMS), RecordLook: (1, "promote", "ink"),
                 ProposePromotion: ("ink",), Promote: ("ink",), Reweight: (MOVED,)}.get(command, ())  # fmt: skip
    with pytest.raises(NotPossibleNow) as refusal:
        decide(State("spring-sale", "original", phase), command(*arguments))
    assert str(refusal.value).endswith(f"(possible now: {TYPED[phase]})")


@given(COMMANDS)
def test_nothing_can_be_done_with_what_was_never_created(command):
    with pytest.raises(NotPossibleNow, match="create it first"):
        decide(None, command)


def test_the_whole_story():
    state = after(*RUNNING, Pause(), Resume(), RecordLook(1, "keep_running"), RecordLook(2, "promote", "mosaic"))
    assert (state.phase, state.looks_taken, state.found) == (Phase.RUNNING, 2, "mosaic")
    state = after(Conclude("mosaic"), ProposePromotion("mosaic"), state=state)
    assert (state.phase, state.winner, state.proposed) == (Phase.CONCLUDED, "mosaic", "mosaic")
    state = after(Approve(), state=state)
    assert (state.phase, state.promoted_arm, state.proposed) == (Phase.PROMOTED, "mosaic", None)
    state = after(Rollback("looks tired"), state=state)
    assert (state.phase, state.promoted_arm, state.winner) == (Phase.ROLLED_BACK, None, "mosaic")
    with pytest.raises(NotPossibleNow, match="start a new experiment"):
        decide(state, Promote("mosaic"))
    assert after(Archive(), state=state).phase is Phase.ARCHIVED


def test_asking_twice_changes_nothing():
    state = after(*REVIEW, Decline("ink", "illegible"), Approve())
    assert decide(state, Approve()) == decide(state, Decline("ink", "illegible")) == ()
    state = after(*RUNNING, RecordLook(1, "keep_running"))
    assert decide(state, RecordLook(1, "promote", "mosaic")) == ()
    state = after(*WON, ProposePromotion("mosaic"))
    assert decide(state, ProposePromotion("mosaic")) == ()


def test_review():
    state = after(*REVIEW)
    with pytest.raises(NotApproved, match="approve them first"):
        decide(state, Start("cafe", ARMS))
    with pytest.raises(BadArm, match="is the control"):
        decide(state, Decline("original"))
    with pytest.raises(BadArm, match="which arm"):
        decide(state, Decline())
    state = after(Decline("ink", "illegible"), Approve(), state=state)
    assert state.declined_arms == ("ink",)
    with pytest.raises(BadArm, match="leave it out"):
        decide(state, Start("cafe", ARMS))
    with pytest.raises(BadArm, match="no arm is left"):
        decide(state, Start("cafe", ("original",)))
    with pytest.raises(BadArm, match="does not name the control"):
        decide(state, Start("cafe", ("mosaic",)))
    assert after(Start("cafe", ("original", "mosaic")), state=state).phase is Phase.RUNNING
    again = after(Generate(), FinishGeneration(6), state=state)
    assert (again.approved, again.declined_arms) == (False, ())


def test_a_declined_proposal_is_not_made_again_but_a_person_may_still_promote():
    state = after(*WON, ProposePromotion("mosaic"))
    with pytest.raises(BadArm, match="'mosaic' waits"):
        decide(state, Decline("ink"))
    state = after(Decline(None, "off brand"), state=state)
    assert (state.phase, state.proposed, state.proposal_answered) == (Phase.CONCLUDED, None, True)
    with pytest.raises(ProposalAnswered, match="declined"):
        decide(state, ProposePromotion("mosaic"))
    for answer in (Approve(), Decline()):
        with pytest.raises(NothingWaits):
            decide(state, answer)
    assert after(Promote("mosaic"), state=state).phase is Phase.PROMOTED


def test_only_the_winner_is_promoted():
    for command in (Promote("ink"), ProposePromotion("ink")):
        with pytest.raises(NotTheWinner, match="only the winner 'mosaic'"):
            decide(after(*WON), command)
        with pytest.raises(NotTheWinner, match="without a winner"):
            decide(after(*LOST), command)
    with pytest.raises(NotTheWinner, match="without a winner"):
        decide(after(*RUNNING, Stop("budget")), Promote(None))


def test_only_a_verdict_makes_a_winner():
    state = after(*RUNNING)
    with pytest.raises(NotTheWinner, match="names no winner"):
        decide(state, Conclude("mosaic"))
    with pytest.raises(NotTheWinner, match="names 'mosaic'"):
        decide(after(RecordLook(1, "promote", "mosaic"), state=state), Conclude("ink"))
    for arm in ("original", "stranger", None):
        with pytest.raises(BadArm, match="mosaic, ink"):
            decide(state, RecordLook(1, "promote", arm))
    for look in (0, 2, -1):
        with pytest.raises(LookOutOfTurn, match="next is look 1"):
            decide(state, RecordLook(look, "keep_running"))


def test_generation_that_made_nothing_is_refused():
    with pytest.raises(Refusal, match="no creatives were made"):
        decide(after(NEW, Generate()), FinishGeneration(0))


def test_milestones_carry_what_happened():
    assert kinds(None, NEW) == ["created"]
    assert decide(after(*REVIEW), Decline("ink", "illegible"))[0].payload == {"arm": "ink", "reason": "illegible"}
    assert decide(after(*RUNNING), Stop("budget"))[0] == Milestone(MilestoneKind.STOPPED, {"reason": "budget"})
    assert decide(after(*WON), Promote("mosaic"))[0] == Milestone(MilestoneKind.PROMOTED, {"arm": "mosaic"})


@pytest.mark.parametrize(
    ("commands", "shares"),
    [
        ((NEW,), {"original": 1.0}),
        (REVIEW, {"original": 1.0}),
        (RUNNING, WEIGHTS),
        ((*RUNNING, Pause()), {"original": 1.0}),
        ((*RUNNING, Reweight(MOVED)), MOVED),
        ((*RUNNING, Reweight(MOVED), Pause(), Resume()), MOVED),
        (WON, {"original": 1.0}),
        ((*WON, Promote("mosaic")), {"mosaic": 0.9, "original": 0.1}),
        ((*WON, Promote("mosaic"), Rollback()), {"original": 1.0}),
        ((*WON, Promote("mosaic"), Archive()), {"original": 1.0}),
    ],
)
def test_what_serving_uses(commands, shares):
    assert allocation(after(*commands), WEIGHTS, "original", 0.1) == shares


def test_a_running_experiment_serves_no_declined_arm():
    state = replace(after(*RUNNING), declined_arms=("ink",))
    assert allocation(state, WEIGHTS, "original", 0.1) == {"original": 0.5, "mosaic": 0.3}


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"original": 0.5, "mosaic": 0.5}, "add to 1 are needed for exactly original, mosaic, ink"),
        ({"original": 0.5, "mosaic": 0.4, "ink": 0.2}, "add to 1"),
        ({"original": 0.5, "mosaic": 0.7, "ink": -0.2}, "0 or more"),
        ({"original": float("nan"), "mosaic": 0.7, "ink": 0.3}, "0 or more"),
        ({"original": 0.0, "mosaic": 0.5, "ink": 0.5}, "'original' must keep a share"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, said):
    with pytest.raises(BadArm, match=said):
        decide(after(*RUNNING), Reweight(shares))


START = datetime(2026, 11, 2, tzinfo=UTC)
DAY = timedelta(days=1)
PLAN = Plan("spring-sale", "salt", "original", tuple(Arm(arm, arm, WEIGHTS[arm]) for arm in ARMS), START)


def dealt(*commands):
    """(days since the start, shares) of an experiment that was started two days before its plan begins."""
    state, facts = None, []
    for days, command in [*((-2, each) for each in RUNNING), *commands]:
        for fact in decide(state, command):
            state = evolve(state, fact)
            facts.append((START + days * DAY, fact))
    return [((each.since - START) / DAY, each.shares) for each in dealings(facts, PLAN)]


PAUSED = {"original": 1.0, "mosaic": 0.0, "ink": 0.0}


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ([], [(0, WEIGHTS)]),
        ([(7, RecordLook(1, "keep_running"))], [(0, WEIGHTS)]),
        ([(7.25, Reweight(MOVED)), (14, Reweight(MOVED))], [(0, WEIGHTS), (7.25, MOVED)]),
        ([(3, Pause()), (4, Resume())], [(0, WEIGHTS), (3, PAUSED), (4, WEIGHTS)]),
        ([(-1, Pause()), (2, Resume())], [(0, PAUSED), (2, WEIGHTS)]),
        ([(3, Pause()), (3, Resume()), (5, Stop())], [(0, WEIGHTS)]),
        ([(7, Reweight(MOVED)), (9, RecordLook(1, "promote", "ink")), (9, Conclude("ink")), (9, Promote("ink"))],
         [(0, WEIGHTS), (7, MOVED)]),
    ],
)  # fmt: skip
def test_how_units_were_dealt(commands, expected):
    assert dealt(*commands) == expected


def test_the_table_as_readers_see_it():
    lines = draw_transitions().splitlines()
    rows = {line.split("|")[1].strip(" *"): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines}
    assert list(rows)[2:] == [phase.replace("_", " ") for phase in Phase]
    assert {len(cells) for cells in rows.values()} == {len(rows["phase"])}
    promote = rows["phase"].index("promote")
    assert {phase: cells[promote] for phase, cells in rows.items() if cells[promote] not in ("", "---", "promote")} == {
        "concluded": "promoted"
    }
