"""Reading a log file, plain, gzip or Zstandard, in blocks of whole lines; it must not change meanwhile."""

import io
import os
import stat
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 8 << 20
LONGEST_LINE = 1 << 20
"""Bytes, its line end excluded. A log without line ends must not fill the memory."""
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)))
"""RFC 1952, RFC 8878: what such files begin with, whatever their names say; pzstd's with a frame to be skipped."""
PARQUET_MAGIC = b"PAR1"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHERS = {
    b"\xff\xfe": "is UTF-16 text: save or export it as UTF-8",
    b"\xfe\xff": "is UTF-16 text: save or export it as UTF-8",
    b"PK\x03\x04": "is a ZIP archive (or a spreadsheet): deliver the CSV in it, plain or as .gz",
    b"BZh": "is packed by bzip2: deliver it plain, as .gz or as .zst",
    b"\xfd7zXZ\x00": "is packed by xz: deliver it plain, as .gz or as .zst",
    b"Obj\x01": "is Avro: deliver CSV, JSON lines or Parquet",
    b"PARE": "is encrypted Parquet: deliver it unencrypted",
    PARQUET_MAGIC: "is Parquet that was packed once more: deliver it as it is",
}
"""What other files begin with, and what to do about them."""
_LINE_END, _CARRIAGE_RETURN = 10, 13
_DAMAGED: tuple[type[Exception], ...]
_DAMAGED = (EOFError, zlib.error, isal_zlib.error, OSError)  # type: ignore[assignment]  # typed as an instance there
"""What unpacking says of packed data that is cut or broken."""


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


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole lines of a log, as bytes and where each begins and ends; empty lines are no lines."""

    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    """Where each line ends, its line end excluded."""
    numbers: NDArray[np.int64]
    """1 is the first line of the file."""
    ended: bool = True
    """False where the last line has no line end."""

    @classmethod
    def of(cls, data: bytes, first: int, *, ended: bool = True) -> "Block":
        """The lines in ``data``, which ends with a line end, or with the last line of the file (``ended`` False)."""
        octets = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(octets == _LINE_END)
        if not ended:
            ends = np.append(ends, len(data))
        starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
        numbers = np.arange(first, first + len(ends))
        returned = (ends > starts) & (octets[np.maximum(ends - 1, 0)] == _CARRIAGE_RETURN)
        ends = ends - returned
        some = ends > starts
        return cls(data, starts[some], ends[some], numbers[some], ended)

    def __len__(self) -> int:
        return len(self.starts)

    def after(self, lines: int) -> "Block":
        """All but the first ``lines``."""
        return Block(self.data, self.starts[lines:], self.ends[lines:], self.numbers[lines:], self.ended)

    def lines(self, chosen: NDArray[np.intp] | NDArray[np.bool_] | slice = slice(None)) -> Iterator[Line]:
        """The chosen ones as text."""
        last = int(self.starts[-1]) if len(self) and not self.ended else -1
        parts = (each[chosen].tolist() for each in (self.starts, self.ends, self.numbers))
        for start, end, number in zip(*parts, strict=True):
            yield _line(self.data[start:end], number, ended=start != last)


class _Opened(io.RawIOBase):
    """A file up to the size it had when it was opened: one that is still written to must not be read for ever."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        room, left = memoryview(buffer), max(0, self._size - self._file.tell())
        data = self._file.read(min(room.nbytes, left))
        room[: len(data)] = data
        return len(data)


def came_at(fact: os.stat_result) -> datetime:
    """When a file came to lie where it lies: copies keep the time at which the original was written, but not this."""
    return datetime.fromtimestamp(fact.st_ctime, UTC)


