"""Reading one value: times, money and probabilities, strictly; what is not clearly right is rejected by name."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Before it, seconds and milliseconds could not be told apart; and there were no such logs."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ]\d\d:\d\d(?::\d\d)?)?", re.ASCII)
_WHOLE = re.compile(r"(-?\d{1,18})(?:\.0*)?", re.ASCII)
_EPOCH_NUMBER = re.compile(r"(\d{9,19})(?:\.(\d+))?", re.ASCII)
_EPOCH_DIGITS = ((11, 1_000_000), (14, 1_000), (17, 1))
"""An epoch of at most so many digits counts units of so many microseconds; longer ones are nanoseconds."""
MACRO = r"%%[^%]*%%|\$\{[^}]*\}|\{\{[^}]*\}\}|\[[A-Z][A-Z0-9_]*\]|__[A-Z][A-Z0-9_]*__"
_MACRO = re.compile(MACRO, re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
"""What Python takes for one is more: ``1_000``, and digits of other scripts."""
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_MICROS = Decimal(1_000_000)
_LARGEST_AMOUNT = Decimal(2**63 - 1) / _MICROS


class Rejected(Exception):
    """A line that cannot be taken; ``reason`` is its code in the delivery's account."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


_EARLIEST_MICROS = micros(EARLIEST)


def timestamp(text: str, latest: int) -> int:
    """Microseconds since 1970 of RFC 3339 text with an offset, or of an epoch in s, ms, µs or ns by its magnitude.

    Raises:
        Rejected: bad_timestamp, naive_timestamp (no offset) or future_timestamp (after ``latest``, microseconds).
    """
    if shape := _RFC_3339.fullmatch(text):
        if shape[1] is None:
            raise Rejected("naive_timestamp")
        try:
            moment = micros(datetime.fromisoformat(text.upper()))
        except ValueError:
            raise Rejected("bad_timestamp") from None
    elif number := _EPOCH_NUMBER.fullmatch(text):
        moment = _epoch(number[1], number[2] or "")
    else:
        raise Rejected("bad_timestamp")
    if moment < _EARLIEST_MICROS:
        raise Rejected("bad_timestamp")
    if moment > latest:
        raise Rejected("future_timestamp")
    return moment


def _epoch(whole: str, fraction: str) -> int:
    for digits, unit in _EPOCH_DIGITS:
        if len(whole) <= digits:
            return int(whole) * unit + int((fraction[:6] or "0").ljust(6, "0")) * unit // 1_000_000
    return int(whole) // 1_000


def day(text: str, latest: int) -> int | None:
    """Days since 1970 of a date (ISO 8601), whatever time of day stands behind it; None where there is none.

    Raises:
        Rejected: bad_timestamp, or future_timestamp (after the day of ``latest``, microseconds).
    """
    if not text:
        return None
    shape = _DAY.fullmatch(text)
    try:
        found = date.fromisoformat(shape[1]) if shape else None
    except ValueError:
        found = None
    if found is None or found < EARLIEST.date():
        raise Rejected("bad_timestamp")
    if found > (_EPOCH + latest * _MICROSECOND).date():
        raise Rejected("future_timestamp")
    return (found - _EPOCH.date()).days


def whole(text: str) -> int | None:
    """A count; None where there is none.

    Raises:
        Rejected: bad_value (a fraction, a separator, more than 18 digits) or negative_value.
    """
    if not text:
        return None
    shape = _WHOLE.fullmatch(text)
    if shape is None:
        raise Rejected("bad_value")
    number = int(shape[1])
    if number < 0:
        raise Rejected("negative_value")
    return number


def value_micros(text: str) -> int | None:
    """Money in millionths, to the nearest one; None where there is none.

    Raises:
        Rejected: bad_value or negative_value.
    """
    found = amount_micros(text)
    if found is not None and found < 0:
        raise Rejected("negative_value")
    return found


def amount_micros(text: str) -> int | None:
    """The same, below zero where it was paid back.

    Raises:
        Rejected: bad_value; negative_value where less than half a millionth was paid back.
    """
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise Rejected("bad_value")
    try:
        amount = Decimal(text)
        if amount.copy_abs() > _LARGEST_AMOUNT:
            raise Rejected("bad_value")
        found = round(amount * _MICROS)
        if amount < 0 and not found:
            raise Rejected("negative_value")  # so little that its sign would be lost
        return found
    except InvalidOperation:
        raise Rejected("bad_value") from None


def probability(text: str) -> float | None:
    """A number in (0, 1]; None where there is none.

    Raises:
        Rejected: bad_value.
    """
    if not text:
        return None
    share = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not 0 < share <= 1:
        raise Rejected("bad_value")
    return share


def currency(text: str) -> str | None:
    """A three-letter code (ISO 4217) in capitals; None where there is none.

    Raises:
        Rejected: bad_value.
    """
    if not text:
        return None
    if not _CURRENCY.fullmatch(text):
        raise Rejected("bad_value")
    return text.upper()


def present(text: str, reason: str) -> str:
    """``text`` itself.

    Raises:
        Rejected: ``reason`` where it is empty.
    """
    if not text:
        raise Rejected(reason)
    return text


def has_macro(text: str) -> bool:
    """True for a macro the ad server did not expand: ``%%ARM%%``, ``${ARM}``, ``{{arm}}``, ``[ARM]``, ``__ARM__``."""
    return _MACRO.fullmatch(text) is not None


def may_have_macros(text: str) -> bool:
    """False for text in which no value can be an unexpanded macro."""
    return _MACRO.search(text) is not None
