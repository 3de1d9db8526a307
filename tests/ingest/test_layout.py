"""A feed's header: which of its columns may be there twice."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.ingest.feed import feeds
from experiments.ingest.log import FileRefused

HEADER = "Event Time,User ID,Rendering ID,Impression ID"
ROW = "1794139200000000,u1,101,imp-1"
MEANT = {"renderingid": {"101": ("spring", "original")}}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("Rendering ID", "Rendering ID"),
        ("user-id", "User ID"),
        ("User ID (hashed)", "User ID"),
        ("EVENT_TIME,impressionid", "Event Time, Impression ID"),
        ("Placement ID,placement id", "Placement ID"),
    ],
)
def test_a_column_that_the_mapping_asks_for_is_there_once(deliver, stored, more, said):
    text = f"{HEADER},{more}\n{ROW}{',9' * (1 + more.count(','))}\n"
    name = "dcm_account1_impression_2026110812_20261108_140000_1.csv.gz"
    with pytest.raises(FileRefused) as refused:
        deliver(name, text, feed=feeds()["cm360"], trafficking=MEANT)
    assert str(refused.value) == f"{name} has {said} more than once: keep one column of each"
    assert not stored()


def test_other_columns_may_repeat(deliver):
    text = f"{HEADER},Note,note,NOTE\n{ROW},1,2,3\n"
    delivery = deliver(
        "dcm_account1_impression_2026110812_20261108_140000_1.csv.gz", text, feed=feeds()["cm360"], trafficking=MEANT
    )
    assert (delivery.accepted, delivery.rejected) == (1, {})


def test_nor_may_parquet_have_it_twice(tmp_path, ingest):
    path = tmp_path / "dcm_account1_impression_2026110812_20261108_140000_1.parquet"
    row = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | {"user id": "u2"}
    pq.write_table(pa.table({name: [value] for name, value in row.items()}), path)
    with pytest.raises(FileRefused, match="has User ID more than once: keep one column of each"):
        ingest(path, feed=feeds()["cm360"], trafficking=MEANT)


@pytest.mark.parametrize(
    ("meant", "said"),
    [
        (MEANT, "lacks Rendering ID, by which trafficking.csv tells the arm"),
        ({"note": {"1": ("spring", "original")}}, "nothing says which creative is which arm: list values of"),
    ],
)
def test_a_file_without_what_tells_the_arm_is_told_what_it_lacks(deliver, meant, said):
    name, text = "dcm_account1_impression_2026110812_20261108_140000_1.csv", "Event Time,User ID,Impression ID\n1,u,i\n"
    with pytest.raises(FileRefused, match=said):
        deliver(name, text, feed=feeds()["cm360"], trafficking=meant)
