"""Anytime-valid inference: a boundary that may be looked at as often as anyone likes, and never runs out.

The score S of a contrast is Brownian in its information I, so that z = S / sqrt I; mixed over positive drifts with a
half-normal of variance v, the likelihood ratio against no drift is, with x = v I and r = |z| sqrt(x / (1 + x)),

    E = 2 Phi(r) exp(r^2 / 2) / sqrt(1 + x),

a martingale whose chance of ever reaching 2 / alpha is at most alpha / 2 (Ville), in each tail by itself. So 2 / E is
an always-valid p-value, and |z| at which it is alpha the boundary. v is chosen so that the boundary is lowest at the
planned end, where a sequence not tuned to the plan is two times too wide; any v that is fixed before the data is valid.

Several contrasts with one control are never negatively correlated, at the same or at different times (what they share
is the control). So by Slepian's inequality the chance that none of them ever crosses is at least the product of their
chances: each is tested at Sidak's level 1 - (1 - alpha / 2)^(1/m) a tail, whatever the dependence, which is never
worse than Bonferroni.

H. Robbins, "Statistical methods related to the law of the iterated logarithm", Ann. Math. Statist. 41 (1970);
I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic
confidence sequences", Ann. Statist. 52 (2024); D. Slepian, Bell Syst. Tech. J. 41 (1962).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw, log_ndtr

from experiments.core.errors import ExperimentError

Array = NDArray[np.float64]

START = 5.0
"""Information of a contrast of counts from which asymptotics can be spoken of: ten clicks in each of two equal arms,
over their dispersion. The mid-p z of `rates` keeps the level from the first click on and needs no start; a z that takes
its variance from each arm's own clicks (Wald's) is wrong up to 10 % in a tail before it at 3:1, and 1.5 % after."""
_FARTHEST_Z = 1e150
_NEWTON_STEPS = 8
_SMALLEST = float(np.finfo(np.float64).tiny)


class BadTuning(ExperimentError):
    """A plan, or a reading, that no confidence sequence can have."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is fixed before the first look; ``planned`` and ``start`` are in the units of the contrasts' information."""

    planned: float
    """Information that one contrast is planned to have at the end; more may come, at the price of some width."""
    alpha: float = 0.05
    """Two-sided, over all contrasts and all times together."""
    contrasts: int = 1
    lowest_at: float = 1.0
    """Fraction of the plan at which the boundary is lowest."""
    start: float = 0.0
    """Information before which nothing is said."""

    def __post_init__(self) -> None:
        if not (0 < self.planned < np.inf and 0 < self.lowest_at < np.inf):
            raise BadTuning(
                f"planned information must be positive and finite, got {self.planned} (lowest at {self.lowest_at})"
            )
        if not 0 < self.alpha < 1:
            raise BadTuning(f"alpha lies between 0 and 1, got {self.alpha}")
        if self.contrasts < 1:
            raise BadTuning(f"there is at least one contrast with the control, got {self.contrasts}")
        if not 0 <= self.start <= self.planned:
            raise BadTuning(
                f"nothing would be said before information {self.start}, and only {self.planned} is planned: "
                "plan for more"
            )

    @property
    def level(self) -> float:
        """The two-sided level of one contrast: twice Sidak's level of one tail."""
        return float(-2 * np.expm1(np.log1p(-self.alpha / 2) / self.contrasts))

    @property
    def variance(self) -> float:
        """Variance of the drifts that are mixed over, per unit of information.

        Minimises (1 + 1/x) log((1 + x) / level^2), the squared boundary up to the factor Phi(r): 1 + x solves
        y - log y = 1 - 2 log level, Lambert's W on its lower branch.
        """
        y = -float(np.real(lambertw(-np.exp(-1 + 2 * np.log(self.level)), -1)))
        return (y - 1) / (self.planned * self.lowest_at)


def boundary(information: Array, tuning: Tuning) -> Array:
    """|z| from which a contrast is called.

    Args:
        information: any shape, of each contrast so far.

    Returns:
        The same shape; infinite before the start and where there is no information.

    Raises:
        BadTuning: for information that is negative, infinite or no number.
    """
    known, x = _progress(information, tuning)
    return np.where(known, _radius(0.5 * np.log1p(x) - np.log(tuning.level)) * np.sqrt(1 + 1 / x), np.inf)


