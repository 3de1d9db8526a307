import numpy as np
import pytest

from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.strata import POOLED, BadStrata, _pooled, post_stratify


def world(rng, units, gain=0.0):
    """Countries spend differently, and chance deals them unevenly."""
    strata = {}
    country = rng.integers(3, size=2 * units)
    arm = np.repeat(["original", "ink"], units)
    spent = np.array([5.0, 20.0, 50.0])[country] + rng.normal(0, 8, 2 * units) + gain * (arm == "ink")
    for number in range(3):
        strata[str(number)] = {
            name: PairMoments.of([(float(value), 1) for value in spent[(country == number) & (arm == name)]])
            for name in ("original", "ink")
        }
    return strata


def difference(strata):
    found = post_stratify(strata)
    return found["ink"].rate - found["original"].rate, found["ink"].variance + found["original"].variance


def test_chance_imbalance_goes_and_intervals_hold_the_truth():
    rng, worlds = np.random.default_rng(2), 1200
    gaps, variances = zip(*(difference(world(rng, 60, 2.0)) for _ in range(worlds)), strict=True)
    held = np.mean(np.abs(np.array(gaps) - 2.0) < 1.96 * np.sqrt(variances))
    assert held == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / worlds) + 0.005)
    assert np.mean(variances) == pytest.approx(np.var(gaps), rel=0.12)
    plain = [
        np.var(
            [
                sum(each[arm].y for each in strata.values()) / sum(each[arm].x for each in strata.values())
                for arm in ("original", "ink")
            ]
        )
        for strata in (world(rng, 60) for _ in range(50))
    ]
    assert np.mean(variances) < 0.5 * 4 * np.mean(plain), "most of the variance lies between countries"


def test_one_stratum_is_no_stratification():
    only = {"all": {"original": PairMoments.of([(1, 2), (3, 4), (0, 1)]), "ink": PairMoments.of([(2, 2), (1, 4)])}}
    found = post_stratify(only)
    assert found["original"].rate == pytest.approx(4 / 7)
    assert found["ink"].units == 2


def test_small_strata_are_pooled():
    large = PairMoments.of([(1, 1), (0, 1), (1, 1)])
    one = PairMoments.of([(1, 1)])
    pooled = _pooled(
        {"a": {"x": large, "y": large}, "b": {"x": one, "y": large}, "c": {"x": large, "y": one}}, ("x", "y")
    )
    assert list(pooled) == ["a", POOLED]
    assert pooled[POOLED]["x"].units == 4
    joined = _pooled({"a": {"x": large, "y": large}, "b": {"x": PairMoments(), "y": one}}, ("x", "y"))
    assert joined[POOLED]["y"].units == 4


def test_strata_that_do_not_fit_are_refused():
    pair = PairMoments.of([(1, 1), (2, 1)])
    with pytest.raises(BadStrata, match="no strata"):
        post_stratify({})
    with pytest.raises(BadStrata, match="stratum 'b' has the arms"):
        post_stratify({"a": {"x": pair, "y": pair}, "b": {"x": pair}})
    with pytest.raises(BadStrata, match="lacks units"):
        post_stratify({"a": {"x": pair, "y": PairMoments()}})
