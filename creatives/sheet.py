"""Contact sheets: every look on every photograph, labelled."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from creatives.checks import SEED
from creatives.fonts import load_face
from creatives.packs import Look
from creatives.pictures import Picture

PAPER, INK, GAP, SEAM = "#ffffff", "#1a1a1e", 14, 4
"""The gap stands between looks, the seam between the pictures of one."""
JUDGED = 640
"""Longest side at which photographs are styled: strokes belong to the size of an advertisement, not of a tile."""
SMALLEST = 8
"""Pixels of type below which nobody reads it."""


def contact_sheet(
    looks: Sequence[Look], pictures: Sequence[Picture], *, tile: int, columns: int | None = None
) -> Image.Image:
    """Every look under its name, on all pictures side by side and of one height.

    ``tile`` is the longest side of a tile in pixels; ``columns`` looks stand in a row: by default four where there is
    one picture, and one where there are several.
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
    judged = [np.array(_within(paper, max(JUDGED, tile))) for paper in papers]
    for index, look in enumerate(looks):
        down, right = divmod(index, across)
        left, top = GAP + right * (width + GAP), GAP + down * (row + GAP)
        face = _fitting(look.reference, label, width)
        pen.text((left, top + label // 3), look.reference, font=face, fill=INK)
        for rgb, photo, place in zip(judged, small, lefts, strict=False):
            styled = Image.fromarray(look.apply(rgb, seed=SEED)).resize(photo.size, Image.Resampling.LANCZOS)
            sheet.paste(styled, (left + place, top + label * 2))
    return sheet


def _within(image: Image.Image, side: int) -> Image.Image:
    """No longer than ``side``; nothing is made larger."""
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


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
