"""What faster forms of the shared network cost: how far their pictures are from those in float32, and their seconds.

    python -m benchmarks.network_likeness [--network FILE] [--packs FOLDER] [--pruned FILE]... [--material DIR]

Every style of the packs on four photographs that come with scikit-image. Pruned networks come from
``python -m creatives.training.prune``. With DIR (see `benchmarks.style_quality`) also how near the pictures of each
form come to their styles.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from benchmarks.table import Table
from creatives.neural.calibration import PHOTOGRAPHS
from creatives.neural.runner import Runner, open_runner
from creatives.neural.shared import SHARED, load_shared, read_vector
from creatives.neural.tiling import style_picture
from creatives.neural.transformer import StyleTransformer
from creatives.packs import SHIPPED, WEIGHTS
from creatives.training.catalogue import read_catalogue
from creatives.training.photographs import photographs_that_come_along

SIDE, TIMED_SIDE, RUNS = 384, 1080, 5
JUDGED = 1
"""Photographs on which nearness to the style is measured: forms of one network differ little, and it takes long."""

Pictures = dict[tuple[str, int], np.ndarray]


def measure(network: Path, packs: Path, pruned: Sequence[Path], material: Path | None) -> Table:
    """A row a form; the first is what all are compared with."""
    styles, photographs = _styles(packs), _photographs()
    forms = _forms(network, pruned)
    judge = _Judge(material) if material else None
    exact: Pictures = {}
    rows = []
    for name, (parameters, runner) in forms.items():
        drawn = {
            (style, number): np.clip(style_picture(photo, adapter, runner), 0, 1)
            for style, adapter in styles.items()
            for number, photo in enumerate(photographs)
        }
        exact = exact or drawn
        apart = [_apart(drawn[key], exact[key]) for key in drawn]
        alike = [structural_similarity(drawn[key], exact[key], channel_axis=2, data_range=1) for key in drawn]
        worst = np.max([np.mean([d for d, (s, _) in zip(apart, drawn, strict=True) if s == style]) for style in styles])
        figures = (f"{np.mean(apart):.2f}", f"{worst:.2f}", f"{np.mean(alike):.3f}")
        quality = judge.figures(drawn, photographs) if judge else ()
        print(f"{name}: {figures} {quality}", file=sys.stderr, flush=True)
        rows.append((name, f"{parameters / 1e6:.2f} M", f"{_seconds(runner):.2f}", *figures, *quality))
    drawn_on = f"{len(styles)} styles on {len(photographs)} photographs of {SIDE} px"
    return Table(
        f"{drawn_on}; seconds at {TIMED_SIDE} px, best of {RUNS}",
        ("form", "parameters", "seconds", "mean dE2000", "worst style's", "SSIM", *(_Judge.COLUMNS if judge else ())),
        rows,
    )


def _forms(network: Path, pruned: Sequence[Path]) -> dict[str, tuple[int, Runner]]:
    tensors = load_shared(network).network
    count = sum(value.numel() for value in tensors.values())
    forms: dict[str, tuple[int, Runner]] = {
        "torch, float32": (count, open_runner(tensors, "torch", "float32")),
        "OpenVINO, float32": (count, open_runner(tensors, "openvino", "float32")),
        "OpenVINO, as shipped": (count, open_runner(tensors, "openvino")),
        "OpenVINO, int8": (count, open_runner(tensors, "openvino", "int8")),
    }
    for path in pruned:
        small = load_shared(path).network
        count = sum(value.numel() for value in small.values())
        forms[f"{path.parent.name}, as shipped"] = count, open_runner(small, "openvino")
        forms[f"{path.parent.name}, int8"] = count, open_runner(small, "openvino", "int8")
    return forms


def _styles(packs: Path) -> dict[str, np.ndarray]:
    size = StyleTransformer.adapter_size()
    folders = [path.parent for path in sorted(packs.glob(f"*/{WEIGHTS}"))]
    engines = {folder.name: (folder / "style.toml").read_text(encoding="utf-8") for folder in folders}
    found = [folder for folder in folders if 'engine = "network"' in engines[folder.name]]
    if not found:
        raise SystemExit(f"{packs} holds no packs of engine network; name a folder that does with --packs")
    return {folder.name: read_vector(folder / WEIGHTS, "adapter", size) for folder in found}


def _photographs() -> list[np.ndarray]:
    from PIL import Image

    kept = photographs_that_come_along()
    pictures = [Image.fromarray(rgb) for rgb in (*kept.validation, *kept.training)][: len(PHOTOGRAPHS)]
    for picture in pictures:
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return [np.asarray(picture.convert("RGB"), np.float32) / 255 for picture in pictures]


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(deltaE_ciede2000(rgb2lab(one), rgb2lab(other)).mean())


def _seconds(runner: Runner) -> float:
    picture = np.random.default_rng(0).random((1, 3, TIMED_SIDE, TIMED_SIDE), np.float32)
    adapter = StyleTransformer.neutral_adapter().numpy()
    runner.whole(picture, adapter)
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        runner.whole(picture, adapter)
        times.append(time.perf_counter() - began)
    return min(times)


class _Judge:
    """How near pictures come to their styles' and stay to their photographs, by `creatives.neural.measures`."""

    COLUMNS = ("Gram", "moments", "content", "SSIM to the photograph")

    def __init__(self, material: Path) -> None:
        from creatives.neural.features import Distilled, Vgg19, read_weights

        weights = material / "weights"
        self._vgg = Vgg19(read_weights(weights / "vgg19_relu3_4_fp16.safetensors"), "VGG-19")
        self._small = Distilled(read_weights(weights / "vgg19_small16x_relu5_1_fp16.safetensors"), "its sibling")
        self._paintings = material / "paintings"

    def figures(self, drawn: Pictures, photographs: Sequence[np.ndarray]) -> tuple[str, ...]:
        from creatives.neural.measures import measure

        catalogue: Mapping[str, Mapping[str, object]] = read_catalogue()
        found = []
        for (style, number), picture in drawn.items():
            if number >= JUDGED:
                continue
            painting = self._paintings / f"{catalogue.get(style, {}).get('picture', style.replace('-', '_'))}.jpg"
            if not painting.is_file():
                continue
            quality = measure(
                _tensor(picture), _tensor(photographs[number]), self._painting(painting), self._vgg, self._small
            )
            found.append((quality.gram, quality.moments, quality.content, quality.ssim))
        return tuple(f"{value:.3f}" for value in np.mean(found, axis=0)) if found else ("",) * len(self.COLUMNS)

    @staticmethod
    def _painting(path: Path) -> torch.Tensor:
        from PIL import Image

        image = Image.open(path).convert("RGB")
        image.thumbnail((512, 512), Image.Resampling.LANCZOS)
        return _tensor(np.asarray(image, np.float32) / 255)


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--network", type=Path, default=SHARED, metavar="FILE")
    options.add_argument("--packs", type=Path, default=SHIPPED, metavar="FOLDER")
    options.add_argument("--pruned", type=Path, action="append", default=[], metavar="FILE")
    options.add_argument("--material", type=Path, metavar="DIR")
    wish = options.parse_args()
    print(measure(wish.network, wish.packs, wish.pruned, wish.material).markdown())
