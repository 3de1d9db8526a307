"""How the pack of the engine ``cartoon`` was trained: a generator against two critics, by the clock.

    python -m creatives.training.cartoon_targets --photos DIR --out TARGETS.npz
    python -m creatives.training.cartoon --photos DIR --weights DIR --targets TARGETS.npz --seconds 140 \
        --device cuda --out FILE.safetensors --log FILE

Unpaired: the generator reads every other photograph, the targets were rendered from those between. The critics learn
first, while the generator learns what the photograph alone can teach: calm areas and lively colour.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from creatives.neural.cartoon import Cartoonist
from creatives.neural.features import Vgg19, read_weights
from creatives.neural.shared import PREFIX
from creatives.pictures import PictureError, load_picture, on_ground
from creatives.training.cartoon_losses import (
    Weights,
    edges_smoothed,
    outlined,
    random_grey,
    surface,
    surface_critic,
    terms,
    texture_critic,
)
from creatives.training.cartoon_store import load_targets, photographs_in, read_among
from creatives.training.photographs import Augmentation, NoPhotographs
from creatives.training.pool import Pool

VGG = "vgg19_relu3_4_fp16.safetensors"
WRITE_EVERY, LOG_EVERY = 30.0, 5.0
"""Seconds."""
READ = Augmentation(zoom=(0.85, 2.3), packshots=0.2, colour=0.15)
"""Enlarged as targets are: photographs in use are larger than these, and calmer from pixel to pixel."""
DRAWN = Augmentation(zoom=(0.9, 1.15), packshots=0.15, rotate=6.0, colour=0.05)
CLIP = 1.0
"""Longest gradient of the generator."""

Rgb = NDArray[np.uint8]
Clock = Callable[[], float]
Placed = TypeVar("Placed", bound=nn.Module)


class TrainingFailed(RuntimeError):
    """Losses that are no numbers, again and again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen."""

    seconds: float = 140.0
    """Of the clock, from the start of the process on: the learning rate falls with its share."""
    steps: int | None = None
    """Where given, the schedule goes by steps, and the same settings give the same network."""
    batch: int = 16
    size: int = 256
    """Pixels a side of the crops."""
    rate: float = 1e-3
    critic_rate: float = 4e-4
    critics_alone: float = 0.1
    """Share of the training before critics count for the generator; they are let in over as much again."""
    average: float = 0.998
    """Of the weights that are kept, how much of yesterday's."""
    weights: Weights = field(default_factory=Weights)
    seed: int = 0
    device: str = "cpu"
    photographs: Augmentation = READ
    targets: Augmentation = DRAWN


class CartoonTraining:
    """A generator, its average over steps, and its critics."""

    def __init__(self, settings: Settings, photographs: Sequence[Rgb], targets: Sequence[Rgb], vgg: Vgg19) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device(settings.device)
        self.dice = torch.Generator(self.device).manual_seed(settings.seed)
        self.photographs = Pool(photographs, settings.photographs, self.device)
        self.targets = Pool(targets, settings.targets, self.device)
        self.vgg = self._placed(vgg).eval()
        self.network = self._placed(Cartoonist())
        self.kept = self._placed(Cartoonist()).requires_grad_(requires_grad=False)
        self.kept.load_state_dict(self.network.state_dict())
        self.texture, self.surface = self._placed(texture_critic()), self._placed(surface_critic())
        critics = [*self.texture.parameters(), *self.surface.parameters()]
        betas = (0.5, 0.99)
        self.mover = torch.optim.Adam(self.network.parameters(), settings.rate, betas)
        self.critic_mover = torch.optim.Adam(critics, settings.critic_rate, betas)
        self.step = self.skipped = 0
        self._lengths = torch.ones(2, device=self.device)

    def _placed(self, module: Placed) -> Placed:
        return module.to(self.device).to(memory_format=torch.channels_last)

    def advance(self, share: float) -> dict[str, Tensor]:
        """One step of critics and generator at ``share`` of the training; what it was like, still on the device."""
        wish = self.settings
        pace = min(1.0, share / 0.02 + 0.05) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))
        for mover, rate in ((self.mover, wish.rate), (self.critic_mover, wish.critic_rate)):
            for group in mover.param_groups:
                group["lr"] = rate * pace
        photographs, product = self.photographs.batch(wish.batch, wish.size, self.dice)
        reals = outlined(*self.targets.batch(wish.batch, wish.size, self.dice))
        mixed = torch.autocast(self.device.type, dtype=torch.bfloat16)
        with mixed:
            pictures = self.network(photographs)
        critics = self._teach_critics(pictures.detach(), reals, photographs, mixed)
        # Gradients meet in the picture, where those of the critics are given a length in proportion to the others'.
        leaf = pictures.detach().requires_grad_()
        with mixed:
            found = terms(leaf, photographs, product, self.vgg)
        (rest,) = torch.autograd.grad(found.total(wish.weights), leaf)
        leaf = pictures.detach().requires_grad_()
        with mixed:
            texture, areas = self._judgements(leaf)
        fooling = (texture - 1).square().mean() + (areas - 1).square().mean()
        (look,) = torch.autograd.grad(fooling, leaf)
        self._lengths.lerp_(torch.stack([rest.norm(), look.norm()]).nan_to_num(0), 1.0 if self.step == 0 else 0.1)
        let_in = min(1.0, max(0.0, share / wish.critics_alone - 1))
        force = wish.weights.adversarial * let_in * self._lengths[0] / self._lengths[1].clamp(min=1e-8)
        self.mover.zero_grad(set_to_none=True)
        pictures.backward(rest + force * look)
        length = nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self._move(self.mover, length)
        self._keep()
        self.step += 1
        said = {name: getattr(found, name).detach() for name in found.__slots__}
        return said | critics | {"fooling": fooling.detach(), "gradient": length, "force": force}

    def _judgements(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return self.texture(random_grey(pictures, self.dice)), self.surface(surface(pictures))

    def _teach_critics(
        self, fakes: Tensor, reals: Tensor, photographs: Tensor, mixed: torch.autocast
    ) -> dict[str, Tensor]:
        """Least squares: 1 for targets, 0 for the generator's pictures, for blurred contours and for photographs."""
        count = len(fakes)
        stack = torch.cat([reals, fakes.clamp(-0.1, 1.1), edges_smoothed(reals), photographs])
        with mixed:
            texture = self.texture(random_grey(stack, self.dice)).split(count)
            # Blurred contours have the surface of targets: this critic does not see them.
            areas = self.surface(surface(torch.cat([reals, fakes.clamp(-0.1, 1.1), photographs]))).split(count)
        right = (texture[0] - 1).square().mean() + (areas[0] - 1).square().mean()
        wrong = texture[1].square().mean() + areas[1].square().mean()
        beside = 0.6 * texture[2].square().mean() + 0.2 * texture[3].square().mean() + 0.2 * areas[2].square().mean()
        self.critic_mover.zero_grad(set_to_none=True)
        (right + wrong + beside).backward()
        parameters = [*self.texture.parameters(), *self.surface.parameters()]
        self._move(self.critic_mover, nn.utils.clip_grad_norm_(parameters, 5.0))
        return {
            "real": texture[0].mean().detach(), "fake": texture[1].mean().detach(),
            "blurred": texture[2].mean().detach(), "real_areas": areas[0].mean().detach(),
            "fake_areas": areas[1].mean().detach(),
        }  # fmt: skip

    @staticmethod
    def _move(mover: torch.optim.Optimizer, length: Tensor) -> None:
        """A gradient that is no number counts as none, decided on the device: asking it would make it wait."""
        fine = torch.isfinite(length)
        for group in mover.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad = torch.where(fine, parameter.grad, torch.zeros_like(parameter.grad))
        mover.step()

    @torch.no_grad()
    def _keep(self) -> None:
        share = 1 - min(self.settings.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.kept.parameters()), list(self.network.parameters()), share)

    def write(self, path: Path, seconds: float) -> None:
        """The averaged generator in half precision, with what is known of its making; whole or not at all."""
        tensors = {PREFIX + name: value.half().cpu().contiguous() for name, value in self.kept.state_dict().items()}
        if not all(torch.isfinite(value).all() for value in tensors.values()):
            return
        wish = self.settings
        facts = {
            "steps": self.step, "batch": wish.batch, "size": wish.size, "seed": wish.seed, "device": wish.device,
            "seconds": round(seconds), "weights": asdict(wish.weights),
        }  # fmt: skip
        aside = path.with_name(path.name + ".part")
        save_file(tensors, aside, {"training": json.dumps(facts)})
        os.replace(aside, path)


