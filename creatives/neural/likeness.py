"""Pictures of any size through the reference network: statistics of the whole, taken once, then tile by tile.

As in `tiling`: what the exchanges amount to is measured on a reduced copy of a large picture and holds for its tiles.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from creatives.neural.exchange import Affine, Statistics, blend
from creatives.neural.features import WeightsError, read_weights
from creatives.neural.precision import in_own_precision
from creatives.neural.reference import EXCHANGES, STRIDE, ReferenceNetwork
from creatives.neural.tiling import WHOLE_PIXELS, padded_to, reduced, windows

Floats = NDArray[np.float32]
_SMALLEST = 2 * STRIDE
_NOTHING = 1e-6


@lru_cache(maxsize=4)
def network_in(path: Path) -> ReferenceNetwork:
    """The network of a safetensors file, on the graphics card where there is one.

    Raises:
        WeightsError: for a file that is missing or another network's.
    """
    network = ReferenceNetwork()
    try:
        network.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise WeightsError(f"{path} is of another network ({str(error).splitlines()[0]})") from None
    network.eval().requires_grad_(requires_grad=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return network.to(device).to(memory_format=torch.channels_last)


@torch.inference_mode()
def statistics_of(style: Floats, network: ReferenceNetwork) -> tuple[Statistics, ...]:
    """What a style's picture ``(height, width, 3)`` in 0..1 is known by, layer by layer."""
    picture = _batch(_padded(style), network)
    with in_own_precision(picture.device):
        return network.know(picture)[1]


@torch.inference_mode()
def take_after(
    picture: Floats, styles: Sequence[tuple[Sequence[Statistics], float]], network: ReferenceNetwork,
    counted: Floats | None = None,
) -> Floats:  # fmt: skip
    """``(height, width, 3)`` in 0..1, of any size from 1 x 1 on, styled; not yet clipped.

    ``styles`` are what `statistics_of` gives, with shares; what they leave of 1 is the picture's own. ``counted`` is
    a mask ``(height, width)``: only where it is 1 does the picture tell what it is like.
    """
    height, width, _ = picture.shape
    padded = _padded(picture)
    mask = None if counted is None else _batch(_padded(counted[:, :, None]), network)
    whole = padded.shape[0] * padded.shape[1] <= WHOLE_PIXELS
    measured = _batch(padded if whole else _padded(reduced(picture)), network)
    left = max(0.0, 1 - sum(share for _, share in styles))
    with in_own_precision(measured.device):
        seen = network.see(measured)
        parts, given_back = list(styles), None
        if left > _NOTHING:
            given_back, own = network.know(measured, mask, seen)
            parts.append((own, left))
        wanted = [blend([(known[index], share) for known, share in parts]) for index in range(EXCHANGES)]
        styled, folded = network.measure(measured, wanted, mask, seen)
        if not whole:
            return _tiled(padded, folded, left, network)[:height, :width]
    out = _unbatch(styled)
    if given_back is not None:
        out = out + left * (padded - _unbatch(given_back))
    return out[:height, :width]


def _tiled(padded: Floats, folded: Sequence[Affine], left: float, network: ReferenceNetwork) -> Floats:
    out = np.empty_like(padded)
    for window in windows(padded.shape[0], padded.shape[1]):
        part = window.read(padded)
        seen = network.see(_batch(part, network))
        tile = _unbatch(network.draw(seen, lambda index, features: folded[index](features)))
        if left > _NOTHING:
            tile = tile + left * (part - _unbatch(network.draw(seen, lambda _, features: features)))
        window.put(tile, out)
    return out


def _padded(picture: Floats) -> Floats:
    return padded_to(picture, STRIDE, _SMALLEST)


def _batch(picture: Floats, network: ReferenceNetwork) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
    return tensor.to(network.head.convolution.weight.device).contiguous(memory_format=torch.channels_last)


def _unbatch(pictures: Tensor) -> Floats:
    return pictures[0].permute(1, 2, 0).cpu().numpy()
