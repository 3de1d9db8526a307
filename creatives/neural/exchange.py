"""Statistics exchanged: features keep where they are and take on the mean and covariance of another picture's.

Y. Li et al., "Universal Style Transfer via Feature Transforms", NeurIPS 2017 (whitening and colouring); N. J. Higham,
"Functions of Matrices", SIAM 2008, section 6.7 (the coupled Newton-Schulz iteration for a matrix's root and its
inverse, made of products alone, so that gradients pass through it).

We leave the paper where variances are small: a common floor is added to both covariances, so that directions in which
neither picture has anything to say stay as they are, and the grain of a flat ground is never blown up into blotches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

FLOOR = 0.005
"""Added to every variance, as a share of the mean variance of the two pictures."""
_ROUNDING, _LEAST = 1e-5, 1e-6
"""Added too, of the mean squared mean and as it is: a variance of less is nothing but rounded away."""
_ITERATIONS = 18


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of feature maps: ``(n, channels)`` and ``(n, channels, channels)``.

    Covariances are summed around the mean: as differences of second moments, small ones would be rounded away, and
    whitening divides by them.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor, counted: Tensor | None = None) -> "Statistics":
        """Of ``(n, channels, height, width)``; only pixels in the mask ``counted`` (n, 1, any size) tell."""
        with torch.autocast(features.device.type, enabled=False):
            flat = features.float().flatten(2)
            if counted is None:
                mean = flat.mean(dim=2)
                around = flat - mean[:, :, None]
                return cls(mean, torch.bmm(around, around.transpose(1, 2)) / flat.shape[2])
            height, width = features.shape[2:]
            weights = functional.adaptive_avg_pool2d(counted.float(), (height, width)).flatten(2)
            weights = weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-3)
            mean = (flat * weights).sum(dim=2)
            around = flat - mean[:, :, None]
            return cls(mean, torch.bmm(around * weights, around.transpose(1, 2)))

    def __getitem__(self, chosen: slice) -> "Statistics":
        return Statistics(self.mean[chosen], self.covariance[chosen])


def blend(parts: Sequence[tuple[Statistics, float]]) -> Statistics:
    """Statistics of pixels drawn from several pictures in these shares, which sum to 1: moments add."""
    means = torch.stack([part.mean for part, _ in parts])
    shares = torch.tensor([share for _, share in parts], device=means.device)[:, None, None]
    mean = (means * shares).sum(dim=0)
    apart = means - mean
    with torch.autocast(means.device.type, enabled=False):
        between = torch.einsum("kni,knj->nij", apart * shares, apart)
    within = torch.stack([part.covariance for part, _ in parts]) * shares[..., None]
    return Statistics(mean, within.sum(dim=0) + between)


@dataclass(frozen=True, slots=True)
class Affine:
    """What an exchange comes to: ``(n, channels, channels)`` and ``(n, channels)``."""

    matrix: Tensor
    shift: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """``(n, channels, height, width)`` features, mapped pixel by pixel."""
        n, channels, height, width = features.shape
        flat = features.permute(0, 2, 3, 1).reshape(n, height * width, channels)
        matrix, shift = self.matrix.to(features.dtype), self.shift.to(features.dtype)
        mapped = torch.baddbmm(shift[:, None, :], flat, matrix.transpose(1, 2))
        return mapped.reshape(n, height, width, channels).permute(0, 3, 1, 2)


def exchange(own: Statistics, wanted: Statistics) -> Affine:
    """The map under which features with the statistics ``own`` have those ``wanted``, up to the floor."""
    with torch.autocast(own.mean.device.type, enabled=False):
        covariances = torch.stack([own.covariance, wanted.covariance])
        channels = covariances.shape[-1]
        unit = torch.eye(channels, device=covariances.device)
        power = torch.diagonal(covariances, dim1=-2, dim2=-1).mean(dim=(0, 2))
        level = (own.mean.square() + wanted.mean.square()).mean(dim=1)
        floor = FLOOR * power + _ROUNDING * level + _LEAST
        floored = covariances + floor[None, :, None, None] * unit
        roots, inverses = roots_of(floored.flatten(0, 1))
        matrix = torch.bmm(roots.unflatten(0, (2, -1))[1], inverses.unflatten(0, (2, -1))[0])
        shift = wanted.mean - torch.bmm(matrix, own.mean[:, :, None])[:, :, 0]
    return Affine(matrix, shift)


def roots_of(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Square roots of symmetric positive ``(n, size, size)`` matrices, and their inverses."""
    norm = torch.linalg.matrix_norm(matrices, keepdim=True)
    unit = torch.eye(matrices.shape[-1], device=matrices.device, dtype=matrices.dtype).expand_as(matrices)
    root, inverse = matrices / norm, unit
    for _ in range(_ITERATIONS):
        step = torch.baddbmm(unit, inverse, root, beta=1.5, alpha=-0.5)
        root, inverse = torch.bmm(root, step), torch.bmm(step, inverse)
    scale = norm.sqrt()
    return root * scale, inverse / scale
