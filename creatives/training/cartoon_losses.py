"""What the cartoon's generator is judged by: two critics of look, the photograph's content, flatness, colour, whites.

Y. Chen, Y.-K. Lai, Y.-J. Liu, "CartoonGAN", CVPR 2018 (edge-promoting adversarial loss, content as L1 of VGG
features); X. Wang, J. Yu, "White-box Cartoonization", CVPR 2020 (critics of texture, on grey of random weights, and of
surface, on what a guided filter leaves; structure against a segmented picture); J. Chen, G. Liu, X. Chen, "AnimeGAN",
ISICA 2019 (colour reconstruction); X. Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017.

Our critics have no spectral norms, as those of the papers have: in minutes instead of days they must learn fast, and
what they may do to the generator is bounded elsewhere, by the length of their gradient in the picture.

Pictures are ``(n, 3, height, width)`` in 0..1.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.neural.features import Vgg19

CHROMA, LIGHT = 1.25, 0.9
"""Colours the generator aims at: the photograph's chroma times one, its lightness to the power of the other."""
STRUCTURE_LAYERS = ("relu1_2", "relu2_1", "relu3_1")
_LUMA = (0.299, 0.587, 0.114)
_INK = (0.07, 0.06, 0.10)


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts."""

    content: float = 1.0
    """L1 of relu3_4, relative to its size, to the photograph."""
    structure: float = 1.5
    """L1 of relu1_2, relu2_1 and relu3_1 to the photograph flattened and outlined by rule."""
    colour: float = 12.0
    """Mean absolute difference of colour at an eighth of the size; chroma counts twice as much as lightness."""
    flat: float = 5.0
    """Mean absolute difference of neighbours where the flattened photograph has none."""
    white: float = 20.0
    """Mean absolute distance from white of a packshot's ground."""
    range: float = 10.0
    """Mean excess beyond 0..1."""
    adversarial: float = 0.6
    """Length of the critics' gradient against that of all other terms, in the picture."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of the loss, each the mean over a batch."""

    content: Tensor
    structure: Tensor
    colour: Tensor
    flat: Tensor
    white: Tensor
    range: Tensor

    def total(self, weights: Weights) -> Tensor:
        """All but the critics."""
        return torch.stack([getattr(weights, each.name) * getattr(self, each.name) for each in fields(self)]).sum()


class Critic(nn.Module):
    """Real or not, patch by patch: ``(n, channels, height, width)`` to ``(n, 1, height / reduction, ...)``."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for width in widths:
            layers += [nn.Conv2d(before, width, 4, 2, 1), nn.LeakyReLU(0.2)]
            before = width
        layers += [nn.Conv2d(before, before, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(before, 1, 3, 1, 1)]
        self.layers = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x * 2 - 1).float()


def texture_critic() -> Critic:
    """Sees lines and grain: patches of some 26 pixels."""
    return Critic(1, (48, 96))


def surface_critic() -> Critic:
    """Sees areas and colours: patches of some 50 pixels."""
    return Critic(3, (32, 64, 96))


def random_grey(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Grey of weights drawn for each picture, ``(n, 1, height, width)``: texture without colour."""
    middle = torch.tensor(_LUMA, device=pictures.device).view(1, 3, 1, 1)
    weights = middle + 0.1 * (2 * torch.rand(len(pictures), 3, 1, 1, generator=generator, device=pictures.device) - 1)
    return (pictures * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)


def surface(pictures: Tensor, radius: int = 4, epsilon: float = 0.01) -> Tensor:
    """What is left without texture: each channel guided by itself (K. He, J. Sun, X. Tang, ECCV 2010)."""

    def box(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)

    mean = box(pictures)
    variance = (box(pictures * pictures) - mean * mean).clamp(min=0)
    slope = variance / (variance + epsilon)
    return box(slope) * pictures + box(mean * (1 - slope))


@torch.no_grad()
def outlined(pictures: Tensor, product: Tensor) -> Tensor:
    """Targets cut out for a white ground get the contour that a drawing would have there; ``product`` as in `terms`."""
    band = functional.max_pool2d(product, 3, 1, 1) + functional.max_pool2d(1 - product, 3, 1, 1) - 1
    band = functional.avg_pool2d(band.clamp(0, 1), 3, 1, 1).mul(1.4).clamp(max=1)
    ink = torch.tensor(_INK, device=pictures.device).view(1, 3, 1, 1)
    return pictures + band * (ink - pictures)


@torch.no_grad()
def edges_smoothed(pictures: Tensor) -> Tensor:
    """Targets with their contours blurred away: fakes that differ from the real ones in nothing else."""
    grey = pictures.mean(dim=1, keepdim=True)
    across = functional.pad(grey.diff(dim=3).abs(), (0, 1, 0, 0))
    down = functional.pad(grey.diff(dim=2).abs(), (0, 0, 0, 1))
    near = functional.max_pool2d((torch.maximum(across, down) > 0.08).float(), 5, 1, 2)
    near = functional.avg_pool2d(near, 3, 1, 1)
    return pictures + near * (_blurred(pictures, 1.6) - pictures)


