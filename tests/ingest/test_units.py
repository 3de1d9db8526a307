import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.core.statistics.adjustment import HistoryMoments
from experiments.ingest.table import BadTable
from experiments.ingest.units import Measure, read_unit_metrics

COLUMNS = {
    "user": ["a", "b", "c", "d", "e", "f"],
    "arm": ["original", "ink", "original", "ink", "ink", "original"],
    "clicks": [1, 0, 2, 3, 0, 0],
    "impressions": [10, 4, 5, 6, 1, 2],
    "spent": [0.0, 1.5, 20.25, 0.0, 3.0, 0.0],
    "spent_before": [1.0, 2.0, 5.5, 0.0, 1.0, 0.0],
    "micros": [10**12, 0, 3 * 10**12, 7, 0, 0],
}
MEASURES = (
    Measure("ctr", "clicks", "impressions"),
    Measure("spent", "spent", before="spent_before"),
    Measure("capped", "spent", cap=10.0),
    Measure("micros", "micros"),
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "units.parquet"
    pq.write_table(pa.table(COLUMNS), path)
    return path


def by_hand(arm, y, x=None, yb=None):
    rows = [i for i, name in enumerate(COLUMNS["arm"]) if name == arm]
    before = [yb[i] for i in rows] if yb else [0] * len(rows)
    return HistoryMoments.of((y[i], x[i] if x else 1, b, 1 if yb else 0) for i, b in zip(rows, before, strict=True))


def read(path, **options):
    return read_unit_metrics(path, arm="arm", unit="user", measures=MEASURES, **options)


def test_every_metric_has_the_moments_of_its_units(table):
    found = read(table)
    assert (found.seen, found.crossover) == (6, 0)
    for arm in ("ink", "original"):
        assert found.metrics["ctr"][arm] == by_hand(arm, COLUMNS["clicks"], COLUMNS["impressions"])
        assert found.metrics["spent"][arm] == by_hand(arm, COLUMNS["spent"], yb=COLUMNS["spent_before"])
        assert found.metrics["capped"][arm] == by_hand(arm, [min(each, 10.0) for each in COLUMNS["spent"]])
    assert found.capped == {"capped": {"ink": 0, "original": 1}}


def test_money_in_millionths_is_exact(table):
    micros = read(table).metrics["micros"]["original"]
    assert micros.y == 4 * 10**12
    assert micros.yy == 10**24 + 9 * 10**24


def test_several_rows_of_a_unit_are_one_unit_and_units_in_two_arms_are_in_none(tmp_path):
    path = tmp_path / "events.parquet"
    pq.write_table(
        pa.table({
            "user": [1, 1, 2, 3, 3], "arm": ["a", "a", "b", "a", "b"], "clicks": [1, 2, 4, 8, 16],
        }),
        path,
    )  # fmt: skip
    found = read_unit_metrics(path, arm="arm", unit="user", measures=[Measure("clicks", "clicks")])
    assert (found.seen, found.crossover) == (3, 1)
    assert found.metrics["clicks"]["a"].pair.yy == 9
    assert found.metrics["clicks"]["b"].pair.y == 4


def test_text_is_read_like_numbers(tmp_path):
    path = tmp_path / "units.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["user", "arm", "clicks"], ["1", "a", "2"], ["2", "b", "3.5"], ["3", "a", "1"]])
    found = read_unit_metrics(path, arm="arm", unit="user", measures=[Measure("clicks", "clicks")])
    assert found.metrics["clicks"]["a"].pair.y == 3
    assert found.metrics["clicks"]["b"].pair.yy == 12.25


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clicks": [1, None, 2, 3, 0, 0]}, "clicks is missing in 1 of 6 rows"),
        ({"user": ["a", None, "c", "d", "e", "f"]}, "user is missing in 1 of 6 rows"),
        ({"spent": [0.0, float("nan"), 1.0, 1.0, 1.0, 1.0]}, "holds NaN or infinity"),
        ({"clicks": ["1", "x", "2", "3", "0", "0"]}, "Could not convert string"),
    ],
)
def test_what_cannot_be_summed_is_refused_in_one_line(tmp_path, change, said):
    path = tmp_path / "units.parquet"
    pq.write_table(pa.table(COLUMNS | change), path)
    with pytest.raises(BadTable, match=said) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_a_column_that_is_not_there_is_named_with_the_nearest(table):
    with pytest.raises(BadTable, match="did you mean 'clicks'"):
        read_unit_metrics(table, arm="arm", unit="user", measures=[Measure("ctr", "cliks")])
