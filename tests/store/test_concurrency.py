"""Several writers at once, as threads and as processes, on both databases."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from experiments.core.delivery import Delivery
from experiments.core.errors import ExperimentError
from experiments.core.lifecycle import Approve, Archive, Decline, NotPossibleNow, Phase, replay
from experiments.core.plan import Arm, Plan
from experiments.store.database import migrate
from experiments.store.deliveries import SqlDeliveries
from experiments.store.ledger import LeaseHeld, SqlLedger

WRITERS = 8
NAME = "spring-sale"
PLAN = Plan(
    NAME, NAME, "original", (Arm("original", "original"), Arm("mosaic", "mosaic#0123456789ab")),
    start=datetime(2026, 11, 2, tzinfo=UTC),
)  # fmt: skip


def at_once(work, count: int = WRITERS) -> list:
    """``work(0)``, ``work(1)`` ... in as many threads, all let go at the same moment; refusals are results."""
    gate = threading.Barrier(count)

    def run(number: int):
        gate.wait()
        try:
            return work(number)
        except ExperimentError as refusal:
            return refusal

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.fixture
def draft(control):
    control.create_experiment(NAME, {}, salt=NAME, control="original", actor="ada")
    return control


def test_of_many_who_want_the_same_one_wins(draft):
    results = at_once(lambda number: draft.execute(NAME, Archive(), f"writer-{number}"))
    refused = [result for result in results if isinstance(result, NotPossibleNow)]
    assert len(refused) == WRITERS - 1
    assert [fact.kind for fact in draft.history(NAME)] == ["created", "archived"]


def test_of_many_who_want_different_things_all_get_through(draft, generated):
    arms = [f"arm-{number}" for number in range(WRITERS)]
    generated(draft, NAME, *arms)
    at_once(lambda number: draft.execute(NAME, Decline(arms[number]), "mary"))
    assert sorted(draft.state(NAME).declined_arms) == arms


def test_a_name_is_given_once(control):
    results = at_once(
        lambda number: control.create_experiment(NAME, {"n": number}, salt=NAME, control="original", actor="ada")
    )
    assert sum(isinstance(result, ExperimentError) for result in results) == WRITERS - 1
    assert len(control.history(NAME)) == 1


def test_revisions_of_a_brief_do_not_collide(control):
    at_once(lambda number: control.save_brief("shoes", {"headline": f"Run {number}"}))
    assert control.brief("shoes").revision == WRITERS


def test_one_claims(engine, clock):
    ledger = SqlLedger(engine, clock)
    results = at_once(lambda number: ledger.claim("report", "-", "2026-W47", f"elsewhere:{number}:x", 600))
    assert sum(isinstance(result, LeaseHeld) for result in results) == WRITERS - 1


def test_one_delivery_stands(engine):
    deliveries = SqlDeliveries(engine)
    finished = datetime(2026, 11, 2, tzinfo=UTC)
    results = at_once(
        lambda number: deliveries.record(Delivery("aa" * 32, f"{number}.csv", "click", 1, 1, 1, 0, finished))
    )
    assert results == [None] * WRITERS
    assert len(deliveries.all()) == 1


def test_migrations_at_once(empty_url):
    assert at_once(lambda _number: migrate(empty_url), count=4) == [None] * 4


WRITER = """
import sys
from datetime import UTC, datetime
from experiments.core.lifecycle import Pause, Refusal, Resume
from experiments.store.control import ControlPlane
from experiments.store.database import open_database

control = ControlPlane(open_database(sys.argv[1]), lambda: datetime(2026, 11, 2, tzinfo=UTC))
print("ready", flush=True)
sys.stdin.readline()
facts = 0
for number in range(40):
    try:
        facts += len(control.execute("spring-sale", (Pause, Resume)[number % 2](), sys.argv[2])[1])
    except Refusal:
        pass
print(facts)
"""


def test_two_processes_leave_one_history(url, draft, generated):
    generated(draft, NAME, "original", "mosaic")
    draft.execute(NAME, Approve(), "mary")
    draft.seal_plan(NAME, PLAN, "ada")
    before = len(draft.history(NAME))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    counts = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    history = draft.history(NAME)
    assert len(history) - before == sum(counts) > 0
    assert [fact.sequence for fact in history] == list(range(1, len(history) + 1))
    state = draft.state(NAME)
    assert state == replay(history)
    assert (state.phase, state.version) == (draft.experiment(NAME).phase, len(history))
    assert state.phase in (Phase.RUNNING, Phase.PAUSED)
