"""What the peers say of the same cases, how often they call an arm that is no better, and how long they take.

python -m benchmarks.peers            (installs them into .peers/ first: a minute or two, once)
"""

import sys
import time

import numpy as np

from benchmarks.peers import environment
from benchmarks.peers.cases import ALPHA, Case, cases, zero_one
from benchmarks.table import Table
from experiments.core.seeds import seed_for
from experiments.core.statistics.crowds import Crowd
from experiments.core.statistics.deciding import decide_table
from experiments.core.statistics.sequential import Looks

WORLDS, PEEKED = 1000, 250
TESTING = ("tea-tasting", "GrowthBook")
"""Peers that test at a fixed horizon; spotify-confidence takes a tenth of a second a test, too long for thousands."""


def answers() -> Table:
    """Every case, every peer."""
    asked = cases()
    found = environment.ask("answers.py", [each.question() for each in asked])
    rows = []
    for case, peers in zip(asked, found, strict=True):
        ours = case.ours()
        rows.append((f"{case.name}", "AdStyle", *_shown(ours), f"{ours['p_adjusted']:.4g}", case.why))
        for name, said in peers.items():
            if name == "GrowthBook sequential" and not case.name.startswith("look"):
                continue
            if "refused" in said:
                rows.append(("", name, "refused", "", "", "", said["refused"]))
            elif said:
                rows.append(("", name, *_shown(said), "", ""))
    return Table(
        "The same cases asked of everyone",
        ("case", "who", "lift", "95 % interval", "p", "adjusted p", "where it differs"),
        rows,
    )


def _shown(said: dict) -> tuple[str, str, str]:
    def change(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:+.2f} %"

    p = "–" if said["p"] is None else f"{said['p']:.4g}"
    return change(said["relative"]), f"{change(said['low'])} to {change(said['high'])}", p


def false_calls() -> Table:
    """Worlds in which no arm differs: how often is one called better, and worse?"""
    rows = []
    independent = _worlds(Crowd(2, 1, 1000), "independent")
    rows += _rates("clicks of people, each impression taken as independent", independent, 1000, Looks.even())
    few = _worlds(Crowd(2, 1, 10), "few")
    rows += _rates("ten clicks an arm", few, 10, Looks.even())
    rows += _peeking()
    return Table(
        f"Percent of {WORLDS:,} worlds without any difference in which an arm is called better, and worse",
        ("worlds", "who", "better", "worse"),
        rows,
    )


def _worlds(crowd: Crowd, name: str) -> list:
    rng = np.random.default_rng(seed_for("peers", name))
    return list(crowd.draw(rng, WORLDS))


def _rates(title: str, tables: list, clicks: int, looks: Looks) -> list[tuple[str, ...]]:
    (table,) = tables
    questions = [
        Case("", "proportion", *(zero_one(int(y), int(x)) for y, x in zip(ys, xs, strict=True)), "").question()
        for ys, xs in zip(table.y, table.x, strict=True)
    ]
    found = environment.ask("answers.py", questions, *TESTING)
    decided = decide_table(table, outcome=Crowd(2, 1, clicks).outcome, alpha=ALPHA, looks=looks)
    called = decided.z[:, 0] / decided.bound[:, 0]
    rows = [(title, "AdStyle, per unit", _percent(called >= 1), _percent(called <= -1))]
    for name in TESTING:
        signs = np.array([_call(each[name]) for each in found])
        rows.append(("", name, _percent(signs > 0), _percent(signs < 0)))
    return rows


def _call(said: dict) -> int:
    if said.get("p") is None or said["p"] >= ALPHA:
        return 0
    if said["relative"] is None:
        return 1
    return 1 if said["relative"] > 0 else -1


def _peeking() -> list[tuple[str, ...]]:
    """Four styles, looked at four times, each p read as it stands."""
    crowd, worlds = Crowd(5, 4, 200), PEEKED
    rng = np.random.default_rng(seed_for("peers", "peeking"))
    ours = np.zeros(worlds, dtype=bool)
    named = {name: np.zeros(worlds, dtype=bool) for name in TESTING}
    for number, table in enumerate(crowd.draw(rng, worlds), start=1):
        decided = decide_table(table, outcome=crowd.outcome, alpha=ALPHA, looks=Looks.even(number, 4))
        ours |= (np.abs(decided.z) >= decided.bound).any(axis=1)
        questions = [
            Case(
                "", "proportion", zero_one(int(ys[0]), int(xs[0])), zero_one(int(ys[arm]), int(xs[arm])), ""
            ).question()
            for ys, xs in zip(table.y, table.x, strict=True)
            for arm in range(1, 5)
        ]
        found = environment.ask("answers.py", questions, *TESTING)
        for name in TESTING:
            calls = np.array([_call(each[name]) for each in found]).reshape(worlds, 4)
            named[name] |= (calls != 0).any(axis=1)
    title = f"four styles at four looks, per impression ({worlds} worlds, called at all)"
    return [(title, "AdStyle, arms and looks jointly", _percent(ours), "")] + [
        ("", name, _percent(wrong), "") for name, wrong in named.items()
    ]


def _percent(called: np.ndarray) -> str:
    return f"{100 * called.mean():.1f}"


def main() -> None:
    """Print both tables."""
    environment.make()
    began = time.perf_counter()
    print(answers().markdown())
    print(false_calls().markdown())
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
