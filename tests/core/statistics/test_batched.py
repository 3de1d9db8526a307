"""Comparisons batch by batch: what pooling would have said, and what the combined test says."""

from datetime import timedelta

import numpy as np
import pytest

from experiments.core.plan import Direction
from experiments.core.statistics.adaptive import read_batches
from experiments.core.statistics.batched import Dealt, compare_batches, pooled, sample_ratio_of, stopped_batches
from experiments.core.statistics.comparison import compare
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.posterior import best_of_rates
from experiments.core.statistics.sequential import Looks

WEEK = timedelta(days=7)


def clicks(y, x):
    """Units that saw one impression each and clicked at most once."""
    return PairMoments(x, y, x, y, x, y)


def money(total, units, square):
    return PairMoments(units, float(total), units, float(square), units, float(total))


# The second week has twice the click rate, and the style gets most of it: pooled, it seems 40 % better than its equal.
SIMPSON = [
    Dealt({"original": 0.8, "ink": 0.2}, WEEK, {"original": clicks(160, 8000), "ink": clicks(40, 2000)}),
    Dealt({"original": 0.3, "ink": 0.7}, WEEK, {"original": clicks(120, 3000), "ink": clicks(280, 7000)}),
]


def test_a_good_week_is_not_held_against_a_bad_one():
    naive = compare(pooled(SIMPSON), control="original").lifts[0]
    assert naive.relative > 0.3
    assert naive.p < 1e-4
    found = compare_batches(SIMPSON, control="original")
    assert found.lifts[0].relative == pytest.approx(0, abs=0.01)
    assert found.lifts[0].p > 0.9
    chances = [arm.probability_best for arm in found.arms]
    assert chances == pytest.approx([0.5, 0.5], abs=0.02)


def test_shares_that_never_changed_are_read_as_if_there_were_one_batch():
    even = {"original": 0.5, "ink": 0.5}
    parts = [Dealt(even, WEEK, {"original": clicks(100, 5000), "ink": clicks(y, 5000)}) for y in (128, 131)]
    found, whole = compare_batches(parts, control="original"), compare(pooled(parts), control="original")
    assert found.lifts[0].relative == pytest.approx(whole.lifts[0].relative, abs=0.005)
    assert found.lifts[0].relative_low == pytest.approx(whole.lifts[0].relative_low, abs=0.01)
    assert found.lifts[0].relative_high == pytest.approx(whole.lifts[0].relative_high, abs=0.02)
    assert found.lifts[0].p == pytest.approx(whole.lifts[0].p, rel=0.15)
    assert found.best.beats_every_other
    for here, there in zip(found.arms, whole.arms, strict=True):
        assert (here.rate, here.low, here.high) == (there.rate, there.low, there.high)
        assert here.probability_best == pytest.approx(there.probability_best, abs=0.005)
        assert here.expected_loss == pytest.approx(there.expected_loss, abs=1e-4)


def test_the_lifts_are_those_of_the_batches_combined_and_the_absolute_ones_follow_the_controls_rate():
    looks = Looks.even(2, 4)
    found = compare_batches(SIMPSON, control="original", looks=looks).lifts[0]
    (contrast,) = read_batches([each.pairs for each in SIMPSON], control="original", looks=looks)
    assert (found.relative, found.p, found.p_adjusted) == (contrast.lift, contrast.p, contrast.p_adjusted)
    assert found.absolute_high == pytest.approx(contrast.high * 280 / 11_000)


def test_a_longer_batch_counts_more_whatever_came_in_it():
    first, second = (
        {"original": clicks(100, 5000), "ink": clicks(150, 5000)},
        {"original": clicks(100, 5000), "ink": clicks(100, 5000)},
    )
    even = {"original": 0.5, "ink": 0.5}
    lifts = [
        compare_batches([Dealt(even, days * WEEK, first), Dealt(even, WEEK, second)], control="original")
        .lifts[0]
        .relative
        for days in (1, 4)
    ]
    assert lifts[0] < lifts[1] < 0.5


