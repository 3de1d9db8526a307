"""``adstyle events`` and ``adstyle export``: the lake's upkeep, one unit's rights, tables for elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.shell import Shell, console, one_line, print_json, print_line, progress_bar

events = typer.Typer(help="The event lake: upkeep, and what one unit may ask for.", no_args_is_help=True)
export = typer.Typer(help="Data for elsewhere.", no_args_is_help=True)
FORMS = ("parquet", "csv")


@events.command()
def compact(context: typer.Context) -> None:
    """Make the lake's many small files few, wherever a folder has eight or more."""
    _run_now(context, "compact")


@events.command()
def retain(context: typer.Context) -> None:
    """Forget events older than 90 days, but for experiments that still measure, and counts older than 13 months."""
    _run_now(context, "retain")


def _run_now(context: typer.Context, name: str) -> None:
    from experiments.jobs.job import TaskRun, raise_if_failed, run_job
    from experiments.jobs.presenting import task_line
    from experiments.jobs.registry import JOBS

    def finished(task: TaskRun) -> None:
        if task.state == "done":
            print_line(task_line(task))

    shell: Shell = context.obj
    with shell.open() as stores, progress_bar() as progress:
        run = run_job(stores, JOBS[name], shell.clock()(), progress=progress, finished=finished)
    raise_if_failed(run)
    if not run.tasks:
        console().print(f"{name}: nothing is due")


@events.command()
def erase(
    context: typer.Context,
    unit: Annotated[str, typer.Argument(help="The unit's id as the logs have it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase one unit's events everywhere in the lake, and from the disk; moments that were taken from them stay.

    Rejected lines go with them that name the unit or one of its events. What lies elsewhere is not reached: files in
    the inbox, exports and backups; and in rejected lines, ids that were cut off or hashed together with other text.
    """
    from experiments.events import upkeep
    from experiments.ingest.rekey import refuse_strangers
    from experiments.jobs.ingest import WRITER, WRITER_SECONDS
    from experiments.jobs.upkeep import refuse_behind

    shell: Shell = context.obj
    if not yes:
        typer.confirm("Erase all events of this unit? They cannot be brought back", abort=True)
    with shell.open() as stores, stores.ledger.lock(WRITER, stores.owner, WRITER_SECONDS):
        hasher = stores.hasher()
        refuse_strangers(stores.lake, hasher)
        refuse_behind(stores)
        done = upkeep.erase(stores.lake, hasher.hashed(unit), hasher.earlier(unit), hasher.all_of)
    console().print("; ".join(f"{each.table}: {each.rows:,} rows erased" for each in done))


@events.command()
def rekey(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Change the unit key: all units in the lake are hashed once more under a new one, and future ones under both.

    The same people stay the same units, so evidence does not change. Interrupted, the same command goes on; until it
    has ended nothing is ingested, erased or shown. Older versions of the lake leave the disk; recorded evidence stays.
    Old keys stay in the key file, and stay needed: back that up.
    """
    from experiments.ingest.rekey import rekey as change_key
    from experiments.jobs.ingest import WRITER, WRITER_SECONDS
    from experiments.jobs.upkeep import refuse_behind

    shell: Shell = context.obj
    file = shell.workspace().key_file
    if not yes:
        go_on = "Go on with the change of unit key that was interrupted" if file.changing else "Change the unit key"
        typer.confirm(
            f"{go_on}? Older versions of the lake can then no longer be read; what evidence was recorded stays",
            abort=True,
        )
    with shell.open() as stores, stores.ledger.lock(WRITER, stores.owner, WRITER_SECONDS), progress_bar() as progress:
        refuse_behind(stores)
        done = change_key(stores.lake, file, progress)
    console().print("; ".join(f"{name}: {rows:,} rows hashed once more" for name, rows in done.rows.items()))
    console().print(f"Units are hashed under {done.layers} keys now: back up {file.path}, and copy it to every machine")


@events.command()
def show(
    context: typer.Context, unit: Annotated[str, typer.Argument(help="The unit's id as the logs have it.")]
) -> None:
    """Everything the lake holds of one unit, an object a line: what the unit may ask for."""
    from experiments.events import upkeep
    from experiments.ingest.rekey import refuse_strangers
    from experiments.store.codec import plain

    shell: Shell = context.obj
    held = 0
    with shell.open() as stores:
        hasher = stores.hasher()
        refuse_strangers(stores.lake, hasher)
        for row in upkeep.of_unit(stores.lake, hasher.hashed(unit), hasher.earlier(unit), hasher.all_of):
            print_json(plain({key: value for key, value in row.items() if value is not None}))
            held += 1
    if not held:
        typer.echo(f"The lake holds nothing of {unit!r}.", err=True)


@export.command("events")
def export_events(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files are to lie.")] = Path("export"),
    form: Annotated[str, typer.Option("--format", metavar="parquet|csv", help="The files' form.")] = "parquet",
) -> None:
    """Write the events out, a file a table; units are hashes and addresses networks there too."""
    from experiments.core.errors import ExperimentError
    from experiments.events import upkeep
    from experiments.events.schema import TABLES

    shell: Shell = context.obj
    if form not in FORMS:
        raise ExperimentError(f"--format {form!r} is none of ours: events are exported as {' or '.join(FORMS)}")
    paths = {name: out / f"{name}.{form}" for name in TABLES}
    with shell.open() as stores, one_line():
        out.mkdir(parents=True, exist_ok=True)
        if folder := next((path for path in paths.values() if path.is_dir()), None):
            raise ExperimentError(f"{folder} is a folder, and a file of that name is to be written: move it away")
        for name, path in paths.items():
            rows = upkeep.export(stores.lake, name, path, form)
            console().print(f"{path}: {rows:,} rows")


@export.command("evidence")
def export_evidence(
    context: typer.Context,
    experiment: Annotated[str, typer.Argument(help="Its name.")],
    look: Annotated[int | None, typer.Option(min=1, help="Which look's; by default the last one's.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files are to lie.")] = Path("export"),
) -> None:
    """Write out what a look was judged by: moments by arm, segment and batch, daily counts, the plan, the judgement.

    Enough to check a verdict with other tools: sums over units of every outcome and of every product of two.
    """
    from experiments.jobs.exporting import export_look

    shell: Shell = context.obj
    with shell.open() as stores, one_line():
        for path in export_look(stores, experiment, look, out):
            console().print(f"{path}")


@export.command("trafficking")
def export_trafficking(
    context: typer.Context,
    experiment: Annotated[str, typer.Argument(help="Its name.")],
    column: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The column of the ad server's logs that has its numbers of creatives, as 'Rendering ID'.",
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the files are to lie; by default trafficking-EXPERIMENT.")
    ] = None,
) -> None:
    """Copy the approved creatives for an ad server, with a sheet of their arms, shares, sizes and landing page.

    Fill in the ad server's numbers as `value`, and the sheet is the workspace's trafficking.csv, by which its logs are
    read.
    """
    from experiments.jobs.trafficking import SHEET_NAME, export_trafficking

    shell: Shell = context.obj
    folder = out or Path(f"trafficking-{experiment}")
    with shell.open() as stores, one_line():
        served = export_trafficking(stores, experiment, column, folder)
    console().print(f"{folder}: {len(served)} creatives and {SHEET_NAME}, whose `value` is to be filled in")
