"""Refunds and corrections as they are delivered: what each line means, and which are not clear."""

import json
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.ingest.adjusting import adjusting, adjustments
from experiments.ingest.feed import read_feed
from experiments.ingest.log import FileRefused

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
    assert delivery.rejected == {"unclear_adjustment": 2, "adjusts_nothing": 1, "unexpanded_macro": 1}
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


REFUNDS = [
    {"event_id": "a1", "ts": "2026-11-08T01:00:00Z", "adjusts": "v1", "action": "refund", "value": "5"},
    {"event_id": "a2", "ts": "2026-11-08T02:00:00Z", "adjusts": "v2", "action": "", "value": "-7.5"},
    {"event_id": "a3", "ts": "2026-11-08T03:00:00Z", "adjusts": "", "action": "refund", "value": "5"},
    {"event_id": "a4", "ts": "2026-11-08T04:00:00Z", "adjusts": "", "action": "", "value": "5"},
    {"event_id": "a5", "ts": "2026-11-08T05:00:00Z", "adjusts": "v3", "action": "retract", "value": ""},
]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_shops_refunds_name_orders_and_no_unit(tmp_path, ingest, stored, as_csv, form):
    path = tmp_path / f"refunds.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(REFUNDS), path)
    else:
        path.write_text(as_csv(REFUNDS) if form == "csv" else "".join(json.dumps(row) + "\n" for row in REFUNDS))
    delivery = ingest(path)
    assert (delivery.kind, delivery.accepted) == ("conversion", 3)
    assert delivery.rejected == {"adjusts_nothing": 1, "missing_unit": 1}, "neither is a conversion of 5"
    assert [(row["event_id"], row["unit"], row["value_micros"]) for row in stored("outcomes")] == [
        ("a1", None, -5_000_000), ("a2", None, -7_500_000), ("a5", None, None)
    ]  # fmt: skip
    assert ingest(path).replay


def test_a_unit_that_a_refund_names_is_kept_as_ever(deliver, stored, hasher):
    lines = [
        "event_id,ts,unit,adjusts,value",
        *(f"a{n},2026-11-08T01:00:00Z,{u},v{n},-1" for n, u in enumerate(["u", ""])),
    ]
    assert deliver("conversions.csv", "\n".join(lines) + "\n").accepted == 2
    assert [row["unit"] for row in stored("outcomes")] == [hasher.hashed("u"), None]


def test_conversions_need_a_unit_as_ever(deliver, as_csv):
    rows = [{key: value for key, value in row.items() if key != "adjusts"} for row in REFUNDS]
    with pytest.raises(FileRefused, match="lacks unit for conversions"):
        deliver("conversions.csv", as_csv(rows))


SHOP = """
name = "books"
title = "A shop's books"
source = "https://intranet.example/books"
checked_on = 2026-11-26

[[files]]
kind = "conversion"
names = ["books-*"]
columns = { event_id = "nr", ts = "at", unit = "customer", adjusts = "order", value = "amount" }
constants = { action = "refund" }
"""


def test_a_mapping_of_refunds_needs_no_unit_either(tmp_path, deliver, stored, hasher):
    path = tmp_path / "books.toml"
    path.write_text(SHOP)
    feed, at = read_feed(path), "2026-11-08T01:00:00Z"
    told = deliver("books-1.csv", f"nr,at,order,amount\nr1,{at},v1,5\nr2,{at},,5\n", feed=feed)
    assert (told.accepted, told.rejected) == (1, {"adjusts_nothing": 1})
    deliver("books-2.csv", f"nr,at,order,amount,customer\nr3,{at},v1,6,ann\n", feed=feed)
    assert [(row["adjusts"], row["value_micros"], row["unit"]) for row in stored("outcomes")] == [
        ("v1", -5_000_000, None), ("v1", -6_000_000, hasher.hashed("ann"))
    ]  # fmt: skip
    with pytest.raises(FileRefused, match="lacks customer, which is the unit of conversions"):
        deliver("books-3.csv", f"nr,at,amount\nr4,{at},5\n", feed=feed)


def test_actions_say_what_adjusts_whatever_their_case():
    said = pa.array(ACTIONS)
    assert adjustments(said, len(ACTIONS)).tolist() == [each not in ("", "purchase") for each in ACTIONS]
    assert adjustments(None, 3).tolist() == [False] * 3
