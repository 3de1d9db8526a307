"""Few units: a variance estimated from them makes z a Student's t, whose heavier tails are allowed for.

Everything that follows (arms, looks, boundaries) works on normal deviates, so a t is turned into the normal deviate of
the same tail, and a bound back into the t that has its tail.
"Student", "The probable error of a mean", Biometrika 6 (1908); far out by D. L. Wallace, "Bounds on normal
approximations to Student's and the chi-square distributions", Ann. Math. Statist. 30 (1959).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

Array = NDArray[np.float64]

_NORMAL_FROM = 1e4
"""Degrees of freedom from which t and z are the same to four digits as far as anyone looks."""
_SMALLEST_TAIL = 1e-290


def normal_of(t: Array, freedom: Array) -> Array:
    """The normal deviate with the tail of ``t``; 0 where there is no degree of freedom. Broadcasts."""
    t, freedom = np.broadcast_arrays(np.asarray(t, dtype=np.float64), freedom)
    if (freedom >= _NORMAL_FROM).all():
        return np.array(t)
    few = np.clip(freedom, 1.0, _NORMAL_FROM)
    size = np.abs(t)
    tail = stdtr(few, -size)
    wallace = (8 * few + 1) / (8 * few + 3) * np.sqrt(few * np.log1p(np.square(np.minimum(size, 1e150)) / few))
    z = np.where(tail > _SMALLEST_TAIL, -ndtri(np.maximum(tail, _SMALLEST_TAIL)), wallace)
    z = np.where(freedom >= _NORMAL_FROM, size, np.where(freedom < 1, 0.0, z))
    return np.asarray(np.copysign(z, t))


def t_of(z: Array, freedom: Array) -> Array:
    """The t, from 0 up, with the tail of the normal deviate ``z``; infinite without a degree of freedom. Broadcasts."""
    z, freedom = np.broadcast_arrays(np.asarray(z, dtype=np.float64), freedom)
    if (freedom >= _NORMAL_FROM).all():
        return np.array(z)
    few = np.clip(freedom, 1.0, _NORMAL_FROM)
    tail = ndtr(-z)
    power = np.minimum(np.square(np.minimum(z, 1e150) * (8 * few + 3) / (8 * few + 1)) / few, 700.0)
    wallace = np.sqrt(few * np.expm1(power))
    t = np.where(tail > _SMALLEST_TAIL, -stdtrit(few, np.maximum(tail, _SMALLEST_TAIL)), wallace)
    return np.asarray(np.where(freedom >= _NORMAL_FROM, z, np.where(freedom < 1, np.inf, t)))
