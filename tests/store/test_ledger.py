"""Leases and fences on both databases."""

import os
import socket
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from experiments.core.errors import TryLater
from experiments.store.ledger import EntryState, LeaseHeld, LeaseLost, SqlLedger, process_owner

PERIOD = ("analyse", "spring-sale", "look-1")
ME, OTHER = process_owner("me"), "elsewhere:1:other"


@pytest.fixture
def ledger(engine, clock):
    return SqlLedger(engine, clock)


def test_a_period_is_done_once(ledger, clock):
    lease = ledger.claim(*PERIOD, ME, 600)
    assert (lease.fence, lease.until) == (1, clock.now + timedelta(seconds=600))
    assert not ledger.done(*PERIOD)
    ledger.finish(lease, {"look": 1, "at": clock.now})
    assert ledger.done(*PERIOD)
    assert ledger.claim(*PERIOD, OTHER, 600) is None
    (entry,) = ledger.entries()
    assert (entry.state, entry.owner, entry.lease_until, entry.attempts) == (EntryState.DONE, None, None, 1)
    assert entry.result == {"look": 1, "at": clock.now.isoformat()}


def test_a_held_period_is_refused_with_who_and_until_when(ledger):
    ledger.claim(*PERIOD, OTHER, 600)
    with pytest.raises(
        LeaseHeld, match=r"analyse spring-sale look-1 is held by elsewhere:1:other until 2026-11-02 06:10"
    ):
        ledger.claim(*PERIOD, ME, 600)
    with pytest.raises(TryLater):
        ledger.reopen(*PERIOD, ME, 600)
    assert ledger.claim("analyse", "spring-sale", "look-2", ME, 600).fence == 1


def test_an_expired_lease_is_taken_over_and_its_holder_can_do_nothing_more(ledger, clock):
    stale = ledger.claim(*PERIOD, OTHER, 600)
    clock.forward(seconds=600)
    fresh = ledger.claim(*PERIOD, ME, 600)
    assert fresh.fence > stale.fence
    for change in (
        lambda: ledger.finish(stale, {"by": "stale"}),
        lambda: ledger.fail(stale, "stale"),
        lambda: ledger.heartbeat(stale),
    ):
        with pytest.raises(LeaseLost, match="someone else took over"):
            change()
    ledger.finish(fresh, {"by": "fresh"})
    with pytest.raises(LeaseLost):
        ledger.finish(stale, {"by": "stale"})
    assert ledger.entries()[0].result == {"by": "fresh"}


def test_an_expired_lease_nobody_took_over_still_counts(ledger, clock):
    lease = ledger.claim(*PERIOD, ME, 600)
    clock.forward(days=1)
    ledger.finish(lease, {})
    assert ledger.done(*PERIOD)


def test_a_heartbeat_keeps_a_lease(ledger, clock):
    lease = ledger.claim(*PERIOD, OTHER, 600)
    clock.forward(seconds=599)
    lease = ledger.heartbeat(lease)
    clock.forward(seconds=599)
    with pytest.raises(LeaseHeld):
        ledger.claim(*PERIOD, ME, 600)
    ledger.finish(lease, {})


def test_a_failed_period_may_be_tried_again(ledger):
    ledger.fail(ledger.claim(*PERIOD, ME, 600), "the lake was away")
    (entry,) = ledger.entries()
    assert (entry.state, entry.error, entry.result) == (EntryState.FAILED, "the lake was away", None)
    again = ledger.claim(*PERIOD, ME, 600)
    assert (again.fence, ledger.entries()[0].attempts, ledger.entries()[0].error) == (2, 2, None)


def test_a_done_period_may_be_reopened(ledger):
    ledger.finish(ledger.reopen(*PERIOD, ME, 600), {"first": True})
    ledger.finish(ledger.reopen(*PERIOD, ME, 600), {"first": False})
    assert ledger.entries()[0].result == {"first": False}


