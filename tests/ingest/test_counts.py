"""What platforms counted: files made by hand, Meta's and Revive's to their published formats, mappings of one's own."""

import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.events.counts import platform_counts
from experiments.ingest.feed import feed_for, feeds, read_feed
from experiments.ingest.log import FileRefused

DAYS = date(2026, 1, 1), date(2026, 12, 31)
BY_HAND = "date,experiment,arm,impressions,clicks,conversions,value,spend,currency,source\n"
MEANT = {"adid": {"120210": ("spring", "original"), "120211": ("spring", "mosaic")}}


@pytest.fixture
def now_counted(lake):
    """What stands now, by arm."""

    def now_counted(experiment="spring"):
        return {each.arm: each for each in platform_counts(lake, experiment, *DAYS)}

    return now_counted


@pytest.fixture
def meta(deliver):
    """Rows of Meta's into the lake, as JSON lines."""

    def meta(name, *rows, meant=MEANT):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        return deliver(name, text, feed=feeds()["meta"], trafficking=meant)

    return meta


def insight(ad="120210", day="2026-11-01", **changed):
    """As the Insights API answers for `level=ad` and `time_increment=1`: every number is text."""
    return {
        "account_currency": "EUR", "ad_id": ad, "ad_name": "Cup", "date_start": day, "date_stop": day,
        "impressions": "1000", "clicks": "12", "spend": "9.87", **changed,
    }  # fmt: skip


def actions(**values):
    return [{"action_type": name.replace("__", "."), "value": value} for name, value in values.items()]


# --- files by hand ----------------------------------------------------------------------------------------------------


def test_a_file_by_hand_is_accounted_for_line_by_line(deliver, stored):
    lines = [
        "2026-11-01,spring,mosaic,1000,12,3,59.90,20.5,eur,newsletter",
        "2026-11-01,spring,original,1000,,,,,,newsletter",
        "2026-11-01,spring,mosaic,1000,12,3,59.90,20.5,EUR,newsletter",
        "2026-11-02T00:00:00,spring,mosaic,10,20,,,,,newsletter",
        "02.11.2026,spring,mosaic,1,0,,,,,",
        "2026-12-24,spring,mosaic,1,0,,,,,",
        ",spring,mosaic,1,0,,,,,",
        "2026-11-01,autumn,mosaic,1,0,,,,,",
        "2026-11-01,spring,sepia,1,0,,,,,",
        "2026-11-01,spring,${ARM},1,0,,,,,",
        "2026-11-03,spring,mosaic,,0,,,,,",
        "2026-11-03,spring,mosaic,1.5,0,,,,,",
        "2026-11-03,spring,mosaic,1,-2,,,,,",
        "2026-11-03,spring,mosaic,1,0,,,twelve,,",
        "2026-11-03,spring,mosaic,1,0,,,1,Euro,",
        "2026-11-03,spring,mosaic",
    ]
    delivery = deliver("counts-by-hand.csv", BY_HAND + "\n".join(lines) + "\n")
    assert (delivery.kind, delivery.read, delivery.accepted, delivery.duplicate) == ("count", 16, 3, 1)
    assert delivery.rejected == {
        "bad_timestamp": 2, "future_timestamp": 1, "unknown_experiment": 1, "unknown_arm": 1, "unexpanded_macro": 1,
        "missing_count": 1, "bad_value": 3, "negative_value": 1, "ragged_row": 1,
    }  # fmt: skip
    first, _, last = stored("counts")
    assert (first["date"], first["line"], first["source"]) == (date(2026, 11, 1), 2, "newsletter")
    assert (first["impressions"], first["clicks"], first["conversions"]) == (1000, 12, 3)
    assert (first["value_micros"], first["spend_micros"], first["currency"]) == (59_900_000, 20_500_000, "EUR")
    assert (last["clicks"], last["conversions"], last["value_micros"]) == (20, None, None), "more clicks than shown"
    assert {row["reason"] for row in stored("rejects")} == set(delivery.rejected)


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("counts-1.csv", None, "count"),
        ("COUNT_1.csv", None, "count"),
        ("week 45.csv", None, "count"),
        ("impressions-1.csv", "count", "count"),
    ],
)
def test_counts_are_known_by_name_or_header_or_as_asked(deliver, name, kind, found):
    assert deliver(name, BY_HAND + "2026-11-01,spring,mosaic,1,0,,,,,\n", kind).kind == found


def test_a_name_that_only_begins_like_counts_tells_nothing(deliver, as_csv, impressions):
    assert deliver("country-47.csv", as_csv(impressions(2))).kind == "impression"


