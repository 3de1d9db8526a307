"""The cartoon's generator: a small network between down- and upsampling that knows nothing of the picture as a whole.

Y. Chen, Y.-K. Lai, Y.-J. Liu, "CartoonGAN", CVPR 2018, and X. Wang, J. Yu, "Learning to Cartoonize Using White-box
Cartoon Representations", CVPR 2020 (a generator without normalisation of pictures; resize, then convolve).

We leave them in three places. There is no normalisation at all: branches start at nothing instead (H. Zhang, Y. N.
Dauphin, T. Ma, "Fixup Initialization", ICLR 2019), so that a pixel depends on what lies within REACH of it and on
nothing else: tiles come out as in the whole, and a flat area does not change with what stands elsewhere. The body
works at a quarter of the size with dilated convolutions, whose wide view is what makes areas flat. And the network
draws *on* the photograph, adding to it at full size, so that lettering starts from sharp.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

HALF, QUARTER, FULL = 32, 96, 16
"""Channels at half, quarter and full size."""
DILATIONS = (1, 2, 4, 1)
"""Of the dense convolution of each block at the quarter."""
STRIDE = 4
"""Pictures have sides that are multiples of it."""
SMALLEST = 32
"""Pixels a side that every layer can mirror."""
REACH = 4 * (sum(DILATIONS) + 2 * len(DILATIONS)) + 24
"""Pixels beyond which nothing around a pixel changes it."""
_SLOPE = 0.2


class Mirrored(nn.Module):
    """A convolution that sees the picture mirrored at its edges."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1, dilation: int = 1):
        super().__init__()
        self.margin = dilation * (size // 2)
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, groups=groups, dilation=dilation)
        weight, bias = self.convolution.parameters()
        nn.init.kaiming_normal_(weight, a=_SLOPE)
        nn.init.zeros_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(functional.pad(x, (self.margin,) * 4, mode="reflect"))


class Block(nn.Module):
    """A dense convolution, then a separable one, beside which the picture passes untouched."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dense = Mirrored(channels, channels, 3, dilation=dilation)
        self.depthwise = Mirrored(channels, channels, 5, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        for parameter in self.pointwise.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.leaky_relu(self.dense(x), _SLOPE)
        return x + self.pointwise(functional.leaky_relu(self.depthwise(inner), _SLOPE))


class Cartoonist(nn.Module):
    """``(n, 3, height, width)`` photographs in 0..1 to cartoons; sides are multiples of STRIDE, at least SMALLEST.

    The result may leave 0..1 a little: clamp it. Untrained, it gives the photograph.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Mirrored(12, HALF, 3)
        self.down = Mirrored(HALF, QUARTER, 3, stride=2)
        self.blocks = nn.ModuleList(Block(QUARTER, dilation) for dilation in DILATIONS)
        self.middle = Mirrored(QUARTER + HALF, HALF, 3)
        self.draw = Mirrored(HALF + 3, FULL, 3)
        self.head = Mirrored(FULL, 3, 3)
        nn.init.zeros_(self.head.convolution.weight)

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures + self.change(pictures)

    def change(self, pictures: Tensor) -> Tensor:
        """What is added to the photographs: small, so that half precision does not band what is kept of them."""

        def active(x: Tensor) -> Tensor:
            return functional.leaky_relu(x, _SLOPE)

        centred = pictures * 2 - 1
        half = active(self.stem(functional.pixel_unshuffle(centred, 2)))
        x = active(self.down(half))
        for block in self.blocks:
            x = block(x)
        x = active(self.middle(torch.cat([_doubled(x), half], dim=1)))
        x = active(self.draw(torch.cat([_doubled(x), centred.to(x.dtype)], dim=1)))
        return self.head(x).float()


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
