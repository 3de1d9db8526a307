"""What commands share: where the workspace is, what time it is, and how to speak to people and programs."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.core.errors import ExperimentError
from experiments.jobs.complaints import FULL, complaint

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from experiments.jobs.context import Clock, Context, Progress
    from experiments.workspace import Workspace

PIPE_WIDTH = 200
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Instants that may be typed. Plans and windows lie years around them, and dates end with the year 9999."""
DISK_FULL = "the disk is full: free some space and run the same command again; nothing was half-written"


def parse_instant(text: str, option: str) -> datetime:
    """An RFC 3339 instant; a bare date is its midnight in UTC."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ExperimentError(f"{option} {text!r} is not an instant; write it like 2026-11-23T06:00:00Z") from None
    if instant.tzinfo is None:
        if len(text) > len("2026-11-23"):
            raise ExperimentError(f"{option} {text!r} has no time zone; add Z for UTC or an offset like +01:00")
        instant = instant.replace(tzinfo=UTC)
    if not EARLIEST <= instant < LATEST:
        raise ExperimentError(f"{option} {text!r} lies outside the years {EARLIEST.year} to {LATEST.year - 1}")
    return instant.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Shell:
    """The options that hold for every command."""

    workspace_option: str | None
    now: datetime | None

    def clock(self) -> "Clock":
        """The system's clock, or the instant given with ``--now``."""
        from experiments.composition import system_clock

        instant = self.now
        return (lambda: instant) if instant else system_clock

    def workspace(self) -> "Workspace":
        """The workspace given, or the one the current folder lies in."""
        from experiments.workspace import at_home, find_workspace, open_workspace

        if not self.workspace_option:
            return find_workspace(Path.cwd())
        try:
            return open_workspace(at_home(Path(self.workspace_option)))
        except ValueError as error:
            raise ExperimentError(f"--workspace: {error}") from None

    @contextmanager
    def open(self, as_of: datetime | None = None) -> Iterator["Context"]:
        """The workspace's stores; ``as_of`` stops the clock for everything that is done with them."""
        from experiments.composition import open_context

        with open_context(self.workspace(), (lambda: as_of) if as_of else self.clock()) as context:
            yield context


def print_json(value: Any) -> None:
    """One value on one line, for programs. Infinities and NaN never pass."""
    sys.stdout.write(json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no plain form")


def console() -> "Console":
    """Where people read: no colour where none is wanted (NO_COLOR, pipes), no line broken that the terminal can break.

    Into a file or a pipe tables take the width they need. What is printed stands there as it is: names of files may
    hold square brackets and colons, so neither is markup; see `styled`.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=width)


def styled(text: str, style: str) -> "Text":
    """A part of a line that is to stand out."""
    from rich.text import Text

    return Text(text, style)


@contextmanager
def even_unheard() -> Iterator[None]:
    """For what is said of work still going on: it is out at once, and where its reader has left, the work goes on."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_line(line: str) -> None:
    """One line of work that is still going on, also beside a progress bar."""
    with even_unheard():
        sys.stdout.write(f"{line}\n")


@contextmanager
def progress_bar() -> Iterator["Progress"]:
    """A progress bar on standard error that appears with the first report and vanishes at the end.

    What is printed meanwhile stands above it on a terminal, and in a file or a pipe nothing but that.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(
        *columns, console=Console(stderr=True, soft_wrap=True), transient=True, disable=not sys.stderr.isatty(),
        redirect_stdout=sys.stdout.isatty(),  # what is written for a pipe would go to the terminal, too
    ) as bar:  # fmt: skip
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, of: int) -> None:
            if what not in tasks:
                ended = {each.id for each in bar.tasks if each.finished}
                for name in [name for name, task in tasks.items() if task in ended]:
                    bar.remove_task(tasks.pop(name))
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield report


@contextmanager
def one_line() -> Iterator[None]:
    """A file or folder that cannot be used is named on one line; of a full disk the application speaks."""
    try:
        yield
    except OSError as error:
        said = complaint(error)
        if said is None or error.errno in FULL:
            raise
        raise ExperimentError(said) from None
