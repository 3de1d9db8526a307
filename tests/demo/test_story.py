import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from experiments.cli.app import run
from experiments.demo.story import TRUTH, Story

ADSTYLE = str(Path(sys.executable).with_name("adstyle"))
README = Path(__file__).resolve().parents[2] / "README.md"


def truth(seed):
    story = Story(Path("nowhere"), seed, Console(), run)
    return {name: dict(world.lifts) for name, world in story.worlds().items()}


def test_a_seed_draws_its_truth_and_another_seed_another():
    assert truth(16) == truth(16)
    assert len({json.dumps(truth(seed)) for seed in range(20)}) == 20


def test_some_truths_have_no_better_style():
    better = [any(lift > 0 for lift in lifts.values()) for seed in range(40) for lifts in truth(seed).values()]
    assert 0.4 < sum(better) / len(better) < 0.9


def demo(folder, *options):
    return [ADSTYLE, "demo", "--out", str(folder), *options]


def test_killed_and_run_again_it_tells_the_story_the_readme_shows(tmp_path):
    """One whole telling: killed while the second week is ingested, told to its end, and then nothing is left to do."""
    out = tmp_path / "demo"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ADSTYLE_")}
    process = subprocess.Popen(demo(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    while not (out / "inbox" / "clicks-week2.jsonl.gz").exists():
        assert process.poll() is None, "the demo ended before it could be killed"
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()

    told = subprocess.run(demo(out), capture_output=True, text=True, env=environment, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    shown = re.search(r"```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    for line in shown.splitlines():
        assert line in told.stdout
    hidden = json.loads((out / TRUTH).read_text())
    assert hidden["worlds"] == truth(16)
    page = (out / "reports" / "2026-W47.html").read_text()
    assert len(page.encode()) < 1_000_000
    assert "<script" not in page

    again = subprocess.run(demo(out), capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert shown.splitlines()[0] in again.stdout

    other = subprocess.run(demo(out, "--seed", "3"), capture_output=True, text=True, env=environment, check=False)
    assert other.returncode == 2
    assert "seed 16" in other.stderr


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("mine")
    assert run(["demo", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("name", ["missing.png", "text.png"])
def test_a_picture_that_cannot_be_used_is_named(tmp_path, capsys, name):
    (tmp_path / "text.png").write_text("no picture")
    assert run(["demo", "--out", str(tmp_path / "demo"), "--picture", str(tmp_path / name)]) == 2
    assert name in capsys.readouterr().err
