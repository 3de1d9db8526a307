import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, fisher_exact

from experiments.core.errors import ExperimentError
from experiments.core.plan import Direction
from experiments.core.statistics.comparison import Correction, compare, compare_groups
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.tables import Outcome, outcome_of


def binary(clicks, shown):
    return PairMoments(shown, clicks, shown, clicks, shown, clicks)


def numbers(lift):
    return [np.nan if value is None else value for value in dataclasses.astuple(lift)[1:]]


def people(rng, count, rate, mean_visits=1.5):
    x = rng.poisson(mean_visits - 1, count) + 1
    y = rng.binomial(x, np.minimum(rate * rng.gamma(2, 0.5, count), 1))
    return PairMoments.of(zip(y.tolist(), x.tolist(), strict=True))


@st.composite
def comparisons(draw):
    arms = draw(st.integers(2, 12))
    of_people = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    moments = {}
    for index in range(arms):
        count = int(rng.integers(30, 3000))
        rate = rng.uniform(0, 0.15) * (rng.random() > 0.15)
        moments[f"arm{index}"] = (
            people(rng, count, rate) if of_people else binary(int(rng.binomial(count, rate)), count)
        )
    looks = draw(st.sampled_from([Looks.even(), Looks.even(1, 2), Looks.even(2, 3), Looks.at((0.4, 0.7))]))
    return moments, draw(st.sampled_from(list(Correction))), looks, draw(st.sampled_from([0.01, 0.05, 0.2]))


@settings(max_examples=60, deadline=None)
@given(comparisons())
def test_an_interval_excludes_zero_exactly_where_its_test_rejects(case):
    moments, correction, looks, alpha = case
    found = compare(moments, control="arm0", alpha=alpha, correction=correction, looks=looks)
    for lift in found.lifts:
        rejected = lift.p_adjusted <= alpha
        assert (lift.absolute_low > 0 or lift.absolute_high < 0) is rejected
        assert lift.absolute_low <= lift.absolute <= lift.absolute_high
        if lift.relative is not None:
            low = -np.inf if lift.relative_low is None else lift.relative_low
            high = np.inf if lift.relative_high is None else lift.relative_high
            assert (low > 0 or high < 0) is rejected
            assert low - 1e-9 <= lift.relative <= high + 1e-9
        assert lift.p_adjusted >= lift.p - 1e-12 or correction is Correction.NONE
    assert sum(arm.probability_best for arm in found.arms) == pytest.approx(1)


@settings(max_examples=20, deadline=None)
@given(comparisons(), st.randoms(use_true_random=False))
def test_the_order_of_arms_changes_nothing_but_the_order(case, dice):
    moments, correction, looks, alpha = case
    names = list(moments)
    dice.shuffle(names)
    shuffled = {name: moments[name] for name in names}
    first, second = (
        compare(each, control="arm0", alpha=alpha, correction=correction, looks=looks) for each in (moments, shuffled)
    )
    assert [arm.arm for arm in second.arms] == names
    for before in first.lifts:
        after = next(lift for lift in second.lifts if lift.arm == before.arm)
        assert numbers(after) == pytest.approx(numbers(before), rel=1e-6, abs=1e-12, nan_ok=True)


def test_aggregates_of_large_counts_have_pearsons_p_and_small_ones_fishers():
    found = compare({"a": binary(310, 10_000), "b": binary(401, 10_000), "c": binary(0, 40)}, control="a")
    large, small = found.lifts
    assert large.p == pytest.approx(chi2_contingency([[401, 9599], [310, 9690]], correction=False).pvalue, rel=1e-9)
    assert small.p == pytest.approx(fisher_exact([[0, 40], [310, 9690]]).pvalue, rel=1e-6)


def test_repeat_visitors_widen_the_interval_that_impressions_would_have():
    rng = np.random.default_rng(8)
    arms = {name: people(rng, 4000, 0.05, mean_visits=6) for name in ("a", "b")}
    of_people = compare(arms, control="a").lifts[0]
    of_impressions = compare({name: binary(each.y, each.x) for name, each in arms.items()}, control="a").lifts[0]
    assert of_people.absolute == of_impressions.absolute
    width = [lift.absolute_high - lift.absolute_low for lift in (of_people, of_impressions)]
    assert width[0] > 1.05 * width[1]


