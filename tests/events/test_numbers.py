"""Units as numbers: made in two languages, kept beside their hashes, read in their place."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.events import upkeep
from experiments.events.evidence import evidence_of, gather
from experiments.events.numbers import LARGEST, UNIT_NUMBER, number_of, numbered, stand_in_for, with_numbers

DAYS = timedelta(days=9)
HASHES = st.binary(min_size=16, max_size=16).map(bytes.hex)
NO_HASHES = ("u1", "", "f" * 31, "f" * 33, "é" * 32, "é" * 16, "0" * 31 + " ", "0" * 16 + " " * 16, "g" * 32)


def by_hand(unit):
    return int(unit[16:], 16) & LARGEST


def in_sql(expression, units):
    held = pa.table({"unit": pa.array(units, pa.string())})
    with duckdb.connect() as engine:
        engine.register("held", held)
        return [value for (value,) in engine.sql(f"SELECT {expression} FROM held").fetchall()]


@given(hashes=st.lists(HASHES, max_size=20), skipped=st.integers(0, 5), chunked=st.booleans())
@example(hashes=["f" * 32, "0" * 32], skipped=0, chunked=False)
def test_numbers_are_the_ends_of_hashes_in_both_languages(hashes, skipped, chunked):
    expected = [by_hand(unit) for unit in hashes][skipped:]
    column = pa.chunked_array([hashes[:2], hashes[2:]] if chunked else [hashes], pa.string())
    rows = with_numbers(pa.table({"unit": column}).slice(skipped))
    assert rows[UNIT_NUMBER].to_pylist() == expected
    assert in_sql(number_of("unit"), hashes)[skipped:] == expected


@pytest.mark.parametrize("odd", NO_HASHES)
def test_what_is_no_hash_has_no_number(odd):
    """Nor have those beside it, so that all units of a file are read in one way."""
    rows = with_numbers(pa.table({"unit": ["0" * 32, odd], UNIT_NUMBER: [1, 2]}))
    assert rows[UNIT_NUMBER].to_pylist() == [None, None]
    assert in_sql(number_of("unit"), ["0" * 32, odd]) == [0, None]


@given(st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=40), max_size=10))
def test_any_text_has_a_number_to_stand_in_for_it(texts):
    found = in_sql(stand_in_for("unit"), texts)
    assert [each is None for each in found] == [text is None for text in texts]
    assert len({*found}) == len({*texts})
    assert all(0 <= each <= LARGEST for each in found if each is not None)


def test_rows_without_the_column_come_by_it_in_their_order():
    units = [f"{n:032x}" for n in (5, 3, 4)]
    held = pa.table({"unit": units, "other": [1, 2, 3]})
    with duckdb.connect() as engine:
        engine.register("held", held)
        found = engine.sql(f"SELECT unit, other, {UNIT_NUMBER} FROM {numbered('held')}").fetchall()
    assert found == [(units[0], 1, 5), (units[1], 2, 3), (units[2], 3, 4)]


def files_of(lake):
    return [Path(lake.root, "impressions", file.path) for file in lake.begin("impressions").files()]


def put(lake, tables):
    for name, table in zip(("impressions", "outcomes"), tables, strict=True):
        lake.begin(name).commit(table, f"{name}-1")


def said(evidence):
    return replace(evidence, lake_versions={})


def change(lake, column):
    """What a file's units are called, or their numbers, are others throughout."""
    for file in files_of(lake):
        table = pq.ParquetFile(file).read()
        place = table.schema.get_field_index(column)
        values = [each and (each // 2 if column == UNIT_NUMBER else each[::-1]) for each in table[column].to_pylist()]
        pq.write_table(table.set_column(place, column, pa.array(values, table.schema.field(column).type)), file)


def test_evidence_reads_numbers_and_no_texts_where_all_files_have_numbers(lake, crowd, plan, start):
    tables = crowd(3000)
    put(lake, tables)
    expected = said(evidence_of(*tables, plan, start + DAYS, {}))
    change(lake, "unit")
    assert said(gather(lake, plan, start + DAYS)) == expected
    change(lake, UNIT_NUMBER)
    assert said(gather(lake, plan, start + DAYS)) != expected


def test_evidence_reads_texts_and_no_numbers_where_one_file_has_none(lake, crowd, rows, impression, plan, start):
    tables = crowd(3000)
    put(lake, tables)
    odd = rows("impressions", [impression("odd", "u1", hours=30, invalid="declared_bot")])
    lake.begin("impressions").commit(odd, "odd")
    expected = said(evidence_of(pa.concat_tables([tables[0], odd]), tables[1], plan, start + DAYS, {}))
    change(lake, UNIT_NUMBER)
    assert said(gather(lake, plan, start + DAYS)) == expected
    change(lake, "unit")
    assert said(gather(lake, plan, start + DAYS)) != expected


def test_the_log_does_not_tell_whose_numbers_a_file_holds(lake, rows, impression):
    lake.begin("impressions").commit(rows("impressions", [impression("i1", "ab" * 16)]), "d1")
    (entry,) = Path(lake.root, "impressions", "_delta_log").glob("*1.json")
    assert UNIT_NUMBER in entry.read_text()
    assert str(by_hand("ab" * 16)) not in entry.read_text()
    found = lake.dataset("impressions").to_table(filter=pa.compute.field(UNIT_NUMBER) == by_hand("ab" * 16))
    assert found.num_rows == 1, "and who filters by it finds it even so"


def test_compaction_gives_numbers_to_files_that_are_older_than_those(lake, crowd, plan, start):
    tables = crowd(3000)
    step = tables[0].num_rows // upkeep.MANY_FILES + 1
    for number in range(upkeep.MANY_FILES):
        lake.begin("impressions").commit(tables[0].slice(number * step, step), f"impressions-{number}")
    lake.begin("outcomes").commit(tables[1], "outcomes")
    before = said(gather(lake, plan, start + DAYS))
    for number, file in enumerate(files_of(lake)):
        if number % 2 and "spring" in str(file):
            pq.write_table(pq.ParquetFile(file).read().drop_columns([UNIT_NUMBER]), file)
    upkeep.compact(lake, "impressions")
    for row in lake.dataset("impressions").to_table(columns=["unit", UNIT_NUMBER]).to_pylist():
        assert row[UNIT_NUMBER] == by_hand(row["unit"])
    assert lake.source("impressions").numbered
    assert said(gather(lake, plan, start + DAYS)) == before


def test_nobody_is_shown_numbers(lake, rows, impression, tmp_path):
    lake.begin("impressions").commit(rows("impressions", [impression("i1", "ab" * 16)]), "d1")
    (row,) = upkeep.of_unit(lake, "ab" * 16)
    assert UNIT_NUMBER not in row
    upkeep.export(lake, "impressions", tmp_path / "out.parquet", "parquet")
    assert UNIT_NUMBER not in pq.read_schema(tmp_path / "out.parquet").names
