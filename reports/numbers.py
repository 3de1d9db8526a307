"""Numbers and dates as people read them: sensible digits, thousands separators, UTC, and never a NaN."""

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TypeGuard

from reports.errors import ReportError

UNKNOWN = "not known"
"""What stands where a number does not exist."""

MINUS = "−"

# Not strftime: its names follow the process's locale, and the same model must give the same page.
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to show."""
    return value is not None and math.isfinite(value)


def fixed(value: float, digits: int) -> str:
    """A number with thousands separators, a real minus sign and no negative zero."""
    text = f"{abs(value):,.{digits}f}"
    return f"{MINUS}{text}" if value < 0 and any(c in "123456789" for c in text) else text


def significant(value: float, digits: int = 3, most: int = 6) -> int:
    """How many decimals show ``digits`` significant digits of a value, at most ``most``."""
    if value == 0:
        return 0
    return min(most, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def count(value: float | None, digits: int = 0) -> str:
    """A count: ``12,480``; a mean of counts may have decimals."""
    return fixed(value, digits) if known(value) else UNKNOWN


def plain(value: float | None) -> str:
    """A number without a unit, to three significant digits."""
    return fixed(value, significant(value)) if known(value) else UNKNOWN


def percent(share: float | None) -> str:
    """A share as a percentage to three significant digits: 0.0312 is ``3.12 %``."""
    return f"{fixed(share * 100, min(4, significant(share * 100)))} %" if known(share) else UNKNOWN


def limit(share: float | None) -> str:
    """A share that people set, without needless zeros: 0.05 is ``5 %``."""
    return f"{share * 100:.6g} %" if known(share) else UNKNOWN


def change(share: float | None) -> str:
    """The size of a relative change, for sentences: 0.182 is ``18.2 %``; the sign is kept where negative."""
    if not known(share):
        return UNKNOWN
    size = abs(share)
    return f"{fixed(share * 100, 0 if size >= 1 else 1 if size >= 0.001 or size == 0 else 2)} %"


def signed(text: str) -> str:
    """A plus sign in front of a formatted number above zero."""
    shows_a_gain = text[0].isdigit() and any(c in "123456789" for c in text)
    return f"+{text}" if shows_a_gain else text


def probability(value: float | None) -> str:
    """A probability for a table of chances: whole percents, and never a false 0 or 100."""
    if not known(value):
        return UNKNOWN
    if value < 0.005:
        return "below 1 %"
    return "above 99 %" if value > 0.995 else f"{fixed(value * 100, 0)} %"


def p_value(p: float | None) -> str:
    """A p-value: ``below 0.0001``, ``0.0021``, ``0.034``, ``0.42``."""
    if not known(p):
        return UNKNOWN
    if p < 0.0001:
        return "below 0.0001"
    if p > 0.99:
        return "above 0.99"
    text = f"{p:.{min(4, significant(p, 2))}f}"
    return text.rstrip("0") if p < 0.01 else text


def p_phrase(p: float | None) -> str:
    """A p-value inside a sentence: ``p = 0.0021``, ``p below 0.0001``."""
    text = p_value(p)
    return f"p = {text}" if text[0].isdigit() else f"p {text}"


def size(octets: int) -> str:
    """A file's weight: ``48 KB`` (1 KB is 1,000 bytes, as ad platforms count)."""
    return f"{fixed(octets / 1000, 0)} KB" if octets >= 1000 else f"{octets} bytes"


def day(value: date) -> str:
    """``16 November 2026``."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def short_day(value: date) -> str:
    """``16 Nov 2026``."""
    return f"{value.day} {MONTHS[value.month - 1][:3]} {value.year}"


def short_days(values: Iterable[date]) -> list[str]:
    """``30 Dec 2026``, ``31 Dec``, ``1 Jan 2027``: days in their order, the year with the first of each."""
    said, year = [], None
    for value in values:
        said.append(short_day(value) if value.year != year else short_day(value).rpartition(" ")[0])
        year = value.year
    return said


def days(start: date, end: date) -> str:
    """``16 to 22 November 2026``, saying no month or year twice."""
    if start == end:
        return day(end)
    if (start.year, start.month) == (end.year, end.month):
        return f"{start.day} to {day(end)}"
    if start.year == end.year:
        return f"{start.day} {MONTHS[start.month - 1]} to {day(end)}"
    return f"{day(start)} to {day(end)}"


def utc(value: datetime) -> datetime:
    """The instant in UTC; a naive one is refused, because nobody knows when it was."""
    if value.tzinfo is None:
        raise ReportError(f"the report holds an instant without a time zone: {value.isoformat()}; give it in UTC")
    return value.astimezone(UTC)


def instant(value: datetime) -> str:
    """``23 November 2026, 00:05 UTC``."""
    value = utc(value)
    return f"{day(value.date())}, {value:%H:%M} UTC"
