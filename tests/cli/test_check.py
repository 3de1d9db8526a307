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


def test_of_all_styles_those_that_are_none_are_named_and_the_others_checked(
    pack: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("creatives.packs.SHIPPED", tmp_path / "none")
    workspace = tmp_path / "ads"
    assert run(["init", str(workspace)]) == 0
    for name, wrong in (("dawn", "engin"), ("dusk", "engine")):
        folder = workspace / "packs" / name
        shutil.copytree(pack, folder)
        told = (pack / MANIFEST).read_text().replace('"my-noir"', f'"{name}"').replace("engine", wrong)
        (folder / MANIFEST).write_text(told)
    monkeypatch.setattr("creatives.checks.check_style", lambda look: iter([f"is asked of {look.name}"]))
    capfd.readouterr()
    assert run(["--workspace", str(workspace), "styles", "check"]) == 2
    said = capfd.readouterr()
    assert [line.partition(":")[0] for line in said.out.splitlines()] == ["dawn", "dusk"]
    assert said.err == "adstyle: 2 promises are broken: mend the packs named above\n"
    assert run(["--workspace", str(workspace), "styles", "check", "dusk"]) == 2
    assert capfd.readouterr().err == "adstyle: 1 promise is broken: mend the pack named above\n"
