"""Numbers hold at the ends: a billion impressions, one click in all, one unit, money in millionths; no warnings."""

import warnings
from datetime import timedelta
from math import isfinite

import numpy as np
import pytest
from scipy.stats import beta

from experiments.core.errors import ExperimentError
from experiments.core.statistics.batched import Dealt, compare_batches, stopped_batches
from experiments.core.statistics.comparison import compare
from experiments.core.statistics.deciding import decide_table
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.posterior import RatePrior, best_of_shares, interval_of_shares
from experiments.core.statistics.readings import after_stopping, always_valid, futile_arms
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.tables import ArmTable, Outcome

BILLION = 10**9


def once(y, x):
    """0/1 outcomes."""
    return PairMoments(x, y, x, y, x, y)


def counts(y, units, x, yy):
    return PairMoments(units, y, x, yy, x * x // units, y * x // units)


def money(mean, units, spread=0):
    return PairMoments(units, mean * units, units, (mean**2 + spread**2) * units, units, mean * units)


CASES = {
    "a billion impressions": [once(3 * 10**7, BILLION), once(3 * 10**7 + 20_000, BILLION)],
    "equal arms": [once(3 * 10**7, BILLION), once(3 * 10**7, BILLION)],
    "one click in all": [once(0, BILLION), once(1, BILLION)],
    "no click at all": [once(0, BILLION), once(0, BILLION)],
    "everybody clicks": [once(BILLION, BILLION), once(BILLION, BILLION)],
    "all but one click": [once(BILLION, BILLION), once(BILLION - 1, BILLION)],
    "one unit": [once(0, 1), once(1, 1)],
    "one unit against a billion": [once(1, 1), once(10**6, BILLION)],
    "twelve arms of a billion": [once(click, BILLION) for click in range(12)],
    "a billion of people who come back": [counts(3 * 10**7, 10**8, BILLION, 5 * 10**7)] * 3,
    "much money that hardly varies": [money(10**12, 1000), money(11 * 10**11, 1000, 10**8)],
    "much money": [money(10**12, 1000, 4 * 10**11), money(11 * 10**11, 1000, 3 * 10**11)],
    "money that never varies": [money(10**12, 1000), money(10**12, 1000)],
    "money of one unit": [money(10**12, 1), money(2 * 10**12, 1)],
    "money of nobody who paid": [money(0, 1000), money(0, 1000)],
    "money as floats": [PairMoments(9, 9e12, 9, 1e25, 9, 9e12), PairMoments(9, 9.9e12, 9, 1.3e25, 9, 9.9e12)],
    "losses": [money(-(10**12), 1000, 10**11), money(10**12, 1000, 10**11)],
}


@pytest.mark.parametrize("looks", [Looks.even(), Looks.even(1, 8), Looks.even(8, 8)], ids=["single", "first", "last"])
@pytest.mark.parametrize("case", CASES)
def test_every_reading_holds(case, looks):
    arms = {f"arm{n}": pair for n, pair in enumerate(CASES[case])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(arms, control="arm0", looks=looks)
        anytime = always_valid(arms, control="arm0", planned=1e6)
        stopped = after_stopping(arms, control="arm0", looks=looks)
        futile_arms(arms, control="arm0", looks=looks, lift=0.1, power=0.9)
        batches = [Dealt(dict.fromkeys(arms, 1 / len(arms)), timedelta(7), arms)] * 2
        stopped += stopped_batches(batches, control="arm0", looks=looks)
        batched = compare_batches(batches, control="arm0", looks=looks)
    for comparison in (found, batched):
        for arm in comparison.arms:
            assert all(value is None or isfinite(value) for value in (arm.rate, arm.low, arm.high))
            assert arm.probability_best is None or 0 <= arm.probability_best <= 1
            if arm.low is not None:
                assert arm.low <= arm.rate <= arm.high
        for lift in comparison.lifts:
            assert 0 < lift.p <= lift.p_adjusted <= 1
            for low, value, high in (
                (lift.absolute_low, lift.absolute, lift.absolute_high),
                (lift.relative_low, lift.relative, lift.relative_high),
            ):
                assert all(each is None or isfinite(each) for each in (low, value, high))
                assert low is None or low <= value + 1e-12
                assert high is None or value <= high + 1e-12
    assert all(0 < each.p <= 1 for each in anytime)
    ends = [(each.low, each.median_unbiased, each.high) for each in stopped if each.low is not None]
    assert all(low <= middle <= high for low, middle, high in ends)


def test_of_one_unit_nothing_is_known():
    (lift,) = compare({"a": money(10**12, 1), "b": money(2 * 10**12, 1)}, control="a").lifts
    assert (lift.absolute, lift.absolute_low, lift.relative_high, lift.p) == (10**12, None, None, 1.0)
    keen = compare({"a": counts(2, 1, 9, 4), "b": counts(40, 1, 90, 1600)}, control="a").lifts[0]
    assert (keen.absolute_high, keen.p) == (None, 1.0), "forty clicks of one person"


@pytest.mark.parametrize("units", [3, 1000, 99_999])
@pytest.mark.parametrize("value", [0.2, 0.3, 4.7])
def test_of_units_that_are_all_alike_nothing_is_known(units, value):
    """Sums of as many tenths are rounded, and what rounding leaves over is no variance."""
    arms = {"a": PairMoments.of([(0.1, 1)] * units), "b": PairMoments.of([(value, 1)] * units)}
    (lift,) = compare(arms, control="a").lifts
    assert (lift.p, lift.absolute_low, lift.absolute_high, lift.relative_low) == (1.0, None, None, None)
    assert lift.absolute == pytest.approx(value - 0.1)
    assert compare({"a": money(50, 9, 3), "b": arms["b"]}, control="a").lifts[0].p < 1e-6, "one arm's may be enough"


@pytest.mark.parametrize("units", [2, 3, 5, 10])
@pytest.mark.parametrize("outcome", [Outcome.VALUE, Outcome.COUNT])
def test_few_units_are_not_taken_for_many(units, outcome):
    """Values are normal, so the level is Student's; counts are far more unlike than independent ones."""
    draw, worlds = np.random.default_rng(units), 4000
    if outcome is Outcome.VALUE:
        seen = draw.normal(50, 20, (worlds, 2, units))
    else:
        seen = draw.poisson(draw.gamma(4, 25, (worlds, 2, units))).astype(float)
    sums = {"y": seen.sum(axis=2), "yy": np.square(seen).sum(axis=2), "x": np.full((worlds, 2), float(units))}
    table = ArmTable(units=sums["x"], xx=sums["x"], xy=sums["y"], shares=np.ones((worlds, 2)), **sums)
    found = decide_table(table, outcome=outcome, alpha=0.05, looks=Looks.even())
    called = (np.abs(found.z) >= found.bound).mean()
    assert called < 0.065, "by the normal it is 0.19 with two units an arm, 0.07 with ten"
    assert called > (0.02 if units > 2 else 0.001)


def test_intervals_of_few_units_agree_with_their_p():
    for units in (3, 4, 6):
        for lift in (5, 9, 14, 25):
            arms = {"a": money(50, units, 6), "b": money(50 + lift, units, 6)}
            for kind in (Outcome.VALUE, Outcome.COUNT):
                (found,) = compare(arms, control="a", outcome=kind).lifts
                assert (found.absolute_low > 0) is (found.p_adjusted <= 0.05)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_refused_with_a_clear_line(wrong):
    arms = {"a": money(1, 10, 1), "b": PairMoments(10, wrong, 10, 20, 10, 10)}
    for read in (
        lambda: compare(arms, control="a"),
        lambda: always_valid(arms, control="a", planned=100),
        lambda: after_stopping(arms, control="a", looks=Looks.even()),
        lambda: compare_batches([Dealt({"a": 1.0, "b": 1.0}, timedelta(7), arms)], control="a"),
    ):
        with pytest.raises(ExperimentError, match=r"NaN or infinite cannot be compared|not numbers"):
            read()


@pytest.mark.parametrize(("y", "n"), [([7, 8, 3], [9, 9, 9]), ([600, 640, 610], [1000, 1000, 900]), ([1, 0], [1, 1])])
def test_chances_of_frequent_ones_are_betas(y, n):
    y, n = np.array([y], dtype=float), np.array([n], dtype=float)
    draws = np.random.default_rng(3).beta(y + 0.5, n - y + 0.5, (400_000, y.shape[1]))
    best = np.bincount(draws.argmax(axis=1), minlength=y.shape[1]) / len(draws)
    chance, loss = best_of_shares(y, n)
    assert list(chance[0]) == pytest.approx(list(best), abs=0.003)
    assert list(loss[0]) == pytest.approx(list((draws.max(axis=1)[:, None] - draws).mean(axis=0)), abs=0.002)
    fewest, _ = best_of_shares(y, n, higher_is_better=False)
    worst = np.bincount(draws.argmin(axis=1), minlength=y.shape[1]) / len(draws)
    assert list(fewest[0]) == pytest.approx(list(worst), abs=0.003)


def test_rare_and_frequent_ones_agree_where_they_meet():
    y, n = np.array([[98.0, 110.0]]), np.array([[1100.0, 1100.0]])
    rare, _ = best_of_shares(y, n)
    often, _ = best_of_shares(np.array([[98.0, 110.0, 111.0]]), np.array([[1100.0, 1100.0, 10.0**9]]))
    draws = np.random.default_rng(3).beta(y + 0.5, n - y + 0.5, (400_000, 2))
    assert rare[0, 1] == pytest.approx((draws[:, 1] > draws[:, 0]).mean(), abs=0.004)
    assert often[0, 1] > 0.5


def test_an_interval_of_shares_is_the_betas_with_the_prior_counted_in():
    y, n = np.array([[3.0, 9.0]]), np.array([[9.0, 9.0]])
    low, high = interval_of_shares(y, n)
    assert [low[0, 1], high[0, 1]] == pytest.approx(list(beta.ppf([0.025, 0.975], 9.5, 0.5)))
    low, high = interval_of_shares(y, n, prior=RatePrior(20, 50, 1.0))
    assert [low[0, 0], high[0, 0]] == pytest.approx(list(beta.ppf([0.025, 0.975], 23, 36)))
