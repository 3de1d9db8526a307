"""Accounts of deliveries added up: no line counts twice."""

from dataclasses import replace
from datetime import UTC, datetime

from experiments.core.delivery import Delivery, as_it_stands

FILE = Delivery(
    "aa", "impressions.csv", "impression", 1, read=100, accepted=80, duplicate=5,
    finished_at=datetime(2026, 11, 2, tzinfo=UTC), rejected={"unknown_arm": 10, "ragged_row": 5},
)  # fmt: skip
FIRST = replace(
    FILE, sha256="b1", rejects_of="aa", read=15, accepted=4, duplicate=1, rejected={"unknown_arm": 5, "ragged_row": 5}
)
SECOND = replace(FILE, sha256="b2", rejects_of="aa", read=10, accepted=3, duplicate=0, rejected={"ragged_row": 7})


def adds_up(delivery):
    return delivery.read == delivery.accepted + delivery.duplicate + sum(delivery.rejected.values())


def test_what_was_taken_from_rejects_is_told_with_the_file():
    (found,) = as_it_stands([FILE, FIRST, SECOND])
    assert found == replace(FILE, accepted=87, duplicate=6, rejected={"ragged_row": 7})
    assert adds_up(found)


def test_without_the_file_only_what_was_taken_is_told():
    first, second = as_it_stands([FIRST, SECOND])
    assert (first.read, first.accepted, first.duplicate, first.rejected) == (5, 4, 1, {})
    assert (second.read, second.accepted) == (3, 3)


def test_rejects_that_were_forgotten_since_are_accounted_for():
    (found,) = as_it_stands([FILE, replace(SECOND, rejected={"ragged_row": 2}, read=5)])
    assert found.rejected == {"ragged_row": 2, "forgotten": 10}
    assert adds_up(found)


def test_other_deliveries_stay_as_they_are():
    other = replace(FILE, sha256="cc", replaced_by="dd")
    assert as_it_stands([other, FILE]) == (other, FILE)


def test_lines_that_were_never_kept_stay_in_the_account():
    file = replace(FILE, rejected={"unknown_arm": 10, "ignored_event_type": 5})
    (found,) = as_it_stands([file, replace(SECOND, rejected={"unknown_arm": 7})])
    assert found.rejected == {"unknown_arm": 7, "ignored_event_type": 5}
    assert adds_up(found)
