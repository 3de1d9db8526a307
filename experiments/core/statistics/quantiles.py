"""Quantiles of rows that belong to units: the 90th percentile of load times, of order values.

The rows of one person are alike, so the share of rows below a value is a ratio metric (indicators over rows, per unit)
whose variance the delta method gives. A quantile's interval runs between the order statistics at the ranks
p +- z sigma_p, and its standard error is a half of that divided by z: the density never has to be estimated.
A. Deng, U. Knoblich, J. Lu, "Applying the delta method in metric analytics: a practical guide with novel ideas",
KDD 2018, section 4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError

Array = NDArray[np.float64]

_Z = 1.959963984540054
FEWEST_BEYOND = 5
"""Rows (over their clustering) that must lie beyond a quantile on its thinner side."""


class BadQuantile(ExperimentError):
    """A quantile that these rows cannot tell."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """One arm's."""

    value: float
    variance: float
    """Of the value."""
    low: float
    high: float
    """95 %, order statistics."""
    rows: int
    units: int


def clustered_quantile(values: Array, units: NDArray[np.integer], share: float) -> Quantile:
    """The ``share`` quantile of ``values``, whose rows belong to ``units``.

    Args:
        values: ``(rows,)``, finite.
        units: ``(rows,)`` which unit each row is of, any integers.
        share: above 0 and below 1.

    Raises:
        BadQuantile: for no rows, values that are not finite, a share out of range, or too few rows beyond it.
    """
    values = np.asarray(values, dtype=np.float64)
    if not 0 < share < 1:
        raise BadQuantile(f"a quantile of {share:g} is not between 0 and 1: 0.9 for the 90th percentile")
    if len(values) == 0 or len(values) != len(units):
        raise BadQuantile(f"{len(values)} values of {len(units)} rows have no quantile")
    if not np.isfinite(values).all():
        raise BadQuantile(f"{int((~np.isfinite(values)).sum())} values are not finite numbers: leave those rows out")
    rows = len(values)
    ordered = np.sort(values)
    found = float(ordered[min(int(np.ceil(share * rows)) - 1, rows - 1)])
    people, codes = np.unique(units, return_inverse=True)
    below = np.bincount(codes, weights=values <= found)
    seen = np.bincount(codes).astype(np.float64)
    rate = below.sum() / rows
    residual = below - rate * seen
    # Never less than independent rows would vary: at the edge, or among ties, the indicators themselves hardly do.
    spread = max(float(residual @ residual), share * (1 - share) * rows)
    count = len(people)
    sigma = float(np.sqrt(spread * count / max(count - 1, 1))) / rows
    effective = share * (1 - share) / sigma**2
    if count < 2 or min(share, 1 - share) * effective < FEWEST_BEYOND:
        raise BadQuantile(
            f"{rows} rows of {count} units are too few for the quantile {share:g}: fewer than {FEWEST_BEYOND} "
            "lie beyond it, or are as good as one"
        )
    ranks = np.clip(np.array([share - _Z * sigma, share + _Z * sigma]), 0.0, 1.0) * rows
    low = float(ordered[int(np.clip(np.floor(ranks[0]) - 1, 0, rows - 1))])
    high = float(ordered[int(np.clip(np.ceil(ranks[1]), 0, rows - 1))])
    return Quantile(found, ((high - low) / (2 * _Z)) ** 2, low, high, rows, count)
