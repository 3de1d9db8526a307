import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

from experiments.core.statistics.sequential import Looks, boundaries
from experiments.core.statistics.stopping import BadStop, at_stopping, expected_estimate

TIMES = (0.25, 0.5, 0.75, 1.0)
BOUNDS = tuple(boundaries(0.025, Looks.at(TIMES)))


def stopped(drift, experiments, seed):
    """Each experiment's look and naive estimate of the drift at stopping."""
    steps = np.random.default_rng(seed).normal(size=(experiments, 4)) * 0.5
    score = np.cumsum(steps, axis=1) + drift * np.array(TIMES)
    crossed = np.abs(score) / np.sqrt(TIMES) >= np.array(BOUNDS)
    crossed[:, -1] = True
    look = crossed.argmax(axis=1)
    return look, score[np.arange(experiments), look] / np.array(TIMES)[look]


def adjusted(look, estimate):
    return at_stopping(estimate, 1 / np.sqrt(TIMES[look]), information=TIMES[: look + 1], bounds=BOUNDS[: look + 1])


def test_at_a_single_look_nothing_is_adjusted():
    found = at_stopping(0.3, 0.1, information=(5.0,), bounds=(np.inf,))
    half = norm.isf(0.025) * 0.1
    assert (found.median_unbiased, found.mean_adjusted) == pytest.approx((0.3, 0.3), abs=1e-7)
    assert (found.low, found.high) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-7)


@pytest.mark.parametrize("drift", [0.0, 1.5, 3.0])
def test_the_mean_of_the_naive_estimate_is_what_simulation_says(drift):
    _, estimate = stopped(drift, 400_000, 3)
    expected = expected_estimate(drift, np.array(TIMES), np.array(BOUNDS[:-1]), -np.array(BOUNDS[:-1]))
    assert expected == pytest.approx(estimate.mean(), abs=4 * estimate.std() / np.sqrt(400_000))


@pytest.fixture(scope="module")
def adjust():
    """Naive estimates adjusted, many at once: between a hundred and some that are computed, the curves are smooth."""

    def table(look, sign):
        least = sign * BOUNDS[look] / np.sqrt(TIMES[look]) if look < 3 else 0.0
        z = np.geomspace(1, 3.5, 14) if look < 3 else np.linspace(0, 3.5, 14)
        estimates = least * z if look < 3 else sign * z * 2
        found = [adjusted(look, each) for each in estimates]
        order = np.argsort(estimates)
        rows = np.array([[each.median_unbiased, each.low, each.high, each.mean_adjusted] for each in found])
        return estimates[order], rows[order]

    tables = {(look, sign): table(look, sign) for look in range(4) for sign in (-1, 1)}

    def adjust(look, estimate):
        found = np.empty((len(look), 4))
        for (at, sign), (estimates, rows) in tables.items():
            here = (look == at) & (np.sign(estimate) == sign)
            assert np.abs(estimate[here]).max(initial=0.0) <= np.abs(estimates).max()
            found[here] = PchipInterpolator(estimates, rows)(estimate[here])
        return found.T

    return adjust


def test_between_what_is_computed_estimates_are_adjusted_as_smoothly(adjust):
    look, estimate = stopped(1.0, 12, 5)
    for at, each, found in zip(look, estimate, adjust(look, estimate).T, strict=True):
        exact = adjusted(at, each)
        said = (exact.median_unbiased, exact.low, exact.high, exact.mean_adjusted)
        assert found == pytest.approx(said, abs=5e-3)


@pytest.mark.parametrize("drift", [0.5, 2.0, 3.24])
def test_half_of_the_estimates_are_too_high_and_intervals_hold_the_truth(drift, adjust):
    look, estimate = stopped(drift, 6000, 7)
    median, low, high, mean = adjust(look, estimate)
    above = np.mean(median > drift)
    held = np.mean((low <= drift) & (drift <= high))
    bias = np.mean(mean) - drift
    naive = estimate.mean() - drift
    assert above == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(6000))
    assert held == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / 6000))
    if drift > 1:
        assert bias < 0.7 * naive


def test_an_early_stop_is_pulled_down_and_the_two_sides_mirror_each_other():
    up, down = adjusted(1, 5.0), adjusted(1, -5.0)
    assert up.mean_adjusted < 5.0
    assert up.median_unbiased < 5.0
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low), abs=1e-6)
    assert down.mean_adjusted == pytest.approx(-up.mean_adjusted, abs=1e-6)


def test_what_cannot_be_adjusted_is_refused():
    with pytest.raises(BadStop, match="standard error of 0"):
        at_stopping(0.1, 0.0, information=(1.0,), bounds=(2.0,))
    with pytest.raises(BadStop, match="every look needs one"):
        at_stopping(0.1, 0.1, information=(1.0, 2.0), bounds=(2.0,))
