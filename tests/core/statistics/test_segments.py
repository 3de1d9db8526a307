import numpy as np
import pytest
from scipy.stats import chi2
from statsmodels.stats.contingency_tables import StratifiedTable

from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.segments import BadSegments, read_segments


def zero_one(y, n):
    return PairMoments(n, y, n, y, n, y)


def money(values):
    values = np.asarray(values)
    return PairMoments(
        len(values), float(values.sum()), len(values), float(values @ values), len(values), float(values.sum())
    )


def segments(rates, units, seed=0):
    """0/1 outcomes by segment and arm."""
    rng = np.random.default_rng(seed)
    return {
        name: {arm: zero_one(int(rng.binomial(units, rate)), units) for arm, rate in arms.items()}
        for name, arms in rates.items()
    }


def test_large_segments_agree_with_breslow_and_days_homogeneity_test():
    # Rates are small, so that ratios of rates and of odds are the same thing.
    table = segments(
        {
            "phone": {"original": 0.01, "ink": 0.0125},
            "desk": {"original": 0.012, "ink": 0.012},
            "tablet": {"original": 0.011, "ink": 0.011},
        },
        80_000,
    )
    (found,) = read_segments(table, control="original").heterogeneity
    tables = [
        np.array(
            [
                [arms["ink"].y, arms["ink"].x - arms["ink"].y],
                [arms["original"].y, arms["original"].x - arms["original"].y],
            ]
        )
        for arms in table.values()
    ]
    peer = StratifiedTable(tables)
    assert found.q == pytest.approx(peer.test_equal_odds().statistic, rel=0.03)
    assert found.p == pytest.approx(chi2.sf(found.q, 2))
    assert 1 + found.common == pytest.approx(peer.oddsratio_pooled, rel=0.005)


def test_a_style_that_wins_only_on_phones_is_seen_and_its_lifts_are_drawn_together():
    table = segments(
        {
            "phone": {"original": 0.02, "ink": 0.028, "neon": 0.02},
            "desk": {"original": 0.02, "ink": 0.0195, "neon": 0.02},
        },
        30_000,
    )
    found = read_segments(table, control="original")
    ink, neon = found.heterogeneity
    assert ink.p_adjusted < 1e-3 < neon.p_adjusted
    assert ink.spread > 0.1
    assert ink.inconsistency > 0.7
    lifts = {(each.arm, each.segment): each for each in found.lifts}
    phone, desk = lifts["ink", "phone"], lifts["ink", "desk"]
    assert desk.lift < desk.shrunken < ink.common < phone.shrunken < phone.lift
    assert phone.p_adjusted < 1e-3
    assert all(each.p_adjusted >= each.p for each in found.lifts)


def test_where_chance_explains_it_all_every_segment_has_the_common_lift():
    table = {name: {"original": zero_one(200, 10_000), "ink": zero_one(240, 10_000)} for name in ("a", "b", "c")}
    found = read_segments(table, control="original")
    (ink,) = found.heterogeneity
    assert (ink.q, ink.p, ink.spread, ink.inconsistency) == pytest.approx((0, 1, 0, 0), abs=1e-4)
    assert [each.shrunken for each in found.lifts] == pytest.approx([0.2] * 3)


@pytest.mark.parametrize(("clicks", "count"), [(10, 2), (10, 6), (50, 4), (1000, 3)])
def test_equal_segments_are_called_different_as_seldom_as_they_should(clicks, count):
    rng, worlds, units = np.random.default_rng(clicks + count), 1500, 20_000
    rate = clicks / units
    called = 0
    for _ in range(worlds):
        table = {
            str(name): {"original": zero_one(int(a), units), "ink": zero_one(int(b), units)}
            for name, (a, b) in enumerate(rng.binomial(units, [rate, rate * 1.3], (count, 2)))
        }
        called += read_segments(table, control="original").heterogeneity[0].p < 0.05
    assert called / worlds == pytest.approx(0.05, abs=0.011 + 4 * np.sqrt(0.05 * 0.95 / worlds))


def test_values_are_held_against_each_other_too():
    rng = np.random.default_rng(2)
    table = {
        name: {"original": money(rng.normal(10, 4, 5000)), "ink": money(rng.normal(10 + gain, 4, 5000))}
        for name, gain in (("a", 0.0), ("b", 1.0))
    }
    (ink,) = read_segments(table, control="original").heterogeneity
    assert ink.p < 1e-6
    assert ink.common == pytest.approx(0.5, abs=0.15)


def test_a_segment_whose_units_are_all_alike_tells_nothing():
    rng = np.random.default_rng(3)
    table = {name: {arm: money(rng.normal(10, 4, 500)) for arm in ("original", "ink")} for name in ("a", "b")}
    alike = table | {"c": {"original": money(np.full(3, 10.5)), "ink": money(np.full(3, 12.5))}}
    (usual,), (ink,) = (read_segments(each, control="original").heterogeneity for each in (table, alike))
    assert (ink.common, ink.p) == pytest.approx((usual.common, usual.p))
    (odd,) = (each for each in read_segments(alike, control="original").lifts if each.segment == "c")
    assert odd.p == 1


def test_segments_without_clicks_or_people_do_no_harm():
    table = {
        "full": {"original": zero_one(50, 1000), "ink": zero_one(70, 1000)},
        "quiet": {"original": zero_one(0, 300), "ink": zero_one(0, 280)},
        "half": {"original": zero_one(0, 400), "ink": zero_one(6, 400)},
        "empty": {"original": zero_one(0, 0), "ink": zero_one(3, 50)},
    }
    found = read_segments(table, control="original")
    assert {each.segment for each in found.lifts} == {"full", "quiet", "half"}
    assert all(np.isfinite([each.shrunken, each.p, each.p_adjusted]).all() for each in found.lifts)
    assert next(each for each in found.lifts if each.segment == "half").lift is None


def test_what_cannot_be_held_against_each_other_is_refused():
    one = {"original": zero_one(5, 100), "ink": zero_one(6, 100)}
    with pytest.raises(BadSegments, match="1 of 1 segments"):
        read_segments({"a": one}, control="original")
    with pytest.raises(BadSegments, match="0 of 2 segments"):
        read_segments({"a": one, "b": one}, control="nobody")
    with pytest.raises(BadSegments, match="other arms"):
        read_segments({"a": one, "b": {"original": zero_one(5, 90), "neon": zero_one(4, 90)}}, control="original")
