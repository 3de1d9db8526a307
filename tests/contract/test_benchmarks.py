"""Every benchmark the README is measured with can be run, and says what it measures."""

import importlib
from pathlib import Path

import pytest

from benchmarks import calibration
from benchmarks.__main__ import BEGIN, CLAIMS, END
from benchmarks.readme import README
from benchmarks.table import Table

HERE = Path(__file__).resolve().parents[2] / "benchmarks"
HELPERS = {"__init__", "__main__", "table", "clock", "readme", "johnson"}
BY_HAND = {"style_quality", "network_gpu", "network_speed", "network_likeness", "calibration"}
"""The first needs material that does not travel with the repository; the README states no figure of the next three; the
last has a word of its own, `make calibrate`."""


def test_every_script_is_a_claim() -> None:
    assert {path.stem for path in HERE.glob("*.py")} == {*CLAIMS, *HELPERS, *BY_HAND}


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_can_be_measured(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__
    assert callable(module.measure)


@pytest.mark.parametrize("name", sorted(BY_HAND))
def test_every_script_run_by_hand_starts(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}").__doc__


@pytest.mark.parametrize(("name", "size"), [("compare", "TESTS"), ("ingest", "LINES"), ("wrong_winners", "WORLDS")])
def test_a_small_edition_of_a_benchmark_fills_its_table(name: str, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(module, size, 40)
    table = module.measure()
    assert len(table.rows) >= 3
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert "40" in table.title


def test_the_readme_has_the_figures_between_its_marks() -> None:
    text = README.read_text(encoding="utf-8")
    figures = text[text.index(BEGIN) : text.index(END)]
    assert figures.count("**") == 2 * len(CLAIMS)


def test_calibration_has_its_place_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    assert 0 < text.index(calibration.BEGIN) < text.index(calibration.END)


def test_a_table_is_markdown() -> None:
    table = Table("Speed", ("what", "seconds"), (("help", "0.2"),))
    assert table.markdown() == "**Speed**\n\n| what | seconds |\n| --- | ---: |\n| help | 0.2 |\n"
