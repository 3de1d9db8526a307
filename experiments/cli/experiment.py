"""``adstyle experiment``: an experiment's life, one command a step."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from unicodedata import category

import typer

from experiments.cli.shell import Shell, console, parse_instant, print_json, progress_bar, styled
from experiments.core.errors import ExperimentError

if TYPE_CHECKING:
    from creatives.briefs import Brief
    from experiments.core.commands import Command

app = typer.Typer(help="An experiment's life, from a file to a promoted winner.", no_args_is_help=True)


def _told(words: str) -> str:
    """What is kept for ever and shown on pages and screens: text, without codes that steer a terminal."""
    odd = next((each for each in words if category(each) in ("Cc", "Cs") and each not in "\n\t"), None)
    if odd:
        raise typer.BadParameter(f"holds {odd!a}, which is no text; write it in UTF-8")
    return words


Name = Annotated[str, typer.Argument(help="Name of the experiment.", metavar="NAME")]
By = Annotated[
    str, typer.Option("--by", help="Who decides; kept in the milestone.", envvar="ADSTYLE_ACTOR", callback=_told)
]
Why = Annotated[str, typer.Option(help="Kept in the milestone.", callback=_told)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def _brief_of(folder: Path, name: str) -> "Brief":
    from creatives.briefs import load_brief

    return load_brief(folder / f"{name}.yaml")


@app.command()
def check(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An experiment file (YAML).")],
) -> None:
    """Read an experiment file, its brief and its styles, and say what it would do. Changes nothing."""
    from experiments.composition import library_of
    from experiments.documents import read_experiment, too_early

    shell: Shell = context.obj
    workspace = shell.workspace()
    document = read_experiment(file)
    brief = _brief_of(workspace.folder("briefs"), document.brief)
    arms = document.looks_of(library_of(workspace))
    slots = document.slots or brief.slots
    last = document.looks.count * document.looks.days
    console().print(
        f"{document.experiment}: {len(arms)} arms ({', '.join(arms)}) in {len(slots)} slots, "
        f"judged on {document.metric} every {document.looks.days} days, "
        f"at most {document.looks.count} times, so for at most {last} days; "
        f"a winner is {'promoted by itself' if document.promotion == 'auto' else 'proposed to you'}."
    )
    if warning := too_early(document):
        console().print(warning)


@app.command()
def create(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="An experiment file (YAML).")],
    by: By = "ad ops",
) -> None:
    """Take an experiment file into the workspace as a draft."""
    from experiments.documents import CONTROL, read_experiment

    shell: Shell = context.obj
    document = read_experiment(file)
    with shell.open() as stores:
        brief = _brief_of(stores.workspace.folder("briefs"), document.brief)
        looks = document.looks_of(stores.library)
        stores.control.save_brief(brief.brief, brief.model_dump(mode="json"))
        for look in looks.values():
            stores.control.save_style(look)
        stores.control.create_experiment(
            document.experiment, document.model_dump(mode="json"), salt=document.experiment, control=CONTROL, actor=by
        )
    console().print(f"{document.experiment} is a draft. Next: adstyle experiment generate {document.experiment}")


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """Every experiment with its phase and what it waits for."""
    from rich.table import Table

    from experiments.cli.advice import DAMAGED, advice
    from experiments.store.codec import Damaged

    shell: Shell = context.obj
    table, damaged = Table("experiment", "phase", "next", box=None), False
    with shell.open() as stores:
        for record in stores.control.experiments():
            try:
                proposed = stores.control.state(record.name).proposed
                step = advice(record.phase, record.name, record.winner, proposed) if record.phase else DAMAGED
            except Damaged:
                step = DAMAGED
            damaged |= step is DAMAGED
            table.add_row(record.name, record.phase, step)
            if as_json:
                print_json({"experiment": record.name, "phase": record.phase, "winner": record.winner})
    if not as_json:
        console().print(table if table.row_count else "No experiments yet: adstyle experiment create FILE")
    raise typer.Exit(1 if damaged else 0)


@app.command()
def generate(context: typer.Context, name: Name, by: By = "ad ops") -> None:
    """Render the creatives of every arm in every slot."""
    from experiments.core.commands import Generate
    from experiments.core.lifecycle import Phase
    from experiments.jobs.generate import Generate as GenerateJob
    from experiments.jobs.job import raise_if_failed, run_job

    shell: Shell = context.obj
    with shell.open() as stores, progress_bar() as progress:
        if stores.control.state(name).phase is not Phase.GENERATING:
            stores.control.execute(name, Generate(), by)
        run = run_job(stores, GenerateJob(only=name), stores.clock(), progress=progress)
    raise_if_failed(run)
    result = run.tasks[0].result
    out = console()
    out.print(f"{name}: {result['variants']} variants in variants/{name}")
    for arm, why in result["declined"].items():
        out.print(f"{arm} was declined by the {why}")


def _step(context: typer.Context, name: str, command: "Command", by: str, said: str) -> None:
    shell: Shell = context.obj
    with shell.open() as stores:
        stores.control.execute(name, command, by)
    console().print(said)


@app.command()
def review(context: typer.Context, name: Name) -> None:
    """The creatives that wait for a yes: where they lie and what the quality gate measured."""
    from rich.table import Table

    from experiments.jobs.generate import OVERVIEW

    shell: Shell = context.obj
    with shell.open() as stores:
        variants = stores.control.variants(name)
        state = stores.control.state(name)
        folder = stores.workspace.folder("variants") / name
    table = Table("arm", "slot", "KB", "gate", "file", box=None)
    for variant in variants:
        findings = ", ".join(finding["code"] for finding in variant.gate["findings"]) or "ok"
        declined = " (declined)" if variant.arm in state.declined_arms else ""
        table.add_row(variant.arm + declined, variant.slot, f"{variant.bytes / 1000:.0f}", findings, variant.file_name)
    out = console()
    out.print(table if variants else f"{name} has no creatives yet: adstyle experiment generate {name}")
    if variants:
        out.print(f"All on one sheet: {folder / OVERVIEW}")
    if state.phase == "review":
        out.print(f"adstyle experiment approve {name}   or   decline {name} --arm ARM --why TEXT")


@app.command()
def approve(context: typer.Context, name: Name, by: By = "marketing") -> None:
    """Say yes to what waits: the creatives in review, or the proposed winner."""
    from experiments.core.commands import Approve
    from experiments.core.lifecycle import Phase
    from experiments.documents import restore_experiment
    from experiments.jobs.generate import refuse_changed

    shell: Shell = context.obj
    with shell.open() as stores:
        record = stores.control.experiment(name)
        if record.phase is Phase.REVIEW:
            refuse_changed(stores, name, restore_experiment(record.document).looks_of(stores.library))
        stores.control.execute(name, Approve(), by)
    console().print(f"{name}: approved.")


@app.command()
def decline(
    context: typer.Context,
    name: Name,
    arm: Annotated[str | None, typer.Option(help="In review: the arm whose creatives are not to be served.")] = None,
    why: Why = "",
    by: By = "marketing",
) -> None:
    """Say no to what waits: one arm's creatives in review, or the proposed winner."""
    from experiments.core.commands import Decline

    _step(context, name, Decline(arm, why), by, f"{name}: declined{f' {arm}' if arm else ' the proposal'}.")


