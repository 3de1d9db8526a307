"""Keeping a photograph's colours, and its calm, under a style's strokes."""

import numpy as np
from PIL import Image

from creatives.brushes import box, guidance
from creatives.colour import Floats, from_oklab, smoothstep, to_oklab

_CELL, _AROUND, _REACH = 2, 5, 5
"""Pixels in a cell's side; and in cells, the square in which a photograph is flat or not, no wider than the space
between letters, and how far around a style's colours are taken: wider than any mark of a network's.
"""
_FLAT, _SIDE = (3 / 255, 9 / 255), 1080
"""Standard deviations there, of a wall with its grain, and of what shows something, in a picture that has so many
pixels on its shorter side.
"""
_LEARNED = 540
"""Pixels, of pictures as networks have learned on: they know what to draw on walls, and less counts as something."""
_EDGE = 0.02
"""Standard deviation of lightness from which on a step is an edge, which colours keep to."""


def keep_hues(original: Floats, styled: Floats) -> Floats:
    """The style's lightness with the photograph's own colour (L. A. Gatys et al., "Preserving Color in Neural Artistic
    Style Transfer", 2016, luminance only), in Oklab; both ``(height, width, 3)`` sRGB in 0..1.
    """
    lab = to_oklab(original)
    lab[..., 0] = to_oklab(styled)[..., 0]
    return from_oklab(lab)


def keep_palette(original: Floats, styled: Floats) -> Floats:
    """The style's strokes in the photograph's palette: mean and covariance of colour are moved to the photograph's.

    The linear map between two Gaussians that moves least (F. Pitie, A. Kokaram, "The linear Monge-Kantorovitch linear
    colour mapping", CVMP 2007).
    """
    source, goal = (picture.reshape(-1, 3).astype(np.float64) for picture in (styled, original))
    spread = np.cov(source, rowvar=False) + np.eye(3) * 1e-5 if len(source) > 1 else np.eye(3)
    wanted = np.cov(goal, rowvar=False) + np.eye(3) * 1e-5 if len(goal) > 1 else np.eye(3)
    root = _root(spread)
    back = np.linalg.inv(root)
    matrix = back @ _root(root @ wanted @ root) @ back
    moved = (source - source.mean(axis=0)) @ matrix.T + goal.mean(axis=0)
    return np.clip(moved.reshape(styled.shape), 0, 1).astype(np.float32)


def keep_calm(original: Floats, styled: Floats) -> Floats:
    """Where the photograph is flat, its own finest detail under the style's colours; both ``(height, width, 3)``.

    A network's marks are so many pixels large in every picture. On flat ground, smoother than what it has learned on,
    it has nothing to go by and sets one mark beside the other, a mesh: over skies, between letters. So lengths here are
    pixels, whatever the picture's. What the style does to the colours there follows the photograph's edges (K. He,
    J. Sun, X. Tang, "Guided image filtering", TPAMI 2013, on cells: K. He, J. Sun, "Fast guided filter", 2015).
    """
    height, width, _ = styled.shape
    side = min(height, width)
    if side < (2 * _REACH + 1) * _CELL:
        return styled
    cells = _shrunk(original)
    mean = box(cells, _AROUND)
    deviation = np.sqrt(np.maximum(box(cells * cells, _AROUND) - mean * mean, 0))
    known = (_SIDE / np.clip(side, _LEARNED, _SIDE)) ** 2
    busy = smoothstep(*_FLAT, deviation.max(axis=2) * known)
    if busy.min() >= 1:
        return styled
    apart = _shrunk(styled) - cells
    slope, offset = guidance(apart, cells.mean(axis=2), _REACH, _EDGE**2)
    light, flat = original.mean(axis=2), 1 - np.clip(_grown(busy, height, width), 0, 1)
    calm = np.empty_like(styled)
    for channel in range(3):
        here = light * _grown(slope[..., channel], height, width) + _grown(offset[..., channel], height, width)
        calm[..., channel] = styled[..., channel] + flat * (original[..., channel] + here - styled[..., channel])
    return calm


def _shrunk(picture: Floats) -> Floats:
    return np.dstack([np.asarray(Image.fromarray(picture[..., channel]).reduce(_CELL)) for channel in range(3)])


def _grown(cells: Floats, height: int, width: int) -> Floats:
    return np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BILINEAR))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
