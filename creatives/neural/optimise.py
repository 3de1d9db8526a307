"""Styling one picture by optimising its pixels: the slow way, and the one that others are measured against.

L. A. Gatys, A. S. Ecker, M. Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016; from coarse
to fine as in L. A. Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017. Moments add:
several styles are one sum, and what their shares leave over is the photograph's own moments.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from creatives.errors import CreativeError
from creatives.neural.moments import FeatureMoments, feature_moments, relative_gap
from creatives.neural.precision import in_own_precision

SMALLEST = 32
"""Pixels a side below which the deepest layers have nothing left to see."""
FRAME = 16
"""Mirrored pixels around a picture while it is worked at: networks pad with zeros and would draw a border."""
STRIDE = 5
"""Iterations between two reports of progress."""
_NOISE = 0.01
"""In a flat sky every pixel has the same gradient: strokes begin from what little the dice put there."""
_HISTORY = 20
_RATE = 0.02
_NEAR = 0.05
"""A relative distance of Gram matrices below which the pull lets go: a line search wants a slope that does not jump."""
_OUTSIDE, _NOTHING = 20.0, 1e-12
_SOFT = 0.01
_AROUND, _FLAT = 7, 0.02
"""Pixels around, of whatever size is worked at, and the standard deviation of lightness there, of what is half flat."""
_LUMA = (0.2126, 0.7152, 0.0722)


class Diverged(CreativeError):
    """The optimisation left the finite numbers."""


class Perception(Protocol):
    """Pictures to feature maps by layer, and which layers tell style and content."""

    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen. The weights' terms are relative to the size of what they compare."""

    scales: int = 3
    """Sizes worked at, each twice the one before."""
    iterations: int = 100
    """At each scale."""
    method: Literal["lbfgs", "adam"] = "lbfgs"
    style_weight: float = 2.0
    content_weight: float = 1.0
    smooth: float = 0.2
    """Differences of neighbours, where the photograph itself is flat: no droplets."""
    calm: float = 3.0
    """How much more content counts there: strokes go where there is something to draw."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the optimisation is; the last one yielded holds the result."""

    scale: int
    """From 1 on."""
    scales: int
    iteration: int
    """Of this scale, from 1 on."""
    iterations: int
    loss: float
    picture: Tensor
    """``(1, 3, height, width)`` of this scale, in 0..1."""


