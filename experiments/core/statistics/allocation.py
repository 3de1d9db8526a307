"""Adaptive allocation: the next batch's shares of traffic, from what all batches so far say.

Top-two Thompson sampling: show the arm that is best in a draw from the posterior, but half of the time the one that is
best in a further draw that names another, so that the leader's rival is not forgotten. In batches the shares of that
rule are wanted rather than its draws, and they are known: with p_i the probability that arm i is best,

    psi_i = p_i (b + (1 - b) sum_{j != i} p_j / (1 - p_j)),   b = 1/2,

where p comes by quadrature (`posterior`): no Monte Carlo, the same evidence gives the same shares.
D. Russo, "Simple Bayesian algorithms for best-arm identification", Operations Research 68 (2020).

An arm without clicks must starve rather than feast. A prior of half a count *per impression* would take one
impression without a click for a rate of a half; ours is half a count at the rate of all arms together, so the arm's
mean is at most that rate and falls with each impression that brings nothing.
"""

import numpy as np
from numpy.typing import NDArray

from experiments.core.statistics.floors import FLOOR, BadAllocation, check_floor
from experiments.core.statistics.posterior import best_of_means, best_of_rates

Array = NDArray[np.float64]

LEADER = 0.5
"""b: how often the leader of the first draw is shown."""
_PRIOR_COUNT = 0.5
"""Effective counts of the prior, at the rate of all arms together; `posterior` brings them."""
_PRIOR_UNITS = 1.0
_PRIOR_FREEDOM = 8.0
"""Degrees of freedom that the variance of all arms' units lends to each arm's own."""
_NOTHING = 1e-200


def allocate_rates(
    y: Array,
    x: Array,
    phi: Array,
    *,
    higher_is_better: bool = True,
    floor: float = FLOOR,
    previous: Array | None = None,
    largest_step: float = 1.0,
) -> Array:
    """The next shares for rates of counts.

    Args:
        y, x: ``(groups, arms)`` counts and what they are counted over, all batches so far; the control first. ``x`` may
            be 0 for an arm that is new.
        phi: ``(groups, arms)`` dispersion.
        higher_is_better: whether a high rate is wanted.
        floor: each arm's least share; the control's is `control_floor`.
        previous: the shares until now; with ``largest_step`` no arm's share changes by more than that at once.

    Returns:
        ``(groups, arms)`` shares that add to 1.

    Raises:
        BadAllocation: for numbers that are negative, infinite or none, and floors that leave no room.
    """
    y, x, phi = (np.asarray(each, dtype=np.float64) for each in (y, x, phi))
    _refuse(("a count", y, y >= 0), ("a denominator", x, x >= 0), ("a dispersion", phi, phi > 0))
    y, x = y / phi, x / phi  # effective counts: a purchase is one, not its millionths
    seen = x.sum(axis=1, keepdims=True)
    rate = (y.sum(axis=1, keepdims=True) + _PRIOR_COUNT) / np.where(seen > 0, seen, 1.0)
    exposure, one = x + _PRIOR_COUNT / rate, np.ones(len(y))

    def best(members: NDArray[np.intp]) -> Array:
        return best_of_rates(y[:, members], exposure[:, members], one, higher_is_better=higher_is_better)[0]

    return _finish(_top_two(best, y.shape), floor, previous, largest_step)


