"""Many experiments at once with a known truth, drawn as crowds: how many people have clicked once, twice, ... so far.

What calibration needs of twenty thousand experiments is the moments of their clicks, not every visitor. New clickers
arrive as a Poisson process; each brings one click or several at once (a geometric number), and may click once more at
every later look. The crowd of people with c clicks to date is therefore carried exactly, whatever its size, and
dispersion rises from look to look as it does in reality. Where each acts once or never, they are so many of the units
that came. Units are counted, not drawn: their arms have exact shares.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from experiments.core.statistics.tables import ArmTable, Outcome

Array = NDArray[np.float64]

RATE = 0.02
"""Clicks per unit."""
DESIGN_EFFECT = 1.65
"""Dispersion of the clicks at the last look: their variance over units relative to independent ones'."""
AT_ONCE = 0.12
"""Share of new clickers' clicks that is followed by another one at once, where people come back as well."""
_MOST, _ROOM = 8, 26
"""Clicks that a newcomer brings at most, and how many clicks of one person can be told apart."""
_CALENDAR = (1.0, 1.6, 0.5, 1.3, 0.8, 0.6, 1.4)
"""Traffic of looks relative to each other, repeated: no week is like the one before."""
_ORDER = 50e6
"""The median order, in millionths."""
_AWAITED = 0.5
"""Share of delayed conversions that comes a look later than the share before it."""


class Habit(StrEnum):
    """What is peculiar about the people of a world."""

    RETURNING = "returning"
    """They click again, at once and at later looks."""
    DELAYED = "delayed"
    """So, and what they do is known only later: half of what is still awaited comes at each look."""
    ONCE = "once"
    """Each does something once or never: a 0/1 outcome, independent."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """One cell of a calibration: every experiment in it has this truth."""

    arms: int
    looks: int
    clicks: float
    """Expected at the last look, in an arm without lift that has one share."""
    habit: Habit = Habit.RETURNING
    control_share: float = 1.0
    """The control's units relative to each other arm's."""
    lifts: tuple[float, ...] = ()
    """Relative, of the arms after the control; 0 where not given."""

    @property
    def outcome(self) -> Outcome:
        """What is counted."""
        return Outcome.BINARY if self.habit is Habit.ONCE else Outcome.COUNT

    @property
    def ratios(self) -> Array:
        """True rate of each arm over the control's, the control first."""
        lifts = np.zeros(self.arms - 1)
        lifts[: len(self.lifts)] = self.lifts
        return np.asarray(np.concatenate([[1.0], 1 + lifts]))

    @property
    def traffic(self) -> Array:
        """Share of all units that arrive at each look."""
        calendar = np.resize(_CALENDAR, self.looks)
        return np.asarray(calendar / calendar.sum())

    def rates(self) -> Array:
        """True clicks per unit to date, ``(looks, arms)``: they rise while people come back."""
        sizes, again = self._habits()
        to_date = _expected(sizes, again, self._known()) @ np.arange(1, _ROOM + 1)
        return np.asarray(
            RATE * np.outer(to_date / to_date[-1] * self._known().sum() / np.cumsum(self.traffic), self.ratios)
        )

    def draw(self, rng: np.random.Generator, experiments: int) -> Iterator[ArmTable]:
        """The sums to date at each look, ``(experiments, arms)``."""
        shares = np.concatenate([[self.control_share], np.ones(self.arms - 1)])
        units_in_all = np.round(self.clicks / RATE * shares)
        seen = np.round(np.cumsum(self.traffic)[:, None] * units_in_all)
        sizes, again = self._habits()
        known = self._known()
        followed = float(_expected(sizes, again, known)[-1] @ np.arange(1, _ROOM + 1) / known.sum())
        arriving = units_in_all * RATE * self.ratios * known[:, None] / followed
        people = np.zeros((_ROOM, experiments, self.arms), dtype=np.int64)
        clicks = np.arange(1, _ROOM + 1, dtype=np.float64)
        for units, since, newcomers in zip(seen, np.diff(seen, axis=0, prepend=0), arriving, strict=True):
            for count in range(_ROOM - 2, -1, -1) if again else ():
                some = np.nonzero(people[count])
                more = rng.binomial(people[count][some], again)
                people[count][some] -= more
                people[count + 1][some] += more
            if self.habit is Habit.ONCE:  # of so many units: Poisson counts would vary by 1 / (1 - rate) more
                people[0] += rng.binomial(since.astype(np.int64), RATE * self.ratios, (experiments, self.arms))
            else:
                for count, share in enumerate(sizes):
                    people[count] += rng.poisson(newcomers * share, (experiments, self.arms))
            y = np.tensordot(clicks, people, 1)
            yy = np.tensordot(clicks**2, people, 1)
            x = np.broadcast_to(units, y.shape)
            yield ArmTable(units=x, y=y, x=x, yy=yy, xx=x, xy=y, shares=np.broadcast_to(shares, y.shape))

    def _habits(self) -> tuple[Array, float]:
        """Shares of newcomers who bring 1, 2, ... clicks, and the chance of one more at each later look."""
        if self.habit is Habit.ONCE:
            return np.ones(1), 0.0
        at_once, again = _habits(tuple(self.traffic))
        return _sizes(at_once), again

    def _known(self) -> Array:
        """Share of all clickers who are known of by each look for the first time; with delays some never are."""
        if self.habit is not Habit.DELAYED:
            return self.traffic
        known, awaited = np.zeros(self.looks), 0.0
        for look, share in enumerate(self.traffic):
            awaited += share
            known[look] = awaited * (1 - _AWAITED)
            awaited *= _AWAITED
        return known


