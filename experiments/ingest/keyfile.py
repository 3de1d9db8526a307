"""The file of keys under which units are hashed, oldest first, one a line in hexadecimal; for its owner alone.

A change of key is kept beside it, in a file that ends in ``.next`` and holds what the file is to hold: whoever finds
that one knows that a change was begun and not ended. One rename ends it, so no instant has half a key, or none.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from experiments.core.errors import ExperimentError

KEY_BYTES = 32
SHORTEST_KEY, LONGEST_KEY = 16, 64
"""Bytes; a longer key than SHA-256's block would be hashed first."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where the keys lie."""

    path: Path

    @property
    def pending(self) -> Path:
        """What the file is to hold once the lake's units are hashed under the new key too."""
        return self.path.with_name(f"{self.path.name}.next")

    @property
    def changing(self) -> bool:
        """Whether a change of key was begun and not ended."""
        return self.pending.exists()

    def keys(self) -> tuple[bytes, ...]:
        """Every key, the oldest first.

        Raises:
            ExperimentError: where there is no file, or it holds no keys.
        """
        return _read(self.path)

    def create(self) -> None:
        """A first key. What is there stays: units hashed under it would become strangers."""
        if not self.path.exists():
            self.path.parent.chmod(0o700)
            _write(self.path, (secrets.token_bytes(KEY_BYTES),))

    def begin_change(self) -> tuple[bytes, ...]:
        """The keys as they will be, a new one last; where a change was begun already, that one's.

        Raises:
            ExperimentError: where the change that was begun is one of other keys than the file's.
        """
        keys = self.keys()
        if not self.changing:
            _write(self.pending, (*keys, secrets.token_bytes(KEY_BYTES)))
        coming = _read(self.pending)
        if coming[:-1] != keys:
            raise ExperimentError(
                f"{self.pending} is not {self.path} with one more key: restore both as they were when the change began"
            )
        return coming

    def end_change(self) -> None:
        """The new key counts from here on."""
        os.replace(self.pending, self.path)
        _settle(self.path.parent)


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
        keys = tuple(bytes.fromhex(line) for line in lines)
    except FileNotFoundError:
        raise ExperimentError(
            f"{path} is missing: without it no unit can be recognised again. Restore it from your backup."
        ) from None
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read: {(error.strerror or '').lower()}") from None
    except ValueError:
        raise ExperimentError(f"{path} does not hold a key in hexadecimal. Restore it from your backup.") from None
    for key in keys or (b"",):
        if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise ExperimentError(
                f"{path} holds {len(key)} bytes; a key has {SHORTEST_KEY} to {LONGEST_KEY}. "
                "Restore it from your backup."
            )
    return keys


def _write(path: Path, keys: tuple[bytes, ...]) -> None:
    """Whole and on the disk, or not at all; readable by its owner from its first byte on."""
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write("".join(f"{key.hex()}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """A rename is on the disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
