"""The brand's part of an advertisement: its logo made ready, and its colours given their roles."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from creatives.briefs import Colours
from creatives.contrast import GRAPHICS, TEXT, Colour, contrast, contrasts
from creatives.errors import CreativeError
from creatives.pictures import Picture

_LONGEST_LOGO = 1024
_BRIGHT = 0.45
"""Mean relative luminance from which a picture calls for a light ground; white is 1, middle grey 0.22."""
_INDIFFERENT = 0.1
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Logo:
    """A logo trimmed to what is visible, RGBA. Without transparency it stands on a plate of its own colour."""

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


def ready_logo(picture: Picture) -> Logo:
    """The logo trimmed; one that is all opaque gets a plate with round corners in the colour of its edge."""
    if picture.alpha is None or picture.alpha.min() == 255:
        return _on_plate(picture)
    rgba = Image.fromarray(np.dstack([picture.rgb, picture.alpha]), "RGBA")
    box = rgba.getchannel("A").point(lambda value: 255 if value > 8 else 0).getbbox()
    if box is None:
        raise CreativeError("the logo is wholly transparent; give one that can be seen")
    rgba = rgba.crop(box)
    rgba.thumbnail((_LONGEST_LOGO, _LONGEST_LOGO), Image.Resampling.LANCZOS)
    return Logo(rgba, None)


def _on_plate(picture: Picture) -> Logo:
    edge = np.concatenate([picture.rgb[0], picture.rgb[-1], picture.rgb[:, 0], picture.rgb[:, -1]])
    red, green, blue = (int(value) for value in np.median(edge, axis=0))
    inked = np.abs(picture.rgb.astype(np.int16) - (red, green, blue)).max(axis=-1) > 24
    box = Image.fromarray(inked).getbbox()
    if box is None:
        raise CreativeError("the logo is all of one colour, so that nothing can be seen on it; give another file")
    mark = Image.fromarray(picture.rgb).crop(box)
    mark.thumbnail((_LONGEST_LOGO, _LONGEST_LOGO), Image.Resampling.LANCZOS)
    padding = round(0.3 * mark.height)
    plate = Image.new("RGB", (mark.width + 2 * padding, mark.height + 2 * padding), (red, green, blue))
    plate.paste(mark, (padding, padding))
    plate.putalpha(round_mask(plate.width, plate.height, 0.2 * plate.height))
    return Logo(plate, (red, green, blue))


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
    """From -1 (the logo reads only on ink) over 0 (on both) to 1 (only on paper)."""
    if logo.plate is not None:  # it brings its own ground; the nearer one disturbs less
        return 1.0 if contrast(logo.plate, paper) < contrast(logo.plate, ink) else -1.0
    pixels = np.asarray(logo.image)
    visible = pixels[pixels[..., 3] >= min(128, int(pixels[..., 3].max()))][:, :3]
    return _readable_share(paper, visible) - _readable_share(ink, visible)


def _readable_share(ground: Colour, visible: np.ndarray) -> float:
    return float((contrasts(ground, visible) >= GRAPHICS).mean())


def round_mask(width: int, height: int, radius: float, finer: int = 4) -> Image.Image:
    """An 8-bit mask of a box with round corners, drawn ``finer`` times as large so that its edge is smooth."""
    mask = Image.new("L", (width * finer, height * finer), 0)
    box = (0, 0, width * finer - 1, height * finer - 1)
    ImageDraw.Draw(mask).rounded_rectangle(box, radius * finer, fill=255)
    return mask.resize((width, height), Image.Resampling.BOX)
