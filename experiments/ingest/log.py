"""Reading a log file: plain or gzip, in blocks of whole lines, hashed first and checked not to change meanwhile."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO, NamedTuple

from experiments.core.errors import ExperimentError

BLOCK_BYTES = 256 << 10
LONGEST_LINE = 1 << 20
"""Bytes. A log without line ends must not fill the memory."""
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FileRefused(ExperimentError):
    """A file that is not what it should be as a whole: nothing of it was taken."""


class Line(NamedTuple):
    """One line without its end: its text or, where it is not even text, the reason to reject it."""

    number: int
    """1 is the first of the file."""
    text: str
    ended: bool = True
    """False for a last line without a line end: it may have been cut."""
    unreadable: str | None = None


class _Opened(io.RawIOBase):
    """A file up to the size it had when it was opened: one that is still written to must not be read for ever."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        left = max(0, self._size - self._file.tell())
        data = self._file.read(min(len(buffer), left))
        buffer[: len(data)] = data
        return len(data)

    def rewind(self) -> None:
        """Read from the beginning again."""
        self._file.seek(0)


class Log:
    """A file opened once: what is hashed is what is read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._stat = os.fstat(file.fileno())
        self.size = self._stat.st_size
        self._bytes = _Opened(file, self.size)
        self.sha256 = file_digest(self._bytes, "sha256").hexdigest()

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        return self._file.tell()

    def blocks(self) -> Iterator[list[Line]]:
        """All lines, a block at a time; empty lines are no lines.

        Raises:
            FileRefused: when a gzip file is cut or damaged, a line is longer than LONGEST_LINE, or the file changed.
        """
        self._bytes.rewind()
        zipped = self._bytes.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        self._bytes.rewind()
        stream = gzip.GzipFile(fileobj=self._bytes) if zipped else self._bytes
        number, rest = 1, b""
        try:
            while block := stream.read(BLOCK_BYTES):
                if number == 1 and not rest:
                    block = block.removeprefix(_BYTE_ORDER_MARK)
                body, line_end, rest = (rest + block).rpartition(b"\n")
                if len(rest) > LONGEST_LINE:
                    raise FileRefused(f"{self.path.name} has a line of more than {LONGEST_LINE:,} bytes: is it a log?")
                if line_end:
                    yield _lines(body, number)
                    number += body.count(b"\n") + 1
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FileRefused(f"{self.path.name} is a cut or damaged gzip file: deliver it again, whole") from error
        if rest:
            yield _lines(rest, number, ended=False)
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise FileRefused(f"{self.path.name} was written to while it was read: deliver it when it is whole")


@contextmanager
def open_log(path: Path) -> Iterator[Log]:
    """Open a log for one reading.

    Raises:
        FileRefused: when there is no such file or it cannot be read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise FileRefused(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield Log(path, file)


def _lines(body: bytes, first: int, *, ended: bool = True) -> list[Line]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        lines = [Line(number, line.removesuffix("\r"), ended) for number, line in enumerate(text.split("\n"), first)]
    else:
        lines = [_suspicious(line, number, ended=ended) for number, line in enumerate(body.split(b"\n"), first)]
    return [line for line in lines if line.text]


def _suspicious(line: bytes, number: int, *, ended: bool) -> Line:
    """A line of a block in which some line is not text. (No byte of a longer UTF-8 sequence is a line end.)"""
    line = line.removesuffix(b"\r")
    text = line.decode(errors="replace")
    if b"\0" in line:
        return Line(number, text, ended, "nul_byte")
    try:
        line.decode()
    except UnicodeDecodeError:
        return Line(number, text, ended, "not_utf8")
    return Line(number, text, ended)
