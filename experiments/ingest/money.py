"""Money in one reporting currency: what was paid in another is converted at ingest, by rates that the workspace gives.

A rate says how many units of the reporting currency one unit of another is worth, from a UTC date on until the next one
that is given. Amounts are whole millionths and rates are decimals, so that their product is exact before it is rounded
to the nearest millionth, halves to even: ``value_micros = paid_micros x rate``, which anybody can check in the lake.

What is converted stays as it was converted: later rates are for later lines, and for rejected ones that are replayed.
A platform's count that is delivered again is a later line: its day's money is converted anew.
"""

import csv
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError

COLUMNS = ("currency", "from", "rate")
NO_RATE = "no_rate"
"""Reject code of money in a currency without a rate, which follows after a colon: ``no_rate:SEK``."""
_EPOCH = date(1970, 1, 1)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DIGITS = 12
_RATE = re.compile(rf"\d{{1,{_DIGITS}}}(?:\.\d{{1,{_DIGITS}}})?", re.ASCII)
_RATES, _AMOUNTS = pa.decimal256(2 * _DIGITS, _DIGITS), pa.decimal256(19, 0)
"""Wide enough for every rate, and for every amount of 64 bits: the product of the two keeps all its digits."""
_LARGEST = Decimal(2**63 - 1)


@dataclass(frozen=True, slots=True)
class Converted:
    """Amounts in the reporting currency, where there is one; and of each row why it has none, if that is so."""

    micros: pa.Array
    reasons: Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Rates:
    """What other currencies are worth in the reporting one."""

    currency: str
    known: Mapping[str, tuple[Sequence[int], Sequence[Decimal]]]
    """By currency: days since 1970 from which a rate is in force, in order, and the rates."""

    def at(self, currency: str, day: int) -> Decimal | None:
        """The rate in force on a day since 1970; None before the first, and for a currency that has none."""
        if currency == self.currency:
            return Decimal(1)
        days, rates = self.known.get(currency, ((), ()))
        place = bisect_right(days, day) - 1
        return rates[place] if place >= 0 else None

    def convert(self, paid: pa.Array, currencies: pa.Array, days: NDArray[np.int64]) -> Converted:
        """Millionths of each row's currency, which is the reporting one where none is said, on the row's UTC day."""
        encoded = currencies.fill_null(self.currency).dictionary_encode()
        names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
        own = codes == (names.index(self.currency) if self.currency in names else -1)
        foreign = np.flatnonzero(~own & pc.is_valid(paid).to_numpy(zero_copy_only=False))
        if not len(foreign):
            return Converted(paid, {})
        # Each currency on each day is looked up once, however many rows it has.
        pairs, which = np.unique(days[foreign] * len(names) + codes[foreign], return_inverse=True)
        asked = [(names[pair % len(names)], pair // len(names)) for pair in pairs.tolist()]
        rates = [self.at(name, day) for name, day in asked]
        micros, too_large = _product(paid.take(pa.array(foreign)), pa.array(rates, _RATES).take(pa.array(which)))
        reasons = {"bad_value": _at(foreign, too_large, len(codes))} if too_large.any() else {}
        missing = [name if rate is None else "" for (name, _), rate in zip(asked, rates, strict=True)]
        for name in dict.fromkeys(filter(None, missing)):
            reasons[f"{NO_RATE}:{name}"] = _at(foreign, np.array([each == name for each in missing])[which], len(codes))
        where = np.zeros(len(codes), np.bool_)
        where[foreign] = True
        return Converted(pc.replace_with_mask(paid, pa.array(where), micros), reasons)


def read_rates(path: Path | None, currency: str) -> Rates:
    """``rates.csv``, checked; no currency but the reporting one has a rate where there is no such file.

    Raises:
        ExperimentError: for a file that is no such table, in one line with its place.
    """
    told: dict[str, dict[int, Decimal]] = {}
    for number, row in _rows(path) if path else ():
        where = f"{path}:{number}"
        if len(row) != len(COLUMNS):
            raise ExperimentError(
                f"{where}: has {len(row)} values; it is to have {', '.join(COLUMNS)}, as SEK,2026-01-01,0.088"
            )
        name, since, rate = row[0].upper(), _day(row[1], where), _rate(row[2], where)
        if not _CURRENCY.fullmatch(name):
            raise ExperimentError(f"{where}: {row[0]!r} is no currency: three letters, as SEK")
        if name == currency:
            raise ExperimentError(f"{where}: {name} is the reporting currency, which needs no rate: take the line out")
        if since in told.setdefault(name, {}):
            raise ExperimentError(f"{where}: {name} has a rate from {row[1]} already: keep one of the two")
        told[name][since] = rate
    in_order = {name: sorted(rates.items()) for name, rates in told.items()}
    return Rates(
        currency, {name: ([day for day, _ in each], [rate for _, rate in each]) for name, each in in_order.items()}
    )


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Lines below the header that say something, with their numbers."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ExperimentError(
            f"{path} is missing, which [money] in adstyle.toml names: make it, with the columns {', '.join(COLUMNS)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} cannot be read: {error}") from None
    reader = csv.reader(lines)
    try:
        rows = [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:
        raise ExperimentError(f"{path}:{reader.line_num}: {error}: is a quote left open?") from None
    if not rows or tuple(cell.lower() for cell in rows[0]) != COLUMNS:
        raise ExperimentError(f"{path}:1: has not the columns {', '.join(COLUMNS)}: begin it with that line")
    return [(number, row) for number, row in enumerate(rows[1:], start=2) if any(row)]


def _day(text: str, where: str) -> int:
    try:
        if _DATE.fullmatch(text):
            return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        pass
    raise ExperimentError(f"{where}: {text!r} is no date: write it as 2026-01-31")


def _rate(text: str, where: str) -> Decimal:
    if not _RATE.fullmatch(text) or not Decimal(text):
        raise ExperimentError(
            f"{where}: {text!r} is no rate: a number above 0 with a point, as 0.088, and at most {_DIGITS} decimals"
        )
    return Decimal(text)


def _product(paid: pa.Array, rates: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Rounded to whole millionths; nothing without a rate, nor where there are too many for 64 bits."""
    exact = pc.round(pc.multiply(paid.cast(_AMOUNTS), rates), 0, "half_to_even")
    too_large = pc.fill_null(pc.greater(pc.abs(exact), pa.scalar(_LARGEST, exact.type)), False)  # noqa: FBT003
    kept = pc.if_else(too_large, pa.scalar(None, exact.type), exact)
    return kept.cast(pa.int64()), too_large.to_numpy(zero_copy_only=False)


def _at(places: NDArray[np.intp], chosen: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    where = np.zeros(count, np.bool_)
    where[places[chosen]] = True
    return where