def test_events_with_columns_that_counts_have_are_events_and_say_no_more_than_before(deliver, as_csv, stored):
    row = {
        "event_id": "i1", "ts": "2026-11-07T12:00:00Z", "experiment": "spring", "arm": "sepia", "unit": "ann",
        "date": "x", "Date": "y", "impressions": "1", "ad": "ann@example.org",
    }  # fmt: skip
    delivery = deliver("shown.csv", as_csv([row]))
    assert (delivery.kind, delivery.rejected) == ("impression", {"unknown_arm": 1})
    assert "ann@" not in stored("rejects")[0]["text"]


def test_counts_as_json_lines_may_name_ads_and_say_how_they_are_broken_down(deliver, as_jsonl, now_counted):
    whole = {"date": "2026-11-01", "experiment": "spring", "arm": "mosaic", "clicks": 1, "source": "kiosk"}
    rows = [
        whole | {"ad": "a1", "breakdown": "north", "impressions": 10},
        whole | {"ad": "a1", "breakdown": "south", "impressions": 20},
        whole | {"ad": "a2", "breakdown": "north", "impressions": 40},
    ]
    assert deliver("counts.jsonl", as_jsonl(rows)).accepted == 3
    assert now_counted()["mosaic"].impressions == 70


# --- Meta -------------------------------------------------------------------------------------------------------------


def test_counts_as_parquet_read_the_same(deliver, now_counted, stored):
    table = pa.table({
        "date": pa.array([date(2026, 11, 1)] * 2), "experiment": ["spring"] * 2, "arm": ["mosaic", "original"],
        "impressions": pa.array([1000, 2**40]), "clicks": pa.array([12, None], pa.int32()), "spend": [20.5, None],
        "source": ["kiosk"] * 2,
    })  # fmt: skip
    packed = pa.BufferOutputStream()
    pq.write_table(table, packed)
    assert deliver("counts.parquet", packed.getvalue().to_pybytes()).accepted == 2
    assert (now_counted()["mosaic"].clicks, now_counted()["mosaic"].spend_micros) == (12, {None: 20_500_000})
    assert now_counted()["original"].impressions == 2**40
    again = deliver("counts.csv", BY_HAND + "2026-11-01,spring,mosaic,1000,12,,,20.50,,kiosk\n")
    assert again.duplicate == 1


def test_metas_rows_are_strings_and_their_ads_are_arms(meta, stored, now_counted):
    delivery = meta(
        "meta_insights_2026-11-01.jsonl",
        insight(actions=actions(link_click="40", omni_purchase="3"), action_values=actions(omni_purchase="59.97")),
        insight("120211", impressions="0", clicks="0", spend="0"),
        insight("120299"),
        insight(""),
    )
    assert (delivery.kind, delivery.accepted, delivery.rejected) == ("count", 2, {"unknown_creative": 2})
    found = now_counted()
    assert (found["original"].impressions, found["original"].clicks, found["original"].conversions) == (1000, 12, 3)
    assert found["original"].spend_micros == {"EUR": 9_870_000}
    assert found["original"].value_micros == {"EUR": 59_970_000}
    assert (found["mosaic"].impressions, found["mosaic"].conversions) == (0, None)
    assert {row["source"] for row in stored("counts")} == {"meta"}
    assert {row["ad"] for row in stored("counts")} == {"120210", "120211"}


@pytest.mark.parametrize(
    ("listed", "count"),
    [
        (actions(purchase="4", omni_purchase="5", offsite_conversion__fb_pixel_purchase="3"), 5),
        (actions(offsite_conversion__fb_pixel_purchase="3", purchase="4", add_to_cart="9"), 4),
        (actions(offsite_conversion__fb_pixel_purchase="3"), 3),
        (actions(link_click="40", onsite_conversion__messaging_first_reply="2"), 0),
        ([], 0),
        (actions(purchase="2.0"), 2),
        (None, None),
    ],
)
def test_one_purchase_under_several_names_counts_once(meta, now_counted, listed, count):
    assert meta("meta_insights_1.jsonl", insight(actions=listed)).accepted == 1
    assert now_counted()["original"].conversions == count


@pytest.mark.parametrize(
    "listed",
    [
        actions(purchase="2") + actions(purchase="3"),
        actions(purchase="many"),
        ["purchase"],
        "3",
        [{"action_type": "purchase"}],
    ],
)
def test_a_list_of_actions_that_says_no_one_number_is_rejected(meta, listed):
    assert meta("meta_insights_1.jsonl", insight(actions=listed)).rejected == {"bad_value": 1}


