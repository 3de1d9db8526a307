"""Measuring a whole process: its wall time and the most memory it held."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ADSTYLE = str(Path(sys.executable).with_name("adstyle"))


@dataclass(frozen=True, slots=True)
class Run:
    """One process from start to end."""

    seconds: float
    peak_mib: float


def timed(*arguments: str, cwd: Path, program: Sequence[str] = (ADSTYLE,)) -> Run:
    """Run ``adstyle``, or another program, with these arguments in a folder; it must end well."""
    began = time.perf_counter()
    process = subprocess.Popen([*program, *arguments], cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    code = process.returncode = os.waitstatus_to_exitcode(status)
    if code:
        raise subprocess.CalledProcessError(code, [*program, *arguments])
    return Run(seconds, usage.ru_maxrss / 1024)
