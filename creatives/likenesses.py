"""A style made of one picture, at once: a pack of engine ``reference``."""

import hashlib
import io
from pathlib import Path

from PIL import Image

from creatives.engines.reference import Reference, network_hash
from creatives.names import plain
from creatives.packaging import check_new_name, write_pack
from creatives.packs import StylePack, read_pack
from creatives.pictures import load_picture
from creatives.previews import preview_of

LARGEST = 1024
"""Pixels of a style's picture kept in its pack, on the longer side."""
PICTURE = "style.webp"


def style_of_picture(picture: Path, packs: Path, *, name: str, look: str, author: str) -> StylePack:
    """Make of a painting, print or mood board a style that can be used straight away.

    Raises:
        CreativeError: for a name that is taken, or a file that is no picture.
        OSError: for a full disk; nothing is left behind.
    """
    check_new_name(name, packs)
    image = Image.fromarray(load_picture(picture).rgb)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "WEBP", lossless=True)
    data = encoded.getvalue()
    parameters = {
        "picture": PICTURE, "picture_sha256": hashlib.sha256(data).hexdigest(), "network": network_hash(),
    }  # fmt: skip
    folder = write_pack(
        packs / name, name=name, look=look, engine=Reference.name, parameters=parameters, weights=None,
        licence="as the picture's", author=author, made=f"The likeness of {plain(picture.name)}; nothing was trained.",
        preview=preview_of, files={PICTURE: data},
    )  # fmt: skip
    return read_pack(folder)


def look_of(picture: Path) -> str:
    """What such a style is said to look like before somebody says it better."""
    return f"The colours and the light of {plain(picture.stem)[:100]}."
