"""Smoothing, edges and textures that several looks are made of. Lengths are pixels; the callers scale them.

Arrays are float32; ``grey`` is ``(height, width)``, a picture ``(height, width, 3)``.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter, uniform_filter

from creatives.colour import from_oklab, most, smoothstep, to_oklab
from creatives.strips import in_strips

Floats = NDArray[np.float32]

_WIDE = 4
"""Pixels of a blur that a reduced picture keeps, at least."""
_LOST = (0.10, 0.22)
"""Of a channel's range: a difference in tone or colour that nobody misses, and one that everybody does."""
_TONES_BLUR, _TONES_RISE = 1.2, 10.0
"""Pixels, so that edges of tones are soft; and how steep those are."""
_TONES_REACH, _TONES_GRAIN = 5, 0.03
"""Pixels and lightness: what varies less within that is grain, which would fray the edges of tones."""
_TONES_BEYOND = 16
"""Pixels away that both together reach."""
_TRUNCATE = 3
"""Standard deviations away from which on a Gaussian is nothing."""


def unit_of(shape: tuple[int, ...]) -> float:
    """How many pixels one pixel of a 1080-pixel picture is here: looks keep their grain at every size."""
    return max(min(shape[0], shape[1]) / 1080, 0.02)


def blur(values: Floats, sigma: float) -> Floats:
    """Gaussian blur of a grey or of each channel; a wide one on a reduced picture, so that it takes no longer."""
    if sigma < 0.1:
        return values
    times = int(sigma / _WIDE)
    if times > 1:
        if values.ndim == 3:
            return np.dstack([_wide_blur(values[:, :, each], sigma, times) for each in range(values.shape[2])])
        return _wide_blur(values, sigma, times)
    per_axis = (sigma, sigma, 0)[: values.ndim]
    return in_strips(
        lambda strip: gaussian_filter(strip, per_axis, mode="nearest", truncate=_TRUNCATE), values,
        beyond=int(_TRUNCATE * sigma + 1),
    )  # fmt: skip


def _wide_blur(grey: Floats, sigma: float, times: int) -> Floats:
    """Means of squares of so many pixels, blurred by what those lack, and enlarged."""
    height, width = grey.shape
    padded = np.pad(grey, ((0, -height % times), (0, -width % times)), mode="edge").astype(np.float32, copy=False)
    means = np.asarray(Image.fromarray(padded).reduce(times))
    rest = np.sqrt(sigma**2 - (times**2 - 1) / 12) / times
    soft = Image.fromarray(gaussian_filter(means, rest, mode="nearest", truncate=_TRUNCATE))
    return np.array(soft.resize(padded.shape[::-1], Image.Resampling.BICUBIC))[:height, :width]


def guided(picture: Floats, guide: Floats, radius: float, epsilon: float) -> Floats:
    """Edge-preserving smoothing, in constant time a pixel."""

    def smooth(picture: Floats, guide: Floats) -> Floats:
        slope, offset = guidance(picture, guide, radius, epsilon)
        return np.clip(slope * guide[:, :, None] + offset, 0, 1)

    return in_strips(smooth, picture, guide, beyond=2 * _window(radius))


def guidance(picture: Floats, guide: Floats, radius: float, epsilon: float) -> tuple[Floats, Floats]:
    """``slope`` and ``offset`` of each channel, by which ``slope * guide + offset`` is the picture without its details.

    K. He, J. Sun, X. Tang, "Guided image filtering" (ECCV 2010).
    """
    size = _window(radius)
    mean = box(guide, size)
    variance: Floats = box(guide * guide, size) - mean * mean
    there = box(picture, size)
    slope = (box(picture * guide[:, :, None], size) - there * mean[:, :, None]) / (variance + epsilon)[:, :, None]
    offset = there - slope * mean[:, :, None]
    return box(slope, size), box(offset, size)


def _window(radius: float) -> int:
    """Pixels of a square's side."""
    return 2 * max(round(radius), 1) + 1


def box(values: Floats, size: int) -> Floats:
    """The mean of a square of ``size`` pixels around each, of a grey or of each channel."""
    return uniform_filter(values, (size, size, 0)[: values.ndim], mode="nearest")


def in_tones(picture: Floats, tones: int) -> Floats:
    """Lightness in so many flat steps with soft edges, colours as they are.

    H. Winnemoeller, S. C. Olsen, B. Gooch, "Real-time video abstraction" (SIGGRAPH 2006), section 3.3, in Oklab, after
    the guided filter instead of the bilateral one.
    """

    def stepped(picture: Floats) -> Floats:
        lab = to_oklab(picture)
        light = guided(lab[:, :, :1], lab[:, :, 0], _TONES_REACH, _TONES_GRAIN**2)[:, :, 0]
        step = blur(light, _TONES_BLUR) * tones
        whole = np.floor(step)
        rise = np.tanh(_TONES_RISE * (step - whole - 0.5)) / np.tanh(_TONES_RISE / 2)
        lab[:, :, 0] = np.clip((whole + 0.5 + rise / 2) / tones, 0, 1)
        return from_oklab(lab)

    return in_strips(stepped, picture, beyond=_TONES_BEYOND)