@dataclass(frozen=True, slots=True)
class Purses:
    """Likewise, of money: a Poisson number of people buys, each once, for an amount whose logarithm is normal."""

    arms: int
    looks: int
    buyers: float
    """Expected at the last look, in an arm that has one share."""
    spread: float
    """Standard deviation of the logarithm: 1 is common in shops, at 2 one order in a hundred is half of the money."""
    control_share: float = 1.0

    @property
    def outcome(self) -> Outcome:
        """Millionths are whole numbers."""
        return Outcome.COUNT

    def draw(self, rng: np.random.Generator, experiments: int) -> Iterator[ArmTable]:
        """The sums to date at each look, ``(experiments, arms)``."""
        shares = np.concatenate([[self.control_share], np.ones(self.arms - 1)])
        y, yy, units = np.zeros((experiments, self.arms)), np.zeros((experiments, self.arms)), np.zeros(self.arms)
        calendar = np.resize(_CALENDAR, self.looks)
        for part in calendar / calendar.sum():
            units = units + np.round(self.buyers / RATE * shares * part)
            orders = rng.poisson(self.buyers * shares * part, (experiments, self.arms))
            who = np.repeat(np.arange(orders.size), orders.ravel())
            amounts = np.round(_ORDER * np.exp(rng.normal(0.0, self.spread, len(who))))
            y += np.bincount(who, amounts, orders.size).reshape(orders.shape)
            yy += np.bincount(who, amounts**2, orders.size).reshape(orders.shape)
            x = np.broadcast_to(units, y.shape)
            yield ArmTable(
                units=x, y=y.copy(), x=x, yy=yy.copy(), xx=x, xy=y.copy(), shares=np.broadcast_to(shares, y.shape)
            )


def _sizes(at_once: float) -> Array:
    sizes = (1 - at_once) * at_once ** np.arange(_MOST)
    return np.asarray(sizes / sizes.sum())


def _expected(sizes: Array, again: float, arriving: Array) -> Array:
    """Expected people with 1, 2, ... clicks at each look, ``(looks, counts)``, where so many newcomers arrive."""
    people, looks = np.zeros(_ROOM), []
    for share in arriving:
        moved = people[:-1] * again
        people[:-1] -= moved
        people[1:] += moved
        people[: len(sizes)] += share * sizes
        looks.append(people.copy())
    return np.array(looks)


@lru_cache
def _habits(traffic: tuple[float, ...]) -> tuple[float, float]:
    """How readily people click again, at once and at each later look, so that the design effect is as wished."""

    def excess(at_once: float, again: float) -> float:
        people, clicks = _expected(_sizes(at_once), again, np.array(traffic))[-1], np.arange(1, _ROOM + 1)
        return float(clicks**2 @ people / (clicks @ people)) - DESIGN_EFFECT

    if len(traffic) == 1:
        return float(brentq(lambda share: excess(share, 0.0), 1e-6, 0.9)), 0.0
    return AT_ONCE, float(brentq(lambda share: excess(AT_ONCE, share), 0.0, 0.9))