def p_value(z: Array, information: Array, tuning: Tuning) -> Array:
    """The always-valid p-value of this moment, two-sided and adjusted for the contrasts; elementwise.

    Its minimum over all looks so far is valid too. It is at most alpha exactly where |z| has reached the boundary.

    Args:
        z: signed, of any test.
        information: of each contrast, as z was read.

    Returns:
        p-values; 1 before the start, and never below the smallest double.

    Raises:
        BadTuning: for a z or an information that is no number.
    """
    if not np.isfinite(z).all():
        raise BadTuning("a z is not a finite number: leave out contrasts that have none")
    known, x = _progress(information, tuning)
    r = np.minimum(np.abs(z), _FARTHEST_Z) * np.sqrt(x / (1 + x))
    log_tail = np.minimum(0.5 * np.log1p(x) - np.square(r) / 2 - log_ndtr(r) - np.log(2), -np.log(2))
    tail = np.exp(np.maximum(log_tail, np.log(_SMALLEST)))
    joint = -2 * np.expm1(tuning.contrasts * np.log1p(-tail))
    return np.where(known, np.clip(joint, _SMALLEST, 1.0), 1.0)


def interval(estimate: Array, standard_error: Array, tuning: Tuning) -> tuple[Array, Array]:
    """The confidence sequence of a difference at this moment, all contrasts and all times together; elementwise.

    Information is 1 / standard_error^2, and ``tuning.planned`` is meant so too. It excludes 0 exactly where the p-value
    of z = estimate / standard_error is below alpha. Intersect it with the earlier ones, or do not: both are valid.

    Raises:
        BadTuning: for an estimate that is not finite, or a standard error that is not positive.
    """
    if not np.isfinite(estimate).all():
        raise BadTuning("an estimate is not a finite number: leave out contrasts that have none")
    if not (np.isfinite(standard_error) & (standard_error > 0)).all():
        raise BadTuning("a standard error is not a positive number: leave out contrasts that have none")
    half = boundary(1 / np.square(standard_error), tuning) * standard_error
    return estimate - half, estimate + half


def count_information(y: Array, x: Array, phi: Array) -> Array:
    """Information on the log ratio of each arm's rate to the control's, were they the same.

    Being that of the equal case it does not vanish for an arm without clicks, which tells a lot.

    Args:
        y, x, phi: ``(groups, arms)`` counts, what they are counted over (positive), dispersion; the control first.

    Returns:
        ``(groups, arms - 1)``.
    """
    effective, exposure = y / phi, x / phi
    total = effective[..., 1:] + effective[..., :1]
    share = exposure[..., 1:] / (exposure[..., 1:] + exposure[..., :1])
    return np.asarray(total * share * (1 - share))


def value_information(variance: Array) -> Array:
    """Information on the difference of each arm's mean to the control's: ``variance`` of the means, control first."""
    total = variance[..., 1:] + variance[..., :1]
    return np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)


def _progress(information: Array, tuning: Tuning) -> tuple[NDArray[np.bool_], Array]:
    """Where anything is said, and x = v I there (1 elsewhere)."""
    information = np.asarray(information, dtype=np.float64)
    if not (np.isfinite(information) & (information >= 0)).all():
        raise BadTuning("information is a finite number from 0 up: look for an arm without a variance")
    known = (information > 0) & (information >= tuning.start)
    x = np.maximum(tuning.variance * information, _SMALLEST * 16)
    return known & np.isfinite(x), np.where(known, x, 1.0)


def _radius(level: Array) -> Array:
    """r with r^2 / 2 + log Phi(r) = ``level``: Newton on a convex, increasing function, from its left."""
    r = np.sqrt(2 * level)
    for _ in range(_NEWTON_STEPS):
        log_cdf = log_ndtr(r)
        slope = r + np.exp(-np.square(r) / 2 - log_cdf) / np.sqrt(2 * np.pi)
        r = r - (np.square(r) / 2 + log_cdf - level) / slope
    return np.asarray(r)
