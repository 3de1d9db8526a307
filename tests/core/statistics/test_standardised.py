import numpy as np
import pytest

from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.standardised import standardised


def clicks(y, x):
    return PairMoments(x, y, x, y, x, y)


def rate(pair):
    return pair.y / pair.x


def test_one_batch_or_none_counted_is_left_as_it_is():
    only = {"a": clicks(3, 100), "b": clicks(9, 80)}
    assert standardised([only]) == only
    nothing = {"a": clicks(0, 100), "b": clicks(0, 80)}
    assert standardised([nothing, nothing])["a"] == clicks(0, 200)


def test_equal_arms_are_equal_however_they_were_shown():
    weeks = [{"a": clicks(80, 8000), "b": clicks(20, 2000)}, {"a": clicks(60, 2000), "b": clicks(240, 8000)}]
    fair = standardised(weeks)
    assert rate(fair["a"]) == pytest.approx(rate(fair["b"]))
    assert rate(fair["a"]) == pytest.approx(400 / 20_000), "on the scale of the pooled rate"
    assert (fair["b"].y, fair["b"].yy, fair["b"].units) == (260, 260, 10_000)


def test_even_shares_change_nothing():
    weeks = [{"a": clicks(80, 5000), "b": clicks(100, 5000)}, {"a": clicks(160, 5000), "b": clicks(200, 5000)}]
    fair = standardised(weeks)
    assert rate(fair["b"]) / rate(fair["a"]) == pytest.approx(1.25)
    assert fair["a"].x == pytest.approx(10_000)


def test_denominators_are_weighed_with_their_squares():
    draw = np.random.default_rng(2)
    weeks = []
    for level in (0.01, 0.05):
        x = draw.integers(1, 9, (2, 400))
        y = draw.binomial(x, level)
        weeks.append(
            {name: PairMoments.of(zip(y[i].tolist(), x[i].tolist(), strict=True)) for i, name in enumerate("ab")}
        )
    fair, raw = standardised(weeks), {name: weeks[0][name] + weeks[1][name] for name in "ab"}
    for name in "ab":
        weight = fair[name].x / raw[name].x
        assert fair[name].xx == pytest.approx(raw[name].xx * weight**2)
        assert fair[name].xy == pytest.approx(raw[name].xy * weight)
