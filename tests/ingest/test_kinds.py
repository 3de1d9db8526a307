"""Files that hold several kinds of events: each line in one account, each kind once, wherever ingest dies."""

import json
from itertools import count

import numpy as np
import pytest

from creatives.documents import DocumentError
from experiments.core.errors import ExperimentError
from experiments.events.append import Append
from experiments.events.lake import EventLake
from experiments.ingest.feed import read_feed
from experiments.ingest.log import FileRefused

MIXED = """
name = "mixed"
title = "A server with one log for all"
source = "https://intranet.example/logs"
checked_on = 2026-11-26

[[files]]
kind = "impression"
names = ["mixed-*"]
where = { type = ["view"] }
ignore = { type = ["pause", "resume"] }
columns = { event_id = "id", ts = "at", unit = "who", arm = "look" }
constants = { experiment = "spring" }

[[files]]
kind = "click"
names = ["mixed-*"]
where = { type = ["click"] }
columns = { event_id = "id", ts = "at", impression_id = "view", unit = "who" }

[[files]]
kind = "conversion"
names = ["mixed-*"]
where = { type = ["sale"], paid = "above zero" }
columns = { event_id = "id", ts = "at", unit = "who", value = "paid", currency = "money" }
constants = { currency = "EUR" }
"""
HEADER = "type,id,at,who,look,view,paid,money"
AT = "2026-11-08T12:00:00Z"
ROWS = [
    f"view,e1,{AT},ann,mosaic,,,",
    f"view,e2,{AT},bob,original,,,",
    f"click,e3,{AT},ann,,e1,,",
    f"sale,e4,{AT},ann,,,12.50,",
    f"sale,e5,{AT},bob,,,9,NOK",
    f"sale,e6,{AT},bob,,,0,",  # of no kind: it is not above zero
    f"pause,e7,{AT},bob,,,,",
    f"dance,e8,{AT},bob,,,,",
    f"view,e9,{AT},cas,pencil,,,",
    f"click,e10,{AT},,,,,",
    f"view,e1,{AT},ann,mosaic,,,",
    "view,e11",
]
TEXT = "\n".join([HEADER, *ROWS]) + "\n"


@pytest.fixture
def feed(tmp_path):
    """A mapping file, read."""

    def feed(text=MIXED, **replaced):
        for old, new in replaced.items():
            text = text.replace(old, new)
        path = tmp_path / "mixed.toml"
        path.write_text(text)
        return read_feed(path)

    return feed


@pytest.fixture
def take(tmp_path, ingest_all):
    """A file of that content into the lake: its accounts by kind."""

    def take(feed, text=TEXT, name="mixed-1.csv", **changed):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return ingest_all(path, feed=feed, **changed)

    return take


def told(accounts):
    return {kind: (each.read, each.accepted, each.duplicate, each.rejected) for kind, each in accounts.items()}


ACCOUNTS = {
    "impression": (
        8, 2, 1,
        {"ignored_event_type": 1, "ragged_row": 1, "unknown_arm": 1, "unknown_event_type": 2},
    ),
    "click": (2, 1, 0, {"missing_reference": 1}),
    "conversion": (2, 2, 0, {}),
}  # fmt: skip


def test_each_line_is_in_one_account(feed, take, stored, register, hasher):
    accounts = take(feed())
    assert told(accounts) == ACCOUNTS
    assert sum(each.read for each in accounts.values()) == len(ROWS)
    sha256 = accounts["impression"].sha256
    assert list(register) == [f"{sha256[:50]}:conversion", f"{sha256[:50]}:click", sha256], (
        "the file's own hash comes last"
    )
    assert [(row["event_id"], row["arm"], row["experiment"], row["line"]) for row in stored()] == [
        ("e1", "mosaic", "spring", 2), ("e2", "original", "spring", 3)
    ]  # fmt: skip
    outcomes = {row["event_id"]: row for row in stored("outcomes")}
    assert (
        outcomes["e3"].items() >= {"kind": "click", "impression_id": "e1", "delivery": f"{sha256[:50]}:click"}.items()
    )
    assert {key: outcomes[key]["currency"] for key in ("e4", "e5")} == {"e4": "EUR", "e5": "NOK"}
    rejects = {row["line"]: (row["reason"], row["kind"]) for row in stored("rejects")}
    assert rejects == {
        7: ("unknown_event_type", "impression"),
        9: ("unknown_event_type", "impression"),
        10: ("unknown_arm", "impression"),
        11: ("missing_reference", "click"),
        13: ("ragged_row", "impression"),
    }, "what is to be ignored is counted, not kept"
    kept = next(row["text"] for row in stored("rejects") if row["line"] == 9)
    assert "dance" in kept, "what the mapping should have known"
    assert "bob" not in kept
    assert hasher.hashed("bob") in kept


