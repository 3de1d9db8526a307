"""The leaderboard: what all experiments of a workspace together say of each exact look, and what to try next.

Counted is the latest judged evidence of every experiment, unless that verdict is invalid. One board for each primary
metric and control, because only lifts of one thing over one thing can be pooled.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from creatives.errors import CreativeError
from experiments.core.evidence import Evidence
from experiments.core.lifecycle import Phase
from experiments.core.names import check_name
from experiments.core.plan import Direction, Metric, Plan
from experiments.core.proposals import LeftOut, Proposal, Tried, left_out, propose
from experiments.core.statistics.meta import random_effects
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.pooled import Pooled
from experiments.core.statistics.pooling import Entry, entry_of, pool
from experiments.core.verdict import Kind, Reason
from experiments.jobs.context import Context, Progress, silent
from experiments.store.codec import Damaged
from experiments.store.records import ExperimentRecord, VerdictRecord

MEASURING = (Phase.RUNNING, Phase.PAUSED)
HASH = re.compile(r"#[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class OwnEvidence:
    """A style's own experiments, two or more, without help from others: REML and Hartung-Knapp."""

    expected: float
    """Mean relative lift."""
    low: float
    high: float
    tau: float
    """Standard deviation of the true log lifts between products."""
    i_squared: float
    q_p: float
    """Of all products being alike."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One exact look on the board; lifts are relative, 0.05 for five percent."""

    style: str
    experiments: int
    expected: float
    """On a typical product, with the 95 % interval."""
    low: float
    high: float
    next_low: float
    """95 % interval for one new product."""
    next_high: float
    probability_better: float
    """That the style is better than the control on a typical product, in the metric's direction."""
    last_seen: datetime
    """The latest look that judged it."""
    alone: OwnEvidence | None


@dataclass(frozen=True, slots=True)
class Board:
    """All looks measured on one metric against one control, the best first."""

    metric: str
    direction: str
    control: str
    experiments: tuple[str, ...]
    tau: float
    """Standard deviation of the log lift between products, for one style."""
    omega: float
    """Between styles."""
    standings: tuple[Standing, ...]
    proposals: tuple[Proposal, ...]
    settled: tuple[LeftOut, ...]
    """Styles that are not proposed for the brief."""