def test_chances_of_three_arms_are_what_gammas_say():
    even = dict.fromkeys(("original", "ink", "neon"), 1 / 3)
    counts = {"original": 400, "ink": 430, "neon": 425}
    halves = [Dealt(even, WEEK, {arm: clicks(y // 2, 10**6) for arm, y in counts.items()})] * 2
    found = compare_batches(halves, control="original")
    y = np.array([[y // 2 * 2.0 for y in counts.values()]])
    chance, loss = best_of_rates(y, np.full((1, 3), 2e6), np.ones(1))
    assert [arm.probability_best for arm in found.arms] == pytest.approx(list(chance[0]), abs=0.02)
    assert [arm.expected_loss for arm in found.arms] == pytest.approx(list(loss[0]), rel=0.06)


def test_fewer_may_be_better():
    even = {"original": 0.5, "ink": 0.5}
    parts = [Dealt(even, WEEK, {"original": clicks(300, 5000), "ink": clicks(200, 5000)})] * 2
    found = compare_batches(parts, control="original", direction=Direction.DECREASE)
    assert found.best.arm == "ink"
    assert found.arms[1].probability_best > 0.999


def test_money_is_compared_within_batches_too():
    draw = np.random.default_rng(4)

    def spent(mean, units):
        values = draw.exponential(mean, units)
        return money(values.sum(), units, np.square(values).sum())

    parts = [
        Dealt({"original": 0.8, "ink": 0.2}, WEEK, {"original": spent(2.0, 8000), "ink": spent(2.0, 2000)}),
        Dealt({"original": 0.2, "ink": 0.8}, WEEK, {"original": spent(4.0, 2000), "ink": spent(4.0, 8000)}),
    ]
    assert compare(pooled(parts), control="original").lifts[0].relative > 0.4
    found = compare_batches(parts, control="original")
    assert found.lifts[0].relative == pytest.approx(0, abs=0.08)
    assert found.lifts[0].relative == pytest.approx(found.lifts[0].absolute / found.arms[0].rate)
    (stopped,) = stopped_batches(parts, control="original", looks=Looks.even())
    assert stopped.median_unbiased == pytest.approx(found.lifts[0].relative, abs=0.01)


def test_an_arm_without_a_click_has_lost_and_a_control_without_one_leaves_no_ratio():
    even = {"original": 0.5, "ink": 0.5}
    lost = compare_batches(
        [Dealt(even, WEEK, {"original": clicks(30, 5000), "ink": clicks(0, 5000)})] * 2, control="original"
    )
    assert (lost.lifts[0].relative, lost.best.arm) == (-1.0, "original")
    assert lost.lifts[0].p_adjusted < 1e-6
    assert lost.arms[0].probability_best is None
    won = compare_batches(
        [Dealt(even, WEEK, {"original": clicks(0, 5000), "ink": clicks(30, 5000)})] * 2, control="original"
    )
    assert (won.lifts[0].relative, won.best.arm) == (None, "ink")
    assert won.lifts[0].absolute == pytest.approx(0.006)
    assert stopped_batches([*SIMPSON[:1]], control="original", looks=Looks.even())[0].expected is not None


def test_an_exact_tie_is_one():
    even = {"original": 0.5, "ink": 0.5, "neon": 0.5}
    parts = [Dealt(even, WEEK, {arm: clicks(50, 5000) for arm in even})] * 2
    assert set(compare_batches(parts, control="original").tied) == set(even)


def test_the_estimate_after_stopping_is_drawn_in():
    even = {"original": 0.5, "ink": 0.5}
    parts = [Dealt(even, WEEK, {"original": clicks(100, 5000), "ink": clicks(150, 5000)})] * 2
    (found,) = stopped_batches(parts, control="original", looks=Looks.even(2, 4))
    assert 0 < found.expected < found.median_unbiased < 0.5
    assert found.low < found.median_unbiased < found.high


def test_units_are_held_against_the_shares_of_their_own_batch():
    moved = [({"a": 8000, "b": 2000}, {"a": 0.8, "b": 0.2}), ({"a": 2000, "b": 8000}, {"a": 0.2, "b": 0.8})]
    assert sample_ratio_of(moved).p == pytest.approx(1)
    wrong = [moved[0], ({"a": 2300, "b": 7700}, moved[1][1])]
    assert not sample_ratio_of(wrong).ok
    pause = ({"a": 5000, "b": 0}, {"a": 1.0, "b": 0.0})
    assert sample_ratio_of([*moved, pause]).ok
    assert sample_ratio_of([pause]).p == 1


def test_the_sample_ratio_over_batches_keeps_its_level():
    draw, shares = np.random.default_rng(3), [[0.5, 0.3, 0.2], [0.4, 0.1, 0.5]]
    p = np.array(
        [
            sample_ratio_of(
                [
                    (dict(zip("abc", draw.multinomial(900, each), strict=True)), dict(zip("abc", each, strict=True)))
                    for each in shares
                ]
            ).p
            for _ in range(3000)
        ]
    )
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.012)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.03)