def test_nothing_is_relative_to_a_control_without_clicks():
    lift = compare({"a": binary(0, 500), "b": binary(9, 500)}, control="a").lifts[0]
    assert (lift.relative, lift.relative_low, lift.relative_high) == (None, None, None)
    assert lift.absolute == pytest.approx(0.018)


def test_arms_without_any_clicks_differ_in_nothing():
    found = compare({"a": binary(0, 500), "b": binary(0, 700), "c": binary(0, 9)}, control="a")
    assert [lift.p for lift in found.lifts] == [1.0, 1.0]
    assert found.tied == ("a", "b", "c")
    assert not found.best.beats_every_other


def test_the_best_arm_beats_every_other_only_where_all_pairs_say_so():
    clear = compare({"a": binary(100, 10_000), "b": binary(300, 10_000), "c": binary(120, 10_000)}, control="a").best
    assert (clear.arm, clear.beats_every_other) == ("b", True)
    close = compare({"a": binary(100, 10_000), "b": binary(300, 10_000), "c": binary(290, 10_000)}, control="a").best
    assert (close.arm, close.beats_every_other) == ("b", False)


def test_lower_may_be_better():
    found = compare({"a": binary(300, 9000), "b": binary(200, 9000)}, control="a", direction=Direction.DECREASE)
    assert found.best.arm == "b"
    assert {arm.arm: arm.probability_best > 0.99 for arm in found.arms} == {"a": False, "b": True}


def test_many_groups_at_once_are_what_each_is_alone():
    rng = np.random.default_rng(3)
    groups = [
        ("a", {name: binary(int(rng.binomial(2000, 0.04)), 2000) for name in "abcd"[: 2 + index % 3]})
        for index in range(9)
    ]
    settings_ = {"alpha": 0.05, "correction": Correction.DUNNETT, "looks": Looks.even(1, 2)}
    together = compare_groups(groups, split=None, **settings_)
    for (control, arms), found in zip(groups, together, strict=True):
        alone = compare(arms, control=control, **settings_)
        assert [lift.p_adjusted for lift in found.lifts] == pytest.approx([lift.p_adjusted for lift in alone.lifts])


def test_outcomes_are_told_apart():
    assert outcome_of([binary(3, 10), binary(0, 5)]) is Outcome.BINARY
    assert outcome_of([PairMoments.of([(2, 3), (0, 1)])]) is Outcome.COUNT
    assert outcome_of([PairMoments.of([(2.5, 1), (0, 1)])]) is Outcome.VALUE
    assert outcome_of([PairMoments.of([(-2, 1), (1, 1)])]) is Outcome.VALUE


@pytest.mark.parametrize("arms", [{"a": binary(1, 9)}, {"b": binary(1, 9), "c": binary(2, 9)}])
def test_a_comparison_needs_a_control_and_another_arm(arms):
    with pytest.raises(ExperimentError, match="control"):
        compare(arms, control="a")


def values(mean, spread, units):
    return PairMoments(units, mean * units, units, (mean**2 + spread**2) * units, units, mean * units)


def test_the_relative_lift_of_means_allows_for_the_controls_uncertainty():
    rng, truth, worlds = np.random.default_rng(6), 0.8, 3000
    control, arm = rng.normal(10, 1.5, worlds), rng.normal(18, 1.5, worlds)
    groups = [("a", {"a": values(c, 15.0, 100), "b": values(d, 15.0, 100)}) for c, d in zip(control, arm, strict=True)]
    found = compare_groups(groups, split=None, alpha=0.05, correction=Correction.NONE, looks=Looks.even())
    held = np.mean([each.lifts[0].relative_low <= truth <= each.lifts[0].relative_high for each in found])
    assert held == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / worlds) + 0.003)


def test_a_control_whose_mean_may_be_zero_has_no_relative_interval_and_losses_are_relative_to_their_size():
    unsure = compare({"a": values(0.5, 10.0, 100), "b": values(3.0, 10.0, 100)}, control="a").lifts[0]
    assert (unsure.relative_low, unsure.relative_high) == (None, None)
    assert unsure.absolute_low is not None
    losses = compare({"a": values(-10.0, 5.0, 900), "b": values(-8.0, 5.0, 900)}, control="a").lifts[0]
    assert losses.relative == pytest.approx(0.2)
    assert 0 < losses.relative_low < 0.2 < losses.relative_high
