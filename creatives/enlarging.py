"""Large pictures drawn small: strokes keep their size beside the picture, and its finest detail is the photograph's.

A network's strokes are so many pixels wide in every picture. In one of 1080 px, looked at as a whole, they are a grain
where in a smaller one they were strokes. So a large picture is drawn reduced and the drawing enlarged, with what the
photograph lost by it: edges and small print stay sharp (as in the pyramid of P. Burt, E. Adelson, "The Laplacian
Pyramid as a Compact Image Code", IEEE Transactions on Communications 31, 1983).
"""

import numpy as np
from PIL import Image

from creatives.colour import Floats

DRAWN_SIDE = 640
"""Pixels of the shorter side, from which on pictures are drawn smaller than they are."""
_MOST = 2
"""Times as large as it was drawn: beyond it a photograph's detail would lie over blurred strokes."""


def drawn_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns in which a picture of so many is drawn."""
    times = min(max(min(height, width) / DRAWN_SIDE, 1), _MOST)
    return round(height / times), round(width / times)


def to_draw(picture: Floats) -> Floats:
    """``(height, width, 3)`` in 0..1 at the size at which it is drawn; what is not too large is returned as it is."""
    size = drawn_size(*picture.shape[:2])
    return picture if size == picture.shape[:2] else np.clip(_resized(picture, *size, Image.Resampling.LANCZOS), 0, 1)


def enlarged(drawing: Floats, drawn: Floats, picture: Floats) -> Floats:
    """The drawing of ``drawn``, which is ``picture`` as `to_draw` made it, at the picture's size; not clipped."""
    if drawn.shape == picture.shape:
        return drawing
    height, width, _ = picture.shape
    return picture + _resized(drawing - drawn, height, width, Image.Resampling.BICUBIC)


def _resized(picture: Floats, height: int, width: int, resampling: Image.Resampling) -> Floats:
    out = np.empty((height, width, picture.shape[2]), np.float32)
    for channel in range(picture.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(picture[..., channel], np.float32))
        out[..., channel] = np.asarray(plane.resize((width, height), resampling))
    return out
