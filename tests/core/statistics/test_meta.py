import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal, norm, t
from statsmodels.stats.meta_analysis import combine_effects

from experiments.core.errors import ExperimentError
from experiments.core.statistics.meta import (
    GRAND_SPREAD,
    OWN_SCALE,
    SCALE,
    Cell,
    Entry,
    entry_of,
    mixture_quantile,
    pool,
    random_effects,
)
from experiments.core.statistics.moments import PairMoments

# Thirteen trials of the BCG vaccine (G. A. Colditz et al., JAMA 271, 1994): cases and persons, vaccinated and not. The
# results are those of W. Viechtbauer, Journal of Statistical Software 36 (2010), and of metafor's manual.
BCG = np.array([
    (4, 123, 11, 139), (6, 306, 29, 303), (3, 231, 11, 220), (62, 13598, 248, 12867), (33, 5069, 47, 5808),
    (180, 1541, 372, 1451), (8, 2545, 10, 629), (505, 88391, 499, 88391), (29, 7499, 45, 7277), (17, 1716, 65, 1665),
    (186, 50634, 141, 27338), (5, 2498, 3, 2341), (27, 16913, 29, 17854),
], dtype=float)  # fmt: skip
LOG_RATIO = np.log(BCG[:, 0] / BCG[:, 1]) - np.log(BCG[:, 2] / BCG[:, 3])
VARIANCE = 1 / BCG[:, 0] - 1 / BCG[:, 1] + 1 / BCG[:, 2] - 1 / BCG[:, 3]


# --- one style alone --------------------------------------------------------------------------------------------------


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


# --- every style at once ----------------------------------------------------------------------------------------------

MANY = 1e7
"""Clicks an arm at which a likelihood is as good as quadratic, so that plain logs are an independent reading."""


def entry(name, lifts, *, clicks=MANY, product=None, segment=None):
    """An experiment whose observed log lifts are exactly ``lifts``."""
    y = (clicks, *(clicks * np.exp(lift) for lift in lifts.values()))
    return Entry(name, product or name, tuple(lifts), y, (clicks * 30,) * len(y), segment)


def dense(entries, wanted, *, scale=SCALE, grand=GRAND_SPREAD, nodes=50, widest=0.6, segmented=False):
    """The posterior of latent log lifts by brute force: dense covariances, a plain grid over standard deviations.

    ``wanted``: (style, segment, product) each; product None is the mean over products.
    """
    rows, lifts, own, baseline = [], [], [], []
    for number, each in enumerate(entries):
        for at, style in enumerate(each.styles):
            rows.append((style, each.segment, each.product))
            lifts.append(np.log(each.y[at + 1] / each.x[at + 1]) - np.log(each.y[0] / each.x[0]))
            own.append(1 / each.y[at + 1])
            baseline.append((number, 1 / each.y[0]))
    noise = np.diag(own) + np.array([[a[1] * (a[0] == b[0]) for b in baseline] for a in baseline])
    both = [*rows, *wanted]

    def together(rule):
        return np.array([[float(rule(a, b)) for b in both] for a in both])

    style = together(lambda a, b: a[0] == b[0])
    segment = together(lambda a, b: a[0] == b[0] and a[1] is not None and a[1] == b[1])
    product = together(lambda a, b: (a[2] is not None and a[2] == b[2]) * (1 + (a[0] == b[0])) / 2)
    axis = (np.arange(nodes) + 0.5) / nodes * widest
    count, total = len(rows), []
    for tau in axis:
        for omega in axis:
            for sigma in axis if segmented else (0.0,):
                latent = grand**2 + omega**2 * style + sigma**2 * segment + tau**2 * product
                observed = latent[:count, :count] + noise
                gain = np.linalg.solve(observed, latent[:count, count:]).T
                mean = gain @ np.array(lifts)
                variance = np.diag(latent[count:, count:] - gain @ latent[:count, count:])
                log = multivariate_normal(np.zeros(count), observed, allow_singular=True).logpdf(lifts)
                log -= (tau**2 + omega**2 + sigma**2) / (2 * scale**2)
                total.append((log, mean, variance, tau))
    logs = np.array([each[0] for each in total])
    weights = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    means, variances = (np.array([each[at] for each in total]) for at in (1, 2))
    mean = weights @ means
    return mean, weights @ (variances + np.square(means - mean)), weights @ np.array([each[3] for each in total])


def moments_of(pooled, style, segment=None):
    at = pooled.index(style, segment)
    mean = pooled.weights @ pooled.means[:, at]
    return mean, pooled.weights @ (pooled.covariances[:, at, at] + np.square(pooled.means[:, at] - mean))


