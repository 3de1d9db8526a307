import dataclasses
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from experiments.core.lifecycle import MilestoneKind
from reports import words
from reports.errors import ReportError
from reports.method import method
from reports.model import DecisionView, MilestoneRow, VerdictView

REASONS = {
    "beats_control": {"arm": "ink", "p_adjusted": 0.002},
    "not_significant": {"arm": "ink", "p_adjusted": 0.3},
    "best_is_control": {},
    "wait_next_look": {"look": 1, "looks": 3},
    "wait_minimum_units": {"arm": "ink", "units": 40, "needed": 100},
    "sample_ratio_mismatch": {"p": 1e-9, "threshold": 0.001},
    "crossover": {"share": 0.034, "threshold": 0.01},
    "coverage": {"covered": 5, "expected": 7, "threshold": 0.9},
    "mixed_currencies": {"currencies": ("EUR", "SEK")},
    "invalid_traffic": {"arm": "ink", "share": 0.61, "threshold": 0.5},
    "invalid_traffic_imbalance": {"p": 1e-5, "threshold": 0.001},
    "covariate_imbalance": {"column": "device", "p": 1e-5, "threshold": 0.001},
    "wait_information": {"events": 6.31, "needed": 10.0},
    "wait_full_weeks": {"days": 7, "needed": 2},
    "wait_maturity": {"share": 0.27, "needed": 0.5},
    "arm_worse": {"arm": "ink", "p_adjusted": 0.001},
    "arm_futile": {"arm": "ink", "lift": 0.1},
    "guardrail_harmed": {"metric": "conversion-rate", "arm": "ink"},
    "control_missing": {"control": "original"},
    "one_arm": {},
    "no_denominator": {"arm": "ink"},
    "tie": {"arms": ("ink", "night", "poster")},
}

REJECTS = [
    "ragged_row",
    "bad_timestamp",
    "naive_timestamp",
    "future_timestamp",
    "missing_event_id",
    "missing_unit",
    "unknown_experiment",
    "unknown_arm",
    "unknown_creative",
    "not_json",
    "bad_value",
    "missing_reference",
    "unterminated_line",
    "not_utf8",
    "nul_byte",
    "negative_value",
    "unexpanded_macro",
]


def test_exactly_the_reasons_a_verdict_may_carry_have_words():
    assert set(words.REASONS) == set(REASONS)


@pytest.mark.parametrize("code", REASONS)
def test_a_reason_is_a_sentence(code):
    text = words.reason(code, REASONS[code])
    assert text[0] in '"' + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    assert text.endswith(".")
    assert not any(wrong in text for wrong in ("nan", "None", "inf ", "_"))


def test_currencies_are_no_styles_in_quotes():
    assert "several currencies, EUR and SEK, and not" in words.reason("mixed_currencies", REASONS["mixed_currencies"])


@pytest.mark.parametrize("code", [code for code, parameters in REASONS.items() if parameters])
def test_a_reason_without_its_parameters_is_refused(code):
    with pytest.raises(ReportError, match=f"{code}.*needs the parameter"):
        words.reason(code, {})


def test_an_unknown_reason_is_refused():
    with pytest.raises(ReportError, match="no words for the verdict reason 'moon_phase'"):
        words.reason("moon_phase", {})


def test_some_sentences_whole():
    assert words.reason("tie", REASONS["tie"]).startswith('"ink", "night" and "poster" share the highest rate')
    assert "5 of 7 whole days" in words.reason("coverage", REASONS["coverage"])
    assert "at least 90 % is required" in words.reason("coverage", REASONS["coverage"])
    assert "3.40 % of the units" in words.reason("crossover", REASONS["crossover"])
    assert "p below 0.0001 (the limit is 0.001)" in words.reason(
        "sample_ratio_mismatch", REASONS["sample_ratio_mismatch"]
    )


@pytest.mark.parametrize("code", REJECTS)
def test_every_reject_has_its_own_words(code):
    assert words.reject_reason(code) == words.REJECTS[code] != words.humanised(code)


