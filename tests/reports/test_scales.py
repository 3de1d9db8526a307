import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reports import scales

rates = st.floats(-1e3, 1e3).map(lambda value: round(value, 6))


@given(rates, rates, st.integers(2, 8))
def test_ticks_span_what_they_should_and_are_evenly_stepped(a, b, about):
    low, high = min(a, b), max(a, b)
    marks = scales.ticks(low, high, about)
    slack = 1e-6 * max(1, abs(low), abs(high))
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= 2 * about + 3
    steps = [after - before for before, after in pairwise(marks)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-4, abs_tol=1e-11) for step in steps)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.5, 30))
def test_labels_keep_their_order_their_distance_and_the_page(wanted, gap):
    placed = scales.spread(wanted, gap, 0, 100)
    kept = min(gap, 100 / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda n: (wanted[n], n))
    positions = [placed[n] for n in order]
    assert all(after - before >= kept - 1e-6 for before, after in pairwise(positions))
    assert positions[0] >= -1e-6
    assert positions[-1] <= 100 + 1e-6


@given(rates, rates, st.floats(60, 600))
def test_labels_of_an_axis_do_not_touch(a, b, width):
    low, high = min(a, b), max(a, b) + 0.1
    marks = scales.labelled_ticks(low, high, 6, width, lambda said: 8 * len(said), lambda tick: f"{tick:+.4g} %")
    half = [(tick * width / (high - low), 4 * len(said)) for tick, said in marks]
    assert all(x + reach <= other - next_reach + 1e-6 for (x, reach), (other, next_reach) in pairwise(half))
    assert all(low <= tick <= high for tick, _ in marks)


def test_an_axis_with_room_has_all_its_labels():
    marks = scales.labelled_ticks(-0.5, 1.5, 5, 500, lambda said: 8 * len(said), str)
    assert [tick for tick, _ in marks] == [-0.5, 0.0, 0.5, 1.0, 1.5]


def test_labels_that_have_room_stay():
    assert scales.spread([10, 50, 90], 5, 0, 100) == [10, 50, 90]


def test_steps_are_written_with_the_decimals_they_need():
    assert [scales.decimals(step) for step in (1, 0.5, 0.25, 20, 0.1)] == [0, 1, 2, 0, 1]


def test_dates_are_marked_evenly():
    assert scales.evenly(21, 6) == (0, 4, 8, 12, 16, 20)
    assert scales.evenly(1, 6) == (0,)
    assert len(scales.evenly(365, 4)) <= 4
