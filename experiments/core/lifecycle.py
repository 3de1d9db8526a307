"""The life of an experiment: one table of transitions and two pure verbs.

``decide(state, command)`` says which facts (milestones) follow from a wish, or refuses with the reason and what is
possible instead. ``evolve(state, milestone)`` takes a fact in and never refuses. A state is the fold of ``evolve`` over
an experiment's milestones, beginning with None: what was never created.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import reduce
from typing import Any, get_args

from experiments.core.commands import (
    Approve,
    Archive,
    Command,
    Conclude,
    Create,
    Decline,
    FinishGeneration,
    Generate,
    Pause,
    Promote,
    ProposePromotion,
    RecordLook,
    Resume,
    Reweight,
    Rollback,
    Start,
    Stop,
)
from experiments.core.errors import ExperimentError
from experiments.core.plan import Plan

PROMOTE = "promote"
"""The kind of verdict that names a winner."""


class Phase(StrEnum):
    """Where an experiment stands."""

    DRAFT = "draft"
    GENERATING = "generating"
    REVIEW = "review"
    RUNNING = "running"
    PAUSED = "paused"
    CONCLUDED = "concluded"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ARCHIVED = "archived"


class MilestoneKind(StrEnum):
    """What may have happened."""

    CREATED = "created"
    GENERATING = "generating"
    GENERATED = "generated"
    APPROVED = "approved"
    DECLINED = "declined"
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    JUDGED = "judged"
    REWEIGHTED = "reweighted"
    CONCLUDED = "concluded"
    STOPPED = "stopped"
    PROPOSED = "proposed"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Milestone:
    """A fact: what happened, and its particulars as plain JSON values."""

    kind: MilestoneKind
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """What an experiment's milestones amount to."""

    experiment: str
    control: str
    phase: Phase = Phase.DRAFT
    version: int = 0
    """How many milestones it is made of."""
    approved: bool = False
    """A person has said yes to the creatives."""
    declined_arms: tuple[str, ...] = ()
    """Arms whose creatives a person or the quality gate refused, in that order; never served."""
    plan_hash: str | None = None
    arms: tuple[str, ...] = ()
    """The arms of the sealed plan."""
    shares: Mapping[str, float] | None = None
    """What the traffic is shared out by since the evidence has moved it; None while it is the plan's weights."""
    looks_taken: int = 0
    found: str | None = None
    """The winner that the latest verdict names."""
    winner: str | None = None
    """What the experiment was concluded with."""
    proposed: str | None = None
    """The arm whose promotion waits for a person."""
    proposal_answered: bool = False
    """A person has said no to promoting the winner; it is not proposed again."""
    promoted_arm: str | None = None


TRANSITIONS: Mapping[tuple[Phase | None, type[Command]], tuple[MilestoneKind, Phase]] = {
    (None, Create): (MilestoneKind.CREATED, Phase.DRAFT),
    (Phase.DRAFT, Generate): (MilestoneKind.GENERATING, Phase.GENERATING),
    (Phase.DRAFT, Archive): (MilestoneKind.ARCHIVED, Phase.ARCHIVED),
    (Phase.GENERATING, FinishGeneration): (MilestoneKind.GENERATED, Phase.REVIEW),
    (Phase.GENERATING, Archive): (MilestoneKind.ARCHIVED, Phase.ARCHIVED),
    (Phase.REVIEW, Generate): (MilestoneKind.GENERATING, Phase.GENERATING),
    (Phase.REVIEW, Approve): (MilestoneKind.APPROVED, Phase.REVIEW),
    (Phase.REVIEW, Decline): (MilestoneKind.DECLINED, Phase.REVIEW),
    (Phase.REVIEW, Start): (MilestoneKind.STARTED, Phase.RUNNING),
    (Phase.REVIEW, Archive): (MilestoneKind.ARCHIVED, Phase.ARCHIVED),
    (Phase.RUNNING, Pause): (MilestoneKind.PAUSED, Phase.PAUSED),
    (Phase.RUNNING, RecordLook): (MilestoneKind.JUDGED, Phase.RUNNING),
    (Phase.RUNNING, Reweight): (MilestoneKind.REWEIGHTED, Phase.RUNNING),
    (Phase.RUNNING, Conclude): (MilestoneKind.CONCLUDED, Phase.CONCLUDED),
    (Phase.RUNNING, Stop): (MilestoneKind.STOPPED, Phase.CONCLUDED),
    (Phase.PAUSED, Resume): (MilestoneKind.RESUMED, Phase.RUNNING),
    (Phase.PAUSED, Stop): (MilestoneKind.STOPPED, Phase.CONCLUDED),
    (Phase.PAUSED, Archive): (MilestoneKind.ARCHIVED, Phase.ARCHIVED),
    (Phase.CONCLUDED, ProposePromotion): (MilestoneKind.PROPOSED, Phase.CONCLUDED),
    (Phase.CONCLUDED, Approve): (MilestoneKind.PROMOTED, Phase.PROMOTED),
    (Phase.CONCLUDED, Decline): (MilestoneKind.DECLINED, Phase.CONCLUDED),
    (Phase.CONCLUDED, Promote): (MilestoneKind.PROMOTED, Phase.PROMOTED),
    (Phase.CONCLUDED, Archive): (MilestoneKind.ARCHIVED, Phase.ARCHIVED),
    (Phase.PROMOTED, Rollback): (MilestoneKind.ROLLED_BACK, Phase.ROLLED_BACK),
    (Phase.PROMOTED, Archive): (MilestoneKind.ARCHIVED, Phase.ARCHIVED),
    (Phase.ROLLED_BACK, Archive): (MilestoneKind.ARCHIVED, Phase.ARCHIVED),
}
"""What each command makes of each phase: the fact it leaves and where that leads. What is absent is refused."""

