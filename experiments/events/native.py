"""Keeping native libraries from speaking to the user behind our back."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2


class _Silence:
    """Standard error sent nowhere while anyone asks for it: the descriptor is the whole process's, so askers are
    counted and the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._askers = 0
        self._kept = -1

    def begin(self) -> None:
        with self._lock:
            if self._askers == 0:
                self._kept = os.dup(_STANDARD_ERROR)
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, _STANDARD_ERROR)
                os.close(nowhere)
            self._askers += 1

    def end(self) -> None:
        with self._lock:
            self._askers -= 1
            if self._askers == 0:
                os.dup2(self._kept, _STANDARD_ERROR)
                os.close(self._kept)


_silence = _Silence()


@contextmanager
def native_silence() -> Iterator[None]:
    """Nothing that native code prints to standard error is seen.

    When the disk fills up, a writer thread of delta-rs panics over its open file and prints that with a backtrace, but
    the failure itself reaches us as an exception, which has words for people.
    """
    try:
        _silence.begin()
    except OSError:  # standard error is closed: there is nothing to silence
        yield
        return
    try:
        yield
    finally:
        _silence.end()