def train(training: CartoonTraining, out: Path, log: Path | None, clock: Clock, begun: float) -> int:
    """Until the time is over; returns the steps taken.

    Raises:
        TrainingFailed: where losses stay no numbers.
    """
    wish, written, logged, broken = training.settings, clock(), -math.inf, 0
    while True:
        now = clock()
        share = training.step / wish.steps if wish.steps else (now - begun) / wish.seconds
        if share >= 1:
            break
        said = training.advance(share)
        if now - logged >= LOG_EVERY:
            logged = now
            line = {name: round(value.item(), 4) for name, value in said.items()}
            broken = broken + 1 if not all(map(math.isfinite, line.values())) else 0
            if broken > 2:
                raise TrainingFailed(f"losses are no numbers after {training.step} steps: {line}")
            if log is not None:
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"seconds": round(now - begun, 1), "step": training.step} | line) + "\n")
        if now - written >= WRITE_EVERY:
            written = now
            training.write(out, now - begun)
    training.write(out, clock() - begun)
    return training.step


def read_pictures(paths: Sequence[Path]) -> list[Rgb]:
    """Those that are pictures.

    Raises:
        NoPhotographs: where none is.
    """
    found = []
    for path in paths:
        try:
            found.append(on_ground(load_picture(path)))
        except PictureError:
            continue
    if not found:
        raise NoPhotographs("there are no photographs to learn from; give a folder with at least one")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and say how many steps there were."""
    begun = time.monotonic()
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--photos", type=Path, required=True)
    options.add_argument("--paintings", type=Path, help="Not used: the targets are rendered.")
    options.add_argument("--weights", type=Path, required=True, help=f"Folder that holds {VGG}.")
    options.add_argument("--targets", type=Path, required=True)
    options.add_argument("--seconds", type=float, default=140)
    options.add_argument("--steps", type=int, help="In place of seconds.")
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--size", type=int, default=256)
    options.add_argument("--adversarial", type=float, default=Weights().adversarial)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--log", type=Path)
    wish = options.parse_args(arguments)
    if wish.device == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    settings = Settings(
        seconds=wish.seconds, steps=wish.steps, batch=wish.batch, size=wish.size, seed=wish.seed, device=wish.device,
        weights=Weights(adversarial=wish.adversarial),
    )  # fmt: skip
    vgg = Vgg19(read_weights(wish.weights / VGG), str(wish.weights / VGG))
    photographs = read_pictures(read_among(photographs_in(wish.photos)))
    training = CartoonTraining(settings, photographs, list(load_targets(wish.targets)), vgg)
    steps = train(training, wish.out, wish.log, time.monotonic, begun)
    print(f"{steps} steps in {time.monotonic() - begun:.0f} s")  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
