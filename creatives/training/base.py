"""How the shared network was made: many styles at once, then the identity; adapters stay in the checkpoint.

    python -m creatives.training.base --photos DIR --vgg FILE --small FILE --checkpoint FILE PICTURE...

Run it again after an interruption and it goes on from the checkpoint.
"""

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from creatives.neural import shared
from creatives.neural.features import Distilled, Vgg19, read_weights
from creatives.neural.shared import IDENTITY, PREFIX, SHARED
from creatives.neural.transformer import StyleTransformer
from creatives.pictures import load_picture, on_ground
from creatives.training.beginning import shipped_adapters
from creatives.training.catalogue import read_catalogue
from creatives.training.checkpoint import load_checkpoint
from creatives.training.objective import Perception, Weights
from creatives.training.photographs import Photographs, read_photographs
from creatives.training.session import Session, Settings

STYLE_SIDE = 512
"""Longer side of a style's picture: the size at which its strokes are judged."""
WEIGHTS = Weights(style=4.0)
CONTENT_GOAL = 0.46
"""Content distance, in training, at which a style is held where the catalogue asks for no other."""
IDENTITY_STEPS, IDENTITY_RATE = 400, 2e-2
SPOKEN_EVERY = 100
"""Steps between two lines of the log."""


def style_tensor(path: Path, side: int = STYLE_SIDE) -> Tensor:
    """A style's picture as ``(1, 3, height, width)`` in 0..1."""
    image = Image.fromarray(on_ground(load_picture(path)))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def fit_identity(
    network: StyleTransformer, photographs: Photographs, *, steps: int, seed: int = 0, device: str = "cpu"
) -> Tensor:
    """The adapter under which a trained network comes closest to giving the photograph back (mean absolute error)."""
    network.to(device).eval().requires_grad_(requires_grad=False)
    adapter = torch.nn.Parameter(StyleTransformer.neutral_adapter().to(device))
    optimiser = torch.optim.Adam([adapter], lr=IDENTITY_RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = IDENTITY_RATE * (1 - step / steps)
        batch = photographs.batch(np.random.default_rng([seed, step]), 4, 192)
        pictures = torch.from_numpy(batch.pictures.copy()).permute(0, 3, 1, 2).to(device).float() / 255
        optimiser.zero_grad()
        loss = functional.l1_loss(network(pictures, adapter.expand(len(pictures), -1)), pictures)
        loss.backward()
        optimiser.step()
    return adapter.detach().cpu()


def content_goals(styles: Iterable[str]) -> Iterator[float]:
    """Of each picture: what the catalogue says of its style."""
    asked = {entry["picture"]: entry.get("content", CONTENT_GOAL) for entry in read_catalogue().values()}
    return (float(asked.get(name, CONTENT_GOAL)) for name in styles)


def begin_with_shipped() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The shipped network, and the adapters of its packs by picture, as the packs show them."""
    network, catalogue = shared.load_shared(), read_catalogue()
    adapters = shipped_adapters(network, as_shown=True)
    return network.network, {catalogue[name]["picture"]: each for name, each in adapters.items() if name in catalogue}


def begin_with(path: Path | None) -> tuple[dict[str, Tensor] | None, dict[str, Tensor] | None]:
    """Network and adapters of an earlier training's checkpoint, or nothing."""
    found = load_checkpoint(path) if path else None
    if found is None:
        return None, None
    network = {name.removeprefix(PREFIX): v for name, v in found.tensors.items() if name.startswith(PREFIX)}
    return network, dict(zip(found.facts["styles"], found.tensors["adapters"], strict=True))


def write_shared(network: StyleTransformer, identity: Tensor, path: Path = SHARED) -> None:
    """The network and its identity in one file, float32."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        PREFIX + name: value.detach().cpu().contiguous(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    save_file(tensors | {IDENTITY: identity.contiguous()}, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and, where the network learned too, fit the identity and write both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    for name in ("photos", "vgg", "small", "checkpoint"):
        options.add_argument(f"--{name}", type=Path, required=True)
    options.add_argument("--steps", type=int, default=2000)
    options.add_argument("--seconds", type=float, default=0.0, help="End after this time instead.")
    options.add_argument("--batch", type=int, default=4)
    options.add_argument("--size", type=int, default=192)
    options.add_argument("--adapter-rate", type=float, default=8e-3)
    options.add_argument("--smooth", type=float, default=WEIGHTS.smooth, help="How much calm areas count.")
    options.add_argument("--twice", nargs="*", default=(), metavar="NAME", help="Styles drawn twice as often.")
    options.add_argument("--frozen", action="store_true", help="Only the adapters learn; no network is written.")
    begun = options.add_mutually_exclusive_group()
    begun.add_argument("--start", type=Path, help="Checkpoint of an earlier training to begin with.")
    begun.add_argument("--shipped", action="store_true", help="Begin with the shipped network and its packs.")
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--out", type=Path, default=SHARED)
    wish = options.parse_args(arguments)
    if strange := set(wish.twice) - {picture.stem for picture in wish.pictures}:
        options.error(f"--twice names {', '.join(sorted(strange))}, which is no picture here: give names without .jpg")

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    perception = Perception(
        Vgg19(read_weights(wish.vgg), str(wish.vgg)), Distilled(read_weights(wish.small), str(wish.small)), deep=True
    )
    photographs = read_photographs(wish.photos)
    styles = {picture.stem: style_tensor(picture) for picture in wish.pictures}
    settings = Settings(
        steps=wish.steps, seconds=wish.seconds, batch=wish.batch, size=wish.size,
        weights=replace(WEIGHTS, smooth=wish.smooth), content_goals=tuple(content_goals(styles)),
        shares=tuple(2 if name in wish.twice else 1 for name in styles),
        adapter_rate=wish.adapter_rate, frozen=wish.frozen,
        patience=0, validate_every=0, checkpoint_every=100, device=wish.device,
    )  # fmt: skip
    network, adapters = begin_with_shipped() if wish.shipped else begin_with(wish.start)
    session = Session(settings, styles, photographs, perception, wish.checkpoint, network, adapters)
    began = time.monotonic()
    for step in session.run():
        if step.number % SPOKEN_EVERY == 0 or step.over:
            spent = time.monotonic() - began
            print(f"{spent:6.0f} s  step {step.number}  style {step.style:.3f}  content {step.content:.3f}", flush=True)  # noqa: T201
    if not wish.frozen:
        identity = fit_identity(session.network, photographs, steps=IDENTITY_STEPS, device=wish.device)
        write_shared(session.network, identity, wish.out)


if __name__ == "__main__":
    main()
