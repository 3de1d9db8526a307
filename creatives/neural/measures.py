"""How near a styled picture comes to its style and stays to its photograph, in numbers that do not know the training.

Distances of Gram matrices and of means and spreads (L. A. Gatys et al., CVPR 2016; X. Huang, S. Belongie, ICCV 2017),
relative to the style's own; squared distance of features relative to the photograph's; structural similarity (Z. Wang
et al., 2004). ``unseen`` takes layers that no training here compares.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from creatives.neural.features import Distilled, Vgg19
from creatives.neural.moments import feature_moments, relative_gap

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1")
DEEP_LAYER = "relu4_1"
UNSEEN_LAYERS = ("relu3_2", "relu3_3", "relu3_4")
CONTENT_LAYER = "relu3_4"


@dataclass(frozen=True, slots=True)
class Quality:
    """All but ``ssim`` are distances: 0 is a perfect likeness."""

    gram: float
    moments: float
    content: float
    """At relu3_4."""
    deep_content: float
    """At the distilled relu4_1."""
    ssim: float
    unseen_gram: float


@torch.no_grad()
def measure(styled: Tensor, photograph: Tensor, style: Tensor, vgg: Vgg19, small: Distilled) -> Quality:
    """Pictures are ``(1, 3, height, width)`` in 0..1; the styled one and its photograph have one size."""
    from skimage.metrics import structural_similarity

    out, wanted, goal = (_features(each, vgg, small) for each in (styled, photograph, style))
    left, right = ((each[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255).round().astype(np.uint8) for each in
                   (styled, photograph))  # fmt: skip
    judged = (*STYLE_LAYERS, DEEP_LAYER)
    return Quality(
        gram=_mean(_gram_distance(out[name], goal[name]) for name in judged),
        moments=_mean(_moment_distance(out[name], goal[name]) for name in judged),
        content=float(relative_gap(out[CONTENT_LAYER], wanted[CONTENT_LAYER])),
        deep_content=float(relative_gap(out[DEEP_LAYER], wanted[DEEP_LAYER])),
        ssim=float(structural_similarity(left, right, channel_axis=2)),
        unseen_gram=_mean(_gram_distance(out[name], goal[name]) for name in UNSEEN_LAYERS),
    )


def _features(picture: Tensor, vgg: Vgg19, small: Distilled) -> dict[str, Tensor]:
    found = vgg(picture)
    return found | {DEEP_LAYER: small.embed(small(picture))[DEEP_LAYER]}


def _gram_distance(found: Tensor, wanted: Tensor) -> float:
    return float(relative_gap(feature_moments(found).gram, feature_moments(wanted).gram).sqrt())


def _moment_distance(found: Tensor, wanted: Tensor) -> float:
    one, other = feature_moments(found), feature_moments(wanted)
    apart = (relative_gap(one.mean, other.mean).sqrt() + relative_gap(one.spread, other.spread).sqrt()) / 2
    return float(apart)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
