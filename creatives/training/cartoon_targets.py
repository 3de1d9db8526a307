"""The flat cartoon that the engine ``cartoon`` is taught: pictures of it, rendered from photographs by rule.

    python -m creatives.training.cartoon_targets --photos DIR --out FILE.npz [--count N] [--sheet FILE.png]

Nobody drew them. Flat areas come from gradients made few (L. Xu et al., "Image Smoothing via L0 Gradient
Minimization", SIGGRAPH Asia 2011) and from segments in the colour of their mean (P. F. Felzenszwalb, D. P.
Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004) in three tones of shade; contours from edges
(J. Canny, PAMI 1986) in ink, the wider the stronger the edge. The photographs are every other one of the folder, and
the generator learns from those between: no rendered picture is the answer to one that it reads. Where a folder holds
several crops of one view, as ours does of landscapes, both sides may have some of it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft
from scipy.ndimage import distance_transform_edt, gaussian_filter, maximum_filter, median_filter
from skimage.feature import canny
from skimage.morphology import remove_small_objects
from skimage.segmentation import felzenszwalb

from creatives.brushes import guided
from creatives.colour import Floats, from_oklab, luma, smoothstep, to_bytes, to_float, to_oklab
from creatives.pictures import PictureError, load_picture, on_ground
from creatives.training.cartoon_store import photographs_in, save_targets, targets_among
from creatives.training.photographs import NoPhotographs

Bytes = NDArray[np.uint8]

SIDE, MARGIN = 288, 24
"""Pixels a side of a target, and rendered around it so that its borders are like its middle."""
INK = np.array([0.16, 0.005, -0.02], np.float32)
"""Oklab of a nearly black blue."""
VIVID = 1.28
"""Chroma against the photograph's."""
_WHITE = 0.955
"""Lightness from which an area is paper."""


def cartoon(picture: Floats, rng: np.random.Generator) -> Floats:
    """``(height, width, 3)`` sRGB in 0..1, drawn as a flat cartoon; ``rng`` varies pen and flatness a little."""
    calm = guided(lit(picture), luma(picture), 3, 6e-4)
    flat = flattened(calm, strength=float(rng.uniform(0.012, 0.022)))
    lab = to_oklab(flat)
    areas = felzenszwalb(flat, scale=float(rng.uniform(90, 160)), sigma=0.6, min_size=70)
    tones = shaded(lab, areas)
    lines = contours(lab, widest=float(rng.uniform(2.6, 3.6)))
    tones[..., 1:] *= VIVID
    tones[..., 0] = lively(tones[..., 0])
    paper = smoothstep(_WHITE - 0.02, _WHITE + 0.01, tones[..., 0]) * (np.hypot(tones[..., 1], tones[..., 2]) < 0.03)
    tones = tones * (1 - paper[..., None]) + np.array([1, 0, 0], np.float32) * paper[..., None]
    # A line is darker than both its sides and keeps a breath of their hue, as ink over colour does.
    ink = np.where(tones[..., :1] < 0.3, tones * 0.55, INK + 0.12 * tones * np.array([0.3, 1, 1], np.float32))
    cover = lines[..., None]
    return from_oklab(tones * (1 - cover) + ink.astype(np.float32) * cover)


def lit(picture: Floats) -> Floats:
    """A dark photograph brighter, a bright one as it is: cartoons are coloured by daylight."""
    lab = to_oklab(picture)
    power = np.clip(np.log(0.62) / np.log(np.clip(lab[..., 0].mean(), 0.2, 0.95)), 0.6, 1.0)
    gain = np.maximum(lab[..., :1], 0.01) ** np.float32(power - 1)
    return from_oklab(lab * np.minimum(gain, 2.5))


def lively(lightness: Floats) -> Floats:
    """An S-curve that leaves black, white and the middle where they are."""
    return lightness + 0.10 * np.sin(2 * np.pi * (lightness - 0.5)).astype(np.float32) / np.pi * 1.6


