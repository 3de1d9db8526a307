"""Lines of JSON that are valid and yet no event: they cost themselves alone, and show of no one who it was."""

import json

import pytest

from experiments.ingest.feed import FeedFile
from experiments.ingest.json_lines import JsonLines
from experiments.ingest.layout import Mapped
from experiments.ingest.log import Block, Line
from experiments.ingest.rejected import counted, lost, record_of

AT = "2026-11-08T12:00:00Z"
SALE = f'{{"event_id": "v1", "ts": "{AT}", "value": "1", "unit": "user-1"}}'
NESTED = FeedFile(
    kind="click", names=["*"], columns={"event_id": "id", "ts": "at", "unit": ["user.id", "ad.User ID"], "device": "os"}
)


def lists(depth, inner='"user-7"'):
    return "[" * depth + inner + "]" * depth


def objects(depth):
    return '{"a": ' * depth + '"user-7"' + "}" * depth


@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        *((lists(depth), "not_json") for depth in (100, 500, 900, 960, 975, 990, 2_000, 100_000)),
        *((objects(depth), "not_json") for depth in (100, 300, 500, 975, 100_000)),
        (lists(99), "bad_value"),
        (objects(99), "bad_value"),
        ('{"a": 1, "a": ' + lists(900) + "}", "not_json"),
        ('{"a": ' + lists(900) + ', "a": 1}', "not_json"),
        ('"user-7\\ud83d\\ude00", "note": ' + lists(900), "not_json"),
        ('"user-7", "note": ' + lists(99), None),
        ('"user-7", "note": "' + "[{" * 500 + '"', None),
    ],
)
def test_a_line_is_judged_by_its_depth_alone_and_costs_no_other(deliver, stored, unit, reason):
    other = SALE.replace("v1", "v2").replace('"user-1"', unit)
    delivery = deliver("conversions.jsonl", f"{SALE}\n{other}\n")
    assert (delivery.accepted, delivery.rejected) == ((1, {reason: 1}) if reason else (2, {}))
    kept = stored("rejects")
    assert "user-7" not in repr(kept)
    if reason == "not_json":
        assert record_of(kept[0]["text"]) is None, "whoever reads it again need not follow it"
        assert '"v2"' in kept[0]["text"], "what is public stays"


@pytest.mark.parametrize("user", [lists(100), objects(100), lists(900), objects(900), objects(450), objects(100_000)])
def test_a_deep_line_of_a_feed_costs_no_other_either(user):
    good, deep = f'{{"id": "c1", "at": "{AT}", "user": {{"id": "u"}}}}', f'{{"id": "c2", "at": "{AT}", "user": {user}}}'
    rows, form = read(NESTED, good, deep)
    assert (rows.places.tolist(), [each.reason for each in rows.broken]) == ([0], ["not_json"])
    assert "user-7" not in form.masked(deep, Hashed())


class Hashed(dict):
    """All units have one hash: asked is only that no unit is kept."""

    def __missing__(self, unit):
        return "0" * 32


def read(file, *lines):
    mapped = Mapped(file, {}, (), first=True, identity="x", hashed=str)
    form = JsonLines("clicks.jsonl", [Line(1, line) for line in lines], None, mapped)
    return form.rows(Block.of("".join(line + "\n" for line in lines).encode(), 1)), form


@pytest.mark.parametrize("key", ["placement", "slot", "action"])
def test_in_a_line_that_is_no_json_only_a_single_value_is_kept_after_a_public_name(deliver, stored, key):
    broken = f'{{"event_id": "v2", "{key}": ["user-7"], "{key}": {{"user-7": 1}}, "arm" : "mosaic"'
    assert deliver("conversions.jsonl", f"{SALE}\n{broken}\n").rejected == {"not_json": 1}
    (reject,) = stored("rejects")
    assert "user-7" not in reject["text"]
    assert '"v2"' in reject["text"]
    assert '"mosaic"' in reject["text"]


@pytest.mark.parametrize(
    ("more", "twice"),
    [
        ('"unit": "user-7"', True),
        ('"unit" : "user-7"', True),
        ('"un\\u0069t":"user-7"', True),
        ('"Unit": "user-7"', True),
        ('"unit": "user-1"', True),
        ('"unit": null', True),
        ('"unit (hashed)": "' + "ab" * 16 + '"', True),
        ('"note": "user-7", "note": "user-8"', False),
        ('"note": "x", "memo": {"unit": 1, "unit": 2}, "page": ",\\"unit\\":"', False),
        ('"note": 1, "note": 2, "memo": 3, "Event-ID": "v3"', True),
        ('"note": 1, "memo": 2, "page": 3, "VALUE": 5', True),
        ('"experiment": "spring", "Experiment": "x"', True),  # of another kind of events, but read as one of ours
    ],
)
def test_a_line_that_has_a_column_twice_is_rejected(deliver, stored, lake, more, twice):
    line = SALE.replace("v1", "v2").replace("}", f", {more}}}")
    delivery = deliver("conversions.jsonl", f"{SALE}\n{line}\n")
    assert (delivery.accepted, delivery.rejected) == ((1, {"ragged_row": 1}) if twice else (2, {}))
    kept = stored("rejects")
    assert all(unit not in repr(kept) for unit in ("user-1", "user-7"))
    for origin, reason in counted(lake):
        assert "(hashed)" not in kept[0]["text"], "it is not kept as if it had named one unit"
        assert lost(kept[0]["text"], reason, origin, None) == "values_not_told_apart", "no replay takes the last"


@pytest.mark.parametrize(
    ("more", "twice"),
    [
        ('"User": {"ID": "b"}', True),
        ('"user": {"id": "b"}', True),
        ('"user": {"id": "b", "id": "c"}', True),
        ('"user.id": "b"', True),
        ('"ad": {"user_id": "b", "UserID": "c"}', True),
        ('"ad": {"user_id": "b"}', False),  # another column that the mapping asks for
        ('"ad": {"x": 1, "x": 2}, "ad": 5', False),
        ('"user": 5', True),
        ('"user": {}', True),
        ('"user": {"name": {"x": 1}}', True),
        ('"more": [{"id": 1, "id": 2}], "x": 1, "x": 2', False),
    ],
)
def test_a_line_of_a_feed_that_has_a_column_twice_is_rejected(more, twice):
    good = f'{{"id": "c1", "at": "{AT}", "user": {{"id": "a"}}}}'
    line = f"{good[:-1]}, {more}}}"
    rows, form = read(NESTED, good, line, good)
    assert [each.reason for each in rows.broken] == ["ragged_row"] * twice
    assert rows.places.tolist() == ([0, 2] if twice else [0, 1, 2])
    assert form.masked(good, Hashed()) == json.dumps({"id": "c1", "at": AT, "user.id (hashed)": "0" * 32})


def test_each_line_of_a_feed_may_spell_a_column_in_its_own_way():
    lines = [f'{{"id": "c1", "at": "{AT}", "{key}": "u"}}' for key in ("User ID", "user_id", "UserID")]
    file = NESTED.model_copy(update={"columns": {"event_id": "id", "ts": "at", "unit": "User-ID"}})
    rows, _ = read(file, *lines)
    assert rows.cells["unit"].to_pylist() == ["u"] * 3
