"""The promises every style keeps, as one generator of checks: for the packs we ship and for those people write."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from creatives.packs import Look

Rgb = NDArray[np.uint8]

SEED = 20_261_123
WHITE_TOLERANCE = 6.0
"""Levels by which a white packshot's ground may miss the look's paper, on average."""
WHITE_SPREAD = 4.0
"""Standard deviation of that ground: above it, blotches show."""


def check_style(look: Look) -> Iterator[str]:
    """Yield every promise that ``look`` breaks, in words."""
    scene = sample_scene(96, 128)
    styled = look.apply(scene, seed=SEED)
    if styled.shape != scene.shape or styled.dtype != np.uint8:
        yield f"keeps shape and type: {scene.shape} uint8 became {styled.shape} {styled.dtype}"
        return
    if not np.array_equal(styled, look.apply(scene, seed=SEED)):
        yield "same seed, same picture"
    if look.parts and np.abs(styled.astype(int) - scene).mean() < 3:
        yield "can be told from the original"
    if look.parts and not look.look.strip().endswith("."):
        yield "says in one sentence what it looks like"
    for height, width in ((1, 1), (1, 40), (8, 8), (37, 61)):
        for name, picture in (
            ("noise", sample_scene(height, width)),
            ("black", np.zeros((height, width, 3), np.uint8)),
        ):
            if look.apply(picture, seed=SEED).shape != picture.shape:
                yield f"takes any size: {height}x{width} {name}"
    yield from _white_ground(look)
    yield from _product_stays(scene, styled)


def _white_ground(look: Look) -> Iterator[str]:
    packshot = np.full((240, 240, 3), 255, dtype=np.uint8)
    packshot[90:150, 90:150] = (150, 60, 40)
    ground = look.apply(packshot, seed=SEED)[:40].reshape(-1, 3).astype(float)
    miss = np.abs(ground.mean(axis=0) - look.paper).max()
    if miss > WHITE_TOLERANCE:
        yield f"keeps a white ground at its paper #{''.join(f'{v:02x}' for v in look.paper)}: off by {miss:.0f} levels"
    if ground.std(axis=0).max() > WHITE_SPREAD:
        yield f"keeps a white ground clean: it varies by {ground.std(axis=0).max():.0f} levels"


def _product_stays(scene: Rgb, styled: Rgb) -> Iterator[str]:
    """Light stays lighter than dark: the product's shape can be read (night looks may invert nothing either)."""
    before, after = scene.mean(axis=2), styled.mean(axis=2)
    dark, light = before < np.quantile(before, 0.2), before > np.quantile(before, 0.8)
    if after[light].mean() - after[dark].mean() < 12:
        yield "keeps light and dark apart, so that the product can be recognised"


def sample_scene(height: int, width: int) -> Rgb:
    """A small picture with a ramp, hard edges, colour and texture; the same every time."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    scene = np.stack([0.2 + 0.7 * x, 0.3 + 0.5 * y, 0.8 - 0.6 * x], axis=2)
    disc = (x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.05
    scene[disc] = (0.85, 0.25, 0.2)
    scene[(y > 0.55) & (x < 0.3)] = (0.08, 0.1, 0.14)
    scene += rng.normal(0, 0.02, scene.shape)
    return (np.clip(scene, 0, 1) * 255).astype(np.uint8)
