"""The finished advertisement: the picture layer cut to the slot, and everything else drawn on top, unstyled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from creatives.brand import Logo, Theme, Type, legibility, logo_on, round_mask, theme_for, type_of
from creatives.briefs import Brief, Region
from creatives.contrast import Colour, contrasts, luminance, mixed
from creatives.focus import salient_point
from creatives.fonts import Face
from creatives.layout import Block, Box, Content, Faces, Layout, lay_out
from creatives.scrim import behind, covered, weakest_readable
from creatives.slots import Slot

_LARGE, _FINER = 48, 4
"""Type below this size is drawn finer and reduced: at its own size its letters would be spaced in whole pixels."""
_BORDER = 0.3
"""How much of the text's colour is in the hairline around display advertisements."""


@dataclass(frozen=True, slots=True)
class Composition:
    """A finished advertisement and what was measured while it was made."""

    image: Image.Image
    """RGB, the slot's size."""
    contrasts: Mapping[str, float]
    """The worst contrast ratio of each text with the pixels behind it."""
    scrim: float
    """How much earlier than it would the picture had to end for the text to be read, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Direction:
    """What all arms and slots of a brief share, decided once from its original picture and its logo."""

    theme: Theme
    logo: Logo | None
    logo_contrast: float | None
    """What half of the logo reaches with what it stands on."""
    focus: tuple[float, float]
    """What a crop keeps, in fractions of the picture's width and height."""


def direct(brief: Brief, original: NDArray[np.uint8], logo: Logo | None) -> Direction:
    """The focus a brief names, or the middle of what it protects, or what strikes the eye; and the brand's theme."""
    if brief.focus:
        focus = (brief.focus.x, brief.focus.y)
    elif brief.protect:
        focus = (
            (min(region.left for region in brief.protect) + max(region.right for region in brief.protect)) / 2,
            (min(region.top for region in brief.protect) + max(region.bottom for region in brief.protect)) / 2,
        )
    else:
        focus = salient_point(original)
    theme = theme_for(brief.colours, logo, float(luminance(original).mean()))
    if logo is None:
        return Direction(theme, None, None, focus)
    logo = logo_on(logo, theme.ground)
    return Direction(theme, logo, round(legibility(logo, theme.ground), 3), focus)


def compose(picture: NDArray[np.uint8], brief: Brief, slot: Slot, direction: Direction) -> Composition:
    """``picture`` (height, width, 3), already styled, as the advertisement of ``brief`` in ``slot``.

    ``direction`` comes from the unstyled picture, so that all arms are cut and coloured alike.

    Raises:
        NoRoom: when a text cannot be set legibly in this slot.
        FontError: when the font lacks a character.
    """
    type_, logo = type_of(brief.font, brief.headline, brief.call_to_action, brief.legal), direction.logo
    height, width = picture.shape[:2]
    content = Content(brief.headline, brief.call_to_action, brief.legal, logo.aspect if logo else None, width / height)
    layout = lay_out(slot, content, Faces(type_.headline, type_.button, type_.legal))
    theme = direction.theme

    canvas = Image.new("RGB", (slot.width, slot.height), theme.ground)
    cut = crop_box((width, height), layout.picture, layout.clear, direction.focus)
    size = round(layout.picture.width), round(layout.picture.height)
    layer = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, box=cut, reducing_gap=3.0)
    canvas.paste(layer, (round(layout.picture.left), round(layout.picture.top)))
    pixels = np.asarray(canvas)
    texts = {"headline": layout.headline.box} | ({"legal": layout.legal.box} if layout.legal else {})
    # What is dark enough for text is dark enough for the logo, whose ground was chosen with it.
    places = [*texts.values(), *([layout.logo] if layout.logo else [])]
    strength = weakest_readable(pixels, theme.ground, theme.text, layout.fade, places)
    pixels = covered(pixels, theme.ground, layout.fade, strength)
    measured = {name: _worst(theme.text, pixels, box) for name, box in texts.items()}

    canvas = Image.fromarray(pixels)
    _draw_button(canvas, layout.button, theme)
    measured["call_to_action"] = _worst(theme.label, np.asarray(canvas), layout.button_text.box)
    _draw_texts(canvas, layout, type_, theme)
    if logo and layout.logo:
        _draw_logo(canvas, logo, layout.logo)
    if slot.border:
        edge = (0, 0, slot.width - 1, slot.height - 1)
        ImageDraw.Draw(canvas).rectangle(edge, outline=mixed(theme.ground, theme.text, _BORDER))
    return Composition(canvas, measured, strength)


