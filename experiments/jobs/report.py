"""Report: the weekly page of every ISO week that has ended."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from experiments.core.errors import ExperimentError, TryLater
from experiments.jobs.analyse import Analyse
from experiments.jobs.context import Context, Progress, silent
from experiments.jobs.job import WHOLE_WORKSPACE, Task
from experiments.jobs.promote import PromoteWinners
from experiments.jobs.upkeep import AGGREGATE_DAYS
from experiments.store.codec import Damaged


@dataclass(frozen=True, slots=True)
class Week:
    """One ISO 8601 week, Monday to Sunday, in UTC."""

    monday: date

    def __str__(self) -> str:
        year, number, _ = self.monday.isocalendar()
        return f"{year}-W{number:02d}"

    @property
    def start(self) -> datetime:
        return datetime.combine(self.monday, time(), UTC)

    @property
    def end(self) -> datetime:
        """The midnight after Sunday."""
        return self.start + timedelta(weeks=1)


def week_of(instant: datetime) -> Week:
    """The week an instant lies in."""
    day = instant.astimezone(UTC).date()
    return Week(day - timedelta(days=day.weekday()))


def last_whole_week(instant: datetime) -> Week:
    """The latest week that had ended at ``instant``."""
    return Week(week_of(instant).monday - timedelta(weeks=1))


def parse_week(text: str) -> Week:
    """``2026-W47``, or an error that says so."""
    found = re.fullmatch(r"(\d{4})-W(\d{2})", text)
    try:
        return Week(date.fromisocalendar(int(found[1]), int(found[2]), 1)) if found else _bad_week(text)
    except ValueError:
        return _bad_week(text)


def _bad_week(text: str) -> Week:
    raise ExperimentError(f"{text!r} is no ISO week; write it like 2026-W47")


class LeftOut(ExperimentError):
    """A page was written, and somebody's experiment is not on it."""


class Report:
    """One page a week in which an experiment ran or was decided on; missing ones of earlier weeks are made up for, as
    long as evidence that nobody judged by is kept. One whose events are gone fails once."""

    name = "report"
    summary = "write the weekly page and its JSON"
    every_minutes = 60

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:
        created = [record.created_at for record in context.control.experiments()]
        if not created:
            return ()
        from experiments.jobs.weekly import PAGE_IS_LOST, in_week

        week, last = week_of(max(min(created), as_of - timedelta(days=AGGREGATE_DAYS))), last_whole_week(as_of)
        weeks = []
        while week.monday <= last.monday:
            weeks.append(week)
            week = Week(week.monday + timedelta(weeks=1))
        folder = context.workspace.folder("reports")
        lost = {entry.period for entry in context.ledger.entries(self.name) if PAGE_IS_LOST in (entry.error or "")}
        missing = [each for each in weeks if not (str(each) in lost or (folder / f"{each}.html").is_file())]
        lived = context.control.lives() if missing else ()  # once: weeks times experiments would be too many questions
        return tuple(
            Task(self.name, WHOLE_WORKSPACE, str(each)) for each in missing if in_week(lived, each.start, each.end)
        )

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]:
        _refuse_while_deciding(context, as_of)
        page, data = write_week(context, parse_week(task.period), None, context.workspace.folder("reports"), progress)
        return {"page": str(page), "data": str(data)}


def _refuse_while_deciding(context: Context, as_of: datetime) -> None:
    """A page is written once, so it waits for a look or a promotion that somebody is at, or had to leave for later."""
    for job in (Analyse(), PromoteWinners()):
        begun = context.ledger.begun(job.name)
        for task in job.plan(context, as_of) if begun else ():
            if (task.experiment, task.period) in begun:
                raise TryLater(f"{task.job} {task.experiment} {task.period} is due and belongs on the page")


def write_week(
    context: Context, week: Week, only: str | None, out: Path, progress: Progress = silent
) -> tuple[Path, Path]:
    """The page and the JSON of one week, of one experiment or of all that had news in it.

    Raises:
        LeftOut: of experiments that the page, which is written, is without.
        EventsForgotten: where one that was made before may tell more.
    """
    from experiments.jobs.weekly import PAGE_IS_LOST, EventsForgotten, build_report
    from reports.page import write_report

    report, left_out = build_report(context, str(week), week.start, week.end, only, progress)
    lost = next((each for each in left_out if isinstance(each, EventsForgotten)), None)
    if lost and (out / f"{week}.html").is_file():
        raise EventsForgotten(f"{lost}: {PAGE_IS_LOST}")
    written = write_report(report, out, lambda done, of: progress(f"drawing {week}", done, of))
    if left_out:
        mended = any(isinstance(each, Damaged) for each in left_out)
        again = f", then run adstyle report --week {week}" if mended else ""
        raise LeftOut(f"{written[0]} was written without {'; without '.join(map(str, left_out))}{again}")
    return written
