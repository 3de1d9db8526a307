"""Setting up and looking around: ``demo``, ``init``, ``status``, ``doctor``, ``db``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.cli.shell import Shell, console, print_json, styled

if TYPE_CHECKING:
    from collections.abc import Mapping

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

database = typer.Typer(help="The control plane's database.", no_args_is_help=True)


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the demo's workspace goes.")] = Path("adstyle-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Draws the hidden truth and the audience.")] = 16,
    picture: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Your own photographs instead of the three that come along."),
    ] = None,
) -> None:
    """The whole story in about a minute, offline: three briefs, styled, served, measured, promoted, reported."""
    from experiments.cli.app import run
    from experiments.demo.story import tell

    tell(out, seed, tuple(picture or ()), console(), run)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; made if it is missing.")] = Path("."),
    name: Annotated[str | None, typer.Option(help="What reports call this workspace.")] = None,
) -> None:
    """Make a workspace: settings, folders, a database, and the key under which units are hashed."""
    from experiments.store.database import migrate
    from experiments.workspace import create_workspace, refuse_source_tree

    refuse_source_tree(folder)
    workspace = create_workspace(folder, name)
    migrate(workspace.database_url)
    console().print(
        f"{workspace.root} is a workspace. Put a picture and a brief into briefs/, an experiment into experiments/, "
        "then: adstyle experiment create experiments/NAME.yaml",
    )


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """One screen: experiments and their phases, what is due, how the deliveries went."""
    from experiments.jobs.presenting import status_document

    shell: Shell = context.obj
    with shell.open() as stores:
        document = status_document(stores, stores.clock())
    if as_json:
        print_json(document)
    else:
        _print_status(document)
    raise typer.Exit(1 if any(row["damage"] for row in document["experiments"]) else 0)


def _print_status(document: "Mapping[str, Any]") -> None:
    from rich.table import Table

    from experiments.cli.advice import DAMAGED, advice

    out = console()
    table = Table("experiment", "phase", "look", "last verdict", "next", box=None)
    for row in document["experiments"]:
        look = f"{row['looks_taken']}/{row['looks']}" if row["looks"] else ""
        table.add_row(
            row["experiment"],
            row["phase"] or "",
            look,
            row["verdict"] or "",
            DAMAGED if row["damage"] else advice(row["phase"], row["experiment"], row["winner"], row["proposed"]),
        )
    out.print(table if document["experiments"] else "No experiments yet: adstyle experiment create FILE")
    for damage in filter(None, (row["damage"] for row in document["experiments"])):
        out.print(f"Damaged: {damage}")
    due = document["due"]
    out.print(f"Due now: {', '.join(sorted({task['job'] for task in due}))}" if due else "Nothing is due.")
    events = document["deliveries"]
    out.print(
        f"{events['files']} {'delivery' if events['files'] == 1 else 'deliveries'}: "
        f"{events['read']:,} lines read = {events['accepted']:,} accepted "
        f"+ {events['duplicate']:,} duplicate + {events['rejected']:,} rejected"
        f"{' (why: adstyle events rejects)' if events['rejected'] else ''}"
    )


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check every store, engine, folder and the clock, and say what to do."""
    from experiments.doctor import examine

    shell: Shell = context.obj
    findings = examine(shell.workspace(), shell.clock())
    for finding in findings:
        if as_json:
            print_json({"check": finding.check, "ok": finding.ok, "says": finding.says})
        else:
            mark = styled("ok   ", "green") if finding.ok else styled("wrong", "red")
            console().print(mark, f"{finding.check}: {finding.says}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@database.command()
def migrate(context: typer.Context) -> None:
    """Bring the database to this version's tables. Run it after every upgrade; twice does nothing."""
    from experiments.store.database import migrate as migrate_database

    shell: Shell = context.obj
    workspace = shell.workspace()
    migrate_database(workspace.database_url)
    console().print("The database is up to date.")


@database.command()
def backup(
    context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="To be written; no such yet.")]
) -> None:
    """Write the database as it is now into one file, SQLite whatever the database is; others may go on working.

    Experiments, plans, verdicts and deliveries are in it. All else in a workspace is files, to be backed up as such:
    briefs/, experiments/, packs/, the lake, and the unit key, without which no unit is recognised again.
    """
    from experiments.store.backup import back_up

    shell: Shell = context.obj
    counts = back_up(shell.workspace().database_url, file)
    console().print(f"{file}: {_told(counts)}")


@database.command()
def restore(
    context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="What db backup wrote.")]
) -> None:
    """Fill an empty database with a backup, all of it or nothing; nothing that is there is overwritten.

    The database may be of the other kind: so a workspace moves from SQLite to PostgreSQL.
    """
    from experiments.store.backup import restore as restore_database

    shell: Shell = context.obj
    counts = restore_database(shell.workspace().database_url, file)
    console().print(f"Restored from {file}: {_told(counts)}")
    console().print("Events that came after the backup are in the lake still: adstyle doctor says what to ingest again")


def _told(counts: "Mapping[str, int]") -> str:
    return ", ".join(f"{rows:,} {name}" for name, rows in counts.items() if rows) or "nothing, it is empty"