def flattened(picture: Floats, strength: float, growth: float = 2.0) -> Floats:
    """Few gradients, the same picture (L0): half-quadratic splitting, solved in turn by threshold and by Fourier."""
    height, width, _ = picture.shape
    spectrum = fft.rfft2(picture, axes=(0, 1))
    across = 2 - 2 * np.cos(2 * np.pi * np.arange(width // 2 + 1) / width)
    down = 2 - 2 * np.cos(2 * np.pi * np.arange(height) / height)
    laplacian = (down[:, None] + across[None, :]).astype(np.float32)[..., None]
    out, weight = picture, 2 * strength
    while weight < 1e4:
        right = np.roll(out, -1, axis=1) - out
        below = np.roll(out, -1, axis=0) - out
        small = (np.square(right) + np.square(below)).sum(axis=2) < strength / weight
        right[small], below[small] = 0, 0
        divergence = np.roll(right, 1, axis=1) - right + np.roll(below, 1, axis=0) - below
        solved = (spectrum + weight * fft.rfft2(divergence, axes=(0, 1))) / (1 + weight * laplacian)
        out = fft.irfft2(solved, s=(height, width), axes=(0, 1)).astype(np.float32)
        weight *= growth
    return np.clip(out, 0, 1)


def shaded(lab: Floats, areas: NDArray[np.int64]) -> Floats:
    """Each area in the colour of its mean, its shade in three tones with clean borders."""
    count = np.bincount(areas.ravel()).astype(np.float32)
    means = np.stack([np.bincount(areas.ravel(), lab[..., i].ravel()) / count for i in range(3)], axis=1)
    colours = means.astype(np.float32)[areas]
    away = median_filter(lab[..., 0] - colours[..., 0], 5)
    away = gaussian_filter(away, 1.2)
    step = 0.075
    tone = step * (
        _above(away, step / 2) - _above(-away, step / 2) + _above(away, 1.6 * step) - _above(-away, 1.6 * step)
    )
    chroma = gaussian_filter(lab[..., 1:], (1, 1, 0)) * 0.5 + colours[..., 1:] * 0.5
    shades = np.concatenate([(colours[..., 0] + tone)[..., None], chroma], axis=2)
    return gaussian_filter(shades, (0.55, 0.55, 0)).astype(np.float32)


def _above(values: Floats, level: float) -> Floats:
    """1 above a level, with an edge of about a pixel."""
    return smoothstep(level - 0.006, level + 0.006, values)


def contours(lab: Floats, widest: float) -> Floats:
    """Cover of ink, ``(height, width)`` in 0..1: one stroke an edge, long enough to be meant."""
    edges = np.zeros(lab.shape[:2], bool)
    strength = np.zeros(lab.shape[:2], np.float32)
    for channel, weight in zip(range(3), (1.0, 1.6, 1.6), strict=True):
        values = lab[..., channel] * weight
        edges |= canny(values, sigma=1.8, low_threshold=0.022, high_threshold=0.06)
        blurred = gaussian_filter(values, 1.2)
        strength = np.maximum(strength, np.hypot(*np.gradient(blurred)))
    edges = remove_small_objects(edges, max_size=22, connectivity=2)
    if not edges.any():
        return strength * 0
    # Strength runs along the stroke, so that it swells and tapers and is not ragged.
    along = gaussian_filter(maximum_filter(np.where(edges, strength, 0), 3), 2.5)
    density = gaussian_filter(maximum_filter(edges.astype(np.float32), 3), 2.5)
    along = along / np.maximum(density, 1e-3)
    width = 1.0 + (widest - 1.0) * smoothstep(0.012, 0.10, along)
    # Where lines crowd, as in print and hair, they are drawn thin: letters must not run together.
    crowd = smoothstep(0.15, 0.30, gaussian_filter(edges.astype(np.float32), 5))
    width = width * (1 - crowd) + 0.5 * crowd
    distance = distance_transform_edt(~edges).astype(np.float32)
    return np.clip(width / 2 + 0.5 - distance, 0, 1) * np.clip(along / 0.02, 0, 1)


def target_from(rgb: Bytes, rng: np.random.Generator) -> Bytes | None:
    """One target, ``(SIDE, SIDE, 3)``, from a place in a photograph; None where the place is empty."""
    scale = float(rng.uniform(1.25, 2.3))
    source = (SIDE + 2 * MARGIN) / scale
    source = min(source, *rgb.shape[:2])
    top, left = (float(rng.uniform(0, length - source)) for length in rgb.shape[:2])
    full = SIDE + 2 * MARGIN
    image = Image.fromarray(rgb).resize(
        (full, full), Image.Resampling.BICUBIC, box=(left, top, left + source, top + source)
    )
    picture = to_float(np.asarray(image))
    grey = gaussian_filter(luma(picture), 2)
    if grey.std() < 0.07 or grey.mean() < 0.12:
        return None
    drawn = cartoon(picture, rng)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return to_bytes(drawn[:, ::-1] if rng.random() < 0.5 else drawn)


def render(paths: Sequence[Path], count: int, seed: int = 0) -> list[Bytes]:
    """``count`` targets, of photographs in turn."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(paths))
    drawn: list[Bytes] = []
    for number in range(4 * count):
        if len(drawn) == count:
            break
        try:
            rgb = on_ground(load_picture(paths[order[number % len(paths)]]))
        except PictureError:
            continue
        target = target_from(rgb, rng)
        if target is not None:
            drawn.append(target)
    if not drawn:
        raise NoPhotographs("none of the photographs could be drawn; give a folder of ordinary ones")
    return drawn


def sheet(pictures: Sequence[Bytes], columns: int = 6) -> Image.Image:
    """Pictures of one size side by side."""
    side = pictures[0].shape[0]
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * side, rows * side), "white")
    for number, picture in enumerate(pictures):
        page.paste(Image.fromarray(picture), (number % columns * side, number // columns * side))
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Render and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--photos", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--count", type=int, default=360)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--sheet", type=Path, help="Also a sheet of the first 24, to look at.")
    wish = options.parse_args(arguments)
    paths = targets_among(photographs_in(wish.photos))
    if not paths:
        raise NoPhotographs(f"{wish.photos} holds no photographs to draw; give a folder with several")
    drawn = render(paths, wish.count, wish.seed)
    save_targets(drawn, wish.out)
    if wish.sheet:
        sheet(drawn[:24]).save(wish.sheet)


if __name__ == "__main__":
    main()
