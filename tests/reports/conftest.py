import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def example():
    """The names of example.py; tests are not a package, so it is run rather than imported."""
    return runpy.run_path(str(Path(__file__).with_name("example.py")))


@pytest.fixture(scope="session")
def report(example):
    return example["example_report"]()
