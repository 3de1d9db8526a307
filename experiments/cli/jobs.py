"""``adstyle job`` and ``adstyle scheduler``: the recurring work, from cron or from our own bell."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.shell import Shell, console, even_unheard, parse_instant, print_json, print_line, progress_bar

if TYPE_CHECKING:
    from experiments.jobs.job import TaskRun

job = typer.Typer(
    help="The recurring work: one path for people, cron, Airflow and our scheduler.", no_args_is_help=True
)
scheduler = typer.Typer(help="The bell that rings for the jobs.", no_args_is_help=True)

AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="Do what is due at this instant; now if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def instant_to_act_at(shell: Shell, as_of: str | None) -> datetime:
    """The clock's, or the earlier one given with ``--as-of``.

    A later one is refused: it would take looks, and end experiments, that no event has come for yet, for good.
    """
    from experiments.core.errors import ExperimentError

    now = shell.clock()()
    instant = now if as_of is None else parse_instant(as_of, "--as-of")
    if instant > now:
        raise ExperimentError(
            f"--as-of {as_of} lies after now, {now:%Y-%m-%dT%H:%M:%SZ}: what is done cannot be undone; to rehearse a "
            "later time, set the clock with --now or ADSTYLE_NOW, in a copy of the workspace"
        )
    return instant


@job.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """Every job, how often the bell rings for it, and its last run."""
    from rich.table import Table

    from experiments.jobs.registry import JOBS

    shell: Shell = context.obj
    with shell.open() as stores:
        last = {name: stores.ledger.last(name) for name in JOBS}
    if as_json:
        for name, each in JOBS.items():
            entry = last[name]
            print_json({"job": name, "every_minutes": each.every_minutes, "last": entry.updated_at if entry else None})
        return
    table = Table("job", "rings every", "last run", "what it does", box=None)
    for name, each in JOBS.items():
        entry = last[name]
        when = f"{entry.updated_at:%Y-%m-%d %H:%M} {entry.state}" if entry else "never"
        table.add_row(name, f"{each.every_minutes} min", when, each.summary)
    console().print(table)


@job.command()
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the job, or all.", metavar="NAME")],
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Do everything of a job that is due. Exit 0 done, 1 failed, 75 try later."""
    from experiments.jobs.job import run_job
    from experiments.jobs.presenting import task_line
    from experiments.jobs.registry import jobs_named

    shell: Shell = context.obj
    chosen = jobs_named(name)
    instant = instant_to_act_at(shell, as_of)
    codes = []

    def finished(task: "TaskRun") -> None:
        if not as_json:
            print_line(task_line(task))

    with shell.open(as_of=instant) as stores, progress_bar() as progress:
        for each in chosen:
            done = run_job(stores, each, instant, progress=progress, finished=finished)
            codes.append(done.exit_code)
            if as_json:
                with even_unheard():
                    print_json(done.document())
            elif not done.tasks:
                print_line(f"{done.job}: nothing is due")
    raise typer.Exit(max(codes, key=lambda code: (code == 1, code)))


@job.command()
def due(context: typer.Context, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """What would be done now, without doing it."""
    from experiments.jobs.registry import JOBS

    shell: Shell = context.obj
    instant = shell.clock()() if as_of is None else parse_instant(as_of, "--as-of")
    with shell.open(as_of=instant) as stores:
        tasks = [task for each in JOBS.values() for task in each.plan(stores, instant)]
    for task in tasks:
        if as_json:
            print_json({"job": task.job, "experiment": task.experiment, "period": task.period})
        else:
            console().print(f"{task.job:<9} {task.experiment:<24} {task.called or task.period[:12]}")
    if not tasks and not as_json:
        console().print("Nothing is due.")


@scheduler.command("run")
def run_scheduler(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Ring every bell once and end.")] = False,
) -> None:
    """Ring for every job in UTC until interrupted. Run as many as you like: one holds the lease."""
    from experiments.scheduler.bell import ring_once, serve

    shell: Shell = context.obj
    with shell.open() as stores:
        (ring_once if once else serve)(stores, console().print)
