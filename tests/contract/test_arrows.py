"""The arrows of the design are held by a machine: a wrong import must break the build."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("creatives", "experiments", "reports")

WRONG_IMPORTS = [
    ("creatives/errors.py", "import reports", "libraries that do not know each other"),
    ("reports/errors.py", "import experiments", "libraries that do not know each other"),
    ("experiments/core/errors.py", "import experiments.store", "every arrow points at the core"),
    ("experiments/core/statistics/moments.py", "import pandas", "the core is pure"),
    ("experiments/jobs/job.py", "import sqlalchemy", "SQL stays in the store"),
    ("creatives/errors.py", "import sqlalchemy", "creatives knows no database"),
    ("reports/errors.py", "import PIL", "reports knows no database"),
    ("reports/errors.py", "import torch", "torch is creatives' own"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arrows")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}  # a contract's name stays on one line
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_tree_as_it_is_keeps_every_contract(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("module", "line", "contract"), WRONG_IMPORTS, ids=[f"{m}: {i}" for m, i, _ in WRONG_IMPORTS])
def test_a_wrong_import_breaks_its_contract(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / module
    text = path.read_text()
    try:
        path.write_text(text + f"\n{line}\n")
        result = lint(copy)
    finally:
        path.write_text(text)
    assert result.returncode == 1, result.stdout
    broken = [row for row in result.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(contract in row for row in broken), result.stdout
