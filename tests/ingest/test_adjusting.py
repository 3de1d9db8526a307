"""Refunds and corrections as they are delivered: what each line means, and which are not clear."""

from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from experiments.ingest.adjusting import adjusting

VALUES = (None, -7, 0, 7)
ACTIONS = ("", "purchase", "refund", "Retract", "RETRACTION", "restate", "Restatement")


def meaning(action, value):
    """By the table in the module's words: the value the lake has, or "unclear"."""
    action = action.lower()
    if action.startswith("retract"):
        return None
    if value is None:
        return "unclear" if action.startswith("restate") else None
    if action.startswith("restate"):
        return value if value >= 0 else "unclear"
    if action == "refund":
        return -abs(value) if value else "unclear"
    return value if value < 0 else "unclear"


def test_every_action_with_every_value():
    cases = list(product(ACTIONS, VALUES))
    actions, values = (pa.array(each) for each in zip(*cases, strict=True))
    found, unclear = adjusting(values, actions, np.ones(len(cases), np.bool_))
    for (action, value), micros, odd in zip(cases, found.to_pylist(), unclear, strict=True):
        assert ("unclear" if odd else micros) == meaning(action, value), (action, value)


def test_rows_that_adjust_nothing_stay_as_they_are():
    values, actions = pa.array([5, 7, None, 0]), pa.array(["retract", "refund", "restate", "restate"])
    for adjusts in ([False] * 4, [False] * 3 + [True]):
        found, unclear = adjusting(values, actions, np.array(adjusts))
        assert (found.to_pylist(), unclear.any()) == ([5, 7, None, 0], False)


def test_adjustments_are_kept_with_what_they_adjust(deliver, stored):
    lines = [
        "event_id,ts,unit,adjusts,action,value",
        "v1,2026-11-08T00:00:00Z,u1,,purchase,20",
        "a1,2026-11-08T01:00:00Z,u1,v1,refund,5",
        "a2,2026-11-08T02:00:00Z,u1,v1,,-2.5",
        "a3,2026-11-08T03:00:00Z,u1,v1,restate,12",
        "a4,2026-11-08T04:00:00Z,u1,v1,retract,",
        "a5,2026-11-08T05:00:00Z,u1,v1,,5",
        "a6,2026-11-08T06:00:00Z,u1,v1,refund,0",
        "a7,2026-11-08T07:00:00Z,u1,,refund,-5",
        "a8,2026-11-08T08:00:00Z,u1,%%ORDER%%,refund,5",
    ]
    delivery = deliver("conversions.csv", "\n".join(lines) + "\n")
    assert delivery.rejected == {"unclear_adjustment": 2, "negative_value": 1, "unexpanded_macro": 1}
    assert [(row["event_id"], row["adjusts"], row["value_micros"]) for row in stored("outcomes")] == [
        ("a1", "v1", -5_000_000),
        ("a2", "v1", -2_500_000),
        ("a3", "v1", 12_000_000),
        ("a4", "v1", None),
        ("v1", None, 20_000_000),
    ]


@pytest.mark.parametrize("name", ["refunds.csv", "refunds.jsonl"])
def test_a_file_with_adjusts_is_one_of_conversions(deliver, stored, as_csv, as_jsonl, name):
    rows = [{"event_id": "a1", "ts": "2026-11-08T00:00:00Z", "unit": "u1", "adjusts": "v1"}]
    delivery = deliver(name, (as_csv if name.endswith("csv") else as_jsonl)(rows))
    assert (delivery.kind, delivery.accepted) == ("conversion", 1)
    assert stored("outcomes")[0]["adjusts"] == "v1"
