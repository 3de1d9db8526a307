import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm, poisson

from experiments.core.statistics.rates import (
    dispersions,
    pooled_dispersion,
    rate_interval,
    ratio_interval,
    residual_square,
    signed_root,
    signed_z,
)


def one(*values):
    return [np.array([[float(value)]]) for value in values]


@given(st.integers(1, 500), st.integers(100, 9000), st.integers(1, 500), st.integers(100, 9000))
def test_the_signed_root_is_the_likelihood_ratio_of_a_poisson_regression(y1, x1, y0, x0):
    full = sum(y * np.log(y / x) - y for y, x in ((y1, x1), (y0, x0)))
    null = (y1 + y0) * np.log((y1 + y0) / (x1 + x0)) - (y1 + y0)
    found = signed_root(*one(y1, x1, y0, x0))[0, 0]
    assert found**2 == pytest.approx(2 * (full - null), rel=1e-6, abs=1e-8)
    assert np.sign(found) == np.sign(y1 * x0 - y0 * x1)


@given(st.integers(0, 60), st.integers(100, 9000), st.integers(0, 60), st.integers(100, 9000))
def test_independent_counts_have_the_mid_p_of_the_conditional_binomial(y1, x1, y0, x0):
    given_total = binom(y1 + y0, x1 / (x1 + x0))
    above = given_total.sf(y1) + given_total.pmf(y1) / 2
    below = given_total.cdf(y1 - 1) + given_total.pmf(y1) / 2
    found = signed_z(*one(y1, x1, 1, y0, x0, 1))[0, 0]
    if y1 + y0:
        assert found == pytest.approx(norm.isf(above) if above < below else norm.ppf(below), abs=1e-6)
    else:
        assert found == 0


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.6, 9), st.floats(0.6, 9), st.floats(0.05, 20))
def test_the_z_changes_sign_with_the_arms_and_falls_with_the_ratio(y1, y0, phi1, phi0, ratio):
    there = signed_z(*one(y1, 3000, phi1, y0, 1000, phi0), ratio)[0, 0]
    back = signed_z(*one(y0, 1000, phi0, y1, 3000, phi1), 1 / ratio)[0, 0]
    assert there == pytest.approx(-back, abs=1e-6)
    assert signed_z(*one(y1, 3000, phi1, y0, 1000, phi0), ratio * 1.1)[0, 0] <= there + 1e-9


def test_where_a_tail_underflows_the_likelihood_root_goes_on():
    z = [signed_z(*one(y, 1e9, 1, 1e6, 1e9, 1))[0, 0] for y in range(1_040_000, 1_070_000, 1000)]
    assert z[0] < 37 < z[-1]
    assert (np.diff(z) > 0).all()


def test_the_ratio_interval_ends_where_the_test_begins_to_reject():
    arms = one(40, 1000, 1.4, 30, 1100, 1.4)
    low, high = ratio_interval(*arms, np.full((1, 1), 2.1))
    for end in (low, high):
        assert abs(signed_z(*arms, end)[0, 0]) == pytest.approx(2.1, abs=1e-6)


def test_a_ratio_without_counts_has_an_open_end():
    low, high = ratio_interval(*one(0, 100, 1, 5, 100, 1), np.full((1, 1), 2.0))
    assert low[0, 0] == 0
    assert 0 < high[0, 0] < 2
    low, high = ratio_interval(*one(5, 100, 1, 0, 100, 1), np.full((1, 1), 2.0))
    assert low[0, 0] > 0
    assert high[0, 0] == np.inf


def test_an_arm_of_a_few_people_who_click_all_day_keeps_its_own_dispersion():
    y, x = np.array([[100.0, 100.0, 100.0]]), np.full((1, 3), 5000.0)
    yy = np.array([[130.0, 130.0, 900.0]])
    phi, alone = dispersions(y, x, yy, y, x, x)
    assert alone.tolist() == [[False, False, True]]
    others = (2 * 128 + 898 / 2) / (2 * 100 + 100 / 2)
    assert phi[0] == pytest.approx([others, others, 8.98], rel=1e-3)
    few, not_alone = dispersions(y / 20, x, np.array([[6.0, 6.0, 11.0]]), y / 20, x, x)
    assert not not_alone.any(), "five clicks an arm cannot tell"
    assert (few == few[0, 0]).all()


def test_of_two_arms_the_one_without_large_orders_is_no_surer_than_both_together():
    y, x = np.array([[100.0, 100.0]]), np.full((1, 2), 5000.0)
    yy = np.array([[130.0, 900.0]])
    phi, alone = dispersions(y, x, yy, y, x, x)
    assert alone.tolist() == [[False, True]]
    assert phi[0] == pytest.approx([pooled_dispersion(y, x, yy, y, x, x)[0], 8.98], rel=1e-3)


def test_the_only_arm_that_counted_anything_lends_the_others_its_dispersion():
    """One purchase of fifty, in millionths, and none in the control: no more evidence than one click and none."""
    price, units = 50_000_000, 1000
    y, x = np.array([[0.0, price]]), np.full((1, 2), float(units))
    phi, alone = dispersions(y, x, np.array([[0.0, price**2]]), y, x, x)
    assert not alone.any()
    assert phi[0] == pytest.approx([price, price])
    z = signed_z(y[:, 1], x[:, 1], phi[:, 1], y[:, 0], x[:, 0], phi[:, 0])
    assert 0 < z[0] < 1


def test_money_of_few_purchases_keeps_its_level():
    rng, worlds, units = np.random.default_rng(5), 20_000, 1000
    for buyers in (1, 3):
        y = rng.binomial(units, buyers / units, (worlds, 2)) * 20e6
        x = np.full_like(y, units)
        phi, _ = dispersions(y, x, y * 20e6, y, x, x)
        z = signed_z(y[:, 1], x[:, 1], phi[:, 1], y[:, 0], x[:, 0], phi[:, 0])
        assert (np.abs(z) > 1.96).mean() < 0.065, "an arm without a purchase was called worse: 47 %, and 11 %"


def test_a_rates_interval_is_the_profile_likelihood_of_a_poisson_rate():
    low, high = (end[0, 0] for end in rate_interval(*one(25, 1000), np.ones((1, 1)), 1.96))
    for end in (low, high):
        assert 2 * (poisson.logpmf(25, 25) - poisson.logpmf(25, 1000 * end)) == pytest.approx(1.96**2, rel=1e-6)
    assert rate_interval(*one(0, 1000), np.ones((1, 1)), 1.96)[0][0, 0] == 0


def test_dispersion_is_the_delta_methods_variance_over_that_of_independent_counts():
    rng = np.random.default_rng(3)
    x = rng.poisson(2, (2, 4000)) + 1
    y = rng.binomial(x, rng.beta(1, 20, x.shape))
    sums = [
        np.array([column], dtype=float)
        for column in (y.sum(1), x.sum(1), (y * y).sum(1), (x * y).sum(1), (x * x).sum(1))
    ]
    units = np.full((1, 2), 4000.0)
    residuals = y - x * (y.sum(1) / x.sum(1))[:, None]
    direct = (residuals**2).sum(1) * 4000 / 3999
    found = residual_square(sums[2], sums[3], sums[4], units, sums[0] / sums[1])
    assert found[0] == pytest.approx(direct)
    assert pooled_dispersion(*sums, units)[0] == pytest.approx(direct.sum() / y.sum())
    assert direct.sum() / y.sum() > 1.05, "repeat visitors with differing appetites are overdispersed"
