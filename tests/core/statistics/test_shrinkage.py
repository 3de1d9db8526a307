import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from experiments.core.errors import ExperimentError
from experiments.core.statistics.pooling import Entry, pool
from experiments.core.statistics.shrinkage import DEFAULT, Prior, prior_of, shrink, shrink_arms


@given(st.floats(-1, 1), st.floats(0.02, 1), st.floats(-0.3, 0.3), st.floats(0.05, 0.5))
def test_the_posterior_is_bayes_rule_integrated(estimate, error, mean, spread):
    found = shrink(estimate, error, Prior(mean, spread))

    def density(lift):
        return np.exp(-(((estimate - lift) / error) ** 2 + ((lift - mean) / spread) ** 2) / 2)

    middle = (estimate / error**2 + mean / spread**2) / (1 / error**2 + 1 / spread**2)
    reach = 9 * min(error, spread)
    whole = quad(density, middle - reach, middle + reach, points=[middle])[0]
    expected = quad(lambda lift: lift * density(lift), middle - reach, middle + reach, points=[middle])[0] / whole
    assert found.mean == pytest.approx(expected, abs=1e-6)
    assert quad(density, middle - reach, found.low, limit=200)[0] / whole == pytest.approx(0.025, abs=1e-5)
    assert found.high - found.mean == pytest.approx(found.mean - found.low)


def test_nothing_is_pulled_where_all_is_known_and_all_where_nothing_is():
    sure = shrink(0.3, 1e-12)
    assert (sure.mean, sure.low, sure.high) == pytest.approx((0.3, 0.3, 0.3))
    assert sure.high - sure.mean == pytest.approx(norm.ppf(0.975) * 1e-12, rel=1e-3)
    unknown = shrink(0.3, np.inf, Prior(0.05, 0.1))
    assert unknown.mean == pytest.approx(0.05)
    assert unknown.high == pytest.approx(0.05 + norm.ppf(0.975) * 0.1)
    assert np.isfinite(shrink(1e-300, 1e300).mean)


def test_lifts_are_read_off_the_log():
    median, low, high = shrink(0.2, 0.1).relative
    assert low < median < high
    assert median == pytest.approx(np.exp(0.2 * 0.04 / 0.05) - 1)


def test_one_arm_together_is_one_arm_alone():
    alone, together = shrink(0.2, 0.13), shrink_arms(np.array([0.2]), np.array([[0.13**2]]))
    assert together.mean[0] == pytest.approx(float(alone.mean))
    assert together.low[0] == pytest.approx(float(alone.low))


def test_arms_together_are_the_regression_of_true_lifts_on_estimates():
    rng = np.random.default_rng(1)
    arms, worlds, spread = 3, 400_000, 0.2
    own, control = np.array([0.1, 0.15, 0.08]), 0.12
    quality = rng.normal(0, spread / np.sqrt(2), (worlds, arms + 1))
    true = quality[:, 1:] - quality[:, :1]
    seen = true + rng.normal(0, own, (worlds, arms)) + rng.normal(0, control, (worlds, 1))
    slopes = np.linalg.lstsq(seen, true, rcond=None)[0].T
    errors = np.diag(own**2) + control**2
    for unit in np.eye(arms):
        assert shrink_arms(unit, errors, Prior(0.0, spread)).mean == pytest.approx(slopes @ unit, abs=0.01)


def test_when_all_arms_are_up_the_control_was_probably_unlucky():
    errors = np.diag([0.002] * 4) + 0.03
    together = shrink_arms(np.full(4, 0.3), errors).mean[0]
    alone = shrink(0.3, np.sqrt(0.032)).mean
    beside_worse = shrink_arms(np.array([0.3, 0, 0, 0]), errors).mean[0]
    assert together < alone * 1.2
    assert beside_worse < 0.3