_NEXT = {(phase, kind): after for (phase, _), (kind, after) in TRANSITIONS.items()}

_BY_JOBS = (RecordLook, Reweight, Conclude, ProposePromotion)
"""Commands that no person gives."""
_TYPED: Mapping[type[Command], str] = {FinishGeneration: "generate"}
"""What a person types where it is not the command's name: that goes on with what was interrupted."""
_ADVICE: Mapping[tuple[Phase, type[Command]], str] = {
    (Phase.DRAFT, Approve): "it has no creatives yet; generate them first",
    (Phase.DRAFT, Start): "generate its creatives and have them approved first",
    (Phase.GENERATING, Start): "its creatives are still being made; have them approved first",
    (Phase.RUNNING, Archive): "stop it first",
    (Phase.RUNNING, Promote): "its plan has not come to an end; a winner is promoted once the plan concludes",
    (Phase.ROLLED_BACK, Promote): "what was rolled back is not promoted again; start a new experiment",
}


class Refusal(ExperimentError):
    """A command that the experiment's life does not allow now."""


class NotPossibleNow(Refusal):
    """Not in this phase."""


class NothingWaits(Refusal):
    """There is nothing to say yes or no to."""


class NotApproved(Refusal):
    """The creatives have not been approved."""


class BadArm(Refusal):
    """The arm named cannot be what the command makes of it."""


class NotTheWinner(Refusal):
    """Only what the sealed plan found may be promoted."""


class ProposalAnswered(Refusal):
    """A person has said no to this promotion."""


class LookOutOfTurn(Refusal):
    """Looks are taken one after the other."""


def decide(state: State | None, command: Command) -> tuple[Milestone, ...]:
    """The facts that follow from ``command``: none where everything is so already.

    Raises:
        Refusal: one of its kinds, saying what to do instead.
    """
    if state is None:
        if isinstance(command, Create):
            return (Milestone(MilestoneKind.CREATED, {"experiment": command.experiment, "control": command.control}),)
        raise NotPossibleNow(f"{_name(type(command))} is not possible: the experiment does not exist; create it first")
    transition = TRANSITIONS.get((state.phase, type(command)))
    if transition is None:
        raise _not_possible(state, command)
    payload = _particulars(state, command)
    return () if payload is None else (Milestone(transition[0], payload),)


def evolve(state: State | None, milestone: Milestone) -> State:
    """The state after ``milestone``, which must be one that `decide` gave for a state like this."""
    payload = milestone.payload
    before = state or State(payload["experiment"], payload["control"])
    phase = _NEXT[state.phase if state else None, milestone.kind]
    after = replace(before, phase=phase, version=before.version + 1)
    match milestone.kind:
        case MilestoneKind.GENERATING:
            return replace(after, approved=False, declined_arms=())
        case MilestoneKind.GENERATED:
            return replace(after, declined_arms=tuple(payload.get("refused", ())))
        case MilestoneKind.APPROVED:
            return replace(after, approved=True)
        case MilestoneKind.DECLINED if before.phase is Phase.CONCLUDED:
            return replace(after, proposed=None, proposal_answered=True)
        case MilestoneKind.DECLINED:
            return replace(after, declined_arms=(*before.declined_arms, payload["arm"]))
        case MilestoneKind.STARTED:
            return replace(after, plan_hash=payload["plan_hash"], arms=tuple(payload["arms"]))
        case MilestoneKind.JUDGED:
            return replace(after, looks_taken=payload["look"], found=payload["arm"])
        case MilestoneKind.REWEIGHTED:
            return replace(after, shares=dict(payload["shares"]))
        case MilestoneKind.CONCLUDED:
            return replace(after, winner=payload["arm"])
        case MilestoneKind.PROPOSED:
            return replace(after, proposed=payload["arm"])
        case MilestoneKind.PROMOTED:
            return replace(after, proposed=None, promoted_arm=payload["arm"])
        case MilestoneKind.ROLLED_BACK:
            return replace(after, promoted_arm=None)
        case _:
            return after


