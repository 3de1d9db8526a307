"""What a rejected line shows of people, so that it can be repaired and judged again without anyone knowing them.

Units stand there as their hashes and addresses as networks, under columns whose names say so: ``unit (hashed)``. A file
with such columns is taken as it is, its units are not hashed once more. Where the unit key was changed they are hashed
under several keys, and a file says how many: ``unit (hashed 2 times)``. What was no unit must not become one by being
hashed: values that stand for none are kept as they came, and placeholders and broken text as what stays rejected.
"""

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from experiments.events.numbers import DIGITS
from experiments.ingest.hashing import HashedUnits, network_of
from experiments.ingest.values import has_macro

REASON_COLUMN = "reject_reason"
"""The first column of exported rejects; who reads them again passes it over."""
OF_A_UNIT = "[OF_A_UNIT]"
"""In place of an id that is made of a unit: from the unit's hash it cannot be had."""
_HASHED_NAME = re.compile(r"(.+?)\s*\(hashed(?:\s+(\d{1,9})\s+times)?\)\s*", re.IGNORECASE | re.DOTALL)
_HASH = re.compile(rf"[0-9a-f]{{{DIGITS}}}", re.IGNORECASE | re.ASCII)
SPACE = " \t\n\v\f\r"
"""What Arrow trims: a unit must be the same text wherever it is read."""
_A_MACRO = "[UNEXPANDED]"
_NO_HASH = "?"


def without_suffix(name: str) -> str | None:
    """``unit`` of ``unit (hashed)``; None for names that do not end so."""
    found = _HASHED_NAME.fullmatch(name)
    return found[1] if found else None


def with_suffix(name: str, layers: int = 1) -> str:
    """``unit (hashed)`` of ``unit``; of one that is hashed under several keys it says how many."""
    return f"{name} (hashed)" if layers == 1 else f"{name} (hashed {layers} times)"


def layers_in(names: Iterable[str]) -> frozenset[int]:
    """Under how many keys the units in such columns are hashed."""
    found = map(_HASHED_NAME.fullmatch, names)
    return frozenset(int(each[2] or 1) for each in found if each)


def is_hash(value: object) -> bool:
    """Whether it is a unit's."""
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def masked_unit(value: str, units: HashedUnits, nothing: frozenset[str], *, hashed: bool) -> str:
    """A unit, or what stands in its place, as it may be kept; ``nothing`` are values that stand for none."""
    if not value or value in nothing:
        return value
    if hashed:
        return value.lower() if is_hash(value) else _NO_HASH
    if has_macro(value):
        return _A_MACRO
    if "\0" in value or "\N{REPLACEMENT CHARACTER}" in value:
        return _NO_HASH
    return units[value]


def masked_address(value: str, units: HashedUnits) -> str:
    """An address's network; a hash of what is no address."""
    return (network_of(value) or units[value]) if value else ""


def kept(name: str | None, value: str, units: HashedUnits, nothing: frozenset[str], *, hashed: bool) -> str:
    """A value as it may be kept; nothing of what stands under a name that is not ours."""
    if name is None:
        return ""
    if name == "unit":
        return masked_unit(value, units, nothing, hashed=hashed)
    return masked_address(value, units) if name == "ip" else value


def are_hashes(column: pa.Array) -> pa.Array:
    """Which values of a column are hashes of units."""
    return pc.match_substring_regex(column, f"^[0-9a-fA-F]{{{DIGITS}}}$")
