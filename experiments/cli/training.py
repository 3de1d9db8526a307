"""Looks of one's own: ``styles add`` and ``styles train``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.shell import Shell, console, one_line, progress_bar, styled
from experiments.core.errors import ExperimentError

if TYPE_CHECKING:
    from PIL.Image import Image

    from creatives.training.lesson import Lesson
    from creatives.training.session import Session, Settings, Step

PREVIEWS = 10
"""Times a training shows how far it has come."""
LOOK_LENGTHS = (10, 200)
"""Characters of the sentence in a pack's manifest."""
_OWN_EYE = "Compared through AdStyle's own eye; VGG-19's weights"


class Interrupted(ExperimentError):
    """Somebody pressed Ctrl-C, and what was learned is kept."""

    exit_code = 130  # 128 and the number of the signal, as shells have it


@dataclass(frozen=True, slots=True)
class Desk:
    """What lies in ``packs/.training`` while a style is learned; the library passes over folders with a dot."""

    folder: Path
    name: str

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    @property
    def preview(self) -> Path:
        return self.folder / f"{self.name}.png"

    @property
    def choice(self) -> Path:
        """What a search found."""
        return self.folder / f"{self.name}.search.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """By one command at a time; the system lets go of it however its process ends."""
        from filelock import FileLock, Timeout

        path = self.folder / f"{self.name}.lock"
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        with suppress(Timeout):
            lock.acquire(timeout=0)
        # Whoever held it may have taken it away a moment ago.
        if not (lock.is_locked and path.exists()):
            lock.release()
            raise ExperimentError(
                f"{self.name} is being learned by another command: wait for it, or choose another --name"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.release()

    def show(self, picture: "Image") -> None:
        """Put a picture in the preview's place; whoever looks at it never sees half of one."""
        import os

        aside = self.preview.with_name(self.preview.name + ".part")
        self.folder.mkdir(parents=True, exist_ok=True)
        picture.save(aside, format="PNG")
        os.replace(aside, self.preview)

    def clear(self) -> None:
        """Leave nothing of this style."""
        for path in (self.checkpoint, self.preview, self.choice):
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".part").unlink(missing_ok=True)


def add(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER|PICTURE", help="A style pack from elsewhere, or a picture to take after.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a picture: what the style will be called.")
    ] = None,
    look: Annotated[
        str | None, typer.Option(metavar="SENTENCE", help="Of a picture: what it looks like, for reports.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="reference|optimise",
            help="Of a picture: a second each, or its strokes too, minutes each.",
        ),
    ] = None,
) -> None:
    """Take a style pack into the workspace's packs/, or make one of a picture's colours and light at once.

    For a picture's strokes, too, learn it: adstyle styles train; or, for stills that matter, --engine optimise.
    """
    from creatives.likenesses import ENGINES, look_of, style_of_picture
    from creatives.packaging import add_pack

    shell: Shell = context.obj
    workspace = shell.workspace()
    packs = workspace.folder("packs")
    with one_line():
        if source.is_file() or (name and not source.is_dir()):
            if name is None:
                raise ExperimentError(f"{source} is a picture: say what its style will be called, with --name NAME")
            engine = engine or ENGINES[0]
            sentence = _sentence(look) if look else look_of(source, engine)
            with progress_bar() as progress:
                progress("drawing its preview", 0, 1)
                pack = style_of_picture(source, packs, name=name, look=sentence, author=workspace.name, engine=engine)
            if "eye" in pack.parameters:
                console().print(f"{_OWN_EYE} (ADSTYLE_VGG) bring strokes closer, without grain")
            if engine == ENGINES[0]:  # the other takes minutes
                _warn(name, packs)
        elif name or look or engine:
            raise ExperimentError(
                f"{source} is no picture: --name, --look and --engine are for pictures; a pack has its own"
            )
        else:
            pack = add_pack(source, packs)
    console().print(f"{pack.identity} is at hand. Look at it: adstyle styles preview {pack.name}")


