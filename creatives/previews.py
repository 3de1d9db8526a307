"""Pictures of packs, each as an advertisement would have it: on a photograph that comes with scikit-image.

    python -m creatives.previews [STYLE...]

makes those of the packs that come along anew.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from creatives.checks import SEED
from creatives.manifest import write_whole
from creatives.packaging import PREVIEW
from creatives.packs import SHIPPED, Look, StyleLibrary, StylePack, read_pack
from creatives.pictures import at_working_size

SIDE = 480
"""Pixels of the longer side."""


def preview_of(pack: StylePack, *, quick: bool = False) -> Image.Image:
    """A cup of coffee in the pack's style, reduced from the size at which advertisements are styled.

    A ``quick`` one is reduced first, where a style takes minutes a picture.
    """
    from skimage.data import coffee

    photograph = Image.fromarray(coffee() if quick else at_working_size(coffee()))
    if quick:
        photograph.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    image = Image.fromarray(Look(pack.name, ((pack, 1.0, 1.0),)).apply(np.asarray(photograph), seed=SEED))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def write_preview(folder: Path) -> Path:
    """Beside the pack's manifest, in place of an earlier one.

    Raises:
        CreativeError: for a folder that is no pack.
    """
    packed = io.BytesIO()
    preview_of(read_pack(folder)).save(packed, format="WEBP", quality=80, method=6)
    write_whole(folder / PREVIEW, packed.getvalue())
    return folder / PREVIEW


def main(arguments: Sequence[str] | None = None) -> None:
    """Write them, and say where."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("styles", nargs="*", metavar="STYLE")
    for name in options.parse_args(arguments).styles or [pack.name for pack in StyleLibrary().packs()]:
        print(write_preview(SHIPPED / name))  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
