"""Contact sheets: every look on every photograph, labelled."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from creatives.checks import SEED
from creatives.fonts import load_face
from creatives.packs import Look
from creatives.pictures import Picture

PAPER, INK, GAP = "#ffffff", "#1a1a1e", 14


def contact_sheet(looks: Sequence[Look], pictures: Sequence[Picture], *, tile: int, columns: int = 4) -> Image.Image:
    """A row of tiles a look when there are several pictures; rows of ``columns`` looks for one picture.

    ``tile`` is the longest side of a tile in pixels.
    """
    small = [_fitted(picture, tile) for picture in pictures]
    cells = [(look, photo) for look in looks for photo in small]
    across = len(small) if len(small) > 1 else min(columns, len(cells))
    width = max(photo.shape[1] for photo in small)
    height = max(photo.shape[0] for photo in small)
    label = max(tile // 11, 14)
    row = height + label * 2
    rows = -(-len(cells) // across)
    sheet = Image.new("RGB", (across * (width + GAP) + GAP, rows * (row + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    face = load_face("sans", "SemiBold", label)
    for index, (look, photo) in enumerate(cells):
        x = GAP + index % across * (width + GAP)
        y = GAP + index // across * (row + GAP)
        sheet.paste(Image.fromarray(look.apply(photo, seed=SEED)), (x, y))
        pen.text((x, y + photo.shape[0] + label // 3), look.reference, font=face, fill=INK)
    return sheet


def _fitted(picture: Picture, tile: int) -> np.ndarray:
    image = Image.fromarray(picture.rgb)
    if picture.alpha is not None:
        ground = Image.new("RGB", image.size, PAPER)
        ground.paste(image, mask=Image.fromarray(picture.alpha))
        image = ground
    image.thumbnail((tile, tile), Image.Resampling.LANCZOS)
    return np.asarray(image)
