"""The peers' own environment: made once, under .peers/, from what they were released with."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parents[1] / ".peers"
PYTHON = ENVIRONMENT / "bin" / "python"
_MADE = ENVIRONMENT / ".installed"


def ready() -> bool:
    """Whether the environment is there and holds what is asked for now."""
    return _MADE.is_file() and _MADE.read_text() == (HERE / "requirements.txt").read_text()


def make() -> None:
    """Install the peers; a minute or two, once."""
    if ready():
        return
    print(f"installing the peers into {ENVIRONMENT} ...", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", str(HERE / "requirements.txt")], check=True, stderr=subprocess.DEVNULL)
    _MADE.write_text((HERE / "requirements.txt").read_text())


def ask(script: str, questions: Sequence[Any], *arguments: str) -> list[Any]:
    """Run one of the scripts beside this one among the peers: JSON in, JSON out."""
    command = [str(PYTHON), "-W", "ignore", str(HERE / script), *arguments]
    done = subprocess.run(command, input=json.dumps(list(questions)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr.strip().splitlines()[-1]}")
    return list(json.loads(done.stdout))
