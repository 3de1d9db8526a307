"""Adjusted p-values for several questions at once, along the last axis; a NaN asks nothing and stays NaN.

For secondary metrics and segments. Holm needs no assumption; Hochberg is sharper where the tests are independent or
positively dependent; Benjamini and Hochberg keep the share of false findings, not the chance of any.
S. Holm, Scand. J. Statist. 6 (1979); Y. Hochberg, Biometrika 75 (1988); Y. Benjamini, Y. Hochberg, JRSS B 57 (1995).
"""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Multiplicity(StrEnum):
    """How questions are corrected for each other."""

    HOLM = "holm"
    HOCHBERG = "hochberg"
    BENJAMINI_HOCHBERG = "benjamini_hochberg"
    NONE = "none"


def adjust(p: Array, method: Multiplicity = Multiplicity.HOLM) -> Array:
    """Adjusted p-values, of the shape of ``p``."""
    p = np.asarray(p, dtype=np.float64)
    match method:
        case Multiplicity.NONE:
            return p.copy()
        case Multiplicity.HOLM:
            return _stepped(p, lambda asked, rank: asked - rank, np.maximum.accumulate)
        case Multiplicity.HOCHBERG:
            return _stepped(p, lambda asked, rank: asked - rank, _from_the_largest)
        case Multiplicity.BENJAMINI_HOCHBERG:
            return _stepped(p, lambda asked, rank: asked / (rank + 1), _from_the_largest)


def _from_the_largest(stepped: Array, axis: int) -> Array:
    return np.asarray(np.flip(np.minimum.accumulate(np.flip(stepped, axis), axis=axis), axis))


def _stepped(p: Array, factor: Callable[[Array, Array], Array], monotone: Callable[..., Array]) -> Array:
    """Sorted p-values times their factors, made monotone, put back in place; NaNs sort last and count for nothing."""
    order = np.argsort(p, axis=-1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=-1)
    asked = np.isfinite(p).sum(axis=-1, keepdims=True).astype(np.float64)
    rank = np.broadcast_to(np.arange(p.shape[-1], dtype=np.float64), p.shape)
    known = np.isfinite(ordered)
    stepped = np.where(known, ordered * factor(np.maximum(asked, rank + 1), rank), 1.0)
    adjusted = np.where(known, np.minimum(monotone(np.minimum(stepped, 1.0), axis=-1), 1.0), np.nan)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, axis=-1)
    return result