def train(
    context: typer.Context,
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The style: a painting, a print, a mood board.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="What the style will be called.")],
    look: Annotated[str | None, typer.Option(metavar="SENTENCE", help="What it looks like, for reports.")] = None,
    photos: Annotated[Path | None, typer.Option(metavar="DIR", help="Photographs to learn on; six come along.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Train a whole network, not just an adapter.")] = False,
    vgg: Annotated[
        Path | None, typer.Option(metavar="PATH", help="VGG-19's weights, if not in torchvision's cache.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="280 for an adapter, 2,000 for a network.")] = None,
    size: Annotated[int, typer.Option(min=64, max=1024, metavar="PX", help="Side of a crop, a multiple of 16.")] = 192,
    batch: Annotated[int, typer.Option(min=1, max=64, help="Crops a step.")] = 4,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Draws crops; the same seed, the same style.")] = 0,
    rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Highest learning rate; a network's is a quarter of it.")
    ] = 8e-3,
    style_weight: Annotated[float, typer.Option(min=0.0, help="How much strokes count.")] = 8.0,
    content_weight: Annotated[float, typer.Option(min=0.0, help="How much the photograph counts.")] = 1.0,
    weight_decay: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of a network (--full).")] = 1e-4,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of an adapter left neutral in a step.")] = 0.0,
    patience: Annotated[int, typer.Option(min=0, help="Validations without improvement before it ends; 0: all.")] = 6,
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to compute.")] = "cpu",
    mixed: Annotated[bool, typer.Option("--mixed/--no-mixed", help="Compute in bfloat16 where it suffices.")] = True,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write losses and previews for TensorBoard.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--search", min=0.01, metavar="MINUTES", help="Look for weights and rate first, this long."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on from an interrupted training, or begin again.")
    ] = True,
) -> None:
    """Learn a style from one picture. Interrupted, the same command goes on from where it was."""
    from creatives.neural.eye import Eye
    from creatives.packaging import check_new_name, write_pack
    from creatives.previews import preview_of
    from creatives.training.fit import Wish, settings_of, usable_device
    from creatives.training.lesson import how_made, learned, look_of, prepare

    shell: Shell = context.obj
    workspace = shell.workspace()
    packs = workspace.folder("packs")
    check_new_name(name, packs)
    sentence = _sentence(look) if look else look_of(picture)
    settings = settings_of(
        Wish(
            full=full, steps=steps, batch=batch, size=size, rate=rate, style_weight=style_weight,
            content_weight=content_weight, weight_decay=weight_decay, dropout=dropout, patience=patience, seed=seed,
            device=usable_device(device), mixed=mixed,
        )
    )  # fmt: skip
    desk = Desk(packs / ".training", name)
    lesson = prepare(picture, name, vgg=vgg, photos=photos)
    if isinstance(lesson.perception.vgg, Eye):
        console().print(f"{_OWN_EYE} (--vgg) bring strokes a little closer")
    with one_line(), desk.held(), _interruption() as asked:
        check_new_name(name, packs)  # whoever held it meanwhile may have made it
        if not resume:
            desk.clear()
        if minutes:
            settings = _searched(lesson, settings, desk, minutes, asked)
        session = _open(lesson, settings, desk)
        _learn(session, lesson, desk, tensorboard, asked)
        found = learned(session, lesson)
        write_pack(
            packs / name, name=name, look=sentence, engine="network", parameters=found.parameters,
            weights=found.weights, licence="as the picture's", author=workspace.name,
            made=how_made(session, lesson, picture), preview=preview_of,
        )  # fmt: skip
        desk.clear()
    _warn(name, packs)
    console().print(f"{name} is at hand after {session.step} steps. Look at it: adstyle styles preview {name}")


def register(styles: typer.Typer) -> None:
    """Add both to the ``styles`` group."""
    styles.command()(add)
    styles.command()(train)


def _sentence(look: str) -> str:
    """A look as a pack will have it, with its full stop; refused before hours are spent on it, not after."""
    from creatives.names import CONTROL

    look.encode()  # what is no text cannot be written down
    sentence = " ".join(CONTROL.sub(" ", look).split()).removesuffix(".") + "."
    if not LOOK_LENGTHS[0] <= len(sentence) <= LOOK_LENGTHS[1]:
        raise ExperimentError(
            f"--look has {len(sentence)} characters: say what the style looks like in one sentence of "
            f"{LOOK_LENGTHS[0]} to {LOOK_LENGTHS[1]}"
        )
    return sentence