def test_a_currency_without_a_rate_is_named():
    assert words.reject_reason("no_rate:SEK") == "no exchange rate for SEK in rates.csv"


def test_the_windows_of_conversions_are_told(example):
    def told(**changed):
        experiment = example["winner"]()
        return dict(method(dataclasses.replace(experiment, method=dataclasses.replace(experiment.method, **changed))))[
            "What counts"
        ]

    assert "its impression, a conversion for 7 days. General invalid" in told()
    apart = told(conversion_days=1, click_conversion_days=30)
    assert "a conversion for 30 days after the last click or, where there is none, 1 day after the last impr" in apart


def test_an_unknown_reject_is_spelled_out():
    assert words.reject_reason("too_many_columns") == "too many columns"


def test_the_winner_in_one_sentence(example):
    winner = example["winner"]()
    lift = dataclasses.replace(
        winner.lifts[0], relative=0.182, relative_low=0.071, relative_high=0.304, p_adjusted=0.002
    )
    winner = dataclasses.replace(winner, lifts=(lift, *winner.lifts[1:]))
    assert words.verdict_sentence(winner) == (
        '"ink" wins: 18.2 % more clicks per impression than the original '
        "(95 % interval 7.1 % to 30.4 %, p = 0.002 after correction for 4 styles and 3 looks)."
    )


def test_a_control_without_clicks_gives_an_absolute_lift(example):
    winner = example["winner"]()
    lift = dataclasses.replace(
        winner.lifts[0], absolute=0.0042, absolute_low=0.001, absolute_high=0.0074, relative=None, relative_low=None,
        relative_high=None,
    )  # fmt: skip
    text = words.verdict_sentence(dataclasses.replace(winner, lifts=(lift,)))
    assert "0.42 points more clicks per impression" in text
    assert "interval 0.10 points to 0.74 points" in text


def test_numbers_that_do_not_exist_are_never_printed(example):
    winner = example["winner"]()
    nothing = dict.fromkeys(
        ("absolute", "absolute_low", "absolute_high", "relative", "relative_low", "relative_high", "p", "p_adjusted")
    )
    for empty in (nothing, dict.fromkeys(nothing, float("nan"))):
        lifts = tuple(dataclasses.replace(lift, **empty) for lift in winner.lifts)
        text = words.verdict_sentence(dataclasses.replace(winner, lifts=lifts))
        assert "nan" not in text
        assert "None" not in text


@pytest.mark.parametrize(
    ("kind", "start"),
    [("keep_running", "Too early to say"), ("no_winner", "No style proved better"), ("invalid", "No verdict")],
)
def test_a_verdict_without_a_winner(example, kind, start):
    experiment = dataclasses.replace(example["winner"](), verdict=VerdictView(kind, None, ()))
    assert words.headline(experiment).startswith(start)


@pytest.mark.parametrize(
    ("phase", "kind", "label", "start"),
    [
        ("running", "keep_running", "Still running", "Too early to say: "),
        ("paused", "keep_running", "Paused", "Paused, and too early to say: "),
        ("concluded", "keep_running", "Stopped early", "Stopped before it was settled: "),
        ("archived", "keep_running", "Stopped early", "Stopped before it was settled: "),
        ("concluded", None, "Stopped early", "Stopped before there was anything to judge."),
        ("paused", None, "Paused", "Paused before there was anything to judge."),
        ("running", None, "Not judged yet", "There is nothing to judge yet."),
        ("concluded", "no_winner", "No winner", "No style proved better"),
        ("paused", "invalid", "Not valid", "No verdict"),
        ("promoted", "promote", "Winner found", '"ink" wins'),
        ("rolled_back", "promote", "Rolled back", '"ink" was rolled back'),
        ("archived", "promote", "Archived", "Archived"),
        ("archived", "no_winner", "No winner", "No style proved better"),
    ],
)
def test_what_does_not_run_is_not_said_to(example, phase, kind, label, start):
    winner = example["winner"]()
    verdict = VerdictView(kind, "ink" if kind == "promote" else None, ()) if kind else None
    experiment = dataclasses.replace(winner, phase=phase, verdict=verdict)
    assert words.standing_label(experiment) == label
    assert words.headline(experiment).startswith(start)


