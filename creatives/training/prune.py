"""A smaller shared network: without the channels within each block that the others can best make good.

    python -m creatives.training.prune --keep 0.75 --out DIR [--packs DIR] [--photos DIR] [--steps 300] [--device cuda]

DIR/shared.safetensors takes the same adapters; use it with ADSTYLE_NETWORK=DIR/shared.safetensors.

A block ends in a linear layer whose results are normalised. So what the removal of a channel costs is a question of
least squares: how far, in units of each normalised result, the remaining channels can make its part good, on average
over styles and photographs (B. Hassibi, D. Stork, "Second Order Derivatives for Network Pruning: Optimal Brain
Surgeon", NIPS 1992; Y. He, X. Zhang, J. Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017).
The cheapest goes, the others are weighted anew, and so on. Blocks follow one another: each is fitted to what the
unpruned network gives there, on what the pruned one gives to it. With ``--steps`` the whole is then trained so
far to draw what the unpruned network draws (G. Hinton, O. Vinyals, J. Dean, 2015).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.errors import CreativeError
from creatives.neural.shared import IDENTITY, PREFIX, PRUNED_FROM, SHARED, load_shared
from creatives.neural.transformer import BLOCKS, EPSILON, QUARTER, StyleTransformer
from creatives.packs import SHIPPED, WEIGHTS
from creatives.training.photographs import Photographs, photographs_that_come_along, read_photographs

MULTIPLE = 8
"""Channels are kept by eights: processors compute on as many at once."""
SIDE, CROPS, PIXELS = 192, 8, 2048
"""Of the crops on which least squares are taken, their number, and the places sampled in each."""
RATE, WARMED_UP, BATCH = 3e-4, 0.1, 4
"""Of learning, the share of steps over which it rises, and crops a step."""
_RIDGE = 1e-4


class _Reached(Exception):
    """Carries nothing: the layers that were asked for have been computed."""


@dataclass(frozen=True, slots=True)
class Normal:
    """Of each of a block's results, the normal equations of its least squares, averaged over styles and photographs."""

    squares: Tensor
    """``(results, channels, channels)``."""
    products: Tensor
    """``(results, channels)``."""


def adapters_in(folder: Path) -> list[Tensor]:
    """Of every pack in a folder that has one."""
    from creatives.neural.shared import read_vector

    found = []
    for path in sorted(folder.glob(f"*/{WEIGHTS}")):
        try:
            found.append(torch.tensor(read_vector(path, "adapter", StyleTransformer.adapter_size())))
        except CreativeError:  # another engine's weights
            continue
    return found


@torch.no_grad()
def prune(
    network: StyleTransformer, adapters: Sequence[Tensor], pictures: Tensor, keep: float,
    *, tell: Callable[[str], None] | None = None,
) -> StyleTransformer:  # fmt: skip
    """The network with about ``keep`` of each block's inner channels, everything else as it was.

    ``pictures`` are ``(n, 3, height, width)`` in 0..1; the adapters' styles count alike.
    """
    count = min(QUARTER, max(MULTIPLE, round(keep * QUARTER / MULTIPLE) * MULTIPLE))
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    for number in range(BLOCKS):
        small = StyleTransformer.of(tensors)
        normal = _normal(network, small, number, adapters, pictures)
        kept, weights, lost = _choose(normal, count)
        if tell:
            tell(f"block {number}: {count} of {QUARTER} channels, {lost:.2%} of its result is lost")
        if count == QUARTER:
            continue
        name = f"blocks.{number}."
        tensors[name + "dense.convolution.weight"] = tensors[name + "dense.convolution.weight"][kept]
        tensors[name + "depthwise.convolution.weight"] = tensors[name + "depthwise.convolution.weight"][kept]
        tensors[name + "pointwise.convolution.weight"] = weights[:, :, None, None]
        tensors[name + "kept"] = kept
    return StyleTransformer.of(tensors)


def _normal(
    network: StyleTransformer, small: StyleTransformer, number: int, adapters: Sequence[Tensor], pictures: Tensor
) -> Normal:
    squares, products = torch.zeros(QUARTER, QUARTER, QUARTER), torch.zeros(QUARTER, QUARTER)
    index = 2 + 2 * number + 1
    for adapter in adapters:
        scales = network.split(adapter[None])[2 * index][0]
        wanted = torch.cat([_sampled(_within(network, number, each, adapter).wanted) for each in pictures])
        entering = torch.cat([_sampled(_within(small, number, each, adapter).entering) for each in pictures])
        worth = scales.square() / (wanted.square().mean(dim=0) + EPSILON)
        covariance, together = entering.T @ entering / len(entering), entering.T @ wanted / len(entering)
        squares += worth[:, None, None] * covariance / len(adapters)
        products += (worth * together).T / len(adapters)
    return Normal(squares, products)


@dataclass(frozen=True, slots=True)
class _Seen:
    entering: Tensor
    """The last layer's input, ``(channels, height, width)``."""
    wanted: Tensor
    """Its output."""


