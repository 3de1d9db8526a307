"""What a delivered adjustment means, as the lake has it: a value below zero refunds, any other restates, none retracts.

A row that names a conversion in ``adjusts`` says with ``action`` and ``value`` what becomes of it:

=========== ============== ==================================================
action      value          meaning
=========== ============== ==================================================
refund      either sign    so much was paid back
any other   below zero     so much was paid back
restate     zero or more   this is the value now
retract     any or none    the conversion never was one
any or none none           the same; but ``restate`` needs a value
=========== ============== ==================================================

Anything else is not clear enough for money: above all a plain positive value, which one feed means as a refund and
another as a new value. A row that names none, with one of these actions, is neither an adjustment nor a conversion.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_MEANINGS = {
    "refund": "refund",
    "retract": "retract",
    "retraction": "retract",
    "restate": "restate",
    "restatement": "restate",
}
"""What actions say, whatever their case."""


def adjusting(
    values: pa.Array, actions: pa.Array | None, adjusts: NDArray[np.bool_]
) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Amounts as the lake has them, and which rows are adjustments that are not clear. Other rows stay as they are."""
    if not adjusts.any():
        return values, adjusts
    said = _said(actions, len(values))
    known, amounts = pc.is_valid(values).to_numpy(zero_copy_only=False), pc.fill_null(values, 0).to_numpy()
    retract = (said == "retract") | (~known & (said != "restate"))
    refund = ~retract & (((said == "refund") & (amounts != 0)) | ((said == "") & (amounts < 0)))
    restate = (said == "restate") & known & (amounts >= 0)
    meant = pa.array(np.where(refund, -np.abs(amounts), amounts), mask=retract)
    return pc.if_else(pa.array(adjusts), meant, values), adjusts & ~(retract | refund | restate)


def adjustments(actions: pa.Array | None, count: int) -> NDArray[np.bool_]:
    """Which rows say by their action that they adjust, whether or not they say what: they are no conversions."""
    found: NDArray[np.bool_] = _said(actions, count) != ""
    return found


def _said(actions: pa.Array | None, count: int) -> NDArray[np.str_]:
    """Of each row what its action means for an adjustment; nothing where it is another word."""
    if actions is None:
        return np.full(count, "")
    encoded = actions.dictionary_encode()
    meanings = [_MEANINGS.get((text or "").lower(), "") for text in encoded.dictionary.to_pylist()]
    return np.array([*meanings, ""])[encoded.indices.fill_null(len(meanings)).to_numpy()]
