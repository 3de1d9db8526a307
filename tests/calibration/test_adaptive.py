"""Worlds in which the shares follow the evidence: what the combined batches say, and what pooling them would have."""

import numpy as np
import pytest
from scipy.stats import binomtest

from experiments.core.statistics import rates
from experiments.core.statistics.adaptive import Batches, combine_counts, combine_values, count_z, looks_after
from experiments.core.statistics.allocation import allocate_means, allocate_rates
from experiments.core.statistics.dunnett import critical_value, shared_variance
from experiments.core.statistics.sequential import Looks, boundary

pytestmark = pytest.mark.calibration

BATCHES = 10
EVEN = np.full(BATCHES, 1 / BATCHES)
RARITY = 200
"""Impressions a click."""
GEOMETRIC = 2 / 2.65


def adaptive_worlds(rng, worlds, arms, clicks, *, lifts=(), clustered=False, drift=0.0, adapt=True):
    """``clicks`` an arm on average over all batches, were they shared equally; the base rate drifts by +- ``drift``."""
    ratio = np.ones(arms)
    ratio[1 : len(lifts) + 1] += lifts
    sizes = np.arange(1, 12)
    chances = GEOMETRIC * (1 - GEOMETRIC) ** (sizes - 1) if clustered else (sizes == 1) * 1.0
    units = clicks * arms / BATCHES * RARITY
    y, yy, x = np.zeros((3, worlds, BATCHES, arms))
    shares = np.full((worlds, arms), 1 / arms)
    phi = np.full((worlds, arms), 1.65 if clustered else 1.0)
    for batch in range(BATCHES):
        if adapt and batch:
            shares = allocate_rates(y.sum(axis=1), x.sum(axis=1), phi)
        x[:, batch] = units * shares
        rate = ratio / RARITY * (1 + drift * (2 * batch / (BATCHES - 1) - 1))
        for size, chance in zip(sizes, chances / (chances @ sizes), strict=True):
            people = rng.poisson(x[:, batch] * rate * chance)
            y[:, batch] += size * people
            yy[:, batch] += size**2 * people
    return Batches(x, y, x, yy, x, y)


def combined(table):
    """z, and the bound of each contrast."""
    z, shared = count_z(table, EVEN)
    return z, critical_value(0.05, shared)[:, None]


def pooled(table):
    """The same of all batches as if they were one."""
    y, x, yy = (each.sum(axis=1) for each in (table.y, table.x, table.yy))
    phi = rates.dispersions(y, x, yy, y, x, x)[0]
    z = rates.signed_z(y[:, 1:], x[:, 1:], phi[:, 1:], y[:, :1], x[:, :1], phi[:, :1])
    return z, critical_value(0.05, shared_variance(phi[:, :1] / x[:, :1], phi[:, 1:] / x[:, 1:]))[:, None]


def tails(reading, arms=slice(None)):
    z, bound = reading
    return (z >= bound)[:, arms].any(axis=1), (z <= -bound)[:, arms].any(axis=1)


def at_most(hits, limit):
    return binomtest(int(hits.sum()), len(hits), limit, alternative="greater").pvalue > 1e-3


