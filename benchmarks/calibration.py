"""How often an arm is called though none differs, and how often an interval holds the truth: thousands of known worlds.

    python -m benchmarks.calibration [--worlds N] [--write]        (`make calibrate`)

Every cell judges N simulated experiments at every look by what decides in the product. Printed are each tail's chance
that *any* arm is called, in percent; a figure outside its band (given the simulation error) makes the command fail.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.readme import write_between
from benchmarks.table import Table
from experiments.core.plan import Direction
from experiments.core.seeds import seed_for
from experiments.core.statistics import anytime
from experiments.core.statistics.comparison import Correction, TableResult, compare_table
from experiments.core.statistics.crowds import DESIGN_EFFECT, Crowd, Habit, Purses
from experiments.core.statistics.deciding import decide_table, deciding_z
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.tables import ArmTable, Outcome, dispersion_of, information_of

WORLDS = 20_000
ARMS, LOOKS, CLICKS = (2, 5, 12), (1, 4, 8, 28), (10, 50, 1000)
BEGIN, END = "<!-- calibrated: made by `make calibrate WRITE=1` -->", "<!-- end of calibrated -->"
ALPHA = 0.05
"""Two-sided: half of it in each tail."""


@dataclass(frozen=True, slots=True)
class Tails:
    """In how many of ``worlds`` experiments any arm was called better, and worse, than a control it equals."""

    crowd: Crowd | Purses
    worlds: int
    better: int
    worse: int

    @property
    def band(self) -> tuple[float, float]:
        """Percent a tail may have: wider at uneven allocation and few clicks; below six effective ones only timid.

        Of money one tail may have what the other has not: few orders are nearly all of it, in the larger arm first.
        """
        if isinstance(self.crowd, Purses):
            return 0.0, 100 * ALPHA
        effective = self.crowd.clicks / (1.0 if self.crowd.habit is Habit.ONCE else DESIGN_EFFECT)
        if effective < 6:
            return 0.0, 3.0
        if self.crowd.clicks >= 50 and self.crowd.control_share == 1:
            return 1.75, 2.75
        return 1.75, 3.25

    @property
    def percent(self) -> tuple[float, float]:
        """Each tail's share of the worlds."""
        return 100 * self.better / self.worlds, 100 * self.worse / self.worlds

    def outside(self) -> bool:
        """Whether a tail, or of money both together, lies outside the band by more than two simulation errors."""
        low, high = self.band
        slack = 2 * simulation_error(high, self.worlds)
        if isinstance(self.crowd, Purses):
            return sum(self.percent) > high + slack
        return any(not low - slack <= share <= high + slack for share in self.percent)


def simulation_error(percent: float, worlds: int) -> float:
    """Standard error, in percent."""
    return float(np.sqrt(percent * (100 - percent) / worlds))


def false_calls(crowd: Crowd | Purses, worlds: int = WORLDS, outcome: Outcome | None = None) -> Tails:
    """Judge ``worlds`` experiments without any difference at every look, as ``outcome`` where that is given."""
    rng = np.random.default_rng(seed_for("calibration", repr(crowd)))
    better = np.zeros(worlds, dtype=bool)
    worse = np.zeros(worlds, dtype=bool)
    for looks, table in with_looks(crowd, rng, worlds):
        found = decide_table(table, outcome=outcome or crowd.outcome, alpha=ALPHA, looks=looks)
        better |= (found.z >= found.bound).any(axis=1)
        worse |= (found.z <= -found.bound).any(axis=1)
    return Tails(crowd, worlds, int(better.sum()), int(worse.sum()))


def with_looks(crowd: Crowd | Purses, rng: np.random.Generator, worlds: int) -> Iterable[tuple[Looks, ArmTable]]:
    """Each look's sums with its schedule: alpha by the calendar, correlation by the mean information that came."""
    came: list[float] = []
    for number, table in enumerate(crowd.draw(rng, worlds), start=1):
        told = float(information_of(table, crowd.outcome).mean())
        came.append(max(told, came[-1] * (1 + 1e-6)) if came else told)
        calendar = tuple(look / crowd.looks for look in range(1, number + 1))
        scale = calendar[-1] / came[-1]
        yield Looks(number, crowd.looks, tuple(each * scale for each in came), calendar), table


