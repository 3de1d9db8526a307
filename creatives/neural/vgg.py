"""Where VGG-19's weights lie on this machine: too large to ship, and nothing is downloaded. And what comes along."""

import os
from pathlib import Path

from creatives.errors import CreativeError
from creatives.neural.shared import file_sha256

EYE = Path(__file__).parents[1] / "networks" / "eye.safetensors"
"""The small network of our own that comes along (`creatives.neural.eye`)."""
VARIABLE, SMALL_VARIABLE = "ADSTYLE_VGG", "ADSTYLE_VGG_SMALL"
NAMES = "vgg19-*.pth"
"""As torchvision keeps them; those with batch normalisation are another network."""


class VggMissing(CreativeError):
    """VGG-19 is needed and not at hand; the message says how to give it."""


def find_vgg() -> Path:
    """$ADSTYLE_VGG, or torchvision's own file in its cache.

    Raises:
        VggMissing: where there is neither, or the variable names no file.
    """
    found = vgg_at_hand()
    if found is None:
        raise VggMissing(
            "pictures are compared through VGG-19, whose weights are not at hand: give --vgg FILE where a command has "
            f"it, or set {VARIABLE} to a file (torchvision's vgg19 as .pth or safetensors), or put it into {_cache()}"
        )
    return found


def vgg_at_hand() -> Path | None:
    """The same; None where there is neither.

    Raises:
        VggMissing: where the variable names no file.
    """
    if named := _named(VARIABLE):
        return named
    return max(_cache().glob(NAMES), default=None)


def _cache() -> Path:
    """Where torchvision keeps weights."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCH_HOME") or Path(home) / "torch") / "hub" / "checkpoints"


def find_small() -> Path | None:
    """$ADSTYLE_VGG_SMALL: a distilled VGG-19 that stands in for the deeper layers of a file that lacks them.

    Raises:
        VggMissing: where the variable names no file.
    """
    return _named(SMALL_VARIABLE)


def eye_hash() -> str:
    """What a style says of the eye that it is seen through, which must be the one at hand.

    Raises:
        CreativeError: where its file is missing.
    """
    if not EYE.is_file():
        raise CreativeError(f"there is no file of weights {EYE}: install adstyle again")
    return file_sha256(EYE)[:12]


def _named(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    if not Path(value).is_file():
        raise VggMissing(f"{variable} names {value}, and there is no such file; set it to a file of weights")
    return Path(value)
