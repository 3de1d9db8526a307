"""The README cannot lie: its sessions are run, its files are used, and its tables are compared with the code."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```", re.DOTALL | re.MULTILINE)
ADSTYLE = Path(sys.executable).with_name("adstyle")
COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def steps(session: str) -> list[tuple[str, str]]:
    """(command, what the README says it prints) in order."""
    parts = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    return [(command, said) for command, _, said in (part.partition("\n") for part in parts)]


def test_every_made_part_is_what_the_code_says() -> None:
    from experiments.cli.reference import renew

    assert renew(README) == README, "run: make docs"


def test_the_sessions_print_what_the_readme_says(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{ADSTYLE.parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    checker, folder, commands = doctest.OutputChecker(), tmp_path, 0
    for language, file, text in BLOCK.findall(README):
        if file:
            (folder / file).write_text(text, encoding="utf-8")
        for command, said in steps(text) if language == "console" else ():
            verb, _, rest = command.partition(" ")
            if verb == "cd":
                folder = folder / rest
            elif verb == "export":
                environment |= dict([rest.split("=", 1)])
            else:
                result = subprocess.run(
                    ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                printed = result.stdout + result.stderr
                assert checker.check_output(said, printed, COMPARED), (
                    f"$ {command}\nREADME:\n{said}\nprinted:\n{printed}"
                )
                commands += 1
    assert commands > 10


def test_every_metric_that_a_plan_may_name_is_named() -> None:
    from experiments.core.metrics import METRICS

    listed = re.search(r"^Metrics are (.*?)\.$", README, re.DOTALL | re.MULTILINE)
    assert listed is not None
    assert set(re.findall(r"`([^`]+)`", listed[1])) == set(METRICS)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
