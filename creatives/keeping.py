"""Keeping a photograph's colours, and its calm, under a style's strokes."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

from creatives.colour import Floats, from_oklab, smoothstep, to_oklab

_AROUND, _COARSE = 13, 3
"""What is flat is so in a square of so many cells, each of so many pixels: wider than any mark of a network's."""
_FLAT = (2.5 / 255, 7 / 255)
"""Standard deviations there: of a sky, and of what shows something."""
_MARK, _SOFT = 6, 1.3
"""Pixels averaged, and how far these averages are blurred: marks are finer than that."""


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

    A network's marks are so many pixels large in every picture. Over a sky wider than all it has learned on it has
    nothing to go by and sets one mark beside the other, a mesh. So lengths here are pixels, whatever the picture's.
    """
    height, width, _ = styled.shape
    if min(height, width) < _AROUND * _COARSE:
        return styled
    cells = _shrunk(original, _COARSE)
    mean = uniform_filter(cells, (_AROUND, _AROUND, 0), mode="nearest")
    variance = uniform_filter(cells * cells, (_AROUND, _AROUND, 0), mode="nearest") - mean * mean
    busy = smoothstep(*_FLAT, np.sqrt(np.maximum(variance, 0).max(axis=2)))
    if busy.min() >= 1:
        return styled
    flat = 1 - np.clip(_grown(busy[:, :, None], height, width), 0, 1)
    apart = styled - original
    coarse = gaussian_filter(_shrunk(apart, _MARK), (_SOFT, _SOFT, 0), mode="nearest")
    return styled - flat * (apart - _grown(coarse, height, width))


def _shrunk(picture: Floats, factor: int) -> Floats:
    return np.dstack([np.asarray(Image.fromarray(picture[..., c]).reduce(factor)) for c in range(picture.shape[2])])


def _grown(picture: Floats, height: int, width: int) -> Floats:
    size = width, height
    each = [
        np.asarray(Image.fromarray(picture[..., c]).resize(size, Image.Resampling.BICUBIC))
        for c in range(picture.shape[2])
    ]
    return np.dstack(each)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
