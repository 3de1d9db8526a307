"""The scrim: how far the ground covers the picture, just enough for what stands on it to be read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from creatives.contrast import TEXT, Colour, contrasts
from creatives.layout import Box, Fade

_HALVINGS = 6


def coverage(fade: Fade, strength: float, length: int) -> NDArray[np.float32]:
    """The share of ground (0 none, 1 nothing else) at each of ``length`` pixels, from left to right or down.

    One smooth ramp. ``strength`` (0 to 1) does not darken it, which would leave a band, but completes it earlier.
    """
    complete = fade.late + (fade.early - fade.late) * strength
    position = np.arange(length, dtype=np.float32) + 0.5
    share = np.clip((position - fade.start) / max(complete - fade.start, 1.0), 0, 1)
    share = share * share * (3 - 2 * share)
    return share[::-1] if fade.axis == "left" else share


def covered(
    pixels: NDArray[np.uint8], ground: Colour, fade: Fade, strength: float, part: Box | None = None
) -> NDArray[np.uint8]:
    """The (height, width, 3) ``pixels``, or the ``part`` of them, under the scrim."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = _whole(part, width, height) if part else (0, 0, width, height)
    result = pixels[top:bottom, left:right].copy()
    if fade.axis == "down":
        untouched = max(int(fade.start) - top, 0)
        cover, under = coverage(fade, strength, height)[top + untouched : bottom, None, None], result[untouched:]
    elif fade.axis == "left":
        end = max(min(width - int(fade.start), right), left)
        cover, under = coverage(fade, strength, width)[None, left:end, None], result[:, : end - left]
    else:
        untouched = max(int(fade.start) - left, 0)
        cover, under = coverage(fade, strength, width)[None, left + untouched : right, None], result[:, untouched:]
    blend = under.astype(np.float32)
    blend += (np.array(ground, np.float32) - blend) * cover
    under[...] = blend + 0.5
    return result


def weakest_readable(
    pixels: NDArray[np.uint8], ground: Colour, text: Colour, fade: Fade, places: Sequence[Box]
) -> float:
    """The least strength at which ``text`` keeps its contrast with every pixel of ``places``."""

    def readable(strength: float) -> bool:
        return all(contrasts(text, covered(pixels, ground, fade, strength, place)).min() >= TEXT for place in places)

    if readable(0.0):
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if readable(middle) else (middle, high)
    return high


def behind(pixels: NDArray[np.uint8], place: Box) -> NDArray[np.uint8]:
    """The pixels of one box."""
    left, top, right, bottom = _whole(place, pixels.shape[1], pixels.shape[0])
    return pixels[top:bottom, left:right]


def _whole(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The box with whole pixels, outwards, inside the picture."""
    left, top = max(int(np.floor(box.left)), 0), max(int(np.floor(box.top)), 0)
    return left, top, min(int(np.ceil(box.right)), width), min(int(np.ceil(box.bottom)), height)
