"""Looks of the engine ``filters`` that are painted or lit: ink wash, watercolour, pastel, neon, gold."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel

from creatives.brushes import (
    Floats,
    blur,
    flattened,
    guided,
    intricate,
    kuwahara,
    line_art,
    noise,
    paper_grain,
    unit_of,
)
from creatives.colour import (
    from_oklab,
    gradient_map,
    luma,
    parse_hex,
    saturate,
    smoothstep,
    to_bytes,
    to_float,
    to_oklab,
)
from creatives.engines.filters import GoldLeaf, InkWash, Neon, Pastel, Watercolor
from creatives.grounds import bare_ground

Bytes = NDArray[np.uint8]
Renderer = Callable[[Bytes, Any, int], Bytes]


def ink_wash(rgb: Bytes, look: InkWash, seed: int) -> Bytes:
    """Sumi-e: few dilutions of one ink, wet edges, a brushed line."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    grey = luma(picture)
    flat = luma(flattened(picture, grey, look.wash * unit))
    flat = luma(guided(np.repeat(flat[:, :, None], 3, axis=2), flat, 7 * unit, 2e-3))
    flow: Floats = noise(flat.shape, 26 * unit, rng) * 0.025
    steps = np.clip(1 - flat + flow, 0, 1) * 4.2
    dilution = (np.floor(steps) + smoothstep(0.25, 0.75, steps - np.floor(steps))) / 4.2
    pooled = np.clip(np.abs(dilution - blur(dilution, 3 * unit)) * 1.6, 0, 0.3)
    lines = 1 - line_art(blur(grey, 0.8 * unit), look.line * unit, 15, 0.38)
    blank = 1 - smoothstep(0.9, 0.985, flat)
    grain = paper_grain(flat.shape, unit, rng) * 0.03
    cover = np.clip(dilution**1.25 * 0.86 + pooled + grain * (dilution > 0.03), 0, 1) * blank
    cover = np.maximum(cover, lines * 0.94 * (flat < 0.97))[:, :, None]
    return to_bytes(parse_hex(look.paper) * (1 - cover) + parse_hex(look.ink) * cover)


