import numpy as np
import pytest

from experiments.core.statistics.adjustment import HistoryMoments, adjust_arms
from experiments.core.statistics.comparison import compare, compare_adjusted


def at_once(columns):
    """``HistoryMoments.of`` these units, quicker; which is what the first test says."""
    products = (columns @ columns.T)[np.triu_indices(4)]
    return HistoryMoments(columns.shape[1], *columns.sum(axis=1).tolist(), *products.tolist())


def world(rng, units, gain=0.0, appetite_shape=0.3):
    """Clicks of people with differing appetites, shown before and during the experiment."""
    arms = {}
    for name, lift in (("original", 0.0), ("ink", gain), ("neon", 0.0)):
        appetite = rng.gamma(appetite_shape, 1 / appetite_shape, units)
        columns = (
            rng.poisson(0.2 * (1 + lift) * appetite),
            np.ones(units),
            rng.poisson(0.5 * appetite),
            np.ones(units),
        )
        arms[name] = at_once(np.array(columns).astype(int))
    return arms


def test_moments_are_those_of_the_units():
    columns = np.random.default_rng(2).poisson(2.0, (4, 50))
    assert at_once(columns) == HistoryMoments.of(zip(*columns.tolist(), strict=True))


def test_history_narrows_the_intervals_and_finds_what_is_missed_without():
    arms = world(np.random.default_rng(8), 8000, 0.12)
    plain = compare({name: each.pair for name, each in arms.items()}, control="original")
    adjusted = compare_adjusted(arms, control="original")
    share = adjusted.adjusted
    assert share > 0.2
    for before, after in zip(plain.lifts, adjusted.lifts, strict=True):
        ratio = (after.relative_high - after.relative_low) / (before.relative_high - before.relative_low)
        assert ratio == pytest.approx(np.sqrt(1 - share), rel=0.05)
    assert adjusted.lifts[0].p_adjusted < plain.lifts[0].p_adjusted
    expected = adjust_arms(arms)
    assert [each.rate for each in adjusted.arms] == pytest.approx(list(expected.rate))
    assert [each.numerator for each in adjusted.arms] == [each.numerator for each in plain.arms], (
        "what was counted stays"
    )


def test_false_calls_stay_at_their_level():
    rng, worlds, called = np.random.default_rng(5), 500, 0
    for _ in range(worlds):
        found = compare_adjusted(world(rng, 900), control="original")
        called += any(lift.p_adjusted < 0.05 for lift in found.lifts)
    assert called / worlds == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / worlds))


def test_few_clicks_are_not_adjusted():
    arms = world(np.random.default_rng(1), 40)
    found = compare_adjusted(arms, control="original")
    assert found.adjusted == 0
    assert found == compare({name: each.pair for name, each in arms.items()}, control="original")
