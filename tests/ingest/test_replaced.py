"""An hour delivered again: the newer file's events take the place of the older one's, in whatever order they come."""

import csv
import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import permutations

import numpy as np
import pytest

from creatives.documents import DocumentError
from experiments.core.delivery import Edition
from experiments.events import upkeep
from experiments.events.append import Append
from experiments.events.lake import EventLake
from experiments.ingest.feed import feeds, read_feed
from experiments.ingest.slots import edition_of, newer, older

NOON = 1_794_139_200_000_000
"""2026-11-08 12:00 UTC in microseconds."""
MEANT = {"renderingid": {"101": ("spring", "original"), "102": ("spring", "mosaic")}}
HEADER = ["Event Time", "User ID", "Rendering ID", "Impression ID"]
EARLY, LATE = "20261108_014912_218211994", "20261108_090501_218212007"


def named(made=EARLY, hour="2026110801", account="account1234", kind="impression"):
    return f"dcm_{account}_{kind}_{hour}_{made}.csv"


def table(rows, header=HEADER):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def shown(numbers, rendering="101"):
    return table([[NOON + number, f"user-{number}", rendering, f"imp-{number}"] for number in numbers])


@pytest.fixture
def fed(deliver):
    def fed(name, text, **changed):
        return deliver(name, text, feed=feeds()["cm360"], trafficking=MEANT, **changed)

    return fed


@pytest.fixture
def ids(stored):
    return lambda: [(row["event_id"], row["arm"]) for row in stored()]


def test_a_newer_file_of_the_hour_replaces_the_older_one_at_once(fed, ids, stored, lake, register):
    first = fed(named(EARLY), shown([1, 2, 3]) + "1,2\n")
    other = fed(named(hour="2026110802"), shown([8]))
    before = lake.versions()
    second = fed(named(LATE), shown([2, 3, 4], "102"))
    assert (second.read, second.accepted, second.duplicate, second.rejected) == (3, 3, 0, {})
    assert ids() == [("imp-2", "mosaic"), ("imp-3", "mosaic"), ("imp-4", "mosaic"), ("imp-8", "original")]
    assert {row["delivery"] for row in stored()} == {second.sha256, other.sha256}
    assert stored("rejects") == []
    assert lake.versions()["impressions"] == before["impressions"] + 1, "gone and come in one commit"
    assert (second.slot, second.made) == ("cm360/impression/dcm_account1234/2026110801", LATE)
    assert (first.slot, first.made) == (second.slot, EARLY)


def test_an_older_file_that_comes_late_adds_nothing_and_is_counted(fed, ids, stored, lake, ingest, tmp_path):
    second = fed(named(LATE), shown([2, 3, 4]))
    before = lake.versions()
    first = fed(named(EARLY), shown([1, 2, 3]) + "broken\n")
    assert (first.read, first.accepted, first.duplicate, first.rejected) == (4, 0, 0, {"superseded": 4})
    assert first.replaced_by == second.sha256
    assert [each for each, _ in ids()] == ["imp-2", "imp-3", "imp-4"]
    assert stored("rejects") == []
    assert lake.versions() == before
    again = ingest(tmp_path / "inbox" / named(EARLY), feed=feeds()["cm360"], trafficking=MEANT)
    assert again.replay, "it is not tried again"


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_files_does_not_matter(fed, stored, order):
    """Three files of an hour and one of the next, which shares nothing with them."""
    files = [
        (named("20261108_014912_1"), shown([1, 2]) + "1,2\n"),
        (named("20261108_024912_2"), shown([2, 3, 5]) + "1,2\n,\n"),
        (named("20261108_034912_3"), shown([3, 4])),
        (named("20261108_034912_3", hour="2026110802"), shown([11, 12]) + "3\n"),
    ]
    for number in (*order[:2], 3, order[2]):
        fed(*files[number])
    assert [row["event_id"] for row in stored()] == ["imp-11", "imp-12", "imp-3", "imp-4"]
    assert [row["name"] for row in stored("rejects")] == [files[3][0]]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_empty_hours_look_alike_and_are_not_the_same(fed, ids, register, order):
    """The hour was corrected to nothing, in the bytes of an hour in which nothing ever was."""
    files = [
        (named(EARLY), shown([1, 2])),
        (named(EARLY, hour="2026110802"), shown([])),
        (named(LATE), shown([])),
    ]
    came = [fed(*files[number]) for number in order]
    assert ids() == []
    assert not any(each.replay for each in came)
    assert {(each.slot[-2:], each.made) for each in register.values()} == {("01", EARLY), ("02", EARLY), ("01", LATE)}
    assert all(fed(*files[number]).replay for number in order), "each of them is known by now"
    assert len(register) == 3


