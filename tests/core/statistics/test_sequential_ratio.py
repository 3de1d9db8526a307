from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import chi2, chisquare, dirichlet_multinomial, multinomial

from experiments.core.statistics.sequential_ratio import (
    CONCENTRATION,
    BadCounts,
    always_valid_p,
    log_bayes_factor,
    periods_p,
    tuned_concentration,
)

counts_of_three = st.lists(st.integers(0, 4000), min_size=3, max_size=3)


def table(*rows):
    return np.array([rows], dtype=float) if np.ndim(rows[0]) else np.array([list(rows)], dtype=float)


@given(counts_of_three, st.floats(1, 1e5))
def test_the_factor_is_the_dirichlet_multinomials_likelihood_over_the_multinomials(counts, concentration):
    shares = np.array([0.5, 0.3, 0.2])
    total = sum(counts)
    expected = dirichlet_multinomial.logpmf(counts, concentration * shares, total) - multinomial.logpmf(
        counts, total, shares
    )
    found = log_bayes_factor(table(*counts), 10 * shares[None], concentration)[0]
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("later", [(0.5, 0.5), (0.9, 0.1), (0.0, 1.0)])
def test_over_periods_the_factor_has_expectation_one_while_the_shares_are_right(later):
    first, sizes = (0.7, 0.3), (4, 5)
    shares = table(first, later)
    expectation = 0.0
    for ones in product(*(range(size + 1) for size in sizes)):
        chance = np.prod(
            [
                multinomial.pmf([one, n - one], n, share)
                for one, n, share in zip(ones, sizes, (first, later), strict=True)
            ]
        )
        counts = table(*([one, n - one] for one, n in zip(ones, sizes, strict=True)))
        expectation += chance * np.exp(log_bayes_factor(counts, shares, 3.0)[0])
    assert expectation == pytest.approx(1, abs=1e-12)


@given(st.lists(counts_of_three, min_size=2, max_size=4))
def test_periods_with_unchanged_weights_carry_on_as_if_there_had_been_one(periods):
    counts = np.array([periods], dtype=float)
    shares = np.array([0.6, 0.3, 0.1])
    together = log_bayes_factor(counts.sum(axis=1), shares[None])[0]
    afresh = sum(log_bayes_factor(counts[:, i], shares[None])[0] for i in range(len(periods)))
    found = log_bayes_factor(counts, shares[None, None])[0]
    assert found == pytest.approx(np.logaddexp(together, afresh) - np.log(2), abs=1e-7)


def test_a_fault_that_stays_and_one_that_comes_with_the_change_are_both_seen():
    shares = table((0.9, 0.1), (0.5, 0.5))
    stays = table((90_000 + 271, 10_000 - 271), (50_000 + 761, 50_000 - 761))  # the second arm loses 3 % of its units
    each = [log_bayes_factor(stays[:, i], shares[:, i])[0] for i in range(2)]
    assert log_bayes_factor(stays, shares)[0] > sum(each) + 0.5 > max(each)
    comes = table((90_000, 10_000), (50_000 - 900, 50_000 + 900))
    each = [log_bayes_factor(comes[:, i], shares[:, i])[0] for i in range(2)]
    assert log_bayes_factor(comes, shares)[0] >= sum(each) - np.log(2)
    assert each[0] < 0 < np.log(1000) < sum(each) - np.log(2)


def test_an_arm_without_a_share_takes_no_part_in_that_period():
    counts = table((500, 480, 77), (300, 310, 290))
    shares = table((1, 1, 0), (1, 1, 1))
    without = table((500, 480, 0), (300, 310, 290))
    assert log_bayes_factor(counts, shares) == pytest.approx(log_bayes_factor(without, shares), abs=1e-12)
    assert periods_p(counts, shares) == pytest.approx(periods_p(without, shares))
    nothing = table((0, 0, 0), (0, 0, 9))
    assert log_bayes_factor(nothing, table((1, 1, 0), (0, 0, 1)))[0] == pytest.approx(0, abs=1e-12)
    assert periods_p(nothing, table((1, 1, 0), (0, 0, 1)))[0] == 1
    assert log_bayes_factor(table((7, 0)), table((0, 0)))[0] == pytest.approx(0, abs=1e-12)


