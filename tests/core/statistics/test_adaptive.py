import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_normal, norm, pearson3, ttest_ind

from experiments.core.statistics.adaptive import (
    BadBatches,
    Batches,
    combine_counts,
    count_z,
    looks_after,
    read_batches,
)
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.sequential import Looks, boundaries
from experiments.core.statistics.tables import Outcome

EVEN = Looks.even()


def clicks(y, x):
    """Independent clicks of ``x`` units that each saw one impression."""
    return PairMoments(x, y, x, y, x, y)


def batches_of(y, x):
    """Independent clicks, ``(batches, arms)`` each, as one group."""
    y, x = np.array([y], dtype=float), np.array([x], dtype=float)
    return Batches(x, y, x, y, x, y)


def mappings(y, x):
    return [
        {name: clicks(*each) for name, each in zip("cab", zip(*row, strict=True), strict=False)}
        for row in zip(y, x, strict=True)
    ]


RARE = 10**6
"""Impressions: so many that the dispersion of independent clicks is 1."""
some_batches = st.lists(st.lists(st.integers(0, 60), min_size=3, max_size=3), min_size=1, max_size=6).filter(
    lambda rows: sum(row[0] for row in rows) > 0
)


@given(some_batches)
def test_evenly_split_batches_add_their_scores_as_one_fixed_in_advance_would(rows):
    y = np.array(rows)
    found, _ = count_z(batches_of(y, np.full(y.shape, RARE)), np.full(len(y), 1 / len(y)))
    for arm in (1, 2):
        total = y[:, arm] + y[:, 0]
        scores = np.where(total > 0, (y[:, arm] - y[:, 0]) / np.sqrt(np.maximum(total, 1)), 0)
        assert found[0, arm - 1] == pytest.approx(scores.sum() / np.sqrt(len(y)), rel=1e-4, abs=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.1, 0.3, 0.8]))
def test_a_lopsided_batch_has_the_tail_of_the_gamma_with_its_skewness(arm, control, share):
    x = [[round(RARE * (1 - share)), round(RARE * share)]]
    found = count_z(batches_of([[control, arm]], x), np.ones(1))[0][0, 0]
    spread = np.sqrt((arm + control) * share * (1 - share))
    reference = pearson3((1 - 2 * share) / spread)
    score = (arm - (arm + control) * share) / spread
    tail = min(reference.sf(score), reference.cdf(score))
    if tail > 1e-12:
        expected = norm.isf(reference.sf(score)) if reference.sf(score) < 0.5 else norm.ppf(reference.cdf(score))
        assert found == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_skewness_wears_off_over_batches():
    y, x = [[25, 9], [18, 3], [30, 6]], [[round(RARE * 0.9), round(RARE * 0.1)]] * 3
    planned = np.array([0.5, 0.3, 0.2])
    total = np.sum(y, axis=1)
    spread = np.sqrt(total * 0.09)
    score = np.sqrt(planned) @ ((np.array(y)[:, 1] - total * 0.1) / spread)
    reference = pearson3((planned**1.5 * 0.8 / spread).sum())
    assert count_z(batches_of(y, x), planned)[0][0, 0] == pytest.approx(norm.isf(reference.sf(score)), rel=2e-3)


def test_the_tail_of_one_batch_is_near_the_exact_binomials():
    for arm, control, share in ((25, 45, 0.2), (3, 60, 0.15), (40, 60, 0.3), (2, 15, 0.3)):
        x = [[round(RARE * (1 - share)), round(RARE * share)]]
        found = count_z(batches_of([[control, arm]], x), np.ones(1))[0][0, 0]
        given_total = binom(arm + control, share)
        middle = given_total.sf(arm) + given_total.pmf(arm) / 2
        assert found == pytest.approx(norm.isf(middle), abs=0.12)


def test_a_drifting_base_rate_moves_nothing_though_the_pooled_rates_say_otherwise():
    y = [[100, 20], [40, 160]]
    x = [[50_000, 10_000], [10_000, 40_000]]  # the second batch clicks twice as often, and is mostly shown the arm
    (contrast,) = read_batches(mappings(y, x), control="c")
    assert contrast.z == pytest.approx(0, abs=0.01)
    assert contrast.lift == pytest.approx(0, abs=0.01)
    pooled = (180 / 50_000) / (140 / 60_000) - 1
    assert pooled > 0.5


