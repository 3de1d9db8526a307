"""Folders for what is not to stay: one goes when its work is done and, where its process was killed, at the next start.

Work beyond memory can be many gigabytes; a machine whose jobs are killed now and then must not fill up with it.
"""

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

_PREFIX = "adstyle-scratch-"
_LOCK = "held"
"""A file in the folder, locked by the process that works there: the system lets go of it however that one ends."""


class Scratch:
    """A folder of this process's own among the temporary ones."""

    def __init__(self) -> None:
        _clear()
        self.folder, self._lock = _held()

    def close(self) -> None:
        """All that is in it goes."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _held() -> tuple[Path, FileLock]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = _lock(folder)
        try:
            lock.acquire()
        except FileNotFoundError:  # another found the folder before it was held, and took it for one left behind
            continue
        if Path(lock.lock_file).exists():
            return folder, lock
        lock.release()  # likewise, a moment later


def _clear() -> None:
    """Remove what was left by processes of this user's that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.stat().st_uid != os.getuid() or not (folder / _LOCK).exists():
                continue
            with _lock(folder).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Timeout):  # it is held, or has gone meanwhile
            continue


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / _LOCK, thread_local=False)
