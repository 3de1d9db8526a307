"""What platforms counted, as a table: plain sums, without an interval or lift that would look like a test."""

from typing import Any

from reports import numbers
from reports.measures import MICROS
from reports.model import CountedRow, ExperimentReport

TITLE = "Counted by the platforms, not randomised"
WARNING = (
    "Each platform chose who saw which style by what it expected of them, so a style may look better only because "
    "likelier people saw it: no winner can be called from these figures, and no verdict uses them."
)
BY_HAND = "files by hand"
"""Who counted where a file does not say."""


def counted(experiment: ExperimentReport) -> dict[str, Any] | None:
    """The table, formatted; None where nothing was counted."""
    if not experiment.counted:
        return None
    return {
        "title": TITLE,
        "warning": WARNING,
        "valued": any(row.value for row in experiment.counted),
        "rows": [_row(row) for row in experiment.counted],
    }


def _row(row: CountedRow) -> dict[str, str]:
    return {
        "arm": row.arm,
        "source": row.source or BY_HAND,
        "days": numbers.count(row.days),
        "period": numbers.days(row.first, row.last),
        "impressions": numbers.count(row.impressions),
        "clicks": numbers.count(row.clicks),
        "rate": numbers.percent(row.rate),
        "conversions": numbers.count(row.conversions),
        "value": money(row.value),
        "spend": money(row.spend),
    }


def money(sums: tuple[tuple[str | None, int], ...]) -> str:
    """``1,204.50 EUR``; what is in several currencies is not added up."""
    said = ("\N{NO-BREAK SPACE}".join(filter(None, (_amount(micros), currency))) for currency, micros in sums)
    return " + ".join(said) or numbers.UNKNOWN


def _amount(micros: int) -> str:
    return numbers.fixed(micros / MICROS, 2)