def test_a_winner_that_was_rolled_back_does_not_stand_as_one(example):
    at = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    decision = DecisionView("rolled_back", "ink", at, "marketing")
    experiment = dataclasses.replace(example["winner"](), phase="rolled_back", decision=decision)
    said = '"ink" was rolled back on 24 November 2026, 09:00 UTC: the audience sees the original again.'
    assert words.headline(experiment) == said
    assert words.detail(experiment).startswith(
        "It had won with 27.3 % more clicks per impression than the original (95 %"
    )
    assert words.verdict_sentence(experiment) == f"{said} {words.detail(experiment)}"
    assert words.summary((words.standing(experiment),)) == "1 experiment had its winner rolled back."


def test_a_winner_that_was_not_compared_is_refused(example):
    experiment = dataclasses.replace(example["winner"](), verdict=VerdictView("promote", "ghost", ()))
    with pytest.raises(ReportError, match="espresso-autumn: the winner 'ghost'"):
        words.headline(experiment)


def test_unknown_verdicts_and_decisions_are_refused(example):
    with pytest.raises(ReportError, match="no verdict 'perhaps'"):
        words.verdict_label("perhaps")
    with pytest.raises(ReportError, match="no decision 'perhaps'"):
        words.decision(dataclasses.replace(example["winner"](), decision=DecisionView("perhaps")))


@pytest.mark.parametrize(
    "state",
    ["waiting", "paused", "proposed", "promoted", "rolled_back", "concluded", "stopped", "archived", "none"],
)
def test_every_decision_is_a_sentence(example, state):
    at = datetime(2026, 11, 23, 0, 10, tzinfo=UTC)
    made = DecisionView(state, "ink", at, "job:promote")
    text = words.decision(dataclasses.replace(example["winner"](), decision=made))
    assert text.endswith(".")
    assert ("23 November 2026, 00:10 UTC by the promote job" in text) == (state in words_with_a_date())


def words_with_a_date():
    return {"paused", "promoted", "rolled_back", "concluded", "stopped", "archived"}


def test_milestones():
    at = datetime(2026, 11, 23, tzinfo=UTC)
    judged = MilestoneRow(at, "judged", "job:analyse", {"look": 2, "verdict": "keep_running", "arm": None})
    assert words.milestone(judged) == "Judged at look 2: still running"
    found = MilestoneRow(at, "judged", "job:analyse", {"look": 3, "verdict": "promote", "arm": "ink"})
    assert words.milestone(found) == 'Judged at look 3: winner found, "ink"'
    undone = MilestoneRow(at, "rolled_back", "ana", {"arm": "ink", "reason": "complaints"})
    assert words.milestone(undone) == 'Rolled back: "ink" (complaints)'
    moved = MilestoneRow(at, "reweighted", "job:analyse", {"shares": {"original": 0.4, "ink": 0.6}})
    assert words.milestone(moved) == 'Traffic shared out anew: "original" 40.0 %, "ink" 60.0 %'
    assert words.milestone(MilestoneRow(at, "holdback_grown", "ana", {})) == "Holdback grown"


def test_everything_that_may_happen_to_an_experiment_has_words():
    assert set(words.MILESTONES) == set(MilestoneKind)


def test_the_week_in_one_sentence():
    assert words.summary(()) == "No experiments this week."
    assert words.summary(("keep_running", "promote", "keep_running", None)) == (
        "1 experiment found a winner, 2 are still running, 1 is not judged yet."
    )

    assert words.summary(("stopped", "paused", "stopped")) == "1 experiment is paused, 2 were stopped early."


def test_the_command_line_may_import_the_words_alone():
    code = "import sys, reports.words; print([m for m in ('altair', 'pandas', 'jinja2') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
