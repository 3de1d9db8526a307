"""The mess of text files: each kind of it has a reason of its own, and costs its own line or refuses the file."""

import gzip
import json

import pyarrow as pa
import pytest

from experiments.ingest import log
from experiments.ingest.log import FileRefused
from reports.words import REJECTS

HEADER = "event_id,ts,experiment,arm,unit,country"
ROW = "i{0},2026-11-08T00:00:00Z,spring,mosaic,user-{0},"
BROKEN = {
    "ragged_row": [ROW.format(1) + ",x", "i1", '"i1', 'i1,"x"y,,,,', "i1,2026-11-08T00:00:00Z"],
    "whole_row_quoted": [
        f'"{ROW.format(1)}"',
        f'"{ROW.format(1)}NO"',
        '"' + ROW.format(1).replace("i1", '""i1""') + '"',
    ],
    "bad_timestamp": [
        ROW.format(1).replace("2026-11-08T00:00:00Z", ts)
        for ts in ("08/11/2026 00:00:00", "2026-11-31T00:00:00Z", "2026-11-08", "noon", "", "1999-12-31T00:00:00Z", "7")
    ],
    "naive_timestamp": [ROW.format(1).replace("Z", ""), ROW.format(1).replace("T", " ").replace("Z", "")],
    "future_timestamp": [ROW.format(1).replace("2026-11-08", "2026-11-11"), ROW.format(1).replace("2026", "2062")],
    "unknown_experiment": [ROW.format(1).replace("spring", "autumn"), ROW.format(1).replace("spring", "")],
    "unknown_arm": [ROW.format(1).replace("mosaic", "pencil"), ROW.format(1).replace("mosaic", "Mosaic")],
    "unexpanded_macro": [
        ROW.format(1).replace("user-1", macro) for macro in ("%%UID%%", "${UID}", "{{uid}}", "[UID]", "__UID__")
    ],
    "missing_unit": [ROW.format(1).replace("user-1", " ")],
    "missing_event_id": [ROW.format(1).replace("i1", "")],
    "nul_byte": [ROW.format(1).replace("mosaic", "mos\0aic"), "\0"],
}
"""By reason, lines that are rejected for it."""


def lines(*rows):
    return "\n".join([HEADER, *rows]) + "\n"


@pytest.mark.parametrize(("reason", "line"), [(reason, line) for reason, each in BROKEN.items() for line in each])
def test_a_broken_line_has_its_reason_and_costs_no_other(deliver, stored, reason, line):
    delivery = deliver("impressions.csv", lines(ROW.format(0), line, ROW.format(2)))
    assert (delivery.accepted, delivery.rejected) == (2, {reason: 1})
    (reject,) = stored("rejects")
    assert (reject["line"], reject["reason"]) == (3, reason)
    assert "user-1" not in reject["text"], "a unit is never kept"
    assert reason in REJECTS, "a reason has words"


@pytest.mark.parametrize("value", ["-0.01", "-1e-9", "-5"])
def test_a_negative_amount_is_rejected(deliver, value):
    text = f"event_id,ts,unit,value\nv1,2026-11-08T00:00:00Z,u,{value}\n"
    assert deliver("conversions.csv", text).rejected == {"negative_value": 1}


def test_a_row_that_was_quoted_whole_is_kept_as_it_should_have_been(deliver, stored, hasher):
    deliver("impressions.csv", lines(f'"{ROW.format(1)}NO"'))
    (reject,) = stored("rejects")
    assert reject["text"] == ROW.format(1).replace("user-1", hasher.hashed("user-1")) + "NO"


