"""Rejected lines on the command line: listed, written out, judged again; and nobody's name is on the disk."""

import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from experiments.cli.app import run
from experiments.cli.shell import progress_bar
from experiments.core.commands import Approve, FinishGeneration, Generate
from experiments.core.plan import Arm, Plan
from experiments.store.control import ControlPlane
from experiments.store.database import migrate, open_database
from experiments.store.records import VariantRecord
from experiments.workspace import create_workspace, open_workspace

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
NOW = MONDAY + timedelta(days=7, hours=6)
ARMS = ("original", "mosaic")
SECRETS = ("ann@example.org", "bo-with-a-name", "203.0.113.77", "198.51.100.9")
HEADER = "event_id,ts,experiment,arm,unit,ip\n"


def start(root: Path, name: str) -> None:
    """An experiment that runs since Monday; no creative was rendered for it."""
    engine = open_database(open_workspace(root).database_url)
    control = ControlPlane(engine, lambda: MONDAY)
    control.create_experiment(name, {}, salt=name, control="original", actor="ada")
    control.execute(name, Generate(), "ada")
    control.save_variants(name, [VariantRecord(arm, "300x250", "", "", "ab" * 32, 1, 300, 250, {}, {}) for arm in ARMS])
    control.execute(name, FinishGeneration(len(ARMS)), "job")
    control.execute(name, Approve(), "mary")
    control.seal_plan(name, Plan(name, name, "original", tuple(Arm(arm, arm) for arm in ARMS), start=MONDAY), "ada")
    engine.dispose()


@pytest.fixture
def workspace(tmp_path):
    root = tmp_path / "ads"
    migrate(create_workspace(root).database_url)
    start(root, "spring")
    return root


@pytest.fixture
def adstyle(workspace, capsys):
    """One command; what it prints."""

    def adstyle(*arguments, code=0, out=False):
        capsys.readouterr()
        assert run(["-w", str(workspace), "--now", NOW.isoformat(), *map(str, arguments)]) == code
        said = capsys.readouterr()
        return said.out if out or code == 0 else said.err

    return adstyle


def line(number, experiment, unit, address):
    return f"i{number},{(MONDAY + timedelta(hours=number)).isoformat()},{experiment},mosaic,{unit},{address}\n"


@pytest.fixture
def log(tmp_path):
    """Outside the workspace: what is in the inbox is as the ad server wrote it."""
    path = tmp_path / "views.csv"
    good, bad = line(1, "spring", SECRETS[0], SECRETS[2]), line(2, "autumn", SECRETS[0], SECRETS[2])
    path.write_text(HEADER + good + bad + line(3, "autumn", SECRETS[1], SECRETS[3]) + f"broken,{SECRETS[1]}\n")
    return path


def nobody_is_named_in(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        data = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in data], path


def test_from_the_list_to_the_replay(adstyle, workspace, log):
    assert adstyle("events", "rejects") == "No rejected lines are kept.\n"
    adstyle("ingest", log)
    assert adstyle("events", "rejects").splitlines() == [
        "views.csv: 1 × wrong number of columns (ragged_row)",
        "views.csv: 2 × an experiment that does not exist (unknown_experiment)",
    ]
    told = [json.loads(each) for each in adstyle("events", "rejects", "--json").splitlines()]
    assert [(each["file"], each["kind"], each["format"], each["reason"], each["count"]) for each in told] == [
        ("views.csv", "impression", "adstyle", "ragged_row", 1),
        ("views.csv", "impression", "adstyle", "unknown_experiment", 2),
    ]
    assert adstyle("events", "rejects", "--reason", "bad_value") == "No rejected lines are kept.\n"
    said = adstyle("events", "replay")
    assert "views.csv: 2 tried = 0 accepted + 0 duplicate + 2 still rejected" in said
    assert "1 line is not judged again: its values cannot be told apart" in said
    start(workspace, "autumn")
    said = adstyle("events", "replay", "--file", "views.csv", "--json")
    found = json.loads(said)
    assert (found["tried"], found["accepted"], found["left"]) == (2, 2, {"values_not_told_apart": 1})
    assert adstyle("events", "rejects").splitlines() == ["views.csv: 1 × wrong number of columns (ragged_row)"]
    assert "1 delivery: 4 lines read = 3 accepted + 0 duplicate + 1 rejected" in adstyle("status")
    assert len(adstyle("events", "show", SECRETS[0]).splitlines()) == 2, "they are the same person's"
    nobody_is_named_in(workspace)


def test_written_out_repaired_and_ingested(adstyle, workspace, log):
    adstyle("ingest", log)
    out = workspace / "repair"
    said = adstyle("events", "rejects", "--out", out)
    path = out / "views.csv.rejects.csv"
    assert f"{path}: 2 lines; repair them, then adstyle ingest {path} --kind impression" in said
    assert "views.csv: 1 line is not written: its values cannot be told apart, so each of them is hashed" in said
    path.write_text(path.read_text().replace("autumn", "spring"))
    assert json.loads(adstyle("ingest", path, "--kind", "impression", "--json"))["accepted"] == 2
    held = [json.loads(line)["table"] for line in adstyle("events", "show", SECRETS[0]).splitlines()]
    assert held.count("impressions") == 2
    assert "is there already" in adstyle("events", "rejects", "--out", out, code=2)
    nobody_is_named_in(workspace)


