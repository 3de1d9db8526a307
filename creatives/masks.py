"""Masks: how far each part of a picture is styled, drawn by the advertiser as another picture of the same shape."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from creatives.pictures import PictureError, load_picture

Cover = NDArray[np.uint8]
_ALIKE = 0.01
"""Relative difference of proportions that rounding to whole pixels may leave."""


def load_mask(path: Path, picture: tuple[int, int], working: tuple[int, int]) -> Cover:
    """The mask in a file, at the working (height, width): 255 where styled fully, 0 where not at all.

    Greys lie between, and what is transparent counts as black. ``picture`` is the picture's own (height, width).

    Raises:
        PictureError: for what is no picture, or has other proportions, or leaves nothing to be styled.
    """
    loaded = load_picture(path)
    height, width = loaded.rgb.shape[:2]
    if abs(width * picture[0] / (height * picture[1]) - 1) > _ALIKE:
        raise PictureError(
            f"{path} is {width} x {height} pixels, and the picture it masks {picture[1]} x {picture[0]}; "
            "draw it at the picture's size"
        )
    cover = np.asarray(Image.fromarray(loaded.rgb).convert("L"))
    if loaded.alpha is not None:
        cover = (cover.astype(np.float32) * loaded.alpha / 255 + 0.5).astype(np.uint8)
    if not cover.any():
        raise PictureError(f"{path} is black all over, so that nothing would be styled; draw in white what is to be")
    resized = Image.fromarray(cover).resize((working[1], working[0]), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(resized)


def masked(styled: NDArray[np.uint8], original: NDArray[np.uint8], cover: Cover) -> NDArray[np.uint8]:
    """``styled`` where the mask is white and ``original`` where it is black; both are (height, width, 3)."""
    share = cover[..., None].astype(np.float32) / 255
    return (original + (styled.astype(np.float32) - original) * share + 0.5).astype(np.uint8)
