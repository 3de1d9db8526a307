"""The metrics a plan may name: ratios of per-unit sums."""

import difflib
from collections.abc import Mapping

from experiments.core.errors import ExperimentError
from experiments.core.plan import CTR, Metric
from experiments.core.statistics.moments import UNITS

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        CTR,
        Metric("clicks-per-unit", "clicks"),
        Metric("conversion-rate", "conversions"),
        Metric("conversions-per-click", "conversions", "clicks"),
        Metric("revenue-per-unit", "value_micros"),
        Metric("revenue-per-mille", "value_micros", "impressions"),
        Metric("impressions-per-unit", "impressions", UNITS),
    )
}
"""By name. Money is in millionths of the reporting currency; pages scale it for people."""


def metric_named(name: str) -> Metric:
    """The metric of that name, or an error that lists what there is."""
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(METRICS)}"
    raise ExperimentError(f"there is no metric {name!r}: {advice}")
