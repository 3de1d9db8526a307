"""Gathering evidence: the lake at one version, the one definition of what counts, and the engine that computes it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from experiments.core.errors import ExperimentError
from experiments.core.evidence import Batch, DailyCounts, Evidence, Health, SegmentMoments
from experiments.core.lifecycle import Dealing
from experiments.core.plan import Plan
from experiments.core.statistics.moments import OUTCOMES, PRODUCTS, UNITS, UnitMoments
from experiments.events.checkpoints import WORTH, Checkpoint, Checkpoints
from experiments.events.engine import DuckDB, Engine, Source
from experiments.events.kept import PREFIX, part_files
from experiments.events.keys import refuse_mixed_keys
from experiments.events.lake import EventLake
from experiments.events.question import READ, Divisions, Question
from experiments.events.storage import storage_failures
from experiments.events.stored import StoredTable

_Scopes = dict[tuple[str, str | None, str], dict[str, int]]
"""Facts by scope, segment and arm."""

_NEVER_READ = frozenset({"counts"})
"""What platforms counted is no evidence: its versions are not evidence's either, which so stays the same without it."""

_RULES = ("invalid_rules", "click_rules")
"""Facts by arm and rule."""


def gather(
    lake: EventLake,
    plan: Plan,
    as_of: datetime,
    versions: Mapping[str, int] | None = None,
    *,
    dealt: Sequence[Dealing] = (),
) -> Evidence:
    """What the lake says about an experiment's events before ``as_of``.

    Args:
        lake: the events.
        plan: sealed; gives the arms, the start, the attribution windows, the segments and the cap on money.
        as_of: exclusive upper bound of event time, aware.
        versions: of the lake's tables; by default the latest. The same versions give the same evidence, always.
        dealt: how units were dealt, the start first; nothing where that never changed.

    Raises:
        ExperimentError: when the lake has no such version.
        TryLater: while the unit key is being changed.
        StorageFailure: when it cannot be read.
    """
    latest = {name: version for name, version in lake.versions().items() if name not in _NEVER_READ}
    if versions and (unknown := sorted(set(versions) - set(latest))):
        raise ExperimentError(f"the lake has no table {unknown[0]!r}: it has {', '.join(latest)}")
    chosen = latest | dict(versions or {})
    read = {name: chosen[name] for name in READ}
    refuse_mixed_keys(lake, read)
    impressions, outcomes = (lake.source(name, version) for name, version in read.items())
    ask = partial(evidence_of, plan=plan, as_of=as_of, lake_versions=chosen, dealt=dealt, engine=lake.engine)
    with storage_failures(lake.root):
        if not isinstance(impressions, StoredTable):
            return ask(impressions, outcomes)
        impressions = impressions.apart("experiment", plan.experiment)  # of others' it only matters that they are
        ask = partial(ask, impressions, outcomes)
        if not lake.engine.keeps_parts:
            return ask()
        try:
            return _with_checkpoints(lake, plan, as_of, read, impressions, _divisions(plan, dealt, as_of), ask)
        except (OSError, duckdb.Error):  # a checkpoint is never needed
            return ask()


def _with_checkpoints(
    lake: EventLake,
    plan: Plan,
    as_of: datetime,
    versions: Mapping[str, int],
    impressions: StoredTable,
    divided: Divisions,
    ask: Callable[..., Evidence],
) -> Evidence:
    """Begun with what was found before, where something was; and what is found is kept where that is worth it."""
    checkpoints = Checkpoints(lake, plan, impressions, divided)
    known = checkpoints.find(as_of, versions)
    began = known.until if known else plan.start
    until = min(as_of, max(lake.at(name, version).end(as_of) for name, version in versions.items()))
    if impressions.rows(plan.experiment, str(began.date()) if known else "") < WORTH or until <= began:
        return ask(known=known)
    with checkpoints.adding(until, versions, known) as folder:
        return ask(known=known, keep=folder)


