import numpy as np
import pytest
import statsmodels.api as sm

from experiments.core.statistics.adjustment import BadHistory, HistoryMoments, adjust_arms
from experiments.core.statistics.moments import PairMoments


def moments(y, x, yb, xb):
    columns = np.array(np.broadcast_arrays(y, x, yb, xb), dtype=float)
    products = (columns @ columns.T)[np.triu_indices(4)]
    return HistoryMoments(columns.shape[1], *columns.sum(axis=1).tolist(), *products.tolist())


def mean_world(rng, units, rho, gain=0.0):
    """Two arms of one value a unit; ``rho`` is its correlation with its history."""
    arms = {}
    for name, lift in (("original", 0.0), ("ink", gain)):
        before = rng.gamma(2.0, 5.0, units)
        noise = rng.normal(0, 5 * np.sqrt(2) * np.sqrt(1 / rho**2 - 1) if rho else 30, units)
        arms[name] = ((before if rho else 0) + noise + 20 + lift, before)
    return arms


def of_means(arms):
    one = {name: np.ones(len(y)) for name, (y, _) in arms.items()}
    return {name: moments(y, one[name], before, one[name]) for name, (y, before) in arms.items()}


def test_a_mean_is_adjusted_as_by_a_regression_on_history():
    arms = mean_world(np.random.default_rng(1), 400, 0.7, 1.0)
    found = adjust_arms(of_means(arms))
    y = np.concatenate([arms["original"][0], arms["ink"][0]])
    before = np.concatenate([arms["original"][1], arms["ink"][1]])
    treated = np.repeat([0.0, 1.0], 400)
    fit = sm.OLS(y, sm.add_constant(np.column_stack([treated, before]))).fit()
    assert found.theta == pytest.approx(fit.params[2], rel=1e-9)
    assert found.rate[1] - found.rate[0] == pytest.approx(fit.params[1], rel=1e-9)
    # Both arms' own residual variances; the regression has one for both, less its three parameters.
    assert np.sqrt(found.variance.sum()) == pytest.approx(fit.bse[1], rel=0.01)


def test_without_history_nothing_changes():
    rng = np.random.default_rng(2)
    arms = {
        name: moments(y := rng.poisson(2, 500), y + rng.poisson(9, 500), np.zeros(500), np.zeros(500))
        for name in ("original", "ink")
    }
    found = adjust_arms(arms)
    assert (found.theta, found.reduction) == (0, 0)
    for i, each in enumerate(arms.values()):
        pair = each.pair
        rate = pair.y / pair.x
        squares = pair.yy - 2 * rate * pair.xy + rate**2 * pair.xx
        assert found.rate[i] == pytest.approx(rate)
        assert found.variance[i] == pytest.approx(squares * 500 / 499 / pair.x**2)


def test_moments_of_disjoint_units_add():
    rng = np.random.default_rng(3)
    columns = rng.poisson(3, (4, 100))
    whole = moments(*columns)
    assert moments(*columns[:, :40]) + moments(*columns[:, 40:]) == whole
    assert whole.pair == PairMoments.of([(float(y), float(x)) for y, x in zip(columns[0], columns[1], strict=True)])


def ratio_world(rng, units, shared):
    """Clicks over impressions; people differ in appetite, which ``shared`` of them had before."""
    arms = {}
    for name in ("original", "ink", "neon"):
        appetite = rng.gamma(0.5, 2.0, units)
        habit = np.where(rng.random(units) < shared, appetite, rng.gamma(0.5, 2.0, units))
        x, xb = 1 + rng.poisson(20, units), rng.poisson(60, units) * (rng.random(units) < 0.8)
        arms[name] = moments(rng.poisson(0.1 * appetite * x), x, rng.poisson(0.1 * habit * xb), xb)
    return arms


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_a_ratio_keeps_its_level_and_gains_by_history(shared):
    rng, worlds = np.random.default_rng(int(10 * shared)), 500
    z, reductions = [], []
    for _ in range(worlds):
        found = adjust_arms(ratio_world(rng, 300, shared))
        z.append((found.rate[1] - found.rate[0]) / np.sqrt(found.variance[:2].sum()))
        reductions.append(found.reduction)
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / worlds))
    assert np.std(z) == pytest.approx(1, abs=0.1)
    assert np.mean(reductions) > 0.4 if shared == 1.0 else np.mean(reductions) < 0.4


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_intervals_of_an_adjusted_mean_hold_the_truth(rho):
    rng, worlds, held, reductions = np.random.default_rng(int(10 * rho)), 1200, 0, []
    for _ in range(worlds):
        found = adjust_arms(of_means(mean_world(rng, 120, rho, 2.0)))
        gap, error = found.rate[1] - found.rate[0], np.sqrt(found.variance.sum())
        held += abs(gap - 2.0) < 1.98 * error
        reductions.append(found.reduction)
    assert held / worlds == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / worlds) + 0.005)
    assert np.mean(reductions) == pytest.approx(rho**2, abs=0.02)


def test_what_cannot_be_adjusted_is_refused():
    good = moments([1, 2, 3], [1, 1, 1], [0, 1, 2], [1, 1, 1])
    with pytest.raises(BadHistory, match="two arms"):
        adjust_arms({"original": good})
    with pytest.raises(BadHistory, match="arm 'ink' has 1 units"):
        adjust_arms({"original": good, "ink": moments([1], [1], [0], [1])})
    with pytest.raises(BadHistory, match="denominator of 0"):
        adjust_arms({"original": good, "ink": moments([1, 1], [0, 0], [0, 1], [1, 1])})
    with pytest.raises(BadHistory, match="finite"):
        adjust_arms({"original": good, "ink": moments([np.nan, 1], [1, 1], [0, 1], [1, 1])})
