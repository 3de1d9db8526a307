"""Compact and retain: the lake's files are kept few, and events no longer than they may be."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from experiments.core.delivery import Delivery
from experiments.core.errors import StorageFailure
from experiments.core.lifecycle import Milestone, MilestoneKind, Phase, replay
from experiments.events import upkeep
from experiments.events.append import LOG
from experiments.events.lake import EventLake
from experiments.events.schema import TABLES, table_of
from experiments.ingest.files import IGNORED
from experiments.jobs.context import Context, Progress
from experiments.jobs.ingest import WRITER, WRITER_SECONDS
from experiments.jobs.job import WHOLE_WORKSPACE, Task
from experiments.store.codec import Damaged
from experiments.store.records import Life, MilestoneRecord

RETENTION_DAYS = 90
"""Events are kept for so long, and rejected lines; the moments that were computed from them stay."""
AGGREGATE_DAYS = 396
"""Thirteen months: counts tell of nobody, and a year is to be seen beside the one before."""
EVIDENCE = "evidence"
"""Snapshots in the control plane. Those that a verdict rests on are kept for ever: it must be possible to check it."""
BEGINNING = date(1970, 1, 1)
GONE_HOURS = 24
"""So long after they were forgotten events leave the disk."""
NOT_KEPT = frozenset({IGNORED, "superseded"})
"""Reasons whose lines are counted and not kept: they are of no matter, or the file came after the one in its place."""
MEASURING = (Phase.RUNNING, Phase.PAUSED, Phase.PROMOTED)
REPORTED_DAYS = 14
"""So long after an experiment's end its events are kept, too: its last page is made of them."""


class Compact:
    """A table whose folders have many files gets fewer; what nobody can need any more leaves the disk.

    Not where the register knows deliveries that the table does not: its log has lost its end, and what that told of
    looks like the files of writers who died.

    In an object store, files of writers who died are only looked for where there is something to compact: it takes a
    look at every file, and at all of the log.
    """

    name = "compact"
    summary = "make the lake's many small files few"
    every_minutes = 24 * 60

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:
        versions = context.lake.versions()
        orphaned = () if "://" in context.lake.root else upkeep.orphaned(context.lake, as_of)
        due = {*upkeep.crowded(context.lake), *orphaned}
        return tuple(Task(self.name, WHOLE_WORKSPACE, f"{name}-v{versions[name]}") for name in TABLES if name in due)

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]:  # noqa: ARG002
        name = task.period.rpartition("-v")[0]
        with context.ledger.lock(WRITER, context.owner, WRITER_SECONDS):
            refuse_behind(context, (name,))
            done = upkeep.compact(context.lake, name)
            gone = upkeep.vacuum(context.lake, name, RETENTION_DAYS * 24) if done.files else upkeep.Upkeep(name)
            orphans = upkeep.clear(context.lake, name, as_of)
        return {"table": name, "files": done.files, "removed": gone.files + orphans.files}


class Retain:
    """Forgets days older than RETENTION_DAYS, but for experiments that are needed, and evidence nobody judged by.

    What was forgotten leaves the disk with the first run after GONE_HOURS. Nothing else does: evidence names older
    versions of the days that are kept.
    """

    name = "retain"
    summary = f"forget events older than {RETENTION_DAYS} days"
    every_minutes = 24 * 60

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:
        tasks = []
        for name in TABLES:
            before, kept = _limit(context, name, as_of)
            old = any(day < before and experiment not in kept for day, experiment in upkeep.folders(context.lake, name))
            if old or upkeep.forgotten(context.lake, name, before, kept, _gone(as_of)):
                tasks.append(Task(self.name, WHOLE_WORKSPACE, f"{name}-{before.isoformat()}"))
        since = _first_day(as_of, AGGREGATE_DAYS)
        if context.control.unjudged_evidence(_midnight(since)):
            tasks.append(Task(self.name, WHOLE_WORKSPACE, f"{EVIDENCE}-{since.isoformat()}"))
        return tuple(tasks)

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]:  # noqa: ARG002
        name = task.period[: -len("-2026-01-01")]
        if name == EVIDENCE:
            since = _first_day(as_of, AGGREGATE_DAYS)
            return {
                "table": name, "rows": context.control.forget_evidence(_midnight(since)), "before": since.isoformat()
            }  # fmt: skip
        before, kept = _limit(context, name, as_of)
        with context.ledger.lock(WRITER, context.owner, WRITER_SECONDS):
            done = upkeep.forget(context.lake, name, before, kept)
            left = upkeep.forgotten(context.lake, name, before, kept, _gone(as_of))
            upkeep.remove(context.lake, name, left)
        return {"table": name, "rows": done.rows, "removed": len(left), "before": before.isoformat()}


