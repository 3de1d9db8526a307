"""Planning: how many units it takes to find a lift, how long that is, and what a given sample can find.

One arm is better than the control by the lift asked for and the others equal it; *power* is the chance that it is
called better at some look, at the joint critical value of all arms and looks. z of its contrast has mean
drift = lift / standard error at the end, and the standard error falls with the root of the sample, so everything
follows from chances of crossing under a drift (`sequential`).

A rate of counts has variance phi p per unit of its denominator (for 0/1 outcomes phi = 1 - p; clustering multiplies by
the design effect; regression adjustment takes off its share); both arms' own rates are used. A mean has its squared
standard deviation.
C. Jennison, B. W. Turnbull, Group Sequential Methods (2000), chapters 2 and 4; C. W. Dunnett, JASA 50 (1955).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from experiments.core.errors import ExperimentError
from experiments.core.plan import Direction
from experiments.core.statistics import anytime
from experiments.core.statistics.dunnett import critical_value, shared_variance
from experiments.core.statistics.sequential import (
    MOST_LOOKS,
    Looks,
    boundaries,
    crossing_probabilities,
    futility_bounds,
)
from experiments.core.statistics.spending import DEFAULT, Spending

Array = NDArray[np.float64]

_LARGEST_SAMPLE = 1e15
_LARGEST_LIFT = 1e3
_LARGEST_SPREAD = 1e150
"""Its square is still a number."""
_SMALLEST_ALPHA = 1e-12
"""Boundaries of smaller levels lie where a double cannot tell tails apart."""
_LEAST_NOISE = 1e-12
"""Of a standard deviation relative to its mean, or the other way round: beyond it a sample is no number."""


class BadPlan(ExperimentError):
    """A plan that cannot be computed, or that no sample can fulfil."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is measured, in the control."""

    mean: float
    """Rate or mean."""
    spread: float | None = None
    """Standard deviation of a mean; None for rates."""
    design_effect: float = 1.0
    """Variance over units relative to that of independent ones."""
    reduction: float = 0.0
    """Share of the variance that adjustment by the units' history takes off."""
    binary: bool = True
    """A rate of 0/1 outcomes; False for counts that may be more than one."""

    def __post_init__(self) -> None:
        if not np.isfinite(self.mean) or self.mean == 0 or (self.spread is None and self.mean <= 0):
            raise BadPlan(f"a baseline of {self.mean:g} cannot be lifted: give the control's rate, above 0")
        if self.spread is None and self.binary and self.mean >= 1:
            raise BadPlan(f"a baseline rate of {self.mean:g} is not below 1: give it as a share, 0.02 for 2 %")
        if self.spread is not None and not 0 < self.spread < _LARGEST_SPREAD:
            raise BadPlan(f"a standard deviation of {self.spread:g} is none: give a positive one")
        if self.spread is not None and not _LEAST_NOISE < self.spread / abs(self.mean) < 1 / _LEAST_NOISE:
            raise BadPlan(
                f"a standard deviation of {self.spread:g} around a mean of {self.mean:g} cannot be planned with: "
                "are both of one unit, in the same currency?"
            )
        if not 0 < self.design_effect < np.inf:
            raise BadPlan(f"a design effect of {self.design_effect:g} is none: 1 is independent units")
        if not 0 <= self.reduction < 1:
            raise BadPlan(f"a variance reduction of {self.reduction:g} is not from 0 up to 1: 0.3 for 30 %")

    def variance(self, lift: float) -> float:
        """Of one unit of an arm with this relative lift."""
        kept = self.design_effect * (1 - self.reduction)
        if self.spread is not None:
            return self.spread**2 * kept
        rate = self.mean * (1 + lift)
        if rate < 0 or (self.binary and rate > 1):
            raise BadPlan(f"a lift of {lift:+.0%} would take a rate of {self.mean:g} to {rate:g}")
        return rate * ((1 - rate) if self.binary else 1.0) * kept


