"""The verdict: what a comparison means under its plan, with named reasons; the reports package has words for them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from experiments.core.plan import Direction
from experiments.core.statistics.comparison import Comparison

_WAITS, _NEXT_LOOK = "wait_", "wait_next_look"
"""How the codes of gates that wait begin, and the one of them that is no gate's."""


class Kind(StrEnum):
    """What may be said at a look."""

    PROMOTE = "promote"
    KEEP_RUNNING = "keep_running"
    NO_WINNER = "no_winner"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a code and its parameters, plain JSON values."""

    code: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``arm`` is the winner, only where ``kind`` is promote."""

    kind: Kind
    arm: str | None
    reasons: tuple[Reason, ...]


def invalid(*reasons: Reason) -> Verdict:
    """Nothing may be said of winners."""
    return Verdict(Kind.INVALID, None, reasons)


def held(kind: str, codes: Iterable[str]) -> bool:
    """Whether a gate kept the experiment from ending at a look with this verdict, whatever had been found."""
    return kind == Kind.INVALID or any(code.startswith(_WAITS) and code != _NEXT_LOOK for code in codes)


def judge(
    comparison: Comparison,
    *,
    sample_ratio_threshold: float = 0.001,
    failed: Sequence[Reason] = (),
    waiting: Sequence[Reason] = (),
    harmed: Mapping[str, Reason] | None = None,
    given_up: Mapping[str, Reason] | None = None,
) -> Verdict:
    """The verdict of one look.

    Args:
        comparison: with intervals and p-values already accounting for arms and looks.
        sample_ratio_threshold: said in the reason where that gate fails.
        failed: gates beyond the sample ratio that make the comparison invalid.
        waiting: gates that ask for more data before anything is promoted.
        harmed: by arm, the guardrail it does not respect; such an arm is not promoted.
        given_up: by arm, why it will hardly win any more. Where that is so of all of them, and no gate waits, there is
            no winner, even before the last look.
    """
    gates = list(failed)
    if not comparison.sample_ratio.ok:
        gates.insert(
            0, Reason("sample_ratio_mismatch", {"p": comparison.sample_ratio.p, "threshold": sample_ratio_threshold})
        )
    if gates:
        return invalid(*gates)
    winner, why = _winner(comparison, harmed or {})
    last = comparison.look == comparison.looks
    hopeless = [reason for lift in comparison.lifts if (reason := (given_up or {}).get(lift.arm))]
    if winner and not waiting:
        return Verdict(Kind.PROMOTE, winner, (why,))
    if not winner and not waiting and not last and len(hopeless) == len(comparison.lifts):
        return Verdict(Kind.NO_WINNER, None, tuple(hopeless))
    if last:
        return Verdict(Kind.NO_WINNER, None, (why, *waiting) if not winner else tuple(waiting))
    next_look = Reason(_NEXT_LOOK, {"look": comparison.look, "looks": comparison.looks})
    reasons = tuple(waiting) if winner else (why, *(each for each in hopeless if each != why), *waiting)
    return Verdict(Kind.KEEP_RUNNING, None, (*reasons, next_look))


def _winner(comparison: Comparison, harmed: Mapping[str, Reason]) -> tuple[str | None, Reason]:
    if comparison.tied:
        return None, Reason("tie", {"arms": list(comparison.tied)})
    arm = comparison.best.arm
    if arm == comparison.control:
        return None, Reason("best_is_control")
    lift = next(lift for lift in comparison.lifts if lift.arm == arm)
    said = {"arm": arm, "p_adjusted": lift.p_adjusted}
    better = lift.absolute is not None and (lift.absolute > 0) is (comparison.direction is Direction.INCREASE)
    if lift.p_adjusted is None or lift.p_adjusted > comparison.alpha or not better:
        return None, Reason("not_significant", said)
    if arm in harmed:
        return None, harmed[arm]
    return arm, Reason("beats_control", said)
