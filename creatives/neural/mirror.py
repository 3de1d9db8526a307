"""Pictures mirrored at their edges, without leaving the order in which their numbers lie."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def mirrored(x: Tensor, margin: int) -> Tensor:
    """``(n, channels, height, width)`` grown by ``margin`` pixels on every side, none of them repeated at the edge."""
    turned = x.is_cuda or x.dtype is torch.bfloat16
    if turned and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        grown: Tensor = _Mirrored.apply(x, margin)
        return grown
    return functional.pad(x, (margin,) * 4, mode="reflect")


class _Mirrored(torch.autograd.Function):
    """torch's own kernel knows channels first alone on graphics cards, and 32 bits alone on processors where others
    are chosen: two copies a call go into turning what it is given.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, margin: int) -> Tensor:
        ctx.margin = margin
        n, channels, height, width = x.shape
        grown = torch.empty(
            (n, channels, height + 2 * margin, width + 2 * margin), dtype=x.dtype, device=x.device,
            memory_format=torch.channels_last,
        )  # fmt: skip
        inside = slice(margin, -margin)
        grown[:, :, inside, inside] = x
        for dim, side in ((2, height), (3, width)):
            for step in range(1, margin + 1):
                grown.select(dim, margin - step).copy_(grown.select(dim, margin + step))
                grown.select(dim, margin + side - 1 + step).copy_(grown.select(dim, margin + side - 1 - step))
        return grown

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        margin = ctx.margin
        gradient = gradients[0].clone(memory_format=torch.channels_last)
        for dim in (3, 2):
            side = gradient.shape[dim] - 2 * margin
            for step in range(1, margin + 1):
                gradient.select(dim, margin + step).add_(gradient.select(dim, margin - step))
                gradient.select(dim, margin + side - 1 - step).add_(gradient.select(dim, margin + side - 1 + step))
        return gradient[:, :, margin:-margin, margin:-margin], None
