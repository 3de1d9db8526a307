"""Colours as people write them, and how well one can be read on another (WCAG 2.2, contrast ratio)."""

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green, blue: 0 to 255, sRGB."""

TEXT = 4.5
"""WCAG 2.2, 1.4.3 (AA): the least contrast of text that is not large."""
GRAPHICS = 3.0
"""WCAG 2.2, 1.4.11 (AA): the least contrast of what is not text: buttons, logos."""
LOGO = 1.5
"""WCAG asks nothing of logos, and brands have yellow ones on white; below this the eye does not find one."""

_CHANNEL = np.arange(256) / 255
_LINEAR = np.where(_CHANNEL <= 0.04045, _CHANNEL / 12.92, ((_CHANNEL + 0.055) / 1.055) ** 2.4)
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def parse_colour(text: str) -> Colour:
    """``#rrggbb`` as a colour."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Relative luminance (0 black, 1 white) of (..., 3) sRGB pixels."""
    return _LINEAR[pixels] @ _WEIGHTS


def contrasts(colour: Colour, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The contrast ratio (1 to 21) of ``colour`` with each of (..., 3) sRGB pixels."""
    one, others = luminance(np.array(colour, np.uint8)), luminance(pixels)
    return (np.maximum(one, others) + 0.05) / (np.minimum(one, others) + 0.05)


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two colours."""
    return float(contrasts(one, np.array(other, np.uint8)))


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """``share`` of ``other`` in ``one``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
