"""Ad servers' own files, made to their published formats, through the shipped mappings; and mappings of one's own."""

import csv
import gzip
import io
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.core.errors import ExperimentError
from experiments.ingest.feed import SHEET, TRAFFICKING, feed_for, feeds, read_feed, read_trafficking
from experiments.ingest.log import FileRefused

CM360 = {
    "impression": (
        "Event Time,User ID,Null User ID Reason Groups,Advertiser ID,Campaign ID,Ad ID,Rendering ID,Creative Version,"
        "Site ID (CM360),Placement ID,Country Code,State/Region,Browser/Platform ID,Impression ID,Event Type,"
        "Event Sub-Type"
    ),
    "click": "Event Time,User ID,Advertiser ID,Ad ID,Rendering ID,Placement ID,Impression ID,Event Type,Event Sub-Type",
    "activity": (
        "Event Time,User ID,Floodlight Configuration,Activity ID,ORD Value,Total Conversions,Total Revenue,"
        "Conversion ID,Impression ID,Event Type,Event Sub-Type"
    ),
}
HOUR = "2026110801_20261108_024912_218211994.csv.gz"
NOON = 1_794_139_200_000_000
"""2026-11-08 12:00 UTC in microseconds."""
MEANT = {
    "renderingid": {"101": ("spring", "original"), "102": ("spring", "mosaic")},
    "adid": {"7": ("spring", "mosaic")},
}
GAM = (
    "Time,UserId,PublisherProvidedId,OrderId,LineItemId,CreativeId,CreativeSizeDelivered,AdUnitId,Country,"
    "ImpressionId,KeyPart,TimeUsec2,DeviceCategory"
)


def table(header, *rows):
    """CSV as the feed writes it; each row a dict."""
    names = next(csv.reader([header]))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.fixture
def fed(deliver):
    """A file of a feed into the lake."""

    def fed(name, header, *rows, feed="cm360", meant=MEANT, kind=None):
        return deliver(name, table(header, *rows), kind, feed=feeds()[feed], trafficking=meant)

    return fed


def cm360_impression(number, rendering="101", user="CAESE123", **changed):
    return {
        "Event Time": NOON + number, "User ID": user, "Rendering ID": rendering, "Ad ID": "9", "Placement ID": "55",
        "Country Code": "NO", "Impression ID": f"imp-{number}", "Event Type": "VIEW", **changed,
    }  # fmt: skip


def test_campaign_managers_impressions_are_of_the_arm_that_trafficking_says(fed, stored, hasher):
    delivery = fed(
        f"dcm_account1234_impression_{HOUR}",
        CM360["impression"],
        cm360_impression(1),
        cm360_impression(2, "102"),
        cm360_impression(3, "999", **{"Ad ID": "7"}),
        cm360_impression(4, "999"),
        cm360_impression(5, user="0", **{"Null User ID Reason Groups": "1"}),
    )
    assert (delivery.kind, delivery.read, delivery.accepted) == ("impression", 5, 3)
    assert delivery.rejected == {"missing_unit": 1, "unknown_creative": 1}
    rows = stored()
    assert [(row["event_id"], row["arm"], row["line"]) for row in rows] == [
        ("imp-1", "original", 2), ("imp-2", "mosaic", 3), ("imp-3", "mosaic", 4)
    ]  # fmt: skip
    assert rows[0]["ts"] == datetime(2026, 11, 8, 12, 0, 0, 1, tzinfo=UTC)
    assert (
        rows[0].items()
        >= {"unit": hasher.hashed("CAESE123"), "variant": "101", "placement": "55", "country": "NO"}.items()
    )


