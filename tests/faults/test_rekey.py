"""A change of the unit key, killed by the system at every step of its work: the same command again ends it, once.

Each life is a fork of one process that has imported all and used nothing; it kills itself at its own step.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from experiments.ingest.hashing import UnitHasher
from experiments.workspace import create_workspace, open_workspace

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
NOW = MONDAY + timedelta(days=7, hours=6)
KEY = "5e" * 32
EVERY = 1 if int(os.environ.get("ADSTYLE_KILL_POINTS", "0")) >= 100 else 3
"""Of the steps, so many are taken: all by `make faults`."""

MANY_LIVES = """
import json, os, shutil, signal, sys
from pathlib import Path

import deltalake, duckdb, pyarrow.dataset
import experiments.cli.lake, experiments.composition, experiments.jobs.ingest
from experiments.cli.app import run
from experiments.events import upkeep
from experiments.events.append import Append
from experiments.events.lake import EventLake
from experiments.events.parts import Parts
from experiments.ingest.keyfile import KeyFile
from experiments.workspace import open_workspace

template, scratch, now, log, every = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
steps = 0


def step():
    global steps
    steps -= 1
    if steps == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def counted(owner, name):
    real = getattr(owner, name)

    def call(*arguments, **options):
        step()
        found = real(*arguments, **options)
        step()
        return found

    setattr(owner, name, call)


WORK = [(KeyFile, "begin_change"), (KeyFile, "end_change"), (Parts, "beginning"), (Append, "replace"),
        (upkeep, "vacuum"), (upkeep, "forget_log")]


def life(workspace, *arguments, fatal=0):
    child = os.fork()
    if child == 0:
        global steps
        steps = fatal
        for owner, name in WORK:
            counted(owner, name)
        os.dup2(os.open(scratch / "said.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        os.dup2(1, 2)
        try:
            code = run(["-w", str(workspace), "--now", now, *arguments])
        except BaseException as error:
            print(repr(error))
            code = 99
        sys.stdout.flush()
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    return -9 if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def looked(workspace):
    child = os.fork()
    if child == 0:
        lake = EventLake(workspace / "lake")
        rows = {}
        for name in ("impressions", "outcomes"):
            found = lake.dataset(name).to_table(["event_id", "unit"]).to_pylist()
            rows[name] = sorted([row["event_id"], row["unit"]] for row in found)
            rows[name + " lost"] = lake.lost(name)
            rows[name + " orphans"] = sorted(lake.outdated(name))
        (scratch / "looked.json").write_text(json.dumps(rows))
        os._exit(0)
    os.waitpid(child, 0)
    return json.loads((scratch / "looked.json").read_text())


ended, fatal, told = [], 1 - every, []
while True:
    fatal += every
    workspace = scratch / "ads"
    shutil.rmtree(workspace, ignore_errors=True)
    shutil.copytree(template, workspace)
    killed = life(workspace, "events", "rekey", "--yes", fatal=fatal)
    file = open_workspace(workspace).key_file
    changing = file.changing
    if changing and len(ended) * every % 5 < every:
        told.append([life(workspace, "ingest", log), (scratch / "said.txt").read_text()])
    if killed == 0 or changing or len(file.keys()) == 1:
        again = 0 if killed == 0 else life(workspace, "events", "rekey", "--yes")
    else:
        again = 0
    ended.append([killed, changing, again, [key.hex() for key in file.keys()], looked(workspace)])
    if killed == 0:
        break
print(json.dumps([ended, told]))
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose lake has a few units, in several folders."""
    import pyarrow as pa

    from experiments.events.lake import EventLake
    from experiments.events.schema import TABLES
    from experiments.store.database import migrate

    root = tmp_path_factory.mktemp("template") / "ads"
    workspace = create_workspace(root)
    (root / "secrets" / "unit.key").write_text(KEY)
    migrate(workspace.database_url)
    lake, hasher = EventLake(root / "lake"), UnitHasher(bytes.fromhex(KEY))
    for name, prefix in (("impressions", "i"), ("outcomes", "v")):
        rows = [
            {"event_id": f"{prefix}{n}", "ts": MONDAY + timedelta(days=n % 2), "experiment": "spring",
             "arm": "original", "unit": hasher.hashed(f"person-{n % 5}"), "kind": "conversion", "delivery": "d",
             "delivered_at": NOW, "date": (MONDAY + timedelta(days=n % 2)).date()}
            for n in range(20)
        ]  # fmt: skip
        lake.begin(name).commit(pa.Table.from_pylist(rows, schema=TABLES[name].schema), "d")
    return root


def test_killed_at_every_step_a_change_of_key_ends_as_if_undisturbed(template, tmp_path):
    log = tmp_path / "clicks.csv"
    log.write_text("event_id,ts,impression_id\nc1,2026-11-03T00:00:00Z,i1\n")
    command = [sys.executable, "-c", MANY_LIVES, str(template), str(tmp_path), NOW.isoformat(), str(log), str(EVERY)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    ended, told = json.loads(result.stdout)
    assert len(ended) * EVERY > 20
    assert all(killed == -9 for killed, *_ in ended[:-1])
    assert all(changing for _, changing, *_ in ended[1:-2])
    assert not ended[0][1], "before its first step nothing has changed"
    assert EVERY > 1 or not ended[-2][1], "after its last step it has ended"
    for _, _, again, keys, looked in ended:
        assert again == 0
        assert len(keys) == 2
        hasher = UnitHasher(*map(bytes.fromhex, keys))
        for name, prefix in (("impressions", "i"), ("outcomes", "v")):
            assert looked[name] == sorted([f"{prefix}{n}", hasher.hashed(f"person-{n % 5}")] for n in range(20))
            assert (looked[f"{name} lost"], looked[f"{name} orphans"]) == ([], [])
    assert len(told) * EVERY > 3
    for code, said in told:
        assert (code, said.count("\n")) == (75, 1)
        assert "run adstyle events rekey" in said
    assert open_workspace(template).key_file.keys() == (bytes.fromhex(KEY),)
