"""The style leaderboard in words: what all experiments together say of each look, and which to try next."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from reports import measures, numbers
from reports.errors import ReportError
from reports.model import BoardView, StyleRow
from reports.words import number_of, quoted

Parameters = Mapping[str, Any]
HASH = re.compile(r"#[0-9a-f]+")
SHOWN = 12
"""Looks on a page; the others are in the JSON."""


def _best(p: Parameters) -> str:
    return f"the best with a chance of {numbers.probability(p['probability_best'])}"


def _lift(p: Parameters) -> str:
    low, high = (signed_change(p[end]) for end in ("low", "high"))
    return f"{signed_change(p['expected'])} expected, {low} to {high}"


SENTENCES: Mapping[str, Callable[[Parameters], str]] = {
    "style_proven": lambda p: (
        f"better than the control with a chance of {numbers.probability(p['probability_better'])} after "
        f"{number_of(p['experiments'], 'experiment')} ({_lift(p)}); {_best(p)}."
    ),
    "style_promising": lambda p: (
        f"ahead after {number_of(p['experiments'], 'experiment')}, but not surely ({_lift(p)}); {_best(p)}."
    ),
    "style_doubtful": lambda p: (
        f"behind after {number_of(p['experiments'], 'experiment')}, but not surely ({_lift(p)}); {_best(p)}."
    ),
    "style_untried": lambda p: f"no experiment has shown it; it may be anything ({_lift(p)}); {_best(p)}.",
    "style_inconclusive_here": lambda p: (
        f"{p['experiment']} measured it on this brief without an answer ({_lift(p)}); {_best(p)}."
    ),
    "style_better_here": lambda p: f"not proposed: it beat the control on this brief in {p['experiment']}.",
    "style_worse_here": lambda p: f"not proposed: it lost to the control on this brief in {p['experiment']}.",
    "style_running_here": lambda p: f"not proposed: {p['experiment']} is measuring it on this brief.",
    "experiment_not_judged": lambda p: f"{p['experiment']} has not been judged yet.",
    "experiment_invalid": lambda p: f"{p['experiment']}, because its latest verdict is invalid.",
    "experiment_damaged": lambda p: f"{p['experiment']}, because its plan is not as it was sealed: adstyle status.",
    "experiment_without_lift": lambda p: (
        f"{p['experiment']}, because nothing was counted that a lift can be read from."
    ),
}
"""By code of a reason: why a style is proposed or not, or an experiment says nothing on the board."""


def sentence(code: str, parameters: Parameters) -> str:
    """One reason in words: of a style, to follow its name and a colon; of an experiment, beginning with its name.

    Raises:
        ReportError: for a code without words, or a parameter that the sentence needs and did not get.
    """
    if code not in SENTENCES:
        raise ReportError(f"there are no words for the proposal reason {code!r}; add them to reports/standings.py")
    try:
        return SENTENCES[code](parameters)
    except KeyError as missing:
        raise ReportError(f"the proposal reason {code!r} needs the parameter {missing}") from None


def signed_change(share: float) -> str:
    """``+5.1 %``, ``−2.0 %``."""
    return numbers.signed(numbers.change(share))


def name_of(style: str) -> str:
    """A look without its hash: ``ink@0.6``."""
    return HASH.sub("", style)


def board(view: BoardView) -> dict[str, Any]:
    """What the page prints of one board."""
    control = quoted(view.control, view.control)
    return {
        "title": f"{measures.title(view.metric, 'person')}, against {control}",
        "summary": f"From {number_of(view.experiments, 'experiment')} with a valid verdict. A look's expected lift is "
        "drawn towards that of all looks, the more so the less has been seen of it.",
        "styles": [_style(row) for row in view.styles[:SHOWN]],
        "left_out": numbers.count(len(view.styles) - SHOWN) if len(view.styles) > SHOWN else "",
        "better": f"Better than {control}",
        "proposals": [
            {"name": name_of(style), "why": sentence(why.code, why.parameters)} for style, why in view.proposals
        ],
    }


def _style(row: StyleRow) -> dict[str, str]:
    return {
        "name": name_of(row.style),
        "style": row.style,
        "experiments": numbers.count(row.experiments),
        "expected": signed_change(row.expected),
        "interval": f"{signed_change(row.low)} to {signed_change(row.high)}",
        "next": f"{signed_change(row.next_low)} to {signed_change(row.next_high)}",
        "better": numbers.probability(row.probability_better),
    }
