"""How good the strokes are: shipped packs beside the figures reported for other networks, on pictures of 512 px.

    python -m benchmarks.style_quality DIR [--packs FOLDER] [--optimise N [--own-eye]] [--drawn PIXELS] [STYLE...]

With ``--optimise`` engine ``optimise``, too, on the first N photographs, and engine ``network`` beside it on the same;
it takes minutes a picture. With ``--own-eye`` it sees through the eye that comes along, without VGG-19. With
``--drawn`` photographs are styled at that size and compared as they look when reduced to 512 px: how much is seen of a
style in a whole advertisement. DIR holds ``paintings/``, ``photos_large/`` and ``weights/`` (VGG-19 to relu3_4 and its
distilled sibling, safetensors): material that does not travel with the repository, so `make bench` leaves this out.
"""

import argparse
import hashlib
import os
import time
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
from creatives.neural.vgg import SMALL_VARIABLE, VARIABLE, eye_hash
from creatives.packaging import write_pack
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


def measure_packs(
    folder: Path,
    packs: Sequence[Path],
    names: Sequence[str],
    slow: int = 0,
    drawn: int = SIDE,
    *,
    own_eye: bool = False,
) -> Table:
    """Each pack, the mean over photographs; engine ``reference`` on pictures it was not trained with; and an untouched
    photograph, measured too, as the zero of the scale. Of so many photographs, engine ``optimise``, through VGG-19 or
    our ``own_eye``.

    Photographs are ``drawn`` with so many pixels on the longer side.
    """
    weights = folder / "weights"
    vgg = Vgg19(read_weights(weights / "vgg19_relu3_4_fp16.safetensors"), "VGG-19")
    small = Distilled(read_weights(weights / "vgg19_small16x_relu5_1_fp16.safetensors"), "its sibling")
    photographs = [_picture(path, drawn) for path in sorted((folder / "photos_large").glob("*.jpg"))[:PHOTOGRAPHS]]
    catalogue, library = read_catalogue(), StyleLibrary(packs)
    chosen = names or [pack.name for pack in library.packs() if pack.engine == "network" and pack.name in catalogue]

    def measured(look: Look, name: str, among: Sequence[np.ndarray] = photographs) -> list[Quality]:
        style = _tensor(_picture(_painting(folder, name)))
        return [
            measure(_tensor(_reduced(look.apply(photo, seed=0))), _tensor(_reduced(photo)), style, vgg, small)
            for photo in among
        ]

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
    if slow and judged:
        few, began = photographs[:slow], time.perf_counter()
        with TemporaryDirectory() as made:
            optimised = {
                name: measured(_optimising(folder, name, Path(made), own_eye=own_eye), name, few) for name in judged
            }
        seconds = (time.perf_counter() - began) / (len(judged) * slow)
        rows += [(f"`{name}`, optimised, {slow} of the photographs", *_mean(each)) for name, each in optimised.items()]
        together = _mean([q for each in optimised.values() for q in each])
        through = "our own eye" if own_eye else "VGG-19"
        rows.append((f"engine `optimise` through {through}, these {slow}, {seconds:.0f} s a picture", *together))
        rows.append((f"engine `network`, these {slow}", *_mean([q for name in judged for q in found[name][:slow]])))
    reported = [(name, *(f"{value:.3f}" for value in values), "") for name, values in REPORTED]
    return Table(
        f"Strokes at {SIDE} px{f', drawn at {drawn} px' if drawn != SIDE else ''}, {len(photographs)} photographs",
        ("", "Gram", "moments", "content", "deep content", "SSIM", "Gram, unseen layers"),
        [*rows, *reported],
    )


def _optimising(folder: Path, name: str, packs: Path, *, own_eye: bool) -> Look:
    """A style under which pictures' pixels are moved, with the material's own weights or none."""
    os.environ[VARIABLE] = str(folder / "weights" / "vgg19_relu3_4_fp16.safetensors")
    os.environ[SMALL_VARIABLE] = str(folder / "weights" / "vgg19_small16x_relu5_1_fp16.safetensors")
    data = _painting(folder, name).read_bytes()
    parameters = {"picture": "style.jpg", "picture_sha256": hashlib.sha256(data).hexdigest(), "size": SIDE}
    parameters |= {"eye": eye_hash()} if own_eye else {}
    slow = f"slow-{name}"
    write_pack(
        packs / slow, name=slow, look="Pixels that are moved.", engine="optimise", parameters=parameters, weights=None,
        licence="CC0-1.0", author="us", made="by a benchmark", files={"style.jpg": data},
    )  # fmt: skip
    return StyleLibrary([packs]).resolve(slow)


def _painting(folder: Path, name: str) -> Path:
    """Of a style of the catalogue, or one that is called as its picture is."""
    return folder / "paintings" / f"{read_catalogue().get(name, {'picture': name})['picture']}.jpg"


def _mean(found: Sequence[Quality]) -> tuple[str, ...]:
    return tuple(f"{value:.3f}" for value in np.mean([astuple(each) for each in found], axis=0))


def _picture(path: Path, side: int = SIDE) -> np.ndarray:
    return _reduced(np.asarray(Image.open(path).convert("RGB")), side)


def _reduced(rgb: np.ndarray, side: int = SIDE) -> np.ndarray:
    image = Image.fromarray(rgb)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("material", type=Path, metavar="DIR")
    options.add_argument("--packs", type=Path, action="append", default=[], metavar="FOLDER", help="Packs not shipped.")
    options.add_argument("--optimise", type=int, default=0, metavar="N", help="On N photographs; minutes a picture.")
    options.add_argument("--own-eye", action="store_true", help="Optimise without VGG-19.")
    options.add_argument("--drawn", type=int, default=SIDE, metavar="PIXELS", help="Longer side at which to style.")
    options.add_argument("styles", nargs="*", metavar="STYLE")
    wish = options.parse_intermixed_args()
    if not (wish.material / "weights").is_dir():
        options.error(f"{wish.material} holds no weights/: see above for what it must hold")
    found = measure_packs(wish.material, wish.packs, wish.styles, wish.optimise, wish.drawn, own_eye=wish.own_eye)
    print(found.markdown())
