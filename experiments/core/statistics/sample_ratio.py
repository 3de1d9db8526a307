"""The sample-ratio gate: did units arrive in the shares they were assigned in?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

Array = NDArray[np.float64]

THRESHOLD = 0.001
"""A fair split fails once in a thousand tests; a broken one soon fails by many orders of magnitude.
A. Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Pearson's chi-square of the units against their shares."""

    p: float
    ok: bool


def sample_ratio(units: Mapping[str, int], weights: Mapping[str, float], threshold: float = THRESHOLD) -> SampleRatio:
    """Test the units of every arm that has weight; an arm without weight must have none and is not counted."""
    arms = [arm for arm, weight in weights.items() if weight > 0]
    observed = np.array([[float(units.get(arm, 0)) for arm in arms]])
    shares = np.array([[weights[arm] for arm in arms]])
    p = float(sample_ratio_p(observed, shares)[0])
    return SampleRatio(p, p >= threshold)


def sample_ratio_p(observed: Array, shares: Array) -> Array:
    """p-values of ``(groups, arms)`` counts against relative shares; 1 where there is nothing to test.

    Arms without a share take no part.
    """
    taking_part = shares > 0
    total = np.where(taking_part, observed, 0.0).sum(axis=-1, keepdims=True)
    whole = shares.sum(axis=-1, keepdims=True)
    expected = np.divide(total * shares, whole, out=np.zeros_like(observed), where=whole > 0)
    terms = np.divide(np.square(observed - expected), expected, out=np.zeros_like(observed), where=expected > 0)
    freedom = taking_part.sum(axis=-1) - 1
    return np.where(freedom > 0, chdtrc(np.maximum(freedom, 1), terms.sum(axis=-1)), 1.0)
