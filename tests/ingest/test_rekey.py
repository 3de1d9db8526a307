"""A change of the unit key: the same people stay the same units, and what names them otherwise leaves the disk."""

import hmac
import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.core.errors import ExperimentError, TryLater
from experiments.core.plan import Arm, Attribution, Plan
from experiments.events import upkeep
from experiments.events.evidence import gather
from experiments.events.keys import HASHED, OtherKeys, layers_of
from experiments.events.lake import EventLake
from experiments.events.numbers import LARGEST, UNIT_NUMBER
from experiments.events.schema import TABLES
from experiments.ingest.hashing import KeyIsChanging, UnitHasher
from experiments.ingest.keyfile import KeyFile
from experiments.ingest.rekey import refuse_strangers, rekey

FIRST = bytes.fromhex("5e" * 32)


@pytest.fixture
def file(tmp_path):
    return key_file(tmp_path)


def key_file(folder):
    found = KeyFile(folder / "unit.key")
    found.path.write_text(FIRST.hex())
    return found


@pytest.fixture
def filled(deliver, impressions, as_csv, as_jsonl, file, now):
    """A lake under one key: impressions, clicks that name units or only impressions, conversions, and rejects."""

    def filled(first=0, count=40, hasher=None):
        hasher = hasher or UnitHasher(*file.keys())
        shown = [row | {"unit": f"person-{n % 7}"} for n, row in enumerate(impressions(count, first))]
        shown[3]["arm"] = "pencil"
        clicks = [
            {"event_id": f"c{first + n}", "ts": (now - timedelta(days=1)).isoformat(), "impression_id": f"i{first + n}"}
            | ({"unit": f"person-{n % 7}"} if n % 2 else {})
            for n in range(0, count, 3)
        ]
        bought = [
            {"event_id": f"v{first + n}", "ts": (now - timedelta(hours=20)).isoformat(), "unit": f"person-{n % 7}",
             "value": "2.50"} for n in range(0, count, 5)
        ]  # fmt: skip
        deliver(f"impressions-{first}.csv", as_csv(shown), hasher=hasher)
        deliver(f"clicks-{first}.jsonl", as_jsonl(clicks), hasher=hasher)
        deliver(f"conversions-{first}.jsonl", as_jsonl(bought), hasher=hasher)

    return filled


@pytest.fixture
def plan(now):
    arms = (Arm("original", "original"), Arm("mosaic", "mosaic"))
    return Plan("spring", "spring", "original", arms, start=now - timedelta(days=6), attribution=Attribution(1, 7))


def everything(lake):
    """Every byte of the lake's folder, Parquet unpacked."""
    found = []
    for path in sorted(Path(lake.root).rglob("*")):
        if path.is_file():
            found.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".parquet":
            found += [str(row) for row in duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()]
    return "\n".join(found)


def said(evidence):
    return replace(evidence, lake_versions={})


def test_hashes_are_hashed_again_key_by_key():
    keys = (b"first key, 16 by", b"second key of the tests", b"k" * 64)
    by_hand = hmac.new(keys[0], b"user-1", "sha256").hexdigest()[:32]
    assert UnitHasher(keys[0]).hashed("user-1") == by_hand
    older = [by_hand]
    for key in keys[1:]:
        older.append(hmac.new(key, older[-1].encode(), "sha256").hexdigest()[:32])
    hasher = UnitHasher(*keys)
    assert hasher.hashed("user-1") == older[-1]
    assert hasher.earlier("user-1") == tuple(older[:-1])
    assert [hasher.raised(each, layers) for layers, each in enumerate(older, 1)] == [older[-1]] * 3


def test_a_unit_within_an_id_has_a_hash_that_stays_and_is_no_units():
    keys = (b"first key, 16 by", b"second key of the tests")
    ids = UnitHasher(*keys).of_ids
    assert ids.hashed("user-1") == UnitHasher(keys[0]).of_ids.hashed("user-1")
    assert ids.hashed("user-1") not in (UnitHasher(*keys).hashed("user-1"), *UnitHasher(*keys).earlier("user-1"))
    with pytest.raises(KeyIsChanging):
        UnitHasher(*keys, changing=True).of_ids.hashed("user-1")


