"""Large pictures: the statistics of the whole, taken once from a reduced copy, then tile by tile under them.

Two halves styled apart differ visibly, because each is normalised by itself; under the same folded statistics a tile
with enough around it comes out as it would in the whole.
"""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from creatives.neural.runner import Runner

Floats = NDArray[np.float32]

MEASURED_SIDE = 1080
"""Longer side at which a large picture's statistics are taken; smaller ones are styled whole."""
WHOLE_PIXELS = 1440 * 1440
TILE, MARGIN, STRIDE, SMALLEST = 1024, 128, 4, 16
"""Most pixels of a tile's inside along a side, and those around it: more than anything the network sees."""
REMEMBERED = 4
"""Pictures, of which it is known what the network cannot give back: the slots of a brief."""
EVEN = 32
"""Tiles begin at multiples of it, whatever the strides within a network."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where a tile is read, and where its inside goes."""

    top: int
    bottom: int
    left: int
    right: int
    inner_top: int
    inner_bottom: int
    inner_left: int
    inner_right: int

    def read(self, picture: Floats) -> Floats:
        """What the tile is made from."""
        return picture[self.top : self.bottom, self.left : self.right]

    def put(self, tile: Floats, into: Floats) -> None:
        """The tile's inside in its place."""
        into[self.inner_top : self.inner_bottom, self.inner_left : self.inner_right] = tile[
            self.inner_top - self.top : self.inner_bottom - self.top,
            self.inner_left - self.left : self.inner_right - self.left,
        ]


def style_picture(picture: Floats, adapter: Floats, runner: Runner) -> Floats:
    """``(height, width, 3)`` in 0..1, of any size from 1 x 1 on, styled; not yet clipped."""
    height, width, _ = picture.shape
    padded = padded_to(picture, STRIDE, SMALLEST)
    if padded.shape[0] * padded.shape[1] <= WHOLE_PIXELS:
        return _unbatch(runner.whole(_batch(padded), adapter))[:height, :width]
    _, folded = runner.measure(_batch(padded_to(reduced(picture), STRIDE, SMALLEST)), adapter)
    out = np.empty_like(padded)
    for window in windows(padded.shape[0], padded.shape[1]):
        window.put(_unbatch(runner.tiles(_batch(window.read(padded)), folded)), out)
    return out[:height, :width]


def lost(picture: Floats, identity: Floats, runner: Runner) -> Floats:
    """What a picture has and the network cannot give back under its identity.

    A campaign has few pictures and many styles: the last few are remembered, in half precision, large ones are not.
    """
    if picture.shape[0] * picture.shape[1] > WHOLE_PIXELS:
        return picture - style_picture(picture, identity, runner)
    key = hashlib.sha256(picture.tobytes() + identity.tobytes()).digest(), picture.shape, runner
    with _remembering:
        known = _remembered.get(key)
    if known is None:
        known = (picture - style_picture(picture, identity, runner)).astype(np.float16)
        with _remembering:
            _remembered[key] = known
            while len(_remembered) > REMEMBERED:
                _remembered.pop(next(iter(_remembered)))
    return known.astype(np.float32)


_remembered: dict[tuple[bytes, tuple[int, ...], Runner], NDArray[np.float16]] = {}
_remembering = threading.Lock()


def windows(height: int, width: int) -> Iterator[Window]:
    """Tiles that cover a picture whose sides are multiples of STRIDE.

    All are read at one size, for which the network is compiled once; at the edges that is more than they need.
    """
    for top, bottom, inner_top, inner_bottom in _spans(height):
        for left, right, inner_left, inner_right in _spans(width):
            yield Window(top, bottom, left, right, inner_top, inner_bottom, inner_left, inner_right)


def _spans(length: int) -> list[tuple[int, int, int, int]]:
    """Along one side: where each tile is read, and its inside."""
    step = -(-length // -(-length // TILE))
    step = -(-step // EVEN) * EVEN
    read = min(length, step + 2 * MARGIN)
    starts = [min(max(0, start - MARGIN), length - read) for start in range(0, length, step)]
    return [
        (start, start + read, inner, min(inner + step, length))
        for start, inner in zip(starts, range(0, length, step), strict=True)
    ]


def padded_to(picture: Floats, stride: int, smallest: int) -> Floats:
    """Mirrored at the far edges to sides that are multiples of ``stride`` and at least ``smallest``: every layer is to
    mirror in turn.
    """
    height, width = (max(smallest, -(-side // stride) * stride) for side in picture.shape[:2])
    grow = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, grow, mode="symmetric")


def reduced(picture: Floats) -> Floats:
    """A large picture at the size at which its statistics are taken."""
    scale = MEASURED_SIDE / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    image = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), np.float32) / np.float32(255)


def _batch(picture: Floats) -> Floats:
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None])


def _unbatch(pictures: Floats) -> Floats:
    return pictures[0].transpose(1, 2, 0)
