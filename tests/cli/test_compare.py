import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.cli.app import run

AGGREGATES = ("--numerator", "clicks", "--denominator", "impressions")
ROWS = [("original", 310, 10_000), ("ink", 352, 10_000), ("neon", 401, 10_000)]
TOP = {
    "group",
    "metric",
    "alpha",
    "look",
    "control",
    "sample_ratio",
    "crossover",
    "notes",
    "arms",
    "lifts",
    "best",
    "verdict",
}
ARM = {"arm", "units", "numerator", "denominator", "rate", "low", "high", "probability_best", "expected_loss"}
LIFT = {
    "arm", "absolute", "absolute_low", "absolute_high", "relative", "relative_low", "relative_high", "p", "p_adjusted",
}  # fmt: skip


def write(path, rows, header=("arm", "clicks", "impressions")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def table(tmp_path):
    return write(tmp_path / "arms.csv", ROWS)


@pytest.fixture
def compare(capsys):
    def compared(path, *options):
        code = run(["compare", str(path), "--json", *options])
        said = capsys.readouterr()
        assert code == 0, said.err
        return [json.loads(line) for line in said.out.splitlines()]

    return compared


@pytest.fixture
def refused(capsys):
    def refusal(path, *options):
        code = run(["compare", str(path), *options])
        said = capsys.readouterr()
        assert code == 2
        assert said.out == ""
        assert said.err.startswith("adstyle: ")
        assert said.err.count("\n") == 1
        return said.err

    return refusal


def test_every_promised_key_is_there(table, compare):
    (found,) = compare(table, *AGGREGATES)
    assert set(found) == TOP
    assert all(set(arm) == ARM for arm in found["arms"])
    assert all(set(lift) == LIFT for lift in found["lifts"])
    assert set(found["best"]) == {"arm", "beats_every_other", "p_adjusted"}
    assert (found["group"], found["look"], found["control"]) == (None, [1, 1], "original")
    assert found["metric"] == {"numerator": "clicks", "denominator": "impressions"}
    assert found["notes"] == ["assumed_independent"]
    assert (found["verdict"]["kind"], found["verdict"]["arm"]) == ("promote", "neon")
    assert found["verdict"]["reasons"][0].keys() >= {"code", "text"}


def test_what_is_assumed_of_a_units_own_is_said(tmp_path, compare, capsys):
    """Numbers of units check the split; the rates are still those of impressions."""
    rows = [(*row, row[2] // 2) for row in ROWS]
    path = write(tmp_path / "arms.csv", rows, ("arm", "clicks", "impressions", "users"))
    (found,) = compare(path, *AGGREGATES, "--units", "users")
    assert found["notes"] == ["assumed_independent"]
    assert run(["compare", str(path), *AGGREGATES, "--units", "users"]) == 0
    assert "Each of the impressions is assumed to be independent of a unit's others." in capsys.readouterr().out
    (own,) = compare(path, "--numerator", "clicks", "--denominator", "users", "--units", "users")
    assert own["notes"] == [], "whose denominator is units"


@pytest.mark.parametrize("name", ["arms.csv.gz", "arms.jsonl", "arms.jsonl.gz", "arms.parquet"])
def test_every_format_says_the_same(name, table, compare, tmp_path):
    path = tmp_path / name
    records = [dict(zip(("arm", "clicks", "impressions"), row, strict=True)) for row in ROWS]
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        text = "".join(json.dumps(each) + "\n" for each in records) if "jsonl" in name else table.read_text()
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert compare(path, *AGGREGATES) == compare(table, *AGGREGATES)


def test_looks_ask_for_more_and_the_last_does_not(table, compare):
    def verdict(*options):
        (found,) = compare(table, *AGGREGATES, *options)
        return found["look"], found["verdict"]["kind"], found["lifts"][1]["p_adjusted"]

    look, kind, early = verdict("--looks", "1/3")
    assert (look, kind) == ([1, 3], "keep_running")
    _, _, late = verdict("--looks", "3/3")
    _, _, only = verdict()
    assert early > late >= only
    assert verdict("--information", "0.3333333333333333,0.6666666666666666,1")[2] == pytest.approx(late, rel=1e-6)
    assert verdict("--information", "0.5")[0] == [1, 2]


def test_corrections_are_ordered_from_none_to_holm(table, compare):
    found = {
        name: compare(table, *AGGREGATES, "--correction", name)[0]["lifts"][1] for name in ("none", "dunnett", "holm")
    }
    assert found["none"]["p_adjusted"] == pytest.approx(found["none"]["p"])
    assert found["none"]["p_adjusted"] < found["dunnett"]["p_adjusted"] <= found["holm"]["p_adjusted"] * (1 + 1e-9)


def test_rows_of_units_are_summed_and_crossing_units_dropped(compare, tmp_path):
    rows = [(f"u{n}", "ab"[n % 2], n % 7 == 0) for n in range(600)] + [("u0", "a", 1), ("u1", "a", 1)]
    path = write(tmp_path / "people.csv", [(unit, arm, int(hit)) for unit, arm, hit in rows], ("user", "arm", "bought"))
    (found,) = compare(path, "--unit", "user", "--numerator", "bought")
    assert found["crossover"] == 1
    assert [arm["units"] for arm in found["arms"]] == [300, 299]
    assert found["arms"][0]["numerator"] == 44, "u0 bought twice"
    assert found["metric"]["denominator"] == "units"
    (strict,) = compare(path, "--unit", "user", "--numerator", "bought", "--crossover", "0.001")
    assert strict["verdict"]["kind"] == "invalid"


def test_a_group_without_the_control_is_invalid_and_the_others_go_on(compare, tmp_path):
    rows = [("1", "a", 30, 1000), ("1", "b", 90, 1000), ("2", "b", 9, 1000), ("2", "c", 8, 1000), ("3", "a", 5, 99)]
    path = write(tmp_path / "many.csv", rows, ("test", "arm", "clicks", "impressions"))
    found = compare(path, *AGGREGATES, "--group", "test", "--control", "a")
    assert [each["group"] for each in found] == ["1", "2", "3"]
    assert [each["verdict"]["kind"] for each in found] == ["promote", "invalid", "invalid"]
    assert all(set(each) == TOP for each in found)


def test_repeated_rows_are_refused_unless_they_are_to_be_summed(compare, refused, tmp_path):
    path = write(tmp_path / "days.csv", ROWS + ROWS)
    assert "--sum" in refused(path, *AGGREGATES)
    (found,) = compare(path, *AGGREGATES, "--sum")
    assert found["arms"][0]["numerator"] == 620


def test_the_split_is_what_units_are_tested_against(compare, tmp_path):
    path = write(tmp_path / "arms.csv", [("control", 40, 400), ("ad", 1000, 9600)])
    assert not compare(path, *AGGREGATES)[0]["sample_ratio"]["ok"]
    assert compare(path, *AGGREGATES, "--split", "control=0.04,ad=0.96")[0]["sample_ratio"]["ok"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--numerator", "clics", "--denominator", "impressions"), "clicks"),
        (("--numerator", "clicks"), "--denominator"),
        ((*AGGREGATES, "--control", "none"), "original"),
        ((*AGGREGATES, "--split", "original=1"), "ink"),
        ((*AGGREGATES, "--split", "original=x"), "ARM=SHARE"),
        ((*AGGREGATES, "--split", "original=0.2,original=0.5,ink=0.25,neon=0.25"), "names arm 'original' twice"),
        ((*AGGREGATES, "--crossover", "5"), "0.01 for 1 %"),
        ((*AGGREGATES, "--crossover", "nan"), "0.01 for 1 %"),
        ((*AGGREGATES, "--looks", "100000000000/100000000000"), "N <= 400"),
        ((*AGGREGATES, "--looks", "4/3"), "1 to 3|K <= N"),
        ((*AGGREGATES, "--looks", "two"), "K/N"),
        ((*AGGREGATES, "--information", "0.7,0.5"), "grow"),
        ((*AGGREGATES, "--alpha", "5"), "between 0 and 1"),
        ((*AGGREGATES, "--correction", "tukey"), "holm"),
        ((*AGGREGATES, "--unit", "arm", "--sum"), "--sum"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_question_is_refused_in_one_line(table, refused, options, says):
    line = refused(table, *options)
    assert any(part in line for part in says.split("|")), line


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("x", -1, 10), "row 4"),
        (("x", 11, 10), "row 4"),
        (("x", "many", 10), "'many'"),
        (("x", 2.5, 10), "whole"),
        (("", 2, 10), "empty"),
        (("x", 1, -10), "row 4"),
    ],
    ids=str,
)
def test_a_wrong_row_is_named(refused, tmp_path, row, says):
    assert says in refused(write(tmp_path / "arms.csv", [*ROWS, row]), *AGGREGATES)


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.csv", b""), ("header.csv", b"arm,clicks,impressions\n"), ("arms.xlsx", b"PK"),
     ("cut.csv.gz", b"\x1f\x8b\x08"), ("arms.parquet", b"PAR1 no"), ("arms.jsonl", b"{broken\n")],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(refused, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert name in refused(tmp_path / name, *AGGREGATES)


def test_of_a_spreadsheet_it_is_said_what_to_save_it_as(refused, tmp_path):
    (tmp_path / "arms.xlsx").write_bytes(b"PK")
    assert ".csv, .tsv" in (said := refused(tmp_path / "arms.xlsx", *AGGREGATES))
    assert "or save it as one of these" in said


def test_people_read_a_table_and_a_sentence(table):
    adstyle = str(Path(sys.executable).with_name("adstyle"))
    result = subprocess.run([adstyle, "compare", str(table), *AGGREGATES], capture_output=True, text=True, check=True)
    assert "4.01 %" in result.stdout
    assert 'promote neon: "neon" beats the control' in result.stdout
