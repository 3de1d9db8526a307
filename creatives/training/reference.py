"""How the network of engine ``reference`` is made: shown a photograph and a style, it learns what to exchange.

    python -m creatives.training.reference --photos DIR --paintings DIR --weights DIR --seconds 170 --device cuda
        --out FILE.safetensors --log FILE [--checkpoint FILE]

All in one go: features learn to hold what VGG-19's hold (through 1 x 1 heads that only training has), the way up
learns to give pictures back, and the whole to come out near the style. Rates follow the clock, so that training is
over when its time is; every half minute what there is is written. With a checkpoint it goes on where it stopped.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.errors import CreativeError
from creatives.neural.features import Distilled, Vgg19, read_weights
from creatives.neural.likeness import network_in
from creatives.neural.measures import CONTENT_LAYER, DEEP_LAYER, STYLE_LAYERS
from creatives.neural.moments import feature_moments, relative_gap
from creatives.neural.reference import CHANNELS, ReferenceNetwork
from creatives.training.captured import Captured
from creatives.training.checkpoint import Checkpoint, load_checkpoint
from creatives.training.examples import Examples, read_paintings, render_looks
from creatives.training.photographs import Augmentation, read_photographs
from creatives.training.pool import Pool

VGG, SMALL = "vgg19_relu3_4_fp16.safetensors", "vgg19_small16x_relu5_1_fp16.safetensors"
JUDGED = (*STYLE_LAYERS, DEEP_LAYER)
_TAUGHT = (("relu2_1", 128), ("relu3_1", 256), (DEEP_LAYER, 512))
"""What features at half, quarter and eighth size are taught to hold, and its channels."""
_WARM, _SMALL_UNTIL = 0.05, 0.4
"""Shares of the time: rates rise, and crops are of three quarters of the size."""
_ZOOM = (0.9, 1.4)
"""Photographs are small, and enlarged ones have no detail for strokes to follow: crops are as they are, or nearly."""
_AGAIN = 0.45
"""Where a training that was over goes on."""
_CLIP = 1.0
_STYLE_WEIGHTS = (1.0, 20.0)
"""Between which the style's weight is steered."""
_TRIED = 4
"""Ways of convolving that are timed for each shape: trying all of them would cost more than the best saves."""
_LOG_EVERY, _WRITE_EVERY = 5.0, 30.0
NAMES = ("gram", "moments", "content", "deep", "kept", "taught", "rough", "beyond", "style_weight")


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen."""

    seconds: float = 170.0
    batch: int = 8
    size: int = 256
    """Pixels a side of the crops."""
    rate: float = 8e-4
    content: float = 1.15
    """Relative squared distance at relu3_4 that styling may cost: the style's weight is steered to it."""
    deep: float = 1.1
    """And at relu4_1."""
    deep_weight: float = 1.5
    kept: float = 2.0
    """Weight of the mean absolute difference between a picture and itself given back."""
    beyond: float = 4.0
    """Weight of the mean distance from 0..1 of what leaves it."""
    rough: float = 0.5
    """Weight of differences between neighbours where the photograph has none."""
    seed: int = 0


class Perceived(nn.Module):
    """Pictures as the judge sees them: VGG-19 to relu3_4, and the distilled network's relu4_1."""

    def __init__(self, vgg: Vgg19, small: Distilled) -> None:
        super().__init__()
        self.vgg, self.small = vgg, small

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        found = self.vgg(pictures)
        return found | {DEEP_LAYER: self.small.embed(self.small(pictures))[DEEP_LAYER]}