@given(st.lists(st.binary(min_size=16, max_size=64), min_size=1, max_size=3), st.lists(st.none() | st.text()))
@settings(max_examples=30, deadline=None)
def test_a_column_is_hashed_as_its_values_are_under_any_keys(keys, units):
    units = [unit if unit is None else unit.encode(errors="ignore").decode() for unit in units]
    hasher = UnitHasher(*keys)
    found = hasher.hash_column(pa.array(units, pa.string())).to_pylist()
    assert found == [None if unit is None else hasher.hashed(unit) for unit in units]


def test_after_two_changes_evidence_and_every_other_column_are_as_before(filled, lake, file, plan, now):
    filled()
    before, rows = said(gather(lake, plan, now)), {name: contents(lake, name) for name in TABLES}
    assert before.arms["mosaic"].units == 7
    assert rekey(lake, file).rows == {"impressions": 39, "outcomes": 15}
    assert rekey(lake, file).layers == 3
    assert said(gather(lake, plan, now)) == before
    hasher = UnitHasher(*file.keys())
    for name in TABLES:
        assert contents(lake, name) == (raised(rows[name], hasher) if name in HASHED else rows[name])
        assert lake.lost(name) == []


def raised(rows, hasher):
    """As rows are once their units are hashed under all keys, no longer under the first alone."""
    units = [row["unit"] and hasher.raised(row["unit"], 1) for row in rows]
    numbers = [{UNIT_NUMBER: int(unit[16:], 16) & LARGEST} if UNIT_NUMBER in rows[0] else {} for unit in units]
    return [row | {"unit": unit} | number for row, unit, number in zip(rows, units, numbers, strict=True)]


def contents(lake, name):
    return sorted(lake.dataset(name).to_table().to_pylist(), key=lambda row: (row["delivery"], row["line"]))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 90)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 90)), max_size=15),
    st.integers(0, 30),
)
@settings(max_examples=4, deadline=None)
def test_a_lake_whose_key_was_changed_twice_says_what_one_with_one_key_does(tmp_path_factory, shown, bought, cut):
    """Half of the events come before, between and after the changes; the same people are met again."""
    folder = tmp_path_factory.mktemp("rekeyed")
    file, start = key_file(folder), START
    arms = (Arm("original", "original"), Arm("mosaic", "mosaic"))
    plan = Plan("spring", "s", "original", arms, start=start, attribution=Attribution(1, 2))
    changed, plain = EventLake(folder / "changed"), EventLake(folder / "plain")
    for part in range(3):
        for lake, hasher in ((changed, UnitHasher(*file.keys())), (plain, UnitHasher(FIRST))):
            commit(lake, hasher, "impressions", [
                {"event_id": f"i{n}", "ts": start + timedelta(hours=hours), "experiment": "spring",
                 "arm": ("original", "mosaic")[arm], "unit": f"person-{unit}"}
                for n, (unit, arm, hours) in enumerate(shown) if (n + cut) % 3 == part
            ], f"d{part}")  # fmt: skip
            commit(lake, hasher, "outcomes", [
                {"event_id": f"v{n}", "ts": start + timedelta(hours=hours), "kind": "conversion",
                 "unit": f"person-{unit}", "value_micros": n}
                for n, (unit, hours) in enumerate(bought) if n % 3 == part
            ], f"e{part}")  # fmt: skip
        if part < 2:
            rekey(changed, file)
    until = start + timedelta(days=5)
    assert said(gather(changed, plan, until)) == said(gather(plain, plan, until))


START = datetime(2026, 11, 2, tzinfo=UTC)


def commit(lake, hasher, name, events, delivery):
    whole = {"delivery": delivery, "delivered_at": START}
    rows = [{**whole, "date": each["ts"].date(), **each, "unit": hasher.hashed(each["unit"])} for each in events]
    lake.begin(name).commit(pa.Table.from_pylist(rows, schema=TABLES[name].schema), delivery)


def test_new_deliveries_of_the_same_units_meet_the_old_ones(filled, lake, file):
    filled()
    rekey(lake, file)
    filled(first=100)
    filled(first=200, hasher=UnitHasher(*file.keys()))
    units = {row["unit"] for row in contents(lake, "impressions")}
    assert units == {UnitHasher(*file.keys()).hashed(f"person-{n}") for n in range(7)}