class Log:
    """A file opened once: what is hashed is what is read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._stat = os.fstat(file.fileno())
        self.size = self._stat.st_size
        self.sha256 = file_digest(_Opened(file, self.size), "sha256").hexdigest()

    @property
    def since(self) -> datetime:
        """When the file came to lie there as it is."""
        return came_at(self._stat)

    @property
    def file(self) -> BinaryIO:
        """The open file, for who reads it otherwise than by lines."""
        return self._file

    def begins_with(self, magic: bytes) -> bool:
        """Whether these are the file's first bytes as delivered."""
        self._file.seek(0)
        return self._file.read(len(magic)) == magic

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        return self._file.tell()

    def blocks(self) -> Iterator[Block]:
        """All lines, a block at a time; the next one is unpacked while this one is worked on.

        Raises:
            FileRefused: when a packed file is cut or damaged, a line is longer than LONGEST_LINE, or the file changed.
        """
        stream = self._stream()
        number, rest = 1, b""
        with ThreadPoolExecutor(1) as unpacker:
            coming = unpacker.submit(self._unpack, stream)
            while block := coming.result():
                coming = unpacker.submit(self._unpack, stream)
                if number == 1 and not rest:
                    self._refuse_others(block)
                    block = block.removeprefix(_BYTE_ORDER_MARK)
                whole = block.rfind(b"\n") + 1
                data, rest = (rest + block[:whole], block[whole:]) if whole else (b"", rest + block)
                self._refuse_longer(len(rest) - 1)  # its last byte may be the first of a line end
                if data:
                    yield self._block(data, number)
                    number += int(np.count_nonzero(np.frombuffer(data, np.uint8) == _LINE_END))
        if rest:
            yield self._block(rest, number, ended=False)
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """All was read.

        Raises:
            FileRefused: where the file was changed meanwhile.
        """
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise FileRefused(f"{self.path.name} was written to while it was read: deliver it when it is whole")

    def _block(self, data: bytes, first: int, *, ended: bool = True) -> Block:
        block = Block.of(data, first, ended=ended)
        self._refuse_longer(int((block.ends - block.starts).max(initial=0)))
        return block

    def _refuse_longer(self, line: int) -> None:
        if line > LONGEST_LINE:
            raise FileRefused(f"{self.path.name} has a line of more than {LONGEST_LINE:,} bytes: is it a log?")

    def _refuse_others(self, beginning: bytes) -> None:
        for magic, complaint in _OTHERS.items():
            if beginning.startswith(magic):
                raise FileRefused(f"{self.path.name} {complaint}")

    def _stream(self) -> BinaryIO:
        """What is in the file, unpacked."""
        self._file.seek(0)
        beginning = self._file.read(len(_ZSTD_MAGICS[0]))
        self._file.seek(0)
        opened = _Opened(self._file, self.size)
        if beginning.startswith(_GZIP_MAGIC):
            return io.BufferedReader(igzip.IGzipFile(fileobj=opened), 1 << 20)
        if beginning in _ZSTD_MAGICS:
            return pa.CompressedInputStream(pa.PythonFile(opened, "r"), "zstd")
        return io.BufferedReader(opened, 1 << 20)

    def _unpack(self, stream: BinaryIO) -> bytes:
        try:
            return stream.read(BLOCK_BYTES)
        except _DAMAGED as error:
            raise FileRefused(f"{self.path.name} is cut or damaged: deliver it again, whole") from error


@contextmanager
def open_log(path: Path) -> Iterator[Log]:
    """Open a log for one reading.

    Raises:
        FileRefused: when there is no such file, it cannot be read, or its name cannot be kept.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError:  # bytes that are no text: the lake and the register could not keep the name
        raise FileRefused(f"{path.name!a} has a name that is no UTF-8: rename it") from None
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait for who writes to it
            raise FileRefused(f"{path} is no file but a pipe or device: write it to disk first")
        file = path.open("rb")
    except OSError as error:
        raise FileRefused(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield Log(path, file)


def _line(data: bytes, number: int, *, ended: bool) -> Line:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        reason = "nul_byte" if b"\0" in data else "not_utf8"
        return Line(number, data.decode(errors="replace"), ended, reason)
    return Line(number, text, ended, "nul_byte" if "\0" in text else None)
