"""Looks of one's own: ``styles add`` and ``styles train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.shell import Shell, console, progress_bar

if TYPE_CHECKING:
    from PIL.Image import Image

    from creatives.training.session import Session
    from experiments.jobs.context import Progress

PREVIEWS = 10
"""Preview pictures a training writes on its way."""


def add(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A style pack from elsewhere.")],
) -> None:
    """Check a style pack and take it into the workspace's packs/."""
    from creatives.packaging import add_pack

    shell: Shell = context.obj
    pack = add_pack(folder, shell.workspace().folder("packs"))
    console().print(f"{pack.identity} is at hand. Look at it: adstyle styles preview {pack.name}")


def train(
    context: typer.Context,
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The style: a painting, a print, a mood board.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="What the style will be called.")],
    look: Annotated[str | None, typer.Option(help="The look in one sentence, ending with a full stop.")] = None,
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Photographs to learn on; four come along.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Train a whole network, not just an adapter.")] = False,
    vgg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="VGG-19's weights; torchvision's cache if not given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="150 for an adapter, 2,000 for a network.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=64, help="Crops a step.")] = 4,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Pixels a side of a crop, a multiple of 16.")] = 192,
    rate: Annotated[float, typer.Option(min=1e-6, max=1.0, help="Highest learning rate of the network.")] = 2e-3,
    style_weight: Annotated[float, typer.Option(min=0.0, help="How much strokes count.")] = 8.0,
    content_weight: Annotated[float, typer.Option(min=0.0, help="How much the photograph counts.")] = 1.0,
    weight_decay: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the network.")] = 1e-4,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of an adapter left neutral in a step.")] = 0.0,
    patience: Annotated[int, typer.Option(min=0, help="Validations without improvement before it ends; 0: all.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Draws crops; the same seed gives the same style.")] = 0,
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to compute.")] = "cpu",
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write losses and previews for TensorBoard.")
    ] = None,
) -> None:
    """Learn a style from one picture. Interrupted, the same command goes on from its last checkpoint."""
    from creatives.packaging import check_new_name, write_pack
    from creatives.training.fit import learned, open_session, usable_device
    from creatives.training.objective import Weights
    from creatives.training.session import Settings
    from experiments.core.errors import ExperimentError

    shell: Shell = context.obj
    packs = shell.workspace().folder("packs")
    check_new_name(name, packs)
    if size % 16:
        raise ExperimentError(f"--size {size} is no multiple of 16: take {size // 16 * 16 or 64}")
    sentence = (look or f"The strokes and colours of {picture.stem}.").strip()
    total = steps or (2000 if full else 150)
    settings = Settings(
        steps=total, batch=batch, size=size, rate=rate, weight_decay=weight_decay, dropout=dropout, frozen=not full,
        weights=Weights(style=style_weight, content=content_weight), seed=seed, device=usable_device(device),
        validate_every=max(1, total // 20), checkpoint_every=max(1, total // 20), patience=patience,
    )  # fmt: skip
    checkpoint = packs / ".training" / f"{name}.safetensors"
    session = open_session(picture, name, settings, vgg=vgg, photos=photos, checkpoint=checkpoint)
    with progress_bar() as progress:
        _run(session, name, checkpoint, progress, tensorboard)
    found = learned(session, name)
    kind = "A whole network" if full else "Adapter of the shared network"
    write_pack(
        packs / name, name=name, look=sentence, engine="network", parameters=found.parameters, weights=found.weights,
        licence="as the picture's", author="this workspace",
        made=f"{kind}, learned from {picture.name} in {session.step} steps, seed {seed}, {settings.device}.",
        preview=_preview(session, name),
    )  # fmt: skip
    checkpoint.unlink(missing_ok=True)
    checkpoint.with_suffix(".png").unlink(missing_ok=True)
    console().print(f"{name} is at hand after {session.step} steps. Look at it: adstyle styles preview {name}")


def register(styles: typer.Typer) -> None:
    """Add both to the ``styles`` group."""
    styles.command()(add)
    styles.command()(train)


def _run(session: "Session", name: str, checkpoint: Path, progress: "Progress", tensorboard: Path | None) -> None:
    """Every step, told and shown; an interruption keeps what was learned."""
    import os

    import numpy as np

    from creatives.training.board import Board

    board = Board(tensorboard)
    every = max(1, session.settings.steps // PREVIEWS)
    try:
        for step in session.run():
            progress(f"training {name}", step.number, step.of)
            board.step(step)
            if step.number % every == 0 or step.over:
                aside = checkpoint.with_suffix(".part.png")
                shown = _preview(session, name)
                shown.save(aside)
                os.replace(aside, checkpoint.with_suffix(".png"))
                board.preview(np.asarray(shown), step.number)
    except KeyboardInterrupt:
        session.save()
        raise
    finally:
        board.close()


def _preview(session: "Session", name: str) -> "Image":
    import numpy as np
    from PIL import Image

    from creatives.training.fit import preview_of
    from experiments.demo.photographs import photograph

    with Image.open(photograph("coffee")) as image:
        small = image.convert("RGB")
    small.thumbnail((480, 480), Image.Resampling.LANCZOS)
    return Image.fromarray(preview_of(session, name, np.asarray(small)))
