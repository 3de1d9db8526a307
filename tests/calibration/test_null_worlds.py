"""The verdict on worlds whose truth is known: people with differing appetites who come back, judged at weekly looks."""

import numpy as np
import pytest
from scipy.stats import binomtest

from experiments.core.seeds import seed_for
from experiments.core.statistics.comparison import Correction, compare_groups
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.worlds import cumulative_moments, draw_world
from experiments.core.verdict import Kind, judge

pytestmark = pytest.mark.calibration

CONTROL, STYLES = "original", ("ink", "neon", "pastel", "riso")
NEWCOMERS, LOOKS = 6000, 3
"""A week, over all arms."""


def worlds_and_readings(count, *, better, name):
    """Each world with its evidence at every look."""
    for number in range(count):
        seed = seed_for("calibration", name, str(number))
        world = draw_world(seed, CONTROL, STYLES, better=better)
        yield world, cumulative_moments(world, np.random.default_rng(seed + 1), NEWCOMERS, LOOKS)


def promoted(readings):
    """The arm each world promotes at its first crossing, None where it never does."""
    winners = [None] * len(readings)
    for look in range(1, LOOKS + 1):
        groups = [(CONTROL, reading[look - 1]) for reading in readings]
        found = compare_groups(
            groups, split=None, alpha=0.05, correction=Correction.DUNNETT, looks=Looks.even(look, LOOKS)
        )
        for index, comparison in enumerate(found):
            verdict = judge(comparison)
            if winners[index] is None and verdict.kind is Kind.PROMOTE:
                winners[index] = verdict.arm
    return winners


def peeked(readings):
    """Whether uncorrected p-values, looked at weekly, would have named a style that leads."""
    named = np.zeros(len(readings), dtype=bool)
    for look in range(LOOKS):
        groups = [(CONTROL, reading[look]) for reading in readings]
        found = compare_groups(groups, split=None, alpha=0.05, correction=Correction.NONE, looks=Looks.even())
        named |= [any(lift.p < 0.05 and lift.absolute > 0 for lift in comparison.lifts) for comparison in found]
    return named


def test_worlds_without_a_better_style_promote_one_in_at_most_alpha_of_the_cases():
    readings = [reading for _, reading in worlds_and_readings(2000, better=False, name="null")]
    wrong = sum(winner is not None for winner in promoted(readings))
    print(f"wrongly promoted: {wrong} of 2,000 worlds; by weekly peeking at p < 0.05: {peeked(readings).sum()}")
    assert binomtest(wrong, 2000, 0.05, alternative="greater").pvalue > 1e-3
    assert peeked(readings).mean() > 0.08, "the same worlds must be able to fool a careless reader"


def test_a_style_that_is_better_is_found_and_seldom_another():
    worlds, readings = zip(*worlds_and_readings(300, better=True, name="better"), strict=True)
    winners = promoted(readings)
    right = sum(winner in world.better for winner, world in zip(winners, worlds, strict=True))
    wrong = sum(
        winner is not None and winner not in world.better for winner, world in zip(winners, worlds, strict=True)
    )
    print(f"found: {right} of 300; another one: {wrong}")
    assert right > 0.8 * 300
    assert wrong <= 3
