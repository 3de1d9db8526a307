"""What a job did is said as it does it, whatever comes after."""

import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from experiments.cli.app import run
from experiments.cli.shell import print_line, progress_bar
from experiments.composition import open_context
from experiments.jobs import registry
from experiments.jobs.job import Task, run_job
from experiments.workspace import open_workspace

ERASED = "\r\x1b[2K"
LINES = ["probe autumn week: done", "probe winter week: done", "probe spring week: done"]

ELSEWHERE = f"""
import os, pathlib, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_lines import Probe
from experiments.cli.app import run
from experiments.jobs.registry import JOBS
"""
"""How a script begins that does this in a process of its own."""


class Probe:
    """Three experiments; what befalls one of them is given by its name."""

    name, summary, every_minutes = "probe", "try", 60

    def __init__(self, befalls=None):
        self.befalls = befalls or {}

    def plan(self, _context, _as_of):
        return tuple(Task(self.name, name, "week") for name in ("autumn", "winter", "spring"))

    def act(self, _context, task, _as_of, _progress):
        self.befalls.get(task.experiment, dict)()
        return {}


@pytest.fixture
def ads(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ADSTYLE_NOW", raising=False)
    monkeypatch.setenv("ADSTYLE_WORKSPACE", str(tmp_path / "ads"))
    assert run(["init", str(tmp_path / "ads")]) == 0
    capsys.readouterr()
    return tmp_path / "ads"


def does(monkeypatch, name="compact", **befalls):
    monkeypatch.setitem(registry.JOBS, name, Probe(befalls))


def breaks(error):
    def broken():
        raise error

    return broken


def test_what_was_done_stands_in_the_pipe_when_the_process_dies(ads):
    code = f"{ELSEWHERE}JOBS['compact'] = Probe({{'spring': lambda: os._exit(9)}})\nrun(['job', 'run', 'compact'])\n"
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (died.returncode, died.stdout.splitlines()) == (9, LINES[:2]), died.stderr


def test_an_interrupted_job_has_said_what_it_did(ads, capsys, monkeypatch):
    does(monkeypatch, spring=breaks(KeyboardInterrupt))
    assert run(["job", "run", "compact"]) == 130
    said = capsys.readouterr()
    assert said.out.splitlines() == LINES[:2]
    assert said.err == "adstyle: interrupted; what was finished is kept, and the same command does the rest\n"


def test_what_nobody_foresaw_of_one_costs_the_others_neither_work_nor_line(ads, capsys, monkeypatch):
    does(
        monkeypatch,
        autumn=breaks(RuntimeError("a mistake of ours")),
        spring=breaks(ValueError("another,\nof two lines")),
    )
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        run(["job", "run", "compact"])
    assert capsys.readouterr().out.splitlines() == [
        "probe autumn week: failed (RuntimeError: a mistake of ours)",
        LINES[1],
        "probe spring week: failed (ValueError: another, of two lines)",
    ]
    with open_context(open_workspace(ads)) as stores:
        states = {entry.experiment: str(entry.state) for entry in stores.ledger.entries("probe")}
    assert states == {"autumn": "failed", "winter": "done", "spring": "failed"}


def test_programs_are_told_of_a_job_at_its_end_in_one_line(ads, capsys, monkeypatch):
    does(monkeypatch, "compact")
    does(monkeypatch, "retain", winter=breaks(OSError(2, "No such file", "x.csv")))
    assert run(["job", "run", "all", "--json"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["exit_code"] for each in told] == [0] * (len(registry.JOBS) - 1) + [1]
    assert [task["state"] for task in told[-1]["tasks"]] == ["done", "failed", "done"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_work_goes_on_where_the_reader_of_its_lines_has_left(ads, options):
    befalls = f"{{'spring': pathlib.Path({str(ads / 'done')!r}).touch}}"
    code = (
        f"{ELSEWHERE}JOBS['compact'] = JOBS['retain'] = Probe({befalls})\n"
        f"sys.exit(run(['job', 'run', 'all', *{options!r}]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as working:
        working.stdout.close()
        assert working.stderr.read() == b""
    assert working.returncode == 0
    assert (ads / "done").is_file()


def test_upkeep_by_hand_says_what_it_did_before_what_failed(ads, capsys, monkeypatch):
    does(monkeypatch, winter=breaks(OSError(2, "No such file", "x.parquet")))
    assert run(["events", "compact"]) != 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [LINES[0], LINES[2]]
    assert said.err == "adstyle: x.parquet cannot be used: no such file\n"


def test_a_job_tells_how_far_it_is(ads):
    told = []
    with open_context(open_workspace(ads)) as stores:
        run_job(stores, Probe(), stores.clock(), progress=lambda *each: told.append(each))
    assert told == [("probe", done, 3) for done in range(4)]


class Screen(io.StringIO):
    def isatty(self):
        return True


def terminal(monkeypatch, *streams):
    """What stands on the terminal that these are; to be asked by the test itself, which pytest gives streams anew."""
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm")
    for stream in streams:
        monkeypatch.setattr(stream, screen)
    return screen


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_a_pipe_is_told_does_not_go_to_the_terminal_where_the_progress_stands(ads, capsys, monkeypatch, options):
    screen = terminal(monkeypatch, "sys.stderr")
    does(monkeypatch)
    assert run(["job", "run", "compact", *options]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("autumn", "winter", "spring"))
    assert "3/3" in screen.getvalue()
    assert "winter" not in screen.getvalue()


def test_on_a_terminal_lines_stand_above_the_progress_as_they_are(monkeypatch):
    line = "report 2026-W45: /" + "a-long-path/" * 30 + "2026-W45.html of [b]x[/b]"
    screen = terminal(monkeypatch, "sys.stdout", "sys.stderr")
    with progress_bar() as report:
        report("report", 1, 2)
        print_line(line)
    before, _, after = screen.getvalue().partition(f"{line}\n")
    assert before.endswith(ERASED)
    assert "1/2" in after


def test_of_files_that_were_read_no_bar_is_left(monkeypatch):
    screen = terminal(monkeypatch, "sys.stderr")
    with progress_bar() as report:
        for name in ("first", "second", "third"):
            report(f"reading {name}.csv", 0, 2)
            report(f"reading {name}.csv", 2, 2)
        before = len(screen.getvalue())
        report("reading last.csv", 1, 2)
    assert "first" not in screen.getvalue()[before:]


def test_a_report_by_hand_tells_how_far_it_is(office, monkeypatch):
    office.now += timedelta(days=2)
    screen = terminal(monkeypatch, "sys.stderr")
    office.types("report", "--week", "2026-W45")
    shown = [screen.getvalue().find(f"{what} 2026-W45") for what in ("gathering", "drawing")]
    assert 0 <= shown[0] < shown[1]
