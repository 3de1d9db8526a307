"""What lies where a file is meant to be: whoever reads a pipe or a device may wait for ever, or read for ever."""

import errno
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def no_file(path: Path) -> str | None:
    """What is there in place of a file, such as ``a folder``; None for a file, and where nothing is.

    Raises:
        OSError: for a name that is too long, or a folder that may not be looked into.
    """
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except (FileNotFoundError, NotADirectoryError):
        return "a link that leads nowhere" if path.is_symlink() else None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return "a link that leads in a circle" if path.is_symlink() else "behind a link that leads in a circle"
