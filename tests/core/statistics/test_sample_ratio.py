import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from experiments.core.statistics.sample_ratio import sample_ratio, sample_ratio_p


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.01, 5)), min_size=2, max_size=12))
def test_it_is_pearsons_chi_square_against_the_shares(arms):
    observed, shares = (np.array(column, dtype=float) for column in zip(*arms, strict=True))
    expected = chisquare(observed, observed.sum() * shares / shares.sum()).pvalue
    assert sample_ratio_p(observed[None], shares[None])[0] == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_arms_without_a_share_take_no_part():
    with_spare = sample_ratio({"a": 510, "b": 490, "spare": 80}, {"a": 1, "b": 1, "spare": 0})
    assert with_spare == sample_ratio({"a": 510, "b": 490}, {"a": 1, "b": 1})


def test_a_broken_split_fails_and_a_fair_one_does_not():
    assert sample_ratio({"a": 5000, "b": 5070}, {"a": 1, "b": 1}).ok
    assert not sample_ratio({"a": 5000, "b": 5600}, {"a": 1, "b": 1}).ok
    assert not sample_ratio({"a": 5000, "b": 5070}, {"a": 0.04, "b": 0.96}).ok


def test_one_arm_or_nobody_is_nothing_to_test():
    assert sample_ratio({"a": 7}, {"a": 1}).p == 1
    assert sample_ratio({}, {"a": 1, "b": 1}).p == 1