def test_the_same_in_json_lines(feed, take, stored):
    names = HEADER.split(",")
    rows = [dict(zip(names, row.split(","), strict=False)) for row in ROWS[:-1]]
    nested = [{"event": {"type": row.pop("type")}, **row} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in nested)
    found = told(take(feed(**{"{ type =": '{ "event.type" ='}), text + "{\n", "mixed-1.jsonl"))
    expected = dict(ACCOUNTS)
    rejected = {"not_json" if key == "ragged_row" else key: count for key, count in ACCOUNTS["impression"][3].items()}
    assert found == expected | {"impression": (*ACCOUNTS["impression"][:3], rejected)}
    assert [row["event_id"] for row in stored("outcomes")] == ["e3", "e4", "e5"]


def test_what_one_kind_cannot_read_is_in_the_account_of_the_first(feed, take, stored, hasher):
    """A value that only conversions read has parts: as an impression the line would be somebody else's."""
    names = HEADER.split(",")
    rows = [dict(zip(names, row.split(","), strict=False)) for row in ROWS[:5]]
    rows[3]["money"] = ["EUR"]
    found = told(take(feed(), "".join(json.dumps(row) + "\n" for row in rows), "mixed-1.jsonl"))
    assert found == {
        "impression": (3, 2, 0, {"bad_value": 1}), "click": (1, 1, 0, {}), "conversion": (1, 1, 0, {})
    }  # fmt: skip
    (reject,) = stored("rejects")
    assert (reject["line"], reject["kind"]) == (4, "impression")
    assert hasher.hashed("ann") in reject["text"]
    assert '"ann"' not in reject["text"]


def test_a_broken_line_of_a_feed_keeps_nothing_that_might_be_a_unit(feed, take, stored):
    """Under a name that is a public one of ours, or that is public at another place, a feed may have its unit."""
    private = feed(**{'unit = "who"': 'unit = "device"', '"id"': '"event_id"'})
    lines = ['{"event_id": "e1", "device": "ann", ', '{"user": {"event_id": "bob"}, "type" "view"}']
    good = {"type": "view", "event_id": "e2", "at": AT, "device": "cas", "look": "mosaic"}
    found = take(private, "\n".join([json.dumps(good), *lines]) + "\n", "mixed-1.jsonl")
    assert found["impression"].rejected == {"not_json": 2}
    kept = "".join(reject["text"] for reject in stored("rejects"))
    assert "ann" not in kept
    assert "bob" not in kept


def test_json_lines_need_only_what_their_own_kind_needs(feed, take):
    """No line here has what only other kinds have, and one comes late."""
    views = [{"type": "view", "id": f"v{n}", "at": AT, "who": "ann", "look": "mosaic"} for n in range(1_500)]
    click = {"type": "click", "id": "c1", "at": AT, "view": "v1"}
    text = "".join(json.dumps(row) + "\n" for row in [*views, click])
    assert [each[1] for each in told(take(feed(), text, "mixed-1.jsonl")).values()] == [1_500, 1, 0]
    with pytest.raises(FileRefused, match="lacks type, which tells"):
        take(feed(), text.replace('"type"', '"typ"'), "mixed-2.jsonl")


def test_a_kind_that_the_feed_has_not_is_said(feed, take):
    without = MIXED.partition('[[files]]\nkind = "click"')[0]
    with pytest.raises(FileRefused, match="files of A server with one log for all hold no clicks"):
        take(feed(without), kind="click")


def test_a_file_of_another_name_is_taken_where_all_kinds_lie_in_one_file(feed, take):
    assert told(take(feed(), name="october.csv")) == ACCOUNTS
    again = take(feed(), TEXT + "\n", name="november.csv", kind="click")
    assert [(each.accepted, each.duplicate) for each in again.values()] == [(0, 3), (0, 1), (0, 2)]


def test_the_same_file_again_adds_nothing(feed, take, lake):
    assert told(take(feed(), kind="click")) == ACCOUNTS, "to say one of its kinds says which file it is"
    versions = lake.versions()
    again = take(feed())
    assert told(again) == ACCOUNTS
    assert all(each.replay for each in again.values())
    assert lake.versions() == versions


