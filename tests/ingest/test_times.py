"""Times as logs write them: declared zones, forms and units, and what the clocks never showed, or showed twice."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from experiments.core.errors import ExperimentError
from experiments.ingest.sieve import Sieve
from experiments.ingest.times import LocalTimes, Times, in_zone

ZONES = ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata", "UTC")


def told(times, **declared):
    """Each time as a moment, or why it is none; text that no calendar knows stays what it is."""
    sieve = Sieve.over(len(times))
    texts = LocalTimes(Times(**declared)).rfc3339(pa.array(times, pa.string()), sieve).to_pylist()
    reasons = dict(sieve.rejected())
    return [reasons.get(row) or moment(text) for row, text in enumerate(texts)]


def moment(text):
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text


def moments_of(local, zone):
    """Every moment at which the clocks of the zone show this: a search of its offsets, minute by minute of a day."""
    offsets = {(local + timedelta(hours=hour)).replace(tzinfo=zone).utcoffset() for hour in range(-30, 31)}
    found = {(local - offset).replace(tzinfo=UTC) for offset in offsets}
    return sorted(each for each in found if each.astimezone(zone).replace(tzinfo=None) == local)


@pytest.mark.parametrize("name", ZONES)
def test_a_local_time_is_the_moment_at_which_the_clocks_showed_it(name):
    zone, rng = ZoneInfo(name), np.random.default_rng(7)
    days = [f"2026-{month:02}-{day:02}" for month in (3, 4, 10, 11) for day in range(1, 31)] + ["2009-11-01"]
    locals_ = [
        datetime.fromisoformat(day) + timedelta(seconds=int(rng.integers(0, 4 * 3600)), microseconds=1)
        for day in days
        for _ in range(6)
    ]
    texts = [each.isoformat(" ") for each in locals_]
    reject, first, second = (told(texts, zone=name, fold=fold) for fold in ("reject", "first", "second"))
    for local, strict, early, late in zip(locals_, reject, first, second, strict=True):
        found = moments_of(local, zone)
        if not found:
            assert (strict, early, late) == ("nonexistent_time",) * 3, local
        else:
            assert strict == (found[0] if len(found) == 1 else "ambiguous_time"), local
            assert (early, late) == (found[0], found[-1]), local


def test_what_has_an_offset_or_is_an_epoch_needs_no_zone():
    texts = ["2026-11-08T12:00:00+09:00", "2026-11-08t12:00:00z", "1794139200", "", "soon"]
    assert told(texts, zone="Europe/Berlin")[:1] == [datetime(2026, 11, 8, 3, tzinfo=UTC)]
    sieve = Sieve.over(len(texts))
    assert LocalTimes(Times(zone="Europe/Berlin")).rfc3339(pa.array(texts), sieve).to_pylist() == texts


@pytest.mark.parametrize(
    ("form", "text", "found"),
    [
        ("%d/%m/%Y %H:%M:%S", "08/11/2026 09:05:03", "2026-11-08T09:05:03"),
        ("%d/%m/%Y %H:%M:%S", "8/1/2026 9:5:3", "2026-01-08T09:05:03"),
        ("%m/%d/%y %I:%M %p", "11/08/26 12:05 am", "2026-11-08T00:05:00"),
        ("%m/%d/%y %I:%M %p", "11/08/26 12:05 PM", "2026-11-08T12:05:00"),
        ("%d.%m.%Y", "08.11.2026", "2026-11-08T00:00:00"),
        ("%Y%m%d%H%M%S.%f", "20261108090503.25", "2026-11-08T09:05:03.250"),
        ("[%d/%b/%Y:%H:%M:%S %z]", "[08/Nov/2026:09:05:03 +0530]", "2026-11-08T03:35:03"),
        ("100%% %d-%m-%Y", "100% 08-11-2026", "2026-11-08T00:00:00"),
    ],
)
def test_a_declared_form_is_read_as_it_says(form, text, found):
    assert told([text], form=form, zone="UTC") == [datetime.fromisoformat(found).replace(tzinfo=UTC)]
    assert told([text + " ", "x" + text, "2026-11-08T09:05:03Z", ""], form=form, zone="UTC") == ["bad_timestamp"] * 4


def test_numbers_without_anything_between_them_have_all_their_digits():
    assert told(["20260118", "2026118", "2026 118"], form="%Y%m%d", zone="UTC") == [
        datetime(2026, 1, 18, tzinfo=UTC), "bad_timestamp", "bad_timestamp"
    ]  # fmt: skip


def test_forms_are_read_as_pythons_own_parser_reads_them():
    rng, form = np.random.default_rng(3), "%d/%m/%Y %H:%M:%S"
    numbers = rng.integers([1, 1, 2000, 0, 0, 0], [33, 14, 2040, 26, 62, 62], (3000, 6))
    texts = ["{:02}/{:02}/{} {:02}:{:02}:{:02}".format(*row) for row in numbers]
    for text, found in zip(texts, told(texts, form=form, zone="UTC"), strict=True):
        try:
            expected = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            assert isinstance(found, str), text
        else:
            if expected.second < 60 and ":6" not in text[-3:]:
                assert found == expected, text


@pytest.mark.parametrize(
    ("unit", "fits", "others"),
    [
        ("s", "1794139200", ("1794139200000", "1794139200000000", "0", "-1794139200")),
        ("ms", "1794139200000", ("1794139200", "1794139200000000")),
        ("us", "1794139200000000", ("1794139200000", "1794139200000000000")),
        ("ns", "1794139200000000000", ("1794139200000000", "1794139200.5")),
    ],
)
def test_an_epoch_of_another_unit_is_not_quietly_understood(unit, fits, others):
    assert told([fits, *others, "noon", ""], unit=unit) == [fits] + ["bad_timestamp"] * (len(others) + 2)
    assert told(["2026-11-08 12:00:00.000001Z"], unit=unit) == [datetime(2026, 11, 8, 12, 0, 0, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"zone": "Europe/Berln"}, "there is no time zone 'Europe/Berln': did you mean 'Europe/Berlin'?"),
        ({"zone": "europe/berlin"}, "did you mean 'Europe/Berlin'?"),
        ({"zone": "Nowhere at all"}, "name one like Europe/Berlin, or UTC"),
        ({"form": "%d/%m/%Y %Q"}, "%Q is no part of a form"),
        ({"form": "%d/%m/%Y %H:%H"}, "has %H more than once"),
        ({"form": "%H:%M"}, "does not say year, month and day"),
        ({"form": "%d/%m/%Y %I:%M"}, "has one of %I and %p"),
        ({"form": "%d/%m/%Y", "unit": "s"}, "a form or a unit of epochs, not both"),
    ],
)
def test_a_declaration_that_is_none_says_what_is_wrong(declared, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        Times(**declared)


def test_a_zone_that_there_is_not_is_one_line():
    with pytest.raises(ExperimentError, match="did you mean 'America/New_York'") as refusal:
        in_zone("america/new york")
    assert "\n" not in str(refusal.value)
    assert in_zone(None) is None


def test_our_own_format_takes_a_zone(deliver, impressions, as_csv, stored):
    local = [
        "2026-11-08 00:30:00",
        "2026-10-25 02:30:00",
        "2026-03-29 02:30:00",
        "08/11/2026 00:30",
        "2026-11-08T00:30:00Z",
    ]
    lines = as_csv([event | {"ts": ts} for event, ts in zip(impressions(5), local, strict=True)])
    there = deliver("impressions.csv", lines, zone="Europe/Berlin")
    assert (there.accepted, there.rejected) == (2, {"ambiguous_time": 1, "bad_timestamp": 1, "nonexistent_time": 1})
    assert [row["ts"].isoformat() for row in stored()] == ["2026-11-07T23:30:00+00:00", "2026-11-08T00:30:00+00:00"]
    assert [row["date"].day for row in stored()] == [7, 8], "the day is UTC's"
    without = deliver("impressions.csv", lines + "\n")
    assert without.rejected == {"naive_timestamp": 3, "bad_timestamp": 1}


def test_the_future_begins_after_the_zone_was_told(deliver, impressions, as_csv):
    """06:00 UTC now and a day of tolerance: in Los Angeles 22:30 of today is the future, in Tokyo it is not."""
    lines = as_csv(impressions(1, ts="2026-11-09 22:30:00"))
    assert deliver("impressions.csv", lines, zone="America/Los_Angeles").rejected == {"future_timestamp": 1}
    assert deliver("impressions-2.csv", lines + "\n", zone="Asia/Tokyo").accepted == 1
