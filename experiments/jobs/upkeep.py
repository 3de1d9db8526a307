"""Compact and retain: the lake's files are kept few, and events no longer than they may be."""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from experiments.core.lifecycle import Phase
from experiments.events import upkeep
from experiments.events.schema import TABLES
from experiments.jobs.context import Context, Progress
from experiments.jobs.ingest import WRITER, WRITER_SECONDS
from experiments.jobs.job import WHOLE_WORKSPACE, Task

RETENTION_DAYS = 90
"""Events are kept for so long, and rejected lines; the moments that were computed from them stay."""
AGGREGATE_DAYS = 396
"""Thirteen months: counts tell of nobody, and a year is to be seen beside the one before."""
EVIDENCE = "evidence"
"""Snapshots in the control plane. Those that a verdict rests on are kept for ever: it must be possible to check it."""
GONE_HOURS = 24
"""So long after they were forgotten events leave the disk."""
MEASURING = (Phase.RUNNING, Phase.PAUSED, Phase.PROMOTED)


class Compact:
    """A table whose folders have many files gets fewer; what nobody can need any more leaves the disk.

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
            done = upkeep.compact(context.lake, name)
            gone = upkeep.vacuum(context.lake, name, RETENTION_DAYS * 24) if done.files else upkeep.Upkeep(name)
            orphans = upkeep.clear(context.lake, name, as_of)
        return {"table": name, "files": done.files, "removed": gone.files + orphans.files}


class Retain:
    """Forgets days older than RETENTION_DAYS, but for experiments that still measure, and evidence nobody judged by."""

    name = "retain"
    summary = f"forget events older than {RETENTION_DAYS} days"
    every_minutes = 24 * 60

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:
        tasks = []
        for name in TABLES:
            before, kept = _limit(context, name, as_of)
            old = any(day < before and experiment not in kept for day, experiment in upkeep.folders(context.lake, name))
            if old:
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
            upkeep.vacuum(context.lake, name, GONE_HOURS)
        return {"table": name, "rows": done.rows, "before": before.isoformat()}


def _first_day(as_of: datetime, days: int) -> date:
    """The first that is kept, so many days back."""
    return (as_of.astimezone(UTC) - timedelta(days=days)).date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _limit(context: Context, name: str, as_of: datetime) -> tuple[date, Collection[str]]:
    """The first day that a table keeps, and the experiments whose days it keeps whatever they are.

    Outcomes belong to no experiment until evidence is gathered: while any measures, all since its start are kept.
    """
    before = _first_day(as_of, AGGREGATE_DAYS if name == "counts" else RETENTION_DAYS)
    measuring = {
        record.name: context.control.plan(record.name)[0].start.date()
        for record in context.control.experiments()
        if record.phase in MEASURING
    }
    if name == "outcomes":
        return min([before, *measuring.values()]), ()
    return before, tuple(measuring) if name == "impressions" else ()
