"""The next batch's shares."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from experiments.core.evidence import Batch, Evidence, Health
from experiments.core.metrics import metric_named
from experiments.core.plan import CTR, Allocation, Arm, Direction, Looks, Plan, Rule
from experiments.core.statistics.floors import control_floor
from experiments.core.statistics.moments import UnitMoments
from experiments.core.traffic import next_shares

START = datetime(2026, 11, 2, tzinfo=UTC)
ARMS = ("original", "ink", "neon")
HEALTH = Health(0, {}, {}, 0, 0, 7, 7, START)
EVEN = dict.fromkeys(ARMS, 1 / 3)


def plan(**changed):
    arms = tuple(Arm(name, name) for name in ARMS)
    allocation = Allocation(Rule.TOP_TWO, floor=0.05, largest_step=1.0)
    return replace(Plan("spring", "salt", "original", arms, START, looks=Looks(4, 7), allocation=allocation), **changed)


def moments(units, clicks, spent=0, square=0):
    return UnitMoments(units, (units, clicks, 0, spent), (units, clicks, 0, spent, clicks, 0, 0, 0, 0, square))


def evidence(*weeks, shares=EVEN):
    """Of weeks given as (units, clicks) by arm, each dealt by its own shares where there are several."""
    arms = {arm: sum((moments(*week[arm]) for week in weeks), UnitMoments()) for arm in ARMS}
    batches = tuple(
        Batch(START + n * timedelta(7), START + (n + 1) * timedelta(7), shares | {"ink": 0.1 * n},
              {arm: moments(*week[arm]) for arm in ARMS}, {arm: moments(*week[arm]) for arm in ARMS}, {}, {})
        for n, week in enumerate(weeks)
    ) if len(weeks) > 1 else ()  # fmt: skip
    return Evidence("spring", START, {}, arms, (), HEALTH, batches=batches)


def test_traffic_goes_where_the_clicks_are_and_no_arm_starves():
    shares = next_shares(
        plan(), evidence({"original": (9000, 200), "ink": (9000, 320), "neon": (9000, 0)}), previous=EVEN
    )
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["neon"] == pytest.approx(0.05), "no click in nine thousand: the floor"
    assert shares["ink"] == pytest.approx(0.475), "the leader and its rival in halves"
    shares = next_shares(
        plan(), evidence({"original": (9000, 200), "ink": (9000, 320), "neon": (9000, 315)}), previous=EVEN
    )
    assert shares["original"] == pytest.approx(control_floor(3)), "the control is behind, but all is measured by it"


def test_no_share_changes_by_more_than_the_largest_step():
    slow = plan(allocation=Allocation(Rule.TOP_TWO, 0.05, 0.1))
    found = evidence({"original": (9000, 200), "ink": (9000, 320), "neon": (9000, 0)})
    shares = next_shares(slow, found, previous=EVEN)
    assert max(abs(shares[arm] - EVEN[arm]) for arm in ARMS) == pytest.approx(0.1)
    further = next_shares(slow, found, previous=shares)
    assert further["neon"] < shares["neon"] < EVEN["neon"]


def test_an_arm_is_not_taken_for_good_because_it_was_shown_in_a_good_week():
    weeks = (
        {"original": (4000, 40), "ink": (1000, 10), "neon": (5000, 50)},
        {"original": (3000, 120), "ink": (6000, 240), "neon": (1000, 40)},
    )
    shares = next_shares(plan(), evidence(*weeks), previous=EVEN)
    assert shares["ink"] == pytest.approx(shares["neon"], abs=0.12), "alike within each week"
    pooled = {arm: tuple(sum(each) for each in zip(*(week[arm] for week in weeks), strict=True)) for arm in ARMS}
    misled = next_shares(plan(), evidence(pooled), previous=EVEN)
    assert misled["ink"] > misled["neon"] + 0.4, "what pooled rates say"


def test_the_metrics_direction_counts():
    fewer = plan(metrics=(replace(CTR, direction=Direction.DECREASE),))
    found = evidence({"original": (9000, 200), "ink": (9000, 320), "neon": (9000, 100)})
    assert next_shares(fewer, found, previous=EVEN)["neon"] == pytest.approx(0.475)


def test_money_is_followed_too():
    money = plan(metrics=(metric_named("revenue-per-unit"),))
    spent = {
        "original": (9000, 0, 9_000_000, 40_000_000_000),
        "ink": (9000, 0, 12_000_000, 60_000_000_000),
        "neon": (9000, 0, 0, 0),
    }
    shares = next_shares(money, evidence(spent), previous=EVEN)
    assert shares["ink"] == pytest.approx(0.475)
    assert shares["neon"] == pytest.approx(0.05)


def test_an_arm_that_has_hardly_been_shown_is_not_starved_for_having_earned_nothing_yet():
    """Money is counted in millionths: half of one is nothing to begin with, half of a purchase is."""
    price = 50_000_000
    spent = {arm: (1000, 0, buyers * price, buyers * price**2) for arm, buyers in (("original", 20), ("ink", 22))}
    clicks = {"original": (1000, 20), "ink": (1000, 22), "neon": (5, 0)}
    money = next_shares(
        plan(metrics=(metric_named("revenue-per-unit"),)), evidence(spent | {"neon": (5, 0)}), previous=EVEN
    )
    assert money == pytest.approx(next_shares(plan(), evidence(clicks), previous=EVEN), abs=0.01)
    assert money["neon"] > 0.2


def test_nothing_at_all_keeps_arms_alike():
    shares = next_shares(plan(), evidence(dict.fromkeys(ARMS, (9000, 0))), previous=EVEN)
    assert shares["ink"] == pytest.approx(shares["neon"])
