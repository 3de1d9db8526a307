"""The transformer as it is run: the same function of the same numbers, rewritten to cost less.

Two rewritings. A convolution after enlarging by nearest neighbours sees each value of the small picture several times:
adding up the weights that meet the same value leaves small convolutions at the small size, one for each of the four
places within an enlarged pixel, whose results are interleaved (W. Shi et al., "Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016, in reverse). And where nobody
asks what the normalisations amounted to, they need not be written out.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.neural.transformer import BLOCKS, EPSILON, Padded, StyleTransformer

Form = Literal["whole", "measure", "tiles"]
LAYERS = 2 + 2 * BLOCKS
"""Convolutions that take most of the time: the second, two of each block, and the one after enlarging."""


def enlarged_by_two(weights: Tensor) -> Tensor:
    """``(outputs, inputs, 3, 3)`` weights after enlarging, as ``(4 outputs, inputs, 2, 2)`` before it.

    To be applied to the small picture with one pixel more on each side; each result holds, in `pixel_shuffle`'s order,
    four pixels that begin one above and one left of the small pixel's own.
    """
    outputs, inputs, size, _ = weights.shape
    out = weights.new_zeros(outputs, 2, 2, inputs, 2, 2)
    for down, across, row, column in _indices(size):
        y, x = (down + row - 1) // 2 + 1 - down, (across + column - 1) // 2 + 1 - across
        out[:, 1 - down, 1 - across, :, y, x] += weights[:, :, row, column]
    return out.reshape(4 * outputs, inputs, 2, 2)


def enlarged_by_three(weights: Tensor) -> Tensor:
    """``(outputs, inputs, 5, 5)`` weights after enlarging, as ``(4 outputs, inputs, 3, 3)`` before it."""
    outputs, inputs, size, _ = weights.shape
    out = weights.new_zeros(outputs, 2, 2, inputs, 3, 3)
    for down, across, row, column in _indices(size):
        y, x = (down + row - 2) // 2 + 1, (across + column - 2) // 2 + 1
        out[:, down, across, :, y, x] += weights[:, :, row, column]
    return out.reshape(4 * outputs, inputs, 3, 3)


def _indices(size: int) -> list[tuple[int, int, int, int]]:
    return [(d, a, r, c) for d in range(2) for a in range(2) for r in range(size) for c in range(size)]


class Inference(nn.Module):
    """One way of running a network: ``whole`` pictures; to ``measure`` them; ``tiles`` under what was measured.

    As the transformer's `forward`, `measure` and `tiles`. `quantised` overrides what the larger layers are given.
    """

    up: Tensor
    head: Tensor
    head_bias: Tensor

    def __init__(self, network: StyleTransformer, form: Form) -> None:
        super().__init__()
        self.network, self.form = network, form
        head = network.head.convolution
        bias = torch.zeros(3) if head.bias is None else head.bias
        self.register_buffer("up", enlarged_by_two(network.up.convolution.weight.detach()))
        self.register_buffer("head", enlarged_by_three(head.weight.detach()))
        self.register_buffer("head_bias", bias.detach().repeat_interleave(4))

    def vector_size(self) -> int:
        """Numbers in the vectors that come with pictures."""
        return self.network.adapter_size()

    def forward(self, pictures: Tensor, vectors: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        network, relu = self.network, functional.relu
        given = network.split(vectors[:, : network.adapter_size()])
        spreads = self._spreads(given, vectors)
        folded: list[Tensor] = []

        def normalise(index: int, x: Tensor) -> Tensor:
            scale, shift = given[2 * index], given[2 * index + 1]
            if self.form == "measure":
                variance, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0)
                scale = scale * torch.rsqrt(variance + EPSILON)
                shift = shift - mean * scale
                folded.extend((scale, shift))
            elif self.form == "whole":
                x = functional.instance_norm(x, eps=EPSILON)
            return x * scale[:, :, None, None] + shift[:, :, None, None]

        def layer(number: int, padded: Padded, x: Tensor) -> Tensor:
            x = self._entering(number, x, spreads)
            if padded.margin:
                x = functional.pad(x, (padded.margin,) * 4, mode="reflect")
            weights = self._weights(padded.convolution.weight)
            return functional.conv2d(x, weights, stride=padded.convolution.stride)

        x = relu(normalise(0, network.stem(functional.pixel_unshuffle(pictures, 2))))
        x = relu(normalise(1, layer(0, network.down, x)))
        for block in network.body():
            inner = relu(normalise(block.first, layer(block.first - 1, block.dense, x)))
            x = x + normalise(block.first + 1, layer(block.first, block.pointwise, block.depthwise(inner)))
        x = functional.conv2d(_repeated(self._entering(LAYERS - 1, x, spreads)), self._weights(self.up))
        x = functional.pixel_shuffle(x, 2)[:, :, 1:-1, 1:-1]
        x = relu(normalise(2 + 2 * BLOCKS, x))
        styled = network.coloured(functional.pixel_shuffle(self._headed(x), 2), given[-1])
        return (styled, torch.cat([network.join([*folded, given[-1]]), spreads], dim=1)) if folded else styled

    def _spreads(self, given: list[Tensor], vectors: Tensor) -> Tensor:  # noqa: ARG002
        """What the layers must know of a style besides its normalisations, ``(n, anything)``: nothing here."""
        return vectors[:, :0]

    def _entering(self, number: int, x: Tensor, spreads: Tensor) -> Tensor:  # noqa: ARG002
        """What a layer is given of ``x``."""
        return x

    def _weights(self, weights: Tensor) -> Tensor:
        return weights

    def _headed(self, x: Tensor) -> Tensor:
        """The last layer's result, ``(n, 12, height, width)``, four pixels in one."""
        inside = functional.conv2d(_repeated(x), self.head, self.head_bias)
        # A mirror two pixels wide shows, outside the enlarged picture, an order that no small picture enlarges to: the
        # frame is made as the network makes it.
        left, right = self._edge(x[..., :2], (2, 0, 2, 2)), self._edge(x[..., -2:], (0, 2, 2, 2))
        top, bottom = self._edge(x[:, :, :2], (2, 2, 2, 0)), self._edge(x[:, :, -2:], (2, 2, 0, 2))
        rows = torch.cat([left, inside[..., 1:-1], right], dim=3)
        return torch.cat([top, rows[:, :, 1:-1], bottom], dim=2)

    def _edge(self, strip: Tensor, margins: tuple[int, int, int, int]) -> Tensor:
        enlarged = functional.interpolate(strip, scale_factor=2.0, mode="nearest")
        headed = self.network.head.convolution(functional.pad(enlarged, margins, mode="reflect"))
        return functional.pixel_unshuffle(headed, 2)


def _repeated(x: Tensor) -> Tensor:
    """With its outermost pixels repeated: enlarged, they are what a mirror one pixel wide shows."""
    return functional.pad(x, (1, 1, 1, 1), mode="replicate")
