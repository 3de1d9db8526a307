"""Where a picture strikes the eye, so that a crop keeps it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

_SIDE = 64
_CENTRE, _SPREAD = (0.5, 0.42), (0.3, 0.22)
"""Photographers centre their subject, and what is looked at in it, a face for one, is above its middle."""
_SUBJECT = 5
"""The standard deviation, in cells, over which a subject gathers what strikes the eye."""


def salient_point(rgb: NDArray[np.uint8]) -> tuple[float, float]:
    """The (x, y) fractions of a (height, width, 3) picture around which most of what is unexpected lies together.

    Spectral residual saliency (Hou and Zhang, "Saliency detection: a spectral residual approach", CVPR 2007) summed
    over lightness and two colour differences, with a prior for the centre.
    """
    small = np.asarray(Image.fromarray(rgb).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
    red, green, blue = np.moveaxis(small, -1, 0)
    saliency = np.zeros((_SIDE, _SIDE))
    for channel in ((red + green + blue) / 3, red - green, (red + green) / 2 - blue):
        spectrum = np.fft.fft2(channel)
        logarithm = np.log(np.abs(spectrum) + 1e-9)
        residual = logarithm - uniform_filter(logarithm, 3, mode="wrap")
        unexpected = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
        saliency += gaussian_filter(unexpected, 3) * channel.std()
    axis = (np.arange(_SIDE) + 0.5) / _SIDE
    prior_x, prior_y = (np.exp(-(((axis - c) / s) ** 2) / 2) for c, s in zip(_CENTRE, _SPREAD, strict=True))
    gathered = gaussian_filter(saliency, _SUBJECT) * np.outer(prior_y, prior_x)
    row, column = np.unravel_index(np.argmax(gathered), gathered.shape)
    return float(axis[column]), float(axis[row])
