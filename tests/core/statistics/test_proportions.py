import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, fisher_exact
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from experiments.core.statistics.dunnett import two_sided
from experiments.core.statistics.proportions import (
    counts_are_small,
    difference_interval,
    difference_test,
    fisher_p,
    ratio_interval,
    score_z,
    wilson,
)


@st.composite
def tables(draw, largest=400):
    n1, n0 = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return draw(st.integers(0, n1)), n1, draw(st.integers(0, n0)), n0


def columns(*table):
    return [np.array([float(value)]) for value in table]


@given(tables())
def test_the_score_test_is_pearsons_chi_square(table):
    x1, n1, x0, n0 = table
    if 0 < x1 + x0 < n1 + n0:
        expected = chi2_contingency([[x1, n1 - x1], [x0, n0 - x0]], correction=False).statistic
        assert score_z(*columns(*table))[0] ** 2 == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(tables(120))
def test_fishers_test_is_scipys(table):
    x1, n1, x0, n0 = table
    expected = fisher_exact([[x1, n1 - x1], [x0, n0 - x0]]).pvalue
    assert fisher_p(x1, n1, x0, n0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("table", [(0, 1000, 9, 1000), (3, 1000, 0, 900), (0, 50, 0, 60), (4, 100, 1, 100)])
def test_small_counts_are_decided_exactly(table):
    x1, n1, x0, n0 = table
    deciding = difference_test(*columns(*table))
    expected = fisher_exact([[x1, n1 - x1], [x0, n0 - x0]]).pvalue
    assert two_sided(deciding)[0] == pytest.approx(expected, rel=1e-6)


def test_large_counts_are_decided_by_the_score_test_down_to_the_smallest_p():
    table = columns(52_000, 1_000_000, 45_000, 1_000_000)
    deciding = difference_test(*table)
    assert deciding[0] == score_z(*table)[0]
    assert 1e-130 < two_sided(deciding)[0] < 1e-110


def test_an_arm_of_a_billion_without_any_success_is_read_without_summing_as_many_terms():
    table = columns(0, 10**12, 10**9, 10**12)
    assert counts_are_small(*columns(0, 10**4, 300, 10**4))[0], "a p that a double can tell"
    assert not counts_are_small(*table)[0], "eight gigabytes of terms"
    assert two_sided(difference_test(*table))[0] == np.finfo(np.float64).tiny


@given(tables())
def test_wilsons_interval_is_statsmodels(table):
    x, n, *_ = table
    expected = proportion_confint(x, n, method="wilson")
    assert [end[0] for end in wilson(*columns(x, n), 1.959963984540054)] == pytest.approx(expected, abs=1e-9)


@given(tables())
def test_newcombes_interval_is_statsmodels(table):
    low, high = difference_interval(*columns(*table), np.array([1.959963984540054]))
    expected = confint_proportions_2indep(*table, method="newcomb", compare="diff")
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("table", [(40, 500, 30, 520), (5, 90, 9, 80), (900, 1000, 850, 1000)])
def test_koopmans_interval_is_statsmodels_score_interval_of_the_ratio(table):
    low, high = ratio_interval(*columns(*table), np.array([1.959963984540054]))
    expected = confint_proportions_2indep(*table, method="score", compare="ratio", correction=False)
    assert (low[0], high[0]) == pytest.approx(expected, rel=2e-3)


def test_a_ratio_without_clicks_has_an_open_end():
    low, high = ratio_interval(*columns(0, 100, 5, 100), np.array([2.0]))
    assert low[0] == 0
    assert 0 < high[0] < 2
    low, high = ratio_interval(*columns(5, 100, 0, 100), np.array([2.0]))
    assert low[0] > 0
    assert high[0] == np.inf
