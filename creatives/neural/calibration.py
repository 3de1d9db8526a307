"""What eight-bit layers are calibrated on: scikit-image's photographs, in the styles that come along."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from creatives.errors import CreativeError
from creatives.neural.quantised import calibrate
from creatives.neural.shared import read_vector
from creatives.neural.transformer import StyleTransformer

PHOTOGRAPHS = ("coffee.png", "chelsea.png", "astronaut.png", "motorcycle_left.png")
SIDE = 192
MOST = 8
"""Styles; more would not move the result, since it is taken relative to each style's own numbers."""
_SHIPPED = Path(__file__).parents[1] / "shipped"


def reaches_of(network: StyleTransformer) -> list[float]:
    """Calibrated reaches of a network's layers, for `quantised.Quantised`.

    Raises:
        CreativeError: where scikit-image's photographs were stripped from the installation.
    """
    return calibrate(network, photographs(), adapters())


def photographs() -> list[Tensor]:
    """The middles of the photographs, ``(1, 3, SIDE, SIDE)`` in 0..1; found without importing scikit-image."""
    spec = find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else Path()
    found = [folder / name for name in PHOTOGRAPHS if (folder / name).is_file()]
    if not found:
        raise CreativeError("scikit-image's photographs are missing, on which int8 is calibrated: install it whole")
    return [_middle(path) for path in found]


def adapters() -> list[Tensor]:
    """Of shipped styles, evenly chosen, and the one training starts from."""
    size = StyleTransformer.adapter_size()
    files = [path.parent / "weights.safetensors" for path in sorted(_SHIPPED.glob("*/style.toml"))]
    styles: list[Tensor] = []
    for path in files:
        if not path.is_file():
            continue
        try:
            styles.append(torch.tensor(read_vector(path, "adapter", size)))
        except CreativeError:  # another engine's weights
            continue
    return [StyleTransformer.neutral_adapter(), *styles[:: max(1, -(-len(styles) // MOST))]]


def _middle(path: Path) -> Tensor:
    with Image.open(path) as image:
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return torch.tensor(np.asarray(small)).permute(2, 0, 1)[None] / 255
