"""What training makes small: distance to the style's moments, distance to the photograph's content, dirty whites.

Each term is relative to the size of what it compares, so that layers, styles and perceptual networks weigh alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.neural.eye import Eye
from creatives.neural.features import Distilled, Vgg19
from creatives.neural.measures import CONTENT_LAYER, DEEP_LAYER
from creatives.neural.measures import STYLE_LAYERS as JUDGED_LAYERS
from creatives.neural.moments import feature_moments, relative_gap

STYLE_LAYERS = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1")
SMALL_STYLE_LAYERS = ("small3_1", "small4_1")
CONTENT_LAYERS = ("relu3_1",)
SMALL_CONTENT_LAYERS = ("small4_1",)
DEEP_CONTENT = 0.5
"""How much content at the judge's deepest layer counts, beside 1 at relu3_4."""
_FLAT = 1e-4
"""Added to squared distances before their root is taken: the root of nothing has no slope."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts."""

    style: float = 20.0
    content: float = 1.0
    smooth: float = 0.2
    """Mean absolute difference of neighbours, where the photograph itself is flat: no droplets, no blotches."""
    white: float = 6.0
    """Mean absolute distance from white of a packshot's ground."""
    colour: float = 0.0
    """Squared distance of mean and spread of colour to the style's; for looks that come out in two tones."""


class Perception(nn.Module):
    """The networks through which pictures are compared: VGG-19, or the eye that comes along in its place, and, where it
    is at hand, a distilled deeper one.

    ``deep``: compare at the layers, and by the distances, that `measures` judges by, for twice the time. Its deeper
    content leaves strokes more freedom; and distances that are not squared do not let the pictures that a style fits
    worst outweigh the rest.
    """

    def __init__(self, vgg: Vgg19 | Eye, small: Distilled | None = None, *, deep: bool = False) -> None:
        super().__init__()
        self.vgg, self.small, self.deep = vgg, small, deep
        if deep:
            self.style_layers = JUDGED_LAYERS + ((DEEP_LAYER,) if small else ())
            self.content = {CONTENT_LAYER: 1.0} | ({DEEP_LAYER: DEEP_CONTENT} if small else {})
        else:
            self.style_layers = STYLE_LAYERS + (SMALL_STYLE_LAYERS if small else ())
            self.content = dict.fromkeys(CONTENT_LAYERS + (SMALL_CONTENT_LAYERS if small else ()), 1.0)
        self._deepest = next(iter(self.content))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        found = self.vgg(pictures, deepest=self._deepest)
        if self.small is None:
            return found
        seen = self.small(pictures)
        return found | ({DEEP_LAYER: self.small.embed(seen)[DEEP_LAYER]} if self.deep else seen)

    def apart(self, gap: Tensor) -> Tensor:
        """The distance of two styles at one layer, from the relative squared gap of their Gram matrices."""
        return (gap + _FLAT).sqrt() if self.deep else gap


@dataclass(frozen=True, slots=True)
class StyleTargets:
    """The moments of the pictures of several styles, layer by layer; the first dimension counts styles."""

    grams: dict[str, Tensor]
    """``(styles, channels, channels)``."""
    colour_mean: Tensor
    colour_spread: Tensor
    """``(styles, 3)``."""

    @classmethod
    @torch.no_grad()
    def of(cls, pictures: Iterable[Tensor], perception: Perception) -> "StyleTargets":
        """From ``(1, 3, height, width)`` in 0..1 each."""
        seen = [(perception(picture), feature_moments(picture)) for picture in pictures]
        return cls(
            {
                name: torch.cat([feature_moments(features[name]).gram for features, _ in seen])
                for name in perception.style_layers
            },
            torch.cat([colour.mean for _, colour in seen]),
            torch.cat([colour.spread for _, colour in seen]),
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of the loss, each ``(n,)``: one number a picture."""

    style: Tensor
    content: Tensor
    smooth: Tensor
    white: Tensor
    colour: Tensor

    def means(self) -> "Terms":
        """Over the pictures, as numbers that no gradient hangs on."""
        return Terms(*(getattr(self, name).detach().mean() for name in self.__slots__))

    def total(self, weights: Weights, balance: Tensor | float = 1.0) -> Tensor:
        """Weighted, added, and the mean over pictures; ``balance`` is a further factor of each picture's style."""
        each = (
            weights.style * balance * self.style + weights.content * self.content + weights.smooth * self.smooth
            + weights.white * self.white + weights.colour * self.colour
        )  # fmt: skip
        return each.mean()


def terms(
    styled: Tensor, pictures: Tensor, product: Tensor, chosen: Tensor, targets: StyleTargets, perception: Perception
) -> Terms:
    """Compare styled pictures ``(n, 3, h, w)`` with their photographs and with ``chosen`` (n,) of the targets.

    ``product`` (n, 1, h, w) in 0..1 is 0 on the white ground of packshots: strokes are only asked for elsewhere.
    """
    with torch.no_grad():
        wanted = perception(pictures)
    found = perception(styled)
    style = torch.zeros(len(styled), device=styled.device)
    for name in perception.style_layers:
        gram = feature_moments(found[name], product).gram
        gap = perception.apart(relative_gap(gram, targets.grams[name][chosen]))
        style = style + gap / len(perception.style_layers)
    content = torch.zeros(len(styled), device=styled.device)
    for name, share in perception.content.items():
        gap = relative_gap(found[name].float(), wanted[name].float())
        content = content + gap * (share / sum(perception.content.values()))
    white = ((styled - 1).abs().mean(dim=1, keepdim=True) * (1 - product)).mean(dim=(1, 2, 3))
    moments = feature_moments(styled, product)
    colour = (moments.mean - targets.colour_mean[chosen]).square() + (
        moments.spread - targets.colour_spread[chosen]
    ).square()
    return Terms(style, content, _roughness(styled, pictures), white, colour.sum(dim=1))


def _roughness(styled: Tensor, pictures: Tensor) -> Tensor:
    """Differences of neighbours, counted where the photograph has none, ``(n,)``."""
    rough = torch.zeros(len(styled), device=styled.device)
    for dim in (2, 3):
        there = pictures.diff(dim=dim).abs().mean(dim=1)
        flat = torch.exp(-functional.relu(there - 0.004) * 200)
        rough = rough + (styled.diff(dim=dim).abs().mean(dim=1) * flat).mean(dim=(1, 2))
    return rough