@settings(max_examples=40)
@given(some_batches, st.sampled_from([0.05, 0.2]))
def test_the_interval_ends_where_the_combined_z_begins_to_reject(rows, alpha):
    y = np.array(rows)
    x = np.tile([3 * RARE, RARE, RARE // 2], (len(y), 1))
    table, fractions = batches_of(y, x), np.full(len(y), 1 / len(y))
    found = combine_counts(table, fractions, alpha=alpha, looks=EVEN)
    called = found.p_adjusted[0] <= alpha
    for arm in range(2):
        low, high = found.low[0, arm], found.high[0, arm]
        assert low <= found.lift[0, arm] <= high
        if abs(found.p_adjusted[0, arm] - alpha) > 1e-6:
            assert called[arm] == (low > 0 or high < 0)
        for end, sign in ((low, 1), (high, -1)):
            if -1 < end < np.inf:
                z = count_z(table, fractions, np.log1p(np.full((1, 2), end)))[0][0, arm]
                bound = norm.isf(alpha / 2)
                assert sign * z >= bound - 1e-6, "jointly, the bound is never below that of one contrast"
                assert sign * z <= norm.isf(alpha / 4) + 1e-6, "nor above Bonferroni's"


def test_without_clicks_an_arm_has_no_lower_end_and_without_the_controls_there_is_no_lift():
    arm, other = read_batches(mappings([[30, 0, 31], [28, 0, 25]], [[9000] * 3] * 2), control="c")
    assert (arm.lift, arm.low) == (-1.0, -1.0)
    assert arm.high < 0
    assert arm.p_adjusted < 1e-6
    assert other.low < 0 < other.high
    (alone,) = read_batches(mappings([[0, 12], [0, 9]], [[9000] * 2] * 2), control="c")
    assert (alone.lift, alone.low, alone.high) == (None, None, None)
    assert alone.p < 1e-4
    nothing = read_batches(mappings([[0, 0]], [[9000] * 2]), control="c")[0]
    assert (nothing.z, nothing.p, nothing.lift) == (0.0, 1.0, None)


def test_values_are_the_batched_least_squares_of_zhang_janson_and_murphy():
    rng = np.random.default_rng(5)
    samples = [[rng.normal(10, 3, n), rng.normal(10.4, 5, m)] for n, m in ((200, 80), (150, 300), (90, 40))]
    planned = [2, 2, 1]
    (found,) = read_batches(
        [
            {name: PairMoments.of([(value, 1) for value in each]) for name, each in zip("ca", batch, strict=True)}
            for batch in samples
        ],
        control="c",
        planned=planned,
    )
    weights = np.sqrt(np.array(planned) / 5)
    welch = np.array([ttest_ind(b, a, equal_var=False).statistic for a, b in samples])
    assert found.z == pytest.approx(weights @ welch, rel=0.03)

    def variances(arm):
        own = np.array([batch[arm].var(ddof=1) for batch in samples])
        units = np.array([len(batch[arm]) for batch in samples])
        typical = np.average(own, weights=units)
        return ((units - 1) * own + 10 * typical) / (units - 1 + 10) / units

    error = np.sqrt(variances(0) + variances(1))
    gap = np.array([b.mean() - a.mean() for a, b in samples])
    assert found.z == pytest.approx((weights * gap / error).sum(), rel=1e-9)
    assert found.lift == pytest.approx((weights * gap / error).sum() / (weights / error).sum(), rel=1e-9)
    half = norm.isf(0.025) / (weights / error).sum()
    assert (found.low, found.high) == pytest.approx((found.lift - half, found.lift + half), rel=1e-6)


def test_an_arm_that_is_absent_forgoes_the_batchs_weight():
    y, x = [[50, 70, 60], [50, 70, 60]], [[9000] * 3] * 2
    both = read_batches(mappings(y, x), control="c")
    batches = mappings(y, x)
    batches[1].pop("a")
    absent, other = read_batches(batches, control="c")
    assert absent.z == pytest.approx(both[0].z / 2, rel=1e-3)
    assert other.z == pytest.approx(both[1].z, rel=1e-3)
    assert (absent.arm, other.arm) == ("a", "b")


def test_the_joint_p_is_that_of_the_largest_of_all_contrasts_and_never_too_small():
    fixed = batches_of([[60, 80, 50], [66, 85, 70]], [[RARE] * 3] * 2)
    found = combine_counts(fixed, np.full(2, 0.5), alpha=0.05, looks=EVEN)
    together = multivariate_normal(cov=[[1, 0.5], [0.5, 1]])
    for z, p in zip(np.abs(found.z[0]), found.p_adjusted[0], strict=True):
        inside = together.cdf([z, z], lower_limit=[-z, -z])
        assert p == pytest.approx(1 - inside, abs=1e-5)
    shares = np.array([[0.3, 0.35, 0.3, 0.05], [0.5, 0.05, 0.05, 0.4], [0.3, 0.1, 0.3, 0.3]])
    moving = batches_of(np.full((3, 4), 40), shares * RARE)
    fractions = np.array([0.2, 0.3, 0.5])
    _, product = count_z(moving, fractions)
    control = 1 / shares[:, :1]
    each = np.sqrt(control / (control + 1 / shares[:, 1:]))
    correlation = (fractions[:, None, None] * each[:, :, None] * each[:, None, :]).sum(axis=0)
    outer = product[0][:, None] * product[0][None, :]
    assert (outer <= correlation + 1e-12).all()
    assert np.max(outer / correlation) == pytest.approx(1)
    assert np.min(outer / correlation) > 0.7


def test_judged_as_they_come_batches_have_exact_information():
    looks = looks_after([1, 1, 2], [1, 3], looks=2)
    assert looks.information == (0.25, 1.0)
    assert looks.last
    first = looks_after([1, 1, 2], [1], looks=2)
    assert not first.last
    y, x = [[20, 42], [30, 41], [66, 80]], [[9000] * 2] * 3
    early = read_batches(mappings(y, x)[:1], control="c", planned=[1, 1, 2], looks=first)[0]
    assert early.p < 0.05 < early.p_adjusted
    assert (early.low > 0) == (early.z > boundaries(0.025, first)[-1])
    assert early.z == read_batches(mappings(y, x)[:1], control="c")[0].z, "z is standard normal at every look"


def test_dispersed_clicks_are_worth_less():
    y, x = [[40, 70], [45, 60]], [[9000] * 2] * 2
    double = [
        {name: PairMoments(each.units, each.y, each.x, 2 * each.yy, each.xx, each.xy) for name, each in batch.items()}
        for batch in mappings(y, x)
    ]
    once, twice = read_batches(mappings(y, x), control="c")[0], read_batches(double, control="c")[0]
    assert twice.z == pytest.approx(once.z / np.sqrt(2), rel=0.02)
    assert twice.low < once.low


def test_the_ends_of_the_number_line_hold():
    zs = []
    for clicked in range(1_000_000, 1_200_000, 2000):
        x = [[10**9, 10**8]] * 2
        zs.append(count_z(batches_of([[10**7, clicked]] * 2, x), np.full(2, 0.5))[0][0, 0])
    assert zs[0] == pytest.approx(0, abs=1e-3)
    assert zs[-1] > 150
    assert (np.diff(zs) > 0).all(), "the likelihood root goes on where the tail underflows"
    (one,) = read_batches(mappings([[1, 0]], [[1, 1]]), control="c", outcome=Outcome.COUNT)
    assert -1 <= one.z <= 0
    money = 10**12
    batch = {
        name: PairMoments.of([(money * value, 1) for value in values])
        for name, values in (("c", (0, 1, 0, 2)), ("a", (1, 1, 3, 2)))
    }
    (rich,) = read_batches([batch, batch], control="c", outcome=Outcome.VALUE)
    assert rich.lift == pytest.approx(money)
    lonely = {"c": PairMoments.of([(1.5, 1)]), "a": PairMoments.of([(2.5, 1)])}
    (unknown,) = read_batches([lonely], control="c")
    assert (unknown.z, unknown.lift, unknown.low) == (0.0, None, None)


def test_batches_that_cannot_be_combined_are_refused():
    batch = {"c": clicks(3, 90), "a": clicks(4, 90)}
    for wrong, told in (([], "no units"), ([{"a": clicks(1, 9)}], "no units"), ([{"c": clicks(1, 9)}], "no arm")):
        with pytest.raises(BadBatches, match=told):
            read_batches(wrong, control="c")
    with pytest.raises(BadBatches, match="2 batches were planned and 3"):
        read_batches([batch] * 3, control="c", planned=[1, 1])
    with pytest.raises(BadBatches, match="positive"):
        read_batches([batch], control="c", planned=[0])
    with pytest.raises(BadBatches, match="batch 2: the moments of 'a'"):
        read_batches([batch, batch | {"a": PairMoments(9, float("nan"), 9, 1, 9, 1)}], control="c")
    for judged in ([], [0], [4]):
        with pytest.raises(BadBatches, match="batches 1 to 3"):
            looks_after([1, 1, 1], judged, 2)