class Heads(nn.Module):
    """From our features to VGG-19's, linearly."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(CHANNELS, _TAUGHT, strict=True)
        self.layers = nn.ModuleList(nn.Conv2d(channels, outputs, 1) for channels, (_, outputs) in sizes)

    def gap(self, seen: Sequence[Tensor], perceived: Mapping[str, Tensor]) -> Tensor:
        """Relative squared distance, the mean over sizes."""
        gaps = [
            relative_gap(layer(functional.relu(features)).float(), perceived[name].float()).mean()
            for layer, features, (name, _) in zip(self.layers, seen, _TAUGHT, strict=True)
        ]
        return torch.stack(gaps).mean()


class Training:
    """The network, its heads, and what moves them."""

    def __init__(
        self, settings: Settings, photographs: Pool, examples: Examples, perceived: Perceived, device: torch.device
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        self.photographs, self.examples = photographs, examples
        self.perceived = perceived.to(device).to(memory_format=torch.channels_last)
        self.network = ReferenceNetwork().to(device).to(memory_format=torch.channels_last)
        self.heads = Heads().to(device)
        self.parameters = [*self.network.parameters(), *self.heads.parameters()]
        cuda = device.type == "cuda"
        rate = torch.tensor(settings.rate, device=device) if cuda else settings.rate
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=cuda, capturable=cuda
        )
        self._captured: dict[int, Captured[Tensor]] = {}
        self.generator = torch.Generator(device).manual_seed(settings.seed)
        self.style_weight = torch.tensor(2.0, device=device)
        self.spent = torch.tensor(1.0, device=device)
        """Of what styling may cost, lately."""
        self.step = 0

    def learn(self, share: float) -> Tensor:
        """One step, ``share`` of the time being over; the terms of the loss in the order of NAMES, on the device."""
        settings = self.settings
        size = settings.size if share >= _SMALL_UNTIL else settings.size * 3 // 4 // 16 * 16
        photographs, product = self.photographs.batch(settings.batch, size, self.generator)
        styles = self.examples.batch(settings.batch, size, self.generator)
        rate = settings.rate * schedule(share)
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):  # a captured step reads its rate where it was when it was captured
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self.step += 1
        given = photographs, product, styles, torch.full((), share, device=self.device)
        if self.device.type != "cuda":
            return self._update(*given)
        if size not in self._captured:
            self._captured[size] = Captured(self._update, *given)
        return self._captured[size](*given)

    def _update(self, photographs: Tensor, product: Tensor, styles: Tensor, share: Tensor) -> Tensor:
        """Everything of a step that depends on pictures alone; the terms of the loss."""
        settings = self.settings
        self.optimiser.zero_grad(set_to_none=True)
        values = self._terms(photographs, product, styles)
        gram, moments, content, deep, kept, taught, rough, beyond = values
        loss = (
            self.style_weight * (gram + 0.5 * moments) + content + settings.deep_weight * deep + settings.kept * kept
            + (0.5 - 0.4 * share) * taught + settings.rough * rough + settings.beyond * beyond
        )  # fmt: skip
        loss.backward()
        self._move()
        return torch.stack([*values, self.style_weight]).detach()

    def _terms(self, photographs: Tensor, product: Tensor, styles: Tensor) -> tuple[Tensor, ...]:
        count = len(photographs)
        shown = torch.cat([photographs, styles]).contiguous(memory_format=torch.channels_last)
        counted = torch.cat([product, torch.ones_like(product)])
        with torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False):
            with torch.no_grad():
                goals = self.perceived(shown)
            seen = self.network.see(shown)
            taught = self.heads.gap(seen, goals)
            given_back, known = self.network.know(shown, counted, seen)
            wanted = [each[count:] for each in known]
            styled, _ = self.network.measure(photographs, wanted, product, [each[:count] for each in seen])
            # As where the network is used: a packshot's white ground is laid over what came out.
            styled = styled * product + photographs * (1 - product)
            found = self.perceived(styled)
        gram, spread = style_gaps(found, {name: goals[name][count:] for name in JUDGED}, product)
        content, deep = (
            relative_gap(found[name].float(), goals[name][:count].float()) for name in (CONTENT_LAYER, DEEP_LAYER)
        )
        kept = (given_back - shown).abs().mean()
        self._steer(content.detach(), deep.detach())
        content, deep = _calm(content).mean(), _calm(deep).mean()
        beyond = (styled - styled.clamp(0, 1)).abs().mean()
        return gram, spread, content, deep, kept, taught, roughness(styled, photographs), beyond

    @torch.no_grad()
    def _steer(self, content: Tensor, deep: Tensor) -> None:
        """More weight to the style while photographs are better kept than they need be; medians, for a flat one tells
        nothing of the others."""
        spent = torch.maximum(content.median() / self.settings.content, deep.median() / self.settings.deep)
        self.spent.lerp_(torch.where(spent.isfinite(), spent, 1.0).clamp(max=3), 0.05)
        self.style_weight.mul_(torch.exp(0.02 * (1 - self.spent))).clamp_(*_STYLE_WEIGHTS)

    def _move(self) -> None:
        """Clipped; a step whose gradients are no numbers moves nothing new, and nothing waits for the device."""
        norm = nn.utils.get_total_norm([each.grad for each in self.parameters if each.grad is not None])
        factor = torch.where(norm.isfinite(), (_CLIP / (norm + 1e-6)).clamp(max=1.0), 0.0)
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0.0, 0.0, 0.0).mul_(factor)
        self.optimiser.step()

    def write(self, path: Path) -> None:
        """The network alone, float16, whole or not at all."""
        from safetensors.torch import save

        tensors = {name: value.detach().cpu().half().contiguous() for name, value in self.network.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(path.name + ".part")
        aside.write_bytes(save(tensors))
        os.replace(aside, path)

    def save(self, path: Path, share: float) -> None:
        """Everything that going on needs."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"heads.{name}": value for name, value in self.heads.state_dict().items()}
        tensors |= {"style_weight": self.style_weight, "spent": self.spent}
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{slot}": value for slot, value in slots.items()}
        Checkpoint(tensors, {"step": self.step, "share": share}).save(path)

    def take_up(self, found: Checkpoint) -> float:
        """Go on from a checkpoint; the share of the time that was over then."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "heads": {}}
        state = self.optimiser.state_dict()
        for name, value in found.tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimiser":
                index, _, slot = rest.partition(".")
                state["state"].setdefault(int(index), {})[slot] = value
            elif kind in parts:
                parts[kind][rest] = value
        self.network.load_state_dict(parts["network"])
        self.heads.load_state_dict(parts["heads"])
        self.optimiser.load_state_dict(state)
        self.style_weight.copy_(found.tensors["style_weight"])
        self.spent.copy_(found.tensors["spent"])
        self.step = found.facts["step"]
        self.generator.manual_seed(self.settings.seed + self.step)
        return float(found.facts["share"])


def style_gaps(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], product: Tensor) -> tuple[Tensor, Tensor]:
    """Distances of Gram matrices, and of means and spreads, as `measures` has them; means over layers and batch."""
    grams, spreads = [], []
    for name in JUDGED:
        one, other = feature_moments(found[name], product), feature_moments(wanted[name])
        grams.append(_calm(_root(relative_gap(one.gram, other.gram))))
        variance = torch.diagonal(one.gram, dim1=1, dim2=2) - one.mean**2
        # The root of nothing has no slope.
        spread = (variance.clamp(min=0) + 1e-4 * other.spread.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
        spreads.append((_root(relative_gap(one.mean, other.mean)) + _root(relative_gap(spread, other.spread))) / 2)
    return torch.stack(grams).mean(), torch.stack(spreads).mean()


def _calm(gap: Tensor) -> Tensor:
    """A distance that grows slower the larger it is: next to a flat picture everything is far away."""
    return gap / (1 + gap / 4)


def _root(gap: Tensor) -> Tensor:
    return (gap + 1e-4).sqrt()


def roughness(styled: Tensor, photographs: Tensor) -> Tensor:
    """Differences of neighbours, counted where the photograph has none."""
    rough = torch.zeros((), device=styled.device)
    for dim in (2, 3):
        there = photographs.diff(dim=dim).abs().mean(dim=1)
        flat = torch.exp(-functional.relu(there - 0.004) * 200)
        rough = rough + (styled.diff(dim=dim).abs().mean(dim=1) * flat).mean()
    return rough


def schedule(share: float) -> float:
    """Of the highest rate, when ``share`` of the time is over: a rise, then a cosine."""
    if share < _WARM:
        return 0.05 + 0.95 * share / _WARM
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - _WARM) / (1 - _WARM))))


class Log:
    """One line of JSON every few seconds: the means of the terms since the last."""

    def __init__(self, path: Path | None) -> None:
        self.path, self._sum, self._count = path, torch.zeros(len(NAMES)), 0
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, terms: Tensor) -> None:
        """The terms of a step."""
        self._sum, self._count = self._sum.to(terms.device) + terms, self._count + 1

    def say(self, **facts: Any) -> None:
        """What there is to say now."""
        if self._count:
            means = (self._sum / self._count).tolist()
            facts |= {name: round(value, 4) for name, value in zip(NAMES, means, strict=True)}
        self._sum, self._count = torch.zeros_like(self._sum), 0
        line = json.dumps(facts)
        print(line, flush=True)  # noqa: T201 - this is its output
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def train(wish: argparse.Namespace, begun: float) -> None:
    """Read, train until the time is over, write.

    Raises:
        CreativeError: for a graphics card, a folder or weights that are not there.
    """
    device = torch.device(wish.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CreativeError("there is no graphics card here: say --device cpu")
    settings = Settings(wish.seconds, wish.batch, wish.size, wish.rate, wish.content)
    log = Log(wish.log)
    photographs = read_photographs(wish.photos, Augmentation(zoom=_ZOOM))
    paintings = read_paintings(wish.paintings)
    # Before the first word with the card: a process that has spoken to one cannot be forked.
    looks = render_looks(photographs.training, wish.looks, wish.workers)
    log.say(event="read", photographs=len(photographs.training), paintings=len(paintings), looks=len(looks),
            elapsed=round(time.monotonic() - begun, 1))  # fmt: skip
    torch.backends.cudnn.benchmark, torch.backends.cudnn.benchmark_limit = True, _TRIED
    torch.backends.cudnn.allow_tf32 = True
    pool = Pool(photographs.training, photographs.augmentation, device)
    perceived = Perceived(
        Vgg19(read_weights(wish.weights / VGG), VGG), Distilled(read_weights(wish.weights / SMALL), SMALL)
    )
    training = Training(settings, pool, Examples(paintings, looks, pool, device), perceived, device)
    if wish.start:
        training.network.load_state_dict(network_in(wish.start).state_dict())
    found = load_checkpoint(wish.checkpoint) if wish.checkpoint else None
    before = training.take_up(found) if found else 0.0
    before = _AGAIN if before >= 1 else before
    start = said = written = time.monotonic()
    end = begun + settings.seconds
    while (now := time.monotonic()) < end:
        share = before + (1 - before) * (now - start) / max(1e-3, end - start)
        log.add(training.learn(share))
        if now - said >= _LOG_EVERY:
            log.say(step=training.step, share=round(share, 3), elapsed=round(time.monotonic() - begun, 1))
            said = time.monotonic()
        if now - written >= _WRITE_EVERY:
            _keep(training, wish, share)
            written = time.monotonic()
    _keep(training, wish, 1.0)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    log.say(event="over", step=training.step, elapsed=round(time.monotonic() - begun, 1), gigabytes=round(peak, 2))


def _keep(training: Training, wish: argparse.Namespace, share: float) -> None:
    training.write(wish.out)
    if wish.checkpoint:
        training.save(wish.checkpoint, share)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says."""
    begun, usual = time.monotonic(), Settings()
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "paintings", "weights", "out"):
        options.add_argument(f"--{name}", type=Path, required=True)
    options.add_argument("--log", type=Path)
    options.add_argument("--checkpoint", type=Path)
    options.add_argument("--seconds", type=float, default=usual.seconds)
    options.add_argument("--batch", type=int, default=usual.batch)
    options.add_argument("--size", type=int, default=usual.size)
    options.add_argument("--rate", type=float, default=usual.rate)
    options.add_argument("--content", type=float, default=usual.content)
    options.add_argument("--start", type=Path, help="A network to begin with.")
    options.add_argument("--looks", type=int, default=84)
    options.add_argument("--workers", type=int, default=8)
    options.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    train(options.parse_args(arguments), begun)


if __name__ == "__main__":
    main()
