"""Numbers as a file declares that it writes them: with a comma for decimals, and points between thousands."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Decimal = Literal[".", ","]
"""What stands before the decimals. What ``1.234`` means cannot be seen, so it is declared and not guessed."""
NUMBERS = ("impressions", "clicks", "conversions", "value", "spend", "propensity")
"""Our columns of numbers, where a kind has them."""
UNREADABLE = "?"
"""In place of a value that is not what its mapping says; no number and no day is written so."""
_WITH_COMMA = r"^[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?$"


def pointed(column: pa.Array) -> pa.Array:
    """``1.234,50`` as ``1234.50``: points may only stand before each three digits; all else is no number."""
    written = pc.match_substring_regex(column, _WITH_COMMA)
    text = pc.replace_substring(pc.replace_substring(column, ".", ""), ",", ".")
    return pc.if_else(written, text, pc.if_else(pc.equal(column, ""), "", UNREADABLE))
