"""A process killed at every statement of a write: afterwards the write has happened whole, or not at all.

The child kills itself (SIGKILL, so nothing of Python's or SQLite's tidying runs) just before its nth statement, its
commit, or just after it.
"""

import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from experiments.core.lifecycle import Approve, FinishGeneration, Generate, replay
from experiments.core.plan import Arm, Plan
from experiments.store.control import ControlPlane
from experiments.store.database import migrate, open_database
from experiments.store.ledger import SqlLedger
from experiments.store.records import VariantRecord

NAME = "spring-sale"
NOW = datetime(2026, 11, 2, 6, tzinfo=UTC)
PLAN = Plan(NAME, NAME, "original", (Arm("original", "original"), Arm("mosaic", "mosaic#0123456789ab")), start=NOW)

CHILD = f"""
import os, signal, sys
from datetime import UTC, datetime
from sqlalchemy import event
from experiments.core.plan import Arm, Plan
from experiments.store.control import ControlPlane
from experiments.store.database import open_database
from experiments.store.ledger import SqlLedger

url, work, fatal = sys.argv[1], sys.argv[2], int(sys.argv[3])
engine = open_database(url)
clock = lambda: datetime.fromisoformat({NOW.isoformat()!r})
steps = 0

def step(*_):
    global steps
    steps += 1
    if steps == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(engine, "before_cursor_execute", step)
event.listen(engine, "commit", step)
event.listen(engine.pool, "checkin", step)
if work == "seal":
    plan = Plan({NAME!r}, {NAME!r}, "original",
                (Arm("original", "original"), Arm("mosaic", "mosaic#0123456789ab")), start=clock())
    ControlPlane(engine, clock).seal_plan({NAME!r}, plan, "ada")
else:
    ledger = SqlLedger(engine, clock)
    ledger.finish(ledger.claim("report", "-", "2026-W45", "elsewhere:1:x", 600), {{"pages": 1}})
print(steps)
"""


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path / 'adstyle.db'}"
    migrate(url)
    return url


@pytest.fixture
def engine(url):
    engine = open_database(url)
    yield engine
    engine.dispose()


def run_child(url: str, work: str, fatal: int) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", CHILD, url, work, str(fatal)], capture_output=True, text=True)


def killed_at_every_step(url: str, work: str):
    """Yields after each death, with how many steps the child lived; the last yield is a child that lived."""
    fatal = 1
    while (child := run_child(url, work, fatal)).returncode == -signal.SIGKILL:
        yield fatal, False
        fatal += 1
    assert child.returncode == 0, child.stderr
    yield fatal, True


def test_a_killed_start_leaves_the_state_and_the_facts_in_agreement(url, engine):
    control = ControlPlane(engine, lambda: NOW)
    control.create_experiment(NAME, {}, salt=NAME, control="original", actor="ada")
    control.execute(NAME, Generate(), "ada")
    arms = [VariantRecord(arm, "300x250", "", "", "ab" * 32, 1, 300, 250, {}, {}) for arm in ("original", "mosaic")]
    control.save_variants(NAME, arms)
    control.execute(NAME, FinishGeneration(2), "job")
    control.execute(NAME, Approve(), "mary")
    deaths = 0
    for _, lived in killed_at_every_step(url, "seal"):
        history, state, row = control.history(NAME), control.state(NAME), control.experiment(NAME)
        assert replay(history) == state
        assert (row.phase, row.version, row.plan_hash) == (state.phase, len(history), state.plan_hash)
        if state.plan_hash:
            assert control.plan(NAME) == (PLAN, state.plan_hash)
            break  # killed after the commit: started, and a start is not repeated
        assert not lived
        assert len(history) == 4
        deaths += 1
    assert state.plan_hash
    assert deaths > 5


def test_a_killed_finish_leaves_the_period_done_or_still_to_do(url, engine):
    ledger = SqlLedger(engine, lambda: NOW.replace(hour=7))
    states = []
    for _, _lived in killed_at_every_step(url, "finish"):
        entries = ledger.entries()
        states.append(entries[0].state if entries else None)
        if entries and entries[0].state == "done":
            assert entries[0].result == {"pages": 1}
            break
        assert not entries or entries[0].result is None
        if entries:  # what the dead one held is taken over, with a higher fence, once its lease has run out
            lease = ledger.claim("report", "-", "2026-W45", "elsewhere:2:x", 600)
            assert lease.fence == entries[0].fence + 1
            ledger.fail(lease, "given back")
    assert states[-1] == "done"
    assert {None, "running"} < set(states)