SMALL = [
    entry("e1", {"ink": 0.22, "neon": -0.05, "riso": 0.1}, clicks=400.0),
    entry("e2", {"ink": 0.3, "neon": 0.02}, clicks=900.0),
    entry("e3", {"pastel": -0.2, "ink": 0.15}, clicks=600.0),
    entry("e4", {"ink": 0.25, "pastel": -0.1}, clicks=500.0, product="e3"),
]


def test_the_posterior_is_that_of_brute_force():
    entries = [
        entry("e1", {"ink": 0.22, "neon": -0.05, "riso": 0.1}, clicks=2e4),
        entry("e2", {"ink": 0.3, "neon": 0.02}, clicks=4e4),
        entry("e3", {"pastel": -0.2, "ink": 0.15}, clicks=3e4),
        entry("e4", {"ink": 0.25, "pastel": -0.1}, clicks=2e4, product="e3"),
    ]
    styles = ("ink", "neon", "riso", "pastel", "never seen")
    mean, variance, tau = dense(entries, [(style, None, None) for style in styles])
    pooled = pool(entries)
    assert pooled.tau == pytest.approx(tau, rel=0.01)
    for at, style in enumerate(styles):
        assert moments_of(pooled, style) == pytest.approx((mean[at], variance[at]), rel=0.02, abs=1e-3)
    means, covariances = pooled.on_product(None, ["ink"])
    _, low, high = pooled.interval(means[:, 0], covariances[:, 0, 0])
    known = pooled.style("ink")
    assert (known.next_low, known.next_high) == pytest.approx((low, high))
    assert known.next_low < known.low - 0.02
    assert known.experiments == 4
    assert pooled.style("never seen").experiments == 0


def test_a_product_that_was_tested_counts_for_itself():
    entries = [
        entry("e1", {"ink": 0.02, "neon": -0.2}, clicks=3e4),
        entry("e2", {"ink": 0.31, "riso": 0.2}, clicks=5e4),
        entry("e3", {"riso": 0.05, "neon": -0.1}, clicks=2e4),
    ]
    wanted = [("ink", "e2"), ("neon", "e2"), ("never seen", "e2"), ("ink", "another product")]
    mean, variance, _ = dense(entries, [(style, None, product) for style, product in wanted])
    pooled = pool(entries)
    for at, (style, product) in enumerate(wanted):
        means, covariances = pooled.on_product(product, [style])
        found = pooled.weights @ means[:, 0]
        spread = pooled.weights @ (covariances[:, 0, 0] + np.square(means[:, 0] - found))
        assert (found, spread) == pytest.approx((mean[at], variance[at]), rel=0.02, abs=1e-3)


def test_two_styles_on_one_product_vary_together_as_brute_force_says():
    entries = [entry("e1", {"ink": 0.02, "neon": -0.2}, clicks=3e4), entry("e2", {"ink": 0.31}, clicks=5e4)]
    pooled = pool(entries)
    names = ["ink", "neon", "new one", "new two"]
    _, joint = pooled.on_product("e1", names)
    at = np.argmax(pooled.weights)
    tau2, omega2 = pooled.tau2[at], pooled.omega2[at]
    rows = [("ink", "e1"), ("neon", "e1"), ("ink", "e2"), *((name, "e1") for name in names)]
    latent = np.array([
        [GRAND_SPREAD**2 + omega2 * (a[0] == b[0]) + tau2 * (a[1] == b[1]) * (1 + (a[0] == b[0])) / 2 for b in rows]
        for a in rows
    ])  # fmt: skip
    noise = np.diag([np.exp(-0.02) / 3e4, np.exp(0.2) / 3e4, np.exp(-0.31) / 5e4])
    noise[:2, :2] += 1 / 3e4
    noise[2, 2] += 1 / 5e4
    left = latent[3:, 3:] - latent[3:, :3] @ np.linalg.solve(latent[:3, :3] + noise, latent[:3, 3:])
    assert joint[at] == pytest.approx(left, rel=1e-3, abs=1e-6)


