"""The larger layers in eight-bit integers (B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018): weights by output channel, what enters a layer as a whole.

Fixed steps would fit the styles they were calibrated on: an adapter scales every channel. But how far a layer's input
spreads follows from the adapter alone, since it comes from normalisations; divided by that, all styles' inputs are
alike, and one step fits them. Nothing needs to be multiplied back, because every quantised layer is followed by a
normalisation, which forgets scale. Statistics, the first and the last layer, and sums stay in floating point.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from creatives.neural.inference import LAYERS, Form, Inference
from creatives.neural.transformer import StyleTransformer

_SAMPLED = 20_000
"""Values kept of each layer's input on each calibration picture."""
_SHARES = torch.linspace(0.2, 1, 41)
"""Of the largest value seen: candidates for the largest that eight bits tell apart."""


class Quantised(Inference):
    """As `Inference`; under ``measure`` the folded vector carries spreads along, which ``tiles`` need.

    ``reaches``: of each layer, the largest magnitude that is told apart, in units of its input's spread.
    """

    def __init__(self, network: StyleTransformer, form: Form, reaches: Sequence[float]) -> None:
        super().__init__(network, form)
        self.reaches = tuple(reaches)

    def vector_size(self) -> int:
        return self.network.adapter_size() + (LAYERS if self.form == "tiles" else 0)

    def _spreads(self, given: list[Tensor], vectors: Tensor) -> Tensor:
        if self.form == "tiles":
            return vectors[:, self.network.adapter_size() :]

        def power(index: int) -> Tensor:
            """Mean square of a normalisation's output before anything is cut off, ``(n,)``."""
            return (given[2 * index].square() + given[2 * index + 1].square()).mean(dim=1)

        passing = power(1)
        powers = [power(0)]
        for block in self.network.body():
            powers += [passing, power(block.first)]
            passing = passing + power(block.first + 1)
        return torch.stack([*powers, passing], dim=1).sqrt() + 1e-6

    def _entering(self, number: int, x: Tensor, spreads: Tensor) -> Tensor:
        return self._rounded(number, x * (1 / spreads[:, number])[:, None, None, None])

    def _rounded(self, number: int, x: Tensor) -> Tensor:
        reach = self.reaches[number]
        if _positive(number):
            return torch.fake_quantize_per_tensor_affine(x, reach / 255, 0, 0, 255)
        return torch.fake_quantize_per_tensor_affine(x, reach / 127, 0, -128, 127)

    def _weights(self, weights: Tensor) -> Tensor:
        steps = weights.abs().amax(dim=(1, 2, 3)).clamp_min(1e-12) / 127
        zeros = torch.zeros(len(steps), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weights, steps, zeros, 0, -127, 127)


class _Watched(Quantised):
    """Weights rounded, inputs kept as they are and sampled."""

    def __init__(self, network: StyleTransformer) -> None:
        super().__init__(network, "whole", [math.inf] * LAYERS)
        self.seen: list[list[Tensor]] = [[] for _ in range(LAYERS)]

    def _rounded(self, number: int, x: Tensor) -> Tensor:
        values = x.abs().flatten()
        every = max(1, len(values) // _SAMPLED)
        self.seen[number] += [values[::every], values.max()[None]]
        return x


@torch.inference_mode()
def calibrate(network: StyleTransformer, pictures: Sequence[Tensor], adapters: Sequence[Tensor]) -> list[float]:
    """The reaches under which rounding these pictures in these styles loses least, for `Quantised`.

    Pictures are ``(1, 3, height, width)`` in 0..1.
    """
    watched = _Watched(network)
    for picture in pictures:
        for adapter in adapters:
            watched(picture, adapter[None])
    return [
        _best_reach(torch.cat(values), 255 if _positive(layer) else 127) for layer, values in enumerate(watched.seen)
    ]


def _best_reach(values: Tensor, steps: int) -> float:
    reaches = (values.max() * _SHARES).clamp_min(1e-6)
    losses = [((values / reach * steps).round().clamp_max(steps) * reach / steps - values).square().mean() for reach in
              reaches]  # fmt: skip
    return float(reaches[int(torch.stack(losses).argmin())])


def _positive(layer: int) -> bool:
    """The first two layers follow a rectifier: all eight bits are for what is above zero."""
    return layer < 2
