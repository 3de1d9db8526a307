"""White grounds: a packshot stands on white paper, and whatever a network paints there would be dirt."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

Rgb = NDArray[np.uint8]

WHITE = 244
"""Level from which all three channels count as paper; photographed paper is seldom a pure 255."""
_LEAST_SHARE = 0.02
"""Of the picture: smaller white spots at its border are lights, not a ground."""
_LEAST_BORDER = 0.5
"""Of the picture's border: what is white along less of it is a sky or a window, which fades out, and would be left with
a ragged edge."""


def white_ground(rgb: Rgb) -> NDArray[np.float32] | None:
    """How much each pixel belongs to a white ground, ``(height, width)`` in 0..1; None where there is none.

    A ground is white along half the picture's border or more; whites inside a product are its own.
    """
    white = rgb.min(axis=2) >= WHITE
    if white.mean() < _LEAST_SHARE:
        return None
    regions, _ = label(white)
    edges = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    sizes = np.bincount(regions.ravel())
    grounds = [number for number in np.unique(edges) if number and sizes[number] >= _LEAST_SHARE * white.size]
    if np.isin(edges, grounds).mean() < _LEAST_BORDER:
        return None
    ground = np.isin(regions, grounds).astype(np.float32)
    # The feather lies inside the ground's edge: a product's outline keeps its strokes.
    width = max(1.0, min(white.shape) / 400)
    return np.clip(2 * gaussian_filter(ground, width) - 1, 0, 1) * ground


def keep_white_ground(original: Rgb, styled: Rgb) -> Rgb:
    """``styled`` with the white ground of ``original``, both ``(height, width, 3)``."""
    ground = white_ground(original)
    if ground is None:
        return styled
    cover = ground[:, :, None]
    return (styled * (1 - cover) + original.astype(np.float32) * cover + 0.5).astype(np.uint8)
