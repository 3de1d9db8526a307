"""The event lake: appended to once per delivery, versioned, partitioned, safe with two writers."""

import threading
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pytest

from experiments.core.errors import ExperimentError, StorageFailure, TryLater
from experiments.events.lake import EventLake
from experiments.events.objects import Objects


def ids(lake, name="impressions", version=None):
    return sorted(lake.dataset(name, version).to_table(columns=["event_id"])["event_id"].to_pylist())


def known(handle, incoming, delivery):
    """Which of the incoming ids other deliveries left."""
    with duckdb.connect() as engine:
        engine.register("staged", incoming)
        kind = "kind" if "kind" in incoming.column_names else "NULL AS kind"
        engine.execute(f"CREATE TABLE ids AS SELECT md5_number(event_id) AS id, date, {kind}, event_id FROM staged")
        handle.find_known(engine, delivery)
        return {name for (name,) in engine.execute("SELECT event_id FROM ids SEMI JOIN known USING (id)").fetchall()}


@pytest.fixture
def impressions(rows, at):
    def impressions(*event_ids, delivery="d1", hours=1, **fields):
        return rows(
            "impressions",
            [{"event_id": name, "ts": at(hours=hours), "arm": "original", **fields} for name in event_ids],
            delivery,
        )

    return impressions


@pytest.fixture
def clicks(rows, at):
    def clicks(*event_ids, delivery="d1", hours=1, kind="click"):
        events = [{"event_id": name, "ts": at(hours=hours), "kind": kind} for name in event_ids]
        return rows("outcomes", events, delivery)

    return clicks


def test_a_new_lake_has_four_empty_tables(lake):
    assert lake.versions() == {"impressions": 0, "outcomes": 0, "rejects": 0, "counts": 0}
    assert [(table.name, table.rows, table.bytes) for table in lake.health()] == [
        ("impressions", 0, 0),
        ("outcomes", 0, 0),
        ("rejects", 0, 0),
        ("counts", 0, 0),
    ]
    assert ids(lake) == []


def test_versions_grow_by_one_an_append_and_each_stays_readable(lake, impressions):
    for number in range(1, 4):
        handle = lake.begin("impressions")
        handle.commit(impressions(f"i{number}", delivery=f"d{number}"), f"d{number}")
        assert handle.version == lake.versions()["impressions"] == number
    assert lake.versions()["outcomes"] == 0
    for version in range(4):
        assert ids(lake, version=version) == [f"i{number}" for number in range(1, version + 1)]


@pytest.mark.parametrize("version", [2, -1])
def test_a_version_that_is_not_there_is_named(lake, impressions, version):
    lake.begin("impressions").commit(impressions("i1"), "d1")
    with pytest.raises(ExperimentError, match=f"table impressions in .* has no version {version}: its latest is 1"):
        lake.dataset("impressions", version)


def test_a_delivery_is_known_once_it_is_in(lake, impressions):
    handle = lake.begin("impressions")
    assert not handle.delivered("d1")
    handle.commit(impressions("i1"), "d1")
    assert lake.begin("impressions").delivered("d1")
    assert not lake.begin("impressions").delivered("d2")
    assert not lake.begin("outcomes").delivered("d1"), "each table keeps its own account"


def test_of_two_handles_the_slower_one_is_told_to_try_later_and_adds_nothing(lake, impressions):
    fast, slow = lake.begin("impressions"), EventLake(lake.root).begin("impressions")
    fast.commit(impressions("i1"), "d1")
    with pytest.raises(TryLater, match="another ingest wrote to impressions") as refusal:
        slow.commit(impressions("i1", delivery="d2"), "d2")
    assert refusal.value.exit_code == 75
    assert ids(lake) == ["i1"]
    assert not lake.begin("impressions").delivered("d2")
    again = lake.begin("impressions")
    assert known(again, impressions("i1", "i2", delivery="d2"), "d2") == {"i1"}
    again.commit(impressions("i2", delivery="d2"), "d2")
    assert ids(lake) == ["i1", "i2"]