def always_valid_calls(crowd: Crowd, worlds: int = WORLDS) -> Tails:
    """As `false_calls`, by the boundary that may be looked at at any time; it must only not exceed its level."""
    rng = np.random.default_rng(seed_for("anytime", repr(crowd)))
    better = np.zeros(worlds, dtype=bool)
    worse = np.zeros(worlds, dtype=bool)
    effective = crowd.clicks / (1.0 if crowd.habit is Habit.ONCE else DESIGN_EFFECT)
    planned = effective * crowd.control_share / (1 + crowd.control_share)
    tuning = anytime.Tuning(planned, ALPHA, crowd.arms - 1, start=min(anytime.START, planned))
    for _, table in with_looks(crowd, rng, worlds):
        phi, _ = dispersion_of(
            table, crowd.outcome, table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
        )
        z = deciding_z(table, crowd.outcome, phi, phi, slice(1, None), slice(0, 1))
        bound = anytime.boundary(anytime.count_information(table.y, table.x, phi), tuning)
        better |= (z >= bound).any(axis=1)
        worse |= (z <= -bound).any(axis=1)
    return Tails(crowd, worlds, int(better.sum()), int(worse.sum()))


def cells() -> tuple[Crowd, ...]:
    """Every combination, the lengthy ones first."""
    found = [
        Crowd(arms, looks, clicks, habit, share)
        for (habit, share), arms, looks, clicks in product(PEOPLE, ARMS, LOOKS, CLICKS)
    ]
    return tuple(sorted(found, key=lambda crowd: -crowd.arms * crowd.looks))


@dataclass(frozen=True, slots=True)
class Coverage:
    """In how many of ``intervals`` the truth lay."""

    crowd: Crowd
    what: str
    intervals: int
    held: int

    @property
    def percent(self) -> float:
        """Share that held the truth."""
        return 100 * self.held / self.intervals


LIFTS = (0.5, -0.3, 0.0, 0.15)
"""True lifts of the first arms where intervals are tried."""


def interval_coverage(crowd: Crowd, worlds: int = WORLDS) -> tuple[Coverage, Coverage]:
    """Uncorrected 95 % intervals at a single look, of the absolute and of the relative lift, over all arms."""
    rng = np.random.default_rng(seed_for("coverage", repr(crowd)))
    (looks, table) = next(iter(with_looks(crowd, rng, worlds)))
    result = _compared(crowd, table, looks, Correction.NONE)
    rates = crowd.rates()[0]
    absolute = _within(result.absolute[1:], rates[1:] - rates[0])
    relative = _within(result.relative[1:], crowd.ratios[1:] - 1)
    known = np.isfinite(result.relative[0])
    return (
        Coverage(crowd, "absolute", absolute.size, int(absolute.sum())),
        Coverage(crowd, "relative", int(known.sum()), int(relative[known].sum())),
    )


def simultaneous_coverage(crowd: Crowd, worlds: int = WORLDS) -> tuple[Coverage, Coverage]:
    """Repeated intervals: whether the intervals of every arm at every look held the truth at once."""
    rng = np.random.default_rng(seed_for("repeated", repr(crowd)))
    absolute, relative = np.ones(worlds, dtype=bool), np.ones(worlds, dtype=bool)
    for (looks, table), rates in zip(with_looks(crowd, rng, worlds), crowd.rates(), strict=True):
        result = _compared(crowd, table, looks, Correction.DUNNETT)
        absolute &= _within(result.absolute[1:], rates[1:] - rates[0]).all(axis=1)
        relative &= _within(result.relative[1:], crowd.ratios[1:] - 1).all(axis=1)
    return (
        Coverage(crowd, "absolute", worlds, int(absolute.sum())),
        Coverage(crowd, "relative", worlds, int(relative.sum())),
    )


def _compared(crowd: Crowd, table: ArmTable, looks: Looks, correction: Correction) -> TableResult:
    return compare_table(
        table, outcome=crowd.outcome, alpha=ALPHA, correction=correction, looks=looks, direction=Direction.INCREASE
    )