def _within(network: StyleTransformer, number: int, picture: Tensor, adapter: Tensor) -> _Seen:
    """What one block computes on one picture; what would follow is spared."""
    seen: list[Tensor] = []

    def note(_: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        seen.extend((given[0][0], result[0]))
        raise _Reached

    block = network.body()[number]
    handle = block.pointwise.register_forward_hook(note)
    try:
        network(picture[None], adapter[None])
    except _Reached:
        pass
    finally:
        handle.remove()
    return _Seen(*seen)


def _sampled(x: Tensor) -> Tensor:
    """``(PIXELS, channels)`` around their mean on the picture, which normalisation takes off anyway."""
    centred = (x - x.mean(dim=(1, 2), keepdim=True)).flatten(1)
    return centred[:, :: max(1, centred.shape[1] // PIXELS)].T


def _choose(normal: Normal, count: int) -> tuple[Tensor, Tensor, float]:
    """The channels kept, sorted; the layer's weights on them, ``(results, count)``; the share of its power lost."""
    kept = torch.arange(QUARTER)
    ridge = _RIDGE * normal.squares.diagonal(dim1=1, dim2=2).mean(dim=1)
    squares = (normal.squares + ridge[:, None, None] * torch.eye(QUARTER)).double()
    products = normal.products.double()
    power = 0.0
    while True:
        inverse = torch.linalg.inv(squares[:, kept][:, :, kept])
        weights = (inverse @ products[:, kept, None])[..., 0]
        explained = float((weights * products[:, kept]).sum())
        power = power or explained
        if len(kept) <= count:
            return kept, weights.float(), max(0.0, 1 - explained / power)
        costs = (weights.square() / inverse.diagonal(dim1=1, dim2=2)).sum(dim=0)
        kept = torch.cat([kept[: (worst := int(costs.argmin()))], kept[worst + 1 :]])


def distil(
    small: StyleTransformer, network: StyleTransformer, adapters: Sequence[Tensor], photographs: Photographs,
    *, steps: int, device: str = "cpu", seed: int = 0,
) -> StyleTransformer:  # fmt: skip
    """The small network, trained to draw what the other draws (mean absolute error), in these styles and mixtures."""
    teacher, pupil = network.to(device).eval(), small.to(device).train().requires_grad_(requires_grad=True)
    styles = torch.stack(list(adapters)).to(device)
    optimiser = torch.optim.Adam(pupil.parameters(), lr=RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min((step + 1) / (steps * WARMED_UP), 1 - step / steps)
        rng = np.random.default_rng([seed, step])
        batch = photographs.batch(rng, BATCH, SIDE)
        pictures = torch.from_numpy(batch.pictures.copy()).permute(0, 3, 1, 2).to(device).float() / 255
        shares = torch.tensor(rng.dirichlet([0.1] * len(styles), BATCH), dtype=torch.float32, device=device)
        chosen = shares @ styles
        with torch.no_grad():
            wanted = teacher(pictures, chosen)
        optimiser.zero_grad()
        functional.l1_loss(pupil(pictures, chosen), wanted).backward()
        optimiser.step()
    network.cpu()
    return pupil.cpu().eval().requires_grad_(requires_grad=False)


def write_pruned(network: StyleTransformer, identity: Tensor, sha256: str, path: Path) -> None:
    """As the shared network's file; it says which network's adapters it takes."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {PREFIX + name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(tensors | {IDENTITY: identity.contiguous()}, path, metadata={PRUNED_FROM: sha256})


def main(arguments: Sequence[str] | None = None) -> None:
    """Prune, fit, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keep", type=float, default=0.75, help="share of each block's inner channels")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--network", type=Path, default=SHARED)
    options.add_argument("--packs", type=Path, default=SHIPPED, help="styles whose pictures should stay as they are")
    options.add_argument("--photos", type=Path)
    options.add_argument("--steps", type=int, default=0, help="train the pruned network so far")
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    wish = options.parse_args(arguments)
    if not 0 < wish.keep <= 1:
        options.error(f"--keep {wish.keep:g} is no share: it lies above 0 and up to 1")

    shared = load_shared(wish.network)
    network = StyleTransformer.of(shared.network)
    adapters = [shared.identity, *adapters_in(wish.packs)]
    photographs = read_photographs(wish.photos) if wish.photos else photographs_that_come_along()
    crops = photographs.batch(np.random.default_rng(0), CROPS, SIDE).pictures
    small = prune(network, adapters, _as_tensor(crops), wish.keep, tell=print)
    if wish.steps > 0:
        small = distil(small, network, adapters, photographs, steps=wish.steps, device=wish.device)
    path = wish.out / SHARED.name
    write_pruned(small, shared.identity, shared.sha256, path)
    before, after = (sum(value.numel() for value in each.parameters()) for each in (network, small))
    print(f"{path}: {after:,} of {before:,} parameters, fitted to {len(adapters)} adapters")  # noqa: T201


def _as_tensor(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 255


if __name__ == "__main__":
    main()
