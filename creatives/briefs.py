"""The brief: what an advertiser hands in, as a YAML file beside its pictures."""

import re
import unicodedata
from collections.abc import Iterator
from math import floor
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from creatives.brand import ready_logo, type_of
from creatives.contrast import TEXT, Colour, contrast, parse_colour
from creatives.documents import DocumentError, read_document
from creatives.errors import CreativeError
from creatives.names import CONTROL, one_line
from creatives.pictures import load_picture
from creatives.slots import DEFAULT_SLOTS, find_slot


def _plain_name(text: str) -> str:
    if re.search(r"[/\\]", text) or CONTROL.search(text) or text.strip(".") == "":
        raise ValueError("is a name: it must not hold / or \\ or control characters")
    return text


def _web_address(text: str) -> str:
    address = urlsplit(text)
    try:
        port = address.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("names a port that is none: give one from 1 to 65535, or none at all")
    if address.scheme not in ("http", "https") or not address.hostname or CONTROL.search(text) or " " in text:
        raise ValueError("must be a complete http:// or https:// address")
    if address.username is not None:
        raise ValueError("holds a user's name or password (before @), which everybody would see: leave them out")
    return text


_UNSEEN = ("Cc", "Cf", "Cn", "Mn", "Me", "Zl", "Zp", "Zs")
"""Unicode categories of what draws nothing of its own."""


def _visible_line(text: str) -> str:
    text = one_line(text)
    if all(unicodedata.category(character) in _UNSEEN for character in text):
        raise ValueError("holds nothing that can be seen")
    return text


def _hex_colour(text: Any) -> Any:
    if not isinstance(text, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError('must be a colour in quotes, as "#14171f"')  # without them YAML sees a comment
    return text


def _language(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", text):
        raise ValueError("must be a language's code, as en or pt-BR (BCP 47)")
    return text


def _known_slot(name: str) -> str:
    try:
        return find_slot(name).name
    except CreativeError as error:
        raise ValueError(str(error)) from None


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(_plain_name)
]
HexColour = Annotated[str, BeforeValidator(_hex_colour)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Region(_Strict):
    """A box of the picture, in fractions of its width and height."""

    left: Fraction
    top: Fraction
    right: Fraction
    bottom: Fraction

    @model_validator(mode="after")
    def _has_an_inside(self) -> Self:
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError("left must be less than right and top less than bottom")
        return self


class Point(_Strict):
    """A point of the picture, in fractions of its width and height."""

    x: Fraction
    y: Fraction


class Colours(_Strict):
    """The brand's colours: ``ink`` dark, ``paper`` light, ``accent`` for the button."""

    ink: HexColour = "#14171f"
    paper: HexColour = "#ffffff"
    accent: HexColour = "#ffc83d"

    @model_validator(mode="after")
    def _readable(self) -> Self:
        ratio = contrast(parse_colour(self.ink), parse_colour(self.paper))
        if ratio < TEXT:
            shown = floor(ratio * 10) / 10  # 4.48 must not read as the 4.5 that it misses
            raise ValueError(f"ink on paper has a contrast of {shown}; text needs {TEXT} (WCAG AA)")
        return self

    def rgb(self, name: str) -> Colour:
        """One of the three as numbers."""
        return parse_colour(getattr(self, name))


class Brief(_Strict):
    """One concept of one campaign, to be shown in many styles and sizes."""

    brief: Slug
    """Its name; experiments refer to it."""
    advertiser: Name
    campaign: Name
    concept: Name
    language: Annotated[str, AfterValidator(_language)] = "en"
    """BCP 47."""
    picture: Path
    """The picture layer, the only thing that is styled; relative to the brief's file."""
    headline: Annotated[str, AfterValidator(_visible_line), Field(min_length=1, max_length=90)]
    """A soft hyphen (U+00AD) tells where a long word may be divided."""
    call_to_action: Annotated[str, AfterValidator(_visible_line), Field(min_length=1, max_length=30)]
    logo: Path | None = None
    legal: Annotated[str, AfterValidator(_visible_line), Field(min_length=1, max_length=200)] | None = None
    landing_url: Annotated[str, AfterValidator(_web_address), Field(max_length=2000)]
    slots: Annotated[tuple[Annotated[str, AfterValidator(_known_slot)], ...], Field(min_length=1)] = DEFAULT_SLOTS
    mask: Path | None = None
    """How far each part of the picture is styled: a picture of the same shape, white where fully, black where not."""
    protect: tuple[Region, ...] = ()
    """Parts of the picture that no style may touch, whatever the mask says."""
    focus: Point | None = None
    """What a crop must keep; the protected parts, or else what strikes the eye, where it is not given."""
    colours: Colours = Colours()
    font: str = "sans"
    """``sans``, ``serif``, or a .ttf or .otf file, relative to the brief's file."""


def load_brief(path: Path) -> Brief:
    """The brief in the YAML file at ``path``, its paths made absolute.

    Raises:
        DocumentError: one line for each problem: wrong key or value, picture, mask, logo or font that is not there, a
            logo or font that cannot be used.
    """
    brief = read_document(path, Brief)
    folder = path.resolve().parent
    found: dict[str, Path] = {"picture": folder / brief.picture}
    if brief.mask is not None:
        found["mask"] = folder / brief.mask
    if brief.logo is not None:
        found["logo"] = folder / brief.logo
    if brief.font not in ("sans", "serif"):
        found["font"] = folder / brief.font
    missing = [f"{path}: {key}: there is no file {file}" for key, file in found.items() if not file.is_file()]
    if missing:
        raise DocumentError(missing)
    brief = brief.model_copy(update={**found, "font": str(found.get("font", brief.font))})
    # Told here, and not once a style has taken its time.
    unusable = [f"{path}: {key}: {error}" for key, error in _unusable(brief)]
    if unusable:
        raise DocumentError(unusable)
    return brief


def _unusable(brief: Brief) -> Iterator[tuple[str, CreativeError]]:
    try:
        if brief.logo is not None:
            ready_logo(load_picture(brief.logo))
    except CreativeError as error:
        yield "logo", error
    try:
        type_of(brief.font, brief.headline, brief.call_to_action, brief.legal)
    except CreativeError as error:
        yield "font", error
