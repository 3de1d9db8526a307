"""Contact sheets: every look on every photograph, labelled."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from creatives.checks import SEED
from creatives.fonts import load_face
from creatives.packs import Look
from creatives.pictures import Picture

PAPER, INK, GAP = "#ffffff", "#1a1a1e", 14
SMALLEST = 8
"""Pixels of type below which nobody reads it."""


def contact_sheet(looks: Sequence[Look], pictures: Sequence[Picture], *, tile: int, columns: int = 4) -> Image.Image:
    """A row of tiles a look, under its name, for several pictures; rows of ``columns`` looks for one picture.

    ``tile`` is the longest side of a tile in pixels.
    """
    small = [_fitted(picture, tile) for picture in pictures]
    several = len(small) > 1
    across = len(small) if several else min(columns, len(looks))
    width, height = (max(photo.shape[axis] for photo in small) for axis in (1, 0))
    label = max(tile // 11, 14)
    row = label * 2 + height
    rows = len(looks) if several else -(-len(looks) // across)
    sheet = Image.new("RGB", (across * (width + GAP) + GAP, rows * (row + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, look in enumerate(looks):
        down, first = (index, 0) if several else divmod(index, across)
        left, top = GAP + first * (width + GAP), GAP + down * (row + GAP)
        room = sheet.width - GAP - left if several else width
        pen.text((left, top + label // 3), look.reference, font=_fitting(look.reference, label, room), fill=INK)
        for place, photo in enumerate(small):
            styled = Image.fromarray(look.apply(photo, seed=SEED))
            sheet.paste(styled, (left + place * (width + GAP), top + label * 2))
    return sheet


def _fitting(text: str, size: int, room: int) -> FreeTypeFont:
    """The face in which the text goes into the room, no larger than ``size``."""
    face = load_face("sans", "SemiBold", size)
    while face.getlength(text) > room and size > SMALLEST:
        size -= 1
        face = load_face("sans", "SemiBold", size)
    return face


def _fitted(picture: Picture, tile: int) -> np.ndarray:
    image = Image.fromarray(picture.rgb)
    if picture.alpha is not None:
        ground = Image.new("RGB", image.size, PAPER)
        ground.paste(image, mask=Image.fromarray(picture.alpha))
        image = ground
    image.thumbnail((tile, tile), Image.Resampling.LANCZOS)
    return np.asarray(image)
