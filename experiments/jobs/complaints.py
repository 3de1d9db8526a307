"""What the operating system says of a file, as people are told it."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of a full disk: no one file is to blame."""


def complaint(error: OSError) -> str | None:
    """One line that names the file; None where the error names none, which is no user's doing."""
    name = error.filename2 or error.filename  # of a rename: nobody knows of the file aside
    return None if name is None else f"{name} cannot be used: {(error.strerror or '').lower()}"
