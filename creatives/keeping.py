"""Keeping a photograph's colours, and its calm, under a style's strokes."""

from functools import reduce
from itertools import product

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter, minimum_filter

from creatives.brushes import box, guidance
from creatives.colour import Floats, from_oklab, smoothstep, to_oklab

_CELL, _AROUND = 2, 5
"""Pixels in a cell's side; and in cells, the square in which a photograph is flat or not, no wider than the space
between letters.
"""
_FLAT, _EVEN, _SIDE = (3 / 255, 9 / 255), (5 / 255, 15 / 255), 1080
"""Standard deviations there, of a wall with its grain, and of what shows something; the same for what is of one colour
although marks belong on it, such as skin; both in a picture that has so many pixels on its shorter side.
"""
_LEARNED = 540
"""Pixels, of pictures as networks have learned on: they know what to draw on walls, and less counts as something."""
_LOUD = 1.2
"""Times the photograph's own detail: fine marks are as strong at most, in a picture with ``_SIDE``, and 16 times as
strong in one with ``_LEARNED``.
"""
_LETTERING = 64
"""Pixels, in a picture with ``_SIDE``: what is as narrow, and flat on either side, lies on flat ground."""
_PLAIN = 0.6
"""How much of what lies so is drawn as it was, in a picture with ``_SIDE``; a quarter of that with ``_LEARNED``, and
more in one that is to be enlarged: its letters are smaller.
"""
_EDGE = 0.02
"""Standard deviation of lightness from which on a step is an edge, which colours keep to."""
_STEPS = 16
"""Of each channel, into which a photograph's colours are sorted, and softly so: those a step apart are much alike."""
_ALIKE, _ELSEWHERE = 0.2, 0.01
"""What is lighter or darker than the photograph by so much of the range counts 0.6, by twice as much 0.14; and what
colours count that are on no flat ground.
"""


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


def keep_calm(original: Floats, styled: Floats, side: int | None = None) -> Floats:
    """Where the photograph is flat, its own finest detail in the style's colours; both ``(height, width, 3)``.

    They are to be enlarged until the shorter side has ``side`` pixels, where one is given.

    A network's marks are so many pixels large in every picture. On flat ground, smoother than what it has learned on,
    it has nothing to go by and sets one mark beside the other, a mesh: over skies, between letters. And its colours
    there hang on how far the next edge is: a label is dark in its middle and pale along its rim. So the marks go, and
    of all flat ground what has one colour in the photograph has one in the style. Lettering on it takes the colours,
    too, and is mostly drawn as it was. Elsewhere marks are no louder than what they are to show.
    """
    height, width, _ = styled.shape
    drawn = min(height, width)
    if drawn < _AROUND * _CELL:
        return styled
    marks, colours = _calmed(_shrunk(original), _shrunk(styled), drawn, side or drawn)
    calm, marks = np.empty_like(styled), np.clip(_grown(marks, height, width), 0, 1)
    for channel in range(3):
        photograph = original[..., channel]
        drawn = photograph + marks * (styled[..., channel] - photograph)
        calm[..., channel] = drawn + _grown(colours[..., channel], height, width)
    return calm


def _calmed(cells: Floats, painted: Floats, drawn: int, side: int) -> tuple[Floats, Floats]:
    """In cells: how much of a style's marks stays, in 0..1, and what colours are added to them and the photograph."""
    # Marks that are enlarged are fewer for it: the size that they will have counts for two thirds.
    known = (_SIDE / min(max((drawn + 2 * side) / 3, _LEARNED), _SIDE)) ** 2
    flat, ground, lettering = _flat_ground(cells, drawn, known)
    added = painted - cells
    smooth = box(added, _AROUND)
    shift = _shifts_of(cells, _shrunk(box(cells, _AROUND)), _shrunk(smooth), _shrunk(ground) + _ELSEWHERE)
    # The fast guided filter (K. He, J. Sun, 2015): colours are moved up to the photograph's edges.
    light = _mean(cells)
    slope, offset = guidance(shift - added, light, _AROUND, _EDGE**2)
    moved = (slope * light[:, :, None] + offset) * ground[:, :, None]
    loud = 1 - (1 - _too_loud(cells, painted, known)) * (1 - min(_PLAIN * side / drawn, 1) * lettering / known)
    under = loud[:, :, None] * smooth + moved
    return (1 - flat) * (1 - loud), under + flat[:, :, None] * (shift - under)