def test_a_kind_that_the_mapping_learns_later_is_taken_from_a_known_file(feed, take):
    before, click, after = MIXED.partition('[[files]]\nkind = "click"')
    known = take(feed(before + "[[files]]" + (click + after).split("[[files]]")[2]))
    assert set(known) == {"impression", "conversion"}
    later = take(feed())
    assert (later["click"].accepted, later["click"].replay) == (1, False)
    assert later["impression"].replay


def test_a_row_may_be_of_two_kinds(feed, take, stored):
    """A log of impressions that says of each whether it was clicked."""
    both = """
name = "both"
title = "Impressions with their clicks"
source = "https://intranet.example/logs"
checked_on = 2026-11-26

[[files]]
kind = "impression"
names = ["mixed-*"]
columns = { event_id = "#line", ts = "at", unit = "who", arm = "look" }
constants = { experiment = "spring" }

[[files]]
kind = "click"
names = ["mixed-*"]
where = { clicked = "above zero" }
columns = { event_id = "#line", ts = "at", unit = "who", impression_id = "#line" }
"""
    rows = [f"{AT},ann,mosaic,1", f"{AT},bob,mosaic,0", f"{AT},cas,mosaic,", f"{AT},dan,original,1", "broken"]
    text = "\n".join(["at,who,look,clicked", *rows]) + "\n"
    found = take(feed(both), text)
    assert told(found) == {"impression": (5, 4, 0, {"ragged_row": 1}), "click": (2, 2, 0, {})}
    shown, clicked = ({row["line"]: row for row in stored(name)} for name in ("impressions", "outcomes"))
    assert {line: row["impression_id"] for line, row in clicked.items()} == {
        line: shown[line]["event_id"] for line in (2, 5)
    }
    other = take(feed(both), text.replace("ann", "eve"), "mixed-2.csv")
    assert told(other)["impression"] == (5, 4, 0, {"ragged_row": 1}), "lines of another file are other events"


