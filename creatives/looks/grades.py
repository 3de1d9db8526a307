"""Looks of the engine ``palette``: tone curves, ramps, film."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from creatives.brushes import Floats, blur, noise, unit_of
from creatives.colour import gradient_map, least, luma, parse_hex, saturate, smoothstep, to_bytes, to_float
from creatives.engines.palette import Duotone, Film

Bytes = NDArray[np.uint8]
Renderer = Callable[[Bytes, Any, int], Bytes]


def tone_curve(tone: Floats, contrast: float) -> Floats:
    """An S-curve through black, middle and white."""
    bent = np.tanh((tone - 0.5) * 2 * contrast) / np.tanh(contrast)
    return np.clip(bent / 2 + 0.5, 0, 1).astype(np.float32)


def duotone(rgb: Bytes, look: Duotone, _seed: int) -> Bytes:
    """Ramp of colours over the tone."""
    picture = to_float(rgb)
    tone = tone_curve(luma(picture), look.contrast)
    colours = np.stack([parse_hex(colour) for colour in look.colours])
    mapped = gradient_map(tone, np.linspace(0, 1, len(colours), dtype=np.float32), colours)
    if look.keep:
        mapped = mapped * (1 - look.keep) + saturate(picture, 0.9) * look.keep
    return to_bytes(mapped)


def film(rgb: Bytes, look: Film, seed: int) -> Bytes:
    """Split toning between tinted shadows and highlights; paper white stays white."""
    picture = to_float(rgb)
    unit = unit_of(rgb.shape)
    tone = luma(picture)
    white = smoothstep(0.93, 1.0, least(picture))[:, :, None]
    graded = saturate(picture, look.saturation)
    low, high = (1 - smoothstep(0.0, 0.55, tone))[:, :, None], smoothstep(0.45, 1.0, tone)[:, :, None]
    graded = graded * (1 - low * look.fade) + parse_hex(look.shadows) * low * look.fade * 1.6
    graded *= 1 + (parse_hex(look.highlights) - 1) * high * 0.9
    graded *= np.array([1 + 0.12 * look.warmth, 1 + 0.02 * look.warmth, 1 - 0.14 * look.warmth], dtype=np.float32)
    graded = tone_curve(np.clip(graded, 0, 1), 0.75)
    if look.halation:
        lights = blur(smoothstep(0.72, 1.0, tone) * (1 - white[:, :, 0]), 14 * unit)
        glow = lights[:, :, None] * np.array([0.5, 0.16, 0.03], dtype=np.float32) * look.halation
        graded = 1 - (1 - graded) * (1 - glow)
    if look.grain:
        strength = look.grain * 0.06 * (1 - np.abs(tone - 0.45))
        graded += (noise(tone.shape, 0.8 * unit, np.random.default_rng(seed)) * strength)[:, :, None]
    return to_bytes(graded * (1 - white) + picture * white)


RENDERERS: Mapping[str, Renderer] = {"duotone": duotone, "film": film}
