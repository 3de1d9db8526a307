"""One training: of the shared network with many styles, of everything for one style, or of one style's adapter alone.

A generator: each step it takes gives a record of itself, so that bars, previews and TensorBoard are the caller's, and
a caller that stops asking stops the training, whose last checkpoint is then where it goes on.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
import torch
from torch import Tensor

from creatives.neural.transformer import StyleTransformer
from creatives.training.balance import Balance
from creatives.training.captured import Captured
from creatives.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from creatives.training.objective import Perception, StyleTargets, Terms, Weights, terms
from creatives.training.photographs import Batch, Photographs
from creatives.training.pool import Pool

Device = Literal["cpu", "cuda"]
WARM = 0.03
"""Share of the training in which the rate rises."""
_HUGE = 1e300
"""More than anything that is measured here."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen. The same settings, pictures and device give the same network."""

    steps: int = 600
    seconds: float = 0.0
    """Where above 0, training ends after this time instead, and the rate falls with it: two runs then differ."""
    batch: int = 4
    size: int = 192
    """Pixels a side of the crops."""
    rate: float = 2e-3
    """Highest learning rate; it warms up for 3 % of the steps and falls along a cosine."""
    adapter_rate: float = 8e-3
    weight_decay: float = 1e-4
    dropout: float = 0.0
    """Chance that a number of an adapter is left neutral in a step."""
    frozen: bool = False
    """True: only adapters learn."""
    weights: Weights = field(default_factory=Weights)
    content_goals: tuple[float, ...] = ()
    """Content distance of each style towards which its own weight is steered; none: one weight for all."""
    shares: tuple[int, ...] = ()
    """How many times as often as others each style is drawn; none: all alike."""
    seed: int = 0
    device: Device = "cpu"
    mixed: bool = True
    """Convolutions in bfloat16."""
    checkpoint_every: int = 50
    validate_every: int = 100
    patience: int = 6
    """Validations without improvement after which training ends; 0: never early."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step was like. ``validation`` only where it was measured."""

    number: int
    of: int
    loss: float
    style: float
    content: float
    white: float
    validation: float | None = None
    best: float = math.inf
    over: bool = False


