"""The brand's part of an advertisement: its logo and type made ready, and its colours given their roles."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import label

from creatives.contrast import GRAPHICS, LOGO, TEXT, Colour, contrast, contrasts
from creatives.errors import CreativeError
from creatives.fonts import Face, face
from creatives.pictures import Picture

_LONGEST_LOGO, _LEAST_LOGO = 1024, 16
"""Pixels of the longer side of what shows."""
_SOLID = 128
"""Of 255: what is less opaque is a logo's soft edge, unless all of it is."""
_INKED = 24
"""Levels from the plate at which a pixel belongs to the mark."""
_LITTLE, _HARDLY = 0.1, 0.2
"""The share of a logo that may be lost on its ground, in parts of which hardly anything is seen."""
_BRIGHT = 0.45
"""Mean relative luminance from which a picture calls for a light ground; white is 1, middle grey 0.22."""
_INDIFFERENT = 0.1
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_GREY = (118, 118, 118)
"""Both black and white read on it."""


@dataclass(frozen=True, slots=True)
class Logo:
    """A logo trimmed to what is visible, RGBA. Without transparency it stands on a plate of its own colour; one that
    would be lost on the ground on a plate on which it reads."""

    image: Image.Image
    plate: Colour | None

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.image.width / self.image.height


@dataclass(frozen=True, slots=True)
class Theme:
    """The brand's colours in their roles."""

    ground: Colour
    text: Colour
    button: Colour
    label: Colour


@dataclass(frozen=True, slots=True)
class Type:
    """The brand's three faces."""

    headline: Face
    button: Face
    legal: Face


class Colours(Protocol):
    """The brand's colours by name: ``ink`` dark, ``paper`` light, ``accent`` for the button."""

    def rgb(self, name: str) -> Colour:
        """One of the three as numbers."""


def type_of(font: str, headline: str, call_to_action: str, legal: str | None) -> Type:
    """The faces of a brief's font, in which these texts are to be set.

    Raises:
        FontError: where it is none, or lacks a character of the texts.
    """
    type_ = Type(face(font, "Bold"), face(font, "SemiBold"), face(font, "Regular"))
    type_.headline.check(headline, "headline")
    type_.button.check(call_to_action, "call to action")
    type_.legal.check(legal or "", "legal text")
    return type_


def ready_logo(picture: Picture) -> Logo:
    """The logo trimmed; one that is all opaque gets a plate with round corners in the colour of its edge."""
    if picture.alpha is None or picture.alpha.min() == 255:
        return _on_plate(picture)
    rgba = Image.fromarray(np.dstack([picture.rgb, picture.alpha]), "RGBA")
    box = rgba.getchannel("A").point(lambda value: 255 if value > 8 else 0).getbbox()
    if box is None:
        raise CreativeError("the logo is wholly transparent; give one that can be seen")
    return Logo(_trimmed(rgba, box), None)


