"""Where learning one style begins: amid the shipped styles whose strokes come nearest to its picture already.

A network trained on several styles takes on another one by its adapter alone, and mixes those it has (V. Dumoulin et
al., "A Learned Representation for Artistic Style", ICLR 2017). So we ask which of them, or which middle of the nearest
few, is least far already.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from creatives.engines.network import Network, adapter_size
from creatives.neural import shared
from creatives.neural.shared import Shared
from creatives.neural.transformer import StyleTransformer
from creatives.packs import WEIGHTS, StyleLibrary
from creatives.training.objective import Perception, StyleTargets, Weights, terms
from creatives.training.photographs import Photographs

MIXED = 4
"""So many of the nearest are mixed at most."""
PHOTOGRAPHS, SIDE = 4, 192
"""What the styles are tried on, and pixels a side of each."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """An adapter, ``(adapter_size,)``."""

    adapter: Tensor
    styles: tuple[str, ...]
    """Names of the shipped styles whose middle it is, the nearest first; none: it leaves photographs as they are."""


def begin(
    network: Shared, picture: Tensor, photographs: Photographs, perception: Perception, weights: Weights
) -> Beginning:
    """The adapter with the least loss among shipped styles of this network and middles of the nearest.

    Args:
        network: whose styles are meant.
        picture: the style to learn, ``(1, 3, height, width)`` in 0..1.
        photographs: the styles are tried on the middles of the first.
        perception: what compares, on the processor.
        weights: what strokes and the photograph count.
    """
    adapters = shipped_adapters(network)
    if not adapters:
        return Beginning(network.identity, ())
    trial = _Trial(network, picture, photographs, perception, weights)
    nearest = sorted(adapters, key=lambda name: trial.loss(adapters[name]))
    choices = {
        tuple(nearest[:count]): _middle(adapters, nearest[:count]) for count in (*range(1, MIXED + 1), len(nearest))
    }
    styles = min(choices, key=lambda names: trial.loss(choices[names]))
    return Beginning(choices[styles], styles)


def shipped_adapters(network: Shared, *, as_shown: bool = False) -> dict[str, Tensor]:
    """Of the packs of a network, by name; ``as_shown``: as far from the identity as `full` lets each go."""
    packs = [pack for pack in StyleLibrary().packs() if pack.engine == Network.name]
    mine = [pack for pack in packs if pack.parameters["network"] == network.sha256[:12]]
    vectors = {pack.name: shared.read_vector(pack.folder / WEIGHTS, "adapter", adapter_size()) for pack in mine}
    adapters = {name: torch.from_numpy(vector.copy()) for name, vector in vectors.items()}
    if not as_shown:
        return adapters
    shown = {pack.name: float(pack.parameters.get("full", 1.0)) for pack in mine}
    return {name: torch.lerp(network.identity, adapter, shown[name]) for name, adapter in adapters.items()}


def _middle(adapters: Mapping[str, Tensor], names: list[str]) -> Tensor:
    return torch.stack([adapters[name] for name in names]).mean(dim=0)


class _Trial:
    """One style's loss under any adapter; each adapter is tried once."""

    def __init__(
        self, network: Shared, picture: Tensor, photographs: Photographs, perception: Perception, weights: Weights
    ) -> None:
        self._network, self._perception, self._weights = StyleTransformer.of(network.network), perception, weights
        middles = np.stack(photographs.middles(PHOTOGRAPHS, SIDE))
        self._pictures = torch.from_numpy(middles).permute(0, 3, 1, 2).float() / 255
        self._product = torch.ones(len(middles), 1, SIDE, SIDE)
        self._targets = StyleTargets.of([picture], perception)
        self._known: dict[bytes, float] = {}

    @torch.inference_mode()
    def loss(self, adapter: Tensor) -> float:
        key = adapter.numpy().tobytes()
        if key not in self._known:
            count = len(self._pictures)
            styled = self._network(self._pictures, adapter.expand(count, -1))
            chosen = torch.zeros(count, dtype=torch.long)
            found = terms(styled, self._pictures, self._product, chosen, self._targets, self._perception)
            self._known[key] = float(found.total(self._weights))
        return self._known[key]
