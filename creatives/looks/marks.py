"""Looks of the engine ``filters`` that put marks on paper: dots, hatching, carved lines, prints."""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from creatives.brushes import (
    Floats,
    blur,
    flattened,
    guided,
    inked,
    line_art,
    noise,
    paper_grain,
    screen,
    unit_of,
)
from creatives.colour import (
    from_oklab,
    least,
    luma,
    most,
    parse_hex,
    saturate,
    smoothstep,
    to_bytes,
    to_float,
    to_oklab,
)
from creatives.engines.filters import Halftone, Linocut, Pencil, Poster, Riso
from creatives.strips import in_strips

Bytes = NDArray[np.uint8]
Renderer = Callable[[Bytes, Any, int], Bytes]
_VIVID = 40.0
"""How much more often a pixel is drawn for each unit of its chroma in Oklab, which seldom exceeds 0.3."""


def halftone(rgb: Bytes, look: Halftone, _seed: int) -> Bytes:
    """Comic print: flattened colour, dots where it is dark."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    flat = flattened(picture, luma(picture), 9 * unit)
    tone = luma(flat)
    lifted = saturate(np.clip(flat * 0.72 + 0.3, 0, 1), look.saturation)
    white = smoothstep(0.9, 0.99, tone)[:, :, None]
    lifted = lifted * (1 - white) + white
    dots = inked(1 - smoothstep(0.04, 0.8, tone), screen(tone.shape, max(look.period * unit, 2.5), look.angle), 0.09)
    lines = line_art(luma(picture), 1.4 * unit, 18, 0.24)
    cover = np.maximum(dots * 0.92, 1 - lines)[:, :, None]
    return to_bytes(lifted * (1 - cover) + parse_hex(look.ink) * cover)


def poster(rgb: Bytes, look: Poster, seed: int) -> Bytes:
    """Screen print: the picture's own main colours, each an area with a clean edge."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    flat = flattened(picture, luma(picture), look.flatness * unit)
    flat = guided(flat, luma(flat), 5 * unit, 1e-3)
    lab = to_oklab(saturate(flat, look.saturation))
    colours = main_colours(lab, look.colours, seed)
    printed = from_oklab(_nearest_softly(lab, colours))
    white = smoothstep(0.94, 0.99, least(flat))[:, :, None]
    printed = printed * (1 - white) + white
    if look.outline:
        printed *= (1 - look.outline * (1 - line_art(luma(flat), 1.5 * unit, 20, 0.45)))[:, :, None]
    return to_bytes(printed)


def main_colours(lab: Floats, count: int, seed: int) -> Floats:
    """``count`` colours by k-means on a sample, begun far apart (k-means++; Arthur and Vassilvitskii, SODA 2007).

    Vivid pixels are drawn more often than grey ones, so that a small red word has a colour of its own.
    """
    rng = np.random.default_rng(seed)
    pixels = lab.reshape(-1, 3)
    vivid = 1 + _VIVID * np.hypot(pixels[:, 1], pixels[:, 2])
    sample = pixels[rng.choice(len(pixels), size=min(len(pixels), 6000), p=vivid / vivid.sum())]
    centres = sample[:1]
    for _ in range(count - 1):
        distance = np.square(sample[:, None] - centres[None]).sum(axis=2).min(axis=1)
        total = distance.sum()
        chosen = rng.choice(len(sample), p=distance / total) if total > 1e-9 else 0
        centres = np.concatenate([centres, sample[chosen : chosen + 1]])
    for _ in range(12):
        owner = np.square(sample[:, None] - centres[None]).sum(axis=2).argmin(axis=1)
        centres = np.stack(
            [sample[owner == i].mean(axis=0) if (owner == i).any() else centre for i, centre in enumerate(centres)]
        )
    return centres.astype(np.float32)


def _nearest_softly(lab: Floats, colours: Floats) -> Floats:
    """Each pixel in its nearest colour; where two are nearly as near they mix, so that edges are not jagged."""
    return in_strips(lambda strip: _mixed(strip, colours), lab)


def _mixed(lab: Floats, colours: Floats) -> Floats:
    channels = np.moveaxis(lab, 2, 0)
    distances = [
        reduce(np.add, (np.square(channel - shade) for channel, shade in zip(channels, colour, strict=True)))
        for colour in colours
    ]
    nearest = reduce(np.minimum, distances)
    weights = [np.exp((nearest - distance) * 2500) for distance in distances]
    return np.stack(weights, axis=2) @ colours / reduce(np.add, weights)[:, :, None]


