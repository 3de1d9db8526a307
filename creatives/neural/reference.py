"""A style from one picture: an autoencoder in whose layers statistics are exchanged.

The network gives back what it is shown. To style a photograph, the style's picture is shown to it first and the
statistics of its features are kept, layer by layer; then the photograph is, and every layer takes on those kept
(Y. Li et al., NeurIPS 2017, did so with VGG and five decoders, one after the other; X. Huang, S. Belongie, ICCV 2017,
with means and spreads). Nothing in the network knows a style by name: it was trained end to end to come out near
whichever picture it was shown, so the exchange is all there is to generalise.

Moments add: a blend of styles is the sum of theirs, and what strength leaves over is the photograph's own. As in
`transformer`, statistics measured on a whole picture fold into maps that apply to its tiles.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.neural.exchange import Affine, Statistics, exchange
from creatives.neural.transformer import Padded

CHANNELS = (32, 64, 128)
"""At half, quarter and eighth size."""
EXCHANGES = 8
"""Three on the way down, whose features pass to the way up, four there, and one of the colours that come out."""
STRIDE = 8
"""Pictures have sides that are multiples of it."""
REACH = 128
"""Pixels beyond which nothing around a pixel changes it, once statistics are given."""
_BLOCKS = 2

Exchange = Callable[[int, Tensor], Tensor]


class Refine(nn.Module):
    """Two convolutions around which the picture also passes untouched."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Padded(channels, channels, 3, bias=True)
        self.second = Padded(channels, channels, 3, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class ReferenceNetwork(nn.Module):
    """``(n, 3, height, width)`` pictures in 0..1 to themselves, or to a style; sides are multiples of STRIDE.

    The result may leave 0..1 a little: clamp it.
    """

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = CHANNELS
        self.half_in = Padded(12, half, 3, bias=True)
        self.quarter_in = Padded(half, quarter, 3, stride=2, bias=True)
        self.quarter_deep = Refine(quarter)
        self.eighth_in = Padded(quarter, eighth, 3, stride=2, bias=True)
        self.eighth_deep = Refine(eighth)
        self.eighth_out = nn.Sequential(*(Refine(eighth) for _ in range(_BLOCKS)))
        self.eighth_more = Refine(eighth)
        self.quarter_up = Padded(eighth, quarter, 3, bias=True)
        self.quarter_skip = Padded(quarter, quarter, 1, bias=True)
        self.quarter_out = Refine(quarter)
        self.half_up = Padded(quarter, half, 3, bias=True)
        self.half_skip = Padded(half, half, 1, bias=True)
        self.half_out = Refine(half)
        self.head = Padded(half, 3, 5, bias=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                weight, bias = module.parameters()
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
                nn.init.zeros_(bias)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, Refine):
                    module.second.convolution.weight.mul_(0.5)
            self.head.convolution.weight.mul_(0.1)

    def see(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at half, quarter and eighth size, before the rectifier behind them."""
        half = self.half_in(functional.pixel_unshuffle((pictures - 0.5) * 4, 2))
        quarter = self.quarter_deep(self.quarter_in(functional.relu(half)))
        eighth = self.eighth_deep(self.eighth_in(functional.relu(quarter)))
        return half, quarter, eighth

    def draw(self, seen: Sequence[Tensor], swap: Exchange) -> Tensor:
        """Pictures from features, each layer's through ``swap`` before it is used."""
        relu = functional.relu
        half, quarter, eighth = (swap(index, features) for index, features in enumerate(seen))
        x = swap(3, self.eighth_out(eighth))
        x = swap(4, self.eighth_more(x))
        x = self.quarter_up(_grown(relu(x))) + self.quarter_skip(relu(quarter))
        x = swap(5, self.quarter_out(x))
        x = self.half_up(_grown(relu(x))) + self.half_skip(relu(half))
        x = swap(6, self.half_out(x))
        # Nothing bends the last layer's values into 0..1: what is bent takes no colours exactly, and saturates.
        picture = 0.5 + self.head(_grown(x)).float()
        with torch.autocast(picture.device.type, enabled=False):  # in 16 bits, gradients of colour would show steps
            return swap(7, picture)

    def forward(self, pictures: Tensor, wanted: Sequence[Statistics], counted: Tensor | None = None) -> Tensor:
        """Styled pictures; ``wanted`` as `know` gives it."""
        return self.measure(pictures, wanted, counted)[0]

    def know(
        self, pictures: Tensor, counted: Tensor | None = None, seen: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, tuple[Statistics, ...]]:
        """Pictures given back, and each layer's statistics by the way.

        Only pixels in the mask ``counted`` (n, 1, any size) tell.
        """
        found: list[Statistics] = []

        def swap(index: int, features: Tensor) -> Tensor:
            del index
            found.append(Statistics.of(features, counted))
            return features

        return self.draw(self.see(pictures) if seen is None else seen, swap), tuple(found)

    def measure(
        self, pictures: Tensor, wanted: Sequence[Statistics], counted: Tensor | None = None,
        seen: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Affine, ...]]:  # fmt: skip
        """Styled pictures, and what the exchanges amounted to on them, for `tiles`."""
        folded: list[Affine] = []

        def swap(index: int, features: Tensor) -> Tensor:
            folded.append(exchange(Statistics.of(features, counted), wanted[index]))
            return folded[-1](features)

        return self.draw(self.see(pictures) if seen is None else seen, swap), tuple(folded)

    def tiles(self, pictures: Tensor, folded: Sequence[Affine]) -> Tensor:
        """Styled pictures under exchanges measured elsewhere: parts of a picture come out as in the whole."""
        return self.draw(self.see(pictures), lambda index, features: folded[index](features))


def _grown(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