def replay(milestones: Iterable[Milestone]) -> State | None:
    """The state that these facts, in their order, amount to."""
    return reduce(evolve, milestones, None)


def allocation(state: State, weights: Mapping[str, float], control: str, holdback: float) -> dict[str, float]:
    """What serving hands to `assign` in the experiment's phase: relative weights by arm.

    Only a running experiment draws among the plan's ``weights``, or the shares that came after them; a promoted arm
    goes to all but the ``holdback`` (a share from 0 to 1) of units, who see the control and keep the promotion
    measured; in every other phase, archived too, everyone sees the control.
    """
    if state.phase is Phase.RUNNING:
        return {arm: weight for arm, weight in (state.shares or weights).items() if arm not in state.declined_arms}
    if state.phase is Phase.PROMOTED and state.promoted_arm:
        return {state.promoted_arm: 1 - holdback, control: holdback}
    return {control: 1.0}


@dataclass(frozen=True, slots=True)
class Dealing:
    """From an instant on, what share of the units each arm was dealt."""

    since: datetime
    shares: Mapping[str, float]


def dealings(facts: Iterable[tuple[datetime, Milestone]], plan: Plan) -> tuple[Dealing, ...]:
    """How units were dealt while the experiment ran or paused: once from the start on, and anew at every change.

    Args:
        facts: the experiment's milestones with their instants, in order.
        plan: the one sealed.
    """
    state: State | None = None
    dealt: list[Dealing] = []
    for at, fact in facts:
        state = evolve(state, fact)
        if state.phase not in (Phase.RUNNING, Phase.PAUSED):
            continue
        weights = allocation(state, plan.weights, plan.control, plan.holdback)
        total = sum(weights.values())
        shares = {arm: weights.get(arm, 0.0) / total for arm in plan.weights}
        since = max(at, plan.start) if dealt else plan.start
        if dealt and dealt[-1].since == since:
            dealt.pop()
        if not dealt or dealt[-1].shares != shares:
            dealt.append(Dealing(since, shares))
    return tuple(dealt)


def draw_transitions() -> str:
    """The table of transitions in Markdown: a row a phase, a column a command, the phase it leads to in each cell."""
    commands = [command for command in get_args(Command) if command is not Create]
    lines = [
        f"| phase | {' | '.join(_name(command) for command in commands)} |",
        f"| --- |{' --- |' * len(commands)}",
    ]
    for phase in Phase:
        reached = [TRANSITIONS.get((phase, command)) for command in commands]
        cells = " | ".join(_said(after[1]) if after else "" for after in reached)
        lines.append(f"| **{_said(phase)}** | {cells} |")
    return "\n".join(lines) + "\n"


def _particulars(state: State, command: Command) -> dict[str, Any] | None:
    """A milestone's payload, None where the command asks for what is so already."""
    match command:
        case FinishGeneration(variants, refused):
            return _generated(state, variants, refused)
        case Approve() if state.phase is Phase.REVIEW:
            return None if state.approved else {}
        case Approve():
            return {"arm": _waiting(state)}
        case Decline(arm, why):
            return _declined(state, arm, why)
        case Start(plan_hash, arms):
            return _started(state, plan_hash, arms)
        case RecordLook(look, verdict, arm):
            return _judged(state, look, verdict, arm)
        case Reweight(shares):
            return _reweighted(state, shares)
        case Conclude(winner):
            if winner is not None and winner != state.found:
                said = f"names {state.found!r}" if state.found else "names no winner"
                raise NotTheWinner(f"{state.experiment} cannot be concluded with {winner!r}: its latest verdict {said}")
            return {"arm": winner}
        case Stop(why):
            return {"reason": why}
        case ProposePromotion(arm):
            if state.proposal_answered:
                raise ProposalAnswered(
                    f"{state.experiment}: the promotion of {state.winner!r} was declined and is not proposed again; "
                    "promote it if you have changed your mind, or archive the experiment"
                )
            return None if state.proposed == arm else {"arm": _winner(state, arm)}
        case Promote(arm):
            return {"arm": _winner(state, arm)}
        case Rollback(why):
            return {"arm": state.promoted_arm, "reason": why}
        case _:
            return {}


