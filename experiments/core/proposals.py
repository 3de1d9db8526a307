"""Which styles to try next on a brief: each in proportion to how probably it is the best one there (Thompson).

Best on the next product, by the posterior of `meta.pool`. Ranking is untouched by what all candidates share (the
average style, the control's luck on the new product), so given the variances their lifts are read as independent with
quasi-variances: those that reproduce the variances of their differences (D. Firth and R. X. de Menezes, Biometrika 91,
2004; exact for two styles, and wherever the shared part is the same for all). The rest is a one-dimensional integral
(`posterior.best_of_means`), no Monte Carlo: the same evidence gives the same proposals.
W. R. Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 25 (1933).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError
from experiments.core.statistics.pooled import Pooled
from experiments.core.statistics.posterior import best_of_means
from experiments.core.verdict import Reason

Array = NDArray[np.float64]

LIKELY = 0.9
"""A style this probably better than the control is called proven."""

_AT_ONCE = 16
"""Nodes integrated in one pass: sixty styles at every node together would fill half a gigabyte."""


class Tried(StrEnum):
    """What became of a style on one brief."""

    BETTER = "better"
    """It beat the control there."""
    WORSE = "worse"
    """It lost to the control there."""
    RUNNING = "running"
    """It is being measured there."""
    INCONCLUSIVE = "inconclusive"
    """It was measured there and may be better or worse; it may be tried again."""


class Why(StrEnum):
    """Codes of the reasons for proposing a style; all have the same parameters."""

    PROVEN = "style_proven"
    """Almost surely better than the control on a typical product."""
    PROMISING = "style_promising"
    """More probably better than not."""
    DOUBTFUL = "style_doubtful"
    """More probably worse, but not so surely that it could not be the best here."""
    UNTRIED = "style_untried"
    """No experiment has shown it."""
    INCONCLUSIVE = "style_inconclusive_here"
    """Measured on this brief (``experiment``) without an answer."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One style to try: how probably it is the best of those that may be tried, and why."""

    style: str
    probability_best: float
    expected: float
    """Relative lift on the brief's product, the median."""
    low: float
    high: float
    experiments: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A style that is not proposed for a brief, because it has been settled there or is being measured."""

    style: str
    reason: Reason


def propose(
    pooled: Pooled,
    candidates: Sequence[str],
    tried: Mapping[str, tuple[Tried, str]] | None = None,
    *,
    product: str | None = None,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> tuple[Proposal, ...]:
    """The candidates that may be tried on a brief, the most promising first.

    Args:
        pooled: the posterior over all styles.
        candidates: exact looks that can be rendered; those nobody has tried stand at the average style, spread widely.
        tried: by look, what became of it on this brief and in which experiment.
        product: the brief as entries name it; what was measured on it counts for it in particular. None is a new one.
        higher_is_better: False where the metric is to fall.

    Raises:
        ExperimentError: where a candidate is named twice.
    """
    tried = tried or {}
    if len(set(candidates)) < len(candidates):
        raise ExperimentError("a style can be proposed once; name each candidate once")
    chosen = [style for style in candidates if style not in tried or tried[style][0] is Tried.INCONCLUSIVE]
    if not chosen:
        return ()
    means, covariances = pooled.on_product(product, chosen)
    sign = 1 if higher_is_better else -1
    variances, best = quasi_variances(covariances), np.zeros(len(chosen))
    for few in np.array_split(np.arange(len(means)), 1 + len(means) // _AT_ONCE):
        best += pooled.weights[few] @ best_of_means(sign * means[few], variances[few])[0]
    found = []
    for at, style in enumerate(chosen):
        expected, low, high = pooled.interval(means[:, at], covariances[:, at, at], level)
        known = pooled.style(style)
        better = known.probability_better if higher_is_better else 1 - known.probability_better
        code = _why(style in tried, known.experiments, better)
        said = {
            "style": style,
            "experiment": tried[style][1] if style in tried else None,
            "experiments": known.experiments,
            "probability_best": float(best[at]),
            "probability_better": better,
            "expected": expected,
            "low": low,
            "high": high,
        }
        found.append(Proposal(style, float(best[at]), expected, low, high, known.experiments, Reason(code, said)))
    # styles of equal chances, such as all untried ones, stand by name, not by the last bit of a sum
    return tuple(sorted(found, key=lambda each: (-round(each.probability_best, 9), each.style)))


def _why(tried_here: bool, experiments: int, better: float) -> Why:
    if tried_here:
        return Why.INCONCLUSIVE
    if not experiments:
        return Why.UNTRIED
    if better >= LIKELY:
        return Why.PROVEN
    return Why.PROMISING if better >= 1 / 2 else Why.DOUBTFUL


def quasi_variances(covariances: Array) -> Array:
    """``(nodes, styles)``: variances of independent normals whose differences vary as those of the given ones.

    Least squares over all pairs; two styles are given half of their difference's variance each.
    """
    size = covariances.shape[1]
    if size == 1:
        return covariances[:, :, 0]
    own = np.einsum("nii->ni", covariances)
    differences = (own[:, :, None] + own[:, None, :] - 2 * covariances).sum(axis=2)
    total = differences.sum(axis=1, keepdims=True) / (2 * (size - 1))
    if size == 2:
        return np.repeat(total / 2, 2, axis=1)
    smallest = 1e-3 * differences.min(axis=1, keepdims=True) / (size - 1)
    return np.asarray(np.maximum((differences - total) / (size - 2), smallest))


def left_out(tried: Mapping[str, tuple[Tried, str]]) -> tuple[LeftOut, ...]:
    """The styles that `propose` passes over on a brief, with the reason."""
    return tuple(
        LeftOut(style, Reason(f"style_{state}_here", {"style": style, "experiment": experiment}))
        for style, (state, experiment) in tried.items()
        if state is not Tried.INCONCLUSIVE
    )
