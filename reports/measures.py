"""How a metric is named and its values are written: a rate in percent, money in whole currency units, or a mean."""

from reports.model import MetricView
from reports.numbers import UNKNOWN, fixed, known, percent, plain, significant

NUMERATORS = {"clicks": "clicks", "conversions": "conversions", "impressions": "impressions", "value_micros": "revenue"}
DENOMINATORS = {"clicks": "click", "conversions": "conversion", "impressions": "impression"}
SHARES = {
    ("clicks", "impressions"),
    ("conversions", "clicks"),
    ("conversions", "units"),
    ("conversions", "impressions"),
}
"""Ratios that people call rates and read in percent."""

TITLES = {
    ("clicks", "impressions"): "Click rate",
    ("conversions", "clicks"): "Conversions per click",
    ("conversions", "units"): "Conversion rate",
    ("value_micros", "impressions"): "Revenue per 1,000 impressions",
}
MICROS = 1_000_000


def is_share(metric: MetricView) -> bool:
    """Whether values are written in percent."""
    return (metric.numerator, metric.denominator) in SHARES


def numerator(metric: MetricView) -> str:
    """``clicks``, ``conversions``, ``revenue`` ..."""
    return NUMERATORS.get(metric.numerator, metric.numerator.replace("_", " "))


def denominator(metric: MetricView, unit: str) -> str:
    """In the singular: ``impression``, or what was randomised (``user``)."""
    return unit if metric.denominator == "units" else DENOMINATORS.get(metric.denominator, metric.denominator)


def per(metric: MetricView, unit: str) -> str:
    """``clicks per impression``, ``revenue per 1,000 impressions``."""
    if (metric.numerator, metric.denominator) == ("value_micros", "impressions"):
        return "revenue per 1,000 impressions"
    return f"{numerator(metric)} per {denominator(metric, unit)}"


def title(metric: MetricView, unit: str) -> str:
    """The metric's name as a heading: ``Click rate``."""
    text = TITLES.get((metric.numerator, metric.denominator), per(metric, unit))
    return text[0].upper() + text[1:]


def _scaled(metric: MetricView, value: float) -> float:
    if metric.numerator != "value_micros":
        return value
    return value / MICROS * (1000 if metric.denominator == "impressions" else 1)


def total(metric: MetricView, value: float) -> str:
    """A sum of the numerator; money with two decimals."""
    return fixed(value / MICROS, 2) if metric.numerator == "value_micros" else fixed(value, 0)


def level(metric: MetricView, value: float | None) -> str:
    """A value of the metric: ``3.12 %``, or a mean to three significant digits."""
    if not known(value):
        return UNKNOWN
    return percent(value) if is_share(metric) else plain(_scaled(metric, value))


def difference(metric: MetricView, value: float | None) -> str:
    """A difference of two values of the metric: ``0.42 points`` (percentage points), or a mean."""
    if not known(value):
        return UNKNOWN
    if not is_share(metric):
        return plain(_scaled(metric, value))
    points = value * 100
    return f"{fixed(points, min(3, significant(points, 2)))} points"


def risk(metric: MetricView, value: float | None) -> str:
    """An expected loss: a difference, where a tiny one is not called nothing."""
    if known(value) and is_share(metric) and value * 100 < 0.001:
        return "below 0.001 points"
    if known(value) and not is_share(metric) and _scaled(metric, value) < 0.001:
        return "below 0.001"
    return difference(metric, value)
