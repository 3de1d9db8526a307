"""The overview of one experiment: every arm with its finished advertisements, for the person who has to say yes."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from creatives.errors import CreativeError
from creatives.fonts import fitting
from creatives.manifest import write_whole

PAPER, INK = "#f4f4f2", "#17171a"
CARD, GAP, LABEL, COLUMNS = 560, 40, 24, 2
"""Width of an arm's card, room between cards, height of its label, in pixels; cards in a row."""
CLOSE = 10
"""Room between the advertisements of one card."""
WIDE = 2.5
"""From this aspect on a slot takes a line of its own."""
QUALITY = 88


def write_overview(arms: Mapping[str, Sequence[Path]], path: Path) -> None:
    """Write the overview as WebP, whole or not at all; ``arms`` maps each arm to its finished files.

    Raises:
        CreativeError: where one of them cannot be read.
    """
    packed = io.BytesIO()
    draw_overview(arms).save(packed, format="WEBP", quality=QUALITY, method=4)
    write_whole(path, packed.getvalue())


def draw_overview(arms: Mapping[str, Sequence[Path]]) -> Image.Image:
    """One card an arm, two to a row, in the order given."""
    cards = [_card(arm, [_open(path) for path in paths]) for arm, paths in arms.items()]
    rows = [cards[start : start + COLUMNS] for start in range(0, len(cards), COLUMNS)]
    heights = [max(card.height for card in row) for row in rows]
    width = GAP + min(COLUMNS, len(cards)) * (CARD + GAP)
    sheet = Image.new("RGB", (width, GAP + sum(heights) + GAP * len(rows)), PAPER)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, card in enumerate(row):
            sheet.paste(card, (GAP + column * (CARD + GAP), top))
        top += height + GAP
    return sheet


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise CreativeError(f"{path}: cannot be read as a picture ({error}); render it again") from None


def _card(arm: str, pictures: Sequence[Image.Image]) -> Image.Image:
    """The label, one line of the squarish slots at a common height, and every wide slot below."""
    lines = [[picture] for picture in pictures if _aspect(picture) >= WIDE]
    squarish = [picture for picture in pictures if _aspect(picture) < WIDE]
    fitted = [_justified(line) for line in ([squarish] if squarish else []) + lines]
    label = LABEL + CLOSE + CLOSE // 2
    height = label + sum(line[0].height + CLOSE for line in fitted) - CLOSE
    card = Image.new("RGB", (CARD, height), PAPER)
    ImageDraw.Draw(card).text((0, 0), arm, font=fitting(arm, "Bold", LABEL, CARD), fill=INK, anchor="lt")
    top = label
    for line in fitted:
        left = 0
        for picture in line:
            card.paste(picture, (left, top))
            left += picture.width + CLOSE
        top += line[0].height + CLOSE
    return card


def _justified(line: Sequence[Image.Image]) -> list[Image.Image]:
    """The pictures of a line at the one height that fills the card's width, but none larger than it is."""
    room = CARD - CLOSE * (len(line) - 1)
    height = min(room / sum(_aspect(picture) for picture in line), *(picture.height for picture in line))
    return [
        picture.resize((max(int(height * _aspect(picture)), 1), max(int(height), 1)), Image.Resampling.LANCZOS)
        for picture in line
    ]


def _aspect(picture: Image.Image) -> float:
    return picture.width / picture.height
