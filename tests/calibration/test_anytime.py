"""Anytime-valid boundaries on clicks that do come in: looked at every day, or after each hundredth of the plan."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from experiments.core.statistics import rates
from experiments.core.statistics.anytime import START, Tuning, boundary, count_information

pytestmark = pytest.mark.calibration

DAYS, HUNDREDTHS = 28, 100
RARITY = 200_000
"""Impressions a click."""
GEOMETRIC = 2 / 2.65
"""Of the clicks that one person makes: their variance is 1.65 times that of independent ones."""


@dataclass(frozen=True)
class Clicks:
    """Sums to date, ``(worlds, looks, arms)``, the control first."""

    y: np.ndarray
    yy: np.ndarray
    x: np.ndarray

    @property
    def dispersion(self):
        """Pooled over arms, of units that click so rarely that their denominator's spread does not matter."""
        return rates.dispersions(self.y, self.x, self.yy, self.y, self.x, self.x)[0]


def shares_of(arms, control):
    return np.array([control, *[1.0] * (arms - 1)]) / (control + arms - 1)


def arrivals(rng, worlds, looks, clicks, shares, *, clustered):
    """People come once and click once, or a geometric number of times; ``clicks`` an arm on average in the end."""
    sizes = np.arange(1, 12)
    chances = GEOMETRIC * (1 - GEOMETRIC) ** (sizes - 1) if clustered else (sizes == 1) * 1.0
    expected = clicks * len(shares) * shares / looks
    y, yy = np.zeros((2, worlds, looks, len(shares)))
    for size, chance in zip(sizes, chances / (chances @ sizes), strict=True):
        people = rng.poisson(np.broadcast_to(expected * chance, y.shape))
        y, yy = y + size * people, yy + size**2 * people
    x = np.broadcast_to(expected * RARITY * np.arange(1, looks + 1)[:, None], y.shape)
    return Clicks(y.cumsum(axis=1), yy.cumsum(axis=1), x)


def returning(rng, worlds, looks, clicks, arms):
    """People differ in appetite and come on any day: to date, dispersion rises from 1 to 1.65."""
    theta = 1 - 1 / 1.65  # a gamma of appetites, most of which never click: clickers' clicks are a logarithmic series
    mean = -theta / ((1 - theta) * np.log1p(-theta))
    clickers = rng.poisson(clicks / mean, worlds * arms)
    of_each = rng.logseries(theta, clickers.sum())
    person = np.repeat(np.arange(len(of_each)), of_each)
    group = np.repeat(np.repeat(np.arange(worlds * arms), clickers), of_each)
    day = rng.integers(looks, size=len(person))
    order = np.lexsort((day, person))
    person, day, group = person[order], day[order], group[order]
    place = np.arange(len(person))
    first = np.maximum.accumulate(np.where(np.diff(person, prepend=-1) != 0, place, 0))
    cell = group * looks + day

    def to_date(weights):
        found = np.bincount(cell, weights=weights, minlength=worlds * arms * looks)
        return found.reshape(worlds, arms, looks).swapaxes(1, 2).cumsum(axis=1)

    y = to_date(np.ones(len(cell)))
    x = np.broadcast_to(np.arange(1, looks + 1)[:, None] * clicks * RARITY / looks, y.shape)
    return Clicks(y, to_date(2.0 * (place - first) + 1), x)


def planned_information(clicks, shares, dispersion):
    """Of an arm with one share against the control."""
    return clicks * len(shares) * shares[1] * shares[0] / (shares[1] + shares[0]) / dispersion


def mid_p(found, phi, near):
    def of(each):
        return np.broadcast_to(each, near.shape)[near]

    z = np.zeros(near.shape)
    arm, control = (..., slice(1, None)), (..., slice(0, 1))
    z[near] = rates.signed_z(*(of(each[side]) for side in (arm, control) for each in (found.y, found.x, phi)))
    return z


