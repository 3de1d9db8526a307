"""What may be asked of the training of one style, and where it computes."""

import math
from dataclasses import dataclass, replace

import torch

from creatives.errors import CreativeError
from creatives.training.objective import Weights
from creatives.training.session import Device, Settings

ADAPTER_STEPS, NETWORK_STEPS = 280, 2000
NETWORK_SHARE = 0.25
"""Of an adapter's learning rate, what a whole network learns at."""
SIZES = 16
"""Crops have sides that are multiples of it."""
CHECKS = 20
"""Validations and checkpoints of a training."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What may be asked of the training of one style; where nothing is, what we found good."""

    full: bool = False
    """A whole network, not only an adapter."""
    steps: int | None = None
    batch: int = 4
    size: int = 192
    rate: float = 8e-3
    """Of the adapter; a whole network learns at NETWORK_SHARE of it."""
    style_weight: float = 8.0
    content_weight: float = 1.0
    weight_decay: float = 1e-4
    dropout: float = 0.0
    patience: int = 6
    seed: int = 0
    device: Device = "cpu"
    mixed: bool = True


def settings_of(wish: Wish) -> Settings:
    """The session's settings.

    Raises:
        CreativeError: for numbers that nothing can be learned with.
    """
    if wish.size % SIZES or wish.size < SIZES:
        raise CreativeError(
            f"crops of {wish.size} px: take a multiple of {SIZES}, such as {wish.size // SIZES * SIZES or SIZES}"
        )
    for name in ("rate", "style_weight", "content_weight", "weight_decay"):
        value = getattr(wish, name)
        if not math.isfinite(value) or value < 0:
            raise CreativeError(f"a {name.replace('_', ' ')} of {value} is no amount: take a number from 0 on")
    steps = wish.steps or (NETWORK_STEPS if wish.full else ADAPTER_STEPS)
    every = max(1, steps // CHECKS)
    return Settings(
        steps=steps, batch=wish.batch, size=wish.size, rate=wish.rate * NETWORK_SHARE, adapter_rate=wish.rate,
        weight_decay=wish.weight_decay, dropout=wish.dropout, frozen=not wish.full,
        weights=Weights(style=wish.style_weight, content=wish.content_weight), seed=wish.seed, device=wish.device,
        mixed=wish.mixed, checkpoint_every=every, validate_every=every, patience=wish.patience,
    )  # fmt: skip


def weighted(settings: Settings, *, style: float, content: float, rate: float) -> Settings:
    """The same training under other weights and another rate."""
    weights = replace(settings.weights, style=style, content=content)
    return replace(settings, weights=weights, adapter_rate=rate, rate=rate * NETWORK_SHARE)


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