def optimise(
    picture: Tensor, styles: Sequence[tuple[Tensor, float]], perception: Perception, settings: Settings, seed: int,
    counted: Tensor | None = None,
) -> Iterator[Progress]:  # fmt: skip
    """Move a photograph ``(1, 3, height, width)``, sides of at least SMALLEST, towards the moments of styles.

    ``styles`` are pictures ``(1, 3, any, any)`` with their shares, which sum to at most 1. ``counted``
    ``(1, 1, height, width)`` in 0..1 says where strokes are asked for; everywhere if None. A caller that stops asking
    stops the work. The same arguments give the same pictures on the same machine.

    Raises:
        Diverged: for weights beyond what numbers can hold.
    """
    now, strength = picture, min(1.0, sum(share for _, share in styles))
    for scale in range(1, settings.scales + 1):
        size = _side_at(picture, 0.5 ** (settings.scales - scale))
        photograph = resized(picture, size)
        if scale == 1:
            start = photograph + _NOISE * strength * _dice(photograph, seed)
        else:
            start = grown(now, photograph, 1 - strength)
        objective = _Objective(photograph, styles, perception, settings, counted)
        for done, loss, styled in _descend(_framed(start), objective, settings):
            now = styled[:, :, FRAME:-FRAME, FRAME:-FRAME]
            yield Progress(scale, settings.scales, done, settings.iterations, loss, now)


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """``(n, channels, *size)``, in 0..1, without aliasing."""
    if tuple(pictures.shape[2:]) == size:
        return pictures
    return functional.interpolate(pictures, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def grown(styled: Tensor, photograph: Tensor, colour: float = 0.0) -> Tensor:
    """``styled`` at the photograph's size, with the photograph's fine detail that its own size could not hold.

    Of the detail's colours only the share ``colour`` is taken: they are another palette's. Its lightness is whole.
    """
    height, width = photograph.shape[2:]
    coarse = resized(resized(photograph, (styled.shape[2], styled.shape[3])), (height, width))
    detail = photograph - coarse
    luma = (detail * detail.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return (resized(styled, (height, width)) + luma.lerp(detail, colour)).clamp(0, 1)


class _Objective:
    """The loss of a framed picture at one scale; what does not change while it is optimised is kept.

    Strokes are counted inside the frame only, or they would gather in it.
    """

    def __init__(
        self, photograph: Tensor, styles: Sequence[tuple[Tensor, float]], perception: Perception, settings: Settings,
        counted: Tensor | None,
    ) -> None:  # fmt: skip
        # Adam's steps are as long where nothing is seen as elsewhere, and would add up what is rounded there to grain.
        self.precise = settings.method == "adam"
        self.perception, self.settings = perception, settings
        self.counted = _inside(photograph, counted)
        framed, longest = _framed(photograph), max(photograph.shape[2:])
        calm = 1 + settings.calm * _flatness(framed)
        self.calm = calm / calm.mean()
        with torch.no_grad():
            own = self._seen(framed)
            self.content = {name: own[name] for name in perception.content_layers}
            left = 1.0 - sum(share for _, share in styles)
            parts = [self._moments(own, self.counted, left)] if left > 1e-6 else []
            for style, share in styles:
                drawn = resized(style, _side_at(style, min(1.0, longest / max(style.shape[2:]))))
                parts.append(self._moments(self._seen(_framed(drawn)), _inside(drawn), share))
        self.grams = {name: reduce(add, (part[name] for part in parts)).gram for name in perception.style_layers}
        self.flat = [torch.exp(-functional.relu(framed.diff(dim=dim).abs() - 0.004) * 200) for dim in (2, 3)]

    def _seen(self, picture: Tensor) -> dict[str, Tensor]:
        if self.precise:
            return self.perception(picture)
        with in_own_precision(picture.device):
            return self.perception(picture)

    def _moments(self, found: dict[str, Tensor], counted: Tensor, share: float) -> dict[str, FeatureMoments]:
        """Of one pixel in all: shares count, not sizes of pictures."""
        moments = {name: feature_moments(found[name], counted) for name in self.perception.style_layers}
        return {name: each * (share / float(each.pixels)) for name, each in moments.items()}

    def __call__(self, picture: Tensor) -> Tensor:
        settings, found = self.settings, self._seen(picture)
        # Not squared, as likeness is judged: squares would let go of a style once most of the way is made.
        style = torch.stack([
            (relative_gap(feature_moments(found[name], self.counted).gram, gram) + _NEAR**2).sqrt()
            for name, gram in self.grams.items()
        ]).mean()  # fmt: skip
        content = torch.stack([self._away(found[name], wanted) for name, wanted in self.content.items()]).mean()
        rough = torch.stack([
            # Rounded at zero: a line search wants a slope that does not jump.
            (((picture.diff(dim=dim).square() + _SOFT**2).sqrt() - _SOFT) * flat).mean()
            for dim, flat in zip((2, 3), self.flat, strict=True)
        ]).sum()  # fmt: skip
        outside = (picture - picture.clamp(0, 1)).square().mean()
        return (
            settings.style_weight * style + settings.content_weight * content + settings.smooth * rough
            + _OUTSIDE * outside
        )  # fmt: skip

    def _away(self, found: Tensor, wanted: Tensor) -> Tensor:
        """The relative squared distance, places weighed."""
        height, width = found.shape[2:]
        weights = functional.adaptive_avg_pool2d(self.calm, (height, width))
        wanted = wanted.float()
        return ((found.float() - wanted).square() * weights).sum() / wanted.square().sum().clamp(min=_NOTHING)


def _descend(start: Tensor, objective: _Objective, settings: Settings) -> Iterator[tuple[int, float, Tensor]]:
    """Iterations done, loss and picture, after every STRIDE and at the end."""
    picture = torch.nn.Parameter(start.detach().clone(memory_format=torch.contiguous_format))
    step = _stepper(picture, objective, settings.method)
    for begun in range(0, settings.iterations, STRIDE):
        count = min(STRIDE, settings.iterations - begun)
        step(count)
        with torch.no_grad():
            now = picture.detach().clamp(0, 1)
            loss = float(objective(now))
        if not math.isfinite(loss):
            raise Diverged("the optimisation diverged; lower style_weight, content_weight or smooth")
        yield begun + count, loss, now


def _stepper(picture: torch.nn.Parameter, objective: _Objective, method: str) -> Callable[[int], None]:
    """A function that takes a number of iterations."""
    if method == "adam":
        adam = torch.optim.Adam([picture], lr=_RATE)

        def by_gradient(count: int) -> None:
            for _ in range(count):
                adam.zero_grad()
                objective(picture).backward()
                adam.step()

        return by_gradient
    # Steps are of a pixel's order where the loss is a sum over pixels; torch's own thresholds would end the work early.
    lbfgs = torch.optim.LBFGS(
        [picture], history_size=_HISTORY, line_search_fn="strong_wolfe", tolerance_grad=0.0, tolerance_change=0.0
    )

    def closure() -> Tensor:
        lbfgs.zero_grad()
        loss = objective(picture) * picture.numel()
        loss.backward()
        return loss

    def by_curvature(count: int) -> None:
        lbfgs.param_groups[0]["max_iter"] = count
        lbfgs.param_groups[0]["max_eval"] = 4 * count
        lbfgs.step(closure)

    return by_curvature


def _framed(picture: Tensor) -> Tensor:
    return functional.pad(picture, (FRAME,) * 4, mode="reflect")


def _inside(picture: Tensor, counted: Tensor | None = None) -> Tensor:
    """``counted`` at the picture's size, or ones, and nothing in the frame: ``(1, 1, height, width)``."""
    shape = (picture.shape[2], picture.shape[3])
    mask = picture.new_ones(1, 1, *shape) if counted is None else functional.adaptive_avg_pool2d(counted, shape)
    return functional.pad(mask, (FRAME,) * 4)


def _side_at(picture: Tensor, factor: float) -> tuple[int, int]:
    height, width = (max(SMALLEST, round(side * factor)) for side in picture.shape[2:])
    return height, width


def _flatness(picture: Tensor) -> Tensor:
    """Where it shows nothing, ``(1, 1, height, width)`` in 0..1."""
    light = (picture * picture.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    mean, square = (
        functional.avg_pool2d(functional.pad(each, (_AROUND,) * 4, mode="reflect"), 2 * _AROUND + 1, stride=1)
        for each in (light, light.square())
    )
    return torch.exp2(-(square - mean.square()).clamp(min=0).sqrt() / _FLAT)


def _dice(like: Tensor, seed: int) -> Tensor:
    """Normal numbers of a picture's shape, the same on every device."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    return torch.randn(like.shape, generator=generator).to(like)
