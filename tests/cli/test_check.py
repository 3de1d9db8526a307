"""``styles check``: styles by name and packs that nobody has added yet."""

import shutil
from pathlib import Path

import pytest

from creatives.packs import MANIFEST, SHIPPED
from experiments.cli.app import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """One that was not added; its name is no style's."""
    folder = tmp_path / "my-noir"
    shutil.copytree(SHIPPED / "noir", folder)
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text().replace('name = "noir"', 'name = "my-noir"'))
    return folder


def test_the_folder_of_a_pack_is_checked_as_a_style_is(
    pack: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["styles", "check", str(pack)]) == 0
    monkeypatch.chdir(pack)
    assert run(["styles", "check", ".", "noir"]) == 0
    assert capfd.readouterr().out.splitlines() == ["1 style keeps its promises.", "2 styles keep their promises."]


def test_what_is_wrong_with_a_pack_is_said_in_one_line(pack: Path, capfd: Capture) -> None:
    (pack / MANIFEST).write_text((pack / MANIFEST).read_text().replace("engine", "engin"))
    assert run(["styles", "check", str(pack)]) == 2
    assert run(["styles", "check", str(pack.parent)]) == 2
    broken, none = capfd.readouterr().err.splitlines()
    assert "engin" in broken
    assert "no style pack" in none


def test_a_style_goes_before_a_folder_of_its_name(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noir").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(["styles", "check", "noir"]) == 0
    assert capfd.readouterr().out == "1 style keeps its promises.\n"
