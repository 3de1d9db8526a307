"""Loading pictures that people hand in: any of the usual formats, any colour space, safely, as upright 8-bit sRGB."""

import difflib
import io
import os
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from creatives.errors import CreativeError
from creatives.kinds import no_file

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
MEGA = 1_000_000
WORKING_SIDE = 1280
"""Pictures are styled at this longer side whatever slots are asked for, so that one slot's bytes depend on no other."""

LEAST_SIDE = 64
"""Pixels of a photograph's shorter side, also at the working size: of less, enlarged, nobody makes out a product."""
_LONGEST = WORKING_SIDE // LEAST_SIDE
"""How many times as long as the other a side may be therefore."""

Rgb = NDArray[np.uint8]


class PictureError(CreativeError):
    """A file that cannot be used as a picture; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may be before it is decoded: a small file can claim to be gigabytes of pixels."""

    bytes: int = 64 * 1024 * 1024
    pixels: int = 50 * MEGA
    side: int = 20_000


@dataclass(frozen=True, slots=True)
class Picture:
    """Upright pixels: ``rgb`` is ``(height, width, 3)`` uint8 sRGB, ``alpha`` ``(height, width)`` uint8 or None."""

    rgb: Rgb
    alpha: NDArray[np.uint8] | None = None


def on_ground(picture: Picture, ground: tuple[int, int, int] = (255, 255, 255)) -> Rgb:
    """A cut-out stands on the ground: engines must not see what its file holds under transparency."""
    if picture.alpha is None:
        return picture.rgb
    cover = picture.alpha[..., None].astype(np.float32) / 255
    return (picture.rgb * cover + np.array(ground, np.float32) * (1 - cover) + 0.5).astype(np.uint8)


def at_working_size(rgb: Rgb) -> Rgb:
    """``(height, width, 3)``, made larger or smaller to ``WORKING_SIDE``: a style's strokes are so many pixels wide."""
    image = Image.fromarray(rgb)
    scale = WORKING_SIDE / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def load_picture(path: Path, limits: Limits = Limits()) -> Picture:
    """The picture in a file.

    EXIF orientation is applied, an embedded profile is converted to sRGB, 16-bit samples are scaled, CMYK is separated,
    transparency is kept apart, and of an animation the first frame is taken.

    Raises:
        PictureError: for whatever is no picture, is cut short, or is larger than ``limits``.
    """
    data = _read(path, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # damage that a refusal names, or that does no harm
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = int((re.findall(r"\d{6,}", str(error)) or ["0"])[0])
        raise _too_large(path, f"{pixels / MEGA:,.0f} million pixels", limits) from None
    except UnidentifiedImageError:
        raise PictureError(f"{path} is no picture we read; save it as {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise PictureError(f"{path} cannot be read as a picture ({error}); export it again") from None
    width, height = image.size
    if width * height > limits.pixels or max(width, height) > limits.side:
        raise _too_large(path, f"{width:,} x {height:,} pixels", limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            image.seek(0)
            image.load()
            return _decode(image)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError) as error:
        raise PictureError(f"{path} is damaged or cut short ({error}); get the whole file again") from None


def load_photograph(path: Path) -> Picture:
    """The picture in a file, to be styled.

    Raises:
        PictureError: as `load_picture`, and for what is too small or too narrow to show anything.
    """
    picture = load_picture(path)
    height, width = picture.rgb.shape[:2]
    if min(width, height) < LEAST_SIDE or max(width, height) > _LONGEST * min(width, height):
        raise PictureError(
            f"{path} is {width:,} x {height:,} pixels; a photograph needs at least {LEAST_SIDE} a side, and the longer "
            f"side at most {_LONGEST} times the shorter: give a larger one"
        )
    return picture


def _read(path: Path, limits: Limits) -> bytes:
    try:
        return _read_file(path, limits)
    except OSError as error:  # a name that is too long, a folder that may not be looked into, a disk that fails
        raise PictureError(f"{path} cannot be read ({(error.strerror or str(error)).lower()})") from None


def _read_file(path: Path, limits: Limits) -> bytes:
    if kind := no_file(path):
        raise PictureError(f"{path} is {kind}; name {'the picture in it' if path.is_dir() else 'a picture'}")
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [each.name for each in path.parent.glob("*")], n=1)
        raise PictureError(f"there is no picture {path}" + (f"; did you mean {near[0]!r}?" if near else ""))
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(limits.bytes + 1) if 0 < size <= limits.bytes else b""  # of no size are a system's pipes
    except PermissionError:
        raise PictureError(f"{path} may not be read by you; change its permissions") from None
    size = max(size, len(data))  # it may grow while it is read
    if size > limits.bytes:
        raise PictureError(
            f"{path} has {size / MEGA:,.0f} MB, the limit is {limits.bytes / MEGA:,.0f}; make it smaller"
        )
    if not data:
        raise PictureError(f"{path} is empty; export it again")
    return data


def _too_large(path: Path, claims: str, limits: Limits) -> PictureError:
    return PictureError(
        f"{path} claims {claims}; the limit is {limits.pixels / MEGA:,.0f} million pixels and "
        f"{limits.side:,} a side: make it smaller"
    )


def _decode(image: Image.Image) -> Picture:
    upright = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if upright.mode.startswith(("I", "F")):
        return Picture(_from_deep_grey(upright))
    if upright.mode == "P" or "transparency" in upright.info:
        upright = upright.convert("RGBA")
    alpha = None
    if upright.mode in ("RGBA", "LA", "PA"):
        alpha = np.asarray(upright.getchannel("A"))
        upright = upright.convert("RGB" if upright.mode != "LA" else "L")
        alpha = None if alpha.min() == 255 else alpha
    return Picture(np.asarray(_to_srgb(upright, profile)), alpha)


def _from_deep_grey(image: Image.Image) -> Rgb:
    """16 bits a sample: Pillow's own conversion to 8 bits clips, so white would be all that is not black."""
    samples = np.asarray(image)
    if samples.dtype.kind == "f":
        samples = np.nan_to_num(samples, nan=0.0)
        scaled = np.clip(samples, 0, 1) * 255 if samples.max() <= 1 else np.clip(samples, 0, 255)
    else:
        scaled = np.clip(samples.astype(np.int64), 0, 65_535) / 257
    grey = np.round(scaled).astype(np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken or foreign profile: the plain reading below is what every viewer falls back to
        else:
            if converted is not None:
                return converted
    return image.convert("RGB")
