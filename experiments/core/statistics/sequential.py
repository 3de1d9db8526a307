"""Group-sequential boundaries: how far evidence must go at each look, so that all looks together keep alpha.

One contrast spends alpha by a family (`spending`) at the fractions of the plan that its looks were taken at; the
correlation between looks comes from the information that came. The Brownian score process is carried from look to look
by quadrature (P. Armitage, C. K. McPherson, B. C. Rowe, JRSS A 132, 1969; C. Jennison, B. W. Turnbull, Group Sequential
Methods, 2000, chapter 19). Spending by calendar time where that was planned: Lan and DeMets, Statist. Med. 8 (1989).

Several arms: solve the single-look joint problem for its critical value c, and spend 1 - Phi(c) on each contrast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from experiments.core.errors import ExperimentError
from experiments.core.statistics.spending import DEFAULT, Spending

if TYPE_CHECKING:  # most commands take no look, and it takes its time
    from scipy.interpolate import CubicSpline, PchipInterpolator

Array = NDArray[np.float64]

_NODES_A_WIDTH, _MORE_NODES = 1.5, 8
"""Gauss-Legendre nodes in each standard deviation of the narrowest step: z is then right to 2e-6. (64 in all would do
for eight looks, and be off by 0.2 at a hundred.)"""
MOST_LOOKS = 400
_FINEST = 1 / MOST_LOOKS
"""Steps of information smaller than this share of all are taken as this: less correlation than there is; cautious."""
_ENOUGH = 6.0
"""Standard deviations below which a path has no part in crossing above."""
_FAR = 8.5
"""Bounds in standard deviations beyond which nothing is carried on or can be spent in doubles."""
_NOTHING = 1e-15
_SMOOTH_FROM = 4
"""Points in a table from which a cubic through them is smooth."""
_NEVER = 1e300
"""Stands for infinity, times which 0 is nothing."""
_LEVELS = np.concatenate([np.linspace(0.49, 0.3, 4), np.geomspace(0.25, 1.5e-3, 12), np.geomspace(1e-3, 1e-11, 8)])
_BISECTIONS, _NEWTON_STEPS, _CONVERGED = 34, 40, 1e-11


class BadLooks(ExperimentError):
    """Looks or information fractions that no schedule can have."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks so far: information as it came, and how much of alpha may be spent by each.

    A look that was skipped is simply not there: what it would have spent falls due at the next. A last look spends all
    that is left, whether more information came than was planned (overrunning) or less.
    """

    look: int
    looks: int
    information: tuple[float, ...]
    """Of looks 1 .. ``look``, relative to each other; increasing."""
    spending: tuple[float, ...]
    """Fraction of the plan at which each was taken (calendar, or information); the last look's is 1."""
    family: Spending = DEFAULT

    def __post_init__(self) -> None:
        if not 1 <= self.look <= self.looks:
            raise BadLooks(f"look {self.look} of {self.looks} cannot be: looks are numbered from 1 to {self.looks}")
        if self.looks > MOST_LOOKS:
            raise BadLooks(f"{self.looks} looks cannot be told apart: choose 1 to {MOST_LOOKS}")
        if len(self.information) != self.look or len(self.spending) != self.look:
            raise BadLooks(f"look {self.look} needs {self.look} information fractions, got {len(self.information)}")
        steps = zip((0.0, *self.information), self.information, strict=False)
        if any(not before < after < np.inf for before, after in steps):
            raise BadLooks(f"information must grow from look to look, got {', '.join(map(str, self.information))}")
        if any(not 0 < fraction <= 1 for fraction in self.spending):
            raise BadLooks(f"fractions of the plan lie above 0 and up to 1, got {', '.join(map(str, self.spending))}")
        if any(before > after for before, after in zip(self.spending, self.spending[1:], strict=False)):
            raise BadLooks(f"fractions of the plan never fall, got {', '.join(map(str, self.spending))}")

    @classmethod
    def even(cls, look: int = 1, looks: int = 1, family: Spending = DEFAULT) -> "Looks":
        """Look ``look`` of ``looks`` equally informative ones."""
        if not 1 <= look <= looks <= MOST_LOOKS:
            raise BadLooks(f"look {look} of {looks} cannot be: write K/N with 1 <= K <= N <= {MOST_LOOKS}")
        fractions = tuple((number + 1) / looks for number in range(look))
        return cls(look, looks, fractions, fractions, family)

    @classmethod
    def at(cls, fractions: tuple[float, ...], *, final: bool = False, family: Spending = DEFAULT) -> "Looks":
        """Looks at these fractions of the planned information, the last given being the present one.

        It is the last of all where it reaches 1 (or more: overrunning) or ``final`` says so (under-running).
        """
        early = [fraction for fraction in fractions[:-1] if fraction >= 1]
        if early:
            raise BadLooks(f"at {early[0]:g} of the plan all of alpha was spent: no look can come after that one")
        last = bool(fractions) and (final or fractions[-1] >= 1)
        spending = (*fractions[:-1], 1.0) if last else fractions
        return cls(len(fractions), len(fractions) + (not last), fractions, spending, family)

    @property
    def last(self) -> bool:
        """Whether this is the last planned look."""
        return self.look == self.looks


