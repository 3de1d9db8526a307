"""Looks of the engine ``filters`` that are put together of pieces: stained glass, mosaic."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel

from creatives.brushes import Floats, blur, guided, intricate, kuwahara, line_art, noise, unit_of
from creatives.colour import from_oklab, luma, parse_hex, smoothstep, to_bytes, to_float, to_oklab
from creatives.engines.filters import Mosaic, StainedGlass
from creatives.grounds import bare_ground
from creatives.looks.pieces import Labels, cells_of, cut, joined, mean_of, round_pieces, seams, square_pieces

Bytes = NDArray[np.uint8]
Renderer = Callable[[Bytes, Any, int], Bytes]
_PAINTED = 40
"""Pieces of glass in place of which a face or a label is painted on one, at most."""
_SMALL, _DETAILED = 0.4, 0.5
"""Of a stone's size, that of stones for what is drawn finely; and how finely that is."""
_THINNEST = 0.8
"""Pixels of a line."""


def stained_glass(rgb: Bytes, look: StainedGlass, seed: int) -> Bytes:
    """Pieces of coloured glass in lead, lit from behind, with the drawing painted on; a white ground stays open."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    spacing = max(look.piece * unit, 4)
    smooth = guided(picture, luma(picture), 5 * unit, 4e-3)
    flat = kuwahara(picture, luma(picture), 11 * unit)
    painted, glass = (
        _lit(to_oklab(each), look.saturation) for each in (smooth, guided(flat, luma(flat), 6 * unit, 4e-3))
    )
    labels = cut(blur(glass, 2.5 * unit), spacing, 4.0, round_pieces, rng, bare=0.4)
    count = int(np.prod(cells_of(rgb.shape, spacing)))
    fine = intricate(luma(smooth), luma(flat), unit)
    labels = joined(labels, mean_of(glass, labels, count), fine, most=_PAINTED)
    pieces = mean_of(glass, labels, count)
    pieces[:, 0] = np.clip(pieces[:, 0] + rng.normal(0, 0.025, count), 0, 1)
    painting = (look.painting + (1 - look.painting) * 0.8 * fine)[:, :, None]
    colour = from_oklab(pieces[labels] * (1 - painting) + painted * painting)
    streaks = 1 + 0.05 * noise(labels.shape, 7 * unit, rng) + 0.035 * noise(labels.shape, 30 * unit, rng)
    open_ = bare_ground(rgb)
    lead = seams(labels, max(look.lead * unit, 1)) * (1 - smoothstep(0.25, 0.75, blur(open_, 3 * unit)))
    deep = 1 - 0.32 * np.clip(blur(lead, 5 * unit) * 1.3, 0, 1)
    lit = colour * (streaks * deep)[:, :, None]
    drawn = (1 - line_art(np.sqrt(luma(smooth)), 1.8 * unit, 12, 0.3)) * 0.6
    lit = lit * (1 - drawn[:, :, None])
    lit = lit * (1 - open_[:, :, None]) + open_[:, :, None]
    edge = lead - np.roll(lead, (max(round(unit), 1),) * 2, axis=(0, 1))
    metal = np.clip(parse_hex(look.metal) + 0.16 * np.clip(edge, 0, 1)[:, :, None], 0, 1)
    return to_bytes(lit * (1 - lead[:, :, None]) + metal * lead[:, :, None])


def _lit(lab: Floats, saturation: float) -> Floats:
    """As if light fell through: dark places are lifted, colours are deep."""
    lightness = np.clip(lab[:, :, :1], 0, 1) ** 0.72
    return np.concatenate([lightness, lab[:, :, 1:] * np.float32(saturation)], axis=2)


def mosaic(rgb: Bytes, look: Mosaic, seed: int) -> Bytes:
    """Small stones along the picture's contours, each of one colour, set in mortar; a white ground stays bare.

    Stones are squares that follow a field of directions: A. Hausner, "Simulating decorative mosaics" (SIGGRAPH 2001).
    For faces and lettering they are smaller, as in the opus vermiculatum of antiquity.
    """
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    smooth = guided(picture, luma(picture), 4 * unit, 2e-3)
    angles = _directions(luma(smooth), 9 * unit)
    spacing = max(look.stone * unit, 3)
    lab = to_oklab(smooth)
    labels = _stones(lab, spacing, angles, rng)
    mortar = _mortar(labels, look.mortar_width * unit)
    fine = intricate(luma(picture), luma(kuwahara(picture, luma(picture), 11 * unit)), unit) > _DETAILED
    if fine.any():
        sharp = to_oklab(guided(picture, luma(picture), 1.5 * unit, 5e-4))
        small = _stones(sharp, max(spacing * _SMALL, 2.5), angles, rng, rounds=1)  # so small that more are not seen
        lab = np.where(fine[:, :, None], sharp, lab)
        labels = np.where(fine, small + labels.max() + 1, labels)
        mortar = np.where(fine, _mortar(labels, look.mortar_width * _SMALL * unit), mortar)
    count = int(labels.max()) + 1
    stones = mean_of(lab, labels, count)
    stones[:, 0] = np.clip(stones[:, 0] + rng.normal(0, 0.03 * look.variety, count), 0, 1)
    stones[:, 1:] *= look.saturation * (1 + rng.normal(0, 0.12 * look.variety, (count, 1)))
    colour = from_oklab(stones)[labels]
    bare = bare_ground(rgb)
    height = blur(1 - mortar, 1.6 * unit)
    light = np.clip((height - np.roll(height, (max(round(1.5 * unit), 1),) * 2, axis=(0, 1))) * 0.35, -0.14, 0.14)
    laid = np.clip(colour + light[:, :, None], 0, 1)
    set_in = 0.6 * parse_hex(look.mortar) + 0.4 * blur(smooth, spacing)
    laid = laid * (1 - mortar[:, :, None]) + set_in * mortar[:, :, None]
    return to_bytes(laid * (1 - bare[:, :, None]) + bare[:, :, None])


def _stones(lab: Floats, spacing: float, angles: Floats, rng: np.random.Generator, *, rounds: int = 4) -> Labels:
    """Square ones, along the angles, which are of a picture of any size."""
    rows, columns = cells_of(lab.shape, spacing)
    y = ((np.arange(rows) + 0.5) * angles.shape[0] / rows).astype(np.intp)
    x = ((np.arange(columns) + 0.5) * angles.shape[1] / columns).astype(np.intp)
    return cut(lab, spacing, 3.0, square_pieces(angles[y][:, x].ravel()), rng, rounds=rounds)


def _mortar(labels: Labels, width: float) -> Floats:
    """Lines of this width; one thinner than can be drawn is fainter instead."""
    return seams(labels, max(width, _THINNEST)) * np.float32(min(width / _THINNEST, 1))


def _directions(grey: Floats, sigma: float) -> Floats:
    """Along contours, in radians, of every other pixel: the smoothed structure tensor's lesser direction, which flat
    places have of those around them.
    """
    calm, sigma = blur(grey, max(sigma / 4, 0.7))[::2, ::2], sigma / 2
    down, right = (sobel(calm, axis) for axis in (0, 1))
    tensor = np.dstack([right * right - down * down, 2 * right * down]).astype(np.float32)
    near, far = blur(tensor, sigma), blur(tensor, 4 * sigma)
    field = near + 0.3 * far
    return (0.5 * np.arctan2(field[:, :, 1], field[:, :, 0]) + np.pi / 2).astype(np.float32)


RENDERERS: Mapping[str, Renderer] = {"stained-glass": stained_glass, "mosaic": mosaic}
