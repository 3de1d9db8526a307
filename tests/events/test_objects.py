"""A lake in an object store is kept as one in a folder is: the same calls on S3, which moto plays on this machine."""

import json
import socket
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import duckdb
import pytest

from experiments.cli.app import run
from experiments.core.errors import ExperimentError, StorageFailure, TryLater
from experiments.events import upkeep
from experiments.events.evidence import gather
from experiments.events.lake import EventLake
from experiments.events.schema import TABLES
from experiments.workspace import open_workspace

pytest.importorskip("moto.server", reason="moto plays the object store: pip install 'moto[s3,server]'")
UNIT, OTHER = "ab" * 16, "cd" * 16


@pytest.fixture(scope="module")
def store():
    """A server of S3 with a bucket, and how it is reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A process of its own: deltalake asks without letting other threads of this one answer.
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            with urlopen(Request(f"{url}/bucket", method="PUT")) as answer:  # noqa: S310 - our own server
                assert answer.status == 200
                break
        except URLError:
            time.sleep(0.1)
    yield {
        "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true", "aws_conditional_put": "etag",
        "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
    }  # fmt: skip
    server.kill()
    server.wait()


@pytest.fixture
def lake(store, request, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    yield EventLake(f"s3://bucket/{request.node.name.partition('[')[0]}", options=store)
    assert list(temporary.iterdir()) == [], "what was fetched or waited to be sent is gone"


@pytest.fixture
def impressions(rows, at):
    def impressions(*numbers, delivery="d1", **fields):
        return rows("impressions", [
            {"event_id": f"i{n}", "ts": at(hours=n), "arm": ("original", "mosaic")[n % 2], "unit": (UNIT, OTHER)[n % 2],
             **fields} for n in numbers
        ], delivery)  # fmt: skip

    return impressions


def ids(lake, version=None):
    return sorted(lake.dataset("impressions", version).to_table(["event_id"])["event_id"].to_pylist())


def test_versions_grow_and_each_stays_readable(lake, impressions):
    lake.begin("impressions").commit(impressions(0), "d0")
    lake.begin("impressions").commit(impressions(1), "d1")
    assert lake.versions() == dict.fromkeys(TABLES, 0) | {"impressions": 2}
    assert (ids(lake, 1), ids(lake)) == (["i0"], ["i0", "i1"])
    assert lake.begin("impressions").delivered("d1")
    assert {table.name: table.rows for table in lake.health()} == dict.fromkeys(TABLES, 0) | {"impressions": 2}
    with pytest.raises(ExperimentError, match="has no version 3"):
        ids(lake, 3)


def test_of_two_writers_one_is_told_to_try_later_and_leaves_nothing(lake, impressions):
    fast, slow = lake.begin("impressions"), lake.begin("impressions")
    fast.commit(impressions(0), "d0")
    with pytest.raises(TryLater, match="another ingest wrote to impressions"):
        slow.commit(impressions(1), "d1")
    assert ids(lake) == ["i0"]
    assert lake.orphans("impressions") == {}
    assert not lake.begin("impressions").delivered("d1")


def test_known_events_are_found_in_folders_of_any_name(lake, impressions):
    lake.begin("impressions").commit(impressions(0, 1, experiment="a b/ü"), "d0")
    handle = lake.begin("impressions")
    with duckdb.connect() as engine:
        engine.register("staged", impressions(1, 2, delivery="d2", experiment="a b/ü"))
        engine.execute(
            "CREATE TABLE ids AS SELECT md5_number(event_id) AS id, date, NULL AS kind, event_id FROM staged"
        )
        handle.find_known(engine, "d2")
        assert engine.execute("SELECT event_id FROM ids SEMI JOIN known USING (id)").fetchall() == [("i1",)]


def test_evidence_is_that_of_a_lake_in_a_folder(lake, impressions, rows, at, plan, tmp_path):
    folder, found = EventLake(tmp_path / "lake"), []
    for each in (lake, folder):
        each.begin("impressions").commit(impressions(0, 1, 2, 3), "d0")
        outcomes = [
            {"event_id": "c0", "ts": at(hours=2), "kind": "click", "impression_id": "i0"},
            {"event_id": "v0", "ts": at(hours=5), "kind": "conversion", "unit": OTHER, "value_micros": 5},
        ]
        each.begin("outcomes").commit(rows("outcomes", outcomes, "e0"), "e0")
        found.append(gather(each, plan, at(days=3)))
    assert found[0] == found[1]
    assert found[0].arms["original"].units == 1


def test_it_is_kept_as_a_folder_is(lake, impressions, rows, at, tmp_path):
    """Compacted, vacuumed, erased from, forgotten, looked through and exported; folders of any name among them."""
    for number in range(8):
        handle = lake.begin("impressions")
        handle.commit(impressions(number, delivery=f"d{number}", experiment="a b/ü"), f"d{number}")
    lake.begin("impressions").commit(impressions(30, 31), "late")
    clicks = [{"event_id": f"c{n}", "ts": at(hours=9), "kind": "click", "impression_id": f"i{n}", "unit": None}
              for n in range(4)]  # fmt: skip
    lake.begin("outcomes").commit(rows("outcomes", clicks, "e1"), "e1")
    before = lake.dataset("impressions").to_table().sort_by("event_id").to_pylist()
    assert upkeep.crowded(lake) == ("impressions",)
    assert upkeep.compact(lake, "impressions").files == 8
    assert lake.dataset("impressions").to_table().sort_by("event_id").to_pylist() == before
    assert lake.lost("impressions") == []
    assert lake.orphans("impressions") == {}
    assert len(lake.outdated("impressions")) == 8, "earlier versions still need them"
    upkeep.vacuum(lake, "impressions", 0)
    assert lake.outdated("impressions") == {}
    lake.begin("impressions").objects().send(Path(__file__), "experiment=a%20b/date=2026-11-02/part-0.parquet")
    assert len(lake.orphans("impressions")) == 1
    now = datetime.now(UTC)
    assert upkeep.clear(lake, "impressions", now).files == 0, "somebody may be writing it"
    assert upkeep.clear(lake, "impressions", now + timedelta(hours=49)).files == 1
    assert [row["event_id"] for row in upkeep.of_unit(lake, UNIT)] == ["i0", "i2", "i4", "i6", "i30", "c0", "c2"]
    assert {each.table: each.rows for each in upkeep.erase(lake, UNIT)} == {
        "impressions": 5, "outcomes": 2, "rejects": 0
    }  # fmt: skip
    assert ids(lake) == ["i1", "i3", "i31", "i5", "i7"]
    assert list(upkeep.of_unit(lake, UNIT)) == []
    assert upkeep.export(lake, "impressions", tmp_path / "out.csv", "csv") == 5
    assert upkeep.forget(lake, "impressions", date(2026, 11, 3)).rows == 4
    assert ids(lake) == ["i31"]
    assert lake.begin("impressions").delivered("d3"), "what was delivered is still known"


def test_files_without_their_log_are_not_taken_for_a_new_table(lake, impressions):
    handle = lake.begin("impressions")
    handle.commit(impressions(0), "d0")
    objects = handle.objects()
    for path in objects.sizes("_delta_log"):
        objects.remove(path)
    with pytest.raises(StorageFailure, match="impressions has files of data and no log: restore s3://bucket/"):
        lake.begin("impressions")
    assert objects.sizes("_delta_log") == {}


def test_files_that_are_missing_are_found(lake, impressions):
    lake.begin("impressions").commit(impressions(0, experiment="a b/ü"), "d0")
    (file,) = lake.begin("impressions").files()
    lake.begin("impressions").objects().remove(file.path)
    assert lake.lost("impressions") == [f"{lake.root}/impressions/{file.path}"]


def test_upkeep_that_meets_an_ingest_is_told_to_try_later_and_leaves_nothing(lake, impressions, monkeypatch):
    lake.begin("impressions").commit(impressions(0, 1), "d0")
    real = EventLake.begin

    def overtaken(self, name):
        handle = real(self, name)
        if name == "impressions":
            monkeypatch.setattr(EventLake, "begin", real)
            real(self, "impressions").commit(impressions(5, delivery="d5"), "d5")
        return handle

    monkeypatch.setattr(EventLake, "begin", overtaken)
    with pytest.raises(TryLater, match="somebody else wrote to impressions"):
        upkeep.rewrite(lake, "impressions", "unit", "reverse(unit)", ())
    assert ids(lake) == ["i0", "i1", "i5"]
    assert lake.orphans("impressions") == {}


def test_a_column_is_rewritten_and_the_log_forgotten(lake, impressions):
    lake.begin("impressions").commit(impressions(0, 1), "d0")
    upkeep.rewrite(lake, "impressions", "unit", "'x' || unit", ())
    upkeep.vacuum(lake, "impressions", 0)
    upkeep.forget_log(lake, "impressions")
    assert lake.dataset("impressions").to_table().sort_by("event_id")["unit"].to_pylist() == [f"x{UNIT}", f"x{OTHER}"]
    assert lake.begin("impressions").delivered("d0")
    with pytest.raises(ExperimentError, match="no longer"):
        ids(lake, 1)


def test_a_store_that_cannot_be_reached_is_one_line(store, impressions):
    options = store | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "max_retries": "0"}
    with pytest.raises(StorageFailure, match=r"cannot be read or written: .*[Cc]onnect") as failure:
        EventLake("s3://bucket/lake", options=options).versions()
    assert "\n" not in str(failure.value)


@pytest.fixture
def workspace(store, request, tmp_path, monkeypatch):
    """A workspace whose lake is in the store; the credentials are in the environment."""
    root = tmp_path / "ads"
    assert run(["init", str(root)]) == 0
    secret = {name: value for name, value in store.items() if name.endswith(("KEY", "KEY_ID"))}
    for name, value in secret.items():
        monkeypatch.setenv(name, value)
    options = "".join(f'{name} = "{value}"\n' for name, value in store.items() if name not in secret)
    settings = root / "adstyle.toml"
    settings.write_text(
        settings.read_text()
        .replace('lake = "lake"', f'lake = "s3://bucket/{request.node.name}"')
        .replace("[secrets]", f"[stores.options]\n{options}\n[secrets]")
    )
    return root


def types(capsys, root, *arguments, code=0):
    capsys.readouterr()
    found = run(["-w", str(root), "--now", "2026-11-09T06:00:00Z", *map(str, arguments)])
    said = capsys.readouterr()
    assert found == code, said
    return said.out if code == 0 else said.err + said.out


def clicks(path, first, count):
    lines = [f"c{n},2026-11-08T00:00:00Z,i{n},person-{n % 5}" for n in range(first, first + count)]
    path.write_text("\n".join(["event_id,ts,impression_id,unit", *lines, "c,yesterday,,"]) + "\n")
    return path


def test_the_commands_work_on_it(workspace, tmp_path, capsys):
    first, second = clicks(tmp_path / "clicks-a.csv", 0, 10), clicks(tmp_path / "clicks-b.csv", 5, 10)
    (told,) = map(json.loads, types(capsys, workspace, "ingest", first, "--json").splitlines())
    assert (told["read"], told["accepted"], told["duplicate"]) == (11, 10, 0)
    (told,) = map(json.loads, types(capsys, workspace, "ingest", second, "--json").splitlines())
    assert (told["read"], told["accepted"], told["duplicate"]) == (11, 5, 5)
    assert "ingested before" in types(capsys, workspace, "ingest", second)
    shown = [json.loads(line) for line in types(capsys, workspace, "events", "show", "person-3").splitlines()]
    assert sorted(row["event_id"] for row in shown) == ["c13", "c3", "c8"]
    assert "outcomes: 15 rows" in types(capsys, workspace, "events", "rekey", "--yes")
    again = [json.loads(line) for line in types(capsys, workspace, "events", "show", "person-3").splitlines()]
    assert [row | {"unit": ""} for row in again] == [row | {"unit": ""} for row in shown]
    assert "outcomes: 3 rows erased" in types(capsys, workspace, "events", "erase", "person-3", "--yes")
    types(capsys, workspace, "export", "events", "--out", tmp_path / "out", "--format", "csv")
    assert (tmp_path / "out" / "outcomes.csv").read_text().count("\n") == 13
    healthy = types(capsys, workspace, "doctor")
    assert "wrong" not in healthy
    lake = EventLake(f"s3://bucket/{workspace_lake(workspace)}", options=settings_of(workspace).stores.options)
    lake.begin("outcomes").objects().remove(lake.begin("outcomes").files()[0].path)
    assert "missing or cut" in types(capsys, workspace, "doctor", code=1)


def settings_of(root):
    return open_workspace(root).settings


def workspace_lake(root):
    return settings_of(root).stores.lake.rpartition("/")[2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ('[stores.options]\nAWS_REGION = ["a"]\n', "stores.options.AWS_REGION"),
        ("[stores.options]\nAWS_ALLOW_HTTP = true\n", "stores.options.AWS_ALLOW_HTTP"),
        ("[stores]\noption = 1\n", "options"),
    ],
)
def test_options_of_another_shape_are_one_line(tmp_path, capsys, options, says):
    root = tmp_path / "ads"
    assert run(["init", str(root)]) == 0
    settings = root / "adstyle.toml"
    text = settings.read_text()
    if options.startswith("[stores]"):
        options = text.replace("[stores]\n", options)
    else:
        options = text.replace("[secrets]", f"{options}[secrets]")
    settings.write_text(options)
    said = types(capsys, root, "status", code=2)
    assert says in said
    assert said.count("\n") == 1
