"""Parquet as it is delivered: typed columns without loss, row group by row group, damage refused in one line."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.ingest import parquet
from experiments.ingest.feed import feeds, read_feed
from experiments.ingest.log import FileRefused

AT = datetime(2026, 11, 8, 12, 0, 0, 1, tzinfo=UTC)


@pytest.fixture
def deliver_table(tmp_path, ingest):
    """A table as a Parquet file into the lake."""

    def deliver_table(columns, name="impressions.parquet", changed=None, **how):
        path = tmp_path / name
        pq.write_table(pa.table(columns), path, **how)
        return ingest(path, **(changed or {}))

    return deliver_table


def whole(count=3, **columns):
    """Columns of good impressions; what is given replaces what is there."""
    made = {
        "Event ID": [f"i{number}" for number in range(count)],
        "ts": pa.array([AT + timedelta(seconds=number) for number in range(count)], pa.timestamp("us", "UTC")),
        "experiment": pa.array(["spring"] * count).dictionary_encode(),
        "arm": pa.array(["mosaic"] * count, pa.large_string()),
        "unit": [f"user-{number}" for number in range(count)],
    }
    return made | columns


def test_a_table_is_read_by_the_names_of_its_columns(deliver_table, stored, hasher):
    delivery = deliver_table(whole(propensity=[0.5, None, float("nan")], other=[[1], [2], [3]]), compression="zstd")
    assert (delivery.read, delivery.accepted, delivery.rejected) == (3, 3, {})
    rows = stored()
    assert [row["line"] for row in rows] == [1, 2, 3], "there is no header: the first row is the first"
    assert [row["ts"] for row in rows] == [AT + timedelta(seconds=number) for number in range(3)]
    assert [row["propensity"] for row in rows] == [0.5, None, None]
    assert rows[0]["unit"] == hasher.hashed("user-0")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (pa.array([2**62, None]), [str(2**62), ""]),
        (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
        (pa.array([123.0, 1.5, 1e300, float("nan"), None]), ["123", "1.5", "1e+300", "", ""]),
        (pa.array([49.9, 1234.56, 7.0, float("nan")], pa.float32()), ["49.9", "1234.56", "7", ""]),
        (pa.array([0.5, 2.0], pa.float16()), ["0.5", "2"]),
        (pa.array([Decimal("12.30"), Decimal("-0.01")]), ["12.30", "-0.01"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([date(2026, 11, 8)]), ["2026-11-08"]),
        (pa.array([1_000_000_000_001], pa.timestamp("us", "UTC")), ["1970-01-12 13:46:40.000001Z"]),
        (pa.array([1_794_139_200_000_000_999], pa.timestamp("ns", "Asia/Tokyo")), ["2026-11-08 12:00:00.000000Z"]),
        (pa.array([1_794_139_200], pa.timestamp("s")), ["2026-11-08 12:00:00.000000"]),
        (pa.array(["é", None, ""], pa.string_view()), ["é", "", ""]),
        (pa.array([b"abc"], pa.binary(3)), ["abc"]),
        (pa.array([bytes(15) + b"\1", None], pa.uuid()), ["00000000-0000-0000-0000-000000000001", ""]),
        (pa.nulls(1), [""]),
        (pa.array(["a", "b", None, "a"]).dictionary_encode(), ["a", "b", "", "a"]),
    ],
    ids=lambda each: str(each.type) if isinstance(each, pa.Array) else "",
)
def test_every_type_is_brought_to_text_without_loss(written, text):
    assert parquet._text(written) == (pa.array(text, pa.string()), {})


@pytest.mark.parametrize(("kind", "exact"), [(pa.float64(), 2**53), (pa.float32(), 2**24)])
@pytest.mark.parametrize("column", ["Event ID", "unit"])
def test_ids_that_floats_have_rounded_refuse_the_file(deliver_table, stored, column, kind, exact):
    """pandas makes floats of whole numbers as soon as one is missing, and then neighbours are one person."""
    with pytest.raises(FileRefused, match=rf"{column} holds ids as {kind}, which rounds numbers this large"):
        deliver_table(whole(2, **{column: pa.array([1.0, float(exact)], kind)}))
    assert stored() == []
    told = whole(3, **{column: pa.array([1.0, 2.0, float(exact - 1)], kind)})
    assert deliver_table(told, "impressions-2.parquet").accepted == 3


def test_ids_of_a_feed_are_no_rounded_floats_either(deliver_table, tmp_path):
    made = {
        "auction_id_64": [1, 2], "date_time": [int(AT.timestamp())] * 2, "user_id_64": pa.array([5e18, None]),
        "event_type": ["imp"] * 2, "creative_id": [31, 32], "pixel_id": [0, 0],
    }  # fmt: skip
    which = {"creativeid": {"31": ("spring", "mosaic"), "32": ("spring", "original")}}
    with pytest.raises(FileRefused, match="user_id_64 holds ids as double"):
        deliver_table(made, "standard_feed.parquet", {"feed": feeds(tmp_path)["xandr"], "trafficking": which})


def test_times_of_every_unit_are_the_same_moment(deliver_table, stored):
    nanos = int(AT.timestamp()) * 10**9
    columns = [
        pa.array([nanos // 10**9], pa.timestamp("s", "Europe/Berlin")),
        pa.array([nanos // 10**6], pa.timestamp("ms", "UTC")),
        pa.array([nanos], pa.timestamp("ns", "UTC")),
        pa.array([nanos // 10**3], pa.int64()),
        pa.array([nanos // 10**9], pa.int32()),
        pa.array([nanos / 10**9], pa.float64()),
        pa.array([f"{AT:%Y-%m-%dT%H:%M:%S}Z"]),
    ]
    for number, ts in enumerate(columns):
        made = whole(1, ts=ts) | {"Event ID": [f"i{number}"]}
        assert deliver_table(made, f"impressions-{number}.parquet").accepted == 1, ts.type
    assert {row["ts"] for row in stored()} == {AT.replace(microsecond=0)}


def test_a_time_without_a_zone_needs_a_declared_one(deliver_table, stored):
    naive = whole(1, ts=pa.array([AT.replace(tzinfo=None)], pa.timestamp("us")))
    assert deliver_table(naive).rejected == {"naive_timestamp": 1}
    told = deliver_table(naive, "impressions-2.parquet", {"zone": "Europe/Berlin"}, compression="gzip")
    assert told.accepted == 1
    assert stored()[0]["ts"] == AT - timedelta(hours=1)


def test_rows_that_cannot_be_taken_are_kept_as_text_without_units(deliver_table, stored, hasher, tmp_path):
    columns = whole(
        6,
        arm=["pencil", "mosaic", "mosaic", "mosaic", "mosaic", "mosaic"],
        ip=["192.0.2.7"] * 6,
        mail=["ann@example.org"] * 6,
    ) | {"Event ID": ["i0", None, "i2", "i3", "${ID}", "i5"]}
    units = [b"person-a", b"person-b", b"person\xffc", b"person\0d", b"person-e", b"person-f"]
    columns["unit"] = pa.array(units, pa.binary())
    delivery = deliver_table(columns)
    reasons = ["unknown_arm", "missing_event_id", "not_utf8", "nul_byte", "unexpanded_macro"]
    assert (delivery.read, delivery.accepted, delivery.rejected) == (6, 1, dict.fromkeys(sorted(reasons), 1))
    rejects = stored("rejects")
    assert {row["line"]: row["reason"] for row in rejects} == dict(enumerate(reasons, start=1))
    kept = json.loads(min(rejects, key=lambda row: row["line"])["text"])
    assert kept == {
        "Event ID": "i0", "ts": "2026-11-08 12:00:00.000001Z", "experiment": "spring", "arm": "pencil",
        "unit (hashed)": hasher.hashed("person-a"), "ip (hashed)": "192.0.2.0/24",
    }  # fmt: skip
    files = [path.read_bytes() for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    assert not [data for data in files for secret in (b"person", b"192.0.2.7") if secret in data]


def test_rows_are_numbered_over_row_groups_and_read_a_few_at_a_time(deliver_table, stored, monkeypatch):
    monkeypatch.setattr(parquet, "ROWS", 7)
    sizes = []
    real = parquet.Parquet.rows
    monkeypatch.setattr(
        parquet.Parquet, "rows", lambda self, block, *but: sizes.append(len(block)) or real(self, block, *but)
    )
    arms = ["mosaic"] * 95 + ["pencil"] + ["mosaic"] * 4
    delivery = deliver_table(whole(100, arm=arms), row_group_size=30)
    assert (delivery.read, delivery.accepted, delivery.rejected) == (100, 99, {"unknown_arm": 1})
    assert max(sizes) <= 7
    assert [row["line"] for row in stored("rejects")] == [96]
    assert {row["event_id"]: row["line"] for row in stored()} == {
        f"i{number}": number + 1 for number in range(100) if number != 95
    }


def test_the_same_events_in_parquet_and_in_csv_are_the_same_events(deliver, deliver_table, impressions, as_csv):
    events = impressions(5)
    deliver("impressions.csv", as_csv(events))
    columns = {name: [event[name] for event in events] for name in events[0]}
    again = deliver_table(columns)
    assert (again.accepted, again.duplicate) == (0, 5)


SHOP = """
name = "shop"
title = "A shop's events"
source = "https://intranet.example/logs"
checked_on = 2026-11-26

