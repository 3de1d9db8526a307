"""The cases that we and the peers are asked: moments of a control and an arm, and what may differ in the answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.core.seeds import seed_for
from experiments.core.statistics.adjustment import HistoryMoments, adjust_arms
from experiments.core.statistics.comparison import compare, compare_adjusted
from experiments.core.statistics.sequential import Looks

ALPHA = 0.05
AT_ONCE = Looks.even()


@dataclass(frozen=True, slots=True)
class Case:
    """One control, one arm."""

    name: str
    kind: str
    """proportion, ratio, mean or adjusted."""
    control: HistoryMoments
    arm: HistoryMoments
    why: str
    """Where answers differ, why."""
    looks: Looks = AT_ONCE
    others: int = 0
    """Further arms that equal the control: they are corrected for."""

    def question(self) -> dict[str, Any]:
        """As the peers read it."""
        theta = adjust_arms({"control": self.control, "arm": self.arm}).theta if self.kind == "adjusted" else 0.0
        sides = {"control": _plain(self.control), "arm": _plain(self.arm)}
        return {"kind": self.kind, "alpha": ALPHA, "theta": theta, **sides}

    def ours(self) -> dict[str, float | None]:
        """What `adstyle compare` computes."""
        arms = {"control": self.control, "arm": self.arm} | {f"other{i}": self.control for i in range(self.others)}
        if self.kind == "adjusted":
            found = compare_adjusted(arms, control="control", alpha=ALPHA, looks=self.looks)
        else:
            pairs = {name: each.pair for name, each in arms.items()}
            found = compare(pairs, control="control", alpha=ALPHA, looks=self.looks)
        lift = found.lifts[0]
        return {
            "relative": lift.relative, "low": lift.relative_low, "high": lift.relative_high, "p": lift.p,
            "p_adjusted": lift.p_adjusted,
        }  # fmt: skip


def _plain(each: HistoryMoments) -> dict[str, float]:
    return {
        "n": each.units, "y": each.y, "yy": each.yy, "x": each.x, "xx": each.xx, "xy": each.yx, "yb": each.yb,
        "ybyb": each.ybyb, "yyb": each.yyb,
    }  # fmt: skip


def zero_one(y: int, n: int) -> HistoryMoments:
    """Independent 0/1 outcomes."""
    return HistoryMoments(n, y, n, 0, 0, y, y, 0, 0, n)


def _crowd(rng: np.random.Generator, units: int, gain: float) -> HistoryMoments:
    """Clicks over impressions of people with differing appetites."""
    appetite, x = rng.gamma(0.35, 1 / 0.35, units), 1 + rng.poisson(3, units)
    y = rng.poisson(0.04 * (1 + gain) * appetite * x)
    return HistoryMoments.of(zip(y.tolist(), x.tolist(), [0] * units, [0] * units, strict=True))


def _spenders(rng: np.random.Generator, units: int, gain: float) -> HistoryMoments:
    """Money: few spend, some a lot; what they spent before tells something."""
    habit = rng.gamma(0.5, 2.0, units)
    before = np.round(rng.poisson(habit) * rng.lognormal(2.5, 1.0, units), 2)
    after = np.round(rng.poisson(habit * (1 + gain)) * rng.lognormal(2.5, 1.0, units), 2)
    return HistoryMoments.of(zip(after.tolist(), [1] * units, before.tolist(), [1] * units, strict=True))


def cases() -> tuple[Case, ...]:
    """Large and plain first, then where peers go wrong."""
    rng = np.random.default_rng(seed_for("peers", "cases"))
    crowd = _crowd(rng, 20_000, 0.0), _crowd(rng, 20_000, 0.12)
    money = _spenders(rng, 6000, 0.0), _spenders(rng, 6000, 0.1)
    large = zero_one(17_489, 145_274), zero_one(17_264, 145_310)
    return (
        Case("two landing pages, 145,000 people each", "proportion", *large, "unpooled or pooled variance: digits"),
        Case("no click against twelve", "proportion", zero_one(0, 20_050), zero_one(12, 20_000),
             "a zero-click control is evidence: Fisher's exact test; a relative delta method has no answer"),
        Case("twelve clicks against none", "proportion", zero_one(12, 20_000), zero_one(0, 20_050),
             "an interval around -100 % with no width is no interval"),
        Case("10 against 22 clicks", "proportion", zero_one(10, 5000), zero_one(22, 5000),
             "the relative delta method divides by a control that is uncertain itself"),
        Case("a difference of 40 standard errors", "proportion", zero_one(200_000, 10_000_000),
             zero_one(227_000, 10_000_000), "1 - cdf underflows to 0, the upper tail does not"),
        Case("clicks of people who come back", "ratio", *crowd, "the likelihood's interval; a symmetric one is not"),
        Case("... their impressions taken as independent", "proportion", *(
             zero_one(int(each.y), int(each.x)) for each in crowd), "asked so, everyone is too sure of it"),
        Case("money", "mean", *money, "Welch's t or z: digits"),
        Case("money, adjusted by what was spent before", "adjusted", *money, "theta pooled over the arms in all"),
        Case("look 1 of 4", "proportion", zero_one(300, 15_000), zero_one(360, 15_000),
             "sequential intervals that ignore how long is planned", Looks.even(1, 4)),
        Case("look 4 of 4", "proportion", zero_one(1200, 60_000), zero_one(1330, 60_000),
             "p of one look, or all looks accounted for", Looks.even(4, 4)),
        Case("twelve arms", "proportion", zero_one(1000, 50_000), zero_one(1100, 50_000),
             "p of one arm, or the joint distribution of all eleven", others=10),
    )  # fmt: skip