def _within(ends: tuple[NDArray[np.float64], NDArray[np.float64]], truth: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Ends that are not known (infinite) are open."""
    low, high = ends
    return np.asarray((np.isnan(low) | (low <= truth)) & (np.isnan(high) | (high >= truth)))


@dataclass(frozen=True, slots=True)
class Power:
    """A better arm among ``crowd.arms``: how often it is found, and after what share of the planned sample."""

    crowd: Crowd
    found: float
    sample: float
    fixed: float
    """Found by Dunnett's test at one look, at the end."""


def power_against_one_look(crowd: Crowd, worlds: int = WORLDS) -> Power:
    """Stop at the first look at which any arm is called better, or at the last."""
    rng = np.random.default_rng(seed_for("power", repr(crowd)))
    found, running, sample = np.zeros(worlds, dtype=bool), np.ones(worlds, dtype=bool), np.zeros(worlds)
    for (looks, table), arrived in zip(with_looks(crowd, rng, worlds), np.cumsum(crowd.traffic), strict=True):
        decision = decide_table(table, outcome=crowd.outcome, alpha=ALPHA, looks=looks)
        better = decision.z >= decision.bound
        found |= running & better[:, 0]
        stops = running & (better.any(axis=1) | looks.last)
        sample[stops] = arrived
        running &= ~stops
    at_once = decide_table(table, outcome=crowd.outcome, alpha=ALPHA, looks=Looks.even())
    return Power(crowd, float(found.mean()), float(sample.mean()), float((at_once.z >= at_once.bound)[:, 0].mean()))


PEOPLE = {
    (Habit.RETURNING, 1.0): "come back, uneven weeks",
    (Habit.DELAYED, 1.0): "so, known with delay",
    (Habit.ONCE, 1.0): "0/1 outcomes",
    (Habit.RETURNING, 3.0): "come back, 3:1 control",
    (Habit.ONCE, 3.0): "0/1 outcomes, 3:1 control",
}
"""What the tables call each sort of world."""


def tails_table(found: Sequence[Tails], worlds: int) -> Table:
    """Lowest and highest of both tails over all schedules."""
    rows = []
    for (habit, share), clicks in product(PEOPLE, CLICKS):
        cells = []
        for arms in ARMS:
            tails = [
                tail
                for each in found
                if (each.crowd.habit, each.crowd.control_share) == (habit, share)
                and (each.crowd.arms, each.crowd.clicks) == (arms, clicks)
                for tail in each.percent
            ]
            cells.append(f"{min(tails):.2f}–{max(tails):.2f}")
        rows.append((PEOPLE[habit, share], f"{clicks:,}", *cells))
    error = simulation_error(2.5, worlds)
    return Table(
        f"Chance in percent, in each tail, that any arm is called though none differs; lowest and highest over "
        f"{', '.join(map(str, LOOKS))} looks and both tails; nominal 2.50, {worlds:,} worlds a cell, "
        f"simulation error {error:.2f}",
        ("people", "clicks an arm", *(f"{arms} arms" for arms in ARMS)),
        rows,
    )


def money_table(found: Sequence[Tails], welch: Sequence[Tails], worlds: int) -> Table:
    """Both tails together, the highest over all schedules, beside Welch's test with the same boundaries."""

    def highest(tests: Sequence[Tails], arms: int, buyers: float, spread: float, share: float) -> str:
        cells = [Purses(arms, looks, buyers, spread, share) for looks in MONEY_LOOKS]
        return f"{max(sum(each.percent) for each in tests if each.crowd in cells):.2f}"

    rows = [
        (
            f"{spread:g}",
            f"{share:g}:1",
            f"{buyers}",
            *(highest(tests, arms, buyers, spread, share) for tests in (found, welch) for arms in ARMS),
        )
        for spread, share, buyers in product(SPREADS, SHARES, BUYERS)
    ]
    return Table(
        f"Money: chance in percent, in both tails together, that any arm is called though none differs; the higher of "
        f"{' and '.join(map(str, MONEY_LOOKS))} looks; at most 5.00, {worlds:,} worlds a cell, of Welch's test "
        f"{worlds // WELCH:,}",
        (
            "spread of the orders' logarithm",
            "control",
            "orders an arm",
            *(f"{arms} arms" for arms in ARMS),
            *(f"Welch's test, {arms} arms" for arms in ARMS),
        ),
        rows,
    )


def anytime_table(found: Sequence[Tails], worlds: int) -> Table:
    """The larger of both tails."""
    rows = [
        (
            PEOPLE[each.crowd.habit, each.crowd.control_share],
            f"{each.crowd.clicks:,}",
            f"{each.crowd.arms}",
            f"{max(each.percent):.2f}",
        )
        for each in found
    ]
    return Table(
        f"The same for the reading that may be taken at any time, looked at {ANYTIME_LOOKS} times; at most 2.50, "
        f"{worlds:,} worlds",
        ("people", "clicks an arm", "arms", "larger tail"),
        rows,
    )


def coverage_table(
    single: Sequence[tuple[Coverage, Coverage]], repeated: Sequence[tuple[Coverage, Coverage]], worlds: int
) -> Table:
    """What 95 % intervals hold."""
    rows = [
        (
            "one look, uncorrected"
            if each.crowd.looks == 1
            else f"{each.crowd.looks} looks, all arms and looks at once",
            PEOPLE[each.crowd.habit, each.crowd.control_share],
            f"{each.crowd.arms}",
            f"{each.crowd.clicks:,}",
            f"{each.percent:.2f}",
            f"{relative.percent:.2f}",
        )
        for each, relative in (*single, *repeated)
    ]
    lifts = ", ".join(f"{lift:+.0%}" for lift in LIFTS)
    return Table(
        f"Percent of 95 % intervals that hold the truth, arms with lifts of {lifts}; {worlds:,} worlds",
        ("interval", "people", "arms", "clicks an arm", "absolute lift", "relative lift"),
        rows,
    )


def power_table(found: Sequence[Power], worlds: int) -> Table:
    """Beside Dunnett's test of the same arms at a single look."""
    rows = [
        (
            f"{each.crowd.arms}",
            f"{each.crowd.looks}",
            f"{100 * each.fixed:.1f} %",
            f"{100 * each.found:.1f} %",
            f"{100 * each.found / each.fixed:.1f} %",
            f"{100 * each.sample:.0f} %",
        )
        for each in found
    ]
    return Table(
        f"One arm is better: found by one look at the end, and by all looks together; {worlds:,} worlds",
        ("arms", "looks", "one look", "all looks", "share of its power", "mean share of the sample"),
        rows,
    )


WELCH = 10
"""Every so many worlds' money is judged by Welch's test, too: its variances give every world boundaries of its own."""
SPREADS, SHARES, BUYERS, MONEY_LOOKS = (1.0, 2.0), (1.0, 3.0), (10, 100), (1, 4)
MONEY = tuple(
    Purses(arms, looks, buyers, spread, share)
    for arms, looks, buyers, spread, share in product(ARMS, MONEY_LOOKS, BUYERS, SPREADS, SHARES)
)
COVERED = tuple(
    Crowd(5, 1, clicks, habit, share, LIFTS)
    for habit, share in PEOPLE
    if habit is not Habit.DELAYED
    for clicks in CLICKS
)
ANYTIME_LOOKS = 28
ANYTIME = tuple(
    Crowd(arms, ANYTIME_LOOKS, clicks, habit, share)
    for (habit, share), clicks, arms in product(((Habit.RETURNING, 1.0), (Habit.ONCE, 3.0)), CLICKS, (2, 12))
)
REPEATED = tuple(
    Crowd(arms, looks, clicks, lifts=LIFTS[: arms - 1])
    for arms, looks, clicks in ((2, 4, 10), (5, 4, 50), (5, 8, 1000))
)
BETTER = tuple(Crowd(arms, 8, clicks, lifts=(0.2,)) for arms, clicks in ((2, 950), (5, 1230), (12, 1480)))
"""As many clicks as give Dunnett's test at one look about 90 % power."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything, print it and, with ``--write``, put it into the README."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--worlds", type=int, default=WORLDS)
    options.add_argument("--write", action="store_true")
    wish = options.parse_args(arguments)
    worlds = wish.worlds
    with ProcessPoolExecutor() as pool:
        crowds = cells()
        tails = list(pool.map(false_calls, crowds, [worlds] * len(crowds)))
        money = list(pool.map(false_calls, MONEY, [worlds] * len(MONEY)))
        welch = list(pool.map(false_calls, MONEY, [worlds // WELCH] * len(MONEY), [Outcome.VALUE] * len(MONEY)))
        single = list(pool.map(interval_coverage, COVERED, [worlds] * len(COVERED)))
        repeated = list(pool.map(simultaneous_coverage, REPEATED, [worlds] * len(REPEATED)))
        always = list(pool.map(always_valid_calls, ANYTIME, [worlds] * len(ANYTIME)))
        power = list(pool.map(power_against_one_look, BETTER, [worlds] * len(BETTER)))
    tables = (
        tails_table(tails, worlds), money_table(money, welch, worlds), anytime_table(always, worlds),
        coverage_table(single, repeated, worlds), power_table(power, worlds),
    )  # fmt: skip
    text = "\n".join(table.markdown() for table in tables)
    print(text)
    if wish.write:
        write_between(BEGIN, END, text)
    wrong = [each for each in (*tails, *money) if each.outside()]
    for each in wrong:
        print(f"outside {each.band}: {each.percent} in {each.crowd}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
