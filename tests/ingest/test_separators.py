"""Files whose columns semicolons or tabs separate say the same as with commas, mess and all; the header tells which."""

import numpy as np
import pyarrow as pa
import pytest

from experiments.events.lake import EventLake
from experiments.ingest.comma_separated import Csv
from experiments.ingest.files import ingest_file
from experiments.ingest.log import FileRefused
from experiments.ingest.rejected import counted, export
from experiments.ingest.replay import replay_rejects

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
HEADER = ["event_id", "ts", "experiment", "arm", "unit", "placement", "ip"]
AT = "2026-11-08T12:00:00Z"


def line(cells, separator, always=False):
    """A cell is quoted where any separator stands in it."""
    quoted = ['"' + cell.replace('"', '""') + '"' if always or set(cell) & set(',;\t"') else cell for cell in cells]
    return separator.join(quoted)


def messy(separator, count=400):
    """The same lines for every separator, of which each may stand within a cell."""
    rng, lines = np.random.default_rng(9), [line(HEADER, separator)]
    for number in range(count):
        odd = rng.choice(["front", "a,b", "a;b", "a\tb", 'say "a"', "a,b;c\td", "", " padded ", "é"])
        cells = [f"i{number}", AT, "spring", "mosaic", f"ann-{number}", str(odd), "203.0.113.77"]
        text = line(cells, separator, rng.random() < 0.2)
        kind = rng.random()
        if kind < 0.05:
            text = line([text], ",", always=True)  # a whole row in quotes
        elif kind < 0.10:
            text += separator + "more"
        elif kind < 0.15:
            text = line(cells[:4], separator)
        elif kind < 0.20:
            text = text.replace("spring", "autumn")
        elif kind < 0.25:
            text += '"'
        elif kind < 0.30:
            text = text.replace("mosaic", 'mos"aic')
        elif kind < 0.35:
            text = text.replace("mosaic", "mos\raic")
        elif kind < 0.38:
            text = text.replace("mosaic", "mos\0aic")
        lines.append(text)
    return "\n".join(lines) + "\n"


@pytest.fixture
def outcome(tmp_path, register, hasher, now):
    """What becomes of a file in a lake of its own: account, events, rejects; and the lake."""

    def outcome(name, text):
        path, lake = tmp_path / name, EventLake(tmp_path / f"lake-{name}")
        path.write_bytes(text.encode())
        settings = {"hasher": hasher, "arms": {"spring": {"mosaic"}}, "now": now}
        delivery = ingest_file(path, lake=lake, deliveries=register, **settings)
        assert delivery.read == delivery.accepted + sum(delivery.rejected.values())
        tables = {
            name: lake.dataset(name).to_table().drop_columns(["delivery"]).sort_by("line").to_pylist()
            for name in ("impressions", "rejects")
        }
        for row in tables["rejects"]:
            row.pop("name")
        return (delivery.read, delivery.accepted, dict(delivery.rejected), tables), lake

    return outcome


@pytest.mark.parametrize("name", ["semicolon", "tab"])
def test_a_messy_file_says_the_same_whatever_separates_its_columns(outcome, name):
    expected, _ = outcome("impressions.csv", messy(","))
    assert set(expected[2]) == {"ragged_row", "whole_row_quoted", "unknown_experiment", "unknown_arm", "nul_byte"}
    found, _ = outcome(f"impressions-{name}.csv", messy(SEPARATORS[name]))
    assert found[:3] == expected[:3]
    assert found[3]["impressions"] == expected[3]["impressions"]
    # A row that closes no quote, or none at the right place, is told apart by separators alone: each part is hashed.
    told = [
        [
            (row["line"], row["reason"], row["header"], row["text"])
            for row in each["rejects"]
            if row["reason"] != "ragged_row"
        ]
        for each in (expected[3], found[3])
    ]
    assert told[0] == told[1]
    assert "ann-" not in repr(found[3]["rejects"])
    assert "203.0.113.77" not in repr(found[3]["rejects"])


