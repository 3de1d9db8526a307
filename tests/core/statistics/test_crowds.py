import numpy as np
import pytest

from experiments.core.statistics.crowds import DESIGN_EFFECT, Crowd, Habit


def drawn(crowd, experiments=4000):
    return list(crowd.draw(np.random.default_rng(11), experiments))


@pytest.mark.parametrize(
    "crowd", [Crowd(2, 1, 50), Crowd(3, 4, 50, lifts=(0.5, -0.3)), Crowd(2, 8, 200, Habit.DELAYED)]
)
def test_clicks_and_their_dispersion_are_as_promised_at_the_last_look(crowd):
    last = drawn(crowd)[-1]
    if crowd.habit is Habit.RETURNING:
        assert last.y.mean(axis=0) == pytest.approx(crowd.clicks * crowd.ratios, rel=0.02)
    dispersion = (last.yy - last.y**2 / last.x).sum() / last.y.sum()
    assert dispersion == pytest.approx(DESIGN_EFFECT, rel=0.03)
    assert last.y.var(axis=0) == pytest.approx(DESIGN_EFFECT * last.y.mean(axis=0), rel=0.1), "between worlds too"


def test_dispersion_rises_while_people_come_back():
    looks = drawn(Crowd(2, 8, 200), 500)
    phi = [float((each.yy - each.y**2 / each.x).sum() / each.y.sum()) for each in looks]
    assert (np.diff(phi) > 0).all()


@pytest.mark.parametrize("habit", Habit)
def test_the_true_rates_are_those_that_come(habit):
    crowd = Crowd(3, 4, 300, habit, control_share=3.0, lifts=(0.5, -0.3))
    for table, rates in zip(drawn(crowd), crowd.rates(), strict=True):
        assert (table.y / table.x).mean(axis=0) == pytest.approx(rates, rel=0.02)


def test_a_click_is_never_taken_back_and_no_week_is_like_the_one_before():
    looks = drawn(Crowd(5, 4, 20, control_share=3.0), 300)
    y = np.array([each.y for each in looks])
    assert (np.diff(y, axis=0) >= 0).all()
    arrivals = np.diff([each.x[0, 1] for each in looks])
    assert len(set(arrivals)) == len(arrivals)
    assert (looks[-1].x[:, 0] == 3 * looks[-1].x[:, 1]).all()


def test_who_acts_once_or_never_has_a_0_1_outcome():
    last = drawn(Crowd(2, 3, 100, Habit.ONCE), 200)[-1]
    assert (last.yy == last.y).all()
