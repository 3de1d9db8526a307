import numpy as np
import pytest
from scipy.stats import multivariate_normal

from experiments.core.errors import ExperimentError
from experiments.core.statistics.meta import random_effects
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.pooled import Cell
from experiments.core.statistics.pooling import GRAND_SPREAD, SCALE, Entry, entry_of, pool

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
