"""What all experiments together say of a style, on worlds whose truth is known.

The margins are four standard errors of the number of worlds: a cell that fails is wrong, not unlucky. With
ADSTYLE_CALIBRATE set there are many more worlds (minutes).
"""

import os

import numpy as np
import pytest

from experiments.core.seeds import seed_for
from experiments.core.statistics.meta import random_effects
from experiments.core.statistics.pooling import GRAND_SPREAD, SCALE, Entry, pool

pytestmark = pytest.mark.calibration

FULL = bool(os.environ.get("ADSTYLE_CALIBRATE"))
WORLDS = 20_000 if FULL else 400
POOLED_WORLDS = 300 if FULL else 12


def margin(share, worlds):
    return 4 * np.sqrt(share * (1 - share) / worlds)


@pytest.mark.parametrize("tau", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("count", [3, 5, 10, 30])
def test_one_styles_intervals_cover(count, tau):
    """Experiments of unlike size: 300 clicks an arm, a factor e^0.8 up or down."""
    rng = np.random.default_rng(seed_for("meta", str(count), str(tau)))
    truth = 0.1
    clicks = np.exp(rng.normal(np.log(300), 0.8, (WORLDS, count)))
    lifts = truth + tau * rng.normal(size=(WORLDS, count))
    variances = 2 / clicks
    found = random_effects(lifts + np.sqrt(variances) * rng.normal(size=lifts.shape), variances)
    following = truth + tau * rng.normal(size=WORLDS)
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    predicted = ((found.next_low <= following) & (following <= found.next_high)).mean()
    print(f"k={count} tau={tau}: Hartung-Knapp {covered:.1%}, next product {predicted:.1%}, tau {found.tau.mean():.3f}")
    assert covered >= 0.945 - margin(0.95, WORLDS)
    assert predicted >= 0.945 - margin(0.95, WORLDS)
    if count == 30 and tau == 0.2:  # with enough to go by neither is timid
        assert covered <= 0.95 + margin(0.95, WORLDS) + 0.005
        assert predicted <= 0.95 + margin(0.95, WORLDS) + 0.01


def draw(rng, experiments, styles, arms, tau, omega, clicks, *, alone=False, grand=0.03):
    """Entries and the truth of each style; ``alone``: the control has no product effect of its own."""
    truth = rng.normal(grand, omega, styles)
    entries = []
    for number in range(experiments):
        chosen = rng.choice(styles, arms, replace=False)
        effects = tau * rng.normal(size=arms + 1) * (1 if alone else np.sqrt(0.5))
        lifts = truth[chosen] + effects[1:] - (0 if alone else effects[0])
        shown = clicks * np.exp(rng.normal(0, 0.5)) * 30
        y = rng.poisson(shown / 30 * np.exp(np.concatenate([[0.0], lifts])))
        if y.sum():
            names = tuple(f"s{each}" for each in chosen)
            entries.append(Entry(f"e{number}", f"e{number}", names, tuple(map(float, y)), (shown,) * (arms + 1)))
    return entries, truth


@pytest.mark.parametrize(
    ("experiments", "tau", "omega", "clicks", "alone"),
    [
        (3, 0.1, 0.1, 300, False),
        (3, 0.02, 0.02, 300, False),
        (10, 0.1, 0.1, 300, False),
        (10, 0.05, 0.15, 8, False),
        (30, 0.2, 0.05, 300, False),
        (10, 0.1, 0.1, 300, True),
    ],
)
def test_pooled_intervals_cover(experiments, tau, omega, clicks, alone):
    """Six styles, three a product: the style's own lift, its lift on the next product, and one never seen."""
    rng = np.random.default_rng(seed_for("pool", str(experiments), str(tau), str(omega), str(clicks), str(alone)))
    hits, errors, unknown = [], [], []
    for _ in range(POOLED_WORLDS):
        entries, truth = draw(rng, experiments, 6, 3, tau, omega, clicks, alone=alone)
        pooled = pool(entries)
        for number, lift in enumerate(truth):
            found = pooled.style(f"s{number}")
            here, following = np.expm1(lift), np.expm1(lift + tau * rng.normal())
            hit = found.low <= here <= found.high, found.next_low <= following <= found.next_high
            (hits if found.experiments else unknown).append(hit)
            errors.append(np.log1p(found.expected) - lift)
    covered, predicted = np.mean(hits, axis=0)
    bias, error = np.mean(errors), np.std(errors)
    print(
        f"{experiments} experiments, tau={tau} omega={omega}, {clicks} clicks an arm{', control apart' * alone}: "
        f"style {covered:.1%}, next product {predicted:.1%}, never seen {np.mean([u[1] for u in unknown] or 1):.1%} "
        f"of {len(unknown)}, bias {bias:+.4f}, error {error:.3f}"
    )
    # styles of one world share their experiments: count worlds, not styles
    assert covered >= 0.94 - margin(0.95, POOLED_WORLDS * 3)
    assert predicted >= 0.94 - margin(0.95, POOLED_WORLDS * 3)
    assert abs(bias) < (0.03 if FULL else 0.1)


def test_drawn_from_its_own_prior_every_interval_is_exact():
    """What holds on average over the prior holds exactly, or the integration is wrong (S. R. Cook, A. Gelman and
    D. B. Rubin, Journal of Computational and Graphical Statistics 15, 2006)."""
    rng = np.random.default_rng(seed_for("pool", "prior"))
    below, inside, following = [], [], []
    for _ in range(POOLED_WORLDS * 2):
        tau, omega = np.abs(rng.normal(0, SCALE, 2))
        entries, truth = draw(rng, 8, 6, 3, tau, omega, 300, grand=rng.normal(0, GRAND_SPREAD))
        pooled = pool(entries)
        for number, lift in enumerate(truth):
            found = pooled.style(f"s{number}")
            below.append(np.expm1(lift) < found.expected)
            inside.append(found.low <= np.expm1(lift) <= found.high)
            following.append(found.next_low <= np.expm1(lift + tau * rng.normal()) <= found.next_high)
    print(f"prior: style {np.mean(inside):.1%}, next {np.mean(following):.1%}, below the median {np.mean(below):.1%}")
    for share, found in ((0.5, below), (0.95, inside), (0.95, following)):
        assert np.mean(found) == pytest.approx(share, abs=margin(share, POOLED_WORLDS * 4))


def test_pooling_errs_less_than_each_style_alone():
    rng = np.random.default_rng(seed_for("pool", "error"))
    pooled_error, own_error = [], []
    for _ in range(POOLED_WORLDS):
        entries, truth = draw(rng, 8, 8, 3, 0.1, 0.1, 200)
        pooled = pool(entries)
        for number, lift in enumerate(truth):
            name = f"s{number}"
            own = [each.contrasts()[0][each.styles.index(name)] for each in entries if name in each.styles]
            if own:
                own_error.append(np.mean(own) - lift)
                pooled_error.append(np.log1p(pooled.style(name).expected) - lift)
    print(f"root mean square error: pooled {np.std(pooled_error):.3f}, each style alone {np.std(own_error):.3f}")
    assert np.square(pooled_error).mean() < (0.75 if FULL else 0.95) * np.square(own_error).mean()