[[files]]
kind = "conversion"
names = ["shop-*"]
where = { event_name = ["purchase"] }
ignore = { event_name = "anything" }
columns = { event_id = "ecommerce.transaction_id", ts = "at", unit = "who", value = "ecommerce.paid" }
times = { unit = "us" }
"""


def test_a_mapping_reads_parquet_and_the_fields_of_structs(deliver_table, tmp_path, stored):
    (tmp_path / "shop.toml").write_text(SHOP)
    micros = int(AT.timestamp()) * 10**6
    columns = {
        "event_name": ["purchase", "view_item", "purchase"],
        "at": [micros, micros, micros // 1000],
        "who": [1, 2, 3],
        "ecommerce": [
            {"transaction_id": "t1", "paid": Decimal("12.30")}, None, {"transaction_id": "t2", "paid": None}
        ],
    }  # fmt: skip
    told = deliver_table(columns, "shop-1.parquet", {"feed": read_feed(tmp_path / "shop.toml")})
    assert (told.accepted, told.rejected) == (1, {"bad_timestamp": 1, "ignored_event_type": 1})
    (sale,) = stored("outcomes")
    assert (sale["event_id"], sale["value_micros"], sale["line"]) == ("t1", 12_300_000, 1)


def test_a_file_of_several_kinds_is_read_once_a_kind(tmp_path, ingest_all):
    click = SHOP.partition("[[files]]")[2].replace("purchase", "click").replace('"conversion"', '"click"')
    click = click.replace(', value = "ecommerce.paid"', "").replace("ecommerce.transaction_id", "at")
    (tmp_path / "shop.toml").write_text(SHOP + "[[files]]" + click)
    micros = int(AT.timestamp()) * 10**6
    names = ["purchase", "click", "view", "click"]
    columns = {"event_name": names, "at": [micros, micros, micros, micros + 1], "who": ["a", "b", "c", "d"]}
    columns["ecommerce"] = [{"transaction_id": "t1", "paid": 1.5}, None, None, None]
    pq.write_table(pa.table(columns), tmp_path / "shop-1.parquet")
    found = ingest_all(tmp_path / "shop-1.parquet", feed=read_feed(tmp_path / "shop.toml"))
    assert {kind: (each.read, each.accepted, each.rejected) for kind, each in found.items()} == {
        "conversion": (2, 1, {"ignored_event_type": 1}), "click": (2, 2, {})
    }  # fmt: skip


def test_a_file_without_rows_is_an_empty_delivery(deliver_table):
    columns = {name: pa.array([], pa.string()) for name in ("event_id", "ts", "experiment", "arm", "unit")}
    assert deliver_table(columns).read == 0


def test_what_is_damaged_is_refused_in_one_line(tmp_path, ingest, stored, register):
    path = tmp_path / "impressions.parquet"
    pq.write_table(pa.table(whole(5000)), path, row_group_size=1000, compression="snappy")
    data = path.read_bytes()
    middle = len(data) // 2
    damaged = {
        "cut": data[:middle],
        "short": data[:-1],
        "magic": b"PAR1",
        "footer": data[:-20] + b"\xff" * 12 + data[-8:],
        "pages": data[:middle] + b"\xff" * 300 + data[middle + 300 :],
    }
    for name, content in damaged.items():
        path.write_bytes(content)
        with pytest.raises(FileRefused, match="cut or damaged Parquet: deliver it again") as refusal:
            ingest(path)
        assert "\n" not in str(refusal.value), name
    assert (stored(), dict(register)) == ([], {})


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "impressions.parquet",
            {"unit": [["a"], ["b"], ["c"]]},
            r"unit holds list.*, which is no text, number or time",
        ),
        ("impressions.parquet", {"eventid": ["a", "b", "c"]}, "has event_id more than once"),
        ("impressions.parquet", {"ts": None}, "lacks ts for impressions"),
    ],
)
def test_what_no_event_can_do_with_is_refused(deliver_table, name, change, said):
    columns = {key: value for key, value in whole(**change).items() if value is not None}
    with pytest.raises(FileRefused, match=said):
        deliver_table(columns, name)


def test_a_column_that_is_there_twice_is_refused(tmp_path, ingest):
    path = tmp_path / "impressions.parquet"
    one = pa.array(["x"])
    pq.write_table(pa.Table.from_arrays([one, one], names=["note", "note"]), path)
    with pytest.raises(FileRefused, match="has note more than once"):
        ingest(path)


def test_parquet_that_was_packed_once_more_is_refused(tmp_path, ingest):
    path = tmp_path / "impressions.parquet.gz"
    pq.write_table(pa.table(whole()), tmp_path / "plain.parquet")
    path.write_bytes(gzip.compress((tmp_path / "plain.parquet").read_bytes()))
    with pytest.raises(FileRefused, match="is Parquet that was packed once more"):
        ingest(path)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, ingest, stored, register):
    path = tmp_path / "impressions.parquet"
    pq.write_table(pa.table(whole(10)), path)

    def grow(_done, _of):
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(FileRefused, match="was written to while it was read"):
        ingest(path, progress=grow)
    assert (stored(), dict(register)) == ([], {})
