"""The doctor finds what is wrong, says what to do, and calls a healthy workspace healthy."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from experiments.composition import lake_of
from experiments.core.delivery import Delivery
from experiments.doctor import examine
from experiments.events import upkeep
from experiments.events.schema import TABLES
from experiments.ingest.rekey import rekey
from experiments.store.database import migrate, open_database
from experiments.store.deliveries import SqlDeliveries
from experiments.workspace import create_workspace, open_workspace

NOW = datetime(2026, 11, 9, 6, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path):
    """Two deliveries, one of impressions and one of conversions with a rejected line."""
    workspace = create_workspace(tmp_path / "ads")
    migrate(workspace.database_url)
    deliver(workspace, "impressions", "impression", "a" * 64)
    deliver(workspace, "outcomes", "conversion", "b" * 64, currency="EUR", value_micros=5)
    rejects = [{"name": "f.csv", "kind": "conversion", "reason": "bad_value", "text": "x"}]
    commit(workspace, "rejects", rejects, "b" * 64)
    register(workspace, "a" * 64, kind="impression")
    register(workspace, "b" * 64, kind="conversion", rejected={"bad_value": 1})
    return workspace


def commit(workspace, name, events, delivery, delivered_at=NOW):
    whole = {"delivery": delivery, "delivered_at": delivered_at, "ts": NOW, "date": NOW.date()}
    rows = pa.Table.from_pylist([whole | each for each in events], schema=TABLES[name].schema)
    lake_of(workspace).begin(name).commit(rows, delivery)


def deliver(workspace, name, kind, delivery, delivered_at=NOW, **fields):
    event = {"event_id": delivery[:4], "experiment": "spring", "arm": "a", "unit": "u" * 32, "kind": kind, **fields}
    commit(workspace, name, [event], delivery, delivered_at)


def register(workspace, sha256, kind, accepted=1, **fields):
    database = open_database(workspace.database_url)
    SqlDeliveries(database).record(Delivery(sha256, f"{kind}.csv", kind, 9, 2, accepted, 0, NOW, **fields))
    database.dispose()


def says(workspace, check, *, ok, at=NOW):
    (found,) = (each for each in examine(workspace, lambda: at) if each.check == check)
    assert found.ok is ok, found.says
    assert "\n" not in found.says
    return found.says


def test_a_healthy_workspace_is_called_healthy(workspace):
    assert [each for each in examine(workspace, lambda: NOW) if not each.ok] == []
    assert "2 files" in says(workspace, "deliveries", ok=True)
    assert says(workspace, "currencies", ok=True) == "conversions: EUR 1"
    assert says(workspace, "left behind", ok=True) == "no file but those that the lake is made of"


def data(workspace, name="impressions"):
    return next(Path(workspace.lake_root, name).rglob("*.parquet"))


def test_a_missing_file_and_one_of_another_size_are_named(workspace):
    file = data(workspace)
    whole = file.read_bytes()
    file.write_bytes(whole + b"x")
    assert f"1 files of impressions are missing or cut, {file} first" in says(workspace, "lake", ok=False)
    file.write_bytes(whole)
    says(workspace, "lake", ok=True)
    file.unlink()
    assert "restore it from your backup" in says(workspace, "lake", ok=False)


def test_files_that_nobody_needs_are_counted_and_weighed(workspace):
    orphan = data(workspace).with_name("part-0.parquet")
    orphan.write_bytes(b"x" * (3 << 20))
    deliver(workspace, "impressions", "impression", "c" * 64)
    upkeep.erase(lake_of(workspace), "nobody")
    assert says(workspace, "left behind", ok=True) == "no file but those that the lake is made of"
    orphan.write_bytes(b"x" * (3 << 20))
    told = says(workspace, "left behind", ok=True)
    assert told.startswith("1 files (1 of impressions; 3.0 MiB) of interrupted work: adstyle events compact removes")
    upkeep.forget(lake_of(workspace), "impressions", (NOW + timedelta(days=1)).date())
    told = says(workspace, "left behind", ok=True)
    assert told.startswith("1 files (1 of impressions; 3.0 MiB) of interrupted work")
    assert "2 files (2 of impressions; 0.0 MiB) that only older versions need" in told
    upkeep.vacuum(lake_of(workspace), "impressions", 0)
    assert says(workspace, "left behind", ok=True) == "no file but those that the lake is made of"


def test_files_that_a_log_without_its_end_does_not_know_are_not_called_left_behind(workspace):
    deliver(workspace, "impressions", "impression", "c" * 64)
    register(workspace, "c" * 64, kind="impression")
    data(workspace, "outcomes").with_name("part-0.parquet").write_bytes(b"x")
    max(Path(workspace.lake_root, "impressions", "_delta_log").glob("*.json")).unlink()
    told = says(workspace, "left behind", ok=False)
    assert told.startswith("1 files (1 of impressions; 0.0 MiB) that the log does not know, which is behind the reg")
    assert "restore _delta_log of impressions from your newest backup, and leave the files where they are" in told
    assert "compact" not in told
    assert "or its log alone, is older than the database" in says(workspace, "deliveries", ok=False)


def test_a_delivery_that_the_lake_does_not_know_is_named(workspace):
    register(workspace, "c" * 64, kind="impression", accepted=0)
    says(workspace, "deliveries", ok=True)
    register(workspace, "d" * 64, kind="click", accepted=0, rejected={"superseded": 3})
    says(workspace, "deliveries", ok=True)
    register(workspace, "e" * 64, kind="click")
    told = says(workspace, "deliveries", ok=False)
    assert "click.csv was delivered on 2026-11-09, but outcomes does not know it (eeeeeeeeeeee)" in told


def test_rejected_lines_that_the_lake_does_not_know_are_named(workspace):
    register(workspace, "c" * 64, kind="impression", accepted=0, rejected={"unknown_arm": 3})
    assert "but rejects does not know it" in says(workspace, "deliveries", ok=False)


def test_what_was_forgotten_is_still_known(workspace):
    for name in TABLES:
        upkeep.forget(lake_of(workspace), name, (NOW + timedelta(days=1)).date())
    says(workspace, "deliveries", ok=True)


@pytest.mark.parametrize("name", ["impressions", "outcomes", "rejects"])
def test_rows_of_a_delivery_that_the_register_does_not_know_are_told(workspace, name):
    if name == "rejects":
        commit(workspace, name, [{"name": "f", "kind": "click", "reason": "bad_value", "text": "x"}], "f" * 64)
    else:
        deliver(workspace, name, "click", "f" * 64)
    told = says(workspace, "deliveries", ok=False)
    assert "rows of 1 files that the register does not know (ffffffffffff first)" in told
    assert "ingest those files again" in told


def test_a_change_of_key_that_was_interrupted_is_told_with_what_to_do(workspace):
    workspace.key_file.begin_change()
    assert "run adstyle events rekey" in says(workspace, "unit key", ok=False)
    rekey(lake_of(workspace), workspace.key_file)
    assert says(workspace, "unit key", ok=True) == "256 bits, the newest of 2, readable by its owner alone"


def test_a_key_file_that_is_not_the_lakes_is_told(workspace):
    before = workspace.key_file.path.read_text()
    rekey(lake_of(workspace), workspace.key_file)
    workspace.key_file.path.write_text(before)
    assert "hashed under other unit keys than ours (2 and not 1)" in says(workspace, "unit key", ok=False)


def test_keys_that_others_can_read_are_told_the_coming_one_too(workspace):
    workspace.key_file.begin_change()
    workspace.key_file.pending.chmod(0o640)
    assert f"chmod 600 {workspace.key_file.pending}" in says(workspace, "unit key", ok=False)


def test_several_currencies_are_told_in_one_line(workspace):
    deliver(workspace, "outcomes", "conversion", "1" * 64, currency="USD", value_micros=1)
    deliver(workspace, "outcomes", "conversion", "2" * 64, value_micros=1)
    deliver(workspace, "outcomes", "conversion", "3" * 64, currency="CHF")
    deliver(workspace, "outcomes", "click", "4" * 64, currency="SEK", value_micros=1)
    told = says(workspace, "currencies", ok=True)
    assert told == "conversions are in several currencies (without one 1, EUR 1, USD 1): do not add them up as they are"


def test_money_that_was_converted_is_in_one_currency(workspace):
    deliver(workspace, "outcomes", "conversion", "1" * 64, currency="USD", value_micros=1, paid_micros=2)
    deliver(workspace, "outcomes", "conversion", "2" * 64, currency="CHF", value_micros=1, paid_micros=2)
    assert "(EUR 1, converted 2)" in says(workspace, "currencies", ok=True), "what rates were for is set no more"
    settings = workspace.root / "adstyle.toml"
    without = settings.read_text()
    settings.write_text(f'{without}\n[money]\ncurrency = "EUR"\n')
    assert says(open_workspace(workspace.root), "currencies", ok=True) == "conversions: EUR 3"
    settings.write_text(f'{without}\n[money]\ncurrency = "SEK"\n')
    told = says(open_workspace(workspace.root), "currencies", ok=True)
    assert told.startswith("conversions are in several currencies (EUR 1, SEK 2)"), "one was not converted"


def test_a_clock_that_was_set_back_is_told_by_what_was_delivered(workspace):
    says(workspace, "clock", ok=True, at=NOW - timedelta(minutes=4))
    told = says(workspace, "clock", ok=False, at=NOW - timedelta(hours=1))
    assert "the clock says 2026-11-09 05:00 UTC but facts were recorded at 2026-11-09 06:00: set the clock" in told
