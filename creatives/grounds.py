"""White grounds: a packshot stands on white paper, and whatever a style paints there would be dirt.

A product's soft shadow belongs to its ground, the less the darker it is: it would come out as a disc or a plinth
where a style draws what is grey and bounds it where the white begins.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_gradient_magnitude, label

from creatives.colour import least, most, parse_hex, smoothstep

Rgb = NDArray[np.uint8]

WHITE = 244
"""Level from which all three channels count as paper; photographed paper is seldom a pure 255."""
_SHADOW = 185
"""Level from which a shadow begins to belong to the ground that it falls on."""
_GREY = 14
"""Levels that the channels of a shadow lie apart at most."""
_STEEP = 1.5
"""Levels a pixel, in a picture whose longer side has 1080: what darkens faster is no soft shadow but a thing's edge."""
_ROWS = 256
_LEAST_SHARE = 0.02
"""Of the picture: smaller white spots at its border are lights, not a ground."""
_LEAST_BORDER = 0.5
"""Of the picture's border: what is white along less of it is a sky or a window, which fades out, and would be left with
a ragged edge."""


def white_ground(rgb: Rgb) -> NDArray[np.float32] | None:
    """How much each pixel belongs to a white ground, ``(height, width)`` in 0..1; None where there is none.

    A ground is white along half the picture's border or more; whites inside a product are its own.
    """
    white = least(rgb) >= WHITE
    if white.mean() < _LEAST_SHARE:
        return None
    regions, _ = label(white)
    edges = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    sizes = np.bincount(regions.ravel())
    grounds = [number for number in np.unique(edges) if number and sizes[number] >= _LEAST_SHARE * white.size]
    if np.isin(edges, grounds).mean() < _LEAST_BORDER:
        return None
    return _with_shadows(rgb, np.isin(regions, grounds))


def _with_shadows(rgb: Rgb, ground: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The ground, and what is a soft shadow on it: pale, grey, and without an edge between it and the white."""
    darkest = least(rgb).astype(np.float32)
    scale = max(rgb.shape[:2]) / 1080
    blurred = max(1.0, 1.2 * scale)
    pale = (darkest >= _SHADOW) & (most(rgb) - darkest <= _GREY)
    steep = gaussian_gradient_magnitude(darkest, blurred) > _STEEP / scale
    regions, count = label(ground | (pale & ~steep))
    joined = np.zeros(count + 1, np.bool_)
    joined[regions[ground]] = True
    shadow = joined[regions]
    # The edge of what casts it is steep on either side: up to there the shadow goes on.
    shadow = binary_dilation(shadow, iterations=round(4 * blurred), mask=pale | ground)
    return smoothstep(_SHADOW, WHITE, darkest) * shadow


def bare_ground(rgb: Rgb) -> NDArray[np.float32]:
    """As `white_ground`; 0 throughout where there is none."""
    ground = white_ground(rgb)
    return np.zeros(rgb.shape[:2], np.float32) if ground is None else ground


def keep_white_ground(original: Rgb, styled: Rgb, paper: str = "#ffffff") -> Rgb:
    """``styled`` with the white ground of ``original``, both ``(height, width, 3)``, on ``paper``."""
    ground = white_ground(original)
    if ground is None:
        return styled
    out, colour = np.empty_like(styled), parse_hex(paper)
    for top in range(0, len(styled), _ROWS):  # a large picture in floats would fill the memory
        rows = np.s_[top : top + _ROWS]
        cover = ground[rows, :, None]
        kept = original[rows].astype(np.float32) * colour
        out[rows] = (styled[rows] * (1 - cover) + kept * cover + 0.5).astype(np.uint8)
    return out
