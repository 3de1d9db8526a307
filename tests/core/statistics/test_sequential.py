import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm, qmc

from experiments.core.statistics import sequential
from experiments.core.statistics.dunnett import critical_value, shared_variance
from experiments.core.statistics.sequential import (
    BadLooks,
    Looks,
    boundaries,
    boundary,
    crossing_probabilities,
    futility_bounds,
    single_look_equivalent,
)
from experiments.core.statistics.spending import Family, Spending


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
        lambda: Looks.even(10**12, 10**12),
        lambda: Looks(1, 401, (1.0,), (0.1,)),
        lambda: Looks.at((0.5, 0.5)),
        lambda: Looks.at((0.5, 1.0, 1.2)),
        lambda: Looks(2, 3, (0.5, 1.0), (0.6, 0.5)),
        lambda: Looks.at((0.5, float("nan"))),
        lambda: Looks.at(()),
    ],
)
def test_looks_that_cannot_be_are_refused(make):
    with pytest.raises(BadLooks):
        make()


def constant(shape):
    """c for which |z| reaches c * shape at some of the looks with 5 % chance under no effect."""
    times = np.arange(1, len(shape) + 1) / len(shape)

    def chance(c):
        bounds = c * np.array(shape)
        above, below = crossing_probabilities(bounds, -bounds, times)
        return above.sum() + below.sum() - 0.05

    return brentq(chance, 1, 6, xtol=1e-10)


def test_classical_constants_are_the_published_ones():
    # C. Jennison, B. W. Turnbull (2000), tables 2.1 and 2.3: four looks, two-sided 5 %.
    obrien_fleming = np.sqrt(4 / np.arange(1, 5))
    assert constant(obrien_fleming) * obrien_fleming == pytest.approx([4.049, 2.863, 2.337, 2.024], abs=1e-3)
    assert constant(np.ones(4)) == pytest.approx(2.361, abs=1e-3)
    assert critical_value(0.05, shared_variance(np.ones((1, 1)), np.ones((1, 11))))[0] == pytest.approx(2.743, abs=1e-3)


def test_pocock_type_spending_has_the_published_boundaries():
    # gsDesign's sfLDPocock, one-sided 0.025, four even looks.
    found = boundaries(0.025, Looks.even(4, 4, Spending(Family.POCOCK)))
    assert found == pytest.approx([2.368, 2.368, 2.358, 2.350], abs=2e-3)


def test_chances_under_a_drift_are_those_of_simulation():
    times, upper, lower = np.array([0.2, 0.5, 1.0]), np.array([3.0, 2.5, 2.0]), np.array([-np.inf, 0.3, 1.0])
    steps = np.random.default_rng(1).normal(size=(300_000, 3)) * np.sqrt(np.diff(times, prepend=0))
    z = (steps.cumsum(axis=1) + 2.0 * times) / np.sqrt(times)
    going = np.ones(len(z), dtype=bool)
    above, below = crossing_probabilities(upper, lower, times, 2.0)
    for look in range(3):
        up, down = going & (z[:, look] > upper[look]), going & (z[:, look] < lower[look])
        assert above[look] == pytest.approx(up.mean(), abs=0.003)
        assert below[look] == pytest.approx(down.mean(), abs=0.003)
        going &= ~up & ~down


@pytest.mark.parametrize(("contrasts", "looks", "ratio"), [(4, 4, 1.0), (11, 8, 1.0), (11, 4, 3.0)])
def test_arms_and_looks_together_keep_the_level_of_a_tail(contrasts, looks, ratio):
    """Given the control's path the arms are independent: each path's chance exactly, over Sobol paths."""
    share = shared_variance(np.full((1, 1), 1 / ratio), np.ones((1, contrasts)))
    level = norm.sf(critical_value(0.05, share)[0])
    times = np.arange(1, looks + 1) / looks
    bounds = boundaries(level, Looks.even(looks, looks))
    draws = norm.ppf(qmc.Sobol(looks, seed=5).random(2**13))
    control = np.cumsum(draws, axis=1) / np.sqrt(looks) * np.sqrt(1 / ratio)
    upper = (bounds * np.sqrt(times * (1 + 1 / ratio)) + control) / np.sqrt(times)
    none = np.full(looks, -np.inf)
    one_arm = crossing_probabilities(upper, none, times)[0].sum(axis=-1)
    assert 0.0245 < np.mean(1 - (1 - one_arm) ** contrasts) < 0.0258


@pytest.mark.parametrize("family", [Spending(), Spending(Family.POCOCK), Spending(Family.POWER, 2)], ids=str)
@pytest.mark.parametrize(
    "looks",
    [
        (2, 5, (0.1, 0.3), (0.2, 0.6)),  # a look was skipped
        (3, 3, (0.4, 0.9, 1.7), (0.4, 0.9, 1.0)),  # overrunning
        (2, 2, (0.3, 0.5), (0.3, 1.0)),  # ended early
    ],
    ids=("skipped", "overrun", "early end"),
)
def test_however_the_looks_came_no_more_is_spent_than_was_due(looks, family):
    number, of, information, spending = looks
    schedule = Looks(number, of, information, spending, family)
    bounds = boundaries(0.025, schedule)
    above, _ = crossing_probabilities(bounds, np.full(number, -np.inf), information)
    due = np.diff([0.0, *(float(family.spent(0.025, fraction)) for fraction in spending)])
    assert above == pytest.approx(due, rel=1e-6)


