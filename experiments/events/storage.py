"""What may happen to the lake's disk or store, in one line of ours."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from deltalake.exceptions import DeltaError

from experiments.core.errors import StorageFailure

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_COLOURS, _CAUSED_BY = re.compile(r"\x1b\[\d*m"), "↳ "
_DISK_FULL_WORDS = ("No space left", "File too large", "quota exceeded")


@contextmanager
def storage_failures(where: str) -> Iterator[None]:
    """Raise our error, in one line, where the lake's or the system's would mean a full disk or a damaged lake."""
    try:
        yield
    except (OSError, DeltaError, pa.ArrowException, duckdb.Error) as error:
        if is_disk_full(error):
            raise StorageFailure(
                f"{where}: the disk is full; free some space and run the same command again"
            ) from error
        raise StorageFailure(f"{where}: the lake cannot be read or written: {_first_line(error)}") from error


def is_disk_full(error: BaseException) -> bool:
    """Whether that is why it failed."""
    return getattr(error, "errno", None) in _DISK_FULL or any(words in str(error) for words in _DISK_FULL_WORDS)


def _first_line(error: BaseException) -> str:
    """And, where an object store's client tells its causes below it, the last of them."""
    lines = _COLOURS.sub("", str(error)).splitlines() or [type(error).__name__]
    causes = [line.strip().removeprefix(_CAUSED_BY) for line in lines if line.strip().startswith(_CAUSED_BY)]
    return ": ".join([lines[0], *causes[-1:]])
