"""Contact sheets: every look on every photograph, labelled."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageDraw

from creatives.checks import SEED
from creatives.fonts import fitting
from creatives.packs import Look
from creatives.pictures import Picture, at_working_size

PAPER, INK, GAP, SEAM = "#ffffff", "#1a1a1e", 14, 4
"""The gap stands between looks, the seam between the pictures of one."""
_AT_ONCE = 2
"""Looks; each by itself leaves most processors idle."""


def contact_sheet(
    looks: Sequence[Look],
    pictures: Sequence[Picture],
    *,
    tile: int,
    columns: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Image.Image:
    """Every look under its name, on all pictures side by side and of one height, styled as in an advertisement.

    ``tile`` is the longest side of a tile in pixels; ``columns`` looks stand in a row: by default four where there is
    one picture, and one where there are several. ``progress`` is told (looks shown, looks in all).
    """
    papers = [_on_paper(picture) for picture in pictures]
    small = _alike(papers, tile)
    across = min(columns or (1 if len(small) > 1 else 4), len(looks))
    lefts = [sum(photo.width + SEAM for photo in small[:place]) for place in range(len(small) + 1)]
    width, label = lefts[-1] - SEAM, max(tile // 11, 14)
    row = label * 2 + small[0].height
    rows = -(-len(looks) // across)
    sheet = Image.new("RGB", (across * (width + GAP) + GAP, rows * (row + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    judged = [at_working_size(np.array(paper)) for paper in papers]

    def tiles(look: Look) -> list[Image.Image]:
        styled = (Image.fromarray(look.apply(rgb, seed=SEED)) for rgb in judged)
        return [each.resize(photo.size, Image.Resampling.LANCZOS) for each, photo in zip(styled, small, strict=True)]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for index, (look, shown) in enumerate(zip(looks, pool.map(tiles, looks), strict=True)):
            down, right = divmod(index, across)
            left, top = GAP + right * (width + GAP), GAP + down * (row + GAP)
            face = fitting(look.reference, "SemiBold", label, width)
            pen.text((left, top + label // 3), look.reference, font=face, fill=INK)
            for tile_of, place in zip(shown, lefts, strict=False):
                sheet.paste(tile_of, (left + place, top + label * 2))
            if progress is not None:
                progress(index + 1, len(looks))
    return sheet


def _alike(pictures: Sequence[Image.Image], tile: int) -> list[Image.Image]:
    """At the one height at which none has a side longer than ``tile``."""
    height = min(tile, *(max(1, round(tile * picture.height / picture.width)) for picture in pictures))
    return [
        picture.resize((max(1, round(height * picture.width / picture.height)), height), Image.Resampling.LANCZOS)
        for picture in pictures
    ]


def _on_paper(picture: Picture) -> Image.Image:
    """A cut-out stands on paper."""
    image = Image.fromarray(picture.rgb)
    if picture.alpha is None:
        return image
    ground = Image.new("RGB", image.size, PAPER)
    ground.paste(image, mask=Image.fromarray(picture.alpha))
    return ground