def test_old_hashes_leave_the_disk_and_raw_ids_never_reach_it(filled, lake, file):
    filled()
    filled(first=100)
    old = [UnitHasher(FIRST).hashed(f"person-{n}") for n in range(7)]
    text = everything(lake)
    assert all(each in text for each in old)
    rekey(lake, file)
    rejected = {row["text"] for row in contents(lake, "rejects")}
    assert {each for each in old if any(each in line for line in rejected)} == {old[3]}
    text, keys = everything(EventLake(lake.root)), file.keys()
    assert [each for each in old if each in text and each != old[3]] == []
    for name in HASHED:  # of the one that a rejected line names, nothing is left elsewhere
        assert old[3] not in everything(EventLake(f"{lake.root}/{name}"))
    assert "person-" not in text
    assert all(key.hex() not in text for key in keys)
    new = [UnitHasher(*file.keys()).hashed(f"person-{n}") for n in range(7)]
    assert all(each in text for each in new)


def test_versions_before_the_change_are_refused_by_name_and_later_ones_grow_on(filled, lake, file, plan, now):
    filled()
    versions = lake.versions()
    rekey(lake, file)
    with pytest.raises(ExperimentError, match="has version 1 no longer: versions before a change of the unit key"):
        gather(lake, plan, now, {"impressions": versions["impressions"]})
    now_at = lake.versions()["impressions"]
    assert now_at > versions["impressions"]
    filled(first=100, hasher=UnitHasher(*file.keys()))
    assert lake.versions()["impressions"] == now_at + 1
    assert lake.dataset("impressions", now_at).to_table().num_rows == 39


def test_what_was_delivered_before_the_change_is_still_known(filled, lake, file, register):
    filled()
    before = contents(lake, "impressions")
    rekey(lake, file)
    register.clear()  # the register is lost, or was never told: the lake itself must know
    filled(hasher=UnitHasher(*file.keys()))
    assert len(contents(lake, "impressions")) == len(before)
    assert {(each.read, each.accepted) for each in register.values() if each.kind == "impression"} == {(40, 39)}


def test_rejected_lines_tell_how_many_keys_they_know_and_a_unit_is_found_under_each(filled, lake, file):
    filled()
    for first in (100, 200):
        rekey(lake, file)
        filled(first=first)
    assert sorted(row["layers"] for row in contents(lake, "rejects")) == [1, 2, 3]
    hasher = UnitHasher(*file.keys())
    for row in contents(lake, "rejects"):
        (named,) = re.findall("[0-9a-f]{32}", row["text"])
        assert hasher.raised(named, row["layers"]) == hasher.hashed("person-3")
    shown = list(upkeep.of_unit(lake, hasher.hashed("person-3"), hasher.earlier("person-3")))
    assert sum(row["table"] == "rejects" for row in shown) == 3
    done = {each.table: each.rows for each in upkeep.erase(lake, hasher.hashed("person-3"), hasher.earlier("person-3"))}
    assert done["rejects"] == 3
    assert done["impressions"] > 0
    text = everything(lake)
    assert [each for each in (hasher.hashed("person-3"), *hasher.earlier("person-3")) if each in text] == []


def test_hashes_under_other_keys_never_meet(filled, lake, file, deliver, impressions, as_csv):
    filled()
    stale = UnitHasher(*file.keys())
    rekey(lake, file)
    other = UnitHasher(FIRST, b"another second key")
    for hasher, says in ((stale, "2 and not 1"), (other, "others")):
        with pytest.raises(OtherKeys, match=f"impressions are hashed under other unit keys than ours \\({says}\\)"):
            deliver("impressions-late.csv", as_csv(impressions(3, 500)), hasher=hasher)
        with pytest.raises(OtherKeys):
            refuse_strangers(lake, hasher)
    refuse_strangers(lake, UnitHasher(*file.keys()))
    file.path.write_text(f"{FIRST.hex()}\n{'77' * 32}\n")
    with pytest.raises(OtherKeys):
        rekey(lake, file)
    assert not file.changing, "nothing was begun"


