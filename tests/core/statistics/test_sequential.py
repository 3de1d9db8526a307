import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from experiments.core.statistics.sequential import BadLooks, Looks, boundaries, boundary, single_look_equivalent


@pytest.mark.parametrize(
    ("looks", "published"),
    [(1, [1.960]), (2, [2.963, 1.969]), (3, [3.710, 2.511, 1.993]), (4, [4.333, 2.963, 2.359, 2.014])],
)
def test_even_looks_have_the_published_boundaries(looks, published):
    # Lan-DeMets O'Brien-Fleming type, two-sided 5 % (Reboussin, DeMets, Kim, Lan 2000; gsDesign's sfLDOF agrees).
    found = boundaries(0.025, Looks.even(looks, looks))
    assert found == pytest.approx(published, abs=1.5e-3)


@pytest.mark.parametrize("information", [(0.25, 0.5, 0.75, 1.0), (0.5, 0.6, 1.0), (0.1, 0.9, 1.0)])
def test_under_no_effect_all_looks_together_spend_alpha(information):
    bounds = boundaries(0.05, Looks.at(information))
    rng = np.random.default_rng(5)
    steps = rng.normal(size=(400_000, len(information))) * np.sqrt(np.diff((0.0, *information)))
    z = steps.cumsum(axis=1) / np.sqrt(information)
    crossed = (z > bounds).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 400_000))


@given(
    st.lists(st.floats(0, 7), min_size=2, max_size=6),
    st.sampled_from([Looks.even(1, 3), Looks.even(2, 3), Looks.even(3, 3), Looks.at((0.4, 0.7))]),
)
def test_a_stronger_signal_is_never_less_surprising(values, looks):
    equivalent = single_look_equivalent(np.sort(values), looks)
    assert (np.diff(equivalent) >= -1e-9).all()


@pytest.mark.parametrize("looks", [Looks.even(1, 2), Looks.even(2, 2), Looks.even(2, 5), Looks.at((0.3, 0.8, 1.0))])
def test_the_boundary_of_a_level_is_as_surprising_as_that_level(looks):
    for level in (0.05, 0.01, 0.001):
        bound = boundaries(level, looks)[-1]
        assert single_look_equivalent(np.array([bound]), looks)[0] == pytest.approx(norm.isf(level), abs=2e-3)
        assert boundary(norm.isf(level) * np.ones(1), looks)[0] == pytest.approx(bound, abs=5e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Looks.even(3, 2),
        lambda: Looks.even(0, 2),
        lambda: Looks.at((0.5, 0.5)),
        lambda: Looks.at((0.5, 1.2)),
        lambda: Looks.at(()),
    ],
)
def test_looks_that_cannot_be_are_refused(make):
    with pytest.raises(BadLooks):
        make()
