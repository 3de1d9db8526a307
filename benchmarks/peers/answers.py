"""Run among the peers, not among us: what each of them says of a case. JSON on standard input, JSON on standard output.

A case is ``{"control": M, "arm": M, "alpha": a, "arms": k, "looks": [i, n]}`` with moments
``M = {n, y, yy, x, xx, xy, yb, ybyb, yyb}`` (units, numerator, denominator, before) and ``"kind"``: proportion, ratio,
mean, adjusted. An answer is ``{"peer": {"relative", "low", "high", "p"}}``, null where the peer has no such number.
"""

import json
import math
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from gbstats.frequentist.tests import (
    FrequentistConfig,
    SequentialConfig,
    SequentialTwoSidedTTest,
    TwoSidedTTest,
)
from gbstats.models.statistics import (
    ProportionStatistic,
    RatioStatistic,
    RegressionAdjustedStatistic,
    SampleMeanStatistic,
)
from spotify_confidence import ZTest
from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW
from tea_tasting import Mean, RatioOfMeans
from tea_tasting.aggr import Aggregates

Case = dict
Answer = dict


def tea_tasting(case: Case) -> Answer:
    """`Mean` and `RatioOfMeans` from aggregates; Welch's t."""
    names = {"y": "y", "x": "x", "yb": "yb"}
    if case["kind"] == "ratio":
        metric = RatioOfMeans("y", "x")
    elif case["kind"] == "adjusted":
        metric = Mean("y", "yb")
    else:
        metric = Mean("y")
    found = metric.analyze_aggregates(*(_aggregates(case[side], names) for side in ("control", "arm")))
    return _answer(found.rel_effect_size, found.rel_effect_size_ci_lower, found.rel_effect_size_ci_upper, found.pvalue)


def _aggregates(m: dict, names: dict) -> Aggregates:
    n = m["n"]
    means = {key: m[key] / n for key in names}
    product = {
        ("y", "y"): "yy",
        ("x", "x"): "xx",
        ("x", "y"): "xy",
        ("yb", "yb"): "ybyb",
        ("y", "yb"): "yyb",
        ("x", "yb"): "xyb",
    }
    moments = {
        pair: (m[key] - n * means[pair[0]] * means[pair[1]]) / (n - 1) for pair, key in product.items() if key in m
    }
    return Aggregates(
        count_=n,
        mean_=means,
        var_={key: moments[key, key] for key in names if (key, key) in moments},
        cov_={pair: value for pair, value in moments.items() if pair[0] != pair[1]},
    )


def growthbook(case: Case) -> Answer:
    """gbstats' two-sided t test of the relative lift."""
    config = FrequentistConfig(alpha=case["alpha"], difference_type="relative")
    return _gb(TwoSidedTTest(*(_statistic(case, side) for side in ("control", "arm")), config))


def growthbook_sequential(case: Case) -> Answer:
    """gbstats' sequential intervals, at its own tuning."""
    config = SequentialConfig(alpha=case["alpha"], difference_type="relative")
    return _gb(SequentialTwoSidedTTest(*(_statistic(case, side) for side in ("control", "arm")), config))


def _gb(test) -> Answer:
    found = test.compute_result()
    return _answer(found.expected, found.ci[0], found.ci[1], found.p_value)


def _statistic(case: Case, side: str):
    m = case[side]
    if case["kind"] == "proportion":
        return ProportionStatistic(m["n"], m["y"])
    post = SampleMeanStatistic(m["n"], m["y"], m["yy"])
    if case["kind"] == "ratio":
        return RatioStatistic(m["n"], post, SampleMeanStatistic(m["n"], m["x"], m["xx"]), m["xy"])
    if case["kind"] == "adjusted":
        before = SampleMeanStatistic(m["n"], m["yb"], m["ybyb"])
        return RegressionAdjustedStatistic(m["n"], post, before, m["yyb"], case["theta"])
    return post


def confidence(case: Case) -> Answer:
    """spotify-confidence's z test; it knows no ratio of two random sums and no history."""
    if case["kind"] not in ("proportion", "mean"):
        return {}
    rows = [
        {"arm": side, "y": case[side]["y"], "yy": case[side]["yy"], "n": case[side]["n"]} for side in ("control", "arm")
    ]
    test = ZTest(pd.DataFrame(rows), "y", "yy", "n", "arm", interval_size=1 - case["alpha"])
    found = test.difference("control", "arm", absolute=False).iloc[0]
    return _answer(found["difference"], found["ci_lower"], found["ci_upper"], found["p-value"])


def statsmodels(case: Case) -> Answer:
    """Score test and interval of the ratio of two proportions; Welch's t for means."""
    control, arm = case["control"], case["arm"]
    if case["kind"] == "proportion":
        table = (arm["y"], arm["n"], control["y"], control["n"])
        low, high = confint_proportions_2indep(*table, method="score", compare="ratio", alpha=case["alpha"])
        p = test_proportions_2indep(*table, method="score", compare="diff", correction=False).pvalue
        relative = arm["y"] / arm["n"] / (control["y"] / control["n"]) - 1 if control["y"] else math.nan
        return _answer(relative, low - 1, high - 1, p)
    if case["kind"] == "mean":
        sides = [DescrStatsW(_two_points(case[side]), weights=[case[side]["n"] / 2] * 2) for side in ("arm", "control")]
        test = CompareMeans(*sides).ztest_ind(usevar="unequal")
        return _answer(sides[0].mean / sides[1].mean - 1, None, None, test[1])
    return {}


def _two_points(m: dict) -> np.ndarray:
    """Two values with this mean and population variance."""
    mean = m["y"] / m["n"]
    spread = math.sqrt(max(m["yy"] / m["n"] - mean**2, 0.0))
    return np.array([mean - spread, mean + spread])


def _answer(relative: float | None, low: float | None, high: float | None, p: float | None) -> Answer:
    return {"relative": _number(relative), "low": _number(low), "high": _number(high), "p": _number(p)}


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


PEERS: dict[str, Callable[[Case], Answer]] = {
    "tea-tasting": tea_tasting,
    "GrowthBook": growthbook,
    "GrowthBook sequential": growthbook_sequential,
    "spotify-confidence": confidence,
    "statsmodels": statsmodels,
}


def _asked(peer: Callable[[Case], Answer], case: Case) -> Answer:
    try:
        return peer(case)
    except (ValueError, ZeroDivisionError, FloatingPointError, KeyError) as error:
        return {"refused": str(error)[:80]}


if __name__ == "__main__":
    cases = json.load(sys.stdin)
    wanted = sys.argv[1:] or list(PEERS)
    json.dump([{name: _asked(PEERS[name], case) for name in wanted} for case in cases], sys.stdout)