CELLS = [
    (5, 10, 500, True, 0.6), (5, 50, 800, False, 0.0), (5, 50, 800, True, 0.6), (5, 1000, 1200, True, 0.0),
    (5, 1000, 1200, False, 0.6), (12, 50, 480, True, 0.6), (12, 1000, 200, True, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("arms", "clicks", "worlds", "clustered", "drift"), CELLS)
def test_each_tail_keeps_its_level_under_adaptation(arms, clicks, worlds, clustered, drift):
    rng = np.random.default_rng([arms, clicks, worlds, clustered, round(10 * drift)])
    table = adaptive_worlds(rng, worlds, arms, clicks, clustered=clustered, drift=drift)
    better, worse = tails(combined(table))
    naive_better, naive_worse = tails(pooled(table))
    mean, naive_mean = (reading(table)[0].mean() for reading in (combined, pooled))
    print(f"combined {better.mean():.4f} {worse.mean():.4f}, mean z {mean:+.3f};", end=" ")
    print(f"pooled {naive_better.mean():.4f} {naive_worse.mean():.4f}, mean z {naive_mean:+.3f}")
    assert at_most(better, 0.0275)
    assert at_most(worse, 0.0275)
    assert abs(mean) < 0.08
    assert naive_mean < -0.12, "pooled, arms that are as good look worse: bad luck is never made up for"
    if drift and clicks >= 50:
        assert naive_worse.mean() > 0.08, "and where the base rate drifts they are called worse"


def test_the_better_arm_is_found_more_often_than_at_equal_shares_and_its_equals_are_not():
    lifts = (0.7,)
    adapted = adaptive_worlds(np.random.default_rng(1), 500, 5, 50, lifts=lifts)
    equal = adaptive_worlds(np.random.default_rng(2), 2000, 5, 50, lifts=lifts, adapt=False)
    power, equal_power = (tails(combined(table), slice(0, 1))[0].mean() for table in (adapted, equal))
    false_better, false_worse = tails(combined(adapted), slice(1, None))
    print(f"power {power:.3f}, at equal shares {equal_power:.3f}; others {false_better.mean()}, {false_worse.mean()}")
    assert power > equal_power + 0.1
    assert at_most(false_better, 0.0275)
    assert at_most(false_worse, 0.0275)
    fixed = tails(pooled(equal), slice(0, 1))[0].mean()
    assert equal_power > 0.95 * fixed, "where nothing adapts, combining batches costs next to nothing"


def test_intervals_hold_all_true_lifts_at_once_and_the_estimate_is_in_the_middle():
    lifts = np.array([0.5, -0.3, 0.0, 0.0])
    table = adaptive_worlds(np.random.default_rng(3), 400, 5, 100, lifts=lifts, clustered=True, drift=0.4)
    found = combine_counts(table, EVEN, alpha=0.05, looks=Looks.even())
    missed = ((found.low > lifts) | (found.high < lifts)).any(axis=1)
    above = (found.lift > lifts).mean(axis=0)
    print(f"not all held: {missed.mean():.4f}; estimates above the truth: {np.round(above, 3)}")
    assert at_most(missed, 0.055)
    assert above == pytest.approx([0.5] * 4, abs=0.09)


def test_judged_as_they_come_the_batches_keep_alpha_over_all_looks():
    table = adaptive_worlds(np.random.default_rng(4), 1200, 5, 200)
    judged = [2, 4, 6, 8, 10]
    better, worse = np.zeros((2, 1200), dtype=bool)
    for number in range(1, len(judged) + 1):
        last = judged[number - 1]
        sofar = Batches(*(getattr(table, field)[:, :last] for field in ("units", "y", "x", "yy", "xx", "xy")))
        z, shared = count_z(sofar, EVEN[:last])
        bound = boundary(critical_value(0.05, shared), looks_after([1] * BATCHES, judged[:number], 5))[:, None]
        better |= (z >= bound).any(axis=1)
        worse |= (z <= -bound).any(axis=1)
    print(f"five looks: better {better.mean():.4f}, worse {worse.mean():.4f}")
    assert better.mean() > 0.012
    assert at_most(better, 0.0275)
    assert at_most(worse, 0.0275)


@pytest.mark.parametrize(("people", "worlds"), [(2000, 1500), (300, 1500)])
def test_values_keep_their_level_under_adaptation(people, worlds):
    """With 300 people a batch, a starved arm has six of them."""
    rng = np.random.default_rng(people)
    arms = 5
    sums = {field: np.zeros((worlds, BATCHES, arms)) for field in ("units", "y", "yy")}
    shares = np.full((worlds, arms), 1 / arms)
    for batch in range(BATCHES):
        if batch:
            units, y, yy = (sums[field].sum(axis=1) for field in ("units", "y", "yy"))
            shares = allocate_means(y / units, (yy - y**2 / units) / (units - 1), units)
        units = np.floor(people * shares)
        # means and variances of normal values: no need to draw each of them
        mean = rng.normal(5.0, 3.0 / np.sqrt(units))
        spread = 9.0 * rng.chisquare(units - 1)
        sums["units"][:, batch], sums["y"][:, batch] = units, units * mean
        sums["yy"][:, batch] = spread + units * mean**2
    units, y, yy = sums["units"], sums["y"], sums["yy"]
    table = Batches(units, y, units, yy, units, y)
    found = combine_values(table, EVEN, alpha=0.05, looks=Looks.even())
    called = found.p_adjusted <= 0.05
    better, worse = ((called & (sign * found.z > 0)).any(axis=1) for sign in (1, -1))
    pooled_gap = (
        y[:, :, 1:].sum(axis=1) / units[:, :, 1:].sum(axis=1)
        - (y[:, :, 0].sum(axis=1) / units[:, :, 0].sum(axis=1))[:, None]
    )
    print(f"values: better {better.mean():.4f}, worse {worse.mean():.4f}; pooled gap {pooled_gap.mean():+.4f}")
    assert at_most(better, 0.0275)
    assert at_most(worse, 0.0275)
    assert pooled_gap.mean() < -0.005 < abs(found.lift.mean()) + 0.005