def test_the_fixed_test_adds_the_periods_chi_squares_and_their_freedom():
    counts = table((500, 430, 77), (300, 310, 290))
    one = chisquare([500, 430], np.array([0.5, 0.5]) * 930)
    two = chisquare([300, 310, 290], np.array([0.4, 0.4, 0.2]) * 900)
    expected = chi2.sf(one.statistic + two.statistic, 1 + 2)
    assert periods_p(counts, table((1, 1, 0), (2, 2, 1)))[0] == pytest.approx(expected, rel=1e-10)
    alone = chisquare([500, 430, 77], np.array([0.45, 0.45, 0.1]) * 1007).pvalue
    assert periods_p(table(500, 430, 77), table(0.45, 0.45, 0.1))[0] == pytest.approx(alone, rel=1e-10)


def test_p_is_the_inverse_of_the_largest_factor_so_far():
    factors = np.log(np.array([[0.5, 40.0, 8.0], [0.9, 0.2, 0.1], [1.0, 1e300, 1.0]]))
    assert always_valid_p(factors) == pytest.approx([1 / 40, 1.0, 1e-300])
    assert 0 < always_valid_p(np.array([1e9])) < 1e-307


@pytest.mark.parametrize(("units", "arms"), [(2e4, 2), (1e6, 12)])
def test_the_tuned_concentration_asks_for_the_smallest_chi_square(units, arms):
    freedom, wanted = arms - 1, np.log(1000)

    def needed(log_a):
        x = units / np.exp(log_a)
        return (1 + 1 / x) * (freedom * np.log1p(x) + 2 * wanted)

    best = minimize_scalar(needed, bounds=(0, np.log(units)), method="bounded").x
    assert tuned_concentration(units, arms) == pytest.approx(np.exp(best), rel=1e-3)


def test_under_continuous_monitoring_a_right_split_seldom_fails_and_a_wrong_one_does():
    rng = np.random.default_rng(11)
    worlds, units, alpha = 600, 2000, 0.05
    looks = np.arange(1, units + 1, dtype=float)
    shares = np.array([[0.25, 0.75]])

    def smallest_p(share):
        largest = np.zeros(worlds)
        for part in range(0, worlds, 100):
            ones = (rng.random((100, units)) < share).cumsum(axis=1)
            counts = np.stack([ones, looks - ones], axis=-1).reshape(-1, 2)
            largest[part : part + 100] = log_bayes_factor(counts, shares, 200.0).reshape(100, units).max(axis=1)
        return always_valid_p(largest[:, None])

    right, wrong = (smallest_p(0.25) <= alpha).mean(), (smallest_p(0.30) <= alpha).mean()
    peeked = 0.0
    for _ in range(4):
        ones = (rng.random((100, units)) < 0.25).cumsum(axis=1)
        counts = np.stack([ones, looks - ones], axis=-1)[:, 40:].reshape(-1, 2)
        peeked += (periods_p(counts, shares).reshape(100, -1).min(axis=1) <= alpha).mean() / 4
    assert 0.005 < right <= alpha, f"false alarms: {right:.4f}"
    assert wrong > 0.9, f"found: {wrong:.3f}"
    assert peeked > 0.3, "the fixed test, peeked at after each unit, must be able to fool"


def test_the_ends_of_the_number_line_hold():
    counts = table(1e9 + 1.5e5, 1e9 - 1.5e5)
    x = 2e9 / CONCENTRATION
    square = 2 * 1.5e5**2 / 1e9
    # with so many units the factor is that of a normal mixture
    expected = square / 2 * x / (1 + x) - np.log1p(x) / 2
    assert log_bayes_factor(counts, table(1, 1))[0] == pytest.approx(expected, abs=1e-3)
    assert 0 < always_valid_p(log_bayes_factor(table(1e9, 0), table(1, 1))[:, None])[0] < 1e-307
    assert periods_p(table(1e9, 0), table(1, 1))[0] == np.finfo(float).tiny
    assert log_bayes_factor(table(1, 0), table(1, 1))[0] == pytest.approx(0, abs=1e-9)
    rare = log_bayes_factor(table(1e6, 50), table(0.99995, 0.00005))[0]
    assert -6 < rare < 0


@pytest.mark.parametrize("wrong", [(-1, 5), (np.nan, 5), (np.inf, 5)])
def test_counts_and_shares_that_cannot_be_are_refused(wrong):
    with pytest.raises(BadCounts, match="count"):
        log_bayes_factor(table(*wrong), table(1, 1))
    with pytest.raises(BadCounts, match="share"):
        periods_p(table(1, 1), table(*wrong))
    with pytest.raises(BadCounts, match="concentration"):
        log_bayes_factor(table(1, 1), table(1, 1), wrong[0])
    with pytest.raises(BadCounts, match="tune"):
        tuned_concentration(wrong[0], 2)
