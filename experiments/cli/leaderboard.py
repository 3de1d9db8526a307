"""``adstyle leaderboard``: what all experiments together say of each style, and which to try next."""

from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.shell import Shell, console, print_json, progress_bar, styled

if TYPE_CHECKING:
    from rich.table import Table

    from experiments.jobs.leaderboard import Board

NOTHING = "No experiment has a valid verdict yet; the leaderboard begins with the first look: adstyle status"
SHOWN = 5
"""Proposals on the screen; programs get all."""


def leaderboard(
    context: typer.Context,
    brief: Annotated[
        str | None, typer.Option(metavar="NAME", help="Propose styles for this brief; for a new product if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What all experiments together say of each style, and which to try next."""
    from experiments.jobs.leaderboard import build_leaderboard

    shell: Shell = context.obj
    with shell.open() as stores, progress_bar() as progress:
        found = build_leaderboard(stores, brief, progress)
    if as_json:
        from experiments.store.codec import plain

        print_json(plain(found))
        return
    from reports.standings import sentence

    out = console()
    for board in found.boards:
        out.print(styled(board.metric, "bold"), _heading(board))
        out.print(_table(board))
        out.print(f"Try next on {brief or 'a new product'}", style="bold")
        for number, proposal in enumerate(board.proposals[:SHOWN], start=1):
            why = sentence(proposal.reason.code, proposal.reason.parameters)
            out.print(f"{number}. ", styled(proposal.style, "bold"), f": {why}", sep="")
        if not board.proposals:
            out.print("Every style at hand has been tried on it: adstyle styles add")
        for each in board.settled:
            out.print(f"   {each.style}: {sentence(each.reason.code, each.reason.parameters)}")
    if not found.boards:
        out.print(NOTHING)
    for reason in (each.reason for each in found.uncounted):
        out.print(f"Not counted: {sentence(reason.code, reason.parameters)}")


def _heading(board: "Board") -> str:
    count = len(board.experiments)
    return (
        f"against {board.control}, {count} experiment{'' if count == 1 else 's'}; "
        f"one style's lift differs by about {_size(board.tau)} between products, "
        f"styles differ by about {_size(board.omega)}."
    )


def _table(board: "Board") -> "Table":
    from rich.table import Table

    from reports.numbers import probability
    from reports.standings import signed_change

    table = Table(
        "style", "experiments", "expected lift", "95 % interval", "next product, 95 %", f"better than {board.control}",
        "last seen", box=None,
    )  # fmt: skip
    for each in board.standings:
        table.add_row(
            each.style,
            str(each.experiments),
            signed_change(each.expected),
            f"{signed_change(each.low)} to {signed_change(each.high)}",
            f"{signed_change(each.next_low)} to {signed_change(each.next_high)}",
            probability(each.probability_better),
            f"{each.last_seen:%Y-%m-%d}",
        )
    return table


def _size(spread: float) -> str:
    from math import expm1

    return f"{100 * expm1(spread):.0f} %"