def pencil(rgb: Bytes, look: Pencil, seed: int) -> Bytes:
    """Graphite on white paper."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    grey = luma(guided(picture, luma(picture), 4 * unit, 2e-3))
    dodged = np.clip(grey / np.maximum(1 - blur(1 - grey, look.softness * unit), 1e-3), 0, 1) ** 1.7
    lines = line_art(grey, 1.1 * unit, 22, 0.45) * 0.55 + 0.45
    y, x = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]].astype(np.float32)
    wobble = noise(grey.shape, 18 * unit, rng) * 1.5 + noise(grey.shape, 60 * unit, rng) * 2.5
    strokes = np.sin((x * 0.82 + y * 0.57) / max(1.35 * unit, 0.45) + wobble) * 0.5 + 0.5
    across = np.sin((x * 0.5 - y * 0.87) / max(1.5 * unit, 0.5) - wobble) * 0.5 + 0.5
    strokes *= np.clip(0.85 + 0.2 * noise(grey.shape, 5 * unit, rng), 0, 1)  # a hand presses unevenly
    shade = np.clip(1.02 - grey, 0, 1) ** 1.3
    hatched = 1 - look.hatching * (shade * strokes * 0.75 + smoothstep(0.45, 0.95, shade) * across * 0.6)
    tone = dodged * lines * hatched * (1 - 0.22 * shade) * (1 - 0.62 * smoothstep(0.45, 1, shade))
    tooth = noise(grey.shape, 0.9 * unit, rng) * 0.07 * (1 - tone)
    tone = np.clip(tone + tooth, 0, 1)[:, :, None]
    return to_bytes(tone + (1 - tone) * parse_hex(look.graphite))


def riso(rgb: Bytes, look: Riso, seed: int) -> Bytes:
    """Risograph: one ink carries the shadows, the other the warm colours; grainy, a little out of register."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    smooth = guided(picture, luma(picture), 3 * unit, 1e-3)
    tone = luma(smooth)
    warmth = np.clip((smooth[:, :, 0] - smooth[:, :, 2]) * 1.3 + 0.12, 0, 1)
    shadows = np.clip(1.08 - tone * 1.25, 0, 1) ** 1.15
    bare = 1 - smoothstep(0.9, 0.99, tone)
    colour = np.clip(warmth * 0.75 + (1 - smoothstep(0.25, 0.97, tone)) * 0.5, 0, 1) * bare
    shift = max(round(look.shift * unit), 1)
    rows = np.clip(np.arange(tone.shape[0]) - shift, 0, None)
    columns = np.clip(np.arange(tone.shape[1]) + shift, None, tone.shape[1] - 1)
    colour = colour[rows][:, columns]
    inks = []
    for cover, angle in ((shadows, 20), (colour, 65)):
        grain = noise(tone.shape, 0.9 * unit, rng) * 0.22 * look.grain
        dots = screen(tone.shape, max(5.5 * unit, 2.2), angle) * 0.7 + 0.15 + grain
        empty = smoothstep(0.015, 0.06, cover)
        inks.append((cover * 0.45 + inked(cover, dots, 0.16) * 0.55) * empty)
    print_ = parse_hex(look.paper) * np.ones_like(picture)
    for cover, ink in zip(inks[::-1], (look.second, look.first), strict=True):
        print_ = print_ * (1 - cover[:, :, None] * (1 - parse_hex(ink)) * 0.96)
    return to_bytes(print_)


def linocut(rgb: Bytes, look: Linocut, seed: int) -> Bytes:
    """Relief print: ink and paper, carved lines for what lies between, one tint in the lights."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    rng = np.random.default_rng(seed)
    grey = luma(flattened(picture, luma(picture), 8 * unit))
    y, x = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]].astype(np.float32)
    period = max(look.period * unit, 2.6)
    sway = noise(grey.shape, 40 * unit, rng) * 0.9 + blur(grey, 9 * unit) * 9
    grooves = np.sin(y * (2 * np.pi / period) * 0.94 + x * (0.34 * 2 * np.pi / period) + sway) * 0.5 + 0.5
    tone = 1 - smoothstep(0.12, 0.66, grey)
    carved = inked(tone, grooves * 0.82 + 0.09, 0.1)
    lines = 1 - line_art(luma(picture), look.line * unit, 16, 0.4)
    ink = np.maximum(carved, lines)[:, :, None]
    tinted = smoothstep(0.10, 0.28, blur(most(picture) - least(picture), 2 * unit))
    tinted *= smoothstep(0.25, 0.5, grey) * (1 - smoothstep(0.93, 0.98, grey))
    ground = parse_hex(look.paper) + (parse_hex(look.tint) - parse_hex(look.paper)) * tinted[:, :, None] * 0.9
    speck = (paper_grain(grey.shape, unit, rng) > 2.1)[:, :, None] & (ink > 0.5)
    return to_bytes(np.where(speck, ground, ground * (1 - ink) + parse_hex(look.ink) * ink))


RENDERERS: Mapping[str, Renderer] = {
    "halftone": halftone,
    "poster": poster,
    "pencil": pencil,
    "riso": riso,
    "linocut": linocut,
}
