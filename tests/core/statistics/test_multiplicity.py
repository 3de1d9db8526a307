import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from experiments.core.statistics.dunnett import holm
from experiments.core.statistics.multiplicity import Multiplicity, adjust

PEERS = {
    Multiplicity.HOLM: "holm",
    Multiplicity.HOCHBERG: "simes-hochberg",
    Multiplicity.BENJAMINI_HOCHBERG: "fdr_bh",
}


@pytest.mark.parametrize("method", PEERS)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_are_statsmodels(method, p):
    assert adjust(np.array(p), method) == pytest.approx(multipletests(p, method=PEERS[method])[1], abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_one_that_arms_are_compared_with(p):
    assert adjust(np.array(p)) == pytest.approx(holm(np.array(p)), abs=1e-15)


@pytest.mark.parametrize("method", Multiplicity)
def test_what_is_not_known_asks_nothing(method):
    p = np.array([[0.01, np.nan, 0.04, 0.03], [np.nan, np.nan, np.nan, np.nan], [0.2, 0.01, 0.02, 0.9]])
    found = adjust(p, method)
    assert found[0, [0, 2, 3]] == pytest.approx(adjust(p[0, [0, 2, 3]], method))
    assert (np.isnan(found) == np.isnan(p)).all()
    assert found[2] == pytest.approx(adjust(p[2], method)), "rows do not see each other"
    assert (found[~np.isnan(p)] >= p[~np.isnan(p)]).all()


def test_the_sharper_ones_are_sharper():
    p = np.array([0.02, 0.024, 0.03])
    one, two, three = (adjust(p, method) for method in PEERS)
    assert (one > two).all()
    assert (two >= three).all()
