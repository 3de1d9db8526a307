"""Who sees what, and what came of it: ``assign`` and ``ingest``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.shell import Shell, console, one_line, print_json, progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from experiments.core.delivery import Delivery


def assign(
    context: typer.Context,
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.")],
    units: Annotated[list[str] | None, typer.Argument(help="Unit ids, as the ad server knows them.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with one unit id a line, for millions.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
) -> None:
    """Which arm a unit sees now, and how probable that was (its propensity)."""
    import sys

    from experiments.core.assignment import assign_many
    from experiments.core.errors import ExperimentError
    from experiments.core.lifecycle import allocation

    shell: Shell = context.obj
    ids = [*(units or ()), *(_ids_in(file) if file else ())]
    if not ids:
        raise ExperimentError("no units: name some, or give --file")
    with shell.open() as stores:
        state = stores.control.state(experiment)
        plan, _ = stores.control.plan(experiment)
    weights = allocation(state, plan.weights, plan.control, plan.holdback)
    assignment = assign_many(plan.salt, ids, weights)
    for unit, arm, propensity in zip(ids, assignment.arms, assignment.propensities, strict=True):
        if as_json:
            print_json({"unit": unit, "arm": arm, "propensity": propensity})
        else:
            sys.stdout.write(f"{unit}\t{arm}\t{propensity:.6g}\n")


def _ids_in(file: Path) -> list[str]:
    from experiments.core.errors import ExperimentError

    with one_line():
        if not file.is_file():
            raise ExperimentError(f"{file} is no file: give one with a unit id a line")
        try:
            return file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise ExperimentError(f"{file}, line {line}: not UTF-8; save it as UTF-8 text, a unit id a line") from None


def ingest(
    context: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(help="Files of events; the inbox where none is named.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="impression, click, conversion or count, where the file does not say.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FEED", help="adstyle, cm360, gam, ga4, meta, revive, xandr or one of feeds/; by name."
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Zone of times without one: Europe/Berlin; else as adstyle.toml says."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object a delivery.")] = False,
) -> None:
    """Read events into the lake, accounting for every line: read = accepted + duplicate + rejected."""
    from experiments.core.errors import ExperimentError
    from experiments.ingest.feed import feed_for, feeds
    from experiments.ingest.header import kind_of
    from experiments.ingest.times import in_zone
    from experiments.jobs.ingest import inbox_files
    from experiments.jobs.ingest import ingest as ingest_one

    shell: Shell = context.obj
    with shell.open() as stores, progress_bar() as progress:
        feed_for("", feeds(stores.workspace.folder("feeds")), format)  # a format that there is not is said but once
        in_zone(zone)
        if kind is not None:
            kind_of("", kind, ())
        chosen = tuple(paths or ()) or inbox_files(stores)
        deliveries: list[Delivery] = []
        refused: list[str] = []
        for path in chosen:
            try:
                deliveries.extend(ingest_one(stores, path, kind, progress, format, zone))
            except ExperimentError as error:
                if error.exit_code != ExperimentError.exit_code:
                    raise  # the lake is busy or the disk is full: the next file would fare no better
                refused.append(str(error))
        replaced = {each.sha256: [old.name for old in stores.deliveries.replaced(each.sha256)] for each in deliveries}
    if deliveries:
        _print_deliveries(deliveries, replaced, as_json)
    elif not chosen and not as_json:
        console().print("The inbox is empty.")
    if refused:
        raise ExperimentError("; ".join(refused))


def _print_deliveries(deliveries: "Sequence[Delivery]", replaced: "Mapping[str, Sequence[str]]", as_json: bool) -> None:
    from rich.table import Table

    from experiments.jobs.ingest import delivery_document
    from experiments.jobs.upkeep import NOT_KEPT
    from reports.words import reject_reason

    if as_json:
        for delivery in deliveries:
            print_json({**delivery_document(delivery), "replaces": replaced.get(delivery.sha256, [])})
        return
    out = console()
    table = Table("file", "kind", *(("read", "accepted", "duplicate", "rejected")), box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for delivery in deliveries:
        rejected = sum(delivery.rejected.values())
        counts = (delivery.read, delivery.accepted, delivery.duplicate, rejected)
        again = " (ingested before)" if delivery.replay else ""
        again += " (a newer file counts)" if delivery.replaced_by else ""
        table.add_row(delivery.name + again, delivery.kind, *(f"{count:,}" for count in counts))
    out.print(table)
    for delivery in deliveries:
        for name in replaced.get(delivery.sha256, ()):
            out.print(f"{delivery.name} replaces {name}")
        for reason, count in sorted(delivery.rejected.items()):
            out.print(f"{delivery.name}: {count:,} × {reject_reason(reason)}")
    if any(reason not in NOT_KEPT for delivery in deliveries for reason in delivery.rejected):
        out.print(
            "Rejected lines are kept: adstyle events rejects --out DIR makes files of them, to be repaired; "
            "adstyle events replay judges them again as they are"
        )
