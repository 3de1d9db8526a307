"""Ingest as ad ops meet it: killed anywhere, two at once, on a full disk. The lake ends the same, to the last line.

The undisturbed one is the command itself; all others are forks of one process that has imported all and used nothing.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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

MANY_LIVES = """
import json, os, resource, signal, sys

import deltalake, duckdb, pyarrow.dataset
import experiments.cli.events, experiments.composition, experiments.jobs.ingest
from experiments.cli.app import run
from experiments.events.append import Append
from experiments.store.deliveries import SqlDeliveries


def dying(fatal):
    # Killed at that write of all, before or after it.
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

    Append.commit, SqlDeliveries.record = counted(Append.commit), counted(SqlDeliveries.record)


def small_disk(limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def live(arguments, out, err, fatal, limit):
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    if fatal is not None:
        dying(fatal)
    if limit is not None:
        small_disk(limit)
    try:
        code = run(arguments)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        code = 99
    sys.stdout.flush()
    os._exit(code)


for line in sys.stdin:
    asked = json.loads(line)
    if isinstance(asked, int):
        print(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1]), flush=True)
    else:
        child = os.fork()
        if child == 0:
            live(**asked)
        print(child, flush=True)
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


class Lives:
    """Begins ``adstyle`` with these arguments and tells what became of it."""

    def __init__(self, process: subprocess.Popen[str], scratch: Path) -> None:
        self.process, self.scratch = process, scratch
        self.said: dict[int, list[Path]] = {}

    def begin(self, workspace: Path, *paths: Path, fatal: int | None = None, limit: int | None = None) -> int:
        """The process's number; it kills itself at the write ``fatal``, and finds a disk of ``limit`` bytes."""
        out, err = (self.scratch / f"{len(self.said)}.{name}" for name in ("out", "err"))
        asked = {"arguments": arguments(workspace, *paths), "fatal": fatal, "limit": limit}
        number = self._ask(asked | {"out": str(out), "err": str(err)})
        self.said[number] = [out, err]
        return number

    def end(self, number: int) -> subprocess.CompletedProcess[str]:
        """Waits for it."""
        code = self._ask(number)
        return subprocess.CompletedProcess([], code, *(path.read_text() for path in self.said[number]))

    def _ask(self, asked: object) -> int:
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    command = [sys.executable, "-c", MANY_LIVES]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Lives(process, tmp_path_factory.mktemp("said"))


@pytest.fixture
def ingest(lives: Lives) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The whole of one life."""
    return lambda *them, **how: lives.end(lives.begin(*them, **how))


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
def undisturbed(tmp_path_factory: pytest.TempPathFactory, logs: tuple[Path, Path], lives: Lives) -> Undisturbed:
    workspace, again = (running_workspace(tmp_path_factory.mktemp("undisturbed") / "ads") for _ in range(2))
    accounts = account(subprocess.run([ADSTYLE, *arguments(workspace, *logs)], capture_output=True, text=True))
    began = time.monotonic()
    assert account(lives.end(lives.begin(again, *logs))) == accounts
    seconds = time.monotonic() - began
    assert [each["read"] for each in accounts] == [path.read_text().count("\n") for path in logs]
    return Undisturbed(contents(workspace), accounts, seconds)


@pytest.fixture
def ends_well(
    workspace: Path, logs: tuple[Path, Path], undisturbed: Undisturbed, ingest: Callable[..., Any]
) -> Callable[[], None]:
    """The same command again, undisturbed, completes the lake and the account."""

    def ends_well() -> None:
        assert account(ingest(workspace, *logs)) == undisturbed.accounts
        assert contents(workspace) == undisturbed.contents

    return ends_well


def test_killed_before_and_after_every_write_it_ends_in_the_same_lake(workspace, logs, ingest, ends_well):
    deaths = 0
    while ingest(workspace, *logs, fatal=deaths + 1).returncode == -signal.SIGKILL:
        deaths += 1
    assert deaths >= 3, "one file was read and registered in each life at the latest"
    ends_well()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_killed_at_any_moment_it_ends_in_the_same_lake(workspace, logs, undisturbed, lives, ends_well, share):
    began, number = time.monotonic(), lives.begin(workspace, *logs)
    time.sleep(max(0.0, began + undisturbed.seconds * share - time.monotonic()))
    os.kill(number, signal.SIGKILL)  # nobody has waited for it: the number is still its own
    lives.end(number)
    ends_well()


def test_several_at_once_end_well_or_are_told_to_try_later(workspace, logs, lives, ends_well):
    ended = [lives.end(number) for number in [lives.begin(workspace, *logs) for _ in range(3)]]
    for life in ended:
        assert life.returncode in (0, 75), life.stderr
        assert life.stderr.count("\n") == (life.returncode == 75)
    assert 0 in {life.returncode for life in ended}
    ends_well()


@pytest.mark.parametrize(("limit", "what"), [(1 << 10, "database"), (100 << 10, "lake: the disk is full; free some")])
def test_on_a_full_disk_one_line_says_so_and_a_later_run_ends_in_the_same_lake(
    workspace, logs, ingest, ends_well, limit, what
):
    result = ingest(workspace, *logs, limit=limit)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert what in result.stderr
    ends_well()


def test_with_room_enough_the_same_life_ends_well(workspace, logs, ingest):
    """It is for the limit, and for nothing else, that the full disk fails above."""
    assert ingest(workspace, *logs, limit=resource.RLIM_INFINITY).returncode == 0


def test_the_register_says_what_is_in_the_lake(undisturbed):
    accepted = sum(each["accepted"] for each in undisturbed.accounts)
    rejected = sum(sum(each["rejected"].values()) for each in undisturbed.accounts)
    assert len(undisturbed.contents["impressions"]) == accepted
    assert len(undisturbed.contents["rejects"]) == rejected
