import numpy as np
import pytest
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
    expected = expected_estimate(drift, np.array(TIMES), np.array(BOUNDS[:-1]))
    assert expected == pytest.approx(estimate.mean(), abs=4 * estimate.std() / np.sqrt(400_000))


@pytest.mark.parametrize("drift", [0.5, 2.0, 3.24])
def test_half_of_the_estimates_are_too_high_and_intervals_hold_the_truth(drift):
    look, estimate = stopped(drift, 600, 7)
    found = [adjusted(*each) for each in zip(look, estimate, strict=True)]
    above = np.mean([each.median_unbiased > drift for each in found])
    held = np.mean([each.low <= drift <= each.high for each in found])
    bias = np.mean([each.mean_adjusted for each in found]) - drift
    naive = estimate.mean() - drift
    assert above == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(600))
    assert held == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / 600))
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
