"""A style made of one picture, for which nothing is trained: a pack of engine ``reference`` or ``optimise``."""

import hashlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image

from creatives.engines.optimise import Optimise
from creatives.engines.reference import Reference, network_hash
from creatives.errors import CreativeError
from creatives.names import plain
from creatives.packaging import check_new_name, write_pack
from creatives.packs import StylePack, read_pack
from creatives.pictures import load_picture, on_ground
from creatives.previews import preview_of

LARGEST = 1024
"""Pixels of a style's picture kept in its pack, on the longer side."""
PICTURE = "style.webp"
ENGINES = (Reference.name, Optimise.name)
"""Those that need no more than a picture: the first takes a second, the second minutes."""


def style_of_picture(
    picture: Path, packs: Path, *, name: str, look: str, author: str, engine: str = Reference.name
) -> StylePack:
    """Make of a painting, print or mood board a style that can be used straight away.

    Raises:
        CreativeError: for a name that is taken, a file that is no picture, another engine than ENGINES, or one whose
            weights are missing.
        OSError: for a full disk; nothing is left behind.
    """
    check_new_name(name, packs)
    needed: dict[str, str] = {}
    preview: Callable[[StylePack], Image.Image] = preview_of
    if engine == Optimise.name:
        from creatives.neural.vgg import eye_hash, vgg_at_hand

        needed |= {} if vgg_at_hand() else {"eye": eye_hash()}
        preview = partial(preview_of, quick=True)
    elif engine == Reference.name:
        needed["network"] = network_hash()
    else:
        raise CreativeError(f"{engine!r} makes no style of a picture alone: it may be {' or '.join(ENGINES)}")
    image = Image.fromarray(on_ground(load_picture(picture)))
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "WEBP", lossless=True)
    data = encoded.getvalue()
    parameters = {"picture": PICTURE, "picture_sha256": hashlib.sha256(data).hexdigest(), **needed}
    folder = write_pack(
        packs / name, name=name, look=look, engine=engine, parameters=parameters, weights=None,
        licence="as the picture's", author=author, made=f"The likeness of {plain(picture.name)}; nothing was trained.",
        preview=preview, files={PICTURE: data},
    )  # fmt: skip
    return read_pack(folder)


def look_of(picture: Path, engine: str) -> str:
    """What such a style is said to look like before somebody says it better."""
    takes = "colours and the strokes" if engine == Optimise.name else "colours and the light"
    return f"The {takes} of {plain(picture.stem)[:100]}."
