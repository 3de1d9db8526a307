"""Ingest killed at instants spread over its whole run, lake and register as they then lie: the evidence ends the same.

`make faults` takes two hundred instants and a million fuzzed lines, `make test` a few of both.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
POINTS = int(os.environ.get("ADSTYLE_KILL_POINTS", "12"))

MANY_LIVES = """
# Each life is a fork of one process that has imported all and used nothing: it is killed after its share of the time.
import json, os, select, shutil, signal, sys, time
from datetime import datetime
from pathlib import Path

import deltalake, duckdb, ibis.backends.duckdb, pyarrow.dataset
import experiments.cli.events, experiments.composition, experiments.events.evidence, experiments.jobs.ingest
from experiments.cli.app import run

template, scratch, now, points = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
logs = sys.argv[5:]


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


def ingest(workspace, out):
    def work():
        os.dup2(os.open(out, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        code = run(["-w", str(workspace), "--now", now, "ingest", *logs, "--json"])
        sys.stdout.flush()
        return code
    return work


def evidence(workspace, out):
    def work():
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
        out.write_text(json.dumps([document, rejects], default=str, sort_keys=True))
        return 0
    return work


def whole(work):
    _, child = life(work)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ended(number, delay):
    workspace = scratch / f"ads-{number}"
    shutil.copytree(template, workspace)
    killed = False
    if delay is not None:
        began, child = life(ingest(workspace, scratch / "killed.txt"))
        time.sleep(max(0, began + delay - time.monotonic()))
        os.kill(child, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    began = time.monotonic()
    codes = [whole(ingest(workspace, scratch / "out.txt"))]
    seconds = time.monotonic() - began
    codes.append(whole(evidence(workspace, scratch / "evidence.json")))
    shutil.rmtree(workspace)
    told = [json.loads(line) for line in (scratch / "out.txt").read_text().splitlines()]
    accounts = [[each[key] for key in ("file", "read", "accepted", "duplicate", "rejected")] for each in told]
    return killed, codes, seconds, accounts, (scratch / "evidence.json").read_text()


_, codes, seconds, accounts, undisturbed = ended(0, None)
assert codes == [0, 0], codes
deaths, differ = 0, []
for point in range(1, points + 1):
    killed, codes, _, told, found = ended(point, seconds * point / (points + 1))
    deaths += killed
    if codes != [0, 0] or told != accounts or found != undisturbed:
        differ.append([point, codes, told])
print(json.dumps({"deaths": deaths, "differ": differ, "accounts": accounts, "evidence": json.loads(undisturbed)[0]}))
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
    return root


def test_killed_at_many_instants_the_evidence_ends_byte_equal(template, tmp_path):
    logs = [tmp_path / "impressions-a.csv", tmp_path / "impressions-b.csv", tmp_path / "clicks.csv"]
    logs[0].write_text(lines(0, 4000))
    logs[1].write_text(lines(2000, 4000))  # half of them known already
    clicks = [f"c{n},{(MONDAY + timedelta(hours=20)).isoformat()},i{n},user-{n % 700}\n" for n in range(0, 6000, 20)]
    logs[2].write_text("event_id,ts,impression_id,unit\n" + "".join(clicks))
    command = [sys.executable, "-c", MANY_LIVES, str(template), str(tmp_path), NOW.isoformat(), str(POINTS)]
    result = subprocess.run([*command, *map(str, logs)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    told = json.loads(result.stdout)
    assert told["differ"] == []
    assert told["deaths"] > POINTS / 2, "most lives end before their work does"
    assert [each[2] for each in told["accounts"]] == [3958, 1980, 300]
    assert sum(arm["sums"][1] for arm in told["evidence"]["arms"].values()) > 0
