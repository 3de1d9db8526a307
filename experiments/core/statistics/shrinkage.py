"""The winner's curse: what a lift is worth once it is known how lifts are spread.

The arm that wins is the one that was good and lucky; its own estimate keeps the luck. If true log lifts are normal with
mean m and standard deviation s, an estimate y with standard error e is pulled towards m:

    E[lift | y] = m + (y - m) s^2 / (s^2 + e^2),   var = s^2 e^2 / (s^2 + e^2)

and this holds for whichever arm was picked by whatever rule looked at y alone, because the posterior is conditional on
y: A. P. Dawid, "Selection paradoxes of Bayesian inference", IMS Lecture Notes 24 (1994); M. R. Lee and M. Shen,
"Winner's curse: bias estimation for total effects of features in online controlled experiments", KDD (2018). Arms of
one experiment are shrunk together (`shrink_arms`): they share the control's luck.

The prior is learnt from all experiments (`prior_of`). Before there are any it is `DEFAULT`, the same as what
`meta.pool` presumes of a lift nobody has measured. Real lifts have fatter tails than the normal (E. M. Azevedo,
A. Deng, J. L. Montiel Olea, J. Rao and E. G. Weyl, "A/B testing with fat tails", Journal of Political Economy 128,
2020): a lift many s away is pulled too far, which errs on the safe side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from experiments.core.errors import ExperimentError
from experiments.core.statistics.pooled import Pooled

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """How true log lifts are spread before an experiment is read: normal."""

    mean: float
    spread: float
    """Standard deviation, above 0."""

    def __post_init__(self) -> None:
        if not np.isfinite((self.mean, self.spread)).all() or self.spread <= 0:
            raise ExperimentError(f"a prior needs a finite mean and a spread above 0, got {self.mean}, {self.spread}")


DEFAULT = Prior(0.0, 0.2)
"""Before there is any experiment. Weak: one in six lifts is beyond 22 %. On the log of a click rate we measure a spread
of 0.28 between pictures of one headline (Upworthy Research Archive: J. N. Matias et al., Scientific Data 8, 2021; 615
tests) and of 0.007 between versions of a web shop (ASOS: C. H. B. Liu et al., NeurIPS Datasets, 2021; 57 contrasts)."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """Log lifts after shrinkage: posterior means and ends of the credible interval, shaped like the estimates."""

    mean: Array
    low: Array
    high: Array

    @property
    def relative(self) -> tuple[Array, Array, Array]:
        """As relative lifts: the median and the interval's ends, 0.05 for five percent."""
        return np.expm1(self.mean), np.expm1(self.low), np.expm1(self.high)


def prior_of(pooled: Pooled | None) -> Prior:
    """The spread of lifts that all experiments teach: of a style nobody has tried, on a product nobody has tried.

    Let it not be learnt from the experiment that is then shrunk where that one is a large part of all.
    """
    if pooled is None:
        return DEFAULT
    mean, variance = pooled.next_product("")
    return Prior(mean, float(np.sqrt(variance)))


def shrink(estimate: ArrayLike, standard_error: ArrayLike, prior: Prior = DEFAULT, level: float = 0.95) -> Shrunk:
    """Estimates of log lifts, each on its own.

    Args:
        estimate: log of the relative lift, any shape; its error normal.
        standard_error: of it, above 0; infinite where nothing was measured.

    Raises:
        ExperimentError: where an estimate is no number or a standard error not above 0.
    """
    value, error = np.asarray(estimate, dtype=np.float64), np.asarray(standard_error, dtype=np.float64)
    if not np.isfinite(value).all() or not (error > 0).all():
        raise ExperimentError("shrinkage needs finite log lifts and standard errors above 0")
    kept = np.square(prior.spread / np.hypot(prior.spread, error))
    mean = prior.mean + kept * (value - prior.mean)
    reach = float(ndtri((1 + level) / 2)) * prior.spread / np.hypot(1.0, prior.spread / error)
    return Shrunk(mean, mean - reach, mean + reach)


def shrink_arms(estimates: Array, errors: Array, prior: Prior = DEFAULT, level: float = 0.95) -> Shrunk:
    """All arms of one experiment together.

    The control's own quality counts among what is spread, as in `meta`: arms share half of the prior's variance.

    Args:
        estimates: ``(arms,)`` log lifts against one control.
        errors: ``(arms, arms)`` covariance of their errors: the control's variance in every cell, the arm's own added
            on the diagonal.

    Raises:
        ExperimentError: where ``errors`` is no covariance of ``estimates``.
    """
    value, noise = np.asarray(estimates, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if noise.shape != (len(value), len(value)) or not (np.isfinite(value).all() and np.isfinite(noise).all()):
        raise ExperimentError("shrinking arms together needs finite log lifts and the covariance of their errors")
    if not np.allclose(noise, noise.T) or np.linalg.eigvalsh(noise)[0] <= 0:
        raise ExperimentError("the covariance of the arms' errors is not positive definite")
    spread = prior.spread**2 * (np.eye(len(value)) + 1) / 2
    kept = np.linalg.solve(spread + noise, spread).T
    mean = prior.mean + kept @ (value - prior.mean)
    reach = float(ndtri((1 + level) / 2)) * np.sqrt(np.maximum(np.diag(spread - kept @ spread), 0.0))
    return Shrunk(mean, mean - reach, mean + reach)