def test_campaign_managers_clicks_and_activities_join_by_impression(fed, stored, hasher):
    clicks = fed(
        f"dcm_account1234_click_{HOUR}",
        CM360["click"],
        {"Event Time": NOON + 9, "User ID": "0", "Impression ID": "imp-1", "Event Type": "CLICK"},
        {"Event Time": NOON + 9, "User ID": "0", "Impression ID": "0", "Event Type": "CLICK"},
    )
    assert (clicks.accepted, clicks.rejected) == (1, {"missing_reference": 1})
    bought = fed(
        f"dcm_floodlight88_activity_{HOUR}",
        CM360["activity"],
        {
            "Event Time": NOON + 20,
            "User ID": "CAESE123",
            "Activity ID": "31",
            "Conversion ID": "cv-1",
            "Total Revenue": "19.90",
        },
        {
            "Event Time": NOON + 21,
            "User ID": "CAESE123",
            "Activity ID": "31",
            "ORD Value": "4711",
            "Total Revenue": "-1",
        },
    )
    assert (bought.accepted, bought.rejected) == (1, {"negative_value": 1})
    click, sale = stored("outcomes")[::-1] if stored("outcomes")[0]["kind"] == "conversion" else stored("outcomes")
    assert (click["event_id"], click["impression_id"], click["unit"]) == (f"imp-1/{NOON + 9}", "imp-1", None)
    assert (sale["event_id"], sale["value_micros"], sale["action"]) == ("cv-1", 19_900_000, "31")
    assert sale["unit"] == hasher.hashed("CAESE123")


def test_ad_managers_impressions_are_told_apart_by_two_columns(fed, stored, hasher):
    meant = {"creativeid": {"5001": ("spring", "mosaic")}}
    row = {
        "UserId": "u9", "CreativeId": "5001", "CreativeSizeDelivered": "300x250", "AdUnitId": "77",
        "Country": "Norway", "ImpressionId": "AbC", "KeyPart": "1", "TimeUsec2": NOON, "DeviceCategory": "Desktop",
    }  # fmt: skip
    delivery = fed(
        "NetworkImpressions_4321_20261108_12.gz", GAM, row, row | {"KeyPart": "2"}, row, feed="gam", meant=meant
    )
    assert (delivery.accepted, delivery.duplicate) == (2, 1)
    assert [each["event_id"] for each in stored()] == ["AbC/1", "AbC/2"]
    assert stored()[0].items() >= {"slot": "300x250", "device": "Desktop", "unit": hasher.hashed("u9")}.items()
    late = fed("NetworkImpressions_4321_20261108_13.gz", GAM, row | {"KeyPart": "3"}, feed="gam", meant=meant)
    assert late.accepted == 1, "a row of the hour before in the next hour's file"
    clicked = {"ImpressionId": "AbC", "KeyPart": "2", "TimeUsec2": NOON + 5}
    click = fed("NetworkClicks_4321_20261108_12.gz", GAM, clicked, feed="gam", meant=meant)
    assert (click.kind, stored("outcomes")[0]["impression_id"]) == ("click", "AbC/2")
    empty = fed("NetworkClicks_4321_20261108_13.gz", GAM, feed="gam", meant=meant)
    assert (empty.read, empty.accepted) == (0, 0), "an hour without a click has only a header"


def test_rejected_lines_of_a_feed_hold_no_unit(fed, stored):
    fed(f"dcm_account1_impression_{HOUR}", CM360["impression"], cm360_impression(1, "999", user="somebody@example.org"))
    (reject,) = stored("rejects")
    assert reject["reason"] == "unknown_creative"
    assert "999" in reject["text"], "what trafficking.csv should have named"
    assert "somebody" not in reject["text"]


def test_a_file_without_what_events_need_is_refused_and_says_what(fed):
    with pytest.raises(FileRefused, match="lacks Impression ID, which is the event_id of impressions"):
        fed(f"dcm_account1_impression_{HOUR}", "Event Time,User ID,Rendering ID", {"Event Time": NOON})
    with pytest.raises(FileRefused, match=r"list values of Rendering ID, .*Placement ID in trafficking"):
        fed(f"dcm_account1_impression_{HOUR}", CM360["impression"], cm360_impression(1), meant={})
    with pytest.raises(FileRefused, match=r"is no file of Campaign Manager 360 .* say which kind with --kind"):
        fed("october.csv", CM360["impression"], cm360_impression(1))


@pytest.mark.parametrize(
    ("name", "feed"),
    [
        (f"dcm_account1234_impression_{HOUR}", "cm360"),
        (f"DCM_floodlight9_activity_{HOUR}", "cm360"),
        ("NetworkBackfillClicks_9_20261108_03.gz", "gam"),
        ("standard_feed_2026_11_08_12.csv.gz", "xandr"),
        ("events_20261108.parquet", "ga4"),
        ("events_intraday_20261108000000000000.json.gz", "ga4"),
        ("events_of_ours.csv", None),
        ("impressions-2026-11-08.csv", None),
    ],
)
def test_a_feed_is_known_by_its_file_names(name, feed):
    found = feed_for(name, feeds(), None)
    assert (found.name if found else None) == feed