def test_segments_are_a_level_of_their_own_as_brute_force_says():
    entries = [
        entry("e1", {"ink": 0.3, "neon": 0.0}, clicks=3e4, segment="phone"),
        entry("e1", {"ink": -0.1, "neon": 0.02}, clicks=2e4, segment="desk"),
        entry("e2", {"ink": 0.25}, clicks=3e4, segment="phone"),
        entry("e2", {"ink": -0.05}, clicks=4e4, segment="desk"),
    ]
    wanted = [("ink", "phone"), ("ink", "desk"), ("ink", None), ("neon", "desk"), ("never seen", None)]
    mean, variance, _ = dense(entries, [(*each, None) for each in wanted], nodes=16, widest=0.55, segmented=True)
    pooled = pool(entries)
    for at, each in enumerate(wanted):
        assert moments_of(pooled, *each) == pytest.approx((mean[at], variance[at]), rel=0.05, abs=2e-3)
    assert pooled.style("ink", "phone").low > pooled.style("ink", "desk").expected
    assert pooled.segment_spread > 0.05
    assert pooled.style("ink").experiments == pooled.style("ink", "phone").experiments == 2
    with pytest.raises(ExperimentError, match="neon was never shown in segment 'tv'"):
        pooled.style("neon", "tv")


def test_a_style_seen_once_borrows_from_the_others_how_much_products_differ():
    once = entry("last", {"ink": 0.2})
    alike = pool([*(entry(f"e{n}", {"neon": 0.1}) for n in range(8)), once])
    apart = pool([*(entry(f"e{n}", {"neon": 0.1 + 0.3 * (-1) ** n}) for n in range(8)), once])
    narrow, wide = (each.style("ink").high - each.style("ink").low for each in (alike, apart))
    assert apart.tau > 4 * alike.tau
    assert wide > 2 * narrow


def test_an_average_of_zero_pulls_and_more_clicks_pull_back():
    drawn = [pool([entry("e", {"ink": 0.5}, clicks=clicks)]).style("ink").expected for clicks in (5.0, 50.0, 5e3)]
    assert 0 < drawn[0] < drawn[1] < drawn[2] < np.expm1(0.5)


def test_an_arm_without_clicks_is_evidence_and_more_so_the_more_it_was_shown():
    def reading(shown):
        pooled = pool([Entry("e", "e", ("ink",), (20.0, 0.0), (1000.0, shown))])
        return pooled.style("ink")

    few, many = reading(100.0), reading(2000.0)
    assert -1 < many.expected < few.expected < 0
    assert many.probability_better < few.probability_better < 0.5
    nothing = pool([Entry("e", "e", ("ink",), (0.0, 3.0), (1000.0, 1000.0))]).style("ink")
    assert np.isfinite([nothing.low, nothing.high]).all()
    assert nothing.expected > 0


def few_clicks(rng, experiments, lift, clicks):
    shares = np.exp(rng.normal(0, 0.5, experiments)) * clicks
    return [
        Entry(f"e{n}", f"e{n}", ("ink",), (float(a), float(b)), (1e4, 1e4))
        for n, (a, b) in enumerate(zip(rng.poisson(shares), rng.poisson(shares * np.exp(lift)), strict=True))
        if a + b
    ]


def test_few_clicks_in_many_experiments_do_not_bias_the_mean():
    lift = 0.3
    entries = few_clicks(np.random.default_rng(11), 1500, lift, clicks=4)
    pooled = pool(entries)
    mean, variance = moments_of(pooled, "ink")
    assert np.sqrt(variance) < 0.03
    assert abs(mean - lift) < 3.5 * np.sqrt(variance)
    own = np.array([[each[0] for each in entry.contrasts()] for entry in entries]).T
    fair = random_effects(*own)
    assert abs(fair.mean[0] - lift) < 3.5 * fair.standard_error[0] < 0.06
    counts = np.array([entry.y for entry in entries]) + 0.5
    lucky = random_effects(own[0], (1 / counts).sum(1))
    assert abs(lucky.mean[0] - lift) > 0.04, "weighting by an arm's own luck must be seen to bias"


def test_the_order_of_experiments_and_the_size_of_denominators_do_not_matter():
    plain, turned = pool(SMALL), pool(SMALL[::-1])
    other = pool([
        Entry(each.experiment, each.product, each.styles, each.y, tuple(x / 50 for x in each.x)) for each in SMALL
    ])  # fmt: skip
    for found in (turned, other):
        for style in ("ink", "neon", "riso", "pastel", "never seen"):
            assert moments_of(found, style) == pytest.approx(moments_of(plain, style), rel=1e-6, abs=1e-9)


