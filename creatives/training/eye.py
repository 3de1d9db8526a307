"""How the eye that comes along was made: shown photographs, paintings and styled pictures, it learns to see as VGG-19.

    python -m creatives.training.eye --photos DIR --paintings DIR --vgg FILE --vgg-small FILE --checkpoint FILE

Run it again after an interruption and it goes on from the checkpoint. Knowledge of a large network for a small one
(G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015): its features, and their Gram
matrices, are compared with VGG's, layer by layer.

Whoever goes where the eye finds a style goes where it errs, too. So it is also shown what its own slopes make of
photographs, and learns what VGG sees there: learners are to be asked about where their own choices lead (S. Ross,
G. Gordon, D. Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning",
AISTATS 2011).
"""

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from creatives.engines.network import Network, adapter_size
from creatives.neural.eye import Eye
from creatives.neural.features import Distilled, Vgg19, read_weights
from creatives.neural.measures import DEEP_LAYER, STYLE_LAYERS
from creatives.neural.moments import feature_moments, relative_gap
from creatives.neural.shared import load_shared, read_vector
from creatives.neural.transformer import StyleTransformer
from creatives.neural.vgg import EYE
from creatives.packs import WEIGHTS, StyleLibrary
from creatives.training.checkpoint import Checkpoint, load_checkpoint
from creatives.training.objective import Perception
from creatives.training.photographs import Photographs, read_photographs

RATE, WARM = 2e-3, 0.03
PAINTED, STYLED, MOVED = 1, 1, 1
"""Of the crops of a step: so many are of paintings, so many of photographs in a style, so many on their way to the
moments of a painting as the eye sees them, the others photographs as they are."""
UNDER_WAY, MOVES, STRIDE = 24, 24, 0.02
"""Crops on their way; after so many moves, each of so much in the mean, a crop makes room for another."""
GRAM = 0.25
"""How much distances of Gram matrices count, beside those of features."""
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


class Teacher(nn.Module):
    """Another's features, each layer's over their size on photographs: VGG's are in the hundreds, and learning is slow
    where weights have to grow that far."""

    def __init__(self, seeing: nn.Module, photographs: Photographs, size: int) -> None:
        super().__init__()
        self.seeing = seeing
        with torch.no_grad():
            found = seeing(_tensor(photographs.held_out(size).pictures, next(seeing.parameters()).device))
        self.sizes = {name: float(features.square().mean().sqrt()) for name, features in found.items()}

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        return {name: features / self.sizes[name] for name, features in self.seeing(pictures).items()}


@torch.no_grad()
def scaled(eye: Eye, sizes: Mapping[str, float]) -> Eye:
    """The same eye, its features so many times as large."""
    for name, size in sizes.items():
        for tensor in eye.heads[name].parameters():
            tensor.mul_(size)
    return eye