def _generated(state: State, variants: int, refused: tuple[str, ...]) -> dict[str, Any]:
    name = state.experiment
    if variants < 1:
        raise Refusal(f"{name}: no creatives were made; look at its brief, styles and slots")
    if state.control in refused:
        raise BadArm(
            f"{name}: the quality gate refused the control {state.control!r}, so there is nothing to compare with; "
            "mend the brief (picture, headline, colours) and generate again"
        )
    return {"variants": variants, **({"refused": list(refused)} if refused else {})}


def _declined(state: State, arm: str | None, why: str) -> dict[str, Any] | None:
    name = state.experiment
    if state.phase is Phase.CONCLUDED:
        proposed = _waiting(state)
        if arm not in (None, proposed):
            raise BadArm(f"{name}: the promotion of {proposed!r} waits for an answer, not that of {arm!r}")
        return {"arm": proposed, "reason": why}
    if arm is None:
        raise BadArm(f"{name} is in review: say which arm's creatives you decline, or archive the experiment")
    if arm == state.control:
        raise BadArm(f"{name}: {arm!r} is the control and cannot be declined; archive the experiment instead")
    return None if arm in state.declined_arms else {"arm": arm, "reason": why}


def _started(state: State, plan_hash: str, arms: tuple[str, ...]) -> dict[str, Any]:
    name = state.experiment
    if not state.approved:
        raise NotApproved(f"{name}: its creatives wait for a person; approve them first")
    if state.control not in arms:
        raise BadArm(f"{name}: the plan does not name the control {state.control!r}; add it as an arm")
    declined = [arm for arm in arms if arm in state.declined_arms]
    if declined:
        raise BadArm(f"{name}: {declined[0]!r} was declined and cannot be served; leave it out of the plan")
    if len(arms) < 2:
        raise BadArm(f"{name}: no arm is left beside the control {state.control!r}; generate other styles")
    return {"plan_hash": plan_hash, "arms": list(arms)}


def _judged(state: State, look: int, verdict: str, arm: str | None) -> dict[str, Any] | None:
    name = state.experiment
    if 1 <= look <= state.looks_taken:
        return None
    if look != state.looks_taken + 1:
        raise LookOutOfTurn(f"{name}: look {look} cannot be taken now; the next is look {state.looks_taken + 1}")
    winner = arm if verdict == PROMOTE else None
    if verdict == PROMOTE and (winner not in state.arms or winner == state.control):
        raise BadArm(f"{name}: a verdict cannot promote {arm!r}; the arms that may win are {_contenders(state)}")
    return {"look": look, "verdict": verdict, "arm": winner}


def _reweighted(state: State, shares: Mapping[str, float]) -> dict[str, Any]:
    whole = sum(shares.values())
    if set(shares) != set(state.arms) or not all(share >= 0 for share in shares.values()) or abs(whole - 1) > 1e-6:
        raise BadArm(
            f"{state.experiment}: shares of 0 or more that add to 1 are needed for exactly {', '.join(state.arms)}"
        )
    if not shares[state.control] > 0:
        raise BadArm(f"{state.experiment}: the control {state.control!r} must keep a share; all is measured against it")
    return {"shares": dict(shares)}


def _waiting(state: State) -> str:
    if state.proposed is None:
        raise NothingWaits(f"{state.experiment}: no promotion waits for an answer")
    return state.proposed


def _winner(state: State, arm: str | None) -> str:
    name = state.experiment
    if state.winner is None:
        raise NotTheWinner(f"{name} was concluded without a winner, so nothing can be promoted; start a new experiment")
    if arm != state.winner:
        raise NotTheWinner(
            f"{name}: only the winner {state.winner!r} may be promoted, because the plan was sealed for that; "
            f"to show {arm!r} to everyone, do it outside an experiment or start a new one"
        )
    return state.winner


def _contenders(state: State) -> str:
    return ", ".join(arm for arm in state.arms if arm != state.control)


def _not_possible(state: State, command: Command) -> NotPossibleNow:
    wishes = [wanted for phase, wanted in TRANSITIONS if phase is state.phase and wanted not in _BY_JOBS]
    possible = [_TYPED.get(wanted, _name(wanted)) for wanted in wishes]
    advice = _ADVICE.get((state.phase, type(command)))
    return NotPossibleNow(
        f"{state.experiment} is {_said(state.phase)}, so {_name(type(command))} is not possible"
        f"{f': {advice}' if advice else ''} "
        f"(possible now: {', '.join(possible) or 'nothing'})"
    )


def _name(command: type[Command]) -> str:
    """``ProposePromotion`` as people say it: ``propose promotion``."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in command.__name__).strip()


def _said(phase: Phase) -> str:
    return phase.value.replace("_", " ")