def test_a_dead_process_of_this_host_holds_nothing(ledger):
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead = f"{socket.gethostname()}:{int(child.stdout)}:x"
    ledger.claim(*PERIOD, dead, 600)
    assert ledger.claim(*PERIOD, ME, 600).fence == 2


@pytest.mark.parametrize(
    "owner",
    [f"elsewhere:{2**22 + 1}:x", f"{socket.gethostname()}:{os.getpid()}:x", f"{socket.gethostname()}:1:x", "nobody"],
    ids=["another host", "this process", "a living process", "no process"],
)
def test_who_may_be_alive_keeps_the_lease(ledger, owner):
    ledger.claim(*PERIOD, owner, 600)
    with pytest.raises(LeaseHeld):
        ledger.claim(*PERIOD, ME, 600)


def test_entries_and_the_last_one(ledger, clock):
    for period in ("look-1", "look-2"):
        clock.forward(minutes=1)
        ledger.finish(ledger.claim("analyse", "spring-sale", period, ME, 600), {})
    clock.forward(minutes=1)
    ledger.claim("report", "-", "2026-W47", ME, 600)
    assert [entry.period for entry in ledger.entries()] == ["look-1", "look-2", "2026-W47"]
    assert [entry.period for entry in ledger.entries(experiment="spring-sale")] == ["look-1", "look-2"]
    assert ledger.last("analyse").period == "look-2"
    assert ledger.last("ingest") is None


def test_what_was_left_for_later_is_begun_and_may_be_claimed(ledger):
    ledger.fail(ledger.claim(*PERIOD[:2], "look-0", ME, 600), "broken")
    ledger.leave(ledger.claim(*PERIOD, OTHER, 600), "the lake is busy")
    assert ledger.begun("analyse") == {PERIOD[1:]}
    lease = ledger.claim(*PERIOD, ME, 600)
    assert ledger.begun("analyse") == {PERIOD[1:]}
    ledger.finish(lease, {})
    assert ledger.begun("analyse") == frozenset()


def test_a_lock_is_held_by_one_and_free_afterwards(ledger):
    with ledger.lock("lake", OTHER, 600):
        with pytest.raises(LeaseHeld, match="lock lake is held by elsewhere"), ledger.lock("lake", ME, 600):
            pass
        with ledger.lock("scheduler", ME, 600):
            pass
    with pytest.raises(RuntimeError), ledger.lock("lake", ME, 600):
        raise RuntimeError
    with ledger.lock("lake", ME, 600) as lease:
        assert lease.fence == 3


def test_a_kept_lease_beats_while_the_body_runs(ledger, monkeypatch):
    lease = ledger.claim(*PERIOD, ME, 0.03)
    beats = threading.Semaphore(0)
    heartbeat = ledger.heartbeat

    def counted(held):
        beats.release()
        return heartbeat(held)

    monkeypatch.setattr(ledger, "heartbeat", counted)
    with ledger.kept(lease):
        assert all(beats.acquire(timeout=20) for _ in range(3))
    ledger.finish(lease, {})


def test_a_kept_lease_that_was_lost_stops_beating(ledger, clock):
    lease = ledger.claim(*PERIOD, OTHER, 0.03)
    clock.forward(seconds=1)
    ledger.claim(*PERIOD, ME, 600)
    with ledger.kept(lease):
        next(thread for thread in threading.enumerate() if thread.name == "lease analyse look-1").join(20)
    with pytest.raises(LeaseLost):
        ledger.finish(lease, {})


def test_a_period_whose_holder_died_or_fell_silent_shows_as_interrupted(ledger, clock):
    ledger.claim(*PERIOD, OTHER, 600)
    assert ledger.last("analyse").state is EntryState.RUNNING
    clock.forward(seconds=600)
    assert ledger.last("analyse").state is EntryState.INTERRUPTED
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    ledger.claim("report", "-", "2026-W45", f"{socket.gethostname()}:{int(child.stdout)}:x", 600)
    assert [entry.state for entry in ledger.entries()] == [EntryState.INTERRUPTED] * 2
    assert ledger.begun("report") == {("-", "2026-W45")}