def test_a_format_nobody_knows_is_named_with_the_nearest():
    with pytest.raises(ExperimentError, match=r"there is no format 'cm36': did you mean 'cm360'\?"):
        feed_for("x.csv", feeds(), "cm36")
    assert feed_for(f"dcm_account1_impression_{HOUR}", feeds(), "adstyle") is None


def test_campaign_managers_newer_and_older_names_mean_the_same(fed, stored):
    """A file without Rendering ID and Country Code, but with what Display & Video 360 calls them."""
    for number, brand in enumerate(("DV360", "DBM")):
        header = f"Event Time,User ID,Impression ID,{brand} Creative ID,{brand} Country Code,Event Sub-Type"
        row = {"Event Time": NOON, "User ID": "CAESE1", "Impression ID": f"imp-{number}", f"{brand} Country Code": "NO"}
        meant = {f"{brand} creative id".replace(" ", "").lower(): {"77": ("spring", "mosaic")}}
        name = f"dcm_account{number}_impression_{HOUR}"
        assert fed(name, header, row | {f"{brand} Creative ID": "77"}, meant=meant).accepted == 1
    assert {(row["variant"], row["country"], row["arm"]) for row in stored()} == {("77", "NO", "mosaic")}


def test_campaign_managers_times_are_microseconds_and_nothing_else(fed):
    rows = [cm360_impression(1), cm360_impression(2, **{"Event Time": NOON // 1000})]
    told = fed(f"dcm_account1_impression_{HOUR}", CM360["impression"], *rows)
    assert (told.accepted, told.rejected) == (1, {"bad_timestamp": 1})


def test_an_hour_of_campaign_manager_without_events_is_a_good_delivery(fed, register):
    for kind, header in CM360.items():
        told = fed(f"dcm_account1_{kind}_{HOUR}", header)
        assert (told.read, told.accepted, told.rejected) == (0, 0, {})
    assert len(register) == 3


XANDR = (
    "auction_id_64,date_time,event_type,imp_type,user_id_64,ip_address,country,tag_id,device_id,creative_id,"
    "line_item_id,campaign_id,pixel_id,post_click_revenue,post_view_revenue,order_id,advertiser_currency"
)
SECONDS = NOON // 10**6


def xandr_row(event, auction, user="9151314442816847872", **changed):
    return dict.fromkeys(XANDR.split(","), "NULL") | {
        "auction_id_64": auction, "date_time": SECONDS, "event_type": event, "imp_type": 7, "user_id_64": user,
        "ip_address": "198.51.100.7", "creative_id": "501", "line_item_id": "61", **changed,
    }  # fmt: skip


XANDR_ROWS = [
    xandr_row("imp", "11", country="NO", tag_id="77"),
    xandr_row("imp", "12", creative_id="502"),
    xandr_row("imp", "13", user="0"),
    xandr_row("imp", "14", user="-1"),
    xandr_row("imp", "15", creative_id="999"),
    xandr_row("imp", "11", country="NO", tag_id="77"),
    xandr_row("click", "11", user="0", date_time=SECONDS + 5),
    xandr_row("click", "12", user="NULL", date_time=SECONDS + 6),
    xandr_row("pc_conv", "11", pixel_id="8", post_click_revenue="19.900000", post_view_revenue="0.000000"),
    xandr_row("pv_crossdevice_conv", "12", pixel_id="8", post_click_revenue="0", post_view_revenue="5"),
    xandr_row("pv_conv", "13", user="-1", pixel_id="8"),
    xandr_row("pc_conv", "12", pixel_id="8", post_click_revenue="-3"),
    xandr_row("started", "11"),
    xandr_row("100_pct", "11"),
    xandr_row("hover", "11"),
    xandr_row("imp", "16", date_time=SECONDS * 1000),
]
XANDR_MEANT = {"creativeid": {"501": ("spring", "mosaic"), "502": ("spring", "original")}}
XANDR_ACCOUNTS = {
    "impression": (
        10, 2, 1,
        {
            "bad_timestamp": 1, "ignored_event_type": 2, "missing_unit": 2, "unknown_creative": 1,
            "unknown_event_type": 1,
        },
    ),
    "click": (2, 2, 0, {}),
    "conversion": (4, 2, 0, {"missing_unit": 1, "negative_value": 1}),
}  # fmt: skip


def accounts(found):
    return {kind: (each.read, each.accepted, each.duplicate, each.rejected) for kind, each in found.items()}


@pytest.mark.parametrize("packed", ["csv", "csv.gz", "csv.zst", "jsonl.gz", "parquet"])
def test_xandrs_standard_feed_is_one_file_for_all(tmp_path, ingest_all, stored, hasher, packed):
    path, text = tmp_path / f"standard_feed_2026_11_08_12.{packed}", table(XANDR, *XANDR_ROWS)
    if packed == "parquet":
        columns = {name: [str(row[name]) for row in XANDR_ROWS] for name in XANDR.split(",")}
        for name in ("auction_id_64", "date_time", "user_id_64"):
            columns[name] = [None if value == "NULL" else int(value) for value in columns[name]]
        pq.write_table(pa.table(columns), path)
    elif packed == "jsonl.gz":
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in XANDR_ROWS).encode()))
    else:
        pack = {"csv": bytes, "csv.gz": gzip.compress, "csv.zst": lambda data: pa.compress(data, "zstd", asbytes=True)}
        path.write_bytes(pack[packed](text.encode()))
    found = ingest_all(path, feed=feed_for(path.name, feeds(), None), trafficking=XANDR_MEANT)
    assert accounts(found) == XANDR_ACCOUNTS
    shown = {row["event_id"]: row for row in stored()}
    assert {key: row["arm"] for key, row in shown.items()} == {"11": "mosaic", "12": "original"}
    first = {"country": "NO", "placement": "77", "device": None, "network": "198.51.100.0/24", "variant": "501"}
    assert shown["11"].items() >= {**first, "unit": hasher.hashed("9151314442816847872")}.items()
    assert shown["11"]["ts"] == datetime(2026, 11, 8, 12, tzinfo=UTC)
    outcomes = stored("outcomes")
    assert [(row["impression_id"], row["unit"]) for row in outcomes if row["kind"] == "click"] == [
        ("11", None), ("12", None)
    ]  # fmt: skip
    sales = {row["impression_id"]: row for row in outcomes if row["kind"] == "conversion"}
    assert {key: (row["value_micros"], row["currency"], row["action"]) for key, row in sales.items()} == {
        "11": (19_900_000, "USD", "8"), "12": (5_000_000, "USD", "8")
    }  # fmt: skip