@dataclass(frozen=True, slots=True)
class Uncounted:
    """An experiment that has started but says nothing here, and why."""

    experiment: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Everything the workspace's experiments say of styles."""

    brief: str | None
    boards: tuple[Board, ...]
    uncounted: tuple[Uncounted, ...]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One started experiment: its plan, and the latest verdict where there is one."""

    record: ExperimentRecord
    plan: Plan
    latest: VerdictRecord | None

    @property
    def key(self) -> tuple[str, str, str]:
        metric = self.plan.primary
        return metric.name, str(metric.direction), _looks(self.plan)[self.plan.control]


@dataclass(frozen=True, slots=True)
class _Counted(_Judged):
    """One whose latest verdict has evidence to pool."""

    latest: VerdictRecord
    entry: Entry


def build_leaderboard(
    context: Context, brief: str | None = None, progress: Progress = silent, until: datetime | None = None
) -> Leaderboard:
    """The boards, with proposals for ``brief``; for a new product where it is None.

    Only looks that were due by ``until`` count, where it is given.

    Raises:
        BadName: for a brief's name that could be none.
        Unknown: for a brief that is neither in the control plane nor in the workspace's folder.
    """
    if brief is not None:
        path = context.workspace.folder("briefs") / f"{check_name('brief', brief)}.yaml"
        if not path.is_file():
            context.control.brief(brief)
    records = context.control.experiments()
    judged, damaged = [], []
    for number, record in enumerate(records):
        if record.plan_hash is not None:
            try:
                judged.append(_read(context, record, until))
            except Damaged:
                damaged.append(_not_counted(record, "experiment_damaged"))
        progress("reading experiments", number + 1, len(records))
    counted = [each for each in judged if isinstance(each, _Counted)]
    keys = dict.fromkeys(each.key for each in counted)
    candidates = _candidates(context, counted) if keys else ()
    boards = [_board(key, [each for each in judged if each.key == key], candidates, brief) for key in keys]
    boards.sort(key=lambda board: -len(board.experiments))
    uncounted = (_uncounted(each) for each in judged if not isinstance(each, _Counted))
    return Leaderboard(brief, tuple(boards), (*uncounted, *damaged))


def _read(context: Context, record: ExperimentRecord, until: datetime | None) -> _Judged:
    brief, (plan, _) = record.brief, context.control.plan(record.name)
    verdicts = context.control.verdicts(record.name)
    if until is not None:
        verdicts = tuple(each for each in verdicts if plan.look_time(each.look) <= until)
    latest = verdicts[-1] if verdicts else None
    if latest is None or latest.kind == Kind.INVALID:
        return _Judged(record, plan, latest)
    evidence = context.control.evidence(latest.evidence_id)
    looks = _looks(plan)
    entry = entry_of(record.name, brief, _pairs(plan, evidence, plan.primary), looks[plan.control])
    return _Judged(record, plan, latest) if entry is None else _Counted(record, plan, latest, entry)


def _looks(plan: Plan) -> dict[str, str]:
    return {arm.name: arm.style for arm in plan.arms}


def _pairs(plan: Plan, evidence: Evidence, metric: Metric) -> dict[str, PairMoments]:
    """Moments by exact look: evidence belongs to the look, whatever its arm was called."""
    pairs: dict[str, PairMoments] = {}
    fair = evidence.standardised(tuple(plan.weights), metric)
    for arm in plan.arms:
        pair = fair[arm.name]
        pairs[arm.style] = pairs[arm.style] + pair if arm.style in pairs else pair
    return pairs


def _uncounted(judged: _Judged) -> Uncounted:
    if judged.latest is None:
        code = "experiment_not_judged"
    elif judged.latest.kind == Kind.INVALID:
        code = "experiment_invalid"
    else:
        code = "experiment_without_lift"
    return _not_counted(judged.record, code)


def _not_counted(record: ExperimentRecord, code: str) -> Uncounted:
    return Uncounted(record.name, Reason(code, {"experiment": record.name}))


def _candidates(context: Context, counted: Sequence[_Counted]) -> tuple[str, ...]:
    """Exact looks that can be rendered today: every pack as it is, and measured ones that are still the same."""
    found = [context.library.resolve(pack.name).identity for pack in context.library.packs()]
    for identity in dict.fromkeys(style for each in counted for style in each.entry.styles):
        try:
            look = context.library.resolve(HASH.sub("", identity))
        except CreativeError:
            continue  # the pack has gone since; its evidence stands, but it cannot be rendered
        found.append(look.identity)
    return tuple(dict.fromkeys(found))


def _board(key: tuple[str, str, str], judged: Sequence[_Judged], candidates: Sequence[str], brief: str | None) -> Board:
    metric, direction, control = key
    counted = [each for each in judged if isinstance(each, _Counted)]
    entries = [each.entry for each in counted]
    pooled = pool(entries)
    rising = direction == Direction.INCREASE
    tried = _tried([each for each in judged if each.record.brief == brief]) if brief else {}
    standings = [
        _standing(pooled, style, counted, rising) for style in dict.fromkeys(cell.style for cell in pooled.cells)
    ]
    standings.sort(key=lambda each: (-each.expected if rising else each.expected, each.style))
    return Board(
        metric, direction, control, tuple(each.record.name for each in counted), pooled.tau, pooled.omega,
        tuple(standings),
        propose(
            pooled, [look for look in candidates if look != control], tried, product=brief, higher_is_better=rising
        ),
        left_out(tried),
    )  # fmt: skip


def _standing(pooled: Pooled, style: str, counted: Sequence[_Counted], rising: bool) -> Standing:
    lift = pooled.style(style)
    showed = [each for each in counted if style in each.entry.styles]
    return Standing(
        style, lift.experiments, lift.expected, lift.low, lift.high, lift.next_low, lift.next_high,
        lift.probability_better if rising else 1 - lift.probability_better,
        max(each.plan.look_time(each.latest.look) for each in showed),
        _alone([each.entry for each in showed], style),
    )  # fmt: skip


def _alone(entries: Sequence[Entry], style: str) -> OwnEvidence | None:
    if len(entries) < 2:
        return None
    own = np.array([[each[entry.styles.index(style)] for each in entry.contrasts()] for entry in entries]).T
    found = random_effects(own[0], own[1])
    expected, low, high = (float(np.expm1(each[0])) for each in (found.mean, found.low, found.high))
    return OwnEvidence(expected, low, high, float(found.tau[0]), float(found.i_squared[0]), float(found.q_p[0]))


def _tried(here: Sequence[_Judged]) -> dict[str, tuple[Tried, str]]:
    """What became of each look in the experiments on one brief: being measured before settled before open."""
    found: dict[str, tuple[Tried, str]] = {}
    for each in here:
        for style, state in _outcomes(each).items():
            if style not in found or _rank(state) >= _rank(found[style][0]):
                found[style] = (state, each.record.name)
    return found


def _rank(state: Tried) -> int:
    return {Tried.INCONCLUSIVE: 0, Tried.RUNNING: 2}.get(state, 1)


def _outcomes(judged: _Judged) -> dict[str, Tried]:
    plan = judged.plan
    looks = {name: style for name, style in _looks(plan).items() if name != plan.control}
    if judged.record.phase in MEASURING:
        return dict.fromkeys(looks.values(), Tried.RUNNING)
    compared = judged.latest.document["comparison"] if isinstance(judged, _Counted) else None
    if compared is None:
        return dict.fromkeys(looks.values(), Tried.INCONCLUSIVE)
    lifts = {lift["arm"]: lift for lift in compared["lifts"]}
    rising = plan.primary.direction is Direction.INCREASE
    return {style: _outcome(lifts[name], plan.alpha, rising) for name, style in looks.items()}


def _outcome(lift: Mapping[str, float | None], alpha: float, rising: bool) -> Tried:
    p, absolute = lift["p_adjusted"], lift["absolute"]
    if p is None or absolute is None or p > alpha:
        return Tried.INCONCLUSIVE
    return Tried.BETTER if (absolute > 0) is rising else Tried.WORSE