def kuwahara(picture: Floats, grey: Floats, radius: float) -> Floats:
    """Painterly flattening: each pixel takes the colour of its calmest quadrant, softly chosen.

    M. Kuwahara et al. (1976); the soft choice by inverse variance after G. Papari et al. (IEEE TIP 16, 2007).
    """
    reach = max(round(radius), 1)
    return in_strips(lambda colours, light: _kuwahara(colours, light, reach), picture, grey, beyond=reach + 2)


def _kuwahara(picture: Floats, grey: Floats, reach: int) -> Floats:
    mean = uniform_filter(picture, (reach, reach, 0), mode="nearest")
    level = uniform_filter(grey, reach, mode="nearest")
    variance = np.maximum(uniform_filter(grey * grey, reach, mode="nearest") - level * level, 0)
    trust = 1 / (variance + 1e-5) ** 3
    half = (reach + 1) // 2
    height, width = grey.shape
    mean = np.pad(mean, ((half, half), (half, half), (0, 0)), mode="edge")
    trust = np.pad(trust, half, mode="edge")
    total = np.zeros_like(picture)
    weights = np.zeros_like(grey)
    for top in (0, 2 * half):
        for left in (0, 2 * half):
            window = np.s_[top : top + height, left : left + width]
            total += mean[window] * trust[window][:, :, None]
            weights += trust[window]
    return total / weights[:, :, None]


def flattened(picture: Floats, grey: Floats, radius: float) -> Floats:
    """`kuwahara`, but what is thinner than its window stays: letters, eyes, twigs are flattened by smaller ones."""
    out = kuwahara(picture, grey, radius)
    for finer in (kuwahara(picture, grey, radius / 3), picture):
        lost = most(np.abs(finer - out))
        kept = np.clip(1.4 * blur(smoothstep(*_LOST, lost), radius / 10), 0, 1)[:, :, None]
        out = out * (1 - kept) + finer * kept
    return out


def intricate(drawing: Floats, flat: Floats, unit: float) -> Floats:
    """1 where a grey drawing is finer than its flattened self and what lies around it is not: faces, lettering. Leaves
    and fur, which are fine all over, are 0, and so is a lone contour.
    """
    fine = smoothstep(0.008, 0.024, blur(np.abs(drawing - flat), 8 * unit))
    wide = 2 * round(18 * unit) + 1
    areas = blur(maximum_filter(minimum_filter(fine, wide), wide), 6 * unit)
    around = box(box(fine, 2 * round(170 * unit) + 1), 2 * round(170 * unit) + 1)
    return areas * (1 - smoothstep(0.7, 0.88, around))


def line_art(grey: Floats, sigma: float, sharpness: float, threshold: float) -> Floats:
    """Ink lines, 1 on paper and 0 in ink: the extended difference of Gaussians.

    H. Winnemoeller, J. E. Kyprianidis, S. C. Olsen, "XDoG" (Computers & Graphics 36, 2012).
    """
    near, far = blur(grey, sigma), blur(grey, sigma * 1.6)
    response = (1 + sharpness) * near - sharpness * far
    return np.where(response >= threshold, 1, 1 + np.tanh(12 * (response - threshold))).astype(np.float32)


def screen(shape: tuple[int, ...], period: float, degrees: float) -> Floats:
    """The threshold of a halftone screen: a rotated egg-crate in 0..1, so that tone t inks the places below t."""
    angle = np.deg2rad(degrees)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    u = (x * np.cos(angle) + y * np.sin(angle)) * np.float32(2 * np.pi / period)
    v = (y * np.cos(angle) - x * np.sin(angle)) * np.float32(2 * np.pi / period)
    return ((np.cos(u) + np.cos(v)) / 4 + 0.5).astype(np.float32)


def inked(tone: Floats, threshold: Floats, softness: float) -> Floats:
    """1 where a tone puts ink at a threshold, with an antialiased edge; full and empty tones are solid."""
    return np.clip((tone * (1 + 2 * softness) - softness - threshold) / softness / 2 + 0.5, 0, 1)


def noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Floats:
    """Smooth noise with mean 0 and deviation 1, of grain size ``sigma``."""
    coarse = max(int(sigma / 1.5), 1)
    small = (shape[0] // coarse + 4, shape[1] // coarse + 4)
    values = blur(rng.standard_normal(small, dtype=np.float32), sigma / coarse)
    values = _enlarged(values, coarse)[: shape[0], : shape[1]]
    return (values - values.mean()) / max(float(values.std()), 1e-6)


def _enlarged(values: Floats, factor: int) -> Floats:
    if factor == 1:
        return values
    for axis in (0, 1):
        length = (values.shape[axis] - 1) * factor
        position = np.arange(length, dtype=np.float32) / factor
        low = position.astype(np.intp)
        share = (position - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        values = values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share
    return values


def paper_grain(shape: tuple[int, ...], unit: float, rng: np.random.Generator) -> Floats:
    """The tooth of watercolour paper: two sizes of noise."""
    return 0.65 * noise(shape, 1.1 * unit, rng) + 0.35 * noise(shape, 3.2 * unit, rng)
