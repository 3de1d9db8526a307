"""Type: the faces that travel with AdStyle (SIL Open Font License), or a brand's own file.

``sans`` is Manrope, ``serif`` is Source Serif; both come from packages, none is copied into this one.
"""

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Protocol

from PIL import ImageFont, features

from creatives.errors import CreativeError
from creatives.typesetting import direction, has_marks

SANS, SERIF = "sans", "serif"
_FILES = {
    (SANS, "Regular"): ("font_manrope", "Manrope-Regular.ttf"),
    (SANS, "SemiBold"): ("font_manrope", "Manrope-SemiBold.ttf"),
    (SANS, "Bold"): ("font_manrope", "Manrope-Bold.ttf"),
    (SANS, "ExtraBold"): ("font_manrope", "Manrope-ExtraBold.ttf"),
    (SERIF, "Regular"): ("font_source_serif_pro", "SourceSerifPro-Regular.ttf"),
    (SERIF, "SemiBold"): ("font_source_serif_pro", "SourceSerifPro-Semibold.ttf"),
    (SERIF, "Bold"): ("font_source_serif_pro", "SourceSerifPro-Bold.ttf"),
    (SERIF, "ExtraBold"): ("font_source_serif_pro", "SourceSerifPro-Black.ttf"),
}
_REFERENCE = 256
"""The size at which faces are measured: large enough for hinting not to matter."""
_SMALLEST = 8
"""Pixels of type below which nobody reads it."""
_UNASSIGNED = "\U0010fffe"
"""Never a character: what a face draws for it is what it draws for everything it lacks."""
_INVISIBLE = " \u00a0\u00ad\u200b"


class FontError(CreativeError):
    """A font is not there, is none, or lacks a character."""


class Measure(Protocol):
    """What a layout must know of a face; lengths in ems."""

    @property
    def cap_height(self) -> float: ...
    @property
    def descent(self) -> float: ...
    def width(self, text: str) -> float: ...
    def ink(self, text: str) -> tuple[float, float]: ...


class Face:
    """One face of a family, measured in ems (multiples of its size)."""

    def __init__(self, family: str, weight: str) -> None:
        self.family, self.weight = family, weight
        self._reference = load_face(family, weight, _REFERENCE)
        self.cap_height = -self._reference.getbbox("H", anchor="ls")[1] / _REFERENCE
        self.descent = self._reference.getbbox("p", anchor="ls")[3] / _REFERENCE

    def width(self, text: str) -> float:
        """The advance width of ``text``."""
        return self._reference.getlength(text) / _REFERENCE

    def ink(self, text: str) -> tuple[float, float]:
        """How far the ink of ``text`` reaches above its base line and below it, with all its marks."""
        _, top, _, bottom = self._reference.getbbox(text, anchor="ls")
        return -top / _REFERENCE, bottom / _REFERENCE

    def bearing(self, text: str) -> float:
        """The white space before the ink of ``text``, which its first character has; negative where ink overhangs."""
        mask, (left, _) = self._reference.getmask2(text[:1], mode="L", anchor="ls")
        inked = mask.getbbox()
        return (left + (inked[0] if inked else 0)) / _REFERENCE

    def at(self, size: float) -> ImageFont.FreeTypeFont:
        """The face at ``size`` pixels an em."""
        return load_face(self.family, self.weight, size)

    def check(self, text: str, what: str) -> None:
        """Refuse a text that would show empty boxes, or letters in a wrong order or form.

        Raises:
            FontError: naming the characters that the face lacks, or the library that this machine lacks.
        """
        # Pillow itself sets letter after letter; it needs Raqm, and Raqm FriBidi, for scripts that ask for more.
        if (direction(text) or has_marks(text)) and not features.check("raqm"):
            raise FontError(
                f"the {what} is in a script whose letters join, stack or run from right to left, and Pillow finds no "
                "FriBidi on this machine to set it; install FriBidi (Debian: libfribidi0, macOS: brew install fribidi)"
            )
        lacking = [
            character
            for character in dict.fromkeys(text)
            if character not in _INVISIBLE and _lacks(self.family, self.weight, character)
        ]
        if lacking:
            raise FontError(
                f"the font {self.family!r} has no {', '.join(map(repr, lacking))}, which the {what} needs; "
                "name a font file that has it in the brief (font: path/to/font.ttf)"
            )


@cache
def _lacks(family: str, weight: str, character: str) -> bool:
    font = load_face(family, weight, _REFERENCE)
    drawn, nothing = font.getmask(character), font.getmask(_UNASSIGNED)
    return drawn.size == nothing.size and bytes(drawn) == bytes(nothing)


@cache
def face(family: str, weight: str) -> Face:
    """The face of a family (``sans``, ``serif`` or a font file) in a weight, measured once."""
    return Face(family, weight)


def fitting(text: str, weight: str, size: int, room: int) -> ImageFont.FreeTypeFont:
    """The sans in which a name goes into ``room`` pixels, no larger than ``size``."""
    font = load_face(SANS, weight, size)
    while font.getlength(text) > room and size > _SMALLEST:
        size -= 1
        font = load_face(SANS, weight, size)
    return font


@cache
def load_face(family: str, weight: str, size: float) -> ImageFont.FreeTypeFont:
    """A face for Pillow at ``size`` pixels; a font file has the one weight it has.

    Raises:
        FontError: for a family or weight that does not exist, or a file that is no font.
    """
    if (family, weight) in _FILES:
        package, name = _FILES[family, weight]
        with as_file(files(package).joinpath("files", name)) as path:
            return ImageFont.truetype(path, size)
    if family in (SANS, SERIF):
        weights = [known for kin, known in _FILES if kin == family]
        raise FontError(f"the font {family!r} has no weight {weight!r}; it has {', '.join(weights)}")
    if not Path(family).is_file():
        raise FontError(f"the font {family!r} is neither {SANS!r}, {SERIF!r} nor a file that exists")
    try:
        return ImageFont.truetype(family, size)
    except OSError as error:
        raise FontError(f"{family}: is no font that can be read ({error}); give a .ttf or .otf file") from None
