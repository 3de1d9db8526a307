"""A process killed at every statement of a write: afterwards the write has happened whole, or not at all.

The child kills itself (SIGKILL, so nothing of Python's or SQLite's tidying runs) just before its nth statement, its
commit, or just after it. Each is a fork of one process that has imported all and opened nothing.
"""

import json
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

CHILDREN = f"""
import json, os, signal, sys
from datetime import UTC, datetime
from sqlalchemy import event
from experiments.core.plan import Arm, Plan
from experiments.store.control import ControlPlane
from experiments.store.database import open_database
from experiments.store.ledger import SqlLedger

clock = lambda: datetime.fromisoformat({NOW.isoformat()!r})

def live(url, work, fatal):
    engine, steps = open_database(url), iter(range(1, 1_000_000))

    def step(*_):
        if next(steps) == fatal:
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

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            live(*json.loads(line))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(99)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
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


@pytest.fixture(scope="module")
def run_child():
    """One child's exit code; what it complains of is shown by pytest."""
    command = [sys.executable, "-c", CHILDREN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:

        def run_child(url: str, work: str, fatal: int) -> int:
            parent.stdin.write(json.dumps([url, work, fatal]) + "\n")
            parent.stdin.flush()
            return int(parent.stdout.readline())

        yield run_child


@pytest.fixture
def killed_at_every_step(run_child):
    """Yields after each death, with how many steps the child lived; the last yield is a child that lived."""

    def killed_at_every_step(url: str, work: str):
        fatal = 1
        while (code := run_child(url, work, fatal)) == -signal.SIGKILL:
            yield fatal, False
            fatal += 1
        assert code == 0
        yield fatal, True

    return killed_at_every_step


def test_a_killed_start_leaves_the_state_and_the_facts_in_agreement(url, engine, killed_at_every_step):
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


def test_a_killed_finish_leaves_the_period_done_or_still_to_do(url, engine, killed_at_every_step):
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
    assert {None, "interrupted"} < set(states)