def test_many_writers_add_each_delivery_once(lake, impressions):
    def deliver(number):
        other = EventLake(lake.root)
        while not (handle := other.begin("impressions")).delivered(f"d{number % 4}"):
            try:
                handle.commit(impressions(f"i{number % 4}", delivery=f"d{number % 4}"), f"d{number % 4}")
            except TryLater:
                continue

    threads = [threading.Thread(target=deliver, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids(lake) == ["i0", "i1", "i2", "i3"]
    assert lake.versions()["impressions"] == 4


def test_many_readers_may_be_the_first_to_open_a_lake(lake):
    failures = []

    def read():
        try:
            assert set(EventLake(lake.root).versions().values()) == {0}
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_known_ids_are_other_deliveries_of_the_same_day_and_kind(lake, impressions, clicks):
    lake.begin("impressions").commit(impressions("i1", "i2"), "d1")
    handle = lake.begin("impressions")
    assert known(handle, impressions("i1", "i3", delivery="d2"), "d2") == {"i1"}
    assert known(handle, impressions("i1", delivery="d1"), "d1") == set(), "its own rows are not duplicates"
    assert known(handle, impressions("i1", delivery="d2", hours=25), "d2") == set()
    lake.begin("outcomes").commit(clicks("x"), "d3")
    handle = lake.begin("outcomes")
    assert known(handle, clicks("x", delivery="d4"), "d4") == {"x"}
    assert known(handle, clicks("x", delivery="d4", kind="conversion"), "d4") == set()


def test_nothing_coming_in_is_known(lake, impressions):
    lake.begin("impressions").commit(impressions("i1"), "d1")
    assert known(lake.begin("impressions"), impressions(), "d2") == set()


def test_folders_are_days_and_experiments(lake, rows, impressions, clicks, at):
    handle = lake.begin("impressions")
    handle.commit(impressions("i1", hours=1).slice(0), "d1")
    lake.begin("impressions").commit(impressions("i2", hours=25, experiment="a b/ü", delivery="d2"), "d2")
    lake.begin("outcomes").commit(clicks("x", hours=30), "d3")
    folders = {path.parent.relative_to(lake.root) for path in Path(lake.root).rglob("*.parquet")}
    assert Path("impressions/experiment=spring/date=2026-11-02") in folders
    assert Path("outcomes/date=2026-11-03") in folders
    assert len(folders) == 3
    only = lake.dataset("impressions").to_table(filter=pc.field("experiment") == "a b/ü")
    assert only["event_id"].to_pylist() == ["i2"]


def test_health_counts_rows_and_bytes(lake, impressions):
    lake.begin("impressions").commit(impressions("i1", "i2"), "d1")
    (table, *_) = lake.health()
    size = sum(path.stat().st_size for path in Path(lake.root, "impressions").rglob("*.parquet"))
    assert (table.name, table.version, table.rows, table.bytes) == ("impressions", 1, 2, size)


def test_files_that_are_missing_or_cut_are_found(lake, impressions):
    lake.begin("impressions").commit(impressions("i1", experiment="a b/ü"), "d1")
    lake.begin("impressions").commit(impressions("i2", "i3"), "d2")
    assert lake.lost("impressions") == []
    odd, plain = sorted(Path(lake.root, "impressions").rglob("*.parquet"), key=lambda path: "spring" in str(path))
    plain.write_bytes(plain.read_bytes()[:-1])
    assert lake.lost("impressions") == [str(plain)]
    odd.unlink()
    assert sorted(lake.lost("impressions")) == sorted([str(odd), str(plain)])


def test_known_events_are_found_in_folders_of_any_name(lake, impressions):
    lake.begin("impressions").commit(impressions("i1", experiment="a b/ü"), "d1")
    assert known(lake.begin("impressions"), impressions("i1", "i2", delivery="d2"), "d2") == {"i1"}


def test_a_damaged_log_is_one_line_and_a_failure_of_storage(lake, impressions):
    lake.begin("impressions").commit(impressions("i1"), "d1")
    for entry in Path(lake.root, "impressions", "_delta_log").glob("*.json"):
        entry.write_text("{not json\n")
    with pytest.raises(StorageFailure, match="the lake cannot be read or written") as failure:
        lake.dataset("impressions")
    assert "\n" not in str(failure.value)
    assert failure.value.exit_code == 1


@pytest.mark.parametrize("emptied", [False, True])
def test_files_without_their_log_are_not_taken_for_a_new_table(lake, impressions, emptied):
    lake.begin("impressions").commit(impressions("i1"), "d1")
    log = Path(lake.root, "impressions", "_delta_log")
    aside = log.rename(log.with_name("aside"))
    if emptied:
        log.mkdir()
    with pytest.raises(StorageFailure) as failure:
        lake.begin("impressions")
    assert str(failure.value) == (
        f"{lake.root}/impressions has files of data and no log: restore {log} from the backup that the files came from"
    )
    assert not list(log.glob("*.json")), "no other log begins in its place"
    aside.rename(log)
    assert lake.begin("impressions").delivered("d1")


def test_the_log_names_no_unit_and_units_are_found_all_the_same(lake, rows, at):
    units = ["ab" * 16, "cd" * 16]
    events = [{"event_id": f"i{n}" * 40, "ts": at(hours=1), "arm": "a", "unit": unit} for n, unit in enumerate(units)]
    lake.begin("impressions").commit(rows("impressions", events), "d1")
    rejected = [{"name": "f", "kind": "click", "reason": "r", "text": f"x,{units[0]}", "ts": at(hours=1)}]
    lake.begin("rejects").commit(rows("rejects", rejected), "d1")
    log = "".join(path.read_text() for path in Path(lake.root).rglob("_delta_log/*.json"))
    assert [unit for unit in units if unit in log] == []
    for column, value in (("unit", units[1]), ("event_id", "i1" * 40)):
        found = lake.dataset("impressions").to_table(filter=pc.field(column) == value)
        assert found["event_id"].to_pylist() == ["i1" * 40]
    with duckdb.connect() as engine:
        engine.register("impressions", lake.dataset("impressions"))
        assert engine.sql(f"SELECT count(*) FROM impressions WHERE unit = '{units[0]}'").fetchall() == [(1,)]
    found = lake.dataset("rejects").to_table(filter=pc.match_substring(pc.field("text"), units[0]))
    assert found.num_rows == 1


def test_a_folder_that_somebody_makes_while_it_is_looked_for_is_looked_into(tmp_path):
    (tmp_path / "part.parquet").write_bytes(b"abc")
    objects, looks = Objects(str(tmp_path), {}), []

    class Store:
        """It finds nothing first, as pyarrow says where the folder was made between its two looks."""

        def get_file_info(self, wanted):
            looks.append(wanted.base_dir)
            if len(looks) == 1:
                raise FileNotFoundError
            return store.get_file_info(wanted)

    store, objects._store = objects._store, Store()
    assert objects.sizes() == {"part.parquet": 3}
    assert len(looks) == 2
