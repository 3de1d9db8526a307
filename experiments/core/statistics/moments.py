"""Moments that add: everything a comparison needs to know of a set of units.

A unit is what was randomised. Its outcomes are first summed per unit; the moments are sums over units of those sums and
of their products, so disjoint sets of units (shards, devices, hash ranges) merge with ``+``. Sets that share units do
not: a person seen on Monday and on Tuesday is one unit, so accumulate per unit *to date* before taking moments.

Integers stay Python integers and therefore exact at any size.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Self

OUTCOMES: tuple[str, ...] = ("impressions", "clicks", "conversions", "value_micros")
"""What is summed for each unit; ``value_micros`` is money in millionths of the reporting currency."""

UNITS = "units"
"""As a numerator or denominator: each unit counts 1."""

PRODUCTS: tuple[tuple[str, str], ...] = tuple(combinations_with_replacement(OUTCOMES, 2))
"""The pairs whose products are summed, in storage order."""


@dataclass(frozen=True, slots=True)
class PairMoments:
    """Moments of one ratio metric over ``units`` units: numerator ``y``, denominator ``x``.

    ``y`` and ``x`` are sums over units, ``yy``, ``xx`` and ``xy`` sums of squares and of products.
    """

    units: int = 0
    y: int | float = 0
    x: int | float = 0
    yy: int | float = 0
    xx: int | float = 0
    xy: int | float = 0

    def __add__(self, other: "PairMoments") -> "PairMoments":
        return PairMoments(
            self.units + other.units,
            self.y + other.y,
            self.x + other.x,
            self.yy + other.yy,
            self.xx + other.xx,
            self.xy + other.xy,
        )

    @classmethod
    def of(cls, pairs: Iterable[tuple[int | float, int | float]]) -> Self:
        """Moments of units given as (numerator, denominator)."""
        units = y = x = yy = xx = xy = 0
        for numerator, denominator in pairs:
            units += 1
            y += numerator  # type: ignore[assignment]
            x += denominator  # type: ignore[assignment]
            yy += numerator * numerator  # type: ignore[assignment]
            xx += denominator * denominator  # type: ignore[assignment]
            xy += numerator * denominator  # type: ignore[assignment]
        return cls(units, y, x, yy, xx, xy)


@dataclass(frozen=True, slots=True)
class UnitMoments:
    """Moments of all outcomes of one arm: ``sums`` in the order of OUTCOMES, ``products`` in the order of PRODUCTS."""

    units: int = 0
    sums: tuple[int, ...] = (0,) * len(OUTCOMES)
    products: tuple[int, ...] = (0,) * len(PRODUCTS)

    def __add__(self, other: "UnitMoments") -> "UnitMoments":
        return UnitMoments(
            self.units + other.units,
            tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            tuple(a + b for a, b in zip(self.products, other.products, strict=True)),
        )

    def total(self, outcome: str) -> int:
        """The sum of one outcome over all units; ``units`` itself counts each unit once."""
        return self.units if outcome == UNITS else self.sums[OUTCOMES.index(outcome)]

    def product(self, left: str, right: str) -> int:
        """The sum over units of the product of two outcomes."""
        if UNITS in (left, right):
            return self.total(right if left == UNITS else left)
        ordered = (left, right) if OUTCOMES.index(left) <= OUTCOMES.index(right) else (right, left)
        return self.products[PRODUCTS.index(ordered)]

    def pair(self, numerator: str, denominator: str = UNITS) -> PairMoments:
        """The moments of one ratio metric."""
        return PairMoments(
            self.units,
            self.total(numerator),
            self.total(denominator),
            self.product(numerator, numerator),
            self.product(denominator, denominator),
            self.product(numerator, denominator),
        )
