"""Learning one style from one picture: an adapter of the shared network, or a whole network of its own."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from creatives.engines.network import OWN
from creatives.errors import CreativeError
from creatives.names import plain
from creatives.neural import shared
from creatives.neural.eye import Eye, load_eye
from creatives.neural.features import Vgg19, read_weights
from creatives.neural.shared import PREFIX, Shared
from creatives.neural.vgg import vgg_at_hand
from creatives.training.base import style_tensor
from creatives.training.beginning import Beginning, begin
from creatives.training.fit import Wish, settings_of
from creatives.training.objective import Perception
from creatives.training.photographs import Photographs, photographs_that_come_along, read_photographs
from creatives.training.session import Session, Settings

LEAST_SIDE = 32
"""Pixels of a style's picture, at the size at which its strokes are judged: below it there are none."""
PREVIEW_SIDE = 480
MOST = 2000
"""Photographs that a style is learned on: they take nearly two gigabytes of memory."""


@dataclass(frozen=True)
class Lesson:
    """What a style is learned from: its picture, photographs, an eye, and the network others share."""

    name: str
    picture: Tensor
    """``(1, 3, height, width)`` in 0..1."""
    photographs: Photographs
    perception: Perception
    shared: Shared
    beginning: Beginning
    """What learning begins with."""

    @cached_property
    def key(self) -> str:
        """The name, and a hash of everything else: a checkpoint goes on only with what it was begun with."""
        digest = hashlib.sha256(self.shared.sha256.encode())
        for tensor in (self.picture, self.beginning.adapter, *self.perception.state_dict().values()):
            digest.update(tensor.cpu().contiguous().numpy().data)
        digest.update(repr(self.photographs.augmentation).encode())
        for photograph in (*self.photographs.validation, *self.photographs.training):
            digest.update(repr(photograph.shape).encode())
            digest.update(np.ascontiguousarray(photograph).data)
        return f"{self.name} {digest.hexdigest()[:12]}"

    def session(self, settings: Settings, checkpoint: Path) -> Session:
        """A training, new or where its checkpoint left it. A whole network, too, starts from what others learned.

        Raises:
            CreativeError: for a checkpoint that cannot be gone on from.
        """
        return Session(
            settings, {self.key: self.picture}, self.photographs, self.perception, checkpoint, self.shared.network,
            {self.key: self.beginning.adapter},
        )  # fmt: skip


def prepare(picture: Path, name: str, *, vgg: Path | None, photos: Path | None) -> Lesson:
    """Read everything a training needs; without ``photos`` and VGG-19, photographs and an eye that come along.

    Raises:
        CreativeError: for pictures or weights that cannot be used.
    """
    style = style_tensor(picture)
    height, width = style.shape[2:]
    if min(height, width) < LEAST_SIDE:
        raise CreativeError(
            f"{picture} shows {width} x {height} px of strokes: give a larger picture, or a squarer one"
        )
    photographs = read_photographs(photos, most=MOST) if photos else photographs_that_come_along()
    network, perception = shared.load_shared(), Perception(eye_at_hand(vgg))
    _check_sight(perception, style)
    beginning = begin(network, style, photographs, perception, settings_of(Wish()).weights)
    return Lesson(name, style, photographs, perception, network, beginning)


def _check_sight(perception: Perception, style: Tensor) -> None:
    """Refuse weights that are numbers themselves and yet too large to compute with, before any time is spent."""
    with torch.inference_mode():
        seen = perception(functional.interpolate(style, size=(LEAST_SIDE, LEAST_SIDE)))
    if not all(torch.isfinite(each.square()).all() for each in seen.values()):
        raise CreativeError(
            "seen through these weights of VGG-19 the picture comes to no numbers: give another file (--vgg)"
        )


def eye_at_hand(vgg: Path | None) -> Vgg19 | Eye:
    """VGG-19 from this file or torchvision's cache; where it is in neither, the eye that comes along.

    Raises:
        CreativeError: for a file that is missing or no such network.
    """
    where = vgg or vgg_at_hand()
    return Vgg19(read_weights(where), str(where)) if where else load_eye()


@dataclass(frozen=True, slots=True)
class Learned:
    """What a pack of engine ``network`` holds: its parameters and its tensors."""

    parameters: dict[str, str]
    weights: dict[str, NDArray[np.float16]]


def learned(session: Session, lesson: Lesson) -> Learned:
    """What a training amounts to, in half precision.

    Raises:
        CreativeError: where it led to what are no numbers.
    """
    outcome = session.outcome()
    tensors = {"adapter": outcome["adapters"][session.names.index(lesson.key)]}
    parameters = {"network": lesson.shared.sha256[:12]}
    if not session.settings.frozen:
        tensors |= {name: value for name, value in outcome.items() if name.startswith(PREFIX)}
        parameters = {"network": OWN}
    weights = {name: value.numpy().astype(np.float16) for name, value in tensors.items()}
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise CreativeError("the training came to no numbers: begin again at a lower rate")
    return Learned(parameters, weights)


def how_made(session: Session, lesson: Lesson, picture: Path) -> str:
    """One sentence of provenance."""
    wish = session.settings
    own = isinstance(session.perception.vgg, Eye)
    kind = "Adapter of the shared network" if wish.frozen else "A whole network"
    learners, nearest = len(session.photographs.training), " and ".join(lesson.beginning.styles)
    return (
        f"{kind}, learned from {plain(picture.name)} in {session.step} steps of {wish.batch} crops of {wish.size} px "
        f"from {learners} {'photograph' if learners == 1 else 'photographs'}: style weight {wish.weights.style:g}, "
        f"content weight {wish.weights.content:g}, rate {wish.adapter_rate:g}, seed {wish.seed}, {wish.device}"
        f"{', without VGG-19' if own else ''}{f', beginning with {nearest}' if nearest else ''}."
    )


def look_of(picture: Path) -> str:
    """What a style is said to look like before somebody says it better."""
    return f"The strokes and colours of {plain(picture.stem)[:100]}."


def glimpse_of(session: Session, lesson: Lesson) -> Image.Image:
    """The first photograph held back, in the style as it is now; its sides are multiples of four."""
    image = Image.fromarray(lesson.photographs.validation[0])
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    width, height = (max(16, side // 4 * 4) for side in image.size)
    rgb = np.array(image.resize((width, height), Image.Resampling.LANCZOS))
    styled = session.style(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255, lesson.key)
    return Image.fromarray((styled[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8))