class Moved:
    """Photographs that are moved, one a step, towards the moments of paintings through the eye as it is."""

    def __init__(self, photographs: Photographs, paintings: Photographs, size: int, seed: int) -> None:
        self._photographs, self._paintings, self._size, self._seed = photographs, paintings, size, seed
        self.pictures = torch.zeros(UNDER_WAY, 3, size, size)

    def next(self, eye: Eye, step: int) -> Tensor:
        """The one whose turn it is, ``(1, 3, size, size)``, a move further."""
        (life, move), place = divmod(step // UNDER_WAY, MOVES), step % UNDER_WAY
        rng, device = np.random.default_rng([self._seed, life, place]), next(eye.parameters()).device
        photograph, painting = (
            _tensor(each.batch(rng, 1, self._size).pictures, device) for each in (self._photographs, self._paintings)
        )
        before = photograph if move == 0 else self.pictures[place : place + 1].to(device)
        after = _moved(eye, before, painting)
        self.pictures[place] = after[0].cpu()
        return after


def _moved(eye: Eye, picture: Tensor, painting: Tensor) -> Tensor:
    """A step down the slope of the distance to the painting's moments, as the eye sees them."""
    with torch.no_grad():
        goal = eye(painting)
    picture = picture.clone().requires_grad_()
    found = eye(picture)
    (slope,) = torch.autograd.grad(_gram_gap(found, goal), picture)
    return (picture.detach() - slope * STRIDE / slope.square().mean().sqrt().clamp(min=1e-12)).clamp(0, 1)


def _tensor(pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    """``(n, height, width, 3)`` to ``(n, 3, height, width)`` in 0..1."""
    return torch.from_numpy(pictures.copy()).to(device).permute(0, 3, 1, 2).float() / 255


def crops(
    photographs: Photographs,
    paintings: Photographs,
    styler: Styler,
    rng: np.random.Generator,
    count: int,
    size: int,
    device: torch.device,
) -> Tensor:
    """What the eye is shown in one step that does not hang on it, ``(count, 3, size, size)`` in 0..1."""
    taken = photographs.batch(rng, count - PAINTED, size).pictures, paintings.batch(rng, PAINTED, size).pictures
    shown = _tensor(np.concatenate(taken), device)
    shown[:STYLED] = styler.styled(shown[:STYLED].contiguous(), rng)
    return shown


def gap(raw: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
    """Mean over layers of the squared distance of features, relative to their size; all pictures together.

    What should be above zero and is below counts by how far it is below, so that there is a way back.
    """
    parts = [
        (torch.where(features > 0, raw[name], raw[name].relu()) - features).square().mean(dtype=torch.float32)
        / features.square().mean(dtype=torch.float32).clamp(min=1e-12)
        for name, features in wanted.items()
    ]
    return torch.stack(parts).mean()


def _gram_gap(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
    """Mean over the judged layers, and pictures, of the distance of Gram matrices, relative to their size."""
    parts = [
        (relative_gap(feature_moments(found[name]).gram, feature_moments(features).gram) + 1e-4).sqrt().mean()
        for name, features in wanted.items()
        if name in (*STYLE_LAYERS, DEEP_LAYER)
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
    teacher: nn.Module,
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
    moved = Moved(photographs, paintings, size, seed)
    first = _resumed(eye, optimiser, moved, checkpoint)
    device = next(eye.parameters()).device
    styler, began = Styler(device), time.monotonic()
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, steps)
        rng = np.random.default_rng([seed, step])
        taken = crops(photographs, paintings, styler, rng, count - MOVED, size, device)
        with torch.autocast(device.type, torch.bfloat16):
            shown = torch.cat([taken, moved.next(eye, step)]).contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                wanted = teacher(shown)
            raw = eye.raw(shown)
            loss = gap(raw, wanted) + GRAM * _gram_gap({name: each.relu() for name, each in raw.items()}, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        done = step + 1
        if done % CHECKPOINT_EVERY == 0 or done == steps:
            _save(eye, optimiser, moved, checkpoint, done)
        if done % SPOKEN_EVERY == 0 or done == steps:
            print(f"{time.monotonic() - began:6.0f} s  step {done}  gap {float(loss.detach()):.3f}", flush=True)  # noqa: T201
    return held_back(eye, teacher, photographs, size)


@torch.no_grad()
def held_back(eye: Eye, teacher: nn.Module, photographs: Photographs, size: int) -> float:
    """The gap on the photographs that training never showed."""
    pictures = _tensor(photographs.held_out(size).pictures, next(eye.parameters()).device)
    return float(gap(eye(pictures), teacher(pictures)))


def _resumed(eye: Eye, optimiser: torch.optim.Optimizer, moved: Moved, path: Path) -> int:
    found = load_checkpoint(path)
    if found is None:
        return 0
    eye.load_state_dict({n.removeprefix("eye."): v for n, v in found.tensors.items() if n.startswith("eye.")})
    state = {
        index: {name: found.tensors[f"state.{index}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
        for index, _ in enumerate(eye.parameters())
    }
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    moved.pictures = found.tensors["moved"]
    return int(found.facts["step"])


def _save(eye: Eye, optimiser: torch.optim.Optimizer, moved: Moved, path: Path, step: int) -> None:
    tensors = {f"eye.{name}": value for name, value in eye.state_dict().items()} | {"moved": moved.pictures}
    for index, each in optimiser.state_dict()["state"].items():
        tensors |= {f"state.{index}.{name}": value for name, value in each.items()}
    Checkpoint(tensors, {"step": step}).save(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the eye in half precision."""
    options = argparse.ArgumentParser(description=__doc__)
    for name in ("photos", "paintings", "vgg", "vgg-small", "checkpoint"):
        options.add_argument(f"--{name}", type=Path, required=True)
    options.add_argument("--steps", type=int, default=4000)
    options.add_argument("--batch", type=int, default=5, dest="count")
    options.add_argument("--size", type=int, default=160)
    options.add_argument("--out", type=Path, default=EYE)
    options.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    wish = options.parse_args(arguments)
    torch.manual_seed(0)
    vgg, small = Vgg19(read_weights(wish.vgg), str(wish.vgg)), Distilled(read_weights(wish.vgg_small), "the small one")
    seeing = Perception(vgg, small, deep=True).to(memory_format=torch.channels_last).to(wish.device)
    photographs = read_photographs(wish.photos)
    teacher = Teacher(seeing, photographs, wish.size)
    eye = Eye().to(memory_format=torch.channels_last).to(wish.device)
    found = train(
        eye, teacher, photographs, read_photographs(wish.paintings), wish.checkpoint,
        steps=wish.steps, count=wish.count, size=wish.size,
    )  # fmt: skip
    print(f"gap on photographs held back: {found:.3f}")  # noqa: T201
    weights = scaled(eye, teacher.sizes).state_dict()
    save_file({name: value.half().cpu().contiguous() for name, value in weights.items()}, wish.out)


if __name__ == "__main__":
    main()