def crop_box(
    picture: tuple[int, int], target: Box, clear: Box, focus: tuple[float, float]
) -> tuple[float, float, float, float]:
    """The part of a (width, height) picture that fills ``target``, its ``focus`` near the middle of the ``clear``
    part of it."""
    scale = max(target.width / picture[0], target.height / picture[1])
    edges = []
    for side, length, middle, point in (
        (picture[0], target.width, (clear.left + clear.right) / 2 - target.left, focus[0]),
        (picture[1], target.height, (clear.top + clear.bottom) / 2 - target.top, focus[1]),
    ):
        taken = min(length / scale, side)
        edges.append((min(max(point * side - middle / scale, 0), side - taken), taken))
    (left, across), (top, down) = edges
    return left, top, left + across, top + down


def restore_protected(
    styled: NDArray[np.uint8], original: NDArray[np.uint8], regions: Sequence[Region]
) -> NDArray[np.uint8]:
    """``styled`` with the protected regions of ``original`` put back; outside them the style returns softly.

    Both are (height, width, 3). Inside a region every pixel is the original's.
    """
    if not regions:
        return styled
    height, width = styled.shape[:2]
    feather = max(0.025 * min(height, width), 1.0)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    mask = np.zeros((height, width), np.float32)
    for region in regions:
        beyond_x = np.maximum(np.maximum(region.left * width - x, x - region.right * width), 0)
        beyond_y = np.maximum(np.maximum(region.top * height - y, y - region.bottom * height), 0)
        near = np.clip(1 - np.hypot(beyond_x[None, :], beyond_y[:, None]) / feather, 0, 1)
        mask = np.maximum(mask, near * near * (3 - 2 * near))
    blend = styled + (original.astype(np.float32) - styled) * mask[..., None]
    return (blend + 0.5).astype(np.uint8)


def _worst(colour: Colour, pixels: NDArray[np.uint8], box: Box) -> float:
    return round(float(contrasts(colour, behind(pixels, box)).min()), 3)


def _draw_button(canvas: Image.Image, box: Box, theme: Theme) -> None:
    # Whole pixels: a button's straight edges must not be smeared over two.
    left, top = round(box.left), round(box.top)
    width, height = round(box.width), round(box.height)
    canvas.paste(theme.button, (left, top, left + width, top + height), round_mask(width, height, 0.26 * height))


def _draw_texts(canvas: Image.Image, layout: Layout, type_: Type, theme: Theme) -> None:
    _draw_block(canvas, layout.headline, type_.headline, theme.text, hang=True)
    _draw_block(canvas, layout.button_text, type_.button, theme.label, hang=False)
    if layout.legal:
        _draw_block(canvas, layout.legal, type_.legal, theme.text, hang=True)


def _draw_block(canvas: Image.Image, block: Block, face_: Face, colour: Colour, *, hang: bool) -> None:
    """With ``hang`` the ink of each line, not its advance box, begins at the margin: optical alignment."""
    finer = _FINER if block.size < _LARGE else 1
    font = face_.at(block.size * finer)
    for line in block.lines:
        bearing = face_.bearing(line.text) * block.size if hang and block.direction != "rtl" else 0.0
        left, top, right, bottom = font.getbbox(line.text, anchor="ls", direction=block.direction)
        # The mask begins on a whole pixel of the canvas; what remains of the position is set inside it.
        x, y = line.x - bearing, line.baseline
        x0, y0 = floor(x + left / finer), floor(y + top / finer)
        width, height = ceil(x + right / finer) + 1 - x0, ceil(y + bottom / finer) + 1 - y0
        mask = Image.new("L", (width * finer, height * finer), 0)
        at = (x - x0) * finer, (y - y0) * finer
        ImageDraw.Draw(mask).text(at, line.text, font=font, fill=255, anchor="ls", direction=block.direction)
        canvas.paste(colour, (x0, y0, x0 + width, y0 + height), mask.reduce(finer))


def _draw_logo(canvas: Image.Image, logo: Logo, box: Box) -> None:
    size = max(round(box.width), 1), max(round(box.height), 1)
    # Transparent pixels carry colours of their own, which must not bleed into the edge: scale premultiplied.
    small = logo.image.convert("RGBa").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).convert("RGBA")
    canvas.paste(small, (round(box.left), round(box.top)), small)
