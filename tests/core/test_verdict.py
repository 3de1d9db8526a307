import pytest

from experiments.core.statistics.comparison import compare
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.sequential import Looks
from experiments.core.verdict import Kind, Reason, judge


def found(looks=None, **clicks):
    arms = {name: PairMoments(5000, y, 5000, y, 5000, y) for name, y in clicks.items()}
    return compare(arms, control="original", looks=looks or Looks.even())


def codes(verdict):
    return [reason.code for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("clicks", "looks", "kind", "expected"),
    [
        ({"original": 100, "ink": 200}, None, Kind.PROMOTE, ["beats_control"]),
        ({"original": 100, "ink": 200}, Looks.even(1, 3), Kind.PROMOTE, ["beats_control"]),
        ({"original": 100, "ink": 104}, None, Kind.NO_WINNER, ["not_significant"]),
        ({"original": 100, "ink": 104}, Looks.even(1, 3), Kind.KEEP_RUNNING, ["not_significant", "wait_next_look"]),
        ({"original": 200, "ink": 100}, None, Kind.NO_WINNER, ["best_is_control"]),
        ({"original": 100, "ink": 200, "neon": 200}, None, Kind.NO_WINNER, ["tie"]),
    ],
)
def test_the_evidence_gives_the_verdict(clicks, looks, kind, expected):
    verdict = judge(found(looks, **clicks))
    assert verdict.kind is kind
    assert codes(verdict) == expected
    assert (verdict.arm == "ink") is (kind is Kind.PROMOTE)


def test_a_failed_gate_is_invalid_however_clear_the_winner():
    failed = [Reason("crossover", {"share": 0.2, "threshold": 0.01})]
    verdict = judge(found(original=100, ink=200), failed=failed)
    assert (verdict.kind, verdict.arm, codes(verdict)) == (Kind.INVALID, None, ["crossover"])


def test_a_broken_split_is_invalid():
    arms = {
        "original": PairMoments(5000, 100, 5000, 100, 5000, 100),
        "ink": PairMoments(6000, 300, 6000, 300, 6000, 300),
    }
    assert codes(judge(compare(arms, control="original"))) == ["sample_ratio_mismatch"]


@pytest.mark.parametrize(("looks", "kind"), [(Looks.even(1, 2), Kind.KEEP_RUNNING), (Looks.even(), Kind.NO_WINNER)])
def test_a_waiting_gate_holds_a_winner_back(looks, kind):
    waiting = [Reason("wait_minimum_units", {"arm": "ink", "units": 9, "needed": 100})]
    verdict = judge(found(looks, original=100, ink=300), waiting=waiting)
    assert verdict.kind is kind
    assert codes(verdict)[0] == "wait_minimum_units"


def test_an_arm_that_harms_a_guardrail_is_not_promoted():
    harmed = {"ink": Reason("guardrail_harmed", {"metric": "conversion-rate", "arm": "ink"})}
    verdict = judge(found(original=100, ink=200), harmed=harmed)
    assert (verdict.kind, codes(verdict)) == (Kind.NO_WINNER, ["guardrail_harmed"])