def _trimmed(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    mark = image.crop(box)
    if max(mark.size) < _LEAST_LOGO:
        raise CreativeError(
            f"the logo shows something on {mark.width} x {mark.height} pixels only; give one that is at least "
            f"{_LEAST_LOGO} wide or high"
        )
    mark.thumbnail((_LONGEST_LOGO, _LONGEST_LOGO), Image.Resampling.LANCZOS)
    return mark


def _on_plate(picture: Picture) -> Logo:
    edge = np.concatenate([picture.rgb[0], picture.rgb[-1], picture.rgb[:, 0], picture.rgb[:, -1]])
    red, green, blue = (int(value) for value in np.median(edge, axis=0))
    inked = np.abs(picture.rgb.astype(np.int16) - (red, green, blue)).max(axis=-1) > _INKED
    box = Image.fromarray(inked).getbbox()
    if box is None:
        raise CreativeError("the logo is all of one colour, so that nothing can be seen on it; give another file")
    return _plated(_trimmed(Image.fromarray(picture.rgb).convert("RGBA"), box), (red, green, blue))


def _plated(mark: Image.Image, colour: Colour) -> Logo:
    padding = round(0.3 * mark.height)
    plate = Image.new("RGB", (mark.width + 2 * padding, mark.height + 2 * padding), colour)
    plate.paste(mark, (padding, padding), mark)
    plate.putalpha(round_mask(plate.width, plate.height, 0.2 * plate.height))
    return Logo(plate, colour)


def logo_on(logo: Logo, ground: Colour) -> Logo:
    """The logo as it may stand on the ground: as it is or, where some of it would be lost, on a plate."""
    if logo.plate is not None:
        return logo
    if _lost(logo, ground) <= _LITTLE:
        return logo
    visible = _visible(logo)
    best = min(
        (ground, _WHITE, _BLACK, _GREY), key=lambda under: (_lost(logo, under), -_readable_share(under, visible))
    )
    return logo if best == ground else _plated(logo.image, best)


def _lost(logo: Logo, ground: Colour) -> float:
    """The share of a logo in parts, such as letters, that nobody sees on the ground.

    By parts, because white letters inside a dark badge read on white: what bounds them is the badge.
    """
    pixels = np.asarray(logo.image)
    solid = _solid(pixels)
    parts, _ = label(solid)
    seen = np.bincount(parts[solid], contrasts(ground, pixels[solid][:, :3]) >= LOGO)
    sizes = np.bincount(parts[solid])
    return float(sizes[seen < _HARDLY * sizes].sum() / sizes.sum())


def legibility(logo: Logo, ground: Colour) -> float:
    """The contrast with what lies under it, its plate or the ground, that half of the logo reaches."""
    under = np.array(logo.plate or ground, np.float32)
    pixels = np.asarray(logo.image).astype(np.float32)
    cover = pixels[..., 3:] / 255
    seen = (pixels[..., :3] * cover + under * (1 - cover) + 0.5).astype(np.uint8)
    ink = _solid(pixels) if logo.plate is None else np.abs(seen - under).max(axis=-1) > _INKED
    return float(np.median(contrasts(logo.plate or ground, seen[ink]))) if ink.any() else 1.0


def theme_for(colours: Colours, logo: Logo | None, brightness: float) -> Theme:
    """The ground on which the logo reads, or else the one nearer to the picture; a button that stands out on it.

    ``brightness`` is the picture's mean relative luminance, 0 to 1.
    """
    ink, paper = colours.rgb("ink"), colours.rgb("paper")
    leaning = _leaning(logo, ink, paper) if logo else 0.0
    on_paper = leaning > 0 if abs(leaning) > _INDIFFERENT else brightness > _BRIGHT
    ground, text = (paper, ink) if on_paper else (ink, paper)
    accent = colours.rgb("accent")
    button = accent if contrast(accent, ground) >= GRAPHICS else text
    candidates = (ink, paper) if contrast(ink, button) >= contrast(paper, button) else (paper, ink)
    # Black or white reaches 4.5 on every colour; a brand's own tones are preferred where they do too.
    label = next(c for c in (*candidates, _BLACK, _WHITE) if contrast(c, button) >= TEXT)
    return Theme(ground, text, button, label)


def _leaning(logo: Logo, ink: Colour, paper: Colour) -> float:
    """Below 0 where the logo reads better on ink, above where on paper; parts that would be lost count besides."""
    if logo.plate is not None:  # it brings its own ground; the nearer one disturbs less
        return 1.0 if contrast(logo.plate, paper) < contrast(logo.plate, ink) else -1.0
    visible = _visible(logo)
    readable = _readable_share(paper, visible) - _readable_share(ink, visible)
    return readable + _lost(logo, ink) - _lost(logo, paper)


def _visible(logo: Logo) -> NDArray[np.uint8]:
    """The colours, (pixels, 3), of a logo without its soft edges."""
    pixels = np.asarray(logo.image)
    return pixels[_solid(pixels)][:, :3]


def _solid(pixels: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.bool_]:
    return pixels[..., 3] >= min(_SOLID, int(pixels[..., 3].max()))


def _readable_share(ground: Colour, visible: NDArray[np.uint8]) -> float:
    return float((contrasts(ground, visible) >= GRAPHICS).mean())


def round_mask(width: int, height: int, radius: float, finer: int = 4) -> Image.Image:
    """An 8-bit mask of a box with round corners, drawn ``finer`` times as large so that its edge is smooth."""
    mask = Image.new("L", (width * finer, height * finer), 0)
    box = (0, 0, width * finer - 1, height * finer - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius * finer, fill=255)
    return mask.resize((width, height), Image.Resampling.BOX)