def winners(seed, prior, worlds=20_000, arms=5):
    """What the best-looking of several arms truly is, and what is said of it: naive and shrunk."""
    rng = np.random.default_rng(seed)
    own, control = 0.09, 0.07
    quality = rng.normal(0, prior.spread / np.sqrt(2), (worlds, arms + 1))
    true = prior.mean + quality[:, 1:] - quality[:, :1]
    seen = true + rng.normal(0, own, (worlds, arms)) + rng.normal(0, control, (worlds, 1))
    errors = np.diag([own**2] * arms) + control**2
    # the posterior is linear in the estimates, so one call a unit vector gives every world's
    level = shrink_arms(np.zeros(arms), errors, prior)
    slopes = np.array([shrink_arms(unit, errors, prior).mean - level.mean for unit in np.eye(arms)])
    mean, reach = level.mean + seen @ slopes, level.high - level.mean
    at = np.argmax(seen, axis=1)
    pick = np.arange(worlds), at
    return true[pick], seen[pick], mean[pick], reach[at]


@pytest.mark.parametrize("prior", [DEFAULT, Prior(-0.05, 0.08)])
def test_the_winners_lift_is_too_high_and_shrunk_it_is_not(prior):
    true, naive, shrunk, reach = winners(3, prior)
    error = (naive - true).std() / np.sqrt(len(true))
    assert (naive - true).mean() > 20 * error
    assert abs((shrunk - true).mean()) < 3.5 * (shrunk - true).std() / np.sqrt(len(true))
    covered = (np.abs(shrunk - true) <= reach).mean()
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / len(true)))
    assert np.square(shrunk - true).mean() < np.square(naive - true).mean()


def test_shrunk_alone_the_winner_of_many_is_unbiased_too():
    rng = np.random.default_rng(8)
    true = rng.normal(0, 0.1, (20_000, 6))
    seen = true + rng.normal(0, 0.15, true.shape)
    pick = np.arange(len(true)), np.argmax(seen, axis=1)
    found = shrink(seen[pick], 0.15, Prior(0.0, 0.1))
    assert (seen - true)[pick].mean() > 0.1
    assert abs((found.mean - true[pick]).mean()) < 3.5 * (found.mean - true[pick]).std() / np.sqrt(len(true))


def test_the_default_is_what_pooling_presumes_of_a_lift_nobody_measured():
    assert prior_of(None) == DEFAULT
    blind = pool([Entry("e", "e", ("ink",), (1e-9, 1e-9), (1.0, 1.0))])
    learnt = prior_of(blind)
    assert learnt.mean == pytest.approx(0, abs=1e-3)
    assert learnt.spread == pytest.approx(DEFAULT.spread, abs=0.01)


def test_many_experiments_replace_the_default():
    rng = np.random.default_rng(5)
    entries = []
    for number in range(60):
        lifts = rng.normal(0.1, 0.05, 3)
        y = rng.poisson(20_000 * np.exp([0, *lifts])).astype(float)
        styles = tuple(f"s{each}" for each in rng.choice(20, 3, replace=False))
        entries.append(Entry(f"e{number}", f"e{number}", styles, tuple(y), (1e6,) * 4))
    learnt = prior_of(pool(entries))
    assert learnt.mean == pytest.approx(0.1, abs=0.03)
    assert learnt.spread == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Prior(0.0, 0.0),
        lambda: Prior(np.nan, 0.1),
        lambda: shrink(np.nan, 0.1),
        lambda: shrink(0.1, 0.0),
        lambda: shrink(0.1, np.nan),
        lambda: shrink_arms(np.array([0.1, 0.2]), np.eye(3)),
        lambda: shrink_arms(np.array([0.1, 0.2]), np.array([[0.1, 0.2], [0.2, 0.1]])),
        lambda: shrink_arms(np.array([0.1, np.inf]), np.eye(2)),
    ],
)
def test_what_cannot_be_shrunk_is_refused(wrong):
    with pytest.raises(ExperimentError):
        wrong()
