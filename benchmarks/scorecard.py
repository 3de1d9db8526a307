"""Twelve arms from moments to a full scorecard of one metric: rates, lifts, intervals, p-values, chances to be best."""

import time
from statistics import median

from benchmarks.table import Table
from experiments.core.statistics.comparison import compare
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.sequential import Looks

ARMS, RUNS = 12, 21


def measure() -> Table:
    """The first call of a schedule computes its boundaries; the others find them."""
    arms = {f"arm{i}": PairMoments(20_000, 600 + i, 30_000, 960 + i, 50_000, 1080 + i) for i in range(ARMS)}
    compare(arms, control="arm0")  # the imports are not what is measured
    rows = []
    for looks in (8, 28):
        taken = []
        for _ in range(RUNS):
            began = time.perf_counter()
            compare(arms, control="arm0", looks=Looks.even(looks // 2, looks))
            taken.append(1000 * (time.perf_counter() - began))
        rows.append((f"look {looks // 2} of {looks}", f"{taken[0]:.0f}", f"{median(taken[1:]):.1f}"))
    return Table(
        f"{ARMS} arms from moments to a scorecard, milliseconds", ("schedule", "first time", "after that"), rows
    )
