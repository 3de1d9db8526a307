"""The bell. APScheduler only says *when*; what is due and whether it was done stands in our own tables."""

import signal
import threading
from collections.abc import Callable
from datetime import UTC, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from creatives.errors import CreativeError
from experiments.core.errors import ExperimentError, TryLater
from experiments.jobs.context import Context
from experiments.jobs.job import Job, TaskRun, run_job
from experiments.jobs.presenting import task_line
from experiments.jobs.registry import JOBS
from experiments.store.ledger import LeaseHeld
from reports.errors import ReportError

Say = Callable[[str], None]
LEADER = "scheduler"
LEASE_SECONDS = 90.0


def build_scheduler(context: Context, say: Say) -> BackgroundScheduler:
    """A scheduler in UTC with one interval trigger a job.

    One worker thread: jobs of one tick run in order, and a job is never run beside itself. A bell missed while the
    machine slept rings once (coalesce), however late: the ledger knows what is due. Of bells of one instant APScheduler
    would ring by the alphabet, and a look be taken before its logs are read: they begin a moment apart.
    """
    begin = context.clock()
    scheduler = BackgroundScheduler(
        timezone=UTC,
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for place, job in enumerate(JOBS.values()):
        scheduler.add_job(
            ring, IntervalTrigger(minutes=job.every_minutes, timezone=UTC), args=(context, job, say),
            id=job.name, next_run_time=begin + timedelta(milliseconds=place),
        )  # fmt: skip
    return scheduler


def ring(context: Context, job: Job, say: Say) -> None:
    """One bell for one job, if this scheduler holds the lease."""
    try:
        _ring(context, job, say)
    except TryLater as later:
        say(f"{job.name}: later ({later})")


def _ring(context: Context, job: Job, say: Say) -> None:
    as_of = context.clock()

    def finished(task: TaskRun) -> None:
        say(f"{as_of:%Y-%m-%d %H:%M} {task_line(task)}")

    try:
        with context.ledger.lock(LEADER, context.owner, LEASE_SECONDS):
            run_job(context, job, as_of, finished=finished)
    except LeaseHeld as standing_by:
        say(f"{job.name}: standing by ({standing_by})")
        return
    except TryLater:  # of a database that is taken
        raise
    except (ExperimentError, CreativeError, ReportError) as error:
        say(f"{job.name}: failed ({error})")


def ring_once(context: Context, say: Say) -> None:
    """Every bell once, in order.

    Raises:
        TryLater: at the first that finds the database taken: each of the others would wait as long for it.
    """
    for job in JOBS.values():
        _ring(context, job, say)


def serve(context: Context, say: Say) -> None:
    """Ring until interrupted or told to end, as services and containers are (SIGTERM); the job at hand is finished.

    Signals reach the first thread, which only waits: APScheduler, while it submits a job, catches whatever is raised.
    """
    scheduler = build_scheduler(context, say)
    say(f"The scheduler rings for {', '.join(JOBS)} (UTC). Ctrl-C ends it; nothing is lost.")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        scheduler.start()
        threading.Event().wait()
    except (KeyboardInterrupt, SystemExit):
        if scheduler.running:
            scheduler.shutdown(wait=True)
        say("The scheduler has ended.")
    finally:
        signal.signal(signal.SIGTERM, before)
