import numpy as np
import pytest
from scipy.stats import lognorm

from experiments.core.statistics.comparison import Correction, compare_estimates
from experiments.core.statistics.quantiles import BadQuantile, clustered_quantile


def people(rng, units, shift=0.0, alike=0.7):
    """Load times of people who differ: each has several rows, alike among themselves."""
    rows = 1 + rng.poisson(4, units)
    codes = np.repeat(np.arange(units), rows)
    own = rng.normal(0, alike, units)[codes]
    return np.exp(shift + own + rng.normal(0, np.sqrt(1 - alike**2), len(codes))), codes


@pytest.mark.parametrize(("share", "alike"), [(0.5, 0.7), (0.9, 0.7), (0.9, 0.0), (0.1, 0.9)])
def test_intervals_hold_the_true_quantile_though_rows_cluster(share, alike):
    rng, worlds = np.random.default_rng(int(100 * share + 10 * alike)), 800
    truth, held = lognorm.ppf(share, 1.0), 0
    for _ in range(worlds):
        found = clustered_quantile(*people(rng, 250, alike=alike), share)
        held += found.low <= truth <= found.high
    assert held / worlds == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / worlds) + 0.01)


def test_the_variance_is_a_cluster_bootstraps():
    rng = np.random.default_rng(3)
    values, codes = people(rng, 600)
    found = clustered_quantile(values, codes, 0.9)
    rows_of = [np.flatnonzero(codes == unit) for unit in range(600)]
    drawn = [
        np.quantile(values[np.concatenate([rows_of[unit] for unit in rng.integers(600, size=600)])], 0.9)
        for _ in range(400)
    ]
    assert np.sqrt(found.variance) == pytest.approx(np.std(drawn), rel=0.2)
    independent = clustered_quantile(values, np.arange(len(values)), 0.9)
    assert found.variance > 1.5 * independent.variance, "rows of one person are no independent people"


def test_equal_arms_are_called_different_one_time_in_twenty():
    rng, worlds, called = np.random.default_rng(9), 600, 0
    for _ in range(worlds):
        arms = {name: clustered_quantile(*people(rng, 250), 0.9) for name in ("original", "ink", "neon")}
        found = compare_estimates(
            {name: (each.value, each.variance, each.units) for name, each in arms.items()},
            control="original",
            correction=Correction.DUNNETT,
        )
        called += any(lift.p_adjusted < 0.05 for lift in found.lifts)
    assert called / worlds == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / worlds))


def test_ties_and_few_rows():
    rng = np.random.default_rng(1)
    tied = clustered_quantile(rng.integers(0, 3, 3000).astype(float), np.arange(3000), 0.5)
    assert tied.value == 1.0
    assert tied.low <= tied.value <= tied.high
    with pytest.raises(BadQuantile, match="too few"):
        clustered_quantile(rng.random(30), np.arange(30), 0.99)
    with pytest.raises(BadQuantile, match="too few"):
        clustered_quantile(rng.random(3000), np.zeros(3000, dtype=int), 0.5)


@pytest.mark.parametrize(
    ("values", "share", "said"),
    [([], 0.5, "have no quantile"), ([1.0, np.nan], 0.5, "not finite"), ([1.0, 2.0], 1.0, "between 0 and 1")],
)
def test_what_has_no_quantile_is_refused(values, share, said):
    with pytest.raises(BadQuantile, match=said):
        clustered_quantile(np.array(values), np.arange(len(values)), share)
