"""How the eye that comes along was made: shown photographs, paintings and styled pictures, it learns to see as VGG-19.

    python -m creatives.training.eye --photos DIR --paintings DIR --vgg FILE --checkpoint FILE [--device cuda]

Run it again after an interruption and it goes on from the checkpoint. Knowledge of a large network for a small one
(G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015): its features are compared with
VGG's, layer by layer.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from creatives.engines.network import Network, adapter_size
from creatives.neural.eye import EYE, Eye
from creatives.neural.features import Vgg19, read_weights
from creatives.neural.shared import load_shared, read_vector
from creatives.neural.transformer import StyleTransformer
from creatives.packs import WEIGHTS, StyleLibrary
from creatives.training.checkpoint import Checkpoint, load_checkpoint
from creatives.training.photographs import Photographs, read_photographs

RATE, WARM = 3e-3, 0.03
PAINTED, STYLED = 1, 1
"""Of the crops of a step: so many are of paintings, so many of photographs in a style, the others as they are."""
CHECKPOINT_EVERY, SPOKEN_EVERY = 50, 50


class Styler:
    """Photographs in mixtures of the shipped styles, at any strength: what a style that is being learned looks like."""

    def __init__(self, device: torch.device) -> None:
        shared = load_shared()
        self._network = StyleTransformer()
        self._network.load_state_dict(shared.network)
        self._network.to(device).eval().requires_grad_(requires_grad=False)
        packs = [pack for pack in StyleLibrary().packs() if pack.engine == Network.name]
        adapters = [read_vector(pack.folder / WEIGHTS, "adapter", adapter_size()) for pack in packs]
        self._adapters = torch.from_numpy(np.stack([shared.identity.numpy(), *adapters])).to(device)

    @torch.no_grad()
    def styled(self, pictures: Tensor, rng: np.random.Generator) -> Tensor:
        """``(n, 3, height, width)``."""
        drawn = rng.dirichlet(np.full(len(self._adapters), 0.2), size=len(pictures)).astype("f4")
        weights = torch.from_numpy(drawn).to(pictures.device)
        with torch.autocast(pictures.device.type, torch.bfloat16):
            return self._network(pictures, weights @ self._adapters).float().clamp(0, 1)


def crops(
    photographs: Photographs,
    paintings: Photographs,
    styler: Styler,
    rng: np.random.Generator,
    count: int,
    size: int,
    device: torch.device,
) -> Tensor:
    """What the eye is shown in one step, ``(count, 3, size, size)`` in 0..1."""
    taken = photographs.batch(rng, count - PAINTED, size).pictures, paintings.batch(rng, PAINTED, size).pictures
    shown = torch.from_numpy(np.concatenate(taken)).to(device).permute(0, 3, 1, 2).float() / 255
    shown[:STYLED] = styler.styled(shown[:STYLED].contiguous(), rng)
    return shown.contiguous(memory_format=torch.channels_last)


def gap(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
    """Mean over layers of the squared distance of features, relative to their size; all pictures together."""
    parts = [
        functional.mse_loss(found[name].float(), features.float()) / features.float().square().mean().clamp(min=1e-12)
        for name, features in wanted.items()
    ]
    return torch.stack(parts).mean()


def rate_at(step: int, steps: int) -> float:
    """It warms up and falls along a cosine."""
    warm = max(1, round(WARM * steps))
    if step < warm:
        return RATE * (step + 1) / warm
    return RATE * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


def train(
    eye: Eye,
    vgg: Vgg19,
    photographs: Photographs,
    paintings: Photographs,
    checkpoint: Path,
    *,
    steps: int,
    count: int,
    size: int,
    seed: int = 0,
) -> float:
    """Every step, from the checkpoint on. Returns the gap on photographs held back."""
    optimiser = torch.optim.AdamW(eye.parameters(), lr=RATE, weight_decay=1e-4, betas=(0.9, 0.99))
    first = _resumed(eye, optimiser, checkpoint)
    device = next(eye.parameters()).device
    styler, began = Styler(device), time.monotonic()
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, steps)
        shown = crops(photographs, paintings, styler, np.random.default_rng([seed, step]), count, size, device)
        with torch.autocast(device.type, torch.bfloat16):
            with torch.no_grad():
                wanted = vgg(shown)
            loss = gap(eye(shown), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        done = step + 1
        if done % CHECKPOINT_EVERY == 0 or done == steps:
            _save(eye, optimiser, checkpoint, done)
        if done % SPOKEN_EVERY == 0 or done == steps:
            print(f"{time.monotonic() - began:6.0f} s  step {done}  gap {float(loss.detach()):.3f}", flush=True)  # noqa: T201
    return held_back(eye, vgg, photographs, size)


@torch.no_grad()
def held_back(eye: Eye, vgg: Vgg19, photographs: Photographs, size: int) -> float:
    """The gap on the photographs that training never showed."""
    pictures = torch.from_numpy(photographs.held_out(size).pictures.copy()).permute(0, 3, 1, 2).float() / 255
    pictures = pictures.to(next(eye.parameters()).device)
    return float(gap(eye(pictures), vgg(pictures)))


def _resumed(eye: Eye, optimiser: torch.optim.Optimizer, path: Path) -> int:
    found = load_checkpoint(path)
    if found is None:
        return 0
    eye.load_state_dict({n.removeprefix("eye."): v for n, v in found.tensors.items() if n.startswith("eye.")})
    state = {
        index: {name: found.tensors[f"state.{index}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
        for index, _ in enumerate(eye.parameters())
    }
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return int(found.facts["step"])


def _save(eye: Eye, optimiser: torch.optim.Optimizer, path: Path, step: int) -> None:
    tensors = {f"eye.{name}": value for name, value in eye.state_dict().items()}
    for index, each in optimiser.state_dict()["state"].items():
        tensors |= {f"state.{index}.{name}": value for name, value in each.items()}
    Checkpoint(tensors, {"step": step}).save(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the eye in half precision."""
    options = argparse.ArgumentParser(description=__doc__)
    for name in ("photos", "paintings", "vgg", "checkpoint"):
        options.add_argument(f"--{name}", type=Path, required=True)
    options.add_argument("--steps", type=int, default=4000)
    options.add_argument("--batch", type=int, default=5, dest="count")
    options.add_argument("--size", type=int, default=160)
    options.add_argument("--out", type=Path, default=EYE)
    options.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    wish = options.parse_args(arguments)
    torch.manual_seed(0)
    eye, vgg = Eye(), Vgg19(read_weights(wish.vgg), str(wish.vgg)).to(memory_format=torch.channels_last)
    eye.to(wish.device).to(memory_format=torch.channels_last)
    vgg.to(wish.device)
    found = train(
        eye, vgg, read_photographs(wish.photos), read_photographs(wish.paintings), wish.checkpoint,
        steps=wish.steps, count=wish.count, size=wish.size,
    )  # fmt: skip
    print(f"gap on photographs held back: {found:.3f}")  # noqa: T201
    save_file({name: value.half().cpu().contiguous() for name, value in eye.state_dict().items()}, wish.out)


if __name__ == "__main__":
    main()