def allocate_means(
    mean: Array,
    variance: Array,
    units: Array,
    *,
    higher_is_better: bool = True,
    floor: float = FLOOR,
    previous: Array | None = None,
    largest_step: float = 1.0,
) -> Array:
    """The next shares for means of any values, such as money.

    An arm of few units, or of units that are all alike (all without a purchase), borrows the spread of all arms, and
    one unit's worth of their mean.

    Args:
        mean, variance: ``(groups, arms)`` of single units, all batches so far; the control first.
        units: ``(groups, arms)`` their number, 0 for an arm that is new.
        higher_is_better, floor, previous, largest_step: as for `allocate_rates`.

    Returns:
        ``(groups, arms)`` shares that add to 1.

    Raises:
        BadAllocation: as `allocate_rates`.
    """
    mean, variance, units = (np.asarray(each, dtype=np.float64) for each in (mean, variance, units))
    _refuse(
        ("a mean", mean, units >= 0), ("a variance", variance, variance >= 0), ("a number of units", units, units >= 0)
    )
    total = np.maximum(units.sum(axis=1, keepdims=True), 1.0)
    centre = (mean * units).sum(axis=1, keepdims=True) / total
    freedom = np.maximum(units - 1, 0.0)
    spread = (freedom * variance + units * np.square(mean - centre)).sum(axis=1, keepdims=True) / total
    own = (freedom * variance + _PRIOR_FREEDOM * spread) / (freedom + _PRIOR_FREEDOM)
    posterior = (units * mean + _PRIOR_UNITS * centre) / (units + _PRIOR_UNITS)
    # Where no two units of any arm differ there is nothing to go by, and all arms are alike.
    doubt = np.where(spread > 0, own / (units + _PRIOR_UNITS), 1.0)

    def best(members: NDArray[np.intp]) -> Array:
        return best_of_means(posterior[:, members], doubt[:, members], higher_is_better=higher_is_better)[0]

    return _finish(_top_two(best, mean.shape), floor, previous, largest_step)


def top_two(probability: Array, rivals: Array) -> Array:
    """psi from p ``(groups, arms)``, and ``rivals[g, j, i]``: the chance that i is best, given that j is not."""
    return np.asarray(LEADER * probability + (1 - LEADER) * (probability[:, :, None] * rivals).sum(axis=1))


def _top_two(best, shape: tuple[int, ...]) -> Array:  # type: ignore[no-untyped-def]
    arms = shape[1]
    if arms < 2:
        raise BadAllocation("there is nothing to allocate between fewer than two arms")
    everyone = np.arange(arms)
    probability = best(everyone)
    rivals = np.zeros((*probability.shape, arms))
    for leader in everyone:
        others = np.delete(everyone, leader)
        beside = probability[:, others]
        rest = beside.sum(axis=1, keepdims=True)
        share = beside / np.where(rest > 0, rest, 1.0)
        certain = rest[:, 0] < _NOTHING
        if (
            certain.any()
        ):  # so sure of the leader that p_i / (1 - p_j) has no digits left: ask who is best of the others
            share[certain] = best(others)[certain]
        rivals[:, leader, others] = share
    return top_two(probability, rivals)


def _finish(wanted: Array, floor: float, previous: Array | None, largest_step: float) -> Array:
    shares = _raised(wanted, check_floor(wanted.shape[1], floor))
    if previous is None:
        return shares
    previous = np.broadcast_to(np.asarray(previous, dtype=np.float64), shares.shape)
    _refuse(("a previous share", previous, previous >= 0))
    if not 0 < largest_step <= 1 or not np.allclose(previous.sum(axis=1), 1.0):
        raise BadAllocation("previous shares add to 1, and the largest step lies above 0 and up to 1")
    change = np.abs(shares - previous).max(axis=1, keepdims=True)
    part = np.minimum(1.0, largest_step / np.where(change > 0, change, 1.0))
    return np.asarray(previous + part * (shares - previous))


def _raised(wanted: Array, least: Array) -> Array:
    """The shares max(least, c wanted) that add to 1: arms at their floor are set aside, the others keep proportion."""
    held = np.zeros(wanted.shape, dtype=np.bool_)
    for _ in range(wanted.shape[1]):
        room = 1 - np.where(held, least, 0.0).sum(axis=1, keepdims=True)
        free = np.where(held, 0.0, wanted)
        whole = free.sum(axis=1, keepdims=True)
        scaled = room * np.divide(free, whole, out=np.zeros_like(free), where=whole > 0)
        short = ~held & (scaled < least)
        if not short.any():
            break
        held |= short
    shares = np.where(held, least, scaled)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _refuse(*checks: tuple[str, Array, NDArray[np.bool_]]) -> None:
    for name, values, sound in checks:
        if not (np.isfinite(values) & sound).all():
            raise BadAllocation(f"{name} is out of range or not a number: correct or leave out the arm")