def evidence_of(
    impressions: Source,
    outcomes: Source,
    plan: Plan,
    as_of: datetime,
    lake_versions: Mapping[str, int],
    *,
    dealt: Sequence[Dealing] = (),
    engine: Engine | None = None,
    known: Checkpoint | None = None,
    keep: Path | None = None,
) -> Evidence:
    """The evidence in tables that have the lake's schemas, computed by ``engine``, by default DuckDB.

    It begins with what is ``known``, and its parts are left in the folder ``keep``, where these are given.
    """
    engine = engine or DuckDB()
    turns, holds = _reading(impressions, plan.experiment, engine, known)
    question = Question.of(
        plan, as_of,
        divided=_divisions(plan, dealt, as_of),
        turns=turns,
        known_until=known.until if known else None,
        holds=holds,
    )  # fmt: skip
    sources = dict(zip(READ, (impressions, outcomes), strict=True))
    past = {f"{PREFIX}{part}": files for part, files in part_files(known.folder).items()} if known else {}
    facts = engine.answer(question, sources, READ, past, keep).to_pylist()
    return _evidence(facts, plan, as_of.astimezone(UTC), lake_versions, _batches(plan, dealt, as_of))


def _reading(impressions: Source, experiment: str, engine: Engine, known: Checkpoint | None) -> tuple[int, bool]:
    """In how many turns units are told apart, and whether what came since ``known`` is held.

    In one turn where they are not files that the engine reads itself: what is fetched from elsewhere is fetched once.
    """
    if not isinstance(impressions, StoredTable):
        return 1, False
    rows = impressions.rows(experiment, str(known.until.date()) if known else "")
    return engine.turns(rows, numbered=impressions.numbered), known is not None and engine.holds(rows)


def _divisions(plan: Plan, dealt: Sequence[Dealing], as_of: datetime) -> Divisions:
    batches = tuple(batch.since for batch in _batches(plan, dealt, as_of)[1:])
    return Divisions(batches, tuple(dealing.since for dealing in dealt[1:] if dealing.since < as_of))


def _batches(plan: Plan, dealt: Sequence[Dealing], as_of: datetime) -> tuple[Dealing, ...]:
    """Begun before ``as_of``, anew at every change and at every look; none where nothing has changed by then.

    At looks too, because the weight a batch is to have must be known before its units are, and looks are planned.
    """
    begun = [dealing for dealing in dealt if dealing.since < as_of]
    if len(begun) < 2:
        return ()
    looks = {plan.look_time(look) for look in range(1, plan.looks.count + 1)}
    instants = sorted({dealing.since for dealing in begun} | {look for look in looks if look < as_of})
    return tuple(
        Dealing(instant, next(each.shares for each in reversed(begun) if each.since <= instant)) for instant in instants
    )


