"""The leaderboard, segments and further measures as a page says them."""

from dataclasses import replace

import pytest

from reports import evidence, health, words
from reports.errors import ReportError
from reports.model import SegmentRow, SegmentView
from reports.page import render_report
from reports.standings import SHOWN, board, sentence


def test_a_board_names_looks_without_their_hash_and_signs_lifts(example):
    said = board(example["leaderboard"]())
    assert said["title"] == "Click rate, against the original"
    assert said["better"] == "Better than the original"
    first = said["styles"][0]
    assert (first["name"], first["style"]) == ("ink", "ink#4f1c03a8d2b1")
    assert (first["expected"], first["interval"]) == ("+10.3 %", "+3.8 % to +17.2 %")
    assert first["next"].startswith("−2.0 %")
    assert said["proposals"][1]["why"].startswith("no experiment has shown it")
    assert said["left_out"] == ""


def test_a_long_board_is_cut_and_says_so(example):
    whole = example["leaderboard"]()
    long = board(replace(whole, styles=whole.styles * 4))
    assert len(long["styles"]) == SHOWN
    assert long["left_out"] == "4"


def test_a_proposal_without_words_is_refused():
    with pytest.raises(ReportError, match="no words for the proposal reason 'moon_phase'"):
        sentence("moon_phase", {})
    with pytest.raises(ReportError, match="needs the parameter 'experiments'"):
        sentence("style_promising", {})


def segments(**changed):
    rows = tuple(
        SegmentRow(segment, arm, units, lift, p)
        for segment, arm, units, lift, p in (
            ("phone", "ink", 500, 0.2, 0.01), ("phone", "neon", 510, None, 1.0),
            ("desktop", "ink", 300, -0.05, 0.6), ("desktop", "neon", 290, 0.0, 0.9),
        )
    )  # fmt: skip
    return replace(SegmentView("device", relative=True, differs=(("ink", 0.004), ("neon", 0.6)), rows=rows), **changed)


def test_segments_are_a_row_each_with_every_arms_lift(example):
    table = evidence.segments_table(example["winner"](), segments())
    assert table["arms"] == ("ink", "neon")
    assert [(row["segment"], row["units"]) for row in table["rows"]] == [("phone", "510"), ("desktop", "300")]
    assert [lift["text"] for lift in table["rows"][0]["lifts"]] == ["+20.0 %", "not known"]
    assert table["rows"][1]["lifts"][0] == {"arm": "ink", "text": "−5.0 %", "p": "p = 0.60"}
    money = evidence.segments_table(example["winner"](), segments(relative=False))
    assert money["rows"][0]["lifts"][0]["text"] == "+20 points"


def test_only_what_is_more_than_chance_is_said_to_differ():
    assert words.differs(segments(), 0.05) == (
        'The lift differs between the device segments by more than chance: "ink", p = 0.004.'
    )
    assert words.differs(segments(), 0.001) == (
        "No style's lift differs between the device segments by more than chance (p = 0.004)."
    )


def test_further_measures_have_their_own_units(example):
    rows = evidence.secondary_table(example["winner"]())
    assert rows[0]["metric"] == "Revenue per user"
    assert (rows[0]["rate"], rows[0]["change"], rows[1]["change"]) == ("0.432", "+4.7 %", "−8.5 %")


def test_the_audiences_are_judged_by_the_worst_column_corrected_for_their_number(example):
    whole = example["winner"]()

    def check(*balance):
        found = health.checks(replace(whole, health=replace(whole.health, balance=balance)))
        return next((each for each in found if each.title == "Same audience"), None)

    assert check() is None
    fair = check(("device", 0.34), ("country", 0.08))
    assert (fair.state, "p = 0.16" in fair.text) == ("good", True)
    assert check(("device", 0.0004), ("country", 0.5)).state == "bad"
    assert check(("device", 0.0006), ("country", 0.5)).state == "good", "0.0012 after correction"
    unlimited = replace(whole, method=replace(whole.method, balance_p=None))
    assert health._audience(unlimited)[0].state == "good"


def test_what_is_late_is_noted_until_enough_has_come(example):
    whole = example["winner"]()
    for share, state in ((0.2, "note"), (0.8, "good")):
        found = health.checks(replace(whole, health=replace(whole.health, mature_share=share)))
        assert next(each.state for each in found if each.title == "Late outcomes") == state
    assert all(each.title != "Late outcomes" for each in health.checks(example["running"]()))


def test_a_week_without_a_board_has_no_leaderboard(example, report):
    assert 'id="styles"' in render_report(report)
    assert 'id="styles"' not in render_report(example["example_report"](example["winner"]()))


def test_what_can_be_counted_on_has_a_column_only_where_it_is_known(example):
    page = render_report(example["example_report"](example["winner"]()))
    assert "To count on" in page
    assert "+12.1\N{NO-BREAK SPACE}%" in page
    assert "To count on" not in render_report(example["example_report"](example["running"]()))


def test_when_it_ends_early_is_said(example):
    page = render_report(example["example_report"](example["winner"]()))
    assert "is worse than the original or has hardly a chance left of a lift of 5" in page.replace("\n", " ")
    assert "ends early" not in render_report(example["example_report"](example["running"]()))


def test_traffic_that_follows_the_evidence_is_explained(example):
    running = example["running"]()
    following = replace(running, method=replace(running.method, allocation="top_two", floor=0.05))
    page = render_report(example["example_report"](following))
    assert "Zhang, Janson and Murphy" in page
    assert "shared out anew, by what each style has shown" in page
    assert "Every style keeps its share" in render_report(example["example_report"](running))