@dataclass(frozen=True, slots=True)
class _Walk:
    """The score process where it has not stopped: mass on nodes of one look, ``(..., nodes)``."""

    time: float
    starts: Array
    mass: Array

    @classmethod
    def begin(cls, shape: tuple[int, ...]) -> "_Walk":
        return cls(0.0, np.zeros((*shape, 1)), np.ones((*shape, 1)))

    def beyond(self, z: Array, time: float, drift: Array | float = 0.0) -> tuple[Array, Array]:
        """P(not stopped before, Z > z at ``time``) and its derivative by z."""
        scale = np.sqrt(time - self.time)
        gap = (np.asarray(z)[..., None] * np.sqrt(time) - self.starts) / scale
        gap = gap - np.asarray(drift)[..., None] * scale
        slope = -(self.mass * np.exp(-np.square(np.minimum(np.abs(gap), 40.0)) / 2)).sum(-1)
        return (self.mass * ndtr(-gap)).sum(-1), slope * np.sqrt(time / (2 * np.pi)) / scale

    def onward(self, lower: Array, upper: Array, time: float, then: float, drift: Array | float = 0.0) -> "_Walk":
        """What lies between two z bounds at ``time``, for a next look at ``then``."""
        drift = np.asarray(drift)[..., None]
        scale = np.sqrt(time - self.time)
        centre = drift * time
        top = np.minimum(np.asarray(upper)[..., None] * np.sqrt(time), centre + _FAR * np.sqrt(time))
        bottom = np.maximum(np.asarray(lower)[..., None] * np.sqrt(time), centre - _FAR * np.sqrt(time))
        half = np.maximum(top - bottom, 0.0) / 2
        widths = 2 * float(half.max()) / min(scale, float(np.sqrt(then - time)))
        abscissas, weights = _gauss(16 * int(np.ceil(_NODES_A_WIDTH * widths / 16)) + _MORE_NODES)
        points = half * abscissas + (top + bottom) / 2
        kernel = (points / scale - drift * scale)[..., :, None] - (self.starts / scale)[..., None, :]
        np.square(kernel, out=kernel)  # in place: fresh memory would take as long as the arithmetic
        kernel *= -0.5
        np.exp(kernel, out=kernel)
        density = (kernel @ self.mass[..., None])[..., 0] / (scale * np.sqrt(2 * np.pi))
        return _Walk(time, points, density * weights * half)


@lru_cache(maxsize=128)
def _gauss(nodes: int) -> tuple[Array, Array]:
    abscissas, weights = np.polynomial.legendre.leggauss(nodes)
    return abscissas, weights


def _spaced(information: Sequence[float] | Array) -> list[float]:
    """Times of looks, none nearer to the one before than can be told apart."""
    finest, times = float(information[-1]) * _FINEST, [0.0]
    for amount in information:
        times.append(max(float(amount), times[-1] + finest))
    return times[1:]