def test_an_action_that_has_a_key_twice_is_rejected(deliver):
    twice = '[{"action_type": "purchase", "value": "3", "value": "4"}]'
    row = json.dumps(insight(actions="HERE"))
    text = row.replace('"HERE"', twice) + "\n" + row.replace("HERE", twice.replace('"', '\\"')) + "\n"
    delivery = deliver("meta_insights_1.jsonl", text, feed=feeds()["meta"], trafficking=MEANT)
    assert delivery.rejected == {"bad_value": 2}


def test_sums_over_several_days_are_rejected(meta):
    delivery = meta("meta_insights_1.jsonl", insight(date_stop="2026-11-07"), insight(day="2026-11-02"))
    assert (delivery.accepted, delivery.rejected) == (1, {"several_days": 1})


def test_an_ad_without_its_id_cannot_be_told_from_others(meta):
    row = insight(campaign_id="77")
    del row["ad_id"]
    delivery = meta("meta_insights_1.jsonl", row, insight(), meant=MEANT | {"campaignid": {"77": ("spring", "mosaic")}})
    assert delivery.rejected == {"missing_ad": 1}


def test_only_link_clicks_where_those_were_asked_for(meta, now_counted):
    with_clicks, without = (insight(day=f"2026-11-0{n}") for n in (1, 2))
    del with_clicks["clicks"], without["clicks"]
    meta("meta_insights_1.jsonl", with_clicks | {"inline_link_clicks": "7"}, without)
    assert now_counted()["original"].clicks == 7, "Meta leaves zeros out"


def test_meta_as_csv_reads_the_same(deliver, meta, now_counted):
    listed = json.dumps(actions(purchase="4", omni_purchase="5")).replace('"', '""')
    text = (
        "account_currency,ad_id,date_start,date_stop,impressions,clicks,spend,actions\n"
        f'EUR,120210,2026-11-01,2026-11-01,1000,12,9.87,"{listed}"\n'
        'EUR,120211,2026-11-01,2026-11-01,1000,12,9.87,""\n'
    )
    assert deliver("meta_insights_1.csv", text, feed=feeds()["meta"], trafficking=MEANT).accepted == 2
    assert [now_counted()[arm].conversions for arm in ("original", "mosaic")] == [5, None]
    again = meta("meta_insights_1.jsonl", insight(actions=actions(omni_purchase="5")))
    assert (again.accepted, again.duplicate) == (0, 1)


def test_a_day_broken_down_in_two_ways_counts_once(meta, now_counted):
    by_age = [insight(age=age, impressions=shown) for age, shown in (("18-24", "300"), ("25-34", "700"))]
    assert meta("meta_insights_1.jsonl", *by_age).accepted == 2
    assert now_counted()["original"].impressions == 1000
    by_country = [insight(country=where, impressions=shown) for where, shown in (("NO", "900"), ("SE", "150"))]
    meta("meta_insights_2.jsonl", *by_country)
    assert now_counted()["original"].impressions == 1050
    meta("meta_insights_3.jsonl", insight(impressions="1060"))
    assert now_counted()["original"].impressions == 1060
    meta("meta_insights_4.jsonl", by_country[1], by_country[0])
    assert now_counted()["original"].impressions == 1050, "unchanged, but it is what was said last"


def test_a_breakdown_that_no_mapping_knows_refuses_the_file_instead_of_losing_rows(meta, lake):
    rows = [insight(weather=weather, impressions=shown) for weather, shown in (("sun", "300"), ("rain", "700"))]
    with pytest.raises(FileRefused, match=r"says two things of 2026-11-01/meta/120210, in lines 1 and 2: if a column"):
        meta("meta_insights_1.jsonl", *rows)
    assert lake.dataset("counts").count_rows() == 0


def test_rejected_objects_keep_what_repairs_need_and_nothing_else(meta, stored):
    meta("meta_insights_1.jsonl", insight("999", actions=actions(purchase="2"), reviewer="ann@example.org"))
    kept = json.loads(stored("rejects")[0]["text"])
    assert kept["ad_id"] == "999"
    assert kept["actions"] == actions(purchase="2")
    assert "reviewer" not in kept