@app.command()
def start(
    context: typer.Context,
    name: Name,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="First instant that counts; now if not given.")] = None,
    by: By = "ad ops",
) -> None:
    """Seal the plan and serve. From here on nothing about the analysis can change."""
    from experiments.core.commands import Approve
    from experiments.core.lifecycle import Phase
    from experiments.documents import restore_experiment
    from experiments.jobs.generate import refuse_changed

    shell: Shell = context.obj
    with shell.open() as stores:
        first = _first_instant(at, stores.clock())
        document = restore_experiment(stores.control.experiment(name).document)
        looks = document.looks_of(stores.library)
        state = stores.control.state(name)
        if state.phase is Phase.REVIEW:
            refuse_changed(stores, name, looks)
        if not document.review and not state.approved:
            stores.control.execute(name, Approve(), "experiment file")
        styles = {arm: look.identity for arm, look in looks.items() if arm not in state.declined_arms}
        plan = document.plan(styles, first)
        sealed = stores.control.seal_plan(name, plan, by)
    console().print(
        f"{name} runs from {plan.start:%Y-%m-%d %H:%M} UTC under plan {sealed[:12]}; "
        f"looks on {', '.join(f'{plan.look_time(look):%Y-%m-%d}' for look in range(1, plan.looks.count + 1))}."
    )


