"""How the shared network was made: many styles at once, then the identity; adapters stay in the checkpoint.

    python -m creatives.training.base --photos DIR --vgg FILE --small FILE --checkpoint FILE PICTURE...

Run it again after an interruption and it goes on from the checkpoint.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from creatives.neural.features import Distilled, Vgg19, read_weights
from creatives.neural.shared import IDENTITY, PREFIX, SHARED
from creatives.neural.transformer import StyleTransformer
from creatives.pictures import load_picture
from creatives.training.objective import Perception, Weights
from creatives.training.photographs import Photographs, read_photographs
from creatives.training.session import Session, Settings

STYLE_SIDE = 512
"""Longer side of a style's picture: the size at which its strokes are judged."""
STYLE_WEIGHT = 4.0
"""With many styles at once, heavier ones gave blots and embossing for as long as we trained."""
IDENTITY_STEPS, IDENTITY_RATE = 200, 2e-2


def style_tensor(path: Path, side: int = STYLE_SIDE) -> Tensor:
    """A style's picture as ``(1, 3, height, width)`` in 0..1."""
    image = Image.fromarray(load_picture(path).rgb)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def fit_identity(network: StyleTransformer, photographs: Photographs, *, steps: int, seed: int = 0) -> Tensor:
    """The adapter under which a trained network comes closest to giving the photograph back (mean absolute error)."""
    network.eval().requires_grad_(requires_grad=False)
    adapter = torch.nn.Parameter(StyleTransformer.neutral_adapter())
    optimiser = torch.optim.Adam([adapter], lr=IDENTITY_RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = IDENTITY_RATE * (1 - step / steps)
        batch = photographs.batch(np.random.default_rng([seed, step]), 4, 192)
        pictures = torch.from_numpy(batch.pictures.copy()).permute(0, 3, 1, 2).float() / 255
        optimiser.zero_grad()
        loss = functional.l1_loss(network(pictures, adapter.expand(len(pictures), -1)), pictures)
        loss.backward()
        optimiser.step()
    return adapter.detach()


def write_shared(network: StyleTransformer, identity: Tensor, path: Path = SHARED) -> None:
    """The network and its identity in one file, float32."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {PREFIX + name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors | {IDENTITY: identity.contiguous()}, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, fit the identity, write the network."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    for name in ("photos", "vgg", "small", "checkpoint"):
        options.add_argument(f"--{name}", type=Path, required=True)
    options.add_argument("--steps", type=int, default=2000)
    options.add_argument("--style-weight", type=float, default=STYLE_WEIGHT)
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options.add_argument("--out", type=Path, default=SHARED)
    wish = options.parse_args(arguments)

    vgg = Vgg19(read_weights(wish.vgg), str(wish.vgg))
    small = Distilled(read_weights(wish.small), str(wish.small))
    photographs = read_photographs(wish.photos)
    styles = {picture.stem: style_tensor(picture) for picture in wish.pictures}
    weights = Weights(style=wish.style_weight)
    settings = Settings(steps=wish.steps, weights=weights, patience=0, validate_every=0, device=wish.device)
    session = Session(settings, styles, photographs, Perception(vgg, small), wish.checkpoint)
    with Progress() as bar:
        task = bar.add_task("training", total=settings.steps, completed=session.step)
        for step in session.run():
            said = f"style {step.style:.3f} content {step.content:.3f}"
            bar.update(task, completed=step.number, description=said)
    network = session.network.cpu()
    write_shared(network, fit_identity(network, photographs, steps=IDENTITY_STEPS), wish.out)


if __name__ == "__main__":
    main()