def test_what_was_corrected_may_be_corrected_back(fed, ids):
    for number, text in enumerate([shown([1]), shown([2]), shown([1])]):
        fed(named(f"20261108_0{number}4912_1"), text)
    assert ids() == [("imp-1", "original")]


def test_an_ingest_that_died_keeps_its_bytes(fed, ids, monkeypatch):
    """Another hour with the same bytes must not take its events for its own."""
    commit = Append.commit
    with monkeypatch.context() as dying:
        dying.setattr(Append, "commit", lambda self, *args: (commit(self, *args), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            fed(named(EARLY), shown([1]))
    assert fed(named(EARLY, hour="2026110802"), shown([1])).duplicate == 1
    assert fed(named(EARLY), shown([1])).accepted == 1
    assert ids() == [("imp-1", "original")]


def test_only_the_same_file_is_replaced(fed, stored):
    fed(named(EARLY), shown([1]))
    fed(named(LATE, account="account9"), shown([2]))
    fed(named(LATE, hour="2026110802"), shown([3]))
    clicks = table([[NOON, "user-1", "imp-1"]], ["Event Time", "User ID", "Impression ID"])
    fed(named(LATE, kind="click"), clicks)
    assert len(stored()) == 3
    assert len(stored("outcomes")) == 1


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_files_of_one_instant_the_one_that_came_last_counts(fed, ids, register, order):
    """The hour was corrected under the same name, whatever its bytes hash to."""
    texts = [shown([1, 2]), shown([2, 3]), shown([4])]
    came = [fed(named(EARLY), texts[number]) for number in order]
    assert [each.accepted for each in came] == [texts[number].count("imp-") for number in order]
    assert [each for each, _ in ids()] == [each for each in ("imp-1", "imp-2", "imp-3", "imp-4")
                                           if each in texts[order[2]]]  # fmt: skip
    assert all(fed(named(EARLY), texts[number]).replay for number in order[2:]), "it stands"
    assert fed(named("20261108_010000_1"), shown([5])).rejected == {"superseded": 1}, "an earlier one stays earlier"
    fed(named(LATE), shown([6]))
    assert [each for each, _ in ids()] == ["imp-6"], "and a later one later"


def test_one_of_an_instant_that_died_keeps_its_place(fed, ids, monkeypatch):
    """It came first, though it ends last."""
    with monkeypatch.context() as dying:
        dying.setattr(Append, "commit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fed(named(EARLY), shown([1]))
    fed(named(EARLY), shown([2]))
    assert fed(named(EARLY), shown([1])).rejected == {"superseded": 1}
    assert ids() == [("imp-2", "original")]


def test_bytes_that_were_replaced_may_come_again_under_their_name(fed, ids, register):
    before = datetime.now(UTC) - timedelta(minutes=1)
    first, second = (fed(named(EARLY), shown([number]), now=before) for number in (1, 2))
    again = fed(named(EARLY), shown([1]), now=before)
    assert (again.accepted, again.replay) == (1, False), "it was written after the second was read"
    assert ids() == [("imp-1", "original")]
    assert fed(named(EARLY), shown([1]), now=before).replay
    assert len({first.sha256, second.sha256, again.sha256}) == len(register) == 3


def test_a_file_that_lay_there_before_another_took_its_place_says_nothing_new(fed, ids):
    """The same command given twice, of files of one name in two folders."""
    soon = datetime.now(UTC) + timedelta(minutes=1)
    for number in (1, 2, 1, 2):
        fed(named(EARLY), shown([number]), now=soon)
    assert fed(named(EARLY), shown([1]), now=soon).replay
    assert ids() == [("imp-2", "original")]


def test_an_empty_file_empties_the_hour(fed, stored):
    fed(named(EARLY), shown([1, 2]) + "1,2\n")
    empty = fed(named(LATE), shown([]))
    assert (empty.read, stored(), stored("rejects")) == (0, [], [])
    late = fed(named("20261108_050000_1"), shown([1]))
    assert late.rejected == {"superseded": 1}
    assert stored() == []


def test_duplicates_are_looked_for_among_the_others(fed, stored):
    fed(named(hour="2026110802"), shown([3]))
    first = fed(named(EARLY), shown([1, 2, 3]))
    second = fed(named(LATE), shown([1, 2, 3, 2]))
    assert (first.accepted, first.duplicate) == (2, 1)
    assert (second.accepted, second.duplicate) == (2, 2)
    assert len(stored()) == 3


def test_an_event_that_another_file_repeated_goes_with_the_file_that_brought_it(fed, stored):
    """What its ad server no longer says of that hour; the other file's account still calls it a duplicate."""
    fed(named(EARLY), shown([1, 2]))
    fed(named(hour="2026110802"), shown([2, 3]))
    fed(named(LATE), shown([1]))
    assert [row["event_id"] for row in stored()] == ["imp-1", "imp-3"]


def test_files_that_were_compacted_lose_the_old_rows_and_keep_the_others(fed, stored, lake):
    texts = {hour: shown([hour * 10, hour * 10 + 1]) + "1,2\n" for hour in range(1, 10)}
    hours = [fed(named(hour=f"20261108{hour:02}"), text) for hour, text in texts.items()]
    for name in ("impressions", "rejects"):
        assert upkeep.compact(lake, name).files == 9
    fed(named(LATE, hour="2026110803"), shown([31, 32]))
    found = [row["event_id"] for row in stored()]
    assert found == sorted([f"imp-{h * 10 + n}" for h in range(1, 10) for n in (0, 1) if h != 3] + ["imp-31", "imp-32"])
    assert Counter(row["delivery"] for row in stored("rejects")) == Counter(
        each.sha256 for number, each in enumerate(hours) if number != 2
    )
    assert len(lake.begin("impressions").files()) == 2


def test_in_an_object_store_too(fed, tmp_path):
    elsewhere = EventLake(f"file://{tmp_path}/store")
    fed(named(EARLY), shown([1, 2]) + "1,2\n", lake=elsewhere)
    fed(named(hour="2026110802"), shown([7]) + "1,2\n", lake=elsewhere)
    second = fed(named(LATE), shown([2, 3]), lake=elsewhere)
    rows = elsewhere.dataset("impressions").to_table().to_pylist()
    assert sorted(row["event_id"] for row in rows) == ["imp-2", "imp-3", "imp-7"]
    assert elsewhere.dataset("rejects").count_rows() == 1
    assert elsewhere.begin("impressions").delivered(second.sha256)
    empty = fed(named("20261109_000000_1"), shown([]), lake=elsewhere)
    assert elsewhere.begin("impressions").delivered(empty.sha256)
    assert elsewhere.dataset("impressions").count_rows() == 1


def test_of_a_file_whose_ingest_died_the_newer_one_leaves_nothing(fed, stored, register, monkeypatch):
    """The older file's events are in the lake; neither its rejects nor its account are."""
    real = Append.commit

    def dies(self, rows, delivery):
        if rows.folder.name == "rejects":
            raise KeyboardInterrupt
        real(self, rows, delivery)

    with monkeypatch.context() as patch:
        patch.setattr(Append, "commit", dies)
        with pytest.raises(KeyboardInterrupt):
            fed(named(EARLY), shown([1, 2]) + "1,2\n")
    assert len(stored()) == 2
    assert register == {}
    fed(named(LATE), shown([2, 3]))
    assert [row["event_id"] for row in stored()] == ["imp-2", "imp-3"]
    late = fed(named(EARLY), shown([1, 2]) + "1,2\n")
    assert late.rejected == {"superseded": 3}
    assert len(stored()) == 2


def test_a_newer_file_that_was_begun_and_not_ingested_supersedes_nothing(fed, stored, monkeypatch):
    def dies(self, rows, delivery):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Append, "commit", dies)
        with pytest.raises(KeyboardInterrupt):
            fed(named(LATE), shown([2, 3]))
    assert fed(named(EARLY), shown([1, 2])).accepted == 2
    assert fed(named(LATE), shown([2, 3])).accepted == 2
    assert [row["event_id"] for row in stored()] == ["imp-2", "imp-3"]


def test_random_hours_end_as_the_newest_files_say(fed, stored):
    """Beside what a reader of the names alone would keep: the newest file of each hour, first come first of its ids."""
    rng = np.random.default_rng(5)
    kept = {}
    for number in range(14):
        hour, made = int(rng.integers(3)), f"20261108_{rng.permutation(900000)[0] + 100000}_{number}"
        events = sorted(rng.choice(30, 6, replace=False) + 100 * hour)
        fed(named(made, hour=f"202611080{hour}"), shown(events))
        kept[hour] = max(kept.get(hour, ("", [])), (made, events))
    expected = sorted(f"imp-{event}" for _, events in kept.values() for event in events)
    assert [row["event_id"] for row in stored()] == expected


def test_ad_managers_corrected_file_replaces_the_first(deliver, stored):
    header = ["TimeUsec2", "UserId", "CreativeId", "ImpressionId", "KeyPart"]

    def gam(name, numbers):
        rows = [[NOON + number, f"u{number}", "5001", f"i{number}", "1"] for number in numbers]
        meant = {"creativeid": {"5001": ("spring", "mosaic")}}
        return deliver(name, table(rows, header), feed=feeds()["gam"], trafficking=meant)

    gam("NetworkImpressions_4321_20261108_12.gz", [1, 2])
    gam("NetworkBackfillImpressions_4321_20261108_12.gz", [9])
    gam("NetworkImpressions_4321_20261108_12_corrected.gz", [2, 3])
    assert gam("NetworkImpressions_4321_20261108_12.csv.gz", [1]).rejected == {"superseded": 1}
    assert [row["event_id"] for row in stored()] == ["i2/1", "i3/1", "i9/1"]


@pytest.mark.parametrize(
    ("name", "slot", "made"),
    [
        ("dcm_account1234_impression_2016022601_20160225_234912_218211994.csv.gz",
         "cm360/impression/dcm_account1234/2016022601", "20160225_234912_218211994"),
        ("DCM_Account1234_Impression_2016022601_20160225_234912_218211994.CSV",
         "cm360/impression/dcm_account1234/2016022601", "20160225_234912_218211994"),
        ("dcm_account1234_impression_october.csv", None, None),
    ],
)  # fmt: skip
def test_a_files_name_says_which_it_is(name, slot, made):
    (pattern,) = [file.replaces for file in feeds()["cm360"].files if file.kind == "impression"]
    found = edition_of(name, "ab", pattern, "cm360", "impression")
    assert found == (Edition(slot, made, "ab") if slot else None)


def test_rejects_that_were_judged_again_replace_nothing_and_go_with_their_file():
    first, second, judged = Edition("s", "1", "b"), Edition("s", "2", "a"), Edition("s", "1", "z", rejects=True)
    assert older([first, second, judged], second) == {"b", "z"}
    assert newer([first, second, judged], first) == ("a",)
    assert newer([judged], first) == ()


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?P<made>.*", "is no regular expression"),
        ("views_(?P<hour>.*)", "must have the named group"),
        ("(?P<made>.*)", "and others that say which file it is"),
    ],
)
def test_a_pattern_that_is_none_says_what_is_wrong(tmp_path, pattern, said):
    path = tmp_path / "shop.toml"
    path.write_text(
        'name = "shop"\ntitle = "Shop"\nsource = "https://shop.example"\nchecked_on = 2026-11-25\n[[files]]\n'
        f"kind = 'click'\nnames = ['views_*']\nreplaces = '{pattern}'\ncolumns = {{event_id = 'id', ts = 'at'}}\n"
    )
    with pytest.raises(DocumentError, match=said) as refusal:
        read_feed(path)
    assert "\n" not in str(refusal.value)
