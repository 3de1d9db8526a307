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
JUDGED = 640
"""Longest side at which photographs are styled: strokes belong to the size of an advertisement, not of a tile."""
SMALLEST = 8
"""Pixels of type below which nobody reads it."""


def contact_sheet(looks: Sequence[Look], pictures: Sequence[Picture], *, tile: int, columns: int = 4) -> Image.Image:
    """A row a look, under its name, for several pictures, all of one height; rows of ``columns`` looks for one picture.

    ``tile`` is the longest side of a tile in pixels.
    """
    small = _alike([_on_paper(picture) for picture in pictures], tile)
    several = len(small) > 1
    across = 1 if several else min(columns, len(looks))
    lefts = [sum(photo.width + GAP for photo in small[:place]) for place in range(len(small) + 1)]
    width, label = lefts[-1] - GAP, max(tile // 11, 14)
    row = label * 2 + small[0].height
    rows = -(-len(looks) // across)
    sheet = Image.new("RGB", (across * (width + GAP) + GAP, rows * (row + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, look in enumerate(looks):
        down, right = divmod(index, across)
        left, top = GAP + right * (width + GAP), GAP + down * (row + GAP)
        face = _fitting(look.reference, label, width)
        pen.text((left, top + label // 3), look.reference, font=face, fill=INK)
        for photo, place in zip(small, lefts, strict=False):
            styled = Image.fromarray(look.apply(np.array(photo), seed=SEED))
            sheet.paste(styled, (left + place, top + label * 2))
    return sheet


def _alike(pictures: Sequence[Image.Image], tile: int) -> list[Image.Image]:
    """At the one height at which none has a side longer than ``tile``."""
    height = min(tile, *(max(1, round(tile * picture.height / picture.width)) for picture in pictures))
    return [
        picture.resize((max(1, round(height * picture.width / picture.height)), height), Image.Resampling.LANCZOS)
        for picture in pictures
    ]


def _fitting(text: str, size: int, room: int) -> FreeTypeFont:
    """The face in which the text goes into the room, no larger than ``size``."""
    face = load_face("sans", "SemiBold", size)
    while face.getlength(text) > room and size > SMALLEST:
        size -= 1
        face = load_face("sans", "SemiBold", size)
    return face


def _on_paper(picture: Picture) -> Image.Image:
    """A cut-out stands on paper."""
    image = Image.fromarray(picture.rgb)
    if picture.alpha is None:
        return image
    ground = Image.new("RGB", image.size, PAPER)
    ground.paste(image, mask=Image.fromarray(picture.alpha))
    return ground
