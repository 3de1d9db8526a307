"""What the evidence says: ``analyse`` and ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.jobs import instant_to_act_at
from experiments.cli.shell import Shell, console, one_line, print_json, progress_bar


def analyse(
    context: typer.Context,
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.")],
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="TIME", help="As it was at this instant.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Take every look that is due and say what the sealed plan makes of it."""
    from experiments.jobs.analyse import Analyse
    from experiments.jobs.job import raise_if_failed, run_job
    from experiments.jobs.presenting import experiment_document

    shell: Shell = context.obj
    instant = instant_to_act_at(shell, as_of)
    with shell.open(as_of=instant) as stores, progress_bar() as progress:
        stores.control.plan(experiment)
        raise_if_failed(run_job(stores, Analyse(only=experiment), instant, progress=progress))
        document = experiment_document(stores, experiment)
    if as_json:
        print_json(document)
        return
    out = console()
    for look in document["looks"]:
        out.print(f"look {look['look']} of {look['looks']} ({look['at'][:10]}): {look['text']}")
    if not document["looks"]:
        out.print(f"No look is due yet; the first is on {document['next_look'][:10]}.")


def report(
    context: typer.Context,
    experiment: Annotated[
        str | None, typer.Argument(help="Only this experiment; all of the week if not given.")
    ] = None,
    week: Annotated[
        str | None, typer.Option(metavar="YYYY-Www", help="ISO week; the last whole one if not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to put it; the workspace's reports/ if not given.")
    ] = None,
) -> None:
    """Write the weekly page and its JSON; of one experiment into a folder of its name."""
    import re

    from experiments.core.errors import ExperimentError
    from experiments.jobs.report import last_whole_week, parse_week, write_week

    if experiment and re.fullmatch(r"\d{4}-W\d{2}", experiment):
        raise ExperimentError(f"{experiment} is a week: adstyle report --week {experiment}")
    shell: Shell = context.obj
    with shell.open() as stores, progress_bar() as progress:
        now = stores.clock()
        chosen = parse_week(week) if week else last_whole_week(now)
        if chosen.start > now:
            raise ExperimentError(
                f"--week {week} has not begun: the last whole week is {last_whole_week(now)}, which is reported where "
                "none is named"
            )
        folder = out or stores.workspace.folder("reports")
        with one_line():
            page, data = write_week(stores, chosen, experiment, folder / experiment if experiment else folder, progress)
    console().print(f"{page}\n{data}")
