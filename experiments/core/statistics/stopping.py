"""What an experiment that may stop early says of its lift: estimates that allow for the stopping.

An estimate taken at the first look that crosses is too high on average: luck stopped the experiment. For one contrast,
with z_k ~ N(drift sqrt(I_k), 1) and outcomes ordered by look first and then by z (stagewise: A. A. Tsiatis,
G. L. Rosner, C. R. Mehta, Biometrics 40, 1984), the chance of an outcome at least as extreme rises with the drift;
where it is a half stands the median-unbiased estimate, where alpha / 2 and 1 - alpha / 2 the ends of an interval.
J. Whitehead's estimate (Biometrika 73, 1986) is the drift whose naive estimate is what was seen, on average.

These know of looks, not of arms: that the best of several was picked is the business of `shrinkage`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from experiments.core.errors import ExperimentError
from experiments.core.statistics.sequential import crossing_probabilities

Array = NDArray[np.float64]

_REACH = 9.0
"""Standard errors around the naive estimate in which all answers lie."""
_STEP = 1e-4


class BadStop(ExperimentError):
    """Looks and boundaries that do not fit each other."""


@dataclass(frozen=True, slots=True)
class AtStopping:
    """In the units of the estimate given."""

    median_unbiased: float
    low: float
    high: float
    mean_adjusted: float
    """Whitehead's."""


def at_stopping(
    estimate: float,
    standard_error: float,
    *,
    information: Sequence[float],
    bounds: Sequence[float],
    below: Sequence[float] | None = None,
    level: float = 0.05,
) -> AtStopping:
    """One contrast's lift, given that it stopped (or was read) at the last of these looks.

    Args:
        estimate: naive, at this look; its z is estimate / standard_error.
        standard_error: of it, positive.
        information: of looks 1 .. k, in any unit; only ratios matter.
        bounds: z from which each of these looks would have stopped, infinite where none would; the last one's is not
            used.
        below: z down from which each would have, too; None: minus ``bounds``.
        level: two-sided.

    Raises:
        BadStop: for a standard error that is not positive, or looks and bounds that differ in number.
    """
    if not (np.isfinite(estimate) and 0 < standard_error < np.inf):
        raise BadStop(f"an estimate of {estimate} with a standard error of {standard_error} cannot be adjusted")
    if len(bounds) != len(information) or not bounds:
        raise BadStop(f"{len(information)} looks have {len(bounds)} boundaries: every look needs one")
    times = np.asarray(information, dtype=np.float64) / information[-1]
    earlier = np.asarray(bounds[:-1], dtype=np.float64)
    lower = -earlier if below is None else np.asarray(below[:-1], dtype=np.float64)
    z = estimate / standard_error

    def more_extreme(drift: float) -> float:
        above, _ = crossing_probabilities([*earlier, z], [*lower, -np.inf], times, np.array(drift))
        return float(above.sum())

    def where(rising: Callable[[float], float], level: float) -> float:
        """The drift at which ``rising`` has that level: near z, or far from it where no drift makes z plausible."""
        known = np.abs([each for each in (*earlier, *lower) if np.isfinite(each)])
        near, far = (z - _REACH, z + _REACH), _REACH + max(abs(z), *(known / times[0]), 0.0)
        inside = rising(near[0]) < level < rising(near[1])
        low, high = near if inside else (-far, far)
        return float(brentq(lambda drift: rising(drift) - level, low, high, xtol=1e-8)) * standard_error

    median, low, high = (where(more_extreme, chance) for chance in (0.5, level / 2, 1 - level / 2))
    adjusted = where(lambda drift: expected_estimate(drift, times, earlier, lower), z)
    return AtStopping(median, low, high, adjusted)


def expected_estimate(drift: float, times: Array, earlier: Array, lower: Array) -> float:
    """Mean of the naive estimate at stopping, where z stops beyond the bounds and whatever is left at the end.

    The chance P_k of stopping at look k has the score identity dP_k / d drift = E[(S - drift t_k); stopped at k], so
    the estimate S / t has the mean drift + sum_k P_k' (1 / t_k - 1 / t_K).

    Args:
        drift: z at time 1.
        times: ``(looks,)``, increasing.
        earlier, lower: ``(looks - 1,)`` bounds above and below.
    """
    if len(earlier) == 0:
        return drift
    around = np.array([drift - _STEP, drift + _STEP])
    above, below = crossing_probabilities(earlier, lower, times[:-1], around)
    stops = above + below
    return float(drift + ((stops[1] - stops[0]) / (2 * _STEP)) @ (1 / times[:-1] - 1 / times[-1]))