def behind(lake: EventLake, registered: Iterable[Delivery]) -> dict[str, Delivery]:
    """The tables that lack what the register says they were given, each with the first such delivery.

    The register is read before the lake: it is told of a delivery after that.
    """
    found, handles = dict[str, Delivery](), {name: lake.begin(name) for name in TABLES}
    for each in registered:
        kept = sum(count for reason, count in each.rejected.items() if reason not in NOT_KEPT)
        for name, lines in ((table_of(each.kind), each.accepted), ("rejects", kept)):
            if lines and name not in found and not handles[name].delivered(each.sha256):
                found[name] = each
    return found


def refuse_behind(context: Context, names: Collection[str] = tuple(TABLES)) -> None:
    """To be asked before files that no log knows are removed.

    Raises:
        StorageFailure: where the register knows a delivery that one of these tables does not.
    """
    for name, lost in behind(context.lake, context.deliveries.all()).items():
        if name in names:
            raise StorageFailure(
                f"{context.lake.root}/{name}: the log does not know {lost.name} ({lost.sha256[:12]}), which was "
                f"delivered on {lost.finished_at:%Y-%m-%d}; nothing was changed or removed: restore {LOG} from your "
                "newest backup"
            )


def is_needed(history: Sequence[MilestoneRecord], as_of: datetime) -> bool:
    """Whether events of an experiment with this history are kept however old: it measures, or did until lately."""
    state = replay(Milestone(fact.kind, fact.payload) for fact in history)
    if state is None or all(fact.kind != MilestoneKind.STARTED for fact in history):
        return False
    return state.phase in MEASURING or history[-1].at > as_of - timedelta(days=REPORTED_DAYS)


def _gone(as_of: datetime) -> datetime:
    return as_of - timedelta(hours=GONE_HOURS)


def _first_day(as_of: datetime, days: int) -> date:
    """The first that is kept, so many days back."""
    return (as_of.astimezone(UTC) - timedelta(days=days)).date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _limit(context: Context, name: str, as_of: datetime) -> tuple[date, Collection[str]]:
    """The first day that a table keeps, and the experiments whose days it keeps whatever they are.

    Outcomes belong to no experiment until evidence is gathered: while any is needed, all since its start are kept.
    """
    before = _first_day(as_of, AGGREGATE_DAYS if name == "counts" else RETENTION_DAYS)
    if name not in ("impressions", "outcomes"):
        return before, ()
    since = {record.name: _needed_since(context, record.name, life, as_of) for record, life in context.control.lives()}
    needed = {experiment: day for experiment, day in since.items() if day is not None}
    if name == "outcomes":
        return min([before, *needed.values()]), ()
    return before, tuple(needed)


def _needed_since(context: Context, name: str, life: Life | Damaged, as_of: datetime) -> date | None:
    """The first day that an experiment needs; of a damaged one nobody knows, so nothing of it is forgotten."""
    try:
        history = context.control.history(name) if isinstance(life, Damaged) else life.history
    except Damaged:
        return BEGINNING
    if not is_needed(history, as_of):
        return None
    return BEGINNING if isinstance(life, Damaged) else life.plan.start.date()
