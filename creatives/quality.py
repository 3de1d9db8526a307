"""The quality gate: what every finished variant must pass before a person is asked to look at it.

A failed gate is a value, not an exception: the variant exists and may be looked at; it may not be served.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from creatives.contrast import LOGO, TEXT
from creatives.errors import CreativeError

RECOGNISABLE = 0.40
"""Least structural likeness of a styled picture to its original (see `likeness`).

Of sixteen photographs no two reached more than 0.34 with each other, and a two-tone threshold, the harshest look in
which people still name the product, kept at least 0.50; tests hold both sides.
"""
DISTINCT = 3.0
"""Least mean colour difference between two arms (CIE 1976): 2.3 is just noticeable (Mahy et al., 1994)."""

_SIDE = 160
"""Likeness is judged at the size of a thumbnail: grain, halftone dots and brush marks vanish, the subject stays."""
_WINDOW = 3.0
_CELLS = 24


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: a code and the numbers a sentence about it needs."""

    code: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value}" for name, value in self.parameters.items())
        return f"{self.code} ({numbers})" if numbers else self.code


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether a variant may go on, and why not."""

    ok: bool
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> "GateResult":
        """Passed where nothing was found."""
        return cls(not findings, tuple(findings))


def sound_layer(
    layer: NDArray[Any], shape: tuple[int, ...], style: str
) -> tuple[NDArray[np.uint8], tuple[Finding, ...]]:
    """What an engine returned, as 8-bit pixels of ``shape``; values that are no numbers become black and a finding.

    Raises:
        CreativeError: where it is no picture of this size at all.
    """
    if layer.shape != shape or layer.dtype.kind not in "uf":
        raise CreativeError(
            f"style {style} returned {layer.dtype} of shape {layer.shape}; it must return 8-bit pixels of shape {shape}"
        )
    if layer.dtype == np.uint8:
        return layer, ()
    broken = float(1 - np.isfinite(layer).mean())
    pixels = np.clip(np.nan_to_num(layer), 0, 255).astype(np.uint8)
    return pixels, (Finding("not_finite", {"share": broken}),) if broken else ()


def judge_layer(likeness_: float) -> tuple[Finding, ...]:
    """Is the product still to be recognised?"""
    if likeness_ < RECOGNISABLE:
        return (Finding("not_recognisable", {"likeness": round(likeness_, 3), "floor": RECOGNISABLE}),)
    return ()


def judge_logo(contrast: float | None) -> tuple[Finding, ...]:
    """Can the logo be seen, where there is one?"""
    if contrast is not None and contrast < LOGO:
        return (Finding("faint_logo", {"ratio": contrast, "floor": LOGO}),)
    return ()


def judge_file(contrasts: Mapping[str, float], size: int, max_bytes: int) -> tuple[Finding, ...]:
    """Can every text be read, and may the file be delivered?"""
    findings = [
        Finding("low_contrast", {"text": name, "ratio": ratio, "floor": TEXT})
        for name, ratio in contrasts.items()
        if not ratio >= TEXT
    ]
    if size > max_bytes:
        findings.append(Finding("too_heavy", {"bytes": size, "limit": max_bytes}))
    return tuple(findings)


def near_duplicates(fingerprints: Mapping[str, NDArray[np.uint8]]) -> dict[str, Finding]:
    """By arm: the finding that it looks like an earlier one, so that nobody could prefer either."""
    found: dict[str, Finding] = {}
    arms = list(fingerprints)
    for number, arm in enumerate(arms):
        for earlier in arms[:number]:
            distance = difference(fingerprints[earlier], fingerprints[arm])
            if distance < DISTINCT:
                numbers = {"of": earlier, "distance": round(distance, 2), "floor": DISTINCT}
                found[arm] = Finding("near_duplicate", numbers)
                break
    return found


def likeness(original: NDArray[np.uint8], styled: NDArray[np.uint8]) -> float:
    """How much of the original's structure a styled picture of the same shape (height, width, 3) keeps: 0 to 1.

    The structure term of SSIM (Wang et al., "Image quality assessment", 2004) of thumbnails' lightness, weighted by
    where the original has structure, and by its absolute value: a negative shows the product as well as a positive.
    """
    x, y = _lightness(original), _lightness(styled)

    def blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(values, _WINDOW)

    mean_x, mean_y = blurred(x), blurred(y)
    spread_x = np.sqrt(np.maximum(blurred(x * x) - mean_x**2, 0))
    spread_y = np.sqrt(np.maximum(blurred(y * y) - mean_y**2, 0))
    shared = np.abs(blurred(x * y) - mean_x * mean_y)
    total = spread_x.sum()
    # One grey level of spread is noise, not structure.
    return float((spread_x * shared / (spread_x * spread_y + 1.0)).sum() / total) if total > 0 else 0.0


def _lightness(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    image = Image.fromarray(rgb).convert("L")
    scale = _SIDE / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return np.asarray(image.resize(size, Image.Resampling.BOX), np.float64)


def fingerprint(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a picture looks like from afar, (24, 24, 4): mean CIE L, a, b and the roughness of each cell, as bytes."""
    cells = _CELLS * 8
    small = np.asarray(Image.fromarray(rgb).resize((cells, cells), Image.Resampling.BOX))
    lab = rgb2lab(small).reshape(_CELLS, 8, _CELLS, 8, 3)
    roughness = lab[..., 0].std(axis=(1, 3))
    lightness, a, b = np.moveaxis(lab.mean(axis=(1, 3)), -1, 0)
    packed = np.stack([lightness * 2.55, a + 128, b + 128, roughness * 4], axis=-1)
    return np.clip(np.rint(packed), 0, 255).astype(np.uint8)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The mean difference of two fingerprints, in units of CIE 1976 colour difference."""
    gap = (one.astype(np.float64) - other) / (2.55, 1, 1, 4)
    return float(np.sqrt((gap * gap).sum(axis=-1)).mean())
