"""A job: what is due (``plan``, pure) and doing it (``act``, idempotent), run under the period ledger."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from creatives.errors import CreativeError
from experiments.core.errors import ExperimentError, StorageFailure, TryLater
from experiments.jobs.complaints import FULL, complaint
from experiments.jobs.context import Context, Progress, silent
from experiments.store.codec import Damaged
from experiments.store.records import ExperimentRecord
from reports.errors import ReportError

LEASE_SECONDS = 600.0
WHOLE_WORKSPACE = "-"
"""Stands for the experiment where a task belongs to none."""

DAMAGED = "damaged"
"""The period of an experiment that cannot be worked on."""

TaskState = Literal["done", "failed", "later"]


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of due work, named by what it covers and not by when it runs."""

    job: str
    experiment: str
    period: str
    called: str = field(default="", compare=False)
    """What people know it by, where its period tells them nothing."""


@dataclass(frozen=True, slots=True)
class TaskRun:
    """What became of a task: ``later`` means that someone else holds it."""

    task: Task
    state: TaskState
    result: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    exit_code: int = 0
    """What a command that does this task alone ends with: 2 where someone's input is wrong, 1 or 75 where not."""


@dataclass(frozen=True, slots=True)
class JobRun:
    """What became of a job at one instant."""

    job: str
    as_of: datetime
    tasks: tuple[TaskRun, ...]

    @property
    def exit_code(self) -> int:
        """0 done (also where nothing was due), 1 failed, 75 try later."""
        states = {run.state for run in self.tasks}
        return 1 if "failed" in states else 75 if "later" in states else 0

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "job": self.job,
            "as_of": self.as_of.isoformat(),
            "exit_code": self.exit_code,
            "tasks": [
                {
                    "experiment": None if run.task.experiment == WHOLE_WORKSPACE else run.task.experiment,
                    "period": run.task.period,
                    "state": run.state,
                    "result": run.result,
                    "error": run.error,
                }
                for run in self.tasks
            ],
        }


def raise_if_failed(run: JobRun) -> None:
    """For commands that do one job's work: the first failure as an error with its exit code."""
    trouble = next((each for each in run.tasks if each.state != "done"), None)
    if trouble:
        message = trouble.error or f"{trouble.task.job} {trouble.task.experiment} did not end"
        raise TryLater(message) if trouble.state == "later" else TaskFailed(message, trouble.exit_code)


class TaskFailed(ExperimentError):
    """A task was tried and did not succeed; it is due again."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _MistakeOfOurs(Exception):
    """A task failed by what nobody foresaw, which is the cause."""

    def __init__(self, run: TaskRun) -> None:
        super().__init__(run.error)
        self.run = run


def tasks_by_experiment(context: Context, job: str, due: Callable[[ExperimentRecord], str | None]) -> tuple[Task, ...]:
    """The period that is ``due`` of each experiment; a damaged one has a task, too, which fails by its name."""
    tasks = []
    for record in context.control.experiments():
        try:
            period = due(record)
        except Damaged:
            period = DAMAGED
        if period is not None:
            tasks.append(Task(job, record.name, period))
    return tuple(tasks)


class Job(Protocol):
    """``plan`` reads and decides; ``act`` may be repeated at any point without harm."""

    name: str
    summary: str
    every_minutes: int
    """How often the scheduler rings for it."""

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]: ...

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]: ...


def run_job(
    context: Context,
    job: Job,
    as_of: datetime,
    *,
    progress: Progress = silent,
    finished: Callable[[TaskRun], None] = lambda _run: None,
) -> JobRun:
    """Do everything of ``job`` that is due at ``as_of``, and call ``finished`` with each task as soon as it is tried.

    Doing one task may make another due (the next look, after this one), so the plan is asked again until it is empty
    or names only what was tried already.

    Raises:
        Exception: a mistake of ours in one task, once all others were tried.
    """
    runs: dict[Task, TaskRun] = {}
    first: BaseException | None = None
    while fresh := [task for task in job.plan(context, as_of) if task not in runs]:
        of = len(runs) + len(fresh)
        for task in fresh:
            progress(job.name, len(runs), of)
            try:
                runs[task] = _run_task(context, job, task, as_of, progress)
            except _MistakeOfOurs as mistake:
                runs[task], first = mistake.run, first or mistake.__cause__
            finished(runs[task])
        progress(job.name, of, of)
    if first:
        raise first
    return JobRun(job.name, as_of, tuple(runs.values()))


def _run_task(context: Context, job: Job, task: Task, as_of: datetime, progress: Progress) -> TaskRun:
    key = (task.job, task.experiment, task.period, context.owner, LEASE_SECONDS)
    try:
        # The plan looks at what exists, so where the ledger says done and the plan says due (a page was deleted, say),
        # the plan is right and the period is opened again.
        lease = context.ledger.claim(*key) or context.ledger.reopen(*key)
    except TryLater as error:
        return TaskRun(task, "later", error=str(error), exit_code=error.exit_code)
    try:
        with context.ledger.kept(lease), _files_named():
            _refuse_damaged(context, task)
            result = job.act(context, task, as_of, progress)
    except (ExperimentError, CreativeError, ReportError) as error:
        later = isinstance(error, TryLater)
        (context.ledger.leave if later else context.ledger.fail)(lease, str(error))
        state: TaskState = "later" if later else "failed"
        return TaskRun(task, state, error=str(error), exit_code=getattr(error, "exit_code", ExperimentError.exit_code))
    except BaseException as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        context.ledger.fail(lease, said)
        if not isinstance(error, Exception):  # who interrupts means all of it
            raise
        raise _MistakeOfOurs(TaskRun(task, "failed", error=said, exit_code=1)) from error
    context.ledger.finish(lease, result)
    return TaskRun(task, "done", result)


def _refuse_damaged(context: Context, task: Task) -> None:
    if task.period == DAMAGED:
        raise context.control.damage(task.experiment) or TryLater(f"{task.experiment} was being mended; try again")


@contextmanager
def _files_named() -> Iterator[None]:
    """A file that cannot be used fails the task that met it, by its name; the other tasks go on."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFailure("the disk is full: free some space and run the same command again") from error
        said = complaint(error)
        if said is None:
            raise
        raise StorageFailure(said) from error
