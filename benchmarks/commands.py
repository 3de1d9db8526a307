"""The commands a newcomer waits for: help and the demo, whole processes."""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.clock import timed
from benchmarks.table import Table

WARM_RUNS = 5


def measure() -> Table:
    """Help is warmed up once and run five times; the demo tells its story from nothing to the last report."""
    with TemporaryDirectory() as folder:
        here = Path(folder)
        timed("--help", cwd=here)
        helps = [timed("--help", cwd=here) for _ in range(WARM_RUNS)]
        demo = timed("demo", cwd=here)
    return Table(
        "Commands, whole processes",
        ("command", "seconds", "peak memory"),
        (
            ("`adstyle --help` (median of five)", *_figures(median(run.seconds for run in helps), helps[0].peak_mib)),
            ("`adstyle demo`", *_figures(demo.seconds, demo.peak_mib)),
        ),
    )


def _figures(seconds: float, peak: float) -> tuple[str, str]:
    return f"{seconds:.2f}", f"{peak:,.0f} MiB"
