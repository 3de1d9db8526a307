"""Days that platforms state anew: what was said last stands, what did not change is a duplicate, nothing adds up."""

import random
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.core.errors import TryLater
from experiments.events.append import Append
from experiments.events.counts import platform_counts
from experiments.events.lake import EventLake
from experiments.events.upkeep import forget
from experiments.ingest.files import ingest_file
from experiments.ingest.hashing import UnitHasher

HEADER = "date,experiment,arm,ad,impressions,clicks,conversions,spend,currency\n"
DAYS = date(2026, 1, 1), date(2026, 12, 31)
NOW = datetime(2026, 11, 9, 6, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(hours=1)
"""Than any file of these tests is written."""


def line(day=1, ad="a1", impressions=100, clicks=3, conversions="", arm="mosaic"):
    return f"2026-11-{day:02d},spring,{arm},{ad},{impressions},{clicks},{conversions},1.5,EUR"


def text(*lines):
    return HEADER + "\n".join(lines) + "\n"


@pytest.fixture
def stands(lake):
    """Impressions and conversions of an arm as they stand now."""

    def stands(arm="mosaic", experiment="spring"):
        found = {each.arm: each for each in platform_counts(lake, experiment, *DAYS)}
        return (found[arm].impressions, found[arm].conversions) if arm in found else None

    return stands


def test_a_restated_day_replaces_and_an_unchanged_one_is_a_duplicate(deliver, stands):
    first = deliver("counts-1.csv", text(line(1), line(2)))
    assert (first.accepted, first.duplicate, stands()) == (2, 0, (200, None))
    second = deliver("counts-2.csv", text(line(3), line(2, conversions=4), line(1)))
    assert (second.accepted, second.duplicate, stands()) == (2, 1, (300, 4))
    third = deliver("counts-3.csv", text(line(2, conversions=5), line(2, conversions=5), line(1)))
    assert (third.accepted, third.duplicate, stands()) == (1, 2, (300, 5))


def test_the_same_file_again_is_known_at_once_and_under_another_name_brings_nothing(deliver, stands, lake):
    deliver("counts-1.csv", text(line(1), line(2)))
    version = lake.versions()["counts"]
    assert deliver("counts-1.csv", text(line(1), line(2))).replay
    again = deliver("counts-2.csv", text(line(2), line(1)))
    assert (again.accepted, again.duplicate, again.replay) == (0, 2, False)
    assert (lake.versions()["counts"], stands()) == (version, (200, None))


def test_a_number_that_returns_to_what_it_was_has_changed_twice(deliver, stands):
    for number, impressions in enumerate((100, 120, 100, 100, 120)):
        delivery = deliver(f"counts-{number}.csv", text(line(impressions=impressions)) + "\n" * number)
        assert (delivery.accepted, delivery.duplicate) == ((0, 1) if number == 3 else (1, 0))
        assert stands() == (impressions, None)


def test_the_same_bytes_under_another_name_are_said_again(deliver, stands):
    """What a platform took back it may say once more: A, then B, then A."""
    said = [text(line(impressions=100)), text(line(impressions=120))]
    for number, which in enumerate((0, 1, 0, 0, 1)):
        delivery = deliver(f"counts-{number}.csv", said[which])
        assert (delivery.accepted, delivery.duplicate) == ((0, 1) if number == 3 else (1, 0))
        assert (delivery.replay, stands()) == (False, ((100, 120)[which], None))
    for number, which in enumerate((0, 1, 0, 0, 1)):
        assert deliver(f"counts-{number}.csv", said[which], now=LATER).replay, "each is known by its name"
    assert stands() == (120, None)


def test_the_same_bytes_under_the_same_name_are_said_again_where_the_name_said_something_else(deliver, stands):
    before = datetime.now(UTC) - timedelta(minutes=1)
    for days, impressions in enumerate((100, 120, 100, 120, 100)):
        back = before - timedelta(days=days)  # clocks may go back
        assert deliver("counts.csv", text(line(impressions=impressions)), now=back).accepted == 1
        assert deliver("counts.csv", text(line(impressions=impressions)), now=back).replay
        assert stands() == (impressions, None)


def test_a_file_that_lay_there_before_another_of_its_name_was_read_says_nothing_new(deliver, stands):
    """The same command given twice, of files of one name in two folders."""
    for number, impressions in enumerate((100, 120, 100, 120)):
        delivery = deliver("counts.csv", text(line(impressions=impressions)), now=LATER)
        assert delivery.replay == (number > 1)
    assert stands() == (120, None)


def test_what_came_last_stands_though_the_clock_was_set_back(deliver, stands, now):
    deliver("counts-1.csv", text(line(impressions=100)))
    deliver("counts-2.csv", text(line(impressions=120)), now=now - timedelta(days=1))
    assert stands() == (120, None)
    deliver("counts-3.csv", text(line(impressions=130)), now=now - timedelta(days=1))
    assert stands() == (130, None)


def test_in_an_object_store_it_is_the_same(tmp_path, deliver):
    lake = EventLake(f"file://{tmp_path}/elsewhere")
    accounts = [(100, (2, 0)), (120, (1, 1)), (120, (0, 2)), (100, (1, 1))]
    accounts += [(impressions, (1, 1)) for impressions in range(110, 117)]
    for number, (impressions, account) in enumerate(accounts):
        content = text(line(2), line(1, impressions=impressions)) + "\n" * number
        delivery = deliver(f"counts-{number}.csv", content, lake=lake)
        assert (delivery.accepted, delivery.duplicate) == account
        (found,) = platform_counts(lake, "spring", *DAYS)
        assert found.impressions == 100 + impressions


def test_an_ad_that_was_given_the_wrong_arm_moves_with_its_next_delivery(deliver, stands):
    deliver("counts-1.csv", text(line(arm="mosaic")))
    deliver("counts-2.csv", text(line(arm="original")))
    assert (stands("mosaic"), stands("original")) == (None, (100, None))
    moved = line(arm="1").replace("spring", "0")
    deliver("counts-3.csv", text(moved))
    assert (stands("original"), stands("1", "0")) == (None, (100, None))


@pytest.mark.parametrize("fails", ["commit", "record"])
def test_killed_anywhere_the_same_call_ends_the_same_whatever_came_between(
    deliver, register, stands, lake, monkeypatch, fails
):
    deliver("counts-1.csv", text(line(1), line(2)))
    content = text(line(1), line(2, conversions=4), line(3, arm="sepia"))

    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if fails == "commit":
            real = Append.commit
            patch.setattr(
                Append, "commit", lambda self, *rest: killed() if self._name == "rejects" else real(self, *rest)
            )
        else:
            patch.setattr(register, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            deliver("counts-2.csv", content)
    deliver("counts-3.csv", text(line(1, impressions=110), line(2, conversions=4)))
    version = lake.versions()["counts"]
    again = deliver("counts-2.csv", content)
    assert (again.accepted, again.duplicate, again.rejected) == (1, 1, {"unknown_arm": 1})
    assert (lake.versions()["counts"], lake.dataset("rejects").count_rows()) == (version, 1)
    assert stands() == (210, 4), "what came between stands"


def test_counts_that_were_forgotten_meanwhile_stay_forgotten(deliver, register, lake, stands):
    deliver("counts-1.csv", text(line(1), line(2)))
    forget(lake, "counts", date(2026, 12, 1))
    register.clear()
    again = deliver("counts-1.csv", text(line(1), line(2)))
    assert (again.accepted, again.duplicate, stands()) == (0, 2, None)


def test_two_at_once_the_second_is_told_to_come_again(deliver, lake, stands, monkeypatch):
    real = EventLake.begin

    def overtaken(self, name, replacing=()):
        handle = real(self, name, replacing)
        if name == "counts":
            monkeypatch.setattr(EventLake, "begin", real)
            deliver("counts-2.csv", text(line(1, impressions=120)))
        return handle

    monkeypatch.setattr(EventLake, "begin", overtaken)
    with pytest.raises(TryLater, match="another ingest wrote to counts"):
        deliver("counts-1.csv", text(line(1)))
    assert stands() == (120, None)
    assert deliver("counts-1.csv", text(line(1))).accepted == 1
    assert stands() == (100, None), "it is the one that was delivered last"


class _Register(dict):
    """Deliveries by hash, in memory."""

    def find(self, sha256):
        return self.get(sha256)

    def record(self, delivery):
        self[delivery.sha256] = delivery


# --- against a loop over dicts ----------------------------------------------------------------------------------------

rows = st.tuples(st.integers(1, 3), st.sampled_from(["a1", "a2"]), st.integers(0, 3), st.sampled_from(["", 0, 2]))
"""(day, ad, impressions, conversions): few, so that the same is often said again."""
files = st.lists(st.lists(rows, min_size=1, max_size=6), min_size=1, max_size=5)


@settings(max_examples=12, deadline=None)
@given(files, st.randoms(use_true_random=False))
def test_latest_wins_as_in_a_dict(deliveries, dice: random.Random):
    said: dict[tuple, tuple] = {}
    with tempfile.TemporaryDirectory() as folder:
        lake, register = EventLake(Path(folder, "lake")), _Register()
        for number, content in enumerate(deliveries):
            whole = list({(day, ad): (day, ad, *rest) for day, ad, *rest in content}.values())
            repeated = whole + dice.sample(whole, dice.randrange(len(whole) + 1))
            dice.shuffle(repeated)
            accepted = duplicate = 0
            for day, ad, *rest in repeated:
                if said.get((day, ad)) == tuple(rest):
                    duplicate += 1
                else:
                    said[day, ad] = tuple(rest)
                    accepted += 1
            path = Path(folder, f"counts-{number}.csv")
            lines = [line(day, ad, impressions, 0, more) for day, ad, impressions, more in repeated]
            path.write_text(text(*lines) + "\n" * number)  # empty lines are no lines, but other bytes
            delivery = ingest_file(
                path, lake=lake, deliveries=register, hasher=UnitHasher(b"k" * 32),
                arms={"spring": frozenset({"mosaic"})}, now=NOW,
            )  # fmt: skip
            assert (delivery.accepted, delivery.duplicate) == (accepted, duplicate)
            (found,) = platform_counts(lake, "spring", *DAYS)
            told = [more for _, more in said.values() if more != ""]
            assert found.impressions == sum(impressions for impressions, _ in said.values())
            assert found.conversions == (sum(told) if told else None)
            assert found.spend_micros == {"EUR": 1_500_000 * len(said)}
            assert found.days == len({day for day, _ in said})
