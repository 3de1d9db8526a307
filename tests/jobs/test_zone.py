"""Local times of files that lie in the inbox: the workspace says once where the clocks hang."""

import json
from datetime import UTC, datetime

import pytest

from experiments.cli.app import run
from experiments.composition import open_context
from experiments.store.database import migrate
from experiments.workspace import create_workspace, open_workspace

NOW = datetime(2026, 11, 9, tzinfo=UTC)
LINES = [
    "v1,2026-07-01 12:00:00,u1",
    "v2,2026-11-08 12:00:00,u1",
    "v3,2026-11-08 12:00:00Z,u1",
    "v4,2026-10-25 02:30:00,u1",
]
FEED = """
name = "till"
title = "A till in Lisbon"
source = "https://intranet.example/till"
checked_on = 2026-11-26

[[files]]
kind = "conversion"
names = ["till-*"]
columns = { event_id = "event_id", ts = "ts", unit = "unit" }
times = { zone = "Europe/Lisbon" }
"""


@pytest.fixture
def root(tmp_path):
    workspace = create_workspace(tmp_path / "ads")
    migrate(workspace.database_url)
    return workspace.root


@pytest.fixture
def adstyle(root, capsys):
    """One command; what it prints."""

    def adstyle(*arguments, code=0):
        capsys.readouterr()
        assert run(["-w", str(root), "--now", NOW.isoformat(), *map(str, arguments)]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return adstyle


@pytest.fixture
def moments(root):
    """When each conversion was, in UTC."""

    def moments():
        with open_context(open_workspace(root), lambda: NOW) as stores:
            rows = stores.lake.dataset("outcomes").to_table(columns=["event_id", "ts"]).to_pylist()
        return {row["event_id"]: f"{row['ts']:%m-%d %H:%M}" for row in sorted(rows, key=lambda row: row["event_id"])}

    return moments


def say(root, text):
    with (root / "adstyle.toml").open("a") as file:
        file.write(text)


def drop(root, name, lines):
    (root / "inbox" / name).write_text("\n".join(["event_id,ts,unit", *lines]) + "\n")


def test_a_file_in_the_inbox_is_of_the_workspaces_zone(root, adstyle, moments):
    drop(root, "conversions-1.csv", LINES)
    say(root, '[ingest]\nzone = "Europe/Berlin"\n')
    adstyle("job", "run", "ingest")
    assert moments() == {"v1": "07-01 10:00", "v2": "11-08 11:00", "v3": "11-08 12:00"}
    (reject,) = [json.loads(line) for line in adstyle("events", "rejects", "--json").splitlines()]
    assert reject["reason"] == "ambiguous_time"


def test_without_one_local_times_are_rejected_and_judged_again_once_it_is_said(root, adstyle, moments):
    drop(root, "conversions-1.csv", LINES[:3])
    told = json.loads(adstyle("ingest", "--json"))
    assert (told["accepted"], told["rejected"]) == (1, {"naive_timestamp": 2})
    say(root, '[ingest]\nzone = "Europe/Berlin"\n')
    adstyle("events", "replay")
    assert moments() == {"v1": "07-01 10:00", "v2": "11-08 11:00", "v3": "11-08 12:00"}


def test_what_a_command_or_a_feed_says_goes_first(root, adstyle, moments):
    say(root, '[ingest]\nzone = "Europe/Berlin"\n')
    (root / "feeds" / "till.toml").write_text(FEED)
    drop(root, "conversions-1.csv", LINES[:1])
    drop(root, "till-1.csv", [LINES[1]])
    adstyle("ingest", "--zone", "America/New_York")
    assert moments() == {"v1": "07-01 16:00", "v2": "11-08 12:00"}


def test_a_zone_that_there_is_not_is_one_line(root, adstyle):
    say(root, '[ingest]\nzone = "Europe/Berln"\n')
    assert "ingest.zone: there is no time zone 'Europe/Berln': did you mean 'Europe/Berlin'?" in adstyle(
        "status", code=2
    )


def test_a_word_that_is_none_of_ours_is_one_line(root, adstyle):
    say(root, '[ingest]\nzon = "Europe/Berlin"\n')
    assert "did you mean 'zone'?" in adstyle("ingest", code=2).replace("\n", " ")
