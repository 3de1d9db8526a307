"""How good the strokes are: shipped packs beside the figures reported for other networks, on pictures of 512 px.

    python -m benchmarks.style_quality DIR [--packs FOLDER] [STYLE...]

DIR holds ``paintings/``, ``photos_large/`` and ``weights/`` (VGG-19 to relu3_4 and its distilled sibling, safetensors):
material that does not travel with the repository, which is why `make bench` leaves this out.
"""

import argparse
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from benchmarks.table import Table
from creatives.likenesses import style_of_picture
from creatives.neural.features import Distilled, Vgg19, read_weights
from creatives.neural.measures import Quality, measure
from creatives.packs import ORIGINAL, Look, StyleLibrary
from creatives.training.catalogue import read_catalogue

SIDE, PHOTOGRAPHS = 512, 6
JUDGED = ("great-wave", "scream", "udnie", "shipwreck")
"""Styles for which figures of other networks are known; `reference` was trained without their pictures."""
REPORTED = (
    ("fast-style-transfer networks, 1.7 M (reported)", (0.139, 0.113, 0.491, 0.241, 0.559)),
    ("universal WCT (reported)", (0.191, 0.117, 0.812, 0.307, 0.366)),
    ("pytorch/examples (reported)", (0.175, 0.109, 1.056, 0.572, 0.571)),
)


def measure_packs(folder: Path, packs: Sequence[Path], names: Sequence[str]) -> Table:
    """Each pack, the mean over photographs; engine ``reference`` on pictures it was not trained with; and an untouched
    photograph, measured too, as the zero of the scale.
    """
    weights = folder / "weights"
    vgg = Vgg19(read_weights(weights / "vgg19_relu3_4_fp16.safetensors"), "VGG-19")
    small = Distilled(read_weights(weights / "vgg19_small16x_relu5_1_fp16.safetensors"), "its sibling")
    photographs = [_picture(path) for path in sorted((folder / "photos_large").glob("*.jpg"))[:PHOTOGRAPHS]]
    catalogue, library = read_catalogue(), StyleLibrary(packs)
    chosen = names or [pack.name for pack in library.packs() if pack.engine == "network" and pack.name in catalogue]

    def measured(look: Look, name: str) -> list[Quality]:
        style = _tensor(_picture(_painting(folder, name)))
        return [measure(_tensor(look.apply(photo, seed=0)), _tensor(photo), style, vgg, small) for photo in photographs]

    found = {name: measured(library.resolve(name), name) for name in chosen}
    rows = [(f"`{name}`", *_mean(each)) for name, each in found.items()]
    judged = [name for name in JUDGED if name in found]
    if judged:
        rows.append((f"engine `network`: {', '.join(judged)}", *_mean([q for name in judged for q in found[name]])))
    with TemporaryDirectory() as made:
        likenesses = []
        for name in JUDGED if not names else judged:
            style_of_picture(_painting(folder, name), Path(made), name=f"like-{name}", look="A likeness.", author="us")
            likenesses += measured(StyleLibrary([Path(made)]).resolve(f"like-{name}"), name)
    if likenesses:
        rows.append(("engine `reference`, the same pictures, never seen", *_mean(likenesses)))
        untouched = [measured(StyleLibrary().resolve(ORIGINAL), name) for name in JUDGED]
        rows.append(("an untouched photograph, the same pictures", *_mean([q for each in untouched for q in each])))
    reported = [(name, *(f"{value:.3f}" for value in values), "") for name, values in REPORTED]
    return Table(
        f"Strokes at {SIDE} px, {len(photographs)} photographs",
        ("", "Gram", "moments", "content", "deep content", "SSIM", "Gram, unseen layers"),
        [*rows, *reported],
    )


def _painting(folder: Path, name: str) -> Path:
    """Of a style of the catalogue, or one that is called as its picture is."""
    return folder / "paintings" / f"{read_catalogue().get(name, {'picture': name})['picture']}.jpg"


def _mean(found: Sequence[Quality]) -> tuple[str, ...]:
    return tuple(f"{value:.3f}" for value in np.mean([astuple(each) for each in found], axis=0))


def _picture(path: Path) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("material", type=Path, metavar="DIR")
    options.add_argument("--packs", type=Path, action="append", default=[], metavar="FOLDER", help="Packs not shipped.")
    options.add_argument("styles", nargs="*", metavar="STYLE")
    wish = options.parse_intermixed_args()
    if not (wish.material / "weights").is_dir():
        options.error(f"{wish.material} holds no weights/: see above for what it must hold")
    print(measure_packs(wish.material, wish.packs, wish.styles).markdown())