def test_broken_objects_of_any_feed_hold_no_unit_whatever_its_column_is_called(tmp_path, deliver, stored, hasher):
    path = tmp_path / "shop.toml"
    columns = 'event_id = "id"\nts = "at"\nunit = "device"\n'
    path.write_text(
        'name = "shop"\ntitle = "Shop"\nsource = "x"\nchecked_on = 2026-11-26\n[[files]]\nkind = "click"\n'
        f'names = ["shop-*"]\n[files.columns]\n{columns}'
    )
    lines = [
        '{"id": "c1", "at": "2026-11-07T12:00:00Z", "device": "ann@example.org"}',
        '{"id": "c2", "at": "2026-11-07T12:00:00Z", "device": "ann@example.org"',
        '{"id": "c3", "at": "yesterday", "device": "ann@example.org", "note": "ann"}',
    ]
    delivery = deliver("shop-1.jsonl", "\n".join(lines) + "\n", feed=read_feed(path))
    assert (delivery.accepted, delivery.rejected) == (1, {"not_json": 1, "bad_timestamp": 1})
    assert stored("outcomes")[0]["unit"] == hasher.hashed("ann@example.org")
    texts = [row["text"] for row in stored("rejects")]
    assert not any("ann" in each for each in texts)
    assert hasher.hashed("ann@example.org") in texts[1]


def test_objects_without_what_counts_need_refuse_the_file(deliver, meta):
    row = insight()
    del row["impressions"]
    with pytest.raises(FileRefused, match="lacks impressions, which is the impressions of counts in this feed"):
        meta("meta_insights_1.jsonl", row)
    with pytest.raises(FileRefused, match="list values of ad_id, ad_name, adset_id, campaign_id in trafficking"):
        meta("meta_insights_1.jsonl", insight(), meant={})
    with pytest.raises(FileRefused, match="holds no JSON object"):
        deliver("meta_insights_1.jsonl", "[1]\n", feed=feeds()["meta"], trafficking=MEANT)
    broken = meta("meta_insights_2.jsonl", insight()).read
    assert broken == 1


# --- Revive -----------------------------------------------------------------------------------------------------------

REVIVE = (
    "data_summary_ad_hourly_id,date_time,ad_id,creative_id,zone_id,requests,impressions,clicks,conversions,"
    "total_basket_value,total_num_items,total_revenue,total_cost,total_techcost,updated\n"
)


def test_revives_hours_and_zones_add_up_and_a_restated_hour_replaces(deliver, now_counted):
    banners = {"adid": {"8": ("spring", "mosaic")}}

    def hours(name, *rows):
        return deliver(name, REVIVE + "\n".join(rows) + "\n", feed=feeds()["revive"], trafficking=banners)

    delivery = hours(
        "rv_data_summary_ad_hourly-1.csv",
        r"1,2026-11-01 09:00:00,8,0,1,120,100,2,1,19.9000,1,0.5000,\N,\N,2026-11-01 10:00:05",
        r"2,2026-11-01 09:00:00,8,0,2,60,50,1,0,\N,0,0.2500,\N,\N,2026-11-01 10:00:05",
        r"3,2026-11-01 10:00:00,8,0,1,120,100,2,0,NULL,0,NULL,\N,\N,2026-11-01 11:00:05",
        r"4,2026-11-01 10:00:00,9,0,1,120,100,2,0,\N,0,\N,\N,\N,2026-11-01 11:00:05",
    )
    assert (delivery.kind, delivery.accepted, delivery.rejected) == ("count", 3, {"unknown_creative": 1})
    found = now_counted()["mosaic"]
    assert (found.impressions, found.clicks, found.conversions, found.days) == (250, 5, 1, 1)
    assert (found.spend_micros, found.value_micros) == ({None: 750_000}, {None: 19_900_000})
    later = hours(
        "rv_data_summary_ad_hourly-2.csv",
        r"3,2026-11-01 10:00:00,8,0,1,120,110,3,0,\N,0,\N,\N,\N,2026-11-01 12:00:05",
        r"5,2026-11-01 11:00:00,8,0,1,1,1,0,0,\N,0,\N,\N,\N,2026-11-01 12:00:05",
    )
    assert later.accepted == 2
    assert now_counted()["mosaic"].impressions == 261


def test_revives_daily_statistics(deliver, now_counted):
    text = (
        "day,banner_id,requests,impressions,clicks,revenue\n2026-11-01,8,120,100,2,0.50\n2026-11-02,8,120,100,2,0.50\n"
    )
    deliver("revive_banners.csv", text, feed=feeds()["revive"], trafficking={"bannerid": {"8": ("spring", "mosaic")}})
    assert (now_counted()["mosaic"].impressions, now_counted()["mosaic"].spend_micros) == (200, {None: 1_000_000})


