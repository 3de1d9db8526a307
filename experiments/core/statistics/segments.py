"""Does a style win everywhere, or only with some? Its lift in each segment, and whether they differ at all.

Per arm: one ratio to the control for all segments against one for each. With z_s the segment's test at the common
ratio (the mid-p test of `rates`, so that few clicks do no harm), Q = sum z_s^2 is chi-square with S - 1 degrees of
freedom where segments do not differ (W. G. Cochran, Biometrics 10, 1954, with that z in place of Wald's). For values
z_s are normal contrasts of the difference. The arms' Q tests are corrected for each other by Holm.

A segment's own lift is noise around the common one more often than not, so beside it stands the shrunken lift:
tau^2 by R. C. Paule and J. Mandel (J. Res. Natl. Bur. Stand. 87, 1982), on the log of the ratio. Segments decide
nothing: their p-values are corrected by Holm over all arms and segments, and stay readings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc

from experiments.core.errors import ExperimentError
from experiments.core.statistics.dunnett import two_sided
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.multiplicity import Multiplicity, adjust
from experiments.core.statistics.rates import signed_z
from experiments.core.statistics.tables import ArmTable, Outcome, arm_table, dispersion_of, outcome_of

Array = NDArray[np.float64]

_FARTHEST = 30.0


class BadSegments(ExperimentError):
    """Segments that cannot be held against each other."""


@dataclass(frozen=True, slots=True)
class SegmentLift:
    """One arm in one segment; relative for counts, absolute for values. Numbers that do not exist are None."""

    segment: str
    arm: str
    units: int
    lift: float | None
    shrunken: float | None
    p: float
    p_adjusted: float
    """Over all arms and segments."""


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Whether one arm's lift differs between segments."""

    arm: str
    common: float | None
    """The lift in all segments together, each held against its own control."""
    q: float
    p: float
    p_adjusted: float
    """Over the arms."""
    spread: float
    """tau: standard deviation of true lifts between segments, on the log for counts."""
    inconsistency: float
    """I^2: the share of what is seen between segments that is no chance."""


@dataclass(frozen=True, slots=True)
class SegmentReading:
    """All arms in all segments."""

    heterogeneity: tuple[Heterogeneity, ...]
    lifts: tuple[SegmentLift, ...]


