"""VGG-19 as deep as its file goes, and the layers through which `optimise` compares pictures."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from creatives.neural.eye import Eye
from creatives.neural.features import VGG_LAYERS, Distilled, Vgg19, convolution

DEEPER_LAYERS = {19: "relu4_1", 21: "relu4_2", 23: "relu4_3", 25: "relu4_4", 28: "relu5_1"}
"""Index in torchvision's ``vgg19().features`` -> name, behind relu3_4."""
_LAST = max(VGG_LAYERS)
"""Of the layers before those."""
_POOLED_BEFORE = (19, 28)
_HELPED = "relu4_1"
"""What a distilled network stands in for, and as deep as the eye that comes along sees."""


class DeepVgg19(Vgg19):
    """`Vgg19`, and behind it whatever more of DEEPER_LAYERS the weights hold."""

    def __init__(self, weights: Mapping[str, Tensor], where: str) -> None:
        super().__init__(weights, where)
        before = len(weights[f"features.{_LAST}.bias"])
        for index, name in DEEPER_LAYERS.items():
            if not {f"features.{index}.weight", f"features.{index}.bias"} <= weights.keys():
                break
            layer = convolution(weights, f"features.{index}", before, f"{where} is no VGG-19", padding=1)
            self.layers[name], before = layer, layer.out_channels
        self.requires_grad_(requires_grad=False)

    def forward(self, pictures: Tensor, deepest: str = "relu5_1") -> dict[str, Tensor]:
        found = super().forward(pictures, deepest)
        for index, name in DEEPER_LAYERS.items():
            if deepest in found or name not in self.layers:
                break
            x = next(reversed(found.values()))
            if index in _POOLED_BEFORE:
                x = functional.max_pool2d(x, 2)
            found[name] = functional.relu(self.layers[name](x))
        return found


class Sight(nn.Module):
    """``(1, 3, height, width)`` in 0..1 to feature maps: style at five depths, content at relu4_2 (Gatys et al. 2016).

    Weights that end before relu4_1 are helped out by a distilled network, which says what that layer would see, or,
    without one, looked through as far as they go: large shapes of a style are then followed less.
    """

    def __init__(self, vgg: DeepVgg19 | Eye, small: Distilled | None = None) -> None:
        super().__init__()
        deep = "relu4_2" in vgg.layers
        self.vgg, self.small = vgg, None if _HELPED in vgg.layers else small
        style = ["relu1_1", "relu2_1", "relu3_1"]
        if deep:
            style += [name for name in ("relu4_1", "relu5_1") if name in vgg.layers]
            content = ["relu4_2"]
        elif small or _HELPED in vgg.layers:
            style += [_HELPED]
            content = ["relu3_4", _HELPED]
        else:
            content = ["relu3_4"]
        self.style_layers, self.content_layers = tuple(style), tuple(content)
        self._deepest = max(name for name in (*style, *content) if name in vgg.layers)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        found = self.vgg(pictures, deepest=self._deepest)
        return found | {_HELPED: self.small.embed(self.small(pictures))[_HELPED]} if self.small else found
