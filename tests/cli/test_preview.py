"""``styles preview``: one sheet, on four photographs that come along, written whole or refused in one line."""

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from experiments.cli.app import run


def test_two_looks_on_the_photographs_that_come_along(tmp_path: Path) -> None:
    out = tmp_path / "new" / "looks.png"
    assert run(["styles", "preview", "noir", "noir@0.5", "--tile", "64", "--out", str(out)]) == 0
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 4 * 64
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("out", [".", "", "/", "folder"])
def test_a_folder_to_write_to_is_refused_before_anything_is_styled(
    tmp_path: Path, out: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("creatives.sheet.contact_sheet", lambda *_given, **_named: pytest.fail("it is styled"))
    assert run(["styles", "preview", "noir", "--out", out]) == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert "is a folder; name the PNG in it" in said
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_pipe_to_write_to_is_refused_before_anything_is_styled(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "looks.png")
    monkeypatch.setattr("creatives.sheet.contact_sheet", lambda *_given, **_named: pytest.fail("it is styled"))
    assert run(["styles", "preview", "noir", "--out", str(tmp_path / "looks.png")]) == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert "looks.png is a pipe; name a PNG to write" in said
    assert (tmp_path / "looks.png").is_fifo()


def test_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert run(["styles", "preview", "noir", "--tile", "64", "--out", str(tmp_path / "file" / "looks.png")]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "cannot be used" in said


def test_a_photograph_of_a_pixel_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    chosen = ["--picture", str(tmp_path / "dot.png"), "--out", str(tmp_path / "looks.png")]
    assert run(["styles", "preview", "noir", *chosen]) == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert "dot.png is 1 x 1 pixels; a photograph needs at least 64 a side" in said
    assert not (tmp_path / "looks.png").exists()


def test_of_a_folder_that_is_read_only_the_picture_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_given: object, **_named: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert run(["styles", "preview", "noir", "--tile", "64", "--out", str(tmp_path / "looks.png")]) == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert said == f"adstyle: {tmp_path / 'looks.png'} cannot be used: read-only file system"