def crossing_probabilities(
    upper: Sequence[float] | Array,
    lower: Sequence[float] | Array,
    information: Sequence[float] | Array,
    drift: Array | float = 0.0,
) -> tuple[Array, Array]:
    """Chances of leaving for the first time above, and below, at each look.

    Args:
        upper, lower: ``(..., looks)`` z bounds; infinite where there is none.
        information: ``(looks,)``, increasing.
        drift: ``(...)``; z has mean drift sqrt(information).

    Returns:
        Two arrays ``(..., looks)``, of the shape that bounds and drift have together.
    """
    upper, lower = np.asarray(upper, dtype=np.float64), np.asarray(lower, dtype=np.float64)
    drift = np.asarray(drift, dtype=np.float64)
    shape = np.broadcast_shapes(upper.shape[:-1], lower.shape[:-1], drift.shape)
    drift = np.broadcast_to(drift, shape)
    walk = _Walk.begin(shape)
    above, below, times = [], [], _spaced(information)
    for look, time in enumerate(times):
        high, low = np.broadcast_to(upper[..., look], shape), np.broadcast_to(lower[..., look], shape)
        above.append(walk.beyond(np.minimum(high, _NEVER), time, drift)[0])
        below.append(np.maximum(walk.mass.sum(-1) - walk.beyond(np.maximum(low, -_NEVER), time, drift)[0], 0.0))
        if look + 1 < len(times):
            walk = walk.onward(low, high, time, times[look + 1], drift)
    return np.stack(above, axis=-1), np.stack(below, axis=-1)


def boundaries(alpha: float, looks: Looks) -> Array:
    """Upper z boundaries of looks 1 .. ``looks.look`` for a one-sided level ``alpha`` over the whole plan.

    A look at which less can be spent than a double can tell has the boundary infinity.
    """
    return _boundaries(alpha, looks).copy()


@lru_cache(maxsize=1024)
def _boundaries(alpha: float, looks: Looks) -> Array:
    return _bounds_of(np.array([alpha]), looks)[:, 0]


def _bounds_of(levels: Array, looks: Looks) -> Array:
    """``(looks, levels)``: every level's boundary at every look so far."""
    spent = np.array([looks.family.spent(levels, fraction) for fraction in looks.spending])
    steps = np.diff(spent, axis=0, prepend=0.0)
    walk = _Walk.begin(levels.shape)
    none = np.full(levels.shape, -_ENOUGH)
    bounds, times = [], _spaced(looks.information)
    for number, (time, step) in enumerate(zip(times, steps, strict=True), start=1):
        bound = _spend(walk, time, step)
        bounds.append(bound)
        if number < looks.look:
            walk = walk.onward(none, bound, time, times[number])
    return np.array(bounds)


def _spend(walk: _Walk, time: float, step: Array) -> Array:
    """z bounds beyond which ``step`` of the walk lies: Newton on its logarithm, kept inside what is known."""
    low, high = np.full(step.shape, -_FAR), np.full(step.shape, _FAR)
    nothing = (step < _NOTHING) | (walk.beyond(high, time)[0] >= step)
    target = np.log(np.where(nothing, 0.5, step))
    z = np.clip(-ndtri_exp(np.minimum(target, np.log(0.999))), low + 1e-9, high - 1e-9)
    for _ in range(_NEWTON_STEPS):
        chance, slope = walk.beyond(z, time)
        error = np.log(np.maximum(chance, 1e-300)) - target
        low, high = np.where(error > 0, z, low), np.where(error > 0, high, z)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = z - error * chance / slope
        there = nothing | (np.abs(newton - z) < _CONVERGED)
        if there.all():
            break
        inside = (newton > low) & (newton < high)
        z = np.where(inside | there, newton, (low + high) / 2)
    return np.where(nothing, np.inf, z)


