"""Group-sequential boundaries: how far evidence must go at each look, so that all looks together keep alpha.

One contrast, Lan and DeMets' spending of the O'Brien-Fleming type, alpha(t) = 2 (1 - Phi(z_{a/2} / sqrt t)) on each
side, at the information fractions that came. The Brownian score process is carried from look to look by quadrature
(P. Armitage, C. K. McPherson, B. C. Rowe, JRSS A 132, 1969). K. K. G. Lan, D. L. DeMets, Biometrika 70 (1983); with
spending by calendar time where that was planned: Lan and DeMets, Statist. Med. 8 (1989).

Several arms: solve the single-look joint problem for its critical value c, and spend 1 - Phi(c) on each contrast.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from experiments.core.errors import ExperimentError

Array = NDArray[np.float64]

_NODES = 96
_FAR = 8.5
"""Bounds in standard deviations beyond which nothing is carried on or can be spent in doubles."""
_NOTHING = 1e-15
_TABLE = np.concatenate([np.geomspace(1e-9, 1e-3, 19), np.geomspace(1.5e-3, 0.45, 30)])


class BadLooks(ExperimentError):
    """Looks or information fractions that no schedule can have."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks so far: information fractions as they came, and how much of alpha may be spent by each."""

    look: int
    looks: int
    information: tuple[float, ...]
    """Of looks 1 .. ``look``, relative to the last planned one; increasing."""
    spending: tuple[float, ...]
    """Fraction of the plan at which each was taken (calendar, or information); the last look's is 1."""

    def __post_init__(self) -> None:
        if not 1 <= self.look <= self.looks:
            raise BadLooks(f"look {self.look} of {self.looks} cannot be: looks are numbered from 1 to {self.looks}")
        if len(self.information) != self.look or len(self.spending) != self.look:
            raise BadLooks(f"look {self.look} needs {self.look} information fractions, got {len(self.information)}")
        steps = zip((0.0, *self.information), self.information, strict=False)
        if any(not before < after for before, after in steps):
            raise BadLooks(f"information must grow from look to look, got {', '.join(map(str, self.information))}")
        if any(not 0 < fraction <= 1 for fraction in self.spending):
            raise BadLooks(f"information fractions lie above 0 and up to 1, got {', '.join(map(str, self.spending))}")

    @classmethod
    def even(cls, look: int = 1, looks: int = 1) -> "Looks":
        """Look ``look`` of ``looks`` equally informative ones."""
        if looks < 1 or look < 1:
            raise BadLooks(f"look {look} of {looks} cannot be: write K/N with 1 <= K <= N")
        fractions = tuple((number + 1) / looks for number in range(look))
        return cls(look, looks, fractions, fractions)

    @classmethod
    def at(cls, fractions: tuple[float, ...]) -> "Looks":
        """Looks at these information fractions, the last given being the present one."""
        last = bool(fractions) and fractions[-1] >= 1
        return cls(len(fractions), len(fractions) + (not last), fractions, fractions)

    @property
    def last(self) -> bool:
        """Whether this is the last planned look."""
        return self.look == self.looks


def boundaries(alpha: float, looks: Looks) -> Array:
    """Upper z boundaries of looks 1 .. ``looks.look`` for a one-sided level ``alpha`` over the whole plan.

    A look at which less can be spent than a double can tell has the boundary infinity.
    """
    return np.array(_boundaries(alpha, looks))


@lru_cache(maxsize=4096)
def _boundaries(alpha: float, looks: Looks) -> tuple[float, ...]:
    spent = _spent(alpha, np.array(looks.spending))
    steps = np.diff(np.concatenate([[0.0], spent]))
    times = looks.information
    abscissas, weights = np.polynomial.legendre.leggauss(_NODES)
    bounds: list[float] = []
    points = density = None
    for number, (time, step) in enumerate(zip(times, steps, strict=True)):
        if points is None or density is None:
            scale, starts, mass = np.sqrt(time), np.zeros(1), np.ones(1)
        else:
            scale, starts, mass = np.sqrt(time - times[number - 1]), points, density

        def crossing(
            z: float, scale: float = scale, starts: Array = starts, mass: Array = mass, time: float = time
        ) -> float:
            return float(mass @ ndtr(-(z * np.sqrt(time) - starts) / scale))

        bound = _solve(crossing, step)
        bounds.append(bound)
        top = min(bound, _FAR) * np.sqrt(time)
        bottom = -_FAR * np.sqrt(time)
        points = (top - bottom) / 2 * abscissas + (top + bottom) / 2
        kernel = np.exp(-(((points[:, None] - starts[None, :]) / scale) ** 2) / 2) / (scale * np.sqrt(2 * np.pi))
        density = (kernel @ mass) * weights * (top - bottom) / 2
    return tuple(bounds)


def _solve(crossing, step: float) -> float:  # type: ignore[no-untyped-def]
    if step < _NOTHING or crossing(_FAR) >= step:
        return np.inf
    return float(brentq(lambda z: crossing(z) - step, -_FAR, _FAR, xtol=1e-12))


def _spent(alpha: float, fractions: Array) -> Array:
    return np.asarray(2 * ndtr(ndtri(alpha / 2) / np.sqrt(fractions)))


def single_look_equivalent(z: Array, looks: Looks) -> Array:
    """The |z| that would be as surprising at a single look as ``z`` is at this look of this schedule.

    The one-sided level whose boundary at this look is ``z``, turned into a normal quantile; increasing in ``z``.
    """
    z = np.abs(np.asarray(z, dtype=np.float64))
    if looks.look == 1 and looks.last:
        return z
    table_z, table_c = _table(looks)
    inside = PchipInterpolator(table_z, table_c, extrapolate=False)(np.clip(z, table_z[0], table_z[-1]))
    # Far out, earlier looks have spent nothing that counts: 2 (1 - Phi(z_{a/2} / sqrt t)) = 1 - Phi(z) is solved for a.
    half = -ndtri_exp(log_ndtr(-z) - np.log(2)) * np.sqrt(looks.spending[-1])
    far = -ndtri_exp(np.minimum(np.log(2) + log_ndtr(-half), np.log(0.5)))
    joint = np.interp(z, [table_z[-1], table_z[-1] + 0.5], [0.0, 1.0])
    return np.asarray(np.where(z <= table_z[-1], inside, inside * (1 - joint) + far * joint))


@lru_cache(maxsize=256)
def _table(looks: Looks) -> tuple[Array, Array]:
    levels = _TABLE[::-1]
    bounds = np.array([_boundaries(float(level), looks)[-1] for level in levels])
    quantiles = -ndtri(levels)
    usable = np.isfinite(bounds) & (bounds > 0)
    bounds, quantiles = bounds[usable], quantiles[usable]
    if len(bounds) == 0:
        raise BadLooks("this look comes too early to spend anything; give it more information")
    rising = np.concatenate([[True], np.diff(bounds) > 0])
    return np.concatenate([[0.0], bounds[rising]]), np.concatenate([[0.0], quantiles[rising]])


def boundary(critical: Array, looks: Looks) -> Array:
    """The z boundary at this look for contrasts whose single-look critical value is ``critical`` (elementwise)."""
    critical = np.asarray(critical, dtype=np.float64)
    if looks.look == 1 and looks.last:
        return critical
    low, high = np.zeros_like(critical), np.full_like(critical, 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        short = single_look_equivalent(middle, looks) < critical
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return high
