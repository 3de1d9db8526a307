"""The network that every adapter belongs to, as it is shipped: its tensors, its identity adapter, its hash."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from creatives.errors import CreativeError

if TYPE_CHECKING:
    from torch import Tensor

SHARED = Path(__file__).parents[1] / "networks" / "shared.safetensors"
PREFIX = "network."
IDENTITY = "identity"
"""The adapter under which the network gives back the photograph, as nearly as it can."""
PRUNED_FROM = "pruned_from"
"""In the header of a pruned network's file: the SHA-256 of the file it was made from, whose adapters it takes."""
NETWORK_VARIABLE = "ADSTYLE_NETWORK"


@dataclass(frozen=True, slots=True)
class Shared:
    """Tensors of `transformer.StyleTransformer` by name, and the adapter that changes nothing."""

    network: "dict[str, Tensor]"
    identity: "Tensor"
    sha256: str


def load_shared(path: Path = SHARED) -> Shared:
    """The shipped network as torch tensors.

    Raises:
        CreativeError: for a file that is missing or no such network.
    """
    from creatives.neural.features import WeightsError, read_weights

    tensors = read_weights(path)
    network = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    if not network or IDENTITY not in tensors:
        raise WeightsError(f"{path} is no shared network: it lacks {IDENTITY if network else PREFIX + '*'}")
    return Shared(network, tensors[IDENTITY], file_sha256(path))


def shared_file() -> Path:
    """The network at hand: $ADSTYLE_NETWORK, such as a pruned one, or the one that comes along.

    Raises:
        CreativeError: where the variable names no file.
    """
    chosen = os.environ.get(NETWORK_VARIABLE)
    if chosen and not Path(chosen).is_file():
        raise CreativeError(f"{NETWORK_VARIABLE} is {chosen!r}, where there is no file")
    return Path(chosen) if chosen else SHARED


@lru_cache(maxsize=8)
def adapters_fit(path: Path) -> tuple[str, ...]:
    """SHA-256 of every network whose adapters the network in a file takes: its own, and that it was pruned from.

    Raises:
        CreativeError: for whatever is no file of tensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            origin = (file.metadata() or {}).get(PRUNED_FROM)
    except (SafetensorError, OSError) as error:
        raise CreativeError(f"{path} cannot be read ({error}); get the file again") from None
    return (file_sha256(path), origin) if origin else (file_sha256(path),)


@lru_cache(maxsize=64)
def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=256)
def read_vector(path: Path, name: str, size: int) -> NDArray[np.float32]:
    """One vector of a safetensors file, without torch.

    Raises:
        CreativeError: for a file that lacks it, or holds something else under its name.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            kind = file.get_slice(name).get_dtype()
            if kind not in ("F32", "F16"):
                raise CreativeError(f"{path}: {name} is kept as {kind}; save it as float32 or float16")
            vector = np.asarray(file.get_tensor(name), np.float32)
    except (SafetensorError, OSError) as error:
        raise CreativeError(f"{path} cannot be read ({error}); get the file again") from None
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise CreativeError(f"{path}: {name} is no adapter of {size} finite numbers; get the file again")
    vector.flags.writeable = False
    return vector