@dataclass(frozen=True, slots=True)
class Design:
    """The experiment that is planned."""

    outcome: Outcome
    shares: tuple[float, ...] = (1.0, 1.0)
    """Relative traffic, the control first."""
    looks: int = 1
    alpha: float = 0.05
    """Two-sided, over all arms and looks."""
    spending: Spending = DEFAULT
    direction: Direction = Direction.INCREASE
    margin: float = 0.0
    """Non-inferiority: the arm need only be better than the control less this relative margin."""
    beta: float | None = None
    """Spend this on stopping an arm for futility; None: never."""

    def __post_init__(self) -> None:
        if len(self.shares) < 2 or not all(0 < share < np.inf for share in self.shares):
            raise BadPlan("a plan needs a control and at least one arm, each with a positive share")
        if not 1 <= self.looks <= MOST_LOOKS:
            raise BadPlan(f"{self.looks} looks cannot be planned: choose 1 to {MOST_LOOKS}")
        if not 0 < self.alpha < 1:
            raise BadPlan(f"alpha {self.alpha:g} is not between 0 and 1")
        if self.alpha < _SMALLEST_ALPHA:
            raise BadPlan(f"alpha {self.alpha:g} is too small to plan with: {_SMALLEST_ALPHA:g} is the smallest")
        if not 0 <= self.margin < 1:
            raise BadPlan(f"a margin of {self.margin:g} is not from 0 up to 1: 0.05 for 5 %")

    @property
    def critical(self) -> float:
        """|z| of one look at which any contrast is called."""
        shares = np.array(self.shares)
        return float(critical_value(self.alpha, shared_variance(1 / shares[None, :1], 1 / shares[None, 1:]))[0])

    @property
    def sign(self) -> int:
        """1 where more is better."""
        return 1 if self.direction is Direction.INCREASE else -1

    def drift(self, lift: float, sample: float) -> float:
        """Mean z, at the end, of the least favoured arm with this lift; ``sample`` is the total of all arms."""
        parts = np.array(self.shares) / sum(self.shares) * sample
        gain = abs(self.outcome.mean) * (self.sign * lift + self.margin)
        error = self.outcome.variance(lift) / parts[1:].min() + self.outcome.variance(0.0) / parts[0]
        return float(gain / np.sqrt(error))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a design with a sample does. Samples are totals over all arms."""

    lift: float
    sample: float
    power: float
    expected: float
    """Mean sample where the lift is there and the experiment stops at the first call."""
    expected_null: float
    """Mean sample where no arm differs: early stops are false calls and, if planned, futility of all arms."""
    stops: tuple[float, ...]
    """Chance of being called at each look."""
    fixed: float
    """Sample that a single look would take for the same power."""

    def per_arm(self, shares: Sequence[float]) -> tuple[float, ...]:
        """The sample of each arm, the control first."""
        return tuple(self.sample * share / sum(shares) for share in shares)


def power_of(design: Design, drift: float) -> tuple[float, ...]:
    """Chance of being called better for the first time at each look, for a mean z of ``drift`` at the end."""
    upper, lower, times = _bounds(design, drift)
    return tuple(crossing_probabilities(upper, lower, times, drift)[0].tolist())


def plan_for(design: Design, lift: float, power: float = 0.9) -> Plan:
    """The sample that finds ``lift`` (relative) with this power.

    Raises:
        BadPlan: for a power that cannot be had, or a lift of 0.
    """
    needed = _needed(design, power)
    if not np.isfinite(lift) or design.sign * lift + design.margin <= 0:
        raise BadPlan(
            f"a lift of {lift:+.1%} is no gain where the metric is to {design.direction}: say what difference matters"
        )
    return _planned(design, lift, _sample(design, lift, needed))


def plan_with(design: Design, lift: float, sample: float) -> Plan:
    """What a given total sample does for ``lift``.

    Raises:
        BadPlan: for a sample that is not positive.
    """
    _check_sample(sample)
    return _planned(design, lift, sample)


def detectable_lift(design: Design, sample: float, power: float = 0.9) -> float:
    """The smallest relative lift that ``sample`` finds with this power.

    Below 0 (a loss, but within the margin) where the sample is more than non-inferiority takes.

    Raises:
        BadPlan: for a power that cannot be had, a sample that is none, or one so small that even a lift of a thousand
            times would be missed.
    """
    _check_sample(sample)
    needed = _needed(design, power)
    sign, largest = design.sign, _LARGEST_LIFT
    if design.outcome.spread is None:
        largest = 1.0 if sign < 0 else (1 / design.outcome.mean - 1 if design.outcome.binary else _LARGEST_LIFT)
    largest *= 1 - 1e-9

    def short(lift: float) -> float:
        return design.drift(sign * lift, sample) - needed

    if short(largest) < 0:
        raise BadPlan(f"{sample:,.0f} units cannot find any lift with a power of {power:.0%}: plan for more")
    return sign * float(brentq(short, -design.margin, largest, xtol=1e-12, rtol=1e-10))


def anytime_sample(design: Design, lift: float, power: float = 0.9, steps: int = 120) -> float:
    """The sample at which a reading that may be taken at any time finds ``lift`` with this power.

    Looked at ``steps`` times; its boundary is tuned to that sample itself.
    """
    times = np.arange(1, steps + 1) / steps

    def missing(drift: float) -> float:
        tuning = anytime.Tuning(1.0, design.alpha, len(design.shares) - 1)
        upper = anytime.boundary(times, tuning)
        return float(crossing_probabilities(upper, np.full(steps, -np.inf), times, drift)[0].sum()) - power

    return _sample(design, lift, brentq(missing, 0.0, 40.0, xtol=1e-6))


def _needed(design: Design, power: float) -> float:
    """The drift at which the design has this power."""
    if not design.alpha < power < 1:
        raise BadPlan(f"a power of {power:g} is not between alpha and 1: 0.9 for 90 %")
    return float(brentq(lambda drift: sum(power_of(design, drift)) - power, 0.0, 40.0, xtol=1e-9))


def _check_sample(sample: float) -> None:
    if not 0 < sample < _LARGEST_SAMPLE:
        raise BadPlan(f"a sample of {sample:g} is none: give the units (or impressions) of all arms together")


def _planned(design: Design, lift: float, sample: float) -> Plan:
    drift = design.drift(lift, sample)
    stops = power_of(design, drift)
    upper, lower, times = _bounds(design, drift)
    single = replace(design, looks=1, beta=None)
    power = sum(stops)
    at_once = float(ndtr(drift - single.critical))
    fixed = sample
    if 1e-9 < power < 1 - 1e-9 and at_once > 0:
        needed = brentq(lambda value: float(ndtr(value - single.critical)) - power, -10.0, 60.0)
        fixed = _sample(design, lift, max(needed, 1e-9))
    return Plan(
        lift, sample, power, sample * _mean_time(design, times, upper, lower, drift),
        sample * _mean_time(design, times, upper, lower, 0.0), stops, fixed,
    )  # fmt: skip


def _sample(design: Design, lift: float, drift: float) -> float:
    sample = (drift / design.drift(lift, 1.0)) ** 2
    if not sample < _LARGEST_SAMPLE:
        raise BadPlan(f"a lift of {lift:.2g} would take more than {_LARGEST_SAMPLE:.0g} units: ask for a larger one")
    return float(sample)


def _bounds(design: Design, drift: float) -> tuple[Array, Array, Array]:
    """Upper and lower z bounds of every look, and its time."""
    looks = Looks.even(design.looks, design.looks, design.spending)
    level = float(ndtr(-design.critical))
    upper = boundaries(level, looks)
    lower = np.full(design.looks, -np.inf)
    if design.beta is not None:
        lower = np.array(futility_bounds(level, looks, drift=drift, beta=design.beta, information=looks.information))
    return upper, lower, np.array(looks.information)


def _mean_time(design: Design, times: Array, upper: Array, lower: Array, drift: float) -> float:
    """Mean share of the sample: stops where the arm is called or, with futility, given up.

    The other arms equal the control. That one of them is called first, or that all of them must be given up too, is
    left out: it would change the mean by less than alpha.
    """
    if design.looks == 1:
        return 1.0
    above, below = crossing_probabilities(upper, lower if design.beta is not None else -upper, times, drift)
    leaving = (above + below)[:-1]
    return float(leaving @ times[:-1] + (1 - leaving.sum()) * times[-1])
