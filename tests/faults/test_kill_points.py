"""Ingest killed before and after each of its writes, and at instants spread over its whole run: all ends the same.

Lake, register and evidence are compared as they lie after the same command was given once more. Among the files is an
hour that its ad server delivers anew, and rejects are judged again. `make faults` takes every write, two hundred and
fifty instants and a million fuzzed lines, `make test` a few.
"""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from experiments.core.commands import Approve, FinishGeneration, Generate
from experiments.core.plan import Arm, Plan
from experiments.store.control import ControlPlane
from experiments.store.database import migrate, open_database
from experiments.store.records import VariantRecord
from experiments.workspace import create_workspace

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
NOW = MONDAY + timedelta(days=7, hours=6)
ARMS = ("original", "mosaic")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
POINTS = int(os.environ.get("ADSTYLE_KILL_POINTS", "2"))
EVERY = 1 if POINTS >= 100 else 11
"""Of the writes, so many are taken."""

MANY_LIVES = """
# Each life is a fork of one process that has imported all and used nothing: it is killed after its share of the time.
import json, os, select, shutil, signal, sys, tempfile, time
from datetime import datetime
from pathlib import Path

import deltalake, duckdb, ibis.backends.duckdb, pyarrow.dataset
import experiments.cli.events, experiments.composition, experiments.events.evidence, experiments.jobs.ingest
from experiments.cli.app import run

template, scratch, now = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
points, every, command = int(sys.argv[4]), int(sys.argv[5]), sys.argv[6:]


def life(work):
    began, child = time.monotonic(), os.fork()
    if child == 0:
        try:
            code = work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            code = 99
        os._exit(code)
    return began, child


def dying(fatal):
    # Killed at that write of all, before or after it.
    from experiments.events.append import Append
    from experiments.store.deliveries import SqlDeliveries

    steps = iter(range(1, 1_000_000))

    def step():
        if next(steps) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function):
        def call(*arguments):
            step()
            result = function(*arguments)
            step()
            return result
        return call

    Append.commit = counted(Append.commit)
    SqlDeliveries.claim, SqlDeliveries.record = counted(SqlDeliveries.claim), counted(SqlDeliveries.record)


def commanded(workspace, out, fatal=None):
    def work():
        os.dup2(os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        if fatal is not None:
            dying(fatal)
        code = run(["-w", str(workspace), "--now", now, *command])
        sys.stdout.flush()
        return code
    return work


def evidence(workspaces, out):
    def gathered(workspace):
        from experiments.composition import open_context
        from experiments.events.evidence import gather
        from experiments.store.codec import evidence_document
        from experiments.workspace import open_workspace
        with open_context(open_workspace(workspace)) as stores:
            plan, _ = stores.control.plan("spring")
            found = gather(stores.lake, plan, datetime.fromisoformat(now))
            document = evidence_document(found)
            rejects = stores.lake.dataset("rejects").to_table().drop_columns(["delivered_at"]).to_pylist()
            rejects.sort(key=lambda row: (row["delivery"], row["line"]))
            told = [
                [each.name, each.read, each.accepted, each.duplicate, each.rejected, each.replaced_by, each.rejects_of]
                for each in stores.deliveries.all()
            ]
        return json.dumps([document, rejects, told], default=str, sort_keys=True)

    def work():
        out.write_text(json.dumps([gathered(each) for each in workspaces]))
        return 0
    return work


def whole(work):
    _, child = life(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ended(name, delay=None, fatal=None):
    # The workspace after one life that was killed, and a whole one.
    workspace = scratch / name
    shutil.copytree(template, workspace)
    killed = False
    if delay is not None or fatal is not None:
        began, child = life(commanded(workspace, scratch / "killed.txt", fatal))
        if delay is not None:
            time.sleep(max(0, began + delay - time.monotonic()))
            os.kill(child, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    began = time.monotonic()
    code = whole(commanded(workspace, scratch / "out.txt"))
    lives.append([name, code])
    return killed, time.monotonic() - began


lives, deaths, writes = [], 0, []
_, seconds = ended("undisturbed")
for point in range(1, points + 1):
    for haste in range(5):  # a life may be quicker than the first one was, and over before its time
        killed, _ = ended(f"instant-{point}-{haste}", delay=seconds * point / (points + 1) / 2**haste)
        if killed:
            break
    deaths += killed
for fatal in range(every, 1000, every):
    killed, _ = ended(f"write-{fatal}", fatal=fatal)
    if not killed:
        break
    writes.append(fatal)
workspaces = [scratch / name for name, _ in lives]
assert whole(evidence(workspaces, scratch / "evidence.json")) == 0
undisturbed, *_ = all_found = json.loads((scratch / "evidence.json").read_text())
differ = [[*life, found[-2000:]] for life, found in zip(lives, all_found) if life[1] != 0 or found != undisturbed]
for workspace in workspaces:
    shutil.rmtree(workspace)
gathered, _, accounts = json.loads(undisturbed)
assert not list(Path(tempfile.gettempdir()).glob("adstyle-scratch-*")), "what the dead left goes with the next start"
told = {"deaths": deaths, "writes": writes, "differ": differ, "accounts": accounts, "evidence": gathered}
print(json.dumps(told))
"""


