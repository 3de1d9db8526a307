"""The README cannot lie: its sessions are run, and its command reference is compared with the commands."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SESSION = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
ADSTYLE = Path(sys.executable).with_name("adstyle")


def steps(session: str) -> list[tuple[str, str]]:
    """(command, what the README says it prints) in order."""
    parts = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    return [(command, said) for command, _, said in (part.partition("\n") for part in parts)]


def test_the_command_reference_is_what_the_commands_say() -> None:
    from experiments.cli.reference import renew

    assert renew(README) == README, "run: make docs"


def test_the_sessions_print_what_the_readme_says(tmp_path: Path) -> None:
    sessions = SESSION.findall(README)
    assert sessions, "the README has no session to run"
    environment = os.environ | {"PATH": f"{ADSTYLE.parent}:{os.environ['PATH']}", "COLUMNS": "120", "NO_COLOR": "1"}
    checker = doctest.OutputChecker()
    folder = tmp_path
    for command, said in (step for session in sessions for step in steps(session)):
        words = shlex.split(command)
        if words[0] == "cd":
            folder = folder / words[1]
            continue
        result = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        printed = result.stdout + result.stderr
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert checker.check_output(said, printed, options), f"$ {command}\nREADME:\n{said}\nprinted:\n{printed}"


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
