"""A short edition of `make calibrate`: the cells in which a test that is a little wrong goes wrong first."""

import pytest

from benchmarks.calibration import (
    BETTER,
    COVERED,
    REPEATED,
    false_calls,
    interval_coverage,
    power_against_one_look,
    simulation_error,
    simultaneous_coverage,
)
from experiments.core.statistics.crowds import Crowd, Habit, Purses

pytestmark = pytest.mark.calibration

WORLDS = 4000
CELLS = (
    Crowd(2, 1, 10),
    Crowd(5, 8, 50),
    Crowd(12, 4, 50),
    Crowd(12, 1, 10, control_share=3.0),
    Crowd(12, 4, 10, Habit.ONCE),
    Crowd(5, 4, 1000, Habit.DELAYED),
    Crowd(2, 28, 50),
)


@pytest.mark.parametrize("crowd", CELLS, ids=repr)
def test_each_tail_calls_an_arm_as_often_as_it_may(crowd):
    found = false_calls(crowd, WORLDS)
    print(crowd, found.percent)
    low, high = found.band
    slack = 3.5 * simulation_error(2.5, WORLDS)
    assert all(low - slack <= share <= high + slack for share in found.percent), found.percent


@pytest.mark.parametrize("purses", [Purses(2, 1, 30, 2.0), Purses(2, 4, 30, 2.0, 3.0), Purses(5, 1, 30, 1.0)], ids=repr)
def test_a_few_large_orders_call_no_arm_more_often_than_they_may(purses):
    found = false_calls(purses, WORLDS)
    print(purses, found.percent)
    assert sum(found.percent) < 5 + 3.5 * simulation_error(5, WORLDS), found.percent
    assert sum(found.percent) > 1


@pytest.mark.parametrize("crowd", [each for each in COVERED if each.clicks < 1000], ids=repr)
def test_intervals_hold_the_truth_as_often_as_they_say(crowd):
    for found in interval_coverage(crowd, 1500):
        print(found.what, found.percent)
        # Arms share a control, so a world is less than four independent intervals.
        assert abs(found.percent - 95) < 1 + 3.5 * simulation_error(95, 1500 * 2)


def test_repeated_intervals_hold_over_arms_and_looks_at_once():
    for found in simultaneous_coverage(REPEATED[1], 1000):
        assert found.percent > 95 - 3.5 * simulation_error(95, 1000)


def test_many_looks_cost_little_power_and_save_sample():
    found = power_against_one_look(BETTER[1], WORLDS)
    assert 0.85 < found.fixed < 0.95
    assert found.found > 0.97 * found.fixed
    assert found.sample < 0.80