def lines(first: int, count: int) -> str:
    """Impressions as CSV; some repeated, some of an unknown arm, one broken."""
    out = ["event_id,ts,experiment,arm,unit,user_agent,ip"]
    for number in range(first, first + count):
        at = (MONDAY + timedelta(seconds=number % 80_000)).isoformat()
        arm = "pencil" if number % 97 == 0 else ARMS[number % 2]
        out += [f"i{number},{at},spring,{arm},user-{number % 700},{FIREFOX},192.0.2.1"] * (1 + (number % 89 == 0))
    return "\n".join([*out, "broken"]) + "\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose experiment runs since Monday."""
    root = tmp_path_factory.mktemp("template") / "ads"
    workspace = create_workspace(root)
    (root / "secrets" / "unit.key").write_text("5e" * 32)
    migrate(workspace.database_url)
    engine = open_database(workspace.database_url)
    control = ControlPlane(engine, lambda: MONDAY)
    control.create_experiment("spring", {}, salt="spring", control="original", actor="ada")
    control.execute("spring", Generate(), "ada")
    variants = [VariantRecord(arm, "300x250", "", "", "ab" * 32, 1, 300, 250, {}, {}) for arm in ARMS]
    control.save_variants("spring", variants)
    control.execute("spring", FinishGeneration(len(ARMS)), "job")
    control.execute("spring", Approve(), "mary")
    plan = Plan("spring", "spring", "original", tuple(Arm(arm, arm) for arm in ARMS), start=MONDAY)
    control.seal_plan("spring", plan, "ada")
    engine.dispose()
    meant = "".join(f"Rendering ID,{number},spring,{arm}\n" for number, arm in zip((101, 102), ARMS, strict=True))
    (root / "trafficking.csv").write_text(f"column,value,experiment,arm\n{meant}")
    return root


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Impressions of which half come twice, clicks, and an hour in three editions, the oldest one second."""
    logs = [tmp_path / "impressions-a.csv", tmp_path / "impressions-b.csv", tmp_path / "clicks.csv"]
    logs[0].write_text(lines(0, 4000))
    logs[1].write_text(lines(2000, 4000))  # half of them known already
    clicks = [f"c{n},{(MONDAY + timedelta(hours=20)).isoformat()},i{n},user-{n % 700}\n" for n in range(0, 6000, 20)]
    logs[2].write_text("event_id,ts,impression_id,unit\n" + "".join(clicks))
    for made, first in (("2", 100), ("1", 0), ("3", 200)):
        logs.append(tmp_path / f"dcm_account1_impression_2026110201_20261102_03000{made}_{made}.csv")
        logs[-1].write_text(hour(first, 600))
    return logs


def hour(first: int, count: int) -> str:
    """An hour of an ad server; some of a creative that nobody knows, one line broken."""
    at = int(MONDAY.timestamp() * 1_000_000)
    rows = [
        f"{at + number},other-{number % 90},{(101, 102, 999)[number % 50 // 48 + number % 2]},h{number}"
        for number in range(first, first + count)
    ]
    return "\n".join(["Event Time,User ID,Rendering ID,Impression ID", *rows, "broken"]) + "\n"


def lives(template: Path, scratch: Path, command: list[str], points: int, every: int) -> dict[str, Any]:
    """What became of a workspace whose command was killed, each time anew: instants, and every so many writes."""
    arguments = [str(template), str(scratch), NOW.isoformat(), str(points), str(every), *command]
    temporary = scratch / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    code = [sys.executable, "-c", MANY_LIVES, *arguments]
    result = subprocess.run(code, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    told = json.loads(result.stdout)
    assert told["differ"] == []
    return told


def test_killed_at_many_points_ingest_ends_byte_equal(template, tmp_path, logs):
    told = lives(template, tmp_path, ["ingest", *map(str, logs), "--json"], POINTS, EVERY)
    assert told["deaths"] == POINTS
    assert told["writes"] == list(range(EVERY, 37, EVERY)), "before and after each claim, commit and record"
    accounts = {each[0]: (each[2], each[4], each[5]) for each in told["accounts"]}
    assert [accounts[log.name][0] for log in logs] == [3958, 1980, 300, 588, 0, 588]
    assert accounts[logs[4].name][1] == {"superseded": 601}
    assert [accounts[log.name][2] is None for log in logs] == [True, True, True, False, False, True]
    assert sum(arm["sums"][1] for arm in told["evidence"]["arms"].values()) > 0


def test_killed_at_many_points_a_replay_of_rejects_ends_byte_equal(template, tmp_path, logs):
    workspace = tmp_path / "ads"
    shutil.copytree(template, workspace)
    adstyle = [str(Path(sys.executable).with_name("adstyle")), "-w", str(workspace), "--now", NOW.isoformat()]
    subprocess.run([*adstyle, "ingest", *map(str, logs)], capture_output=True, check=True)
    with (workspace / "trafficking.csv").open("a") as file:
        file.write("Rendering ID,999,spring,mosaic\n")
    told = lives(workspace, tmp_path, ["events", "replay"], POINTS // 4, 2 if EVERY > 1 else 1)
    assert told["writes"][-1] == 8
    (replayed,) = (each for each in told["accounts"] if each[6] is not None)
    name, read, accepted, _, rejected, *_ = replayed
    assert (name, read, accepted, rejected) == (logs[5].name, 13, 12, {"ragged_row": 1})
