"""Ad servers' own files, made to their published formats, through the shipped mappings; and mappings of one's own."""

import csv
import gzip
import io
from datetime import UTC, datetime

import pytest

from experiments.core.errors import ExperimentError
from experiments.ingest.feed import feed_for, feeds, read_feed, read_trafficking
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
    with pytest.raises(FileRefused, match="list values of Rendering ID, Ad ID, Placement ID in trafficking"):
        fed(f"dcm_account1_impression_{HOUR}", CM360["impression"], cm360_impression(1), meant={})
    with pytest.raises(FileRefused, match=r"is no file of Campaign Manager 360 .* say which kind with --kind"):
        fed("october.csv", CM360["impression"], cm360_impression(1))


@pytest.mark.parametrize(
    ("name", "feed"),
    [
        (f"dcm_account1234_impression_{HOUR}", "cm360"),
        (f"DCM_floodlight9_activity_{HOUR}", "cm360"),
        ("NetworkBackfillClicks_9_20261108_03.gz", "gam"),
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
    assert list(known) == ["shop", "cm360", "gam"]
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
        (('name = "shop"', "name = shop"), "shop.toml"),
    ],
)
def test_a_mapping_that_is_none_says_what_is_wrong(tmp_path, change, said):
    path = tmp_path / "shop.toml"
    path.write_text(OWN.replace(*change))
    with pytest.raises(Exception, match=said) as refusal:
        read_feed(path)
    assert "shop.toml" in str(refusal.value)


def test_trafficking_says_what_each_creative_is(tmp_path):
    path = tmp_path / "trafficking.csv"
    assert read_trafficking(path) == {}
    path.write_text(
        "\ufeffColumn,Value,Experiment,Arm\nRendering ID,101,spring,original\nRendering ID,102,spring,mosaic\n"
    )
    assert read_trafficking(path) == {"renderingid": {"101": ("spring", "original"), "102": ("spring", "mosaic")}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("value,experiment,arm\n1,spring,mosaic\n", "has not the columns column, value, experiment, arm"),
        ("column,value,experiment,arm\nAd ID,1,spring,\n", r"csv:2: column, value, experiment or arm is empty"),
        ("column,value,experiment,arm\nAd ID,1,s,a\nAd ID,1,s,b\n", r"csv:3: Ad ID 1 is arm 'a' of 's' already"),
    ],
)
def test_trafficking_that_is_unclear_is_refused(tmp_path, text, said):
    path = tmp_path / "trafficking.csv"
    path.write_text(text)
    with pytest.raises(ExperimentError, match=said):
        read_trafficking(path)


def test_packed_and_plain_are_the_same(tmp_path, ingest, stored):
    name = f"dcm_account1_impression_{HOUR}"
    (tmp_path / name).write_bytes(gzip.compress(table(CM360["impression"], cm360_impression(1)).encode()))
    assert ingest(tmp_path / name, feed=feeds()["cm360"], trafficking=MEANT).accepted == 1