def test_an_hour_of_xandr_without_events_is_a_good_delivery_of_each_kind(tmp_path, ingest_all):
    path = tmp_path / "standard_feed_2026_11_08_13.csv"
    path.write_text(table(XANDR))
    found = ingest_all(path, feed=feeds()["xandr"], trafficking=XANDR_MEANT)
    assert accounts(found) == dict.fromkeys(XANDR_ACCOUNTS, (0, 0, 0, {}))


GA4_EVENTS = [
    ("page_view", "u1", None, {}),
    ("purchase", "u1", "ann", {"transaction_id": "T-1", "purchase_revenue": 19.9}),
    ("purchase", "u1", "ann", {"transaction_id": "T-1", "purchase_revenue": 19.9}),
    ("purchase", "u2", None, {"transaction_id": "(not set)", "purchase_revenue": 5}),
    ("purchase", "u2", None, {"transaction_id": "(not set)", "purchase_revenue": 6}),
    ("purchase", None, None, {"transaction_id": "T-2", "purchase_revenue": 7}),
    ("purchase", None, None, {}),
    ("", "u3", None, {"transaction_id": "T-3"}),
]
GA4_ACCOUNT = (8, 3, 1, {"ignored_event_type": 1, "missing_event_id": 1, "missing_unit": 1, "unknown_event_type": 1})
"""The second event of u2 came a microsecond later: without a transaction's id it is another purchase."""