def test_numbers_hold_at_the_ends():
    ends = [
        Entry("huge", "huge", ("ink", "neon"), (3e7, 3.3e7, 2.9e7), (1e9, 1e9, 1e9)),
        Entry("one click", "one click", ("ink",), (0.0, 1.0), (1e9, 1e9)),
        Entry("money", "money", ("ink",), (4e18 / 2e12, 4e18 / 2e12), (3e6 / 2e12, 3e6 / 2e12)),
        Entry("equal", "equal", ("riso",), (5e10, 5e10), (1e12, 1e12)),
        Entry("apart", "apart", ("riso",), (1.0, 1e6), (1e7, 1e7)),
    ]
    pooled = pool(ends)
    for cell in (*pooled.cells, Cell("never seen")):
        found = pooled.style(cell.style)
        assert -1 <= found.next_low <= found.low <= found.expected <= found.high <= found.next_high < np.inf
    assert pooled.style("ink").probability_better > 0.5


def test_nothing_to_pool_is_said():
    with pytest.raises(ExperimentError, match="no experiment has evidence"):
        pool([])


def test_the_same_evidence_twice_is_refused():
    with pytest.raises(ExperimentError, match="given twice"):
        pool([entry("e", {"ink": 0.1}), entry("e", {"neon": 0.1})])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"y": (1.0, 2.0)}, "control and then for each style"),
        ({"styles": ()}, "at least one"),
        ({"styles": ("ink", "ink")}, "merge the arms"),
        ({"y": (1.0, np.nan, 2.0)}, "finite"),
        ({"y": (0.0, 0.0, 0.0)}, "above 0"),
        ({"y": (1.0, -1.0, 2.0)}, "0 or more"),
        ({"x": (1.0, 0.0, 2.0)}, "denominators"),
    ],
)
def test_an_entry_that_has_no_lift_is_refused(changed, says):
    good = {
        "experiment": "spring", "product": "spring", "styles": ("ink", "neon"), "y": (3.0, 1.0, 2.0),
        "x": (9.0, 9.0, 9.0), "segment": "phone",
    }  # fmt: skip
    Entry(**good)
    with pytest.raises(ExperimentError, match=f"spring, segment phone.*{says}"):
        Entry(**(good | changed))


# --- from moments -----------------------------------------------------------------------------------------------------


def people(rng, count, rate):
    shown = rng.poisson(1, count) + 1
    return PairMoments.of(zip(rng.binomial(shown, rate).tolist(), shown.tolist(), strict=True))


def test_an_entry_is_the_counts_and_their_dispersion():
    rng = np.random.default_rng(2)
    arms = {"ink#1": people(rng, 5000, 0.05), "original": people(rng, 5000, 0.04), "neon#2": people(rng, 5000, 0.03)}
    found = entry_of("spring", "cup", arms, "original")
    assert found.styles == ("ink#1", "neon#2")
    sums = np.array([(arms[name].y, arms[name].x) for name in ("original", "ink#1", "neon#2")], dtype=float)
    dispersion = sums[0, 0] / found.y[0]
    assert dispersion == pytest.approx(1 - 0.04, abs=0.05)
    assert (found.y, found.x) == (pytest.approx(sums[:, 0] / dispersion), pytest.approx(sums[:, 1] / dispersion))
    lifts, variances = found.contrasts()
    assert lifts[0] == pytest.approx(np.log(found.y[1] / found.x[1] * found.x[0] / found.y[0]), abs=0.01)
    assert variances[0] == pytest.approx(1 / found.y[0] + 1 / found.y[1], rel=0.05)


def test_moments_that_say_nothing_give_no_entry():
    rng = np.random.default_rng(2)
    good, never, silent = people(rng, 500, 0.1), PairMoments(), PairMoments(500, 0, 700, 0, 1100, 0)
    loss = PairMoments(500, -20, 500, 900, 500, -20)
    assert entry_of("e", "p", {"original": good, "ink": good}, "original") is not None
    assert entry_of("e", "p", {"original": never, "ink": good}, "original") is None
    assert entry_of("e", "p", {"ink": good}, "original") is None
    assert entry_of("e", "p", {"original": good, "ink": never}, "original") is None
    assert entry_of("e", "p", {"original": silent, "ink": silent}, "original") is None
    assert entry_of("e", "p", {"original": good, "ink": loss}, "original") is None
    money = {"original": PairMoments(500, 10**12, 500, 10**22, 500, 10**12)} | {"ink": good}
    assert entry_of("e", "p", money, "original").y[0] > 0
    one = PairMoments.of([(1, 2)])
    assert entry_of("e", "p", {"original": one, "ink": one}, "original") is None
    assert entry_of("e", "p", {"original": good, "ink": silent}, "original").y[1] == 0
