"""What training makes small: distance to the style's moments, distance to the photograph's content, dirty whites.

Each term is relative to the size of what it compares, so that layers, styles and perceptual networks weigh alike.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.neural.features import Distilled, Vgg19
from creatives.neural.moments import FeatureMoments, feature_moments, relative_gap

STYLE_LAYERS = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1")
SMALL_STYLE_LAYERS = ("small3_1", "small4_1")
CONTENT_LAYERS = ("relu3_1",)
SMALL_CONTENT_LAYERS = ("small4_1",)


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
    """The networks through which pictures are compared: VGG-19 and, where it is at hand, a distilled deeper one."""

    def __init__(self, vgg: Vgg19, small: Distilled | None = None) -> None:
        super().__init__()
        self.vgg, self.small = vgg, small
        self.style_layers = STYLE_LAYERS + (SMALL_STYLE_LAYERS if small else ())
        self.content_layers = CONTENT_LAYERS + (SMALL_CONTENT_LAYERS if small else ())

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        found = self.vgg(pictures, deepest="relu3_1")
        return found | self.small(pictures) if self.small else found


@dataclass(frozen=True, slots=True)
class StyleTarget:
    """The moments of one style's picture, layer by layer."""

    moments: dict[str, FeatureMoments]
    colour: FeatureMoments

    @classmethod
    @torch.no_grad()
    def of(cls, picture: Tensor, perception: Perception) -> "StyleTarget":
        """From ``(1, 3, height, width)`` in 0..1."""
        features = perception(picture)
        return cls(
            {name: feature_moments(features[name]) for name in perception.style_layers}, feature_moments(picture)
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of the loss, each the mean over a batch."""

    style: Tensor
    content: Tensor
    smooth: Tensor
    white: Tensor
    colour: Tensor

    def detached(self) -> "Terms":
        """As numbers that no gradient hangs on."""
        return Terms(*(getattr(self, name).detach() for name in self.__slots__))

    def total(self, weights: Weights) -> Tensor:
        """Weighted and added."""
        return (
            weights.style * self.style + weights.content * self.content + weights.smooth * self.smooth
            + weights.white * self.white + weights.colour * self.colour
        )  # fmt: skip


def terms(
    styled: Tensor, pictures: Tensor, product: Tensor, targets: list[StyleTarget], perception: Perception
) -> Terms:
    """Compare styled pictures ``(n, 3, h, w)`` with their photographs and, one each, their styles.

    ``product`` (n, 1, h, w) in 0..1 is 0 on the white ground of packshots: strokes are only asked for elsewhere.
    """
    with torch.no_grad():
        wanted = perception(pictures)
    found = perception(styled)
    style = torch.zeros((), device=styled.device)
    for name in perception.style_layers:
        gram = feature_moments(found[name], product).gram
        goal = torch.cat([target.moments[name].gram for target in targets])
        style = style + relative_gap(gram, goal).mean() / len(perception.style_layers)
    content = torch.zeros((), device=styled.device)
    for name in perception.content_layers:
        gap = relative_gap(found[name].float(), wanted[name].float()).mean()
        content = content + gap / len(perception.content_layers)
    ground = 1 - product
    white = ((styled - 1).abs().mean(dim=1, keepdim=True) * ground).sum() / styled.shape[0] / product[0].numel()
    return Terms(style, content, _roughness(styled, pictures), white, _colour_gap(styled, product, targets))


def _roughness(styled: Tensor, pictures: Tensor) -> Tensor:
    """Differences of neighbours, counted where the photograph has none."""
    rough = torch.zeros((), device=styled.device)
    for dim in (2, 3):
        there = pictures.diff(dim=dim).abs().mean(dim=1)
        flat = torch.exp(-functional.relu(there - 0.004) * 200)
        rough = rough + (styled.diff(dim=dim).abs().mean(dim=1) * flat).mean()
    return rough


def _colour_gap(styled: Tensor, product: Tensor, targets: list[StyleTarget]) -> Tensor:
    found = feature_moments(styled, product)
    mean = torch.cat([target.colour.mean for target in targets])
    spread = torch.cat([target.colour.spread for target in targets])
    return ((found.mean - mean).square() + (found.spread - spread).square()).sum(dim=1).mean()
