"""What was not to stay goes, its process killed or not; what somebody works in stays."""

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.events import scratch
from experiments.events.scratch import Scratch

WORKER = """
from experiments.events.scratch import Scratch
work = Scratch()
(work.folder / "beyond-memory").write_bytes(b"rows" * 1000)
print(work.folder, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder of temporary ones, this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def worker(temporary):
    """Another process at work, and its folder."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_it_goes_with_all_that_is_in_it(temporary):
    with Scratch() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "rows").write_text("rows")
        assert folder.parent == temporary
    assert not list(temporary.iterdir())


def test_it_goes_when_the_work_fails(temporary):
    with pytest.raises(ZeroDivisionError), Scratch():
        raise ZeroDivisionError
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_goes_at_the_next_start(worker):
    process, left = worker
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (left / "beyond-memory").exists()
    with Scratch() as folder:
        assert folder.exists()
        assert not left.exists()


def test_what_others_work_in_stays(worker):
    _, theirs = worker
    with Scratch() as first, Scratch() as second:
        assert first != second
        assert all((folder / "held").exists() for folder in (first, second, theirs))
    assert (theirs / "beyond-memory").exists()


@pytest.mark.parametrize("held", [False, True])
def test_one_taken_for_left_behind_before_it_was_held_is_made_anew(monkeypatch, held):
    made, real = [], scratch._lock

    def swept(folder, acquire):
        if held:
            acquire()
            (folder / "held").unlink()
        folder.rmdir()
        if not held:
            raise FileNotFoundError(folder / "held")

    def swept_first(folder):
        made.append(folder)
        lock = real(folder)
        if len(made) == 1:
            acquire = lock.acquire
            monkeypatch.setattr(lock, "acquire", lambda: swept(folder, acquire))
        return lock

    monkeypatch.setattr(scratch, "_lock", swept_first)
    with Scratch() as folder:
        assert folder.exists()
        assert folder != made[0]
        assert not made[0].exists()


def test_many_at_once_never_take_each_others(temporary):
    def work(number):
        for _ in range(20):
            with Scratch() as folder:
                (folder / "rows").write_text(str(number))
                assert (folder / "rows").read_text() == str(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert not list(temporary.iterdir())


def test_folders_that_nobody_marked_are_nobodys_to_remove(temporary):
    strange = temporary / "adstyle-scratch-mine"
    strange.mkdir()
    (strange / "notes").write_text("mine")
    Scratch().close()
    assert (strange / "notes").read_text() == "mine"
