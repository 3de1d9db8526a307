"""Photographs where the network is: crops are cut, turned and graded on the device, thousands a second.

What `photographs.Photographs` does one picture at a time on the processor, for a batch at once in torch, so that a
graphics card never waits for its pictures. The same generator draws the same crops.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from creatives.training.photographs import SHORT_SIDE, Augmentation

_LUMA = (0.299, 0.587, 0.114)


class Pool:
    """Photographs ``(height, width, 3)`` uint8, held on a device in frames of one size."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], augmentation: Augmentation, device: torch.device) -> None:
        side = min(max(max(picture.shape[:2]) for picture in pictures), 2 * SHORT_SIDE)
        self.augmentation, self.device = augmentation, device
        self._frames = torch.zeros(len(pictures), 3, side, side, dtype=torch.uint8, device=device)
        sizes = []
        for index, picture in enumerate(pictures):
            part = torch.from_numpy(picture[:side, :side].copy()).permute(2, 0, 1)
            self._frames[index, :, : part.shape[1], : part.shape[2]] = part.to(device)
            sizes.append(part.shape[1:])
        self._sizes = torch.tensor(sizes, dtype=torch.float32, device=device)

    def batch(self, count: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Crops ``(count, 3, size, size)`` in 0..1, and where products stand: ``(count, 1, size, size)``, 0 on white.

        ``generator`` belongs to the pool's device.
        """
        wish = self.augmentation

        def dice(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=self.device)

        chosen = torch.randint(len(self._frames), (count,), generator=generator, device=self.device)
        heights, widths = self._sizes[chosen].unbind(1)
        turns = (2 * dice(count) - 1) * math.radians(wish.rotate) * (dice(count) < 0.5)
        room = turns.abs().cos() + turns.abs().sin()  # the corners that turning would leave black stay outside
        low, high = wish.zoom
        side = torch.minimum(size / (low + (high - low) * dice(count)), torch.minimum(heights, widths) / room)
        reach = side * room / 2
        across = reach + dice(count) * (widths - 2 * reach)
        down = reach + dice(count) * (heights - 2 * reach)
        mirror = torch.where(dice(count) < 0.5, -1.0, 1.0) if wish.flip else torch.ones(count, device=self.device)
        frame = self._frames.shape[-1]
        scale = side / frame
        theta = torch.stack(
            [
                torch.stack([mirror * scale * turns.cos(), -scale * turns.sin(), 2 * across / frame - 1], dim=1),
                torch.stack([mirror * scale * turns.sin(), scale * turns.cos(), 2 * down / frame - 1], dim=1),
            ],
            dim=1,
        )
        grid = functional.affine_grid(theta, [count, 3, size, size], align_corners=False)
        crops = functional.grid_sample(self._frames[chosen].float() / 255, grid, mode="bicubic", align_corners=False)
        crops = self._graded(crops, 1 + (2 * dice(3, count, 1, 1, 1) - 1) * wish.colour)
        cover = self._covers(count, size, dice)
        paper = 1 - 0.02 * dice(count, 1, 1, 1)
        crops = crops * cover + paper * (1 - cover)
        return crops.contiguous(memory_format=torch.channels_last), cover

    @staticmethod
    def _graded(crops: Tensor, factors: Tensor) -> Tensor:
        brightness, contrast, saturation = factors
        values = crops * brightness
        middle = values.mean(dim=(1, 2, 3), keepdim=True)
        values = (values - middle) * contrast + middle
        grey = (values * torch.tensor(_LUMA, device=crops.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        return (grey + (values - grey) * saturation).clamp(0, 1)

    def _covers(self, count: int, size: int, dice: Callable[..., Tensor]) -> Tensor:
        """1 everywhere; for packshots, 1 in a rounded shape with a soft edge of two pixels and 0 around it."""
        line = (torch.arange(size, device=self.device) / size - 0.5) * 2
        width, height = (0.4 + 0.45 * dice(count, 1, 1) for _ in range(2))
        power = 2 + 4 * dice(count, 1, 1)
        away = (line[None, None, :].abs() / width) ** power + (line[None, :, None].abs() / height) ** power
        outside = away ** (1 / power) - 1
        cover = (0.5 - outside * size * torch.minimum(width, height) / 4).clamp(0, 1)
        whole = dice(count, 1, 1) >= self.augmentation.packshots
        return torch.where(whole, torch.ones_like(cover), cover)[:, None]