def ga4_file(form, folder):
    """The export as the table itself (JSON lines, Parquet), or as a query flattens it (CSV)."""
    path = folder / f"events_20261108.{form}"
    rows = [
        {
            "event_name": name, "event_timestamp": NOON + number, "user_pseudo_id": pseudo, "user_id": user,
            "ecommerce": bought, "event_params": [{"key": "page"}],
        }
        for number, (name, pseudo, user, bought) in enumerate(GA4_EVENTS)
    ]  # fmt: skip
    if form == "json":
        path.write_text(
            "".join(json.dumps(row | {"event_timestamp": str(row["event_timestamp"])}) + "\n" for row in rows)
        )
    elif form == "parquet":
        kind = pa.struct([("transaction_id", pa.string()), ("purchase_revenue", pa.float64())])
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        pq.write_table(pa.table(columns | {"ecommerce": pa.array(columns["ecommerce"], kind)}), path)
    else:
        header = "event_name,event_timestamp,user_pseudo_id,user_id,transaction_id,value,currency"
        flat = [
            {
                **{key: value for key, value in row.items() if key in header and value is not None},
                "transaction_id": row["ecommerce"].get("transaction_id", ""),
                "value": row["ecommerce"].get("purchase_revenue", ""),
                "currency": "eur",
            }
            for row in rows
        ]
        path.write_text(table(header, *flat))
    return path


@pytest.mark.parametrize("form", ["json", "parquet", "csv"])
def test_purchases_of_google_analytics_are_told_apart_from_all_else(tmp_path, ingest_all, stored, hasher, form):
    path = ga4_file(form, tmp_path)
    found = ingest_all(path, feed=feed_for(path.name, feeds(), None))
    assert accounts(found) == {"conversion": GA4_ACCOUNT, "conversion.2": (0, 0, 0, {})}
    sales = {row["value_micros"]: row for row in stored("outcomes")}
    assert set(sales) == {19_900_000, 5_000_000, 6_000_000}
    assert sales[19_900_000].items() >= {"event_id": "T-1", "unit": hasher.hashed("ann"), "action": "purchase"}.items()
    assert sales[5_000_000]["unit"] == hasher.hashed("u2")
    assert sales[5_000_000]["event_id"].startswith(hasher.of_ids.hashed("u2")), "an id that holds a unit holds a hash"
    assert {row["currency"] for row in sales.values()} == ({"EUR"} if form == "csv" else {None})
    assert sales[19_900_000]["ts"] == datetime(2026, 11, 8, 12, 0, 0, 1, tzinfo=UTC)


OWN = """
name = "shop"
title = "Our own ad server"
source = "https://intranet.example/logs"
checked_on = 2026-11-25

[[files]]
kind = "impression"
names = ["shop-views-*"]
trafficking = ["banner"]
[files.columns]
event_id = "id"
ts = "at"
unit = "visitor"
[files.nothing]
unit = ["anonymous"]
"""


def test_a_new_feed_is_a_mapping_file(tmp_path, deliver, stored):
    folder = tmp_path / "feeds"
    folder.mkdir()
    (folder / "shop.toml").write_text(OWN)
    known = feeds(folder)
    assert list(known) == ["shop", "cm360", "ga4", "gam", "meta", "revive", "xandr"]
    text = "id,at,visitor,banner\nv1,2026-11-08T12:00:00Z,ann,77\nv2,2026-11-08T12:00:01Z,anonymous,77\n"
    delivery = deliver(
        "shop-views-1.csv", text, feed=known["shop"], trafficking={"banner": {"77": ("spring", "mosaic")}}
    )
    assert (delivery.accepted, delivery.rejected) == (1, {"missing_unit": 1})
    assert stored()[0]["arm"] == "mosaic"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("event_id =", "event_ids ="), "'event_ids' is no column of impressions: did you mean 'event_id'"),
        (('kind = "impression"', 'kind = "views"'), "kind"),
        (("names =", "nams ="), "nams"),
        (('title = "', f'title = {"9" * 5000} # "'), "shop.toml: Exceeds the limit"),
        (('name = "shop"', "name = shop"), "shop.toml"),
    ],
)
def test_a_mapping_that_is_none_says_what_is_wrong(tmp_path, change, said):
    path = tmp_path / "shop.toml"
    path.write_text(OWN.replace(*change))
    with pytest.raises(Exception, match=said) as refusal:
        read_feed(path)
    assert "shop.toml" in str(refusal.value)