def _searched(
    lesson: "Lesson", settings: "Settings", desk: Desk, minutes: float, asked: Callable[[], bool]
) -> "Settings":
    """The settings with the best weights and rate in them: found now, or by the command that this one goes on from."""
    import time

    from creatives.training.search import keep, kept, search

    choice = kept(desk.choice, lesson, settings)
    if choice is not None:
        console().print(f"found earlier: {choice}")
        return choice.into(settings)
    seconds = 60 * minutes
    with progress_bar() as progress:
        found = search(
            lesson, settings, seconds=seconds, clock=time.monotonic, stopped=asked,
            progress=lambda spent: progress("searching (seconds)", min(round(spent), round(seconds)), round(seconds)),
        )  # fmt: skip
    if asked():
        raise Interrupted("interrupted; nothing was learned yet, and the same command searches again")
    keep(found.choice, desk.choice, lesson, settings)
    if found.score is None:
        console().print(f"{minutes:g} minutes were too short for one trial: going on with {found.choice}")
    else:
        as_given = f", as given {found.given:.3f}" if found.given is not None else ""
        console().print(
            f"tried {found.whole} choices to the end and {found.cut_short} in part, the best is {found.choice}; "
            f"its score is {found.score:.3f}{as_given} (lower is better)"
        )
    return found.choice.into(settings)


def _open(lesson: "Lesson", settings: "Settings", desk: Desk) -> "Session":
    from creatives.training.checkpoint import CheckpointError

    try:
        session = lesson.session(settings, desk.checkpoint)
    except CheckpointError as error:
        raise ExperimentError(f"{error}, or give --fresh") from None
    if session.step:
        console().print(f"going on from step {session.step} of {settings.steps}")
    elif lesson.beginning.styles:
        console().print(f"Begins with the shipped styles that come nearest: {', '.join(lesson.beginning.styles)}")
    return session


def _learn(
    session: "Session", lesson: "Lesson", desk: Desk, tensorboard: Path | None, asked: Callable[[], bool]
) -> None:
    """Every step, told and shown."""
    import math

    from creatives.training.board import Board
    from creatives.training.lesson import glimpse_of

    every = max(1, session.settings.steps // PREVIEWS)
    board = Board(tensorboard, session.step)
    often = "at every step" if every == 1 else f"every {every} steps"
    console().print(f"See how far it is: {desk.preview}, renewed {often}")
    try:
        with _bar(session.step, session.settings.steps) as tell:
            for step in session.run():
                if not math.isfinite(step.loss):
                    raise ExperimentError(
                        f"at step {step.number} the loss is {step.loss}: give a lower --rate, and --fresh"
                    )
                tell(step)
                board.step(step)
                if step.number % every == 0 or step.over:
                    picture = glimpse_of(session, lesson)
                    desk.show(picture)
                    board.preview(picture, step.number)
                    console().print(_told(step))
                if asked() and not step.over:
                    session.save()
                    raise Interrupted(f"interrupted; the same command goes on from step {step.number}")
    finally:
        board.close()


def _told(step: "Step") -> str:
    validation = "" if step.validation is None else f", on photographs held back {step.validation:.3f}"
    return f"step {step.number} of {step.of}: loss {step.loss:.3f}{validation}"


def _warn(name: str, packs: Path) -> None:
    """Say which promises of every style the new one breaks; it is there all the same, for people to look at."""
    from creatives.checks import check_style
    from creatives.packs import StyleLibrary

    for promise in check_style(StyleLibrary((packs,)).resolve(name)):
        console().print(styled("warning", "yellow"), f"{name} breaks a promise: {promise}")


@contextmanager
def _bar(done: int, of: int) -> "Iterator[Callable[[Step], None]]":
    """A progress bar like `progress_bar`'s that also tells the loss and how long it will take."""
    import sys

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("training", completed=done, total=of, loss="")
        yield lambda step: bar.update(task, completed=step.number, loss=f"loss {step.loss:.3f}")


@contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Whether somebody pressed Ctrl-C: once lets the step at hand be finished, a second time ends at once."""
    import signal

    pressed: list[int] = []

    def remember(number: int, _frame: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