def test_while_the_key_is_changing_nothing_is_hashed(lake, file, deliver, impressions, as_csv):
    file.begin_change()
    hasher = UnitHasher(*file.keys(), changing=file.changing)
    for work in (
        lambda: hasher.hashed("u"),
        lambda: hasher.raised("u", 1),
        lambda: hasher.earlier("u"),
        lambda: hasher.hash_column(pa.array(["u"])),
        lambda: deliver("impressions.csv", as_csv(impressions(3)), hasher=hasher),
        lambda: refuse_strangers(lake, hasher),
    ):
        with pytest.raises(KeyIsChanging, match="run adstyle events rekey"):
            work()
    assert contents(lake, "impressions") == []


class Killed(BaseException):
    """What a killed process does: nothing more."""


STEPS = [
    (KeyFile, "begin_change"),
    (upkeep, "rewrite"),
    (upkeep, "vacuum"),
    (upkeep, "forget_log"),
    (KeyFile, "end_change"),
]


def test_interrupted_before_and_after_any_step_nothing_mixes_and_the_next_run_ends_it(
    filled, lake, file, tmp_path, monkeypatch
):
    filled()
    whole, steps = {name: contents(lake, name) for name in HASHED}, 0
    shutil.copytree(lake.root, tmp_path / "as it was")

    def counted(owner, name):
        real = getattr(owner, name)

        def call(*arguments, **options):
            step()
            found = real(*arguments, **options)
            step()
            return found

        monkeypatch.setattr(owner, name, call)

    def step():
        nonlocal steps
        steps -= 1
        if steps == 0:
            raise Killed

    for owner, name in STEPS:
        counted(owner, name)
    for fatal in range(1, 17):
        shutil.rmtree(lake.root)
        shutil.copytree(tmp_path / "as it was", lake.root)
        key_file(tmp_path)
        steps = fatal
        with pytest.raises(Killed):
            rekey(lake, file)
        steps = 0
        assert file.changing == (1 < fatal < 16)
        layers = {name: layers_of(lake.begin(name)) for name in HASHED}
        assert file.changing or len({*layers.values(), len(file.keys())}) == 1, "what is not changing is not mixed"
        if fatal < 16:
            rekey(lake, file)
        hasher = UnitHasher(*file.keys(), changing=file.changing)
        assert hasher.keys.layers == 2
        for name in HASHED:
            assert contents(lake, name) == raised(whole[name], hasher)
            assert (lake.lost(name), lake.outdated(name)) == ([], {})
    steps = 17
    key_file(tmp_path)
    shutil.rmtree(lake.root)
    shutil.copytree(tmp_path / "as it was", lake.root)
    rekey(lake, file)
    assert steps == 1, "there is no step after these"


def test_evidence_is_not_gathered_from_tables_hashed_differently(filled, lake, file, plan, now, monkeypatch):
    filled()
    real = upkeep.rewrite

    def first_only(lake, name, *arguments):
        if name == "outcomes":
            raise Killed
        return real(lake, name, *arguments)

    monkeypatch.setattr(upkeep, "rewrite", first_only)
    with pytest.raises(Killed):
        rekey(lake, file)
    with pytest.raises(TryLater, match=r"impressions under 2, outcomes under 1.*run adstyle events rekey"):
        gather(lake, plan, now)


def test_a_change_begun_on_two_machines_ends_on_one(filled, lake, file, tmp_path, monkeypatch):
    filled()
    (tmp_path / "b").mkdir()
    theirs = key_file(tmp_path / "b")
    theirs.begin_change()
    rekey(lake, file)
    with pytest.raises(OtherKeys, match=r"copy its secrets/unit\.key"):
        rekey(lake, theirs)
    assert {row["unit"] for row in contents(lake, "impressions")} == {
        UnitHasher(*file.keys()).hashed(f"person-{n}") for n in range(7)
    }


def test_an_empty_lake_has_its_key_changed_too(lake, file, filled):
    assert rekey(lake, file).rows == {"impressions": 0, "outcomes": 0}
    with pytest.raises(OtherKeys):
        filled(hasher=UnitHasher(FIRST))
    filled()
    assert json.dumps(contents(lake, "impressions"), default=str).count(UnitHasher(*file.keys()).hashed("person-1")) > 0


def test_progress_runs_to_the_last_row(filled, lake, file):
    seen = []
    filled()
    rekey(lake, file, lambda what, done, of: seen.append((what, done, of)))
    assert [each for each in seen if each[1] == each[2]] == [
        ("hashing impressions", 39, 39),
        ("hashing outcomes", 22, 22),
    ]