def test_a_mapping_that_cannot_be_read_is_named_in_one_line(tmp_path):
    path = tmp_path / "shop.toml"
    path.write_bytes(b"\xff" + OWN.encode())
    with pytest.raises(ExperimentError, match=r"shop\.toml is no UTF-8 text: save or export it as UTF-8$"):
        feeds(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(
        ExperimentError, match=r"shop\.toml cannot be read \(Is a directory\): mend it or take it away$"
    ):
        feeds(tmp_path)
    path.rmdir()
    path.symlink_to("gone.toml")
    with pytest.raises(ExperimentError, match=r"shop\.toml cannot be read \(No such file or directory\)"):
        feeds(tmp_path)


def test_trafficking_says_what_each_creative_is(tmp_path):
    path = tmp_path / "trafficking.csv"
    assert read_trafficking(path) == {}
    path.write_text(
        "\ufeffColumn,Value,Experiment,Arm\nRendering ID,101,spring,original\nRendering ID,102,spring,mosaic\n"
    )
    assert read_trafficking(path) == {"renderingid": {"101": ("spring", "original"), "102": ("spring", "mosaic")}}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_sheet_that_went_to_the_ad_server_comes_back_from_any_spreadsheet(tmp_path, separator):
    header = separator.join((*TRAFFICKING, *SHEET))
    row = separator.join(["Rendering ID", "101", "spring", "mosaic", "0.5", "300x250", *["1"] * (len(SHEET) - 2)])
    (tmp_path / "trafficking.csv").write_text(f"{header}\n{row}\n")
    assert read_trafficking(tmp_path / "trafficking.csv") == {"renderingid": {"101": ("spring", "mosaic")}}


def test_what_stands_where_own_mappings_or_trafficking_are_looked_for_is_not_passed_over(tmp_path):
    (tmp_path / "feeds").touch()
    with pytest.raises(ExperimentError, match="feeds is no folder"):
        feeds(tmp_path / "feeds")
    (tmp_path / "trafficking.csv").mkdir()
    with pytest.raises(ExperimentError, match=r"trafficking\.csv cannot be read \(Is a directory\)"):
        read_trafficking(tmp_path / "trafficking.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("value,experiment,arm\n1,spring,mosaic\n", "has not the columns column, value, experiment, arm"),
        ("column,value,experiment,arm\nAd ID,1,spring,\n", r"csv:2: column, value, experiment or arm is empty"),
        ("column,value,experiment,arm\nAd ID,1,s,a\nAd ID,1,s,b\n", r"csv:3: Ad ID 1 is arm 'a' of 's' already"),
        ("column,value,experiment,arm\n\nAd ID,1,spring,\n", r"csv:3: column, value, experiment or arm is empty"),
        ("column,value,experiment,arm\nAd ID,1,spring\n", r"csv:2: column, value, experiment or arm is empty"),
        (
            "column,value,experiment,arm\n\nAd ID,1,2,spring,b\n",
            r"csv:3: has 5 values; it is to have column, value, .*"
            "take out what is too much, or put a value that holds a comma in quotes",
        ),
        (
            "column,value,experiment,arm\nAd ID,1,s,a\nAd ID," + "9" * 131_073 + ",s,a\n",
            r"csv:3: field larger than .*"
            "is a quote left open",
        ),
        ("column,value,experiment,arm\nAd ID,\xe9,s,a\n".encode("latin-1"), r"csv is no UTF-8 text: save or export it"),
        ("column,value,experiment,arm\nAd ID,1,s,a\n".encode("utf-16"), r"csv is no UTF-8 text: save or export it"),
        ("", "has not the columns"),
        ("column,value,experiment,arm,slt\nAd ID,1,s,a,1x1\n", "'slt' is no column of it: did you mean 'slot'"),
        ("column,value,experiment,arm,weather\nAd ID,1,s,a,1x1\n", "'weather' is no column of it: take it out"),
        ("column,value,experiment,arm,slot\nAd ID,,s,a,1x1\n", r"csv:2: column, value, experiment or arm is empty"),
    ],
)
def test_trafficking_that_is_unclear_is_refused(tmp_path, text, said):
    path = tmp_path / "trafficking.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ExperimentError, match=said) as refusal:
        read_trafficking(path)
    assert "\n" not in str(refusal.value)


def test_packed_and_plain_are_the_same(tmp_path, ingest, stored):
    name = f"dcm_account1_impression_{HOUR}"
    (tmp_path / name).write_bytes(gzip.compress(table(CM360["impression"], cm360_impression(1)).encode()))
    assert ingest(tmp_path / name, feed=feeds()["cm360"], trafficking=MEANT).accepted == 1