def _flat_ground(cells: Floats, side: int, known: float) -> tuple[Floats, Floats, Floats]:
    """Where a photograph is flat; where it is nearly so, or lettering and thin lines lie on what is; where these do."""
    mean = box(cells, _AROUND)
    variance = box(cells * cells, _AROUND) - mean * mean
    deviation = np.sqrt(np.maximum(reduce(np.maximum, np.moveaxis(variance, 2, 0)), 0))
    wide = round(_LETTERING * side / _SIDE / _CELL) | 1
    closed = minimum_filter(maximum_filter(1 - smoothstep(*_FLAT, deviation), wide), wide)
    ground = np.maximum(box(1 - smoothstep(*_EVEN, deviation), 2 * _AROUND - 1), box(closed, _AROUND))
    flat = 1 - smoothstep(*_FLAT, deviation * known)
    return flat, ground, box(closed, _AROUND) * smoothstep(*_EVEN, deviation)


def _too_loud(cells: Floats, painted: Floats, known: float) -> Floats:
    """How much of fine marks is beyond the strength that the photograph's own detail allows, in 0..1."""
    drawn, marks = _strength(cells), _strength(painted)
    return 1 - np.clip(drawn * np.float32(_LOUD * known**2) / (marks + 1e-4), 0, 1)


def _strength(cells: Floats) -> Floats:
    """Of fine marks, around each cell."""
    return np.sqrt(np.maximum(box(_mean(np.square(cells - box(cells, _AROUND))), 2 * _AROUND - 1), 0))


def _shifts_of(asked: Floats, colours: Floats, shifts: Floats, weights: Floats) -> Floats:
    """What each of the colours ``asked`` is shifted by: the mean ``shifts`` of all ``colours`` that are like it.

    A bilateral grid (J. Chen, S. Paris, F. Durand, "Real-time edge-aware image processing with the bilateral grid",
    SIGGRAPH 2007) whose axes are the three of colour, and none of place. Of several colours that a style has for one,
    those count most that are as light: pale stays pale, lettering legible.
    """
    alike = np.exp(-0.5 * (_mean(shifts) / _ALIKE) ** 2) + 1e-6
    weighed = np.dstack([shifts, np.ones_like(weights)]) * (weights * alike)[:, :, None]
    place = np.clip(colours, 0, 1).reshape(-1, 3) * (_STEPS - 1)
    step = np.minimum(place.astype(np.intp), _STEPS - 2)
    share = place - step
    sums = np.zeros((4, _STEPS**3))
    for corner in product((0, 1), repeat=3):
        number = (step + corner) @ (_STEPS**2, _STEPS, 1)
        part = reduce(np.multiply, np.where(corner, share, 1 - share).T)
        for each, values in zip(sums, weighed.reshape(-1, 4).T, strict=True):
            each += np.bincount(number, values * part, _STEPS**3)
    *grids, weight = (gaussian_filter(each.reshape((_STEPS,) * 3), 1, mode="constant") for each in sums)
    where = np.moveaxis(np.clip(asked, 0, 1) * (_STEPS - 1), 2, 0)
    known = np.maximum(weight, np.finfo(np.float64).tiny)
    return np.dstack([map_coordinates(grid / known, where, np.float32, order=1) for grid in grids])


def _mean(picture: Floats) -> Floats:
    """Over the channels; numpy's own goes three numbers at a time."""
    return picture @ np.full(picture.shape[2], 1 / picture.shape[2], picture.dtype)


def _shrunk(picture: Floats) -> Floats:
    channels = picture.reshape(*picture.shape[:2], -1)
    shrunk = [np.asarray(Image.fromarray(channels[..., each]).reduce(_CELL)) for each in range(channels.shape[2])]
    return np.dstack(shrunk) if picture.ndim > 2 else shrunk[0]


def _grown(cells: Floats, height: int, width: int) -> Floats:
    return np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BILINEAR))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