def whole_days(start: datetime, end: datetime) -> tuple[date, ...]:
    """The UTC days that lie in [start, end) from midnight to midnight."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    first = start.date() if start.time() == time() else start.date() + timedelta(days=1)
    return tuple(first + timedelta(days=n) for n in range(max(0, (end.date() - first).days)))


def _evidence(
    facts: Iterable[Mapping[str, Any]],
    plan: Plan,
    as_of: datetime,
    lake_versions: Mapping[str, int],
    dealt: Sequence[Dealing],
) -> Evidence:
    by_arm: dict[str, dict[str, int]] = defaultdict(dict)
    scopes: _Scopes = defaultdict(dict)
    batches: dict[int, _Scopes] = defaultdict(lambda: defaultdict(dict))
    daily: dict[tuple[date, str], dict[str, int]] = defaultdict(dict)
    rules: dict[str, dict[str, dict[str, int]]] = {name: defaultdict(dict) for name in _RULES}
    totals: dict[str, int] = {}
    seen: set[date] = set()
    moments: list[datetime] = []
    currencies: dict[str, int] = {}
    for row in facts:
        fact, value = row["fact"], int(row["value"])
        if row["batch"] is not None:
            batches[row["batch"]][row["scope"], row["segment"], row["arm"]][fact] = value
        elif row["scope"] is not None:
            scopes[row["scope"], row["segment"], row["arm"]][fact] = value
        elif fact.startswith("daily_"):
            daily[row["day"], row["arm"]][fact.removeprefix("daily_")] = value
        elif fact == "seen":
            seen.add(row["day"])
        elif fact == "last_event":
            moments += [row["moment"].astimezone(UTC)] if value else []
        elif fact == "currency":
            currencies[row["segment"]] = value
        elif fact in rules:
            rules[fact][row["arm"]][row["segment"]] = value
        elif row["arm"] is None:
            totals[fact] = value
        else:
            by_arm[row["arm"]][fact] = value
    shown = {arm for _, _, arm in scopes}.union(by_arm)
    arms = list(dict.fromkeys([*plan.weights, *sorted(shown)]))
    expected = whole_days(plan.start, as_of)
    clicks_apart = plan.attribution.click_conversion_days is not None
    return Evidence(
        experiment=plan.experiment,
        as_of=as_of,
        lake_versions=dict(lake_versions),
        arms={arm: _moments(scopes["all", None, arm]) for arm in arms},
        daily=tuple(_daily_counts(day, arm, daily[day, arm], told_apart=clicks_apart) for day, arm in sorted(daily)),
        health=Health(
            crossover_units=totals["crossover_units"],
            repeated_clicks=totals["repeated_clicks"],
            unmatched_clicks=totals["unmatched_clicks"],
            withdrawn_conversions=totals["withdrawn_conversions"],
            unmatched_adjustments=totals["unmatched_adjustments"],
            invalid_impressions=_of_arms("invalid_impressions", by_arm, arms),
            invalid_units=_of_arms("invalid_units", by_arm, arms),
            invalid_clicks=_of_arms("invalid_clicks", by_arm, arms),
            capped_units=_of_arms("capped_units", by_arm, arms),
            conversions_by_click=_by_click(daily, arms) if clicks_apart else {},
            invalid_rules=_of_rules(rules["invalid_rules"]),
            click_rules=_of_rules(rules["click_rules"]),
            currencies=dict(sorted(currencies.items())),
            days_expected=len(expected),
            days_covered=len(seen.intersection(expected)),
            last_event=max(moments, default=None),
        ),
        mature={arm: _moments(scopes["mature", None, arm]) for arm in arms},
        segments=_segments(scopes, plan.segments, arms),
        batches=tuple(
            _batch(each, until, batches[number], plan.segments, arms)
            for number, (each, until) in enumerate(
                zip(dealt, [*(after.since for after in dealt[1:]), as_of], strict=False)
            )
        ),
    )


def _of_arms(name: str, by_arm: Mapping[str, Mapping[str, int]], arms: Sequence[str]) -> dict[str, int]:
    return {arm: by_arm[arm].get(name, 0) for arm in arms}


def _of_rules(by_arm: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {arm: dict(sorted(rules.items())) for arm, rules in sorted(by_arm.items())}


def _batch(dealing: Dealing, until: datetime, scopes: _Scopes, columns: Sequence[str], arms: Sequence[str]) -> Batch:
    segments: dict[str, dict[str, dict[str, int]]] = {column: {} for column in columns}
    for (scope, segment, arm), facts in sorted(scopes.items(), key=lambda found: str(found[0])):
        if scope in segments and segment is not None:
            segments[scope].setdefault(segment, {})[arm] = facts[UNITS]
    return Batch(
        since=dealing.since.astimezone(UTC),
        until=until.astimezone(UTC),
        shares=dict(dealing.shares),
        arms={arm: _moments(scopes["all", None, arm]) for arm in arms},
        mature={arm: _moments(scopes["mature", None, arm]) for arm in arms},
        segments=segments,
        invalid_units={arm: scopes["all", None, arm].get("invalid_units", 0) for arm in arms},
    )


def _segments(
    scopes: Mapping[tuple[str, str | None, str], Mapping[str, int]], columns: Sequence[str], arms: Sequence[str]
) -> tuple[SegmentMoments, ...]:
    """Every arm in every segment, by column as planned, then by name."""
    nothing: Mapping[str, int] = {}
    return tuple(
        SegmentMoments(
            column,
            segment,
            arm,
            _moments(scopes.get((column, segment, arm), nothing)),
            _moments(scopes.get((f"mature:{column}", segment, arm), nothing)),
        )
        for column in columns
        for segment in sorted({segment for scope, segment, _ in scopes if scope == column and segment is not None})
        for arm in arms
    )


def _moments(facts: Mapping[str, int]) -> UnitMoments:
    return UnitMoments(
        facts.get(UNITS, 0),
        tuple(facts.get(name, 0) for name in OUTCOMES),
        tuple(facts.get(f"{left}*{right}", 0) for left, right in PRODUCTS),
    )


def _by_click(daily: Mapping[tuple[date, str], Mapping[str, int]], arms: Sequence[str]) -> dict[str, int]:
    counts = dict.fromkeys(arms, 0)
    for (_, arm), found in daily.items():
        counts[arm] += found.get("by_click", 0)
    return counts


def _daily_counts(day: date, arm: str, counts: Mapping[str, int], *, told_apart: bool) -> DailyCounts:
    names = ("impressions", "clicks", "conversions", *(("by_click",) if told_apart else ()))
    return DailyCounts(day, arm, *(counts.get(name, 0) for name in names))
