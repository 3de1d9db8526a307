"""The ``adstyle`` application: its commands, its options that hold everywhere, and its exit codes."""

import io
import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from importlib.metadata import version as version_of
from typing import Annotated, Any
from unicodedata import category

import typer

from creatives.errors import CreativeError
from experiments.cli import (
    analysis,
    compare,
    events,
    experiment,
    jobs,
    lake,
    leaderboard,
    pictures,
    power,
    rejects,
    setup,
)
from experiments.cli.shell import DISK_FULL, Shell, one_line, parse_instant
from experiments.core.errors import ExperimentError
from experiments.jobs.complaints import FULL
from reports.errors import ReportError

HELP = """Ad creative that improves itself, with proof.

AdStyle turns one brief into styled variants, serves them as a randomised experiment, measures which style wins,
proves it, tells people in a weekly report, and promotes the winner.
"""
EPILOG = "Exit codes: 0 done, 1 failed, 2 misuse, 75 try later (someone else is at it)."

CommandLineError: type[Exception] = next(
    each for each in typer.BadParameter.__mro__ if issubclass(each, Exception) and each.__name__ == "ClickException"
)
"""Typer brings its own copy of click and does not name this base class."""

INTERRUPTED = 130
_NUMBER = re.compile(r"(?P<number>[+-]?\d+(?:[.,]\d+)?) ?(?P<percent>%?)")
"""With a decimal comma, or as percent: as people write it, and we do not read it."""

app = typer.Typer(
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def say_version(asked: bool) -> None:
    """The installed distribution's, and no more."""
    if asked:
        typer.echo(f"adstyle {version_of('adstyle')}")
        raise typer.Exit


@app.callback()
def everywhere(
    context: typer.Context,
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace", "-w", metavar="DIR", envvar="ADSTYLE_WORKSPACE", help="The workspace, if not here."
        ),
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(
            "--now",
            metavar="TIME",
            envvar="ADSTYLE_NOW",
            help="Act as if it were this instant (RFC 3339): backfills, rehearsals.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - answered before anything else is
        bool, typer.Option("--version", is_eager=True, callback=say_version, help="Say which version this is.")
    ] = False,
) -> None:
    """Options that hold for every command."""
    context.obj = Shell(workspace, parse_instant(now, "--now") if now else None)


app.command()(setup.demo)
app.command()(setup.init)
app.add_typer(pictures.styles, name="styles")
app.command()(pictures.render)
app.add_typer(experiment.app, name="experiment")
app.command()(setup.status)
app.command()(events.assign)
app.command()(events.ingest)
app.command()(analysis.analyse)
app.command()(compare.compare)
app.command()(power.power)
app.command()(analysis.report)
app.command()(leaderboard.leaderboard)
app.add_typer(jobs.job, name="job")
app.add_typer(jobs.scheduler, name="scheduler")
app.command()(setup.doctor)
lake.events.command()(rejects.rejects)
lake.events.command()(rejects.replay)
app.add_typer(lake.events, name="events")
app.add_typer(lake.export, name="export")
app.add_typer(setup.database, name="db")


def run(arguments: list[str]) -> int:
    """Run one command line; print one line for whatever goes wrong; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a Latin-1 terminal or file has no minus sign and no ellipsis
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with one_line():
            result = app(arguments, prog_name="adstyle", standalone_mode=False)
    except CommandLineError as error:
        return _misused(error, arguments)
    except (ExperimentError, CreativeError, ReportError) as error:
        return _say(str(error), getattr(error, "exit_code", 2))
    except UnicodeEncodeError as error:  # a word from a terminal that speaks another encoding
        return _say(f"{error.object[:80]!a} is no text in UTF-8: type it in UTF-8", 2)
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except BrokenPipeError:  # the reader of our output has had enough: `adstyle ... | head`
        sys.stdout = None  # nothing more can be flushed into it at exit
        return 0
    except OSError as error:
        if error.errno in FULL:
            return _say(DISK_FULL, 1)
        raise
    if result == INTERRUPTED:  # Typer ends a command at Ctrl-C by this code
        return _say("interrupted; what was finished is kept, and the same command does the rest", result)
    return result if isinstance(result, int) else 0


def _misused(error: Any, arguments: Sequence[str]) -> int:
    """A wrong command line, on one line; a group asked for nothing shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return 2
    hint = f" (see {error.ctx.command_path} --help)" if getattr(error, "ctx", None) else ""
    return _say(error.format_message() + _rewritten(error, arguments) + hint, error.exit_code)


def _rewritten(error: Any, arguments: Sequence[str]) -> str:
    """How to write a number that was given as percent or with a decimal comma; nothing of what is neither."""
    given = ""
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for place, argument in enumerate(arguments):
            if argument == option:
                given = "".join(arguments[place + 1 : place + 2])
            elif argument.startswith(f"{option}="):
                given = argument.partition("=")[2]
    found = _NUMBER.fullmatch(given)
    if not found or not {"%", ","}.intersection(given) or "valid number" not in error.format_message():
        return ""
    number = Decimal(found["number"].replace(",", "."))
    return f": write {number / 100 if found['percent'] else number:f}"


def _say(line: str, code: int) -> int:
    line = " ".join(line.split())
    shown = "".join(ascii(each)[1:-1] if category(each) in ("Cc", "Cs") else each for each in line)
    sys.stderr.write(f"adstyle: {shown}\n")
    return code
