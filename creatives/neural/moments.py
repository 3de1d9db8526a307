"""Feature moments: a style is sums over pixels, so pictures add, blend and compare by adding.

Gram matrices are second moments about zero (L. A. Gatys, A. S. Ecker, M. Bethge, "Image Style Transfer Using
Convolutional Neural Networks", CVPR 2016). We divide by the pixels counted, so that sizes do not matter, and may count
only some of them (a product on a white ground).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

STRIPS = 16


@dataclass(frozen=True, slots=True)
class FeatureMoments:
    """Sums of one feature map over pixels: ``(n,)``, ``(n, channels)`` and ``(n, channels, channels)``."""

    pixels: Tensor
    sums: Tensor
    products: Tensor

    def __add__(self, other: "FeatureMoments") -> "FeatureMoments":
        return FeatureMoments(self.pixels + other.pixels, self.sums + other.sums, self.products + other.products)

    def __mul__(self, weight: float) -> "FeatureMoments":
        return FeatureMoments(self.pixels * weight, self.sums * weight, self.products * weight)

    @property
    def mean(self) -> Tensor:
        """``(n, channels)``."""
        return self.sums / self.pixels[:, None]

    @property
    def gram(self) -> Tensor:
        """Mean products of channels, ``(n, channels, channels)``."""
        return self.products / self.pixels[:, None, None]

    @property
    def spread(self) -> Tensor:
        """Standard deviations of channels, ``(n, channels)``."""
        variance = torch.diagonal(self.gram, dim1=1, dim2=2) - self.mean**2
        return variance.clamp(min=0).sqrt()


def feature_moments(features: Tensor, counted: Tensor | None = None) -> FeatureMoments:
    """The moments of ``(n, channels, height, width)`` features; ``counted`` is a mask (n, 1, any size) in 0..1."""
    n, channels, height, width = features.shape
    flat = features.permute(0, 2, 3, 1).reshape(n, height * width, channels)
    if counted is None:
        pixels, weighted = torch.full((n,), float(height * width), device=features.device), flat
    else:
        weights = functional.adaptive_avg_pool2d(counted.float(), (height, width)).reshape(n, -1, 1)
        pixels, weighted = weights.sum(dim=(1, 2)).clamp(min=1e-3), flat * weights.to(flat.dtype)
    # Products add up in 32 bits whatever they are of; the features themselves may stay in the 16 they were computed in.
    return FeatureMoments(pixels, weighted.sum(dim=1, dtype=torch.float32), _products(weighted, flat).float())


def _products(left: Tensor, right: Tensor) -> Tensor:
    """Of ``(n, pixels, channels)`` each: ``(n, channels, channels)``, summed over pixels."""
    if not left.is_cuda:  # a product of a batch would copy them to transpose them
        return torch.stack([one.t() @ other for one, other in zip(left, right, strict=True)])
    # Sums over pixels add: in strips they keep the whole of a graphics card busy.
    strips = STRIPS if left.shape[1] % STRIPS == 0 else 1
    left, right = (each.unflatten(1, (strips, -1)) for each in (left, right))
    return torch.einsum("nspi,nspj->nsij", left, right).float().sum(dim=1)


def relative_gap(found: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance over the squared size of what is wanted, one number a picture, ``(n,)``."""
    dims = tuple(range(1, wanted.ndim))
    return (found - wanted).square().sum(dims) / wanted.square().sum(dims).clamp(min=1e-12)
