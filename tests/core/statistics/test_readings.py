import numpy as np
import pytest

from experiments.core.errors import ExperimentError
from experiments.core.plan import Direction
from experiments.core.statistics.anytime import BadTuning
from experiments.core.statistics.comparison import compare
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.readings import always_valid, futile_arms
from experiments.core.statistics.sequential import Looks


def clicks(y, units=20_000, repeated=1.3):
    return PairMoments(units, y, units, round(repeated * y), units, y)


def zero_one(y, units=20_000):
    return PairMoments(units, y, units, y, units, y)


def money(mean, units=5_000):
    return PairMoments(units, mean * units, units, (mean**2 + 90.0) * units, units, mean * units)


@pytest.mark.parametrize(
    ("arms", "planned"),
    [
        ({"original": clicks(400), "ink": clicks(560), "neon": clicks(410)}, 1000),
        ({"original": zero_one(400), "ink": zero_one(560), "neon": zero_one(410)}, 1400),
        ({"original": money(2.0), "ink": money(3.2), "neon": money(2.1)}, 15_000),
    ],
)
def test_what_may_be_read_at_any_time_is_wider_than_the_scheduled_reading_and_agrees_with_its_p(arms, planned):
    found = {each.arm: each for each in always_valid(arms, control="original", planned=planned)}
    decided = {each.arm: each for each in compare(arms, control="original").lifts}
    for arm, each in found.items():
        assert each.relative_low < decided[arm].relative_low < decided[arm].relative_high < each.relative_high
        assert each.p > decided[arm].p_adjusted
        assert (each.p <= 0.05) == (each.relative_low > 0)
    assert found["ink"].p < 0.05 < found["neon"].p
    width = found["neon"].relative_high - found["neon"].relative_low
    assert width < 1.6 * (decided["neon"].relative_high - decided["neon"].relative_low)


def test_before_enough_is_known_nothing_is_said():
    (found,) = always_valid({"original": clicks(3), "ink": clicks(9)}, control="original", planned=2000)
    assert (found.p, found.relative_low, found.relative_high) == (1.0, None, None)


def test_a_control_without_clicks_has_no_relative_lift_but_a_p():
    (found,) = always_valid({"original": clicks(0), "ink": clicks(60)}, control="original", planned=60)
    assert found.relative_low is None
    assert found.p < 1e-3


def test_uneven_shares_are_planned_as_they_are():
    arms = {"original": clicks(1200, 60_000), "ink": clicks(520, 20_000), "neon": clicks(380, 20_000)}
    even = always_valid(arms, control="original", planned=1500)
    uneven = always_valid(arms, control="original", planned=1500, split={"original": 3, "ink": 1, "neon": 1})
    assert [each.arm for each in uneven] == ["ink", "neon"]
    # A third of 1,500 in each of two arms tells 250 of their log ratio; three fifths and a fifth tell 225.
    assert uneven[0].p < even[0].p < 0.05


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ExperimentError, match="another arm"):
        always_valid({"original": clicks(5)}, control="original", planned=100)
    with pytest.raises(BadTuning, match="positive"):
        always_valid({"original": clicks(5), "ink": clicks(7)}, control="original", planned=0)


@pytest.mark.calibration
def test_a_style_that_has_the_lift_is_hardly_ever_called_futile_and_one_without_it_mostly_is():
    """Over three of four looks, at the sample that finds a lift of 20 % with a power of 0.9."""
    draw, worlds = np.random.default_rng(17), 300
    named = {1.2: 0, 1.0: 0}
    for lift in named:
        for _ in range(worlds):
            y, x, history = np.zeros(2, dtype=int), 0, []
            for look in (1, 2, 3):
                y, x = y + draw.poisson([150, 150 * lift]), x + 15_000
                history.append(float(y.sum()))
                looks = Looks(look, 4, tuple(history), tuple(n / 4 for n in range(1, look + 1)))
                arms = {arm: PairMoments(x, int(n), x, int(n), x, int(n)) for arm, n in zip("ab", y, strict=True)}
                if futile_arms(arms, control="a", looks=looks, lift=0.2, power=0.9):
                    named[lift] += 1
                    break
    assert named[1.2] / worlds < 0.1
    assert named[1.0] / worlds > 0.5


def test_futility_looks_in_the_direction_that_is_wanted():
    arms = {name: PairMoments(90_000, y, 90_000, y, 90_000, y) for name, y in (("a", 2000), ("b", 1700), ("c", 2300))}
    looks = Looks.even(1, 2)
    asked = {"control": "a", "looks": looks, "lift": 0.1, "power": 0.9}
    assert futile_arms(arms, **asked) == ("b",)
    assert futile_arms(arms, **asked, direction=Direction.DECREASE) == ("c",)
    assert futile_arms(arms, **(asked | {"lift": 1.5}), direction=Direction.DECREASE) == ()
    nobody = {name: PairMoments(900, 0, 900, 0, 900, 0) for name in "ab"}
    assert futile_arms(nobody, control="a", looks=looks, lift=0.1, power=0.9) == ()


def test_futility_of_money_is_read_from_its_means():
    def spent(mean):
        return PairMoments(40_000, mean * 40_000, 40_000, 40_000 * (mean**2 + 4.0), 40_000, mean * 40_000)

    asked = {"control": "a", "looks": Looks.even(1, 2), "lift": 0.1, "power": 0.9}
    assert futile_arms({"a": spent(2.0), "b": spent(1.98), "c": spent(2.2)}, **asked) == ("b",)
