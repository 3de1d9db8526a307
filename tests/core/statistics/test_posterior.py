import numpy as np
import pytest

from experiments.core.statistics.posterior import best_of_means, best_of_rates

DRAWS = 400_000


@pytest.mark.parametrize("clicks", [[30, 41, 35], [0, 3, 1], [4000, 4100, 3900], [2, 900, 910]])
@pytest.mark.parametrize("phi", [1.0, 1.7])
def test_chance_and_loss_are_what_simulation_gives(clicks, phi):
    y, x = np.array([clicks], dtype=float), np.array([[1000.0, 1000.0, 100_000.0]])
    draws = np.random.default_rng(1).gamma((y[0] + 0.5) / phi, phi / x[0], (DRAWS, 3))
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
