"""A pack that is broken, or a key file that is gone, stops what needs it and nothing else."""

import shutil
from pathlib import Path

import pytest

from creatives.packs import SHIPPED
from experiments.cli.app import run


@pytest.fixture
def here(tmp_path: Path) -> Path:
    place = tmp_path / "here"
    assert run(["init", str(place)]) == 0
    return place


def at(here: Path, *words: str) -> int:
    return run(["--workspace", str(here), *words])


def test_a_broken_pack_is_no_style_and_all_others_are(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "packs" / "bad").mkdir()
    (here / "packs" / "bad" / "style.toml").write_text("name = 1\n")
    shutil.copytree(SHIPPED / "noir", here / "packs" / "noir")
    assert at(here, "status") == 0
    assert at(here, "job", "run", "all") == 0
    capfd.readouterr()
    assert at(here, "styles", "list") == 0
    shown, told = capfd.readouterr()
    assert "pencil" in shown
    assert "noir" not in shown
    bad, taken = sorted(told.splitlines())
    assert "bad/style.toml" in bad
    assert "the name 'noir' is taken by" in taken
    for name, says in (("bad", "bad/style.toml"), ("noir", "rename the pack"), ("nior", "there is no style")):
        assert at(here, "styles", "show", name) == 2
        assert says in capfd.readouterr().err
    assert at(here, "styles", "show", "pencil") == 0
    assert at(here, "doctor") == 1
    assert "bad/style.toml" in capfd.readouterr().out


def test_without_its_key_a_workspace_tells_what_it_knows(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "secrets" / "unit.key").unlink()
    assert at(here, "status") == 0
    assert at(here, "experiment", "list") == 0
    capfd.readouterr()
    assert at(here, "events", "show", "somebody") == 2
    assert "unit.key is missing" in capfd.readouterr().err
