"""Boards from a control plane whose experiments were judged on evidence made here: no pictures, no lake."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from experiments.cli.app import run
from experiments.composition import open_context
from experiments.core.commands import Approve, Archive, Conclude, FinishGeneration, Generate
from experiments.core.errors import ExperimentError
from experiments.core.evidence import Batch, Evidence, Health
from experiments.core.judgement import judge_look
from experiments.core.plan import CTR, Arm, Direction, Looks, Metric, Plan
from experiments.core.proposals import Tried
from experiments.core.statistics.meta import random_effects
from experiments.core.statistics.moments import OUTCOMES, PRODUCTS, UnitMoments
from experiments.jobs.leaderboard import build_leaderboard
from experiments.workspace import open_workspace

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
PEOPLE = 20_000
INK, NEON = "ink#0123456789ab", "neon#ba9876543210@0.6"


def shown(people, clicks):
    """Everybody saw one impression; so many of them clicked."""
    count = {"impressions": people, "clicks": clicks}
    products = tuple(
        people if pair == ("impressions", "impressions") else clicks if set(pair) <= set(count) else 0
        for pair in PRODUCTS
    )
    return UnitMoments(people, tuple(count.get(outcome, 0) for outcome in OUTCOMES), products)


def coverage(days):
    return Health(0, {}, {}, 0, 0, 7, days, None)


class Desk:
    """Runs experiments by hand."""

    def __init__(self, stores):
        self.stores = stores

    def starts(self, name, styles, *, brief="cup", metric=CTR, looks=1):
        control = self.stores.control
        control.create_experiment(name, {"brief": brief}, salt=name, control="original", actor="test")
        for command in (Generate(), FinishGeneration(2), Approve()):
            control.execute(name, command, "test")
        arms = (Arm("original", "original"), *(Arm(f"arm-{at}", style) for at, style in enumerate(styles)))
        plan = Plan(name, name, "original", arms, MONDAY, metrics=(metric,), looks=Looks(looks, 7))
        control.seal_plan(name, plan, "test")
        return plan

    def judges(self, plan, clicks, *, look=1, days=7, people=PEOPLE, conclude=True):
        """``clicks``: the original's first, then each style's."""
        control = self.stores.control
        arms = {arm.name: shown(people, count) for arm, count in zip(plan.arms, clicks, strict=True)}
        evidence = Evidence(plan.experiment, plan.look_time(look), {}, arms, (), coverage(days))
        history = [each.information for each in control.verdicts(plan.experiment)]
        judgement = judge_look(plan, plan.seal(), evidence, look, history)
        number = control.record_evidence(evidence)
        then = Conclude(judgement.verdict.arm) if conclude else None
        control.record_judgement(plan.experiment, look, plan.seal(), number, judgement, "test", then=then)

    def ran(self, name, lifts, **how):
        """A concluded experiment in which styles had these relative lifts over 1,000 clicks."""
        plan = self.starts(name, tuple(lifts), **how)
        self.judges(plan, (1000, *(round(1000 * (1 + lift)) for lift in lifts.values())))

    def reads(self, brief=None):
        return build_leaderboard(self.stores, brief)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    for name in ("ADSTYLE_WORKSPACE", "ADSTYLE_NOW"):
        monkeypatch.delenv(name, raising=False)
    assert run(["init", str(tmp_path / "ads")]) == 0
    with open_context(open_workspace(tmp_path / "ads"), lambda: MONDAY + timedelta(days=30)) as stores:
        stores.control.save_brief("cup", {})
        yield Desk(stores)


def test_nothing_has_run(desk):
    found = desk.reads()
    assert (found.boards, found.uncounted) == ((), ())


def test_styles_are_ordered_by_what_all_experiments_say_of_them(desk):
    desk.ran("one", {INK: 0.3, NEON: -0.2})
    desk.ran("two", {INK: 0.25}, brief="mug")
    (board,) = desk.reads().boards
    first, second = board.standings
    assert (board.metric, board.control, board.experiments) == ("ctr", "original", ("one", "two"))
    assert (first.style, first.experiments, second.style, second.experiments) == (INK, 2, NEON, 1)
    assert 0.15 < first.expected < 0.3
    assert first.next_low < first.low < first.expected < first.high < first.next_high
    assert first.probability_better > 0.95 > 0.1 > second.probability_better
    assert first.last_seen == MONDAY + timedelta(days=7)
    own = random_effects(np.log([[1.3, 1.25]]), np.array([[1 / 1000 + 1 / 1300, 1 / 1000 + 1 / 1250]]))
    assert np.log1p(first.alone.expected) == pytest.approx(own.mean[0], abs=0.005)
    assert second.alone is None


def test_evidence_belongs_to_one_exact_look(desk):
    desk.ran("one", {"ink#0123456789ab": 0.3})
    desk.ran("two", {"ink#0123456789ab@0.5": 0.0}, brief="mug")
    desk.ran("three", {"ink#ffffffffffff": 0.1}, brief="jug")
    assert {each.style for each in desk.reads().boards[0].standings} == {
        "ink#0123456789ab", "ink#0123456789ab@0.5", "ink#ffffffffffff",
    }  # fmt: skip


def test_the_latest_look_counts_and_an_invalid_one_does_not(desk):
    twice = desk.starts("twice", (INK,), looks=3)
    desk.judges(twice, (50, 55), conclude=False, people=2000)
    early = desk.reads().boards[0].standings[0]
    desk.judges(twice, (1000, 1400), look=2, conclude=False)
    late = desk.reads().boards[0].standings[0]
    assert late.expected > 0.2 > early.expected
    assert late.last_seen == MONDAY + timedelta(days=14)
    broken = desk.starts("broken", (INK,), brief="mug")
    desk.judges(broken, (1000, 100), days=1)
    desk.starts("waiting", (NEON,), brief="mug")
    silent = desk.starts("silent", (NEON,), brief="jug")
    desk.judges(silent, (0, 0))
    found = desk.reads()
    assert [each.expected for each in found.boards[0].standings] == [late.expected]
    assert {each.experiment: each.reason.code for each in found.uncounted} == {
        "broken": "experiment_invalid", "waiting": "experiment_not_judged", "silent": "experiment_without_lift",
    }  # fmt: skip


def test_an_archived_experiment_still_counts(desk):
    desk.ran("old", {INK: 0.2})
    desk.stores.control.execute("old", Archive(), "test")
    assert desk.reads().boards[0].experiments == ("old",)


def test_each_metric_has_its_board_and_the_one_with_more_evidence_comes_first(desk):
    fewer = Metric("clicks-per-unit", "clicks", direction=Direction.DECREASE)
    desk.ran("fewer", {INK: 0.2, NEON: -0.2}, metric=fewer)
    desk.ran("one", {INK: 0.2})
    desk.ran("two", {INK: 0.2}, brief="mug")
    more, falling = desk.reads().boards
    assert (more.metric, falling.metric, falling.direction) == ("ctr", "clicks-per-unit", "decrease")
    assert [each.style for each in falling.standings] == [NEON, INK]
    assert falling.standings[0].probability_better > 0.8 > 0.2 > falling.standings[1].probability_better


def pack(desk, name):
    return desk.stores.library.resolve(name).identity


def test_proposals_are_looks_that_can_be_rendered(desk):
    half = pack(desk, "noir@0.5")
    desk.ran("one", {half: 0.5, INK: -0.3})
    proposed = {each.style: each for each in desk.reads().boards[0].proposals}
    assert half in proposed
    assert INK not in proposed, "its pack is not at hand"
    assert set(proposed) == {half} | {look.identity for look in desk.stores.library.packs()}
    assert max(proposed.values(), key=lambda each: each.probability_best).style == half
    assert proposed[pack(desk, "riso")].reason.code == "style_untried"


def test_what_a_brief_has_settled_is_not_proposed_for_it(desk):
    good, bad, open_, running = (pack(desk, name) for name in ("noir", "pencil", "riso", "pastel"))
    desk.ran("first", {good: 0.5, bad: -0.5, open_: 0.02})
    desk.starts("second", (running,))
    here = desk.reads("cup").boards[0]
    assert {each.style: each.reason.code for each in here.settled} == {
        good: "style_better_here", bad: "style_worse_here", running: "style_running_here",
    }  # fmt: skip
    reasons = {each.style: each.reason for each in here.proposals}
    assert not {good, bad, running} & set(reasons)
    assert reasons[open_].code == "style_inconclusive_here"
    assert reasons[open_].parameters["experiment"] == "first"
    desk.stores.control.save_brief("mug", {})
    elsewhere = desk.reads("mug").boards[0]
    assert elsewhere.settled == ()
    assert elsewhere.proposals[0].style == good


def test_a_later_experiment_may_settle_what_an_earlier_one_left_open(desk):
    style = pack(desk, "noir")
    desk.ran("first", {style: 0.02})
    desk.ran("second", {style: 0.4})
    (left,) = desk.reads("cup").boards[0].settled
    assert (left.reason.code, left.reason.parameters["experiment"]) == (f"style_{Tried.BETTER}_here", "second")
    assert desk.reads("cup").boards[0].standings[0].experiments == 2


def test_of_two_answers_on_one_brief_the_later_stands(desk):
    style = pack(desk, "noir")
    desk.ran("first", {style: 0.4})
    desk.ran("second", {style: -0.4})
    (left,) = desk.reads("cup").boards[0].settled
    assert (left.reason.code, left.reason.parameters["experiment"]) == (f"style_{Tried.WORSE}_here", "second")


def test_where_the_metric_is_to_fall_falling_is_better(desk):
    style = pack(desk, "noir")
    desk.ran("one", {style: -0.4}, metric=Metric("clicks-per-unit", "clicks", direction=Direction.DECREASE))
    (left,) = desk.reads("cup").boards[0].settled
    assert left.reason.code == f"style_{Tried.BETTER}_here"


def test_a_brief_of_its_own_evidence_expects_something_else(desk):
    style = pack(desk, "noir")
    desk.ran("one", {style: -0.04})
    desk.ran("two", {style: 0.4}, brief="mug")
    here, elsewhere = (
        next(each for each in desk.reads(brief).boards[0].proposals if each.style == style) for brief in ("cup", None)
    )
    assert here.expected < 0.05 < elsewhere.expected


def test_a_brief_may_lie_in_the_folder_only(desk):
    desk.ran("one", {INK: 0.2})
    (desk.stores.workspace.folder("briefs") / "fresh.yaml").write_text("brief: fresh\n")
    assert desk.reads("fresh").boards[0].settled == ()
    for name, says in (("nowhere", "no brief 'nowhere'"), ("../cup", "brief name")):
        with pytest.raises(ExperimentError, match=says):
            desk.reads(name)


def test_a_style_is_not_better_because_it_was_shown_in_a_better_week(desk):
    """Twice the clicks in the second week, in which the style had most of the traffic; within weeks they are equal."""
    plan = desk.starts("moved", (INK,), looks=2)
    weeks = [
        ({"original": 0.8, "arm-0": 0.2}, {"original": shown(16_000, 320), "arm-0": shown(4000, 80)}),
        ({"original": 0.2, "arm-0": 0.8}, {"original": shown(4000, 160), "arm-0": shown(16_000, 640)}),
    ]
    batches = tuple(
        Batch(plan.look_time(n), plan.look_time(n + 1), shares, arms, arms, {}, {})
        for n, (shares, arms) in enumerate(weeks)
    )
    arms = {arm: weeks[0][1][arm] + weeks[1][1][arm] for arm in plan.weights}
    evidence = Evidence("moved", plan.look_time(2), {}, arms, (), coverage(7), batches=batches)
    for look in (1, 2):
        number = desk.stores.control.record_evidence(evidence)
        judgement = judge_look(plan, plan.seal(), evidence, look, [100.0] * (look - 1))
        desk.stores.control.record_judgement("moved", look, plan.seal(), number, judgement, "test")
    (board,) = desk.reads().boards
    assert board.standings[0].expected == pytest.approx(0, abs=0.01)
