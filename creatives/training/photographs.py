"""What networks are trained on: crops of photographs, turned, flipped and graded; some of them packshots on white."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from creatives.errors import CreativeError
from creatives.pictures import PictureError, load_picture, on_ground

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
SHORT_SIDE = 448
"""Photographs are kept at most at this shorter side: crops are taken from reduced pictures, and memory stays small."""
HELD_BACK = 16
"""Photographs that only validation sees; fewer where there are fewer than five times as many."""

COME_ALONG = ("coffee.png", "motorcycle_left.png", "chelsea.png", "astronaut.png", "rocket.jpg", "camera.png")
"""Photographs in scikit-image's wheel, free to use; validation sees the first."""


class NoPhotographs(CreativeError):
    """A folder from which nothing can be learned."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How a crop may differ from its photograph."""

    flip: bool = True
    rotate: float = 8.0
    """Degrees to either side."""
    colour: float = 0.15
    """Largest relative change of brightness, contrast and saturation."""
    zoom: tuple[float, float] = (0.75, 1.5)
    packshots: float = 0.12
    """Share of crops that are put on a white ground."""


@dataclass(frozen=True, slots=True)
class Batch:
    """``pictures`` (n, size, size, 3) uint8; ``product`` (n, size, size) uint8: 0 where the ground of a packshot is."""

    pictures: NDArray[np.uint8]
    product: NDArray[np.uint8]


class Photographs:
    """Photographs in memory; the same seed draws the same crops."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], augmentation: Augmentation) -> None:
        held = min(HELD_BACK, len(pictures) // 5)
        self.validation = tuple(pictures[:held]) or tuple(pictures[:1])
        self.training = tuple(pictures[held:]) or tuple(pictures)
        self.augmentation = augmentation

    def batch(self, rng: np.random.Generator, count: int, size: int) -> Batch:
        """``count`` crops of ``size`` pixels a side."""
        chosen = rng.integers(len(self.training), size=count)
        crops, products = zip(*(self._crop(self.training[index], rng, size) for index in chosen), strict=True)
        return Batch(np.stack(crops), np.stack(products))

    def held_out(self, size: int) -> Batch:
        """The middles of the validation photographs, always the same."""
        crops = [_middle(picture, size) for picture in self.validation]
        return Batch(np.stack(crops), np.full((len(crops), size, size), 255, np.uint8))

    def middles(self, count: int, size: int) -> list[NDArray[np.uint8]]:
        """Of the first ``count`` photographs, those held back before others: always the same squares."""
        return [_middle(picture, size) for picture in (*self.validation, *self.training)[:count]]

    def _crop(
        self, photograph: NDArray[np.uint8], rng: np.random.Generator, size: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        wish = self.augmentation
        image = Image.fromarray(photograph)
        angle = float(rng.uniform(-wish.rotate, wish.rotate)) if rng.random() < 0.5 else 0.0
        room = 1.0 + abs(np.sin(np.radians(angle)))  # the corners that turning leaves black stay outside
        side = size * room / float(rng.uniform(*wish.zoom))
        side = min(side, *image.size)
        left, top = rng.uniform(0, image.width - side), rng.uniform(0, image.height - side)
        turned = image.rotate(angle, Image.Resampling.BILINEAR, center=(left + side / 2, top + side / 2))
        margin = side * (1 - 1 / room) / 2
        box = (left + margin, top + margin, left + side - margin, top + side - margin)
        crop = np.asarray(turned.resize((size, size), Image.Resampling.BICUBIC, box=box))
        if wish.flip and rng.random() < 0.5:
            crop = crop[:, ::-1]
        crop = _graded(crop, rng, wish.colour)
        if rng.random() < wish.packshots:
            return _packshot(crop, rng)
        return crop, np.full((size, size), 255, np.uint8)


def read_photographs(folder: Path, augmentation: Augmentation | None = None, *, most: int | None = None) -> Photographs:
    """Every picture in a folder, or of more files than ``most`` so many; those that are none are passed over.

    Raises:
        NoPhotographs: where there is none.
    """
    if not folder.is_dir():
        raise NoPhotographs(f"{folder} is no folder; name one with at least one photograph to learn from")
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if most is not None and len(paths) > most:
        paths = [paths[index] for index in sorted(np.random.default_rng(0).choice(len(paths), most, replace=False))]
    pictures = _load(paths)
    if not pictures:
        raise NoPhotographs(f"{folder} holds no photographs to learn from; give a folder with at least one")
    # Neighbours in a folder are often of one kind: what is held back should be of every kind.
    order = np.random.default_rng(0).permutation(len(pictures))
    return Photographs([pictures[index] for index in order], augmentation or Augmentation())


def photographs_that_come_along(augmentation: Augmentation | None = None) -> Photographs:
    """Those of COME_ALONG, so that training needs no network; found without importing scikit-image.

    Raises:
        NoPhotographs: where they were stripped from the installation.
    """
    spec = find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    pictures = _load([folder / name for name in COME_ALONG]) if folder else []
    if not pictures:
        raise NoPhotographs("scikit-image's photographs are missing; give a folder of your own to learn from")
    return Photographs(pictures, augmentation or Augmentation())


def _load(paths: Sequence[Path]) -> list[NDArray[np.uint8]]:
    """Those of the files that are pictures."""
    pictures = []
    for path in paths:
        try:
            pictures.append(_reduced(on_ground(load_picture(path))))
        except PictureError:
            continue
    return pictures


def _reduced(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(rgb)
    scale = min(1.0, SHORT_SIDE / min(image.size))
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _middle(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)))


def _graded(crop: NDArray[np.uint8], rng: np.random.Generator, most: float) -> NDArray[np.uint8]:
    brightness, contrast, saturation = 1 + rng.uniform(-most, most, 3)
    values = crop.astype(np.float32) * brightness
    values = (values - values.mean()) * contrast + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return np.clip(grey + (values - grey) * saturation, 0, 255).astype(np.uint8)


def _packshot(crop: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The middle of a crop as a product on white: a rounded shape with a soft edge of two pixels."""
    size = crop.shape[0]
    y, x = (np.mgrid[0:size, 0:size] / size - 0.5) * 2
    width, height, power = rng.uniform(0.4, 0.85), rng.uniform(0.4, 0.85), rng.uniform(2, 6)
    outside = (np.abs(x / width) ** power + np.abs(y / height) ** power) ** (1 / power) - 1
    cover = np.clip(0.5 - outside * size * min(width, height) / 4, 0, 1).astype(np.float32)
    ground = float(rng.uniform(250, 255))
    picture = crop * cover[..., None] + ground * (1 - cover[..., None])
    return picture.astype(np.uint8), np.rint(cover * 255).astype(np.uint8)