def test_an_id_that_is_made_of_a_unit_holds_its_hash(feed, take, stored, tmp_path, hasher):
    made = feed(**{'event_id = "id"': 'event_id = "who + at"'})
    take(made)
    ids = {row["event_id"] for row in stored()} | {row["event_id"] for row in stored("outcomes")}
    assert f"{hasher.of_ids.hashed('ann')}/{AT}" in ids
    files = [path.read_bytes() for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    assert not [data for data in files if b"ann" in data or b"bob" in data]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_broken_lines_of_a_mixed_file_are_each_in_one_account(feed, take, stored, form):
    rng, names = np.random.default_rng(5), HEADER.split(",")
    whole = []
    for number in range(1_500):
        made = [
            f"view,v{number},{AT},u{number},mosaic,,,", f"click,c{number},{AT},,,v{number},,",
            f"sale,s{number},{AT},u{number},,,5,", f"pause,p{number},{AT},,,,,", f"dance,d{number},{AT},,,,,",
        ]  # fmt: skip
        cells = made[rng.integers(0, len(made))]
        whole.append(json.dumps(dict(zip(names, cells.split(","), strict=True))) if form == "jsonl" else cells)
    nasty = [b'"', b",", b"\0", b"\xff", b"\r", b"{", b"}", b":", b"[]", b"null", b"\\u0000", b"paus", b"click"]
    sent = []
    for line in (each.encode() for each in whole):
        if rng.random() < 0.4:
            at = int(rng.integers(0, len(line)))
            line = line[:at] + nasty[rng.integers(0, len(nasty))] + line[at + int(rng.integers(0, 6)) :]
        sent.append(line)
    found = take(feed(), b"\n".join([HEADER.encode(), *sent][form == "jsonl" :]) + b"\n", f"mixed-1.{form}")
    assert sum(each.read for each in found.values()) == len(sent)
    rows = [row["line"] for name in ("impressions", "outcomes", "rejects") for row in stored(name)]
    assert len(rows) == len(set(rows)), "no line is in two places"
    ignored = found["impression"].rejected["ignored_event_type"]
    assert len(rows) + ignored + sum(each.duplicate for each in found.values()) == len(sent)
    pairs = enumerate(zip(whole, sent, strict=True), 1 + (form == "csv"))
    intact = {line for line, (was, now) in pairs if was.encode() == now}
    assert not intact & {row["line"] for row in stored("rejects") if row["reason"] != "unknown_event_type"}


class Dies(BaseException):
    """Like a kill: nothing catches it."""


def dying(function, steps, fatal):
    """The function; dead before or after it where the count of steps says so."""

    def call(*arguments):
        for work in (lambda: function(*arguments), lambda: None):
            if next(steps) == fatal:
                raise Dies
            work()

    return call


@pytest.mark.parametrize("asked", ["who + id", "id + at", "at + id"])
def test_a_placeholder_within_a_joined_id_is_found(feed, take, stored, asked):
    rows = [f"view,e1,{AT},ann,mosaic,,,", f"view,%%ID%%,{AT},bob,mosaic,,,"]
    found = take(feed(**{'event_id = "id"': f'event_id = "{asked}"'}), "\n".join([HEADER, *rows]) + "\n")
    assert (found["impression"].accepted, found["impression"].rejected) == (1, {"unexpanded_macro": 1})


def test_killed_between_any_two_steps_the_same_call_again_ends_in_the_same_lake(
    feed, take, register, monkeypatch, tmp_path
):
    expected, died, fatal = None, True, -1
    while died:
        fatal, died, steps = fatal + 1, False, count()
        register.clear()
        lake = EventLake(tmp_path / f"lake-{fatal}")
        with monkeypatch.context() as patch:
            for owner, name in ((Append, "commit"), (type(register), "record")):
                patch.setattr(owner, name, dying(getattr(owner, name), steps, fatal))
            try:
                take(feed(), lake=lake)
            except Dies:
                died = True
        assert told(take(feed(), lake=lake)) == ACCOUNTS, fatal
        tables = [lake.dataset(name).to_table().to_pylist() for name in ("impressions", "outcomes", "rejects")]
        found = [sorted(map(repr, rows)) for rows in tables]
        expected = expected or found
        assert found == expected, fatal
    assert fatal == 2 * (5 + 3), "five commits and three entries in the register were died before and after"


def test_a_file_that_refuses_one_kind_is_refused_before_anything_is_taken(feed, take, register, lake):
    broken = feed(**{'event_id = "id", ts = "at", unit = "who", arm': 'event_id = "nr", ts = "at", unit = "who", arm'})
    with pytest.raises(FileRefused, match="lacks nr, which is the event_id of impressions"):
        take(broken)
    with pytest.raises(FileRefused, match="lacks type, which tells what kind its rows are"):
        take(feed(), TEXT.replace("type", "typ", 1))
    assert (dict(register), set(lake.versions().values())) == ({}, {0})


def test_a_header_without_rows_is_an_empty_delivery_of_each_kind(feed, take):
    assert told(take(feed(), HEADER + "\n")) == dict.fromkeys(ACCOUNTS, (0, 0, 0, {}))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('constants = { currency = "EUR" }', 'constants = { curency = "EUR" }', "did you mean 'currency'"),
        ('names = ["mixed-*"]', 'names = ["mixed-*", "mixed-*"]', r"mixed-\* has two mappings of impressions"),
        ('where = { type = ["view"] }', "", "nothing is left to ignore where every row is one of the impressions"),
        ('constants = { currency = "EUR" }', 'constants = { unit = "x" }', "unit cannot be the same in every row"),
        ('paid = "above zero"', 'paid = "above"', "where.paid: a condition is a list of values, or one of 'anything'"),
        ('where = { type = ["sale"]', 'wher = { type = ["sale"]', "did you mean 'where'"),
        ('constants = { currency = "EUR" }', 'times = { zone = "Europe/Berln" }', "did you mean 'Europe/Berlin'"),
        ('constants = { currency = "EUR" }', 'times = { form = "%Q" }', "%Q is no part of a form"),
    ],
)
def test_a_mapping_that_is_none_says_what_is_wrong(feed, old, new, said):
    with pytest.raises((ExperimentError, DocumentError), match=said) as refusal:
        feed(**{old: new})
    assert "\n" not in str(refusal.value)


def test_times_are_declared_per_kind_of_file(feed, take, stored):
    declared = feed(**{'constants = { experiment = "spring" }': (
        'constants = { experiment = "spring" }\n'
        'times = { zone = "Europe/Berlin", form = "%d/%m/%Y %H:%M:%S" }'
    )})  # fmt: skip
    text = "\n".join([HEADER, "view,e1,08/11/2026 13:00:00,ann,mosaic,,,", f"click,e3,{AT},ann,,e1,,"]) + "\n"
    found = take(declared, text)
    assert [each.accepted for each in found.values()] == [1, 1, 0]
    assert stored()[0]["ts"].isoformat() == "2026-11-08T12:00:00+00:00" == stored("outcomes")[0]["ts"].isoformat()
    undeclared = take(feed(), text.replace("ann", "eve"), "mixed-2.csv", zone="Europe/Berlin")
    assert undeclared["impression"].rejected == {"bad_timestamp": 1}, "day-first dates are not guessed"