def test_where_every_row_is_quoted_whole_they_are_unwrapped(deliver, stored, hasher):
    row = ROW.format(1) + '""tab, the"", big'
    quoted = [f'"{each}"' for each in (HEADER, ROW.format(0), ROW.format(1) + '""Norway, the""', ROW.format(9))]
    text = "\n".join([*quoted, ROW.format(2), f'"{row}"', f'"{ROW.format(3).replace("mosaic", "x")}"']) + "\n"
    delivery = deliver("impressions.csv", text)
    assert (delivery.read, delivery.accepted) == (6, 3)
    assert delivery.rejected == {"ragged_row": 2, "unknown_arm": 1}
    assert [(row["event_id"], row["country"]) for row in stored()] == [
        ("i0", None),
        ("i1", "Norway, the"),
        ("i9", None),
    ]
    kept = {reject["line"]: reject["text"] for reject in stored("rejects")}
    assert kept[7] == ROW.format(3).replace("mosaic", "x").replace("user-3", hasher.hashed("user-3"))
    assert not any("user-" in text for text in kept.values())


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: pa.compress(data, "zstd", asbytes=True)])
def test_a_byte_order_mark_is_no_part_of_the_first_name(deliver, pack):
    text = ("\ufeff" + lines(ROW.format(0))).encode()
    assert deliver("impressions.log", pack(text), "impression").accepted == 1
    names = ("event_id", "ts", "experiment", "arm", "unit")
    event = dict(zip(names, ROW.format(1).split(","), strict=False))
    assert deliver("impressions.jsonl", pack(("\ufeff" + json.dumps(event) + "\n").encode())).accepted == 1


@pytest.mark.parametrize("block", [50, 90, 10_000])
def test_nor_of_the_first_value_where_files_were_put_together(deliver, stored, monkeypatch, block):
    """Wherever a block of the file begins: the same lines say the same events."""
    monkeypatch.setattr(log, "BLOCK_BYTES", block)
    text = lines(ROW.format(0), "\ufeff" + ROW.format(1), ROW.format(2), '\ufeff"i3"' + ROW.format(3)[2:], "\ufeff")
    assert deliver("impressions.csv", text).rejected == {"ragged_row": 1}
    assert sorted(event["event_id"] for event in stored("impressions")) == ["i0", "i1", "i2", "i3"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (("\ufeff" + lines(ROW.format(0))).encode("utf-16-le"), "is UTF-16 text: save or export it as UTF-8"),
        (("\ufeff" + lines(ROW.format(0))).encode("utf-16-be"), "is UTF-16 text: save or export it as UTF-8"),
        (gzip.compress(lines(ROW.format(0)).encode("utf-16")), "is UTF-16 text"),
        (lines(ROW.format(0)).encode("utf-16-le"), "has NUL bytes in its first line: it is no text, or UTF-16"),
        (lines(ROW.format(0)).replace("country", "pa\xefs").encode("latin-1"), "is not UTF-8 text: save or export it"),
        (b"PK\x03\x04" + bytes(40), "is a ZIP archive"),
        (b"BZh9" + bytes(40), "is packed by bzip2"),
        (b"\xfd7zXZ\x00" + bytes(40), "is packed by xz"),
        (b"Obj\x01" + bytes(40), "is Avro: deliver CSV, JSON lines or Parquet"),
        (b"PARE" + bytes(40), "is encrypted Parquet"),
        (b"", "is empty: it has not even a header line"),
        (b"\n\n\n", "is empty: it has not even a header line"),
        (HEADER.encode(), "has no whole header line of text: was it cut?"),
        (b'"event_id,ts\n' + ROW.format(0).encode() + b"\n", "has a header line that is no CSV"),
        (lines(ROW.format(0)).replace(",", "|").encode(), "lacks event_id, ts, experiment, arm, unit"),
    ],
)
def test_a_file_that_is_no_such_text_is_refused_in_one_line(deliver, stored, register, data, said):
    with pytest.raises(FileRefused, match=said.replace("?", r"\?")) as refusal:
        deliver("impressions.log", data, "impression")
    assert "\n" not in str(refusal.value)
    assert (stored(), stored("rejects"), dict(register)) == ([], [], {})


def test_bytes_of_another_encoding_cost_their_own_line(deliver, stored):
    data = lines(ROW.format(0), ROW.format(1) + "\u00d8sterreich", ROW.format(2)).encode("latin-1")
    delivery = deliver("impressions.csv", data)
    assert (delivery.accepted, delivery.rejected) == (2, {"not_utf8": 1})
    assert stored("rejects")[0]["line"] == 3
