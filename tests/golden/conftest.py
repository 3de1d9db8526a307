import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def report():
    example = Path(__file__).parents[1] / "reports" / "example.py"
    return runpy.run_path(str(example))["example_report"]()