@pytest.mark.parametrize("name", ["semicolon", "tab"])
def test_rejects_are_kept_with_commas_and_judged_again(outcome, register, hasher, now, tmp_path, name):
    separator = SEPARATORS[name]
    rows = [
        HEADER,
        ["i1", AT, "autumn", "mosaic", "ann", "a,b;c\td", ""],
        ["i2", AT, "winter", "mosaic", "bob", "", ""],
    ]
    _, lake = outcome("impressions.tsv", "".join(line(row, separator) + "\n" for row in rows))
    (origin,) = {origin for origin, _ in counted(lake)}
    assert origin.header == "event_id,ts,experiment,arm,unit (hashed),placement,ip (hashed)"
    (written,) = export(lake, hasher, tmp_path / "out")
    arms = {"autumn": {"mosaic"}}
    again = replay_rejects(origin, lake=lake, deliveries=register, hasher=hasher, arms=arms, now=now)
    assert (again.tried, again.accepted) == (2, 1)
    repaired = written.path.read_text().replace("winter", "autumn")
    written.path.write_text(repaired)
    told = ingest_file(written.path, lake=lake, deliveries=register, hasher=hasher, arms=arms, now=now)
    assert (told.accepted, told.duplicate) == (1, 1)
    found = {row["event_id"]: row for row in lake.dataset("impressions").to_table().to_pylist()}
    assert (found["i1"]["placement"], found["i1"]["unit"]) == ("a,b;c\td", hasher.hashed("ann"))
    assert found["i2"]["unit"] == hasher.hashed("bob")


@pytest.mark.parametrize("name", SEPARATORS)
def test_a_file_that_quotes_every_row_whole(outcome, name):
    separator = SEPARATORS[name]
    rows = [HEADER, ["i1", AT, "spring", "mosaic", "ann", f"a{separator}b", ""], ["i2", AT, "spring", "mosaic", "bob"]]
    text = "".join(line([line(row, separator)], ",", always=True) + "\n" for row in rows)
    (read, accepted, rejected, tables), _ = outcome("impressions.csv", text)
    assert (read, accepted, rejected) == (2, 1, {"ragged_row": 1})
    assert tables["impressions"][0]["placement"] == f"a{separator}b"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", SEPARATORS)
def test_what_a_spreadsheet_saves(outcome, name, ending):
    """A byte order mark, line ends of its system, empty cells at the end; in a packed file, too."""
    separator = SEPARATORS[name]
    rows = [HEADER, ["i1", AT, "spring", "mosaic", "ann", "", ""], ["i2", AT, "spring", "mosaic", "bob", "left", ""]]
    text = "\ufeff" + "".join(separator.join(row) + ending for row in rows)
    (read, accepted, _, tables), _ = outcome("Impressions.txt", text)
    assert (read, accepted) == (2, 2)
    assert [row["placement"] for row in tables["impressions"]] == [None, "left"]


def test_a_comma_outside_quotes_decides_as_ever(deliver, stored):
    header = 'event_id,ts,experiment,arm,unit,"a;b",c;d'
    assert deliver("impressions.csv", f"{header}\ni1,{AT},spring,mosaic,u1;u2,x;y,z\n").accepted == 1
    assert deliver("impressions-2.csv", f"{header}\ni2;{AT};spring;mosaic;u1;;\n").rejected == {"ragged_row": 1}
    quoted = header.replace(",", ";").replace("a;b", "a,b").replace("c;d", "c")
    assert deliver("impressions-3.csv", f"{quoted}\ni3;{AT};spring;mosaic;u1;x,y;z\n").accepted == 1
    assert [row["event_id"] for row in stored()] == ["i1", "i3"]


