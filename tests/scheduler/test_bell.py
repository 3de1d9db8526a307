import os
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from apscheduler.executors.pool import ThreadPoolExecutor

from experiments.core.errors import StorageFailure, TryLater
from experiments.jobs.job import Task
from experiments.jobs.registry import JOBS
from experiments.scheduler.bell import LEADER, build_scheduler, ring_once, serve


@pytest.fixture
def office(tmp_path):
    from experiments.cli.app import run
    from experiments.composition import open_context
    from experiments.workspace import open_workspace

    assert run(["init", str(tmp_path / "ads")]) == 0
    with open_context(open_workspace(tmp_path / "ads")) as stores:
        yield stores


def test_every_job_has_one_bell_in_utc(office):
    bells = {bell.id: bell for bell in build_scheduler(office, print).get_jobs()}
    assert set(bells) == set(JOBS)
    for name, bell in bells.items():
        assert bell.trigger.interval.total_seconds() == 60 * JOBS[name].every_minutes
        assert bell.trigger.timezone == UTC


def test_bells_of_one_instant_ring_in_the_order_of_a_tick(office):
    stopped = replace(office, clock=lambda: datetime(2026, 11, 9, 6, tzinfo=UTC))
    bells = build_scheduler(stopped, print).get_jobs()
    assert [bell.id for bell in sorted(bells, key=lambda bell: (bell.next_run_time, bell.id))] == list(JOBS)


def test_a_job_that_cannot_be_planned_is_said_in_one_line_and_the_others_ring(office, monkeypatch):
    def broken(*_arguments):
        raise StorageFailure("the lake is damaged")

    said = []
    monkeypatch.setattr(JOBS["compact"], "plan", broken, raising=False)
    ring_once(office, said.append)
    assert said == ["compact: failed (the lake is damaged)"]


def test_ringing_does_what_is_due(office):
    said = []
    (office.workspace.folder("inbox") / "impressions.csv").write_text(
        "event_id,ts,experiment,arm,unit\ni1,2026-11-02T10:00:00Z,nobody,original,u1\n"
    )
    ring_once(office, said.append)
    assert len(said) == 1
    assert "ingest impressions.csv: 1 read = 0 accepted + 0 duplicate + 1 rejected" in said[0]
    ring_once(office, said.append)
    assert len(said) == 1


def test_a_line_is_said_before_the_next_task_begins(office, monkeypatch):
    said, before = [], []

    class Two:
        name, summary, every_minutes = "compact", "try", 60

        def plan(self, _context, _as_of):
            return tuple(Task(self.name, name, "week") for name in ("autumn", "winter"))

        def act(self, _context, _task, _as_of, _progress):
            before.append(len(said))
            return {"table": "outcomes", "files": 1, "removed": 1}

    monkeypatch.setitem(JOBS, "compact", Two())
    ring_once(office, said.append)
    assert before == [0, 1]
    assert len(said) == 2


def test_a_second_scheduler_stands_by(office):
    said = []
    with office.ledger.lock(LEADER, "the other scheduler", 60):
        ring_once(office, said.append)
    assert len(said) == len(JOBS)
    assert all("standing by" in line for line in said)


@pytest.fixture
def ctrl_c():
    """It reaches us, though these tests may have been begun in the background of a script, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_finishes_the_job_at_hand(office, monkeypatch, ending):
    done = []

    def slow(*_arguments):
        os.kill(os.getpid(), ending)
        time.sleep(0.3)
        done.append("whole")
        return ()

    said = []
    monkeypatch.setattr(JOBS["generate"], "plan", slow, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    serve(office, said.append)
    assert (done[0], said[-1]) == ("whole", "The scheduler has ended.")
    assert office.ledger.last("lock").owner is None
    assert signal.getsignal(signal.SIGTERM) is before


def test_told_to_end_while_a_bell_is_being_rung_it_ends(office, monkeypatch):
    """APScheduler goes on after whatever is raised in it then."""
    submit, told = ThreadPoolExecutor._do_submit_job, []

    def interrupted(*arguments):
        if not told:
            told.append("once")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
        submit(*arguments)

    def again():
        told.append("again")
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ThreadPoolExecutor, "_do_submit_job", interrupted)
    patience = threading.Timer(20, again)
    patience.start()
    serve(office, [].append)
    patience.cancel()
    assert told == ["once"]


def test_ringing_once_ends_at_the_first_bell_that_finds_the_database_taken(office, monkeypatch):
    asked = []

    def taken(*_arguments):
        asked.append(1)
        raise TryLater("another process is writing to the database; try again in a moment")

    monkeypatch.setattr(office.ledger, "lock", taken)
    with pytest.raises(TryLater, match="another process is writing"):
        ring_once(office, print)
    assert len(asked) == 1
