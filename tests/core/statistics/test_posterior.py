import numpy as np
import pytest
from scipy.stats import gamma, norm

from experiments.core.errors import ExperimentError
from experiments.core.statistics.posterior import (
    BadPrior,
    RatePrior,
    best_of_means,
    best_of_rates,
    interval_of_means,
    interval_of_rates,
)

DRAWS = 400_000


@pytest.mark.parametrize("clicks", [[30, 41, 35], [0, 3, 1], [4000, 4100, 3900], [2, 900, 910]])
@pytest.mark.parametrize("phi", [1.0, 1.7])
def test_chance_and_loss_are_what_simulation_gives(clicks, phi):
    y, x = np.array([clicks], dtype=float), np.array([[1000.0, 1000.0, 100_000.0]])
    draws = np.random.default_rng(1).gamma(y[0] / phi + 0.5, phi / x[0], (DRAWS, 3))
    probability, loss = best_of_rates(y, x, np.array([phi]))
    assert probability[0] == pytest.approx(np.bincount(draws.argmax(axis=1), minlength=3) / DRAWS, abs=0.01)
    mean = draws.mean(axis=0)
    assert loss[0] == pytest.approx(draws.max(axis=1).mean() - mean, abs=0.02 * mean.max())


def test_means_may_be_negative_and_lower_may_be_better():
    mean, variance = np.array([[-1.0, 0.2, 0.1]]), np.array([[0.4, 0.1, 0.3]])
    draws = np.random.default_rng(2).normal(mean[0], np.sqrt(variance[0]), (DRAWS, 3))
    for higher, chosen in ((True, draws.argmax(axis=1)), (False, draws.argmin(axis=1))):
        probability, loss = best_of_means(mean, variance, higher_is_better=higher)
        assert probability[0] == pytest.approx(np.bincount(chosen, minlength=3) / DRAWS, abs=0.01)
        assert (loss >= 0).all()


@pytest.mark.parametrize("prior", [RatePrior(), RatePrior(30, 2000), RatePrior(30, 2000, 1.0)])
def test_credible_intervals_are_the_gammas_quantiles(prior):
    y, x, phi = np.array([[0.0, 7.0, 4100.0]]), np.array([[500.0, 500.0, 1e9]]), np.array([[1.0, 1.7, 1.2]])
    worth = phi if prior.dispersion else 1.0
    shape, scale = (y + prior.events * worth) / phi, phi / (x + prior.exposure * worth)
    low, high = interval_of_rates(y, x, phi, prior=prior)
    assert low == pytest.approx(gamma.ppf(0.025, shape, scale=scale), rel=1e-9)
    assert high == pytest.approx(gamma.isf(0.025, shape, scale=scale), rel=1e-9)
    assert (low >= 0).all()
    assert np.isfinite(high).all()


def test_credible_intervals_of_means_are_normal():
    low, high = interval_of_means(np.array([[2.0, -1.0]]), np.array([[0.25, 4.0]]), 0.1)
    assert low == pytest.approx(norm.ppf(0.05, [[2.0, -1.0]], [[0.5, 2.0]]), rel=1e-9)
    assert high == pytest.approx(norm.ppf(0.95, [[2.0, -1.0]], [[0.5, 2.0]]), rel=1e-9)


def test_intervals_hold_over_the_rates_their_prior_describes():
    draw, prior, worlds = np.random.default_rng(5), RatePrior(20.0, 1000.0), 20_000
    rate = draw.gamma(prior.events, 1 / prior.exposure, (worlds, 1))
    low, high = interval_of_rates(
        draw.poisson(rate * 400).astype(float), np.full((worlds, 1), 400.0), np.ones(worlds), prior=prior
    )
    assert np.mean((low <= rate) & (rate <= high)) == pytest.approx(0.95, abs=0.006)


def test_a_prior_is_learnt_from_experiments_that_differ():
    draw = np.random.default_rng(6)
    rate = draw.gamma(25.0, 1 / 1250.0, 400)
    learnt = RatePrior.from_experiments(draw.poisson(rate * 5000), np.full(400, 5000.0))
    assert learnt.events == pytest.approx(25.0, rel=0.2)
    assert learnt.events / learnt.exposure == pytest.approx(0.02, rel=0.03)


def test_experiments_that_do_not_differ_make_a_prior_with_an_end():
    learnt = RatePrior.from_experiments([40, 40, 40], [2000, 2000, 2000], 1.5)
    assert learnt.events == pytest.approx(40 / 1.5 / (np.sqrt(6) / 2 + 1 / 3))
    assert learnt.events / learnt.exposure == pytest.approx(0.02)


@pytest.mark.parametrize(("experiments", "least"), [(3, 0.87), (10, 0.93), (40, 0.94)])
def test_a_new_rate_lies_within_what_earlier_ones_teach(experiments, least):
    draw, worlds = np.random.default_rng(8), 2000
    rate = draw.gamma(25.0, 0.02 / 25.0, (worlds, experiments + 1))
    held = 0
    for clicks, new in zip(draw.poisson(rate[:, :-1] * 20_000), rate[:, -1], strict=True):
        learnt = RatePrior.from_experiments(clicks, np.full(experiments, 20_000.0))
        low, high = gamma.ppf([0.025, 0.975], learnt.events, scale=1 / learnt.exposure)
        held += low <= new <= high
    assert held / worlds >= least


def test_a_prior_draws_a_lucky_arm_back():
    y, x, phi = np.array([[20.0, 30.0]]), np.array([[1000.0, 1000.0]]), np.ones(1)
    alone, _ = best_of_rates(y, x, phi)
    drawn, _ = best_of_rates(y, x, phi, prior=RatePrior(2000, 100_000))
    assert 0.5 < drawn[0, 1] < alone[0, 1]


def test_as_little_is_known_of_money_as_of_clicks():
    """One purchase of 50 against none, and one click against none, of 30 units each."""
    units, events, purchase = np.full((1, 2), 30.0), np.array([[0.0, 1.0]]), 50e6
    of_clicks, _ = best_of_rates(events, units, np.ones(1))
    of_money, _ = best_of_rates(events * purchase, units, np.full(1, purchase))
    assert of_money == pytest.approx(of_clicks)
    assert 0.7 < of_money[0, 1] < 0.9
    low, high = interval_of_rates(events * purchase, units, np.full(1, purchase))
    assert low[0, 1] < high[0, 0]


@pytest.mark.parametrize("wrong", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0), (1.0, float("inf")), (1.0, 1.0, 0.0)])
def test_a_prior_that_is_no_distribution_is_refused(wrong):
    with pytest.raises(BadPrior, match="a prior needs"):
        RatePrior(*wrong)


@pytest.mark.parametrize(
    ("y", "x", "said"),
    [([1, 2], [9, 9], "at least 3"), ([0, 0, 0], [9, 9, 9], "counts"), ([1, 2, 3], [9, 0, 9], "counts"),
     ([1, 2, 3], [9, 9], "shapes")],
)  # fmt: skip
def test_experiments_that_teach_nothing_are_refused(y, x, said):
    with pytest.raises(BadPrior, match=said):
        RatePrior.from_experiments(y, x)


def test_an_impossible_alpha_is_refused():
    with pytest.raises(ExperimentError, match="between 0 and 1"):
        interval_of_means(np.zeros((1, 2)), np.ones((1, 2)), 1.0)
