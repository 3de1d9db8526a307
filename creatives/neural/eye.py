"""The eye that comes along: a small network of our own that sees nearly as VGG-19 does, for where VGG's is not at hand.

It has VGG-19's stages, from the third on in less width, and after each layer a linear map into that layer's channels,
so that moments and distances are on the scale that losses and weights were chosen for. `creatives.training.eye` made
it.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.neural.features import MEAN, SPREAD, VGG_LAYERS, WeightsError, read_weights
from creatives.neural.vgg import EYE

LAYERS = (*VGG_LAYERS.values(), "relu4_1")
"""VGG-19's that it stands in for."""
WIDTHS = {"relu1": 64, "relu2": 128, "relu3": 160, "relu4": 224}
"""Channels of each stage."""
VGG_WIDTHS = {"relu1": 64, "relu2": 128, "relu3": 256, "relu4": 512}


class Eye(nn.Module):
    """``(n, 3, height, width)`` in 0..1 to feature maps by layer, as wide as VGG-19's and like them."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.heads, before = nn.ModuleDict(), nn.ModuleDict(), 3
        for name in LAYERS:
            stage = name.partition("_")[0]
            self.layers[name] = nn.Conv2d(before, WIDTHS[stage], 3, padding=1)
            self.heads[name] = nn.Conv2d(WIDTHS[stage], VGG_WIDTHS[stage], 1)
            before = WIDTHS[stage]
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor, deepest: str = "relu4_1") -> dict[str, Tensor]:
        return {name: functional.relu(drawn) for name, drawn in self.raw(pictures, deepest).items()}

    def raw(self, pictures: Tensor, deepest: str = "relu4_1") -> dict[str, Tensor]:
        """The same, what is below zero not yet cut off."""
        x, found, stage = (pictures - self.mean) / self.spread, {}, "relu1"
        for name, layer in self.layers.items():
            if not name.startswith(stage):
                x, stage = functional.max_pool2d(x, 2), name.partition("_")[0]
            x = functional.relu(layer(x))
            found[name] = self.heads[name](x)
            if name == deepest:
                break
        return found


def load_eye(path: Path = EYE) -> Eye:
    """The eye in a file, frozen.

    Raises:
        WeightsError: for a file that is missing or no such network.
    """
    return eye_of(read_weights(path), str(path))


def eye_of(weights: Mapping[str, Tensor], where: str) -> Eye:
    """The eye with these weights, frozen."""
    eye = Eye()
    try:
        eye.load_state_dict(dict(weights))
    except RuntimeError:
        raise WeightsError(f"{where} is no eye of ours: its tensors are others") from None
    return eye.requires_grad_(requires_grad=False)