def test_the_key_may_be_changed_between(adstyle, workspace, log):
    """Rejected lines keep the hashes that they were given; who comes of them is nevertheless who was there before."""
    adstyle("ingest", log)
    before = workspace / "before"
    adstyle("events", "rejects", "--out", before)
    adstyle("events", "rekey", "--yes")
    stale = before / "views.csv.rejects.csv"
    assert "export these rejects again" in adstyle("ingest", stale, "--kind", "impression", code=2)
    after = workspace / "after"
    adstyle("events", "rejects", "--out", after)
    path = after / "views.csv.rejects.csv"
    assert "unit (hashed 2 times)" in path.read_text()
    assert path.read_text().replace(" 2 times", "") != stale.read_text(), "it has other hashes"
    start(workspace, "autumn")
    assert json.loads(adstyle("events", "replay", "--json"))["accepted"] == 2
    held = [json.loads(line)["table"] for line in adstyle("events", "show", SECRETS[0]).splitlines()]
    assert held.count("impressions") == 2
    assert json.loads(adstyle("ingest", path, "--kind", "impression", "--json"))["duplicate"] == 2
    nobody_is_named_in(workspace)


def test_a_feeds_replaced_hour_is_said(adstyle, workspace, tmp_path):
    (workspace / "trafficking.csv").write_text("column,value,experiment,arm\nRendering ID,101,spring,mosaic\n")
    names = [f"dcm_account1_impression_2026110201_{made}.csv" for made in ("20261102_030000_1", "20261102_090000_2")]
    at = int(MONDAY.timestamp() * 1_000_000)
    header = "Event Time,User ID,Rendering ID,Impression ID\n"
    for number, name in enumerate(names):
        (workspace / "inbox" / name).write_text(header + f"{at},{number},101,a\n{at},{number},101,b{number}\n")
    said = adstyle("ingest")
    assert f"{names[1]} replaces {names[0]}" in said
    assert adstyle("events", "rejects") == "No rejected lines are kept.\n"
    assert "2 lines read = 1 accepted + 0 duplicate + 1 rejected" not in adstyle("status")
    status = json.loads(adstyle("status", "--json"))["deliveries"]
    assert (status["files"], status["read"], status["accepted"], status["replaced"]) == (2, 2, 2, 1)
    older = tmp_path / names[0].replace("_1.csv", "_0.csv")
    older.write_text(header)
    said = adstyle("ingest", older)
    assert f"{older.name} (a newer file counts)" in said


def test_a_mapping_that_is_gone_is_named(adstyle, workspace, tmp_path):
    mapping = (
        'name = "shop"\ntitle = "Shop"\nsource = "https://shop.example"\nchecked_on = 2026-11-25\n[[files]]\n'
        'kind = "click"\nnames = ["shop_*"]\ncolumns = {event_id = "id", ts = "at", unit = "who"}\n'
    )
    (workspace / "feeds").mkdir(exist_ok=True)
    (workspace / "feeds" / "shop.toml").write_text(mapping)
    log = tmp_path / "october.csv"
    log.write_text("id,at,who\n1,never,ann\n")
    adstyle("ingest", log, "--format", "shop", "--kind", "click")
    said = adstyle("events", "rejects", "--out", workspace / "repair")
    assert said.rstrip().endswith("october.csv.rejects.csv --format shop --kind click")
    (workspace / "feeds" / "shop.toml").unlink()
    assert "october.csv was read by the mapping 'shop', which feeds/ has no more" in adstyle("events", "replay", code=2)


def test_names_are_printed_as_they_are(adstyle, workspace, log):
    name = "views [final] [b] :cat:.csv"
    path = log.rename(log.with_name(name))
    said = adstyle("ingest", path, "--kind", "impression").splitlines()
    assert said[1].strip().startswith(f"{name}  impression"), "a row of the table"
    assert f"{name}: 1 × wrong number of columns" in said
    assert f"{name}: 1 × wrong number of columns (ragged_row)" in adstyle("events", "rejects").splitlines()
    assert f"{name}: 2 tried = 0 accepted" in adstyle("events", "replay")
    told = adstyle("events", "rejects", "--out", workspace / "repair [1]")
    written = workspace / "repair [1]" / f"{name}.rejects.csv"
    assert f"{written}: 2 lines; repair them, then adstyle ingest '{written}'" in told
    assert f"{name}: 1 line is not written" in told
    assert "[gone] :cat:.csv cannot be read" in adstyle("ingest", path.with_name("[gone] :cat:.csv"), code=2)


def test_a_name_that_is_no_text_is_refused_and_the_others_are_read(adstyle, workspace):
    inbox = workspace / "inbox"
    for number, name in enumerate((b"impressions-a.csv", b"impressions-\xe9.csv", b"impressions-z.csv")):
        (inbox / os.fsdecode(name)).write_text(HEADER + line(number, "spring", SECRETS[0], SECRETS[2]))
    refusal = r"'impressions-\udce9.csv' has a name that is no UTF-8: rename it"
    done = "1 read = 1 accepted + 0 duplicate + 0 rejected"
    assert sorted(adstyle("job", "run", "ingest", code=1, out=True).splitlines()) == [
        rf"ingest impressions-\udce9.csv: failed ({refusal})",
        f"ingest impressions-a.csv: {done}",
        f"ingest impressions-z.csv: {done}",
    ]
    assert adstyle("ingest", code=2) == f"adstyle: {refusal}\n"
    assert adstyle("ingest", code=2, out=True).count("(ingested before)") == 2


def test_progress_names_a_file_as_it_is(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", screen)
    with progress_bar() as report:
        report("reading views [final] :cat:.csv", 1, 2)
    assert "reading views [final] :cat:.csv" in screen.getvalue()
