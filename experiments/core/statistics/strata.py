"""Post-stratification: arms that drew other people by chance are compared as if they had drawn the same.

Strata are known before anyone is exposed (a country, a device, last month's spending). Each arm's rate is the sum of
its strata's rates, weighted by how many of all units are in each: chance imbalance between arms goes, and with it the
part of the variance that lies between strata. The weights being random themselves costs a second-order term, 1 / n,
which is added.
L. W. Miratrix, J. S. Sekhon, B. Yu, "Adjusting treatment effect estimates by post-stratification in randomized
experiments", JRSS B 75 (2013).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.core.errors import ExperimentError
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.rates import residual_square

FEWEST = 2
"""Units that every arm must have in a stratum; smaller strata are pooled with each other."""
POOLED = "(small strata together)"


class BadStrata(ExperimentError):
    """Strata that arms cannot be compared in."""


@dataclass(frozen=True, slots=True)
class Stratified:
    """One arm's rate, had it drawn everybody's mix of strata."""

    rate: float
    variance: float
    units: int


def post_stratify(strata: Mapping[str, Mapping[str, PairMoments]]) -> dict[str, Stratified]:
    """Every arm's rate over strata weighted alike, in the order of the first stratum.

    A stratum in which an arm has fewer than FEWEST units is pooled with the others like it.

    Raises:
        BadStrata: for no strata, strata with different arms, or small strata that stay too small together.
    """
    if not strata:
        raise BadStrata("there are no strata: compare the arms as they are")
    arms = tuple(next(iter(strata.values())))
    for name, found in strata.items():
        if set(found) != set(arms):
            raise BadStrata(f"stratum {name!r} has the arms {', '.join(found)}, the first one {', '.join(arms)}")
    usable = _pooled(strata, arms)
    weights = np.array([sum(each.x for each in found.values()) for found in usable.values()], dtype=np.float64)
    people = np.array([sum(each.units for each in found.values()) for found in usable.values()], dtype=np.float64)
    weights, people = weights / weights.sum(), people / people.sum()
    stratified = {}
    for arm in arms:
        moments = [found[arm] for found in usable.values()]
        columns = {
            name: np.array([float(getattr(each, name)) for each in moments])
            for name in ("units", "y", "x", "yy", "xx", "xy")
        }
        rates = columns["y"] / columns["x"]
        squares = residual_square(columns["yy"], columns["xy"], columns["xx"], columns["units"], rates)
        variances = squares / np.square(columns["x"])
        units = float(columns["units"].sum())
        # What an arm's own draw of stratum sizes adds: sum (1 - w) v_s w_s / n to first order (their theorem 2).
        per_unit = variances * columns["units"]
        second = float((np.square(weights) / people * (1 - people) * per_unit).sum()) / units**2
        stratified[arm] = Stratified(float(weights @ rates), float(np.square(weights) @ variances) + second, int(units))
    return stratified


def _pooled(
    strata: Mapping[str, Mapping[str, PairMoments]], arms: tuple[str, ...]
) -> dict[str, Mapping[str, PairMoments]]:
    large, small = {}, {arm: PairMoments() for arm in arms}
    any_small = False
    for name, found in strata.items():
        if all(found[arm].units >= FEWEST and found[arm].x > 0 for arm in arms):
            large[name] = found
        else:
            any_small = True
            small = {arm: small[arm] + found[arm] for arm in arms}
    if any_small:
        if any(each.units < FEWEST or each.x <= 0 for each in small.values()):
            names = [name for name in strata if name not in large]
            if not large:
                raise BadStrata(f"stratum {names[0]!r} lacks units of some arm: use fewer strata")
            nearest = min(large, key=lambda name: sum(each.units for each in large[name].values()))
            joined = large.pop(nearest)
            small = {arm: small[arm] + joined[arm] for arm in arms}
        large[POOLED] = small
    return large
