import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal, norm, t
from statsmodels.stats.meta_analysis import combine_effects

from experiments.core.errors import ExperimentError
from experiments.core.statistics.meta import OWN_SCALE, mixture_quantile, random_effects

# Thirteen trials of the BCG vaccine (G. A. Colditz et al., JAMA 271, 1994): cases and persons, vaccinated and not. The
# results are those of W. Viechtbauer, Journal of Statistical Software 36 (2010), and of metafor's manual.
BCG = np.array([
    (4, 123, 11, 139), (6, 306, 29, 303), (3, 231, 11, 220), (62, 13598, 248, 12867), (33, 5069, 47, 5808),
    (180, 1541, 372, 1451), (8, 2545, 10, 629), (505, 88391, 499, 88391), (29, 7499, 45, 7277), (17, 1716, 65, 1665),
    (186, 50634, 141, 27338), (5, 2498, 3, 2341), (27, 16913, 29, 17854),
], dtype=float)  # fmt: skip
LOG_RATIO = np.log(BCG[:, 0] / BCG[:, 1]) - np.log(BCG[:, 2] / BCG[:, 3])
VARIANCE = 1 / BCG[:, 0] - 1 / BCG[:, 1] + 1 / BCG[:, 2] - 1 / BCG[:, 3]


def test_the_published_example_of_the_bcg_vaccine():
    found = random_effects(LOG_RATIO, VARIANCE)
    assert found.tau[0] ** 2 == pytest.approx(0.3132, abs=5e-5)
    assert found.mean[0] == pytest.approx(-0.7145, abs=5e-5)
    assert found.mean[0] / found.standard_error[0] == pytest.approx(-3.9522, abs=5e-4)
    assert (found.low[0], found.high[0]) == pytest.approx((-1.1084, -0.3206), abs=1e-4)
    assert found.q[0] == pytest.approx(152.2330, abs=5e-4)
    assert found.i_squared[0] == pytest.approx(1 - 12 / 152.2330, abs=1e-6)
    assert found.q_p[0] < 1e-20


def dense_restricted(tau2, effects, variances):
    """Of the k - 1 contrasts with the first, which is what restricted likelihood means."""
    contrast = np.hstack([-np.ones((len(effects) - 1, 1)), np.eye(len(effects) - 1)])
    covariance = contrast @ np.diag(variances + tau2) @ contrast.T
    return multivariate_normal(np.zeros(len(effects) - 1), covariance).logpdf(contrast @ effects)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.floats(0, 0.5))
def test_tau_has_the_greatest_restricted_likelihood(seed, count, tau):
    rng = np.random.default_rng(seed)
    variances = rng.exponential(0.02, count) + 1e-3
    effects = rng.normal(0, np.sqrt(variances + tau**2))
    found = random_effects(effects, variances).tau[0] ** 2
    best = max(
        (
            minimize_scalar(
                lambda log: -dense_restricted(np.exp(log), effects, variances), bounds=bounds, method="bounded"
            )
            for bounds in ((-20, -6), (-6, -3), (-3, 3))
        ),
        key=lambda each: -each.fun,
    )
    assert dense_restricted(found, effects, variances) >= -best.fun - 1e-6


def test_q_and_i_squared_agree_with_statsmodels():
    peer = combine_effects(LOG_RATIO, VARIANCE)
    found = random_effects(LOG_RATIO, VARIANCE)
    assert found.q[0] == pytest.approx(peer.q, rel=1e-9)
    assert found.i_squared[0] == pytest.approx(peer.i2, rel=1e-9)


def test_hartung_knapp_agrees_with_statsmodels_where_all_estimators_of_tau_are_one():
    effects, variances = np.array([0.31, -0.12, 0.05, 0.44, 0.2]), np.full(5, 0.01)
    peer = combine_effects(effects, variances, method_re="iterated", use_t=True)
    found = random_effects(effects, variances)
    assert found.tau[0] ** 2 == pytest.approx(peer.tau2, rel=1e-6)
    assert found.standard_error[0] == pytest.approx(peer.sd_eff_w_re_hksj, rel=1e-6)
    assert found.high[0] == pytest.approx(found.mean[0] + t.ppf(0.975, 4) * peer.sd_eff_w_re_hksj, rel=1e-6)


def test_experiments_that_agree_by_luck_do_not_shorten_the_interval():
    found = random_effects(np.array([0.1, 0.1001, 0.0999]), np.full(3, 0.02))
    assert found.tau[0] == 0
    assert found.standard_error[0] == pytest.approx(np.sqrt(0.02 / 3))
    assert found.i_squared[0] == 0


def test_the_prediction_interval_is_the_integral_over_tau():
    effects, variances = np.array([0.3, -0.1, 0.12, 0.05]), np.array([0.01, 0.02, 0.004, 0.03])
    taus = (np.arange(4000) + 0.5) / 4000 * 2.5
    density = np.array([np.exp(dense_restricted(tau**2, effects, variances)) for tau in taus])
    density *= norm.pdf(taus, 0, OWN_SCALE)
    weights = 1 / (variances + np.square(taus)[:, None])
    means = (weights * effects).sum(1) / weights.sum(1)
    spreads = np.sqrt(np.square(taus) + 1 / weights.sum(1))
    found = random_effects(effects, variances)
    for end, share in ((found.next_low[0], 0.025), (found.next_high[0], 0.975)):
        assert density @ norm.cdf(end, means, spreads) / density.sum() == pytest.approx(share, abs=2e-4)


def test_groups_are_read_one_by_one():
    rng = np.random.default_rng(4)
    effects, variances = rng.normal(0, 0.2, (5, 6)), rng.exponential(0.02, (5, 6)) + 1e-4
    together = random_effects(effects, variances)
    for at in range(5):
        alone = random_effects(effects[at], variances[at])
        for field in ("mean", "low", "high", "tau", "next_low", "next_high", "q", "q_p", "i_squared"):
            assert getattr(together, field)[at] == pytest.approx(getattr(alone, field)[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e6])
def test_tau_and_the_interval_scale_with_the_lifts(scale):
    plain, scaled = random_effects(LOG_RATIO, VARIANCE), random_effects(LOG_RATIO * scale, VARIANCE * scale**2)
    for field in ("mean", "low", "high", "tau"):
        assert getattr(scaled, field)[0] == pytest.approx(getattr(plain, field)[0] * scale, rel=1e-6)


@pytest.mark.parametrize(
    ("effects", "variances"),
    [([0.1], [0.1]), ([0.1, np.nan], [0.1, 0.1]), ([0.1, 0.2], [0.1, 0.0]), ([0.1, 0.2], [0.1, np.inf])],
)
def test_what_is_no_meta_analysis_is_refused(effects, variances):
    with pytest.raises(ExperimentError, match="random-effects"):
        random_effects(np.array(effects), np.array(variances))


def test_quantiles_of_a_mixture():
    weights, means, spreads = np.array([0.3, 0.7]), np.array([-1.0, 2.0]), np.array([0.5, 1.0])
    at = mixture_quantile(weights, means, spreads, 0.9)
    assert weights @ norm.cdf(at, means, spreads) == pytest.approx(0.9, abs=1e-12)