def test_looks_at_fractions_know_when_the_last_one_came():
    assert Looks.at((0.3, 1.2)).last
    assert Looks.at((0.3, 1.2)).spending == (0.3, 1.0)
    assert not Looks.at((0.3, 0.6)).last
    assert Looks.at((0.3, 0.6), final=True).spending == (0.3, 1.0)
    assert boundaries(0.025, Looks.at((0.3, 0.6), final=True))[-1] < boundaries(0.025, Looks.at((0.3, 0.6)))[-1]


@pytest.mark.parametrize("family", [Spending(), Spending(Family.POCOCK), Spending(Family.POWER, 3)], ids=str)
@pytest.mark.parametrize("number", [2, 8, 28])
def test_the_level_read_off_a_boundary_is_the_level_within_two_percent(family, number):
    looks = Looks.even(number, 28, family) if number < 28 else Looks.even(28, 28, family)
    for level in np.geomspace(1e-9, 0.45, 25):
        bound = boundaries(level, looks)[-1]
        if np.isfinite(bound):
            assert norm.sf(single_look_equivalent(np.array([bound]), looks)[0]) == pytest.approx(level, rel=0.02)


def test_futility_spends_beta_under_the_planned_drift_and_binds_nothing():
    looks, drift = Looks.even(4, 4), 3.3
    times = looks.information
    bounds = futility_bounds(0.025, looks, drift=drift, beta=0.1, information=times)
    upper = boundaries(0.025, looks)
    _, below = crossing_probabilities(upper, np.array(bounds), times, drift)
    assert below[:3].sum() == pytest.approx(float(looks.family.spent(0.1, 0.75)), rel=1e-4)
    assert bounds[-1] <= upper[-1]
    assert (np.diff(bounds) > 0).all()
    assert crossing_probabilities(upper, np.full(4, -np.inf), times)[0].sum() == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize("looks", [52, 100])
def test_many_looks_keep_alpha_too(looks):
    bounds = boundaries(0.025, Looks.even(looks, looks))
    draw, crossed, worlds = np.random.default_rng(3), 0, 200_000
    time = np.arange(1, looks + 1) / looks
    for _ in range(10):
        z = draw.normal(size=(worlds // 10, looks)).cumsum(axis=1) / np.sqrt(looks) / np.sqrt(time)
        crossed += int((z > bounds).any(axis=1).sum())
    assert crossed / worlds == pytest.approx(0.025, abs=4 * np.sqrt(0.025 * 0.975 / worlds))


def test_more_nodes_change_nothing(monkeypatch):
    schedules = [Looks.even(100, 100), Looks(4, 4, (0.02, 0.04, 0.97, 1.0), (0.25, 0.5, 0.75, 1.0))]
    levels = np.array([0.1, 0.025, 1e-4, 1e-9])
    usual = [sequential._bounds_of(levels, each) for each in schedules]
    monkeypatch.setattr(sequential, "_NODES_A_WIDTH", 4.0)
    monkeypatch.setattr(sequential, "_ENOUGH", 8.5)
    for found, each in zip(usual, schedules, strict=True):
        finer = sequential._bounds_of(levels, each)
        known = np.isfinite(found) & np.isfinite(finer)
        assert known.sum() > 0.7 * known.size
        assert np.abs(found[known] - finer[known]).max() < 1e-6


def test_a_look_that_adds_next_to_nothing_is_no_trouble():
    looks = Looks(4, 4, (0.5, 0.5 + 1e-9, 0.5 + 2e-9, 1.0), (0.25, 0.5, 0.75, 1.0))
    draw, worlds = np.random.default_rng(4), 400_000
    half = draw.normal(size=worlds)
    last = (half + draw.normal(size=worlds)) / np.sqrt(2)
    z = np.column_stack([half, half, half, last])
    crossed = (z > boundaries(0.025, looks)).any(axis=1).mean()
    assert 0.018 < crossed < 0.0257, "cautious, because three looks at the same data are taken for three"


@pytest.mark.parametrize("family", ["obrien_fleming", "power:20"])
def test_a_look_too_early_to_spend_in_doubles_asks_for_what_is_due(family):
    looks = Looks.even(1, 365, Spending.parse(family))
    c = norm.isf(0.025)
    z = float(boundary(np.array([c]), looks)[0])
    assert single_look_equivalent(np.array([z]), looks)[0] == pytest.approx(c, rel=1e-6)
    due = 42.8 if family == "obrien_fleming" else 15.4  # 2.24 sqrt 365; z with log tail log 0.025 - 20 log 365
    assert z == pytest.approx(due, abs=0.1)
    assert single_look_equivalent(np.array([0.0]), looks)[0] == 0


def test_a_table_has_the_bounds_it_was_made_of():
    for looks in (Looks.even(3, 8), Looks.even(8, 8), Looks.even(2, 4, Spending.parse("pocock"))):
        for level in (0.2, 0.04, 0.011, 2e-3, 1e-5):
            bound = sequential._bounds_of(np.array([level]), looks)[-1, 0]
            assert single_look_equivalent(np.array([bound]), looks)[0] == pytest.approx(norm.isf(level), abs=1e-4)