def _first_instant(at: str | None, now: datetime) -> datetime:
    """Now, or the instant given; today's date may be given, too, and is its midnight."""
    if at is None:
        return now
    instant = parse_instant(at, "--at")
    if instant <= now - timedelta(days=1):
        raise ExperimentError(
            f"--at {at} is past, and a plan is sealed before its first impression: give a time from today on, or leave "
            "--at out to start now"
        )
    return instant


@app.command()
def pause(context: typer.Context, name: Name, by: By = "ad ops") -> None:
    """Serve the original to everyone until resumed."""
    from experiments.core.commands import Pause

    _step(context, name, Pause(), by, f"{name} is paused. Next: adstyle experiment resume {name}")


@app.command()
def resume(context: typer.Context, name: Name, by: By = "ad ops") -> None:
    """Go on after a pause."""
    from experiments.core.commands import Resume

    _step(context, name, Resume(), by, f"{name} runs again.")


@app.command()
def stop(
    context: typer.Context,
    name: Name,
    why: Why = "",
    by: By = "ad ops",
) -> None:
    """End the experiment without a winner."""
    from experiments.core.commands import Stop

    _step(context, name, Stop(why), by, f"{name} is concluded without a promotion.")


@app.command()
def promote(context: typer.Context, name: Name, by: By = "marketing") -> None:
    """Show the winner to everyone but the holdback."""
    from experiments.core.commands import Promote

    shell: Shell = context.obj
    with shell.open() as stores:
        state = stores.control.state(name)
        after, _ = stores.control.execute(name, Promote(state.winner), by)
    console().print(f"{name}: {after.promoted_arm} is promoted. To undo: adstyle experiment rollback {name}")


@app.command()
def rollback(
    context: typer.Context,
    name: Name,
    why: Why = "",
    by: By = "marketing",
) -> None:
    """Undo a promotion: everyone sees the original again."""
    from experiments.core.commands import Rollback

    _step(context, name, Rollback(why), by, f"{name}: rolled back; everyone sees the original.")


@app.command()
def archive(context: typer.Context, name: Name, by: By = "ad ops") -> None:
    """Put a finished experiment away. Its facts stay."""
    from experiments.core.commands import Archive

    _step(context, name, Archive(), by, f"{name} is archived.")


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """One experiment: phase, arms, the last verdict, what to do next."""
    from experiments.cli.advice import advice
    from experiments.jobs.presenting import experiment_document

    shell: Shell = context.obj
    with shell.open() as stores:
        document = experiment_document(stores, name)
    if as_json:
        print_json(document)
        return
    out = console()
    out.print(styled(name, "bold"), f": {document['phase']}", sep="")
    for arm in document["arms"]:
        out.print(f"  {arm['arm']:<24} {arm['style']}  weight {arm['weight']:g}  serving {arm['serving']:.1%}")
    for look in document["looks"]:
        out.print(f"  look {look['look']}: {look['text']}")
    if step := advice(document["phase"], name, document["winner"], document["proposed"], document["next_look"]):
        out.print(f"Next: {step}")


@app.command()
def log(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Every milestone, in order: what happened, when, by whom."""
    from reports.model import MilestoneRow
    from reports.words import milestone

    shell: Shell = context.obj
    with shell.open() as stores:
        history = stores.control.history(name)
    out = console()
    for record in history:
        if as_json:
            print_json(
                {
                    "sequence": record.sequence,
                    "at": record.at,
                    "actor": record.actor,
                    "kind": record.kind,
                    "payload": record.payload,
                }
            )
        else:
            said = milestone(MilestoneRow(record.at, str(record.kind), record.actor, record.payload))
            out.print(f"{record.sequence:>3}  {record.at:%Y-%m-%d %H:%M}  {record.actor:<16} {said}")
