import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr
from scipy.stats import norm

from experiments.core.statistics.anytime import (
    START,
    BadTuning,
    Tuning,
    boundary,
    count_information,
    interval,
    p_value,
    value_information,
)
from experiments.core.statistics.dunnett import critical_value


def at(*values):
    return np.array(values, dtype=float)


def one_sided_factor(z, information, variance):
    """The likelihood ratio against no drift, mixed over a half-normal of drifts, by brute force."""
    score = z * np.sqrt(information)

    def mixed(drift):
        return np.exp(drift * score - drift**2 * information / 2) * 2 * norm.pdf(drift, scale=np.sqrt(variance))

    return quad(
        mixed, 0, 40 * np.sqrt(variance), epsabs=0, epsrel=1e-11, limit=400, points=[max(score, 0) / information]
    )[0]


def crossing(drift, end, times, bounds):
    """Chances that a Brownian motion with drift goes above and below the bounds (in z), by quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(160)
    places, mass, before, above, below = np.zeros(1), np.ones(1), 0.0, 0.0, 0.0
    for time, bound in zip(times * end, bounds, strict=True):
        step, limit = np.sqrt(time - before), bound * np.sqrt(time)
        centre = places + drift * (time - before)
        above += mass @ ndtr((centre - limit) / step)
        below += mass @ ndtr((-limit - centre) / step)
        high = min(limit, drift * time + 8.5 * np.sqrt(time))
        low = max(-limit, drift * time - 8.5 * np.sqrt(time))
        points = (high - low) / 2 * nodes + (high + low) / 2
        mass = (norm.pdf((points[:, None] - centre) / step) / step @ mass) * weights * (high - low) / 2
        places, before = points, time
    return above, below


@given(st.just(0.0) | st.floats(1e-6, 9), st.floats(0.01, 30), st.floats(0.3, 4))
def test_the_p_value_is_the_inverse_of_a_mixed_likelihood_ratio(z, information, planned):
    tuning = Tuning(planned)
    factor = one_sided_factor(z, information, tuning.variance)
    assert p_value(at(z), at(information), tuning)[0] == pytest.approx(min(1, 2 / factor), rel=1e-6)


@given(st.floats(-12, 12), st.floats(1e-6, 1e6), st.sampled_from([1, 4, 11]), st.floats(1e-6, 0.5))
def test_p_is_at_most_alpha_exactly_from_the_boundary_on(z, fraction, contrasts, alpha):
    tuning = Tuning(80.0, alpha, contrasts)
    information = at(fraction * 80)
    bound = boundary(information, tuning)
    if abs(abs(z) - bound[0]) > 1e-9:
        assert (p_value(at(z), information, tuning)[0] <= alpha) == (abs(z) >= bound[0])
    assert p_value(bound, information, tuning)[0] == pytest.approx(alpha, rel=1e-9)


def test_contrasts_are_each_tested_at_sidaks_level_of_one_tail():
    tuning = Tuning(10.0, 0.05, 11)
    assert 1 - (1 - tuning.level / 2) ** 11 == pytest.approx(0.025, rel=1e-12)
    assert tuning.level > 0.05 / 11, "never worse than Bonferroni"
    alone = boundary(at(7.0), Tuning(10.0, tuning.level, 1))
    assert boundary(at(7.0), tuning) == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("contrasts", [1, 4, 11])
@pytest.mark.parametrize("lowest_at", [0.5, 1.0])
def test_the_boundary_is_lowest_where_the_plan_ends_or_as_asked(contrasts, lowest_at):
    tuning = Tuning(40.0, contrasts=contrasts, lowest_at=lowest_at)
    scaled = minimize_scalar(
        lambda x: np.log((1 + 1 / x) * np.log((1 + x) / tuning.level**2)), bounds=(0.1, 100), method="bounded"
    ).x
    assert tuning.variance * 40 * lowest_at == pytest.approx(scaled, rel=1e-4)
    here = boundary(at(40 * lowest_at), tuning)[0]
    for other in (0.3, 0.7, 1.5, 4):
        assert here <= boundary(at(40 * lowest_at), Tuning(40.0, contrasts=contrasts, lowest_at=other * lowest_at))[0]


@pytest.mark.parametrize(("contrasts", "most"), [(1, 1.55), (4, 1.44), (11, 1.39)])
def test_at_the_planned_end_the_interval_is_about_one_and_a_half_times_that_of_a_single_look(contrasts, most):
    single = critical_value(0.05, np.full((1, contrasts), np.sqrt(0.5)))[0]
    tuned = boundary(at(1.0), Tuning(1.0, contrasts=contrasts))[0] / single
    blind = boundary(at(1.0), Tuning(1.0, contrasts=contrasts, lowest_at=0.001))[0] / single
    assert tuned <= most
    assert blind > 1.15 * tuned, "tuned to a thousandth of the plan it is as wide as those that ignore the plan"
    assert contrasts > 1 or blind > 1.9


@pytest.mark.parametrize(("contrasts", "looks", "most"), [(1, 8, 1.70), (1, 28, 1.64), (4, 8, 1.60), (11, 28, 1.52)])
def test_the_sample_for_the_same_power_is_at_most_three_quarters_more(contrasts, looks, most):
    single = critical_value(0.05, np.full((1, contrasts), np.sqrt(0.5)))[0]
    drift = single + norm.ppf(0.9)  # what a fixed sample of information 1 needs for 90 % power
    times = np.arange(1, looks + 1) / looks

    def power(size):
        return crossing(drift, size, times, boundary(times * size, Tuning(size, contrasts=contrasts)))[0]

    size = brentq(lambda size: power(size) - 0.9, 1, 3, xtol=1e-4)
    assert size <= most < 1.75


def test_each_tail_alone_keeps_half_of_alpha_far_beyond_the_plan():
    times = np.geomspace(0.01, 100, 150)
    above, below = crossing(0.0, 1.0, times, boundary(times, Tuning(1.0)))
    assert above == pytest.approx(below, rel=1e-6)
    assert 0.012 < above <= 0.025


def test_before_its_start_nothing_is_said():
    tuning = Tuning(50.0, start=START)
    assert boundary(at(0, 4.9, 5.0), tuning).tolist()[:2] == [np.inf, np.inf]
    assert np.isfinite(boundary(at(5.0), tuning)[0])
    assert p_value(at(30.0, 30.0), at(4.9, 5.0), tuning)[0] == 1.0
    assert p_value(at(30.0), at(5.0), tuning)[0] < 1e-6


def test_the_interval_is_the_boundary_around_the_estimate():
    tuning = Tuning(400.0, contrasts=4)
    estimate, error = at(0.2, -0.1, 0.0), at(0.05, 0.06, 0.5)
    low, high = interval(estimate, error, tuning)
    p = p_value(estimate / error, 1 / error**2, tuning)
    assert ((low > 0) | (high < 0)).tolist() == (p < 0.05).tolist() == [True, False, False]
    assert (low + high) / 2 == pytest.approx(estimate)


def test_the_information_of_counts_counts_an_arm_without_clicks():
    y, x, phi = at(20, 20, 0), at(1000, 1000, 1000), at(1, 1, 1)
    information = count_information(y[None], x[None], phi[None])[0]
    assert information.tolist() == [10, 5]
    assert count_information(y[None], x[None], 1.6 * phi[None])[0] == pytest.approx(information / 1.6)
    assert value_information(at(0.5, 0.3, 0.0)) == pytest.approx([1 / 0.8, 1 / 0.5])
    assert value_information(at(0, 0)) == pytest.approx([0])


def test_one_pass_serves_tables_of_groups():
    z, information = np.random.default_rng(1).normal(0, 4, (5, 3)), np.random.default_rng(2).uniform(0, 99, (5, 3))
    tuning = Tuning(50.0, contrasts=3)
    together = p_value(z, information, tuning)
    assert together.shape == (5, 3)
    apart = [[p_value(at(z[i, j]), at(information[i, j]), tuning)[0] for j in range(3)] for i in range(5)]
    assert together == pytest.approx(np.array(apart), rel=1e-12)


def test_the_ends_of_the_number_line_hold():
    tuning = Tuning(1e9, contrasts=11)
    p = p_value(at(0, 1e200, -38, 5, 5), at(1e9, 1e9, 1e9, 1e-300, 1e250), tuning)
    assert p[0] == 1
    assert 0 < p[1] < 1e-300
    assert 0 < p[2] < 1e-250
    assert p[3] == p[4] == 1
    bounds = boundary(at(1e-300, 1e-9, 1e18), tuning)
    assert (bounds > 4).all()
    assert bounds[2] < 9
    tiny = p_value(at(36.0), at(1e9), tuning)[0]
    assert p_value(at(36.0), at(1e9), Tuning(1e9, contrasts=1, alpha=tuning.level))[0] == pytest.approx(
        tiny / 11, rel=1e-6
    )


@pytest.mark.parametrize(
    "arguments", [{"planned": 0.0}, {"planned": np.nan}, {"planned": 1, "alpha": 1.0}, {"planned": 1, "contrasts": 0}]
)
def test_a_plan_that_cannot_be_is_refused(arguments):
    with pytest.raises(BadTuning):
        Tuning(**arguments)


def test_readings_that_are_no_numbers_are_refused():
    with pytest.raises(BadTuning, match="only 3"):
        Tuning(3.0, start=START)
    tuning = Tuning(1.0)
    with pytest.raises(BadTuning, match="z is not a finite number"):
        p_value(at(np.nan), at(1), tuning)
    for wrong in (np.nan, np.inf, -1.0):
        with pytest.raises(BadTuning, match="information"):
            boundary(at(wrong), tuning)
    with pytest.raises(BadTuning, match="estimate"):
        interval(at(np.inf), at(1), tuning)
    with pytest.raises(BadTuning, match="standard error"):
        interval(at(1.0), at(0.0), tuning)
