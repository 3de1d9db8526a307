"""Learning one style from one picture: an adapter of the shared network, or a whole network of its own."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from creatives.errors import CreativeError
from creatives.neural.features import Vgg19, read_weights
from creatives.neural.shared import PREFIX, SHARED, load_shared
from creatives.training.base import style_tensor
from creatives.training.objective import Perception
from creatives.training.photographs import Augmentation, Photographs, read_photographs
from creatives.training.session import Device, Session, Settings

VGG_NAMES = "vgg19-*.pth"


@dataclass(frozen=True, slots=True)
class Learned:
    """What a pack of engine ``network`` holds: its parameters and its tensors."""

    parameters: dict[str, str]
    weights: dict[str, NDArray[np.float16]]


def find_vgg(given: Path | None) -> Path:
    """The perceptual network's file: the one given, or torchvision's own in its cache.

    Raises:
        CreativeError: where there is neither; nothing is downloaded.
    """
    if given:
        return given
    home = Path(os.environ.get("TORCH_HOME") or Path.home() / ".cache" / "torch")
    cache = home / "hub" / "checkpoints"
    found = sorted(cache.glob(VGG_NAMES)) if cache.is_dir() else []
    if not found:
        raise CreativeError(
            "training compares pictures through VGG-19, whose weights are not at hand: give them with --vgg FILE "
            f"(torchvision's vgg19 as .pth or safetensors), or put them into {cache}"
        )
    return found[-1]


def usable_device(wish: str) -> Device:
    """``cpu`` or ``cuda``, if it is there.

    Raises:
        CreativeError: where it is not.
    """
    if wish == "cpu":
        return "cpu"
    if wish != "cuda":
        raise CreativeError(f"--device {wish!r} is neither cpu nor cuda")
    if not torch.cuda.is_available():
        raise CreativeError("--device cuda: there is no CUDA device here; leave it away for cpu")
    return "cuda"


def photographs_for_training(folder: Path | None) -> Photographs:
    """Those in a folder, or the ones that come with scikit-image, so that training works offline."""
    if folder:
        return read_photographs(folder)
    from skimage import data

    pictures = (data.coffee(), data.chelsea(), data.astronaut(), data.stereo_motorcycle()[0])
    return Photographs([np.asarray(picture, np.uint8) for picture in pictures], Augmentation())


def open_session(
    picture: Path, name: str, settings: Settings, *, vgg: Path | None, photos: Path | None, checkpoint: Path
) -> Session:
    """A training of one style, new or where its checkpoint left it; ``settings.frozen`` starts from the shared network.

    Raises:
        CreativeError: for pictures, weights or a checkpoint that cannot be used.
    """
    style = style_tensor(picture)
    where = find_vgg(vgg)
    perception = Perception(Vgg19(read_weights(where), str(where)))
    photographs = photographs_for_training(photos)
    network: dict[str, Tensor] | None = None
    if settings.frozen or SHARED.is_file():
        network = load_shared().network  # a style learned from scratch starts from what others learned, too
    return Session(settings, {name: style}, photographs, perception, checkpoint, network)


def learned(session: Session, name: str) -> Learned:
    """What a finished training amounts to, in half precision."""
    weights = {"adapter": session.adapter(name).numpy().astype(np.float16)}
    if session.settings.frozen:
        return Learned({"network": load_shared().sha256[:12]}, weights)
    state = session.network.state_dict()
    return Learned(
        {"network": "own"},
        weights | {PREFIX + key: value.detach().cpu().numpy().astype(np.float16) for key, value in state.items()},
    )


def preview_of(session: Session, name: str, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in the style as it is now; its sides are cut to multiples of four."""
    height, width = (side // 4 * 4 for side in rgb.shape[:2])
    picture = torch.from_numpy(rgb[:height, :width].copy()).permute(2, 0, 1)[None].float() / 255
    styled = session.style(picture, name)[0].permute(1, 2, 0).numpy()
    return (styled * 255 + 0.5).astype(np.uint8)