class Session:
    """A network, adapters by style name, and what moves them."""

    def __init__(
        self, settings: Settings, styles: Mapping[str, Tensor], photographs: Photographs, perception: Perception,
        checkpoint: Path, network: Mapping[str, Tensor] | None = None, adapters: Mapping[str, Tensor] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device(settings.device)
        self.photographs = photographs
        self.perception = perception.to(self.device).to(memory_format=torch.channels_last)
        self.network = StyleTransformer()
        if network is not None:
            self.network.load_state_dict(dict(network))
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.network.requires_grad_(requires_grad=not settings.frozen)
        neutral = StyleTransformer.neutral_adapter()
        first = [(adapters or {}).get(name, neutral) for name in styles]
        self.names = tuple(styles)
        self.adapters = torch.nn.Parameter(torch.stack(first).to(self.device))
        self.targets = StyleTargets.of((picture.to(self.device) for picture in styles.values()), self.perception)
        self.balance = Balance(len(styles), settings.content_goals, self.device)
        self.path, self._clock = checkpoint, clock
        self.step, self.spent, self.best, self.since_best = 0, 0.0, math.inf, 0
        self._pool = None
        if self.device.type == "cuda":
            self._pool = Pool(photographs.training, photographs.augmentation, self.device)
        groups: list[dict[str, Any]] = [{"params": [self.adapters], "lr": settings.adapter_rate, "weight_decay": 0.0}]
        if not settings.frozen:
            groups.append({"params": list(self.network.parameters()), "lr": settings.rate})
        cuda = self.device.type == "cuda"
        for group in groups:  # a captured step reads its rate where it was when it was captured
            group["lr"] = torch.tensor(group["lr"], device=self.device) if cuda else group["lr"]
        self.optimiser = torch.optim.AdamW(
            groups, weight_decay=settings.weight_decay, betas=(0.9, 0.99), capturable=cuda
        )
        self._kept: dict[str, Tensor] = {}
        self._captured: Captured[tuple[Tensor, Terms]] | None = None
        self._resume()

    def run(self) -> Iterator[Step]:
        """Train to the end, from the last checkpoint on."""
        settings, before = self.settings, self._clock()
        while self._share() < 1 and not self._patience_is_over():
            loss, parts = self._learn()
            self.step += 1
            now = self._clock()
            self.spent, before = self.spent + now - before, now
            validation = self.validate() if self._due(settings.validate_every) else None
            if validation is not None:
                improved = validation < self.best * 0.999
                self.since_best = 0 if improved else self.since_best + 1
                if validation < self.best:
                    self.best, self._kept = validation, {name: value.clone() for name, value in self._weights().items()}
            over = self._share() >= 1 or self._patience_is_over()
            if over or self._due(settings.checkpoint_every):
                self.save()
            yield Step(
                self.step, max(settings.steps, self.step), loss, float(parts.style), float(parts.content),
                float(parts.white), validation, self.best, over,
            )  # fmt: skip

    def outcome(self) -> dict[str, Tensor]:
        """``adapters`` (styles, adapter_size) and the tensors ``network.*``, on the processor: as they were
        at the best validation, or as they are where nothing was validated.
        """
        return {name: value.detach().cpu() for name, value in (self._kept or self._weights()).items()}

    def adapter(self, name: str) -> Tensor:
        """One style's numbers in `outcome`, ``(adapter_size,)``."""
        return self.outcome()["adapters"][self.names.index(name)]

    @torch.no_grad()
    def style(self, pictures: Tensor, name: str) -> Tensor:
        """Pictures in a style as it is now."""
        adapters = self.adapters[[self.names.index(name)] * len(pictures)]
        with self._precision():
            return self.network(pictures.to(self.device), adapters).float().clamp(0, 1).cpu()

    @torch.no_grad()
    def validate(self) -> float:
        """The loss on photographs held back, the mean over styles."""
        held = self.photographs.held_out(self.settings.size)
        losses = []
        for index in range(len(self.names)):
            for start in range(0, len(held.pictures), self.settings.batch):
                part = slice(start, start + self.settings.batch)
                pictures, product = self._on_device(Batch(held.pictures[part], held.product[part]))
                chosen = torch.full((len(pictures),), index, device=self.device)
                losses.append(float(self._terms(pictures, product, chosen).total(self.settings.weights)))
            if len(self.names) > 1 and index == 7:
                break  # of many styles, some tell enough
        return float(np.mean(losses))

    def save(self) -> None:
        """Keep everything that going on needs."""
        state = self.optimiser.state_dict()
        tensors = self._weights() | {f"best.{name}": value for name, value in self._kept.items()}
        tensors["balance"] = self.balance.logs
        for index, slots in state["state"].items():
            tensors |= {f"optimiser.{index}.{slot}": value for slot, value in slots.items()}
        facts = {
            "step": self.step, "spent": self.spent, "since_best": self.since_best,
            "best": self.best if math.isfinite(self.best) else None,
            "styles": list(self.names), "settings": asdict(self.settings),
        }  # fmt: skip
        Checkpoint(tensors, facts).save(self.path)

    def _resume(self) -> None:
        found = load_checkpoint(self.path)
        if found is None:
            return
        if found.facts.get("styles") != list(self.names) or found.facts.get("settings") != _plain(
            asdict(self.settings)
        ):
            raise CheckpointError(
                f"{self.path} belongs to a training with other settings or pictures: remove it to begin again"
            )
        if lack := next(chain(self._lacks_of(found.tensors), self._doubts_of(found)), None):
            raise CheckpointError(
                f"{self.path} does not hold what this training needs to go on ({lack}): remove it to begin again"
            )
        self._take_up(found)

    def _lacks_of(self, tensors: Mapping[str, Tensor]) -> Iterator[str]:
        """What of the tensors is not as `save` leaves it."""
        weights = self._weights()
        wanted = weights | {"balance": self.balance.logs}
        if self._has_best(tensors):
            wanted |= {f"best.{name}": value for name, value in weights.items()}
        learners = [each for group in self.optimiser.param_groups for each in group["params"]]
        for index, learner in enumerate(learners):
            slots = {"step": torch.tensor(0.0), "exp_avg": learner, "exp_avg_sq": learner}
            wanted |= {f"optimiser.{index}.{slot}": value for slot, value in slots.items()}
        for name, value in wanted.items():
            if name not in tensors:
                yield f"it lacks {name}"
            elif tensors[name].shape != value.shape or tensors[name].dtype != value.dtype:
                shapes = [f"{tuple(each.shape)} {each.dtype}".replace("torch.", "") for each in (tensors[name], value)]
                yield f"{name} is {shapes[0]}, not {shapes[1]}"
            elif not torch.isfinite(tensors[name]).all():
                yield f"{name} holds values that are no numbers"
            elif name.startswith("optimiser.") and not name.endswith("exp_avg") and tensors[name].min() < 0:
                yield f"{name} is below 0"
        yield from (f"nothing needs {name}" for name in tensors if name not in wanted)

    def _doubts_of(self, found: Checkpoint) -> Iterator[str]:
        """What of the facts cannot be true."""
        for name in ("step", "since_best"):
            value = found.facts.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                yield f"{name} is no whole number from 0 on"
            elif name == "step" and not self.settings.seconds and value > self.settings.steps:
                yield f"it is at step {value} of {self.settings.steps}"
        spent, best = found.facts.get("spent"), found.facts.get("best")
        if not _is_number(spent) or spent < 0:
            yield "spent is no number from 0 on"
        if not _is_number(best) and (best is not None or self._has_best(found.tensors)):
            yield "best is no number"
        elif best is not None and not self._has_best(found.tensors):
            yield "it lacks what was best"

    @staticmethod
    def _has_best(tensors: Mapping[str, Tensor]) -> bool:
        return any(name.startswith("best.") for name in tensors)

    def _take_up(self, found: Checkpoint) -> None:
        network = {name.removeprefix("network."): v for name, v in found.tensors.items() if name.startswith("network.")}
        self.network.load_state_dict(network)
        with torch.no_grad():
            self.adapters.copy_(found.tensors["adapters"])
            self.balance.logs.copy_(found.tensors["balance"])
        best = {name.removeprefix("best."): value for name, value in found.tensors.items() if name.startswith("best.")}
        self._kept = {name: value.to(self.device) for name, value in best.items()}
        state = self.optimiser.state_dict()
        state["state"] = {}
        for name, value in found.tensors.items():
            if name.startswith("optimiser."):
                _, index, slot = name.split(".", 2)
                state["state"].setdefault(int(index), {})[slot] = value
        self.optimiser.load_state_dict(state)
        self.step, self.since_best = found.facts["step"], found.facts["since_best"]
        self.spent = float(found.facts["spent"])
        self.best = math.inf if found.facts["best"] is None else found.facts["best"]

    def _weights(self) -> dict[str, Tensor]:
        network = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        return network | {"adapters": self.adapters.detach()}

    def _learn(self) -> tuple[float, Terms]:
        settings = self.settings
        # The dice of a step depend on the step alone: a resumed training draws what an unbroken one would have.
        rng = np.random.default_rng([settings.seed, self.step])
        torch.manual_seed(settings.seed * 1_000_003 + self.step)
        pictures, product = self._crops(rng)
        order = rng.permutation(np.repeat(np.arange(len(self.names)), settings.shares or 1))
        drawn = [int(order[number % len(order)]) for number in range(settings.batch)]
        chosen = torch.tensor(drawn, device=self.device)
        factor = self._schedule()
        for group, rate in zip(self.optimiser.param_groups, (settings.adapter_rate, settings.rate), strict=False):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * factor)
            else:
                group["lr"] = rate * factor
        if self._pool is None:
            loss, parts = self._update(pictures, product, chosen)
        else:
            if self._captured is None:
                self._captured = Captured(self._update, pictures, product, chosen)
            loss, parts = self._captured(pictures, product, chosen)
        return float(loss), parts

    def _update(self, pictures: Tensor, product: Tensor, chosen: Tensor) -> tuple[Tensor, Terms]:
        """Everything of a step that depends on pictures alone."""
        self.optimiser.zero_grad(set_to_none=True)
        parts = self._terms(pictures, product, chosen, self.settings.dropout)
        loss = parts.total(self.settings.weights, self.balance.factors(chosen))
        loss.backward()
        torch.nn.utils.clip_grad_norm_([self.adapters, *self.network.parameters()], 5.0)
        self.optimiser.step()
        self.balance.learn(chosen, parts.content)
        return loss.detach(), parts.means()

    def _crops(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        if self._pool is None:
            return self._on_device(self.photographs.batch(rng, self.settings.batch, self.settings.size))
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        return self._pool.batch(self.settings.batch, self.settings.size, generator)

    def _on_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        pictures = torch.from_numpy(batch.pictures.copy()).permute(0, 3, 1, 2).to(self.device).float() / 255
        product = torch.from_numpy(batch.product)[:, None].to(self.device).float() / 255
        return pictures.contiguous(memory_format=torch.channels_last), product

    def _terms(self, pictures: Tensor, product: Tensor, chosen: Tensor, dropout: float = 0.0) -> Terms:
        adapters = self.adapters[chosen]
        if dropout:
            neutral = StyleTransformer.neutral_adapter().to(self.device)
            adapters = torch.where(torch.rand_like(adapters) < dropout, neutral, adapters)
        with self._precision():
            styled = self.network(pictures, adapters)
            return terms(styled, pictures, product, chosen, self.targets, self.perception)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.settings.mixed, cache_enabled=False)

    def _schedule(self) -> float:
        done = self._share()
        if done < WARM:
            return min(1.0, (done + 1 / max(self.settings.steps, 100)) / WARM)
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (done - WARM) / (1 - WARM)))

    def _share(self) -> float:
        """Of the training that is done, 0..1 and, at its end, a little more."""
        wish = self.settings
        return self.spent / wish.seconds if wish.seconds > 0 else self.step / wish.steps

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _patience_is_over(self) -> bool:
        return self.settings.patience > 0 and self.since_best >= self.settings.patience


def _is_number(value: Any) -> TypeGuard[float]:
    """Finite, and no whole number with hundreds of digits, which JSON may hold and no float can."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_HUGE < value < _HUGE


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    import json

    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain
