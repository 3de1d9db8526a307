"""How often a style that is no better wins, in the same worlds: AdStyle's verdict and three usual readings."""

from collections.abc import Callable

import numpy as np
from scipy.stats import chi2_contingency, ttest_ind_from_stats

from benchmarks.table import Table
from experiments.core.seeds import seed_for
from experiments.core.statistics.comparison import Correction, compare_groups
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.worlds import cumulative_moments, draw_world
from experiments.core.verdict import Kind, judge

WORLDS, LOOKS, NEWCOMERS = 2000, 3, 6000
CONTROL, STYLES = "original", ("ink", "neon", "pastel", "riso")
Reading = dict[str, PairMoments]


def measure() -> Table:
    """Four styles, none of them better; people with differing appetites come back; judged at three weekly looks."""
    worlds = [_world(number) for number in range(WORLDS)]
    ours = np.zeros(WORLDS, dtype=bool)
    for look in range(1, LOOKS + 1):
        groups = [(CONTROL, world[look - 1]) for world in worlds]
        found = compare_groups(
            groups, split=None, alpha=0.05, correction=Correction.DUNNETT, looks=Looks.even(look, LOOKS)
        )
        ours |= [judge(each).kind is Kind.PROMOTE for each in found]
    readers = {
        "AdStyle: arms and looks jointly, per unit": ours,
        "chi-square over impressions, at the end": np.array([_wins(world[-1:], _by_impression) for world in worlds]),
        "chi-square over impressions, every week": np.array([_wins(world, _by_impression) for world in worlds]),
        "t-test over units, every week": np.array([_wins(world, _by_unit) for world in worlds]),
    }
    return Table(
        f"Wrong winners in {WORLDS:,} worlds without a better style, at a level of 5 %",
        ("reading", "wrong winners", "± simulation error"),
        tuple((name, *_share(wrong)) for name, wrong in readers.items()),
    )


def _world(number: int) -> tuple[Reading, ...]:
    seed = seed_for("benchmark", "null", str(number))
    world = draw_world(seed, CONTROL, STYLES, better=False)
    return cumulative_moments(world, np.random.default_rng(seed + 1), NEWCOMERS, LOOKS)


def _wins(readings: tuple[Reading, ...], test: Callable[[PairMoments, PairMoments], bool]) -> bool:
    """Whether any style is ahead of the control with p < 0.05 at any of these looks."""
    return any(test(reading[CONTROL], reading[style]) for reading in readings for style in STYLES)


def _by_impression(control: PairMoments, arm: PairMoments) -> bool:
    table = [[control.y, arm.y], [control.x - control.y, arm.x - arm.y]]
    return arm.y / arm.x > control.y / control.x and chi2_contingency(table, correction=False).pvalue < 0.05


def _by_unit(control: PairMoments, arm: PairMoments) -> bool:
    """Clicks per unit by Welch's t-test from means and standard deviations."""
    means, deviations = zip(*((each.y / each.units, _deviation(each)) for each in (arm, control)), strict=True)
    sizes = (arm.units, control.units)
    found = ttest_ind_from_stats(means[0], deviations[0], sizes[0], means[1], deviations[1], sizes[1], equal_var=False)
    return means[0] > means[1] and found.pvalue < 0.05


def _deviation(each: PairMoments) -> float:
    return float(np.sqrt((each.yy - each.y**2 / each.units) / (each.units - 1)))


def _share(wrong: np.ndarray) -> tuple[str, str]:
    share = wrong.mean()
    error = 1.96 * np.sqrt(share * (1 - share) / len(wrong))
    return f"{100 * share:.1f} %", f"{100 * error:.1f} %"