# --- mappings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "feed"),
    [
        ("meta_insights_2026-11-01.jsonl", "meta"),
        ("acme-ads-insights.csv", "meta"),
        ("rv_data_summary_ad_hourly.csv.gz", "revive"),
        ("counts-2026-11-01.csv", None),
    ],
)
def test_the_platforms_files_are_known_by_their_names(name, feed):
    found = feed_for(name, feeds(), None)
    assert (found.name if found else None) == feed


OWN = """
name = "kiosk"
title = "Our kiosks"
source = "https://intranet.example/kiosks"
checked_on = 2026-11-26

[[files]]
kind = "count"
names = ["kiosk-*"]
trafficking = ["poster"]
breakdown = ["town"]
[files.columns]
date = "on"
ad = "poster"
impressions = "seen"
clicks = "touched"
conversions = {list = "sales", key = "what", value = "many", first_of = ["book", "ebook"]}
[files.times]
form = "%d/%m/%Y"
"""


@pytest.fixture
def kiosk(tmp_path):
    """A mapping of one's own, changed as the test likes."""

    def kiosk(*changes):
        path = tmp_path / "kiosk.toml"
        text = OWN
        for change in changes:
            assert change[0] in text
            text = text.replace(*change)
        path.write_text(text)
        return read_feed(path)

    return kiosk


def test_a_mapping_says_how_days_are_written(kiosk, deliver, now_counted):
    lines = [
        "on,poster,town,seen,touched,sales",
        '03/11/2026,7,Oslo,5,1,"[{""what"": ""ebook"", ""many"": 2}]"',
        "03/11/2026,7,Bergen,5,1,",
        "11/13/2026,7,Oslo,5,1,",
        "2026-11-04,7,Oslo,5,1,",
    ]
    delivery = deliver(
        "kiosk-1.csv", "\n".join(lines) + "\n", feed=kiosk(), trafficking={"poster": {"7": ("spring", "mosaic")}}
    )
    assert (delivery.accepted, delivery.rejected) == (2, {"bad_timestamp": 2})
    found = now_counted()["mosaic"]
    assert (found.first, found.last, found.impressions, found.conversions) == (
        date(2026, 11, 3), date(2026, 11, 3), 10, 2
    )  # fmt: skip


def test_a_row_may_be_told_by_what_it_is_broken_down_by(kiosk, deliver, now_counted):
    feed = kiosk(('breakdown = ["town"]', 'breakdown = ["town"]\nwhere = {town = ["Oslo", ""]}'))
    day = {"on": "03/11/2026", "poster": "7", "seen": 5, "touched": 1}
    rows = [day | {"town": "Oslo"}, day | {"town": "Bergen"}, day | {"on": "04/11/2026"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    delivery = deliver("kiosk-1.jsonl", text, feed=feed, trafficking={"poster": {"7": ("spring", "mosaic")}})
    assert (delivery.accepted, delivery.rejected) == (2, {"unknown_event_type": 1})
    assert now_counted()["mosaic"].impressions == 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("first_of =", "frist_of ="), r"frist_of is no known key; did you mean 'first_of'\?"),
        (('first_of = ["book", "ebook"]', "first_of = []"), "first_of"),
        (("form =", "from ="), r"times.from is no known key; did you mean 'form'\?"),
        (("%d/%m/%Y", "%d/%m"), "does not say year, month and day"),
        (("%d/%m/%Y", "dd/mm/yyyy"), "does not say year, month and day"),
        (('ad = "poster"\n', ""), "counts need the column ad"),
        (("touched", "touched\"\nclicky = \"x"), r"'clicky' is no column of counts: did you mean 'clicks'\?"),
        (("breakdown =", "breakdwon ="), r"breakdwon is no known key; did you mean 'breakdown'\?"),
        (('kind = "count"', 'kind = "click"'), "breakdown and first_of are for counts, not for clicks"),
    ],
)  # fmt: skip
def test_a_mapping_of_counts_that_is_none_says_what_is_wrong(kiosk, change, said):
    with pytest.raises(Exception, match=said) as refusal:
        kiosk(change)
    assert "kiosk.toml" in str(refusal.value)


def test_now_is_a_day_that_may_be_counted(deliver, now):
    today = now.date().isoformat()
    assert deliver("counts.csv", BY_HAND + f"{today},spring,mosaic,1,0,,,,,\n").accepted == 1
    assert now == datetime(2026, 11, 9, 6, 0, 0, 123456, tzinfo=UTC)
