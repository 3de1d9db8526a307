"""What of a file is looked at before its lines are: its name, what it is, and how long its lines are."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from experiments.ingest import log
from experiments.ingest.log import FileRefused, open_log

LONGEST = 50


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """The lines of a file, where the longest that may be has LONGEST bytes."""
    monkeypatch.setattr(log, "LONGEST_LINE", LONGEST)

    def lines(data, block):
        monkeypatch.setattr(log, "BLOCK_BYTES", block)
        path = tmp_path / "views.csv"
        path.write_bytes(data)
        with open_log(path) as opened:
            return [line.text for block in opened.blocks() for line in block.lines()]

    return lines


@pytest.mark.parametrize("block", [*range(1, 70), 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_how_long_a_line_may_be_does_not_depend_on_its_place(lines, block, end):
    before, after = b"ab\n" * 3, b"c\n" if end else b""
    assert lines(before + b"x" * LONGEST + end + after, block)[3] == "x" * LONGEST
    with pytest.raises(FileRefused, match=r"^views\.csv has a line of more than 50 bytes: is it a log\?$"):
        lines(before + b"x" * (LONGEST + 1) + end + after, block)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / os.fsdecode(b"views-\xe9.csv")
    path.write_text("a\n")
    with pytest.raises(FileRefused) as refusal, open_log(path):
        pass
    assert str(refusal.value) == r"'views-\udce9.csv' has a name that is no UTF-8: rename it"


def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path):
    path = tmp_path / "views.csv"
    os.mkfifo(path)
    reading, writing = os.pipe()
    for each in (Path("/dev/null"), Path(f"/dev/fd/{reading}"), path):
        with pytest.raises(FileRefused) as refusal, open_log(each):
            pass
        assert str(refusal.value) == f"{each} is no file but a pipe or device: write it to disk first"
    os.close(reading)
    os.close(writing)


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "views.csv").write_text("a\n")
    (tmp_path / "link.csv").symlink_to("views.csv")
    with open_log(tmp_path / "link.csv") as opened:
        assert opened.size == 2


@pytest.mark.parametrize("first", [b"", b"\x50\x2a\x4d\x18\x04\0\0\0abcd", b"\x5f\x2a\x4d\x18\0\0\0\0"])
def test_zstandard_may_come_in_several_frames_and_begin_with_one_to_be_skipped(lines, first):
    """As pzstd writes it, which packs on several cores."""
    frames = [first + pa.compress(text, codec="zstd", asbytes=True) for text in (b"ab\nc", b"d\ne\n")]
    assert lines(b"".join(frames), 10_000) == ["ab", "cd", "e"]
