"""Colour arithmetic that the engines share. Pictures are float32 arrays ``(height, width, 3)`` of sRGB in 0..1."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from creatives.strips import in_strips

Floats = NDArray[np.float32]
Real = TypeVar("Real", bound=np.floating[Any])

LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Rec. 709 weights."""


def to_float(rgb: NDArray[np.uint8]) -> Floats:
    """0..255 as 0..1."""
    return rgb.astype(np.float32) / np.float32(255)


def to_bytes(picture: Floats) -> NDArray[np.uint8]:
    """0..1 as 0..255, rounded, clipped."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def least(picture: NDArray[Any]) -> NDArray[Any]:
    """The least of each pixel's channels, ``(height, width)``; numpy's own goes three numbers at a time."""
    return np.minimum(np.minimum(picture[..., 0], picture[..., 1]), picture[..., 2])


def most(picture: NDArray[Any]) -> NDArray[Any]:
    """The greatest, likewise."""
    return np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])


def luma(picture: Floats) -> Floats:
    """Perceived lightness, ``(height, width)``."""
    return picture @ LUMA


def parse_hex(colour: str) -> Floats:
    """``#rrggbb`` as three floats."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32) / np.float32(255)


def saturate(picture: Floats, factor: float) -> Floats:
    """Move colours away from (factor > 1) or towards their grey."""
    grey = luma(picture)[:, :, None]
    return np.clip(grey + (picture - grey) * factor, 0, 1)


def smoothstep(low: float, high: float, value: NDArray[Real]) -> NDArray[Real]:
    """0 below ``low``, 1 above ``high``, a smooth rise between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def gradient_map(tone: Floats, stops: NDArray[np.float32], colours: NDArray[np.float32]) -> Floats:
    """The colour of each tone: ``stops`` ``(n,)`` rising from 0 to 1, ``colours`` ``(n, 3)``."""
    table = np.stack([np.interp(np.linspace(0, 1, 1024), stops, colours[:, i]) for i in range(3)], axis=1)
    return table.astype(np.float32)[np.clip(tone * 1023, 0, 1023).astype(np.intp)]


def to_oklab(picture: Floats) -> Floats:
    """Perceptually even coordinates (L, a, b). B. Ottosson, "A perceptual color space for image processing" (2020)."""
    return in_strips(_to_oklab, picture)


def from_oklab(lab: Floats) -> Floats:
    """Back to sRGB, clipped."""
    return in_strips(_from_oklab, lab)


def _to_oklab(picture: Floats) -> Floats:
    linear = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS).astype(np.float32) @ _TO_LAB


def _from_oklab(lab: Floats) -> Floats:
    linear = np.clip((lab @ _FROM_LAB) ** 3 @ _FROM_LMS, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


_TO_LMS = np.array(
    [[0.4122214708, 0.2119034982, 0.0883024619],
     [0.5363325363, 0.6806995451, 0.2817188376],
     [0.0514459929, 0.1073969566, 0.6299787005]], dtype=np.float32,
)  # fmt: skip
_TO_LAB = np.array(
    [[0.2104542553, 1.9779984951, 0.0259040371],
     [0.7936177850, -2.4285922050, 0.7827717662],
     [-0.0040720468, 0.4505937099, -0.8086757660]], dtype=np.float32,
)  # fmt: skip
_FROM_LAB = np.linalg.inv(_TO_LAB.astype(np.float64)).astype(np.float32)
_FROM_LMS = np.linalg.inv(_TO_LMS.astype(np.float64)).astype(np.float32)