def futility_bounds(
    alpha: float, looks: Looks, *, drift: float, beta: float, information: Sequence[float]
) -> tuple[float, ...]:
    """Non-binding futility: z below which a contrast planned to have ``drift`` will hardly be called any more.

    beta is spent by the same family; the efficacy boundaries take no notice, so alpha is kept whether or not anyone
    stops. At the last look futility and efficacy meet at most: what is not better by then has failed.
    S. Pampallona, A. A. Tsiatis, J. Statist. Plann. Inference 42 (1994).

    Args:
        alpha: one-sided, of one contrast.
        looks: those so far.
        drift: z at information 1 expected under the planned lift.
        beta: 1 - power.
        information: of these looks, in the units in which ``drift`` is meant.

    Returns:
        One bound a look; minus infinity where nothing may be said yet.
    """
    uppers = boundaries(alpha, looks)
    due = np.diff([0.0, *(float(looks.family.spent(beta, fraction)) for fraction in looks.spending)])
    walk, bounds, times = _Walk.begin(()), [], _spaced(information)
    for number, (upper, time, step) in enumerate(zip(uppers, times, due, strict=True), start=1):
        mass = float(walk.mass.sum())
        low, high = -_FAR, min(float(upper), _FAR)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            short = mass - float(walk.beyond(np.array(middle), time, drift)[0]) < step
            low, high = (middle, high) if short else (low, middle)
        bound = low if low > -_FAR + 1e-6 else -np.inf
        bounds.append(bound)
        if number < len(times):
            walk = walk.onward(np.array(bound), np.array(upper), time, times[number], drift)
    return tuple(bounds)


def single_look_equivalent(z: Array, looks: Looks) -> Array:
    """The |z| that would be as surprising at a single look as ``z`` is at this look of this schedule.

    The one-sided level whose boundary at this look is ``z``, turned into a normal quantile; increasing in ``z``.
    """
    z = np.abs(np.asarray(z, dtype=np.float64))
    if looks.look == 1 and looks.last:
        return z
    table = _table(looks)
    return _far_equivalent(z, looks) if table is None else table.equivalent(z)


@dataclass(frozen=True, slots=True)
class _Table:
    """z at this look against the equivalent at a single look."""

    looks: Looks
    curve: "CubicSpline | PchipInterpolator"
    begins: tuple[float, float]
    """The smallest z that is tabled, and its equivalent; to 0 below that it is a straight line."""
    ends: tuple[float, float]
    """The largest z, and its equivalent."""
    beyond: float
    """By how much the far tail's formula is off at the table's end; it is carried on."""

    def equivalent(self, z: Array) -> Array:
        least, most = self.begins[0], self.ends[0]
        inside = np.where(z < least, z * self.begins[1] / least, self.curve(np.clip(z, least, most)))
        return np.asarray(np.where(z <= most, inside, self._far(z) + self.beyond))

    def _far(self, z: Array) -> Array:
        return _far_equivalent(z, self.looks)


def _far_equivalent(z: Array | float, looks: Looks) -> Array:
    """Far out, who crosses now has hardly ever crossed before: 1 - Phi(z) is what falls due at this look."""
    before = looks.spending[-2] if looks.look > 1 else 0.0
    log_level = looks.family.log_level(log_ndtr(-np.asarray(z)), before, looks.spending[-1])
    return np.asarray(-ndtri_exp(np.minimum(log_level, np.log(0.5))))


@lru_cache(maxsize=256)
def _table(looks: Looks) -> _Table | None:
    """None for a look so early that not even the largest level spends what a double can tell: all is far out there."""
    from scipy.interpolate import CubicSpline, PchipInterpolator

    bounds = _bounds_of(_LEVELS, looks)[-1]
    quantiles = -ndtri(_LEVELS)
    usable = np.isfinite(bounds) & (bounds > 0)
    bounds, quantiles = bounds[usable], quantiles[usable]
    if len(bounds) == 0:
        return None
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(bounds)) > 1e-6])
    xs, ys = bounds[rising], quantiles[rising]
    begins, ends = ((float(xs[place]), float(ys[place])) for place in (0, -1))
    beyond = ends[1] - float(_far_equivalent(ends[0], looks))
    smooth = len(xs) >= _SMOOTH_FROM
    curve = CubicSpline(xs, ys) if smooth else PchipInterpolator([0.0, *xs], [0.0, *ys])
    return _Table(looks, curve, begins, ends, beyond)


def boundary(critical: Array, looks: Looks) -> Array:
    """The z boundary at this look for contrasts whose single-look critical value is ``critical`` (elementwise)."""
    critical = np.asarray(critical, dtype=np.float64)
    if looks.look == 1 and looks.last:
        return critical
    values, place = np.unique(critical, return_inverse=True)
    low, high = np.zeros_like(values), np.full_like(values, 60.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = single_look_equivalent(middle, looks) < values
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(high[place].reshape(critical.shape))
