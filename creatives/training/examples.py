"""Styles to learn the exchange from: paintings, our own looks on photographs, photographs; in colours they never had.

A network that is to take after any picture must see more of them than there are paintings at hand. Looks are rendered
once, on all processors; crops and colours are drawn on the device, a batch at a time.
"""

import copy
import tomllib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from creatives.engines import Engine
from creatives.engines.filters import Filters
from creatives.engines.palette import Palette
from creatives.neural.exchange import Statistics, exchange
from creatives.packs import MANIFEST, SHIPPED
from creatives.pictures import load_picture, on_ground
from creatives.training.photographs import SUFFIXES, Augmentation
from creatives.training.pool import Pool

HELD_OUT = ("great_wave", "scream", "udnie", "shipwreck")
"""Paintings that no training sees: the exchange is judged on them."""
SIDES = (448, 720)
"""Longer sides at which every painting is shown: the same strokes, coarse and fine."""
LOOK_SIDE = 512
TURNED = Augmentation(rotate=180.0, colour=0.2, zoom=(0.7, 1.6), packshots=0.0)
_PERMUTED, _NEGATIVE, _RECOLOURED = 0.4, 0.05, 0.3
"""Shares of styles whose channels are shuffled, that are inverted, and that take another's colours."""

Rgb = NDArray[np.uint8]
_ENGINES: dict[str, type[Engine]] = {"filters": Filters, "palette": Palette}


def read_paintings(folder: Path) -> list[Rgb]:
    """Every picture in a folder but those held out, at each of SIDES."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES and path.stem not in HELD_OUT)
    return [_reduced(on_ground(load_picture(path)), side) for path in paths for side in SIDES]


def render_looks(photographs: Sequence[Rgb], count: int, workers: int) -> list[Rgb]:
    """``count`` photographs in the looks that come along, each look in turn; the same ones each time."""
    wishes = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(SHIPPED.glob(f"*/{MANIFEST}"))]
    wishes = [wish for wish in wishes if wish["engine"] in _ENGINES]
    chosen = np.random.default_rng(0).choice(len(photographs), size=min(count, len(photographs)), replace=False)
    jobs = [(photographs[photo], wishes[index % len(wishes)], index) for index, photo in enumerate(chosen)]
    if workers < 2:
        return [_rendered(job) for job in jobs]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        return list(pool.map(_rendered, jobs))


class Examples:
    """Crops of styles, ``(count, 3, size, size)`` in 0..1, on a device: half paintings, a quarter looks."""

    def __init__(self, paintings: Sequence[Rgb], looks: Sequence[Rgb], photographs: Pool, device: torch.device) -> None:
        self._paintings = Pool(paintings, TURNED, device)
        self._looks = Pool(looks, TURNED, device) if looks else self._paintings
        # The same frames as the photographs to be styled, so that they lie on the device once.
        self._photographs = copy.copy(photographs)
        self._photographs.augmentation = replace(photographs.augmentation, packshots=0.0)

    def batch(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """As the class says; ``generator`` belongs to the device."""
        shares = ((self._paintings, count - count // 4 - count // 4), (self._looks, count // 4),
                  (self._photographs, count // 4))  # fmt: skip
        crops = [pool.batch(share, size, generator)[0] for pool, share in shares if share]
        return recoloured(torch.cat(crops), generator).contiguous(memory_format=torch.channels_last)


def recoloured(styles: Tensor, generator: torch.Generator) -> Tensor:
    """Some with their channels shuffled, some inverted, some in the colours of their neighbour in the batch."""
    count, device = len(styles), styles.device

    def dice(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    order = torch.where(dice(count, 1) < _PERMUTED, dice(count, 3).argsort(dim=1), torch.arange(3, device=device))
    styles = styles.gather(1, order[:, :, None, None].expand_as(styles))
    styles = torch.where(dice(count, 1, 1, 1) < _NEGATIVE, 1 - styles, styles)
    colours = Statistics.of(styles)
    rolled = Statistics(colours.mean.roll(1, 0), colours.covariance.roll(1, 0))
    swapped = exchange(colours, rolled)(styles).clamp(0, 1)
    return torch.where(dice(count, 1, 1, 1) < _RECOLOURED, swapped, styles)


def _rendered(job: tuple[Rgb, dict[str, Any], int]) -> Rgb:
    photograph, wish, seed = job
    engine = _ENGINES[wish["engine"]]()
    parameters = engine.check(wish["parameters"], wish["name"])
    return engine.apply(_reduced(photograph, LOOK_SIDE, enlarge=True), parameters, seed=seed)


def _reduced(rgb: Rgb, side: int, *, enlarge: bool = False) -> Rgb:
    image = Image.fromarray(rgb)
    scale = side / max(image.size)
    if scale >= 1 and not enlarge:
        return rgb
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))
