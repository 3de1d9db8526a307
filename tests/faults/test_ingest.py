"""Ingest as ad ops meet it: killed anywhere, two at once, on a full disk. The lake ends the same, to the last line."""

import json
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from experiments.core.commands import Approve, FinishGeneration, Generate
from experiments.core.plan import Arm, Plan
from experiments.events.lake import EventLake
from experiments.store.control import ControlPlane
from experiments.store.database import migrate, open_database
from experiments.store.records import VariantRecord
from experiments.workspace import create_workspace

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
NOW = MONDAY + timedelta(days=7, hours=6)
ARMS = ("original", "mosaic")
ADSTYLE = str(Path(sys.executable).with_name("adstyle"))
PEOPLE = 6000

DIES = """
import os, signal, sys
from experiments.cli.app import run
from experiments.events.lake import Append
from experiments.store.deliveries import SqlDeliveries

fatal, steps = int(sys.argv[1]), 0

def counted(function):
    def call(*arguments):
        step()
        result = function(*arguments)
        step()
        return result
    return call

def step():
    global steps
    steps += 1
    if steps == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

Append.commit = counted(Append.commit)
SqlDeliveries.record = counted(SqlDeliveries.record)
sys.exit(run(sys.argv[2:]))
"""

SMALL_DISK = """
import resource, signal, sys
from experiments.cli.app import run

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(run(sys.argv[2:]))
"""


def running_workspace(root: Path) -> Path:
    """A workspace whose experiment ``spring`` runs since Monday; no creative was rendered for it."""
    workspace = create_workspace(root)
    (root / "secrets" / "unit.key").write_text("5e" * 32)  # units of all workspaces here have the same hashes
    migrate(workspace.database_url)
    engine = open_database(workspace.database_url)
    control = ControlPlane(engine, lambda: MONDAY)
    control.create_experiment("spring", {}, salt="spring", control="original", actor="ada")
    control.execute("spring", Generate(), "ada")
    control.save_variants(
        "spring", [VariantRecord(arm, "300x250", "", "", "ab" * 32, 1, 300, 250, {}, {}) for arm in ARMS]
    )
    control.execute("spring", FinishGeneration(len(ARMS)), "job")
    control.execute("spring", Approve(), "mary")
    plan = Plan("spring", "spring", "original", tuple(Arm(arm, arm) for arm in ARMS), start=MONDAY)
    control.seal_plan("spring", plan, "ada")
    engine.dispose()
    return root


def log(path: Path, first: int = 0) -> Path:
    """A day's impressions as JSON lines: repeated, broken and unknown ones among them."""
    rng = np.random.default_rng(first)
    lines = []
    for number in range(first, first + PEOPLE):
        at = (MONDAY + timedelta(seconds=float(rng.uniform(0, 86_000)))).isoformat()
        arm = "pencil" if number % 97 == 0 else ARMS[number % 2]
        event = {"event_id": f"i{number}", "ts": at, "experiment": "spring", "arm": arm, "unit": f"user-{number}"}
        lines += [json.dumps(event)] * (1 + (number % 89 == 0))
    lines.insert(7, '{"event_id": "i7", "ts": ')
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return running_workspace(tmp_path / "ads")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two logs that share half of their events."""
    folder = tmp_path_factory.mktemp("logs")
    return log(folder / "impressions-a.jsonl"), log(folder / "impressions-b.jsonl", first=PEOPLE // 2)


def arguments(workspace: Path, *paths: Path) -> list[str]:
    return ["-w", str(workspace), "--now", NOW.isoformat(), "ingest", *map(str, paths), "--json"]


def ingest(workspace: Path, *paths: Path, script: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", *script] if script else [ADSTYLE]
    return subprocess.run([*command, *arguments(workspace, *paths)], capture_output=True, text=True)


def account(result: subprocess.CompletedProcess[str]) -> list[dict]:
    assert result.returncode == 0, result.stderr
    keys = ("file", "read", "accepted", "duplicate", "rejected")
    return [{key: json.loads(line)[key] for key in keys} for line in result.stdout.splitlines()]


def contents(workspace: Path) -> dict[str, list]:
    """Every row of the lake; an orphan file counts for nothing."""
    rows = {}
    for name, column in (("impressions", "event_id"), ("outcomes", "event_id"), ("rejects", "line")):
        table = EventLake(workspace / "lake").dataset(name).to_table().drop_columns(["delivered_at"])
        rows[name] = sorted(table.to_pylist(), key=lambda row: (row["delivery"], row[column]))
    return rows


@dataclass(frozen=True)
class Undisturbed:
    """Where nothing goes wrong: what is in the lake, the account, and how long it takes."""

    contents: dict[str, list]
    accounts: list[dict]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, logs: tuple[Path, Path]) -> Undisturbed:
    workspace = running_workspace(tmp_path_factory.mktemp("undisturbed") / "ads")
    began = time.monotonic()
    accounts = account(ingest(workspace, *logs))
    seconds = time.monotonic() - began
    assert [each["read"] for each in accounts] == [path.read_text().count("\n") for path in logs]
    return Undisturbed(contents(workspace), accounts, seconds)


def ends_well(workspace: Path, logs: tuple[Path, Path], undisturbed: Undisturbed) -> None:
    """The same command again, undisturbed, completes the lake and the account."""
    assert account(ingest(workspace, *logs)) == undisturbed.accounts
    assert contents(workspace) == undisturbed.contents


def test_killed_before_and_after_every_write_it_ends_in_the_same_lake(workspace, logs, undisturbed):
    deaths = 0
    while ingest(workspace, *logs, script=(DIES, str(deaths + 1))).returncode == -signal.SIGKILL:
        deaths += 1
    assert deaths >= 3, "one file was read and registered in each life at the latest"
    ends_well(workspace, logs, undisturbed)


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_killed_at_any_moment_it_ends_in_the_same_lake(workspace, logs, undisturbed, share):
    process = subprocess.Popen([ADSTYLE, *arguments(workspace, *logs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        process.communicate(timeout=undisturbed.seconds * share)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    ends_well(workspace, logs, undisturbed)


def test_several_at_once_end_well_or_are_told_to_try_later(workspace, logs, undisturbed):
    commands = [[ADSTYLE, *arguments(workspace, *logs)] for _ in range(3)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    for process in started:
        _, said = process.communicate()
        assert process.returncode in (0, 75), said
        assert said.count("\n") == (process.returncode == 75)
    assert 0 in {process.returncode for process in started}
    ends_well(workspace, logs, undisturbed)


@pytest.mark.parametrize(("limit", "what"), [(1 << 10, "database"), (100 << 10, "lake: the disk is full; free some")])
def test_on_a_full_disk_one_line_says_so_and_a_later_run_ends_in_the_same_lake(
    workspace, logs, undisturbed, limit, what
):
    result = ingest(workspace, *logs, script=(SMALL_DISK, str(limit)))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert what in result.stderr
    ends_well(workspace, logs, undisturbed)


def test_with_room_enough_the_same_script_ends_well(workspace, logs):
    """It is for the limit, and for nothing else, that the full disk fails above."""
    assert ingest(workspace, *logs, script=(SMALL_DISK, str(resource.RLIM_INFINITY))).returncode == 0


def test_the_register_says_what_is_in_the_lake(undisturbed):
    accepted = sum(each["accepted"] for each in undisturbed.accounts)
    rejected = sum(sum(each["rejected"].values()) for each in undisturbed.accounts)
    assert len(undisturbed.contents["impressions"]) == accepted
    assert len(undisturbed.contents["rejects"]) == rejected