def read_segments(
    segments: Mapping[str, Mapping[str, PairMoments]], *, control: str, outcome: Outcome | None = None
) -> SegmentReading:
    """Hold every arm's segments against each other; segments in which an arm or the control has nobody are left out.

    Raises:
        BadSegments: for fewer than two usable segments, or an unknown control.
    """
    usable = {
        name: arms
        for name, arms in segments.items()
        if control in arms and len(arms) > 1 and all(each.x > 0 for each in arms.values())
    }
    if len(usable) < 2:
        raise BadSegments(f"{len(usable)} of {len(segments)} segments have every arm in them: two are needed")
    arms = tuple(next(iter(usable.values())))
    strangers = [name for name, found in usable.items() if set(found) != set(arms)]
    if strangers:
        raise BadSegments(f"segment {strangers[0]!r} has other arms than the first one")
    names = (control, *(arm for arm in arms if arm != control))
    moments = [[found[name] for name in names] for found in usable.values()]
    kind = outcome or outcome_of([each for row in moments for each in row])
    table = arm_table(moments, [[1.0] * len(names)] * len(usable))
    read = _values if kind is Outcome.VALUE else _counts
    found = [read(table, kind, arm) for arm in range(1, len(names))]
    joint = adjust(np.array([[two_sided(z) for z in each.alone] for each in found]).ravel())
    return SegmentReading(
        _differences(names[1:], found, kind), _lifts(tuple(usable), names[1:], table, found, joint, kind)
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """One arm: a number a segment."""

    effect: Array
    """Log ratios or differences."""
    variance: Array
    alone: Array
    """z of no lift."""
    common: float
    apart: Array
    """z of the common lift."""
    known: NDArray[np.bool_]


def _counts(table: ArmTable, outcome: Outcome, arm: int) -> _Read:
    pooled = table.y.sum(keepdims=True) / table.x.sum(keepdims=True)
    # Dispersion belongs to people, not to segments: one for all, which small segments could not tell.
    whole = ArmTable(**{name: getattr(table, name).sum(axis=0, keepdims=True) for name in ArmTable.__slots__})
    phi = np.broadcast_to(dispersion_of(whole, outcome, pooled)[0], table.y.shape)
    y1, x1, phi1 = table.y[:, arm], table.x[:, arm], phi[:, arm]
    y0, x0, phi0 = table.y[:, 0], table.x[:, 0], phi[:, 0]
    few1, few0 = y1 + 0.5 * phi1, y0 + 0.5 * phi0
    effect, variance = np.log(few1 / x1) - np.log(few0 / x0), phi1 / few1 + phi0 / few0
    effective, other = y1 / phi1, y0 / phi0

    def surplus(log: float) -> float:
        share = np.exp(log) * x1 / phi1 / (np.exp(log) * x1 / phi1 + x0 / phi0)
        return float((effective - (effective + other) * share).sum())

    some = effective.sum() > 0 and other.sum() > 0
    common = float(brentq(surplus, -_FARTHEST, _FARTHEST, xtol=1e-12)) if some else 0.0
    return _Read(
        effect,
        variance,
        signed_z(y1, x1, phi1, y0, x0, phi0),
        common,
        signed_z(y1, x1, phi1, y0, x0, phi0, np.exp(common)),
        (y1 > 0) | (y0 > 0),
    )


def _values(table: ArmTable, outcome: Outcome, arm: int) -> _Read:  # noqa: ARG001 - of the same form as `_counts`
    means = table.y / table.x
    variances = table.variances()
    effect, variance = means[:, arm] - means[:, 0], variances[:, arm] + variances[:, 0]
    known = (variance > 0) & np.isfinite(variance)  # of one unit, or units all alike, nothing is
    variance = np.clip(np.where(known, variance, np.inf), 1e-300, 1e300)
    weight = 1 / variance
    common = float((weight * effect).sum() / weight.sum())
    return _Read(
        effect, variance, effect / np.sqrt(variance), common, (effect - common) / np.sqrt(variance),
        known,
    )  # fmt: skip


def _differences(arms: tuple[str, ...], found: list[_Read], kind: Outcome) -> tuple[Heterogeneity, ...]:
    freedom = np.array([max(int(each.known.sum()) - 1, 1) for each in found])
    q = np.array([float(np.square(each.apart[each.known]).sum()) for each in found])
    p = np.maximum(chdtrc(freedom, q), np.finfo(np.float64).tiny)
    corrected = adjust(p, Multiplicity.HOLM)
    return tuple(
        Heterogeneity(
            arm,
            each.common if kind is Outcome.VALUE else float(np.expm1(each.common)),
            float(q[i]),
            float(p[i]),
            float(corrected[i]),
            float(np.sqrt(_between(each))),
            float(max(0.0, 1 - freedom[i] / q[i])) if q[i] > 0 else 0.0,
        )
        for i, (arm, each) in enumerate(zip(arms, found, strict=True))
    )


def _between(read: _Read) -> float:
    """Paule and Mandel's tau^2: the variance between segments at which Q is what chance alone would make it."""
    effect, variance = read.effect[read.known], read.variance[read.known]
    if len(effect) < 2:
        return 0.0

    def excess(tau2: float) -> float:
        weight = 1 / (variance + tau2)
        mean = (weight * effect).sum() / weight.sum()
        return float((weight * np.square(effect - mean)).sum()) - (len(effect) - 1)

    if excess(0.0) <= 0:
        return 0.0
    most = float(np.ptp(effect)) ** 2 + float(variance.max())
    return float(brentq(excess, 0.0, most * len(effect), xtol=1e-12))


def _lifts(
    segments: tuple[str, ...], arms: tuple[str, ...], table: ArmTable, found: list[_Read], joint: Array, kind: Outcome
) -> tuple[SegmentLift, ...]:
    lifts = []
    for i, (arm, read) in enumerate(zip(arms, found, strict=True)):
        tau2 = _between(read)
        trust = tau2 / (tau2 + read.variance)
        shrunken = read.common + trust * (read.effect - read.common)
        for j, segment in enumerate(segments):
            y1, x1, y0, x0 = table.y[j, i + 1], table.x[j, i + 1], table.y[j, 0], table.x[j, 0]
            if kind is Outcome.VALUE:
                own: float | None = float(read.effect[j])
                drawn = float(shrunken[j])
            else:
                own = float(y1 / x1 / (y0 / x0) - 1) if y0 > 0 else None
                drawn = float(np.expm1(shrunken[j]))
            lifts.append(
                SegmentLift(
                    segment,
                    arm,
                    int(table.units[j, i + 1]),
                    own,
                    drawn,
                    float(two_sided(read.alone[j])),
                    float(joint[i * len(segments) + j]),
                )
            )
    return tuple(lifts)
