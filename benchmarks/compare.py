"""Thousands of experiments in one call of ``adstyle compare``, beside a loop over them in SciPy that knows no looks."""

import csv
import json
import subprocess
import time
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import chi2_contingency

from benchmarks.clock import ADSTYLE
from benchmarks.table import Table

TESTS, ARMS = 2500, 4
COLUMNS = ("--numerator", "clicks", "--denominator", "impressions", "--group", "test")


def measure() -> Table:
    """Every contrast's p-value agrees; ours are also joint over arms and looks, with intervals and a verdict."""
    rng = np.random.default_rng(11)
    shown = rng.integers(2000, 4000, (TESTS, ARMS))
    clicks = rng.binomial(shown, rng.uniform(0.01, 0.03, (TESTS, 1)) * rng.uniform(0.8, 1.3, (TESTS, ARMS)))
    with TemporaryDirectory() as name:
        table = Path(name) / "tests.csv"
        _write(table, clicks, shown)
        began = time.perf_counter()
        printed = subprocess.run(
            [ADSTYLE, "compare", str(table), *COLUMNS, "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        ours = time.perf_counter() - began
    found = np.array([[lift["p"] for lift in json.loads(line)["lifts"]] for line in printed.stdout.splitlines()])
    began = time.perf_counter()
    theirs = _pairwise(clicks, shown)
    loop = time.perf_counter() - began
    apart = np.abs(found - theirs[:, : ARMS - 1]).max()
    return Table(
        f"{TESTS:,} experiments of {ARMS} arms",
        ("", "seconds", "what it gives"),
        (
            ("`adstyle compare --group`", f"{ours:.2f}", "all pairs; joint over arms and looks; intervals; verdicts"),
            ("SciPy, `chi2_contingency` in a loop", f"{loop:.2f}", "p-values of all pairs"),
            ("largest difference of their p-values", f"{apart:.1e}", ""),
        ),
    )


def _write(path: Path, clicks: np.ndarray, shown: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("test", "arm", "clicks", "impressions"))
        rows.writerows((t, "ABCD"[a], clicks[t, a], shown[t, a]) for t in range(TESTS) for a in range(ARMS))


def _pairwise(clicks: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """P-values of all pairs of arms; those with the first arm come first."""
    pairs = list(combinations(range(ARMS), 2))
    values = np.empty((TESTS, len(pairs)))
    for test in range(TESTS):
        for column, (a, b) in enumerate(pairs):
            hits, missed = clicks[test, [a, b]], (shown - clicks)[test, [a, b]]
            values[test, column] = chi2_contingency([hits, missed], correction=False).pvalue
    return values
