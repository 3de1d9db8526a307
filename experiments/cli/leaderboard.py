"""``adstyle leaderboard``: what all experiments together say of each style, and which to try next."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.cli.shell import Shell, console, print_json, progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from experiments.core.verdict import Reason
    from experiments.jobs.leaderboard import Board

NOTHING = "No experiment has a valid verdict yet; the leaderboard begins with the first look: adstyle status"
SHOWN = 5
"""Proposals on the screen; programs get all."""

Parameters = Mapping[str, Any]


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
    out = console()
    for board in found.boards:
        out.print(_heading(board))
        out.print(_table(board))
        out.print(f"[bold]Try next on {brief or 'a new product'}[/bold]")
        for number, proposal in enumerate(board.proposals[:SHOWN], start=1):
            out.print(f"{number}. [bold]{proposal.style}[/bold]: {sentence(proposal.reason)}")
        if not board.proposals:
            out.print("Every style at hand has been tried on it: adstyle styles add")
        for each in board.settled:
            out.print(f"   {each.style}: {sentence(each.reason)}")
    if not found.boards:
        out.print(NOTHING)
    for each in found.uncounted:
        out.print(f"Not counted: {sentence(each.reason)}")


def _heading(board: "Board") -> str:
    count = len(board.experiments)
    return (
        f"[bold]{board.metric}[/bold] against {board.control}, {count} experiment{'' if count == 1 else 's'}; "
        f"one style's lift differs by about {_size(board.tau)} between products, "
        f"styles differ by about {_size(board.omega)}."
    )


def _table(board: "Board") -> "Table":
    from rich.table import Table

    table = Table(
        "style", "experiments", "expected lift", "95 % interval", "next product, 95 %", f"better than {board.control}",
        "last seen", box=None,
    )  # fmt: skip
    for each in board.standings:
        table.add_row(
            each.style,
            str(each.experiments),
            _change(each.expected),
            f"{_change(each.low)} to {_change(each.high)}",
            f"{_change(each.next_low)} to {_change(each.next_high)}",
            _chance(each.probability_better),
            f"{each.last_seen:%Y-%m-%d}",
        )
    return table


def _size(spread: float) -> str:
    from math import expm1

    return f"{expm1(spread):.0%}"


def _change(share: float) -> str:
    return f"{share:+.1%}".replace("-", "−")


def _chance(probability: float) -> str:
    from reports.numbers import probability as chance

    return chance(probability)


def sentence(reason: "Reason") -> str:
    """One reason in words."""
    return SENTENCES[reason.code](reason.parameters)


def _best(p: Parameters) -> str:
    return f"the best with a chance of {_chance(p['probability_best'])}"


def _lift(p: Parameters) -> str:
    return f"{_change(p['expected'])} expected, {_change(p['low'])} to {_change(p['high'])}"


def _experiments(p: Parameters) -> str:
    return f"{p['experiments']} experiment{'' if p['experiments'] == 1 else 's'}"


SENTENCES: Mapping[str, Callable[[Parameters], str]] = {
    "style_proven": lambda p: (
        f"better than the control with a chance of {_chance(p['probability_better'])} after {_experiments(p)} "
        f"({_lift(p)}); {_best(p)}."
    ),
    "style_promising": lambda p: f"ahead after {_experiments(p)}, but not surely ({_lift(p)}); {_best(p)}.",
    "style_doubtful": lambda p: f"behind after {_experiments(p)}, but not surely ({_lift(p)}); {_best(p)}.",
    "style_untried": lambda p: f"no experiment has shown it; it may be anything ({_lift(p)}); {_best(p)}.",
    "style_inconclusive_here": lambda p: (
        f"{p['experiment']} measured it on this brief without an answer ({_lift(p)}); {_best(p)}."
    ),
    "style_better_here": lambda p: f"not proposed: it beat the control on this brief in {p['experiment']}.",
    "style_worse_here": lambda p: f"not proposed: it lost to the control on this brief in {p['experiment']}.",
    "style_running_here": lambda p: f"not proposed: {p['experiment']} is measuring it on this brief.",
    "experiment_not_judged": lambda p: f"{p['experiment']} has not been judged yet.",
    "experiment_invalid": lambda p: f"{p['experiment']}, because its latest verdict is invalid.",
    "experiment_without_lift": lambda p: (
        f"{p['experiment']}, because nothing was counted that a lift can be read from."
    ),
}
"""By code."""
