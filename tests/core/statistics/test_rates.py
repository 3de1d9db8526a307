import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from experiments.core.statistics.rates import (
    pooled_dispersion,
    rate_interval,
    ratio_interval,
    residual_square,
    signed_root,
)


def one(*values):
    return [np.array([[float(value)]]) for value in values]


@given(st.integers(1, 500), st.integers(100, 9000), st.integers(1, 500), st.integers(100, 9000))
def test_the_signed_root_is_the_likelihood_ratio_of_a_poisson_regression(y1, x1, y0, x0):
    full = sum(y * np.log(y / x) - y for y, x in ((y1, x1), (y0, x0)))
    null = (y1 + y0) * np.log((y1 + y0) / (x1 + x0)) - (y1 + y0)
    found = signed_root(*one(y1, x1, y0, x0), np.ones((1, 1)))[0, 0]
    assert found**2 == pytest.approx(2 * (full - null), rel=1e-6, abs=1e-8)
    assert np.sign(found) == np.sign(y1 * x0 - y0 * x1)


def test_the_ratio_interval_ends_where_the_test_begins_to_reject():
    low, high = ratio_interval(*one(40, 1000, 30, 1100), np.full((1, 1), 1.4), np.full((1, 1), 2.1))
    for end in (low, high):
        assert abs(signed_root(*one(40, 1000, 30, 1100), np.full((1, 1), 1.4), end)[0, 0]) == pytest.approx(
            2.1, abs=1e-6
        )


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