def test_a_header_that_does_not_decide_is_refused(deliver):
    with pytest.raises(FileRefused, match="has semicolons and tabs in its header line") as refusal:
        deliver("impressions.csv", f"event_id;ts\texperiment;arm;unit\ni1;{AT}\tspring;mosaic;u1\n")
    assert "\n" not in str(refusal.value)
    with pytest.raises(FileRefused, match="lacks ts, experiment, arm, unit"):
        deliver("impressions.csv", "event_id\ni1\n")


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r", "\ufeffsep=;"])
def test_a_line_before_the_header_may_tell(deliver, stored, first):
    header = "event_id;ts;experiment;arm;unit;a,b"  # by itself its comma would decide
    told = deliver("impressions.csv", f"{first}\n{header}\ni1;{AT};spring;mosaic;u1;x\ni2;{AT};spring;mosaic\n")
    assert (told.read, told.accepted, told.rejected) == (2, 1, {"ragged_row": 1})
    assert [row["line"] for row in stored()] == [3]
    assert [row["line"] for row in stored("rejects")] == [4]


@pytest.mark.parametrize("separator", SEPARATORS.values())
def test_whichever_separator_is_told(deliver, separator):
    text = "\n".join(
        [f"sep={separator}", *(line(each, separator) for each in (HEADER, ["i1", AT, "spring", "mosaic", "u"]))]
    )
    assert deliver("impressions.csv", f"{text}{separator}{separator}\n").accepted == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "sep=|\nevent_id|ts|experiment|arm|unit\n",
            r"says sep=\|: separate the columns by commas, semicolons or tabs",
        ),
        ("sep=;\n", "has no header line after its first"),
        ("sep=;\nevent_id,ts,experiment,arm,unit\n", "lacks event_id, ts, experiment, arm, unit"),
    ],
)
def test_a_line_that_tells_what_is_not_so_is_refused(deliver, text, said):
    with pytest.raises(FileRefused, match=said):
        deliver("impressions.csv", text)


def test_money_with_a_decimal_comma_is_no_money(deliver, stored):
    text = f"event_id;ts;unit;value\nv1;{AT};u1;12,50\nv2;{AT};u1;12.50\nv3;{AT};u1;1.200,00\n"
    told = deliver("conversions.csv", text)
    assert (told.accepted, told.rejected) == (1, {"bad_value": 2})
    assert stored("outcomes")[0]["value_micros"] == 12_500_000


@pytest.mark.parametrize("name", SEPARATORS)
def test_a_feeds_file_is_read_so_too(tmp_path, ingest, stored, name):
    from experiments.ingest.feed import feeds

    separator = SEPARATORS[name]
    rows = [["TimeUsec2", "ImpressionId", "KeyPart", "UserId"], ["1794139200000000", "AbC", "1", "u9"]]
    path = tmp_path / "NetworkClicks_4321_20261108_12.zst"
    path.write_bytes(pa.compress("".join(separator.join(row) + "\n" for row in rows).encode(), "zstd", asbytes=True))
    assert ingest(path, feed=feeds()["gam"]).accepted == 1
    assert stored("outcomes")[0]["impression_id"] == "AbC/1"


@pytest.mark.parametrize("name", SEPARATORS)
def test_a_line_that_closes_no_quote_keeps_each_part_as_a_hash(outcome, hasher, name):
    separator = SEPARATORS[name]
    text = separator.join(HEADER) + "\n" + separator.join(["i1", AT, "spring", "mosaic", "ann", '"x', ""]) + "\n"
    (_, _, rejected, tables), _ = outcome("impressions.csv", text)
    assert rejected == {"ragged_row": 1}
    assert hasher.hashed("ann") in tables["rejects"][0]["text"].split(",")


@pytest.mark.parametrize("name", SEPARATORS)
def test_well_quoted_lines_are_not_split_one_by_one(outcome, name, monkeypatch):
    """That would be slow: Arrow splits them."""
    monkeypatch.setattr(Csv, "_row", None)
    rows = [[f"i{number}", AT, "spring", "mosaic", "ann", "a,b;c\td", '"'] for number in range(9)]
    text = "".join(line(row, SEPARATORS[name], always=number % 2) + "\n" for number, row in enumerate([HEADER, *rows]))
    assert outcome("impressions.csv", text)[0][1] == 9