@torch.no_grad()
def inked(pictures: Tensor, sigma: float = 1.2) -> Tensor:
    """Contours along the dark sides of edges: a difference of Gaussians, as strong as the edge.

    H. Winnemoeller, J. E. Kyprianidis, S. C. Olsen, "XDoG" (Computers & Graphics 36, 2012). A first pen for the
    generator, which learns its own from the critics.
    """
    seen = torch.cat([pictures * 0.7, _grey(pictures)], dim=1)
    dark = (_blurred(seen, 1.6 * sigma) - _blurred(seen, sigma)).amax(dim=1, keepdim=True)
    cover = ((dark - 0.010) / 0.022).clamp(0, 1)
    cover = cover * cover * (3 - 2 * cover)
    # Where lines crowd, as in print and foliage, the pen is lifted: letters must not run together.
    crowd = functional.avg_pool2d(cover, 13, 1, 6, count_include_pad=False)
    cover = cover * (1 - ((crowd - 0.22) / 0.2).clamp(0, 0.8))
    return pictures + cover * (0.14 * pictures + 0.03 - pictures)


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(2.5 * sigma)
    line = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    kernel = torch.exp(-line.square() / (2 * sigma**2))
    channels = pictures.shape[1]
    kernel = (kernel / kernel.sum()).repeat(channels, 1, 1, 1)
    with torch.autocast(pictures.device.type, enabled=False):
        padded = functional.pad(pictures.float(), (reach,) * 4, mode="reflect")
        across = functional.conv2d(padded, kernel, groups=channels)
        return functional.conv2d(across, kernel.transpose(2, 3), groups=channels)


@torch.no_grad()
def flattened(pictures: Tensor, spread: float = 0.085) -> Tensor:
    """Areas in one colour, edges where they are: bilateral means at growing, then shrinking, distance.

    H. Dammertz et al., "Edge-Avoiding A-Trous Wavelet Transform", HPG 2010; it stands for the superpixels of White-box
    Cartoonization, which no graphics card computes in a step's time.
    """
    n, channels, height, width = pictures.shape
    near = torch.tensor([1.0, 2, 1, 2, 4, 2, 1, 2, 1], device=pictures.device).view(1, 1, 9, 1) / 4
    x = pictures.contiguous()
    for distance in (1, 2, 4, 8, 4, 2, 1):
        padded = functional.pad(x, (distance,) * 4, mode="reflect")
        around = functional.unfold(padded, 3, dilation=distance).view(n, channels, 9, height * width)
        away = (around - x.view(n, channels, 1, -1)).square().sum(dim=1, keepdim=True)
        share = near * torch.exp(-away / (2 * spread**2))
        x = ((around * share).sum(dim=2) / share.sum(dim=2)).view(n, channels, height, width)
    return x


def lively(pictures: Tensor) -> Tensor:
    """A little lighter and more colourful; black, white and greys stay grey."""
    grey = _grey(pictures)
    lighter = grey.clamp(min=1e-3) ** LIGHT
    return (lighter + (pictures - grey) * CHROMA * (lighter / grey.clamp(min=1e-3)).clamp(max=1.3)).clamp(0, 1)


def terms(pictures: Tensor, photographs: Tensor, product: Tensor, vgg: Vgg19) -> Terms:
    """The generator's ``pictures`` of ``photographs``; ``product`` is 0 on a packshot's ground, ``(n, 1, ...)``."""
    with torch.no_grad():
        flat = flattened(photographs)
        goal = lively(flat)
        wanted = vgg(torch.cat([photographs, inked(goal)]))
    found = vgg(pictures)
    count = len(pictures)
    content = _gap(found["relu3_4"], wanted["relu3_4"][:count])
    gaps = (_gap(found[name], wanted[name][count:]) for name in STRUCTURE_LAYERS)
    structure = sum(gaps, content.new_zeros(()))
    small, small_goal = (functional.avg_pool2d(each, 8) for each in (pictures, goal))
    grey, grey_goal = _grey(small), _grey(small_goal)
    chroma = ((small - grey) - (small_goal - grey_goal)).abs().mean()
    ground = 1 - product
    return Terms(
        content=content, structure=structure, colour=chroma * 2 + (grey - grey_goal).abs().mean(),
        flat=_steps_where_flat(pictures, flat),
        white=((pictures - 1).abs() * ground).sum() / (3 * ground.sum()).clamp(min=1),
        range=(pictures - pictures.clamp(0, 1)).abs().mean(),
    )  # fmt: skip


def _steps_where_flat(pictures: Tensor, flat: Tensor) -> Tensor:
    total = pictures.new_zeros(())
    for axis in (2, 3):
        edge = flat.diff(dim=axis).abs().sum(dim=1, keepdim=True)
        total = total + (pictures.diff(dim=axis).abs() * torch.exp(-edge / 0.015)).mean()
    return total


def _gap(found: Tensor, wanted: Tensor) -> Tensor:
    return (found.float() - wanted.float()).abs().mean() / wanted.float().abs().mean().clamp(min=1e-6)


def _grey(pictures: Tensor) -> Tensor:
    return (pictures * torch.tensor(_LUMA, device=pictures.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