def watercolor(rgb: Bytes, look: Watercolor, seed: int) -> Bytes:
    """Washes bleed a little, pool at their edges and granulate in the paper's tooth; the lights are bare paper."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    flat = flattened(picture, luma(picture), look.wash * unit)
    flat = flattened(flat, luma(flat), look.wash * 0.7 * unit)
    pigment = 1 - _thinned(flat, look.lightness)
    edges = np.abs(luma(flat) - blur(luma(flat), 4 * unit)) + 0.5 * np.abs(luma(flat) - blur(luma(flat), 1.5 * unit))
    pooling = 1 + look.pooling * np.clip(edges * 7, 0, 1.2)[:, :, None]
    flow = 1 + 0.06 * noise(edges.shape, 38 * unit, rng)[:, :, None]
    tooth = 1 + look.grain * 0.16 * paper_grain(edges.shape, unit, rng)[:, :, None]
    bare = (1 - smoothstep(0.9, 0.985, luma(flat)))[:, :, None]
    drawn = (1 - line_art(luma(picture), 1.1 * unit, 14, 0.36))[:, :, None] * 0.35
    layer = np.clip(pigment * pooling * flow * tooth * bare, 0, 1)
    return to_bytes((1 - layer) * (1 - drawn * np.array([0.75, 0.8, 0.7], dtype=np.float32)))


def _thinned(paint: Floats, share: float) -> Floats:
    """Lighter by so much of the way to white, and none the greyer for it: in thin washes darks are deep in hue."""
    lab = to_oklab(saturate(paint, 1.15))
    lab[:, :, 0] = lab[:, :, 0] * (1 - share) + share
    lab[:, :, 1:] *= 1.15
    return from_oklab(lab)


def pastel(rgb: Bytes, look: Pastel, seed: int) -> Bytes:
    """Chalk: soft colour dragged over the paper's tooth in one direction."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    flat = flattened(picture, luma(picture), look.stroke * unit)
    soft = saturate(flat, 1.12)
    soft = soft * (1 - look.lightness) + look.lightness * np.array([1.0, 0.985, 0.965], dtype=np.float32)
    tone = luma(flat)
    streaks = noise((rgb.shape[0] + rgb.shape[1], max(rgb.shape[1] // 10, 4)), 1.3 * unit, rng)
    rows, columns = np.mgrid[0 : rgb.shape[0], 0 : rgb.shape[1]]
    drag = streaks[(rows + columns // 2) % streaks.shape[0], (columns - rows // 3) // 10 % streaks.shape[1]]
    tooth = 0.6 * paper_grain(tone.shape, unit, rng) + 0.55 * drag
    bare = 1 - smoothstep(0.9, 0.985, tone)
    chalk = 1 + look.tooth * 0.11 * tooth * bare
    shade = 1 - 0.16 * (1 - line_art(luma(picture), 1.6 * unit, 12, 0.36))
    white = (1 - bare)[:, :, None]
    return to_bytes(np.clip(soft * (chalk * shade)[:, :, None], 0, 1) * (1 - white) + white)


def neon(rgb: Bytes, look: Neon, _seed: int) -> Bytes:
    """Night grade with glowing contours, cold on one side and warm on the other.

    Faces and lettering are drawn thin; dark print on a light ground stays dark, because its own glow would swallow it.
    """
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    smooth = guided(picture, luma(picture), 5 * unit, 2e-3)
    tone = luma(smooth)
    ramp = np.stack(
        [parse_hex(look.night), parse_hex(look.night) * 0.45 + parse_hex(look.dusk) * 0.55, parse_hex(look.dusk)]
    )
    night = gradient_map(tone, np.array([0, 0.6, 1], dtype=np.float32), ramp.astype(np.float32))
    lit_up = smoothstep(0.05, 0.7, tone) * (1 - bare_ground(rgb))
    fine = intricate(luma(picture), luma(kuwahara(picture, luma(picture), 11 * unit)), unit)
    night = night + saturate(smooth, 1.5) * (lit_up * (0.36 + 0.2 * fine))[:, :, None]
    wide, thin = (
        np.clip(np.abs(blur(tone, width * unit) - blur(tone, 2.7 * width * unit)) * 9 - 0.10, 0, 1)
        for width in (1.2, 0.5)
    )
    soft = blur(tone, 6 * unit)
    steep: Floats = np.hypot(sobel(soft, 0), sobel(soft, 1))
    printed = fine * smoothstep(0.52, 0.66, blur(tone, 16 * unit))
    fine = fine * (1 - smoothstep(0.012, 0.024, steep * (unit / 8)))
    contour = (wide * (1 - fine) + 0.75 * thin * fine) * (1 - 0.85 * printed)
    across = (
        np.linspace(0, 1, rgb.shape[1], dtype=np.float32)[None, :]
        + np.linspace(-0.2, 0.2, rgb.shape[0], dtype=np.float32)[:, None]
    )
    mix = smoothstep(0.25, 0.75, across)[:, :, None]
    tube = parse_hex(look.cold) * (1 - mix) + parse_hex(look.warm) * mix
    light = contour[:, :, None] * tube * 1.15
    halo = blur(contour, 9 * unit)[:, :, None] * tube * 1.5 + blur(contour, 28 * unit)[:, :, None] * tube * 0.9
    lit = 1 - (1 - np.clip(night, 0, 1)) * (1 - np.clip(halo * look.glow, 0, 0.9))
    return to_bytes(1 - (1 - lit) * (1 - np.clip(light, 0, 1)))


def gold_leaf(rgb: Bytes, look: GoldLeaf, seed: int) -> Bytes:
    """Gilding: lacquered darks, gold laid leaf beside leaf, ivory lights."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    smooth = flattened(picture, luma(picture), 6 * unit)
    tone = luma(smooth)
    shine = noise(tone.shape, 22 * unit, rng) * 0.03 + noise(tone.shape, 2.2 * unit, rng) * 0.016
    middle: Floats = smoothstep(0.18, 0.4, tone) * (1 - smoothstep(0.86, 0.97, tone))
    colours = np.stack([parse_hex(c) for c in (look.lacquer, look.shade, look.gold, look.shine, look.paper)])
    gilded = gradient_map(
        np.clip(tone + shine * middle, 0, 1), np.array([0, 0.26, 0.5, 0.78, 1], dtype=np.float32), colours
    )
    seams = _seams_of_leaves(tone.shape, 150 * unit, unit, rng) * middle * look.seams
    lines = (1 - line_art(luma(picture), 1.4 * unit, 16, 0.4)) * (tone < 0.97)
    gilded = gilded * (1 - 0.3 * seams[:, :, None])
    cover = lines[:, :, None] * 0.85
    return to_bytes(gilded * (1 - cover) + parse_hex(look.lacquer) * cover)


def _seams_of_leaves(shape: tuple[int, ...], leaf: float, unit: float, rng: np.random.Generator) -> Floats:
    """Where square leaves overlap, 1 along their edges, none of which is quite straight or quite in line."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    y, x = (each + noise(shape, 30 * unit, rng) * 2 * unit for each in (y, x))
    row = np.floor(y / leaf).astype(np.intp)
    rows = row - row.min()
    x = x + (rng.random(rows.max() + 1) * leaf)[rows].astype(np.float32)  # rows are laid one by one
    to_edge = np.minimum(*(np.abs(each / leaf - np.round(each / leaf)) * leaf for each in (y, x)))
    return 1 - smoothstep(0.4 * unit, 1.8 * unit, to_edge)


RENDERERS: Mapping[str, Renderer] = {
    "ink-wash": ink_wash,
    "watercolor": watercolor,
    "pastel": pastel,
    "neon": neon,
    "gold-leaf": gold_leaf,
}
