"""The charts' colours as stand-ins: ``svg.inline`` replaces each by a CSS variable of the page, light or dark.

The control is neutral, the winner takes the page's accent, the others share muted hues that stay apart for
colour-blind readers (after Paul Tol's muted scheme, https://personal.sron.nl/~pault/) and differ in dashes too.
"""

from dataclasses import dataclass

GRID, ZERO, TEXT, FAINT = "#a10001", "#a10002", "#a10003", "#a10004"
CONTROL, WINNER, PAST = "#a10005", "#a10006", "#a10007"
OTHERS = ("#a20001", "#a20002", "#a20003", "#a20004", "#a20005")

VARIABLES = {
    GRID: "--rule",
    ZERO: "--ink",
    TEXT: "--ink",
    FAINT: "--ink-soft",
    CONTROL: "--chart-control",
    WINNER: "--accent",
    PAST: "--chart-past",
} | {colour: f"--chart-{n}" for n, colour in enumerate(OTHERS, start=1)}

DASHES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3], [12, 4])


@dataclass(frozen=True, slots=True)
class Stroke:
    """How one arm's line is drawn."""

    colour: str
    width: float
    dash: list[int]


def strokes(arms: tuple[str, ...], control: str, winner: str | None) -> dict[str, Stroke]:
    """A stroke for each arm, in the experiment's order; five hues times five dashes keep 25 arms apart."""
    chosen, others = {}, 0
    for arm in arms:
        if arm == winner:
            chosen[arm] = Stroke(WINNER, 3.0, DASHES[0])
        elif arm == control:
            chosen[arm] = Stroke(CONTROL, 2.25, DASHES[0])
        else:
            turn = others // len(OTHERS)
            chosen[arm] = Stroke(OTHERS[others % len(OTHERS)], 1.75, DASHES[(others + turn) % len(DASHES)])
            others += 1
    return chosen