def called(found, *tunings):
    """Which worlds ever call any arm better, and worse, by each tuning.

    The first bound is the lowest; the exact z is only taken where it can be near it.
    """
    phi = found.dispersion
    bounds = [boundary(count_information(found.y, found.x, phi), tuning) for tuning in tunings]
    clicks, exposure = found.y / phi, found.x / phi
    root = rates.signed_root(clicks[..., 1:], exposure[..., 1:], clicks[..., :1], exposure[..., :1])
    z = mid_p(found, phi, np.abs(root) > 0.8 * bounds[0])
    return [((z >= bound).any(axis=(1, 2)), (z <= -bound).any(axis=(1, 2))) for bound in bounds]


def at_most(hits, limit):
    """Whether a rate of errors is compatible with at most ``limit``."""
    return binomtest(int(hits.sum()), len(hits), limit, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize(("looks", "clustered"), [(DAYS, True), (HUNDREDTHS, False), (HUNDREDTHS, True)])
@pytest.mark.parametrize("clicks", [10, 50, 1000])
@pytest.mark.parametrize(("arms", "control"), [(2, 1), (5, 3), (12, 1)])
def test_no_tail_is_ever_above_half_of_alpha(arms, control, clicks, clustered, looks):
    rng = np.random.default_rng([arms, control, clicks, clustered, looks])
    shares = shares_of(arms, control)
    found = arrivals(rng, 3000 // arms, looks, clicks, shares, clustered=clustered)
    planned = planned_information(clicks, shares, 1.65 if clustered else 1.0)
    tunings = [Tuning(planned, contrasts=arms - 1, start=start) for start in (0.0, min(START, planned))]
    for better, worse in called(found, *tunings):
        print(f"better {better.mean():.4f}, worse {worse.mean():.4f}", end="; ")
        assert at_most(better, 0.025)
        assert at_most(worse, 0.025)


@pytest.mark.parametrize(("clicks", "worlds"), [(10, 4000), (50, 2000), (300, 400)])
def test_people_who_return_raise_dispersion_and_no_error(clicks, worlds):
    found = returning(np.random.default_rng(clicks), worlds, DAYS, clicks, 2)
    early, late = (found.yy[:, look].sum() / found.y[:, look].sum() for look in (0, -1))
    assert early < 1.1
    assert late == pytest.approx(1.65, abs=0.05)
    [(better, worse)] = called(found, Tuning(planned_information(clicks, shares_of(2, 1), 1.65)))
    print(f"better {better.mean():.4f}, worse {worse.mean():.4f}")
    assert at_most(better, 0.025)
    assert at_most(worse, 0.025)


def test_whoever_peeks_without_it_is_fooled():
    shares = shares_of(5, 1)
    found = arrivals(np.random.default_rng(1), 500, DAYS, 50, shares, clustered=False)
    z = mid_p(found, found.dispersion, np.ones((500, DAYS, 4), dtype=bool))
    peeked = (z >= norm.isf(0.025)).any(axis=(1, 2)).mean()
    print(f"any arm better on any day at p < 0.05: {peeked:.3f}")
    assert peeked > 0.25


def test_a_variance_from_few_clicks_needs_the_start():
    """Wald's z, each arm's variance from its own clicks: why a start is offered, and why `rates` does not need it."""
    shares = shares_of(5, 3)
    found = arrivals(np.random.default_rng(2), 2000, HUNDREDTHS, 10, shares, clustered=False)
    phi = found.dispersion
    spread = phi * found.y / found.x**2
    both = spread[..., 1:] + spread[..., :1]
    rate = found.y / found.x
    z = np.divide(rate[..., 1:] - rate[..., :1], np.sqrt(both), out=np.zeros_like(both), where=both > 0)
    information = count_information(found.y, found.x, phi)
    planned = planned_information(10, shares, 1.0)
    worse = [
        (z <= -boundary(information, Tuning(planned, contrasts=4, start=start))).any(axis=(1, 2)).mean()
        for start in (0.0, START)
    ]
    print(f"worse, Wald: {worse[0]:.4f} from the first click on, {worse[1]:.4f} from the start on")
    assert worse[0] > 0.06
    assert worse[1] < 0.025
    assert called(found, Tuning(planned, contrasts=4))[0][1].mean() < 0.01
