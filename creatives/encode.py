"""Finished pictures as files: light enough for their slot, the same bytes every time, holding the picture alone."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from creatives.errors import CreativeError

BEST = 92
"""JPEG quality above which files grow and nobody sees a difference."""
_FINE_COLOUR, _COARSE_COLOUR = 0, 2
"""Pillow's names for 4:4:4 and 4:2:0; text in saturated colours frays under the second."""
_ATTEMPTS = ((_FINE_COLOUR, 70), (_COARSE_COLOUR, 35))
"""Chroma sampling with the quality below which the next one looks better; the last floor is where blocks show."""
_FLAT_COLOURS = 2048
"""Pictures of no more colours than this may be smaller, and are cleaner, as PNG."""
_THUMBNAIL_QUALITY = 80


class TooHeavy(CreativeError):
    """A picture cannot be brought under its slot's limit without visible damage."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file's bytes, its extension, and the JPEG quality (None for PNG)."""

    data: bytes
    extension: str
    quality: int | None


def encode(image: Image.Image, max_bytes: int) -> Encoded:
    """``image`` as the best JPEG of at most ``max_bytes``, or as PNG where that is smaller still.

    8-bit sRGB without metadata or profile, which is what viewers assume of a file that names none.

    Raises:
        TooHeavy: where the lowest acceptable quality is still over the limit.
    """
    image = Image.frombytes("RGB", image.size, image.convert("RGB").tobytes())  # leaves metadata behind
    jpeg = _lightest_acceptable(image, max_bytes)
    if image.getcolors(_FLAT_COLOURS):
        png = _png(image)
        if len(png) <= max_bytes and (jpeg is None or len(png) < len(jpeg.data)):
            return Encoded(png, "png", None)
    if jpeg is None:
        raise TooHeavy(
            f"{image.width}x{image.height}: cannot be brought under {max_bytes / 1000:.0f} KB without visible damage; "
            "use a calmer picture or style"
        )
    return jpeg


def _lightest_acceptable(image: Image.Image, max_bytes: int) -> Encoded | None:
    for sampling, floor in _ATTEMPTS:
        best = _jpeg(image, BEST, sampling)
        if len(best) <= max_bytes:
            return Encoded(best, "jpg", BEST)
        lowest = _jpeg(image, floor, sampling)
        if len(lowest) <= max_bytes:
            return _bisect(image, sampling, floor, lowest, max_bytes)
    return None


def _bisect(image: Image.Image, sampling: int, low: int, data: bytes, max_bytes: int) -> Encoded:
    """The highest quality that fits, knowing that ``low`` does and BEST does not."""
    high = BEST
    while high - low > 1:
        middle = (low + high) // 2
        attempt = _jpeg(image, middle, sampling)
        if len(attempt) <= max_bytes:
            low, data = middle, attempt
        else:
            high = middle
    return Encoded(data, "jpg", low)


def _jpeg(image: Image.Image, quality: int, sampling: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=sampling, optimize=True, progressive=True)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def thumbnail(path: Path, longest: int) -> bytes:
    """The picture at ``path`` as WebP, its longer side at most ``longest`` pixels.

    Raises:
        CreativeError: where it cannot be read.
    """
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except OSError as error:
        raise CreativeError(f"{path}: cannot be read as a picture ({error}); render it again") from None
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=_THUMBNAIL_QUALITY, method=4)
    return buffer.getvalue()
