"""Worlds with a known truth: for calibrating the verdict, and for the demo's audience.

People differ in how given they are to clicking (a gamma appetite with mean 1) and some come again, so their impressions
are not independent: what a verdict must not be fooled by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.core.statistics.moments import PairMoments

Array = NDArray[np.float64]

RETURNING = 0.25
"""Chance that someone of an earlier week comes again in a given week."""
EXTRA_VISITS = 0.6
"""Mean visits a week beyond the first."""


@dataclass(frozen=True, slots=True)
class World:
    """The truth of one experiment."""

    base_rate: float
    """Clicks per impression of the control, for a person of average appetite."""
    lifts: Mapping[str, float]
    """Relative lift of every arm, the control's being 0."""
    appetite_shape: float
    """Of the gamma distribution of appetites; their variance is its inverse."""

    @property
    def better(self) -> tuple[str, ...]:
        """Arms that truly beat the control, the best first."""
        winners = [arm for arm, lift in self.lifts.items() if lift > 0]
        return tuple(sorted(winners, key=lambda arm: -self.lifts[arm]))

    def click_probability(self, arms: NDArray[np.str_], appetites: Array) -> Array:
        """Chance of a click on each impression, given who saw which arm."""
        names = np.array(list(self.lifts))
        rates = self.base_rate * (1 + np.array(list(self.lifts.values())))
        order = np.argsort(names)
        return np.minimum(rates[order][np.searchsorted(names[order], arms)] * appetites, 1.0)

    def draw_appetites(self, rng: np.random.Generator, people: int) -> Array:
        """One appetite a person, mean 1."""
        return rng.gamma(self.appetite_shape, 1 / self.appetite_shape, people)


def draw_world(seed: int, control: str, styles: Sequence[str], better: bool | None = None) -> World:
    """A world from its seed: whether any style is better is drawn too where ``better`` is None.

    Where none is, half of the styles are as good as the control and the others worse: nothing may be promoted.
    """
    rng = np.random.default_rng(seed)
    some_better = bool(rng.random() < 2 / 3) if better is None else better
    lifts = {control: 0.0} | {
        style: 0.0 if rng.random() < 0.5 else float(np.round(rng.uniform(-0.25, -0.03), 3)) for style in styles
    }
    if some_better:
        winner = styles[int(rng.integers(len(styles)))]
        lifts[winner] = float(np.round(rng.uniform(0.3, 0.5), 3))
    return World(float(np.round(rng.uniform(0.02, 0.04), 4)), lifts, float(np.round(rng.uniform(0.8, 2.5), 2)))


def cumulative_moments(
    world: World, rng: np.random.Generator, newcomers: int, looks: int
) -> tuple[dict[str, PairMoments], ...]:
    """Clicks over impressions by arm, per unit to date, at each of ``looks`` weekly looks; arms have equal shares."""
    arms = list(world.lifts)
    people = newcomers * looks
    arm_of = rng.integers(len(arms), size=people)
    rate = world.base_rate * (1 + np.array([world.lifts[arm] for arm in arms]))[arm_of]
    probability = np.minimum(rate * world.draw_appetites(rng, people), 1.0)
    shown, clicked = np.zeros(people, dtype=np.int64), np.zeros(people, dtype=np.int64)
    readings = []
    for look in range(looks):
        known = newcomers * look
        coming = np.concatenate([np.flatnonzero(rng.random(known) < RETURNING), np.arange(known, known + newcomers)])
        visits = 1 + rng.poisson(EXTRA_VISITS, len(coming))
        shown[coming] += visits
        clicked[coming] += rng.binomial(visits, probability[coming])
        readings.append(
            {arm: _moments(shown, clicked, (arm_of == index) & (shown > 0)) for index, arm in enumerate(arms)}
        )
    return tuple(readings)


def _moments(shown: NDArray[np.int64], clicked: NDArray[np.int64], who: NDArray[np.bool_]) -> PairMoments:
    x, y = shown[who], clicked[who]
    return PairMoments(int(who.sum()), int(y.sum()), int(x.sum()), int(y @ y), int(x @ x), int(x @ y))
