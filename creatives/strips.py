"""Work on a picture by strips of rows, on all processors at once.

Filters let go of the interpreter while they compute, and a strip with what is made of it on the way stays in a
processor's own cache. Strips have as many rows on every machine, so that pictures are the same on all of them.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_ROWS, _OVERLAPS = 128, 4
"""Rows of a strip: so many, or so many times what it must know of its neighbours."""


def in_strips(work: Callable[..., Floats], *pictures: Floats, beyond: int = 0) -> Floats:
    """``work(*pictures)``, which has the shape of the first; all have as many rows.

    ``beyond`` is how many rows away a pixel may be that makes a difference to another.
    """
    made, rows = np.empty(pictures[0].shape, np.float32), max(_ROWS, _OVERLAPS * beyond)

    def strip(top: int, end: int) -> None:
        start = max(top - beyond, 0)
        done = work(*(picture[start : end + beyond] for picture in pictures))
        made[top:end] = done[top - start : end - start]

    over_rows(strip, len(made), rows)
    return made


def over_rows(work: Callable[[int, int], None], height: int, rows: int = _ROWS) -> None:
    """``work(top, end)`` for each strip of ``height`` rows, several at a time; what is hardly two strips is one."""
    if height < 2 * rows:
        work(0, height)
        return
    tops = range(0, height, rows)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(tops))) as pool:
        for _ in pool.map(lambda top: work(top, min(top + rows, height)), tops):
            pass
