"""Everything a newcomer gets wrong: one clear line, exit code 2, nothing half-written."""

import errno
import json
import os
import struct
import subprocess
import sys
import zlib

import pytest
import yaml
from PIL import Image

from experiments.cli.app import run

BRIEF = {
    "brief": "cup", "advertiser": "Roastery", "campaign": "autumn", "concept": "cup", "picture": "cup.png",
    "headline": "Roasted today", "call_to_action": "Order", "landing_url": "https://roastery.example/",
    "slots": ["300x250"],
}  # fmt: skip
EXPERIMENT = {"experiment": "autumn", "brief": "cup", "styles": ["duotone-dusk"]}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HUGE_PNG = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    + chunk(b"IEND", b"")
)


@pytest.fixture
def workspace(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("ADSTYLE_WORKSPACE", raising=False)
    assert run(["init", str(tmp_path / "ads")]) == 0
    capsys.readouterr()
    monkeypatch.chdir(tmp_path / "ads")
    Image.linear_gradient("L").resize((640, 400)).convert("RGB").save("briefs/cup.png")
    write("briefs/cup.yaml", BRIEF)
    write("experiments/autumn.yaml", EXPERIMENT)
    return tmp_path / "ads"


@pytest.fixture
def adstyle(capsys):
    def command(*arguments, code=0):
        found = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert found == code, said.err
        return said.err if code else said.out

    return command


@pytest.fixture
def refused(adstyle):
    def refusal(*arguments, code=2):
        line = adstyle(*arguments, code=code)
        assert line.startswith("adstyle: ")
        assert line.count("\n") == 1
        return line

    return refusal


def write(path, document):
    with open(path, "w") as file:
        yaml.safe_dump(document, file)


def files(folder):
    """Everything that lies in the workspace but the database."""
    return {path for path in folder.rglob("*") if not path.name.startswith("adstyle.db")}


def test_looks_that_end_before_a_conversion_can_count_are_warned_of_in_one_line(workspace, adstyle):
    write("experiments/autumn.yaml", EXPERIMENT | {"metric": "conversion-rate"})
    said = adstyle("experiment", "check", "experiments/autumn.yaml").splitlines()
    assert [line.split(":")[0] for line in said] == ["autumn", "Warning"]
    write("experiments/autumn.yaml", EXPERIMENT)
    assert "Warning" not in adstyle("experiment", "check", "experiments/autumn.yaml")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (EXPERIMENT | {"stiles": ["ink-wash"]}, "styles"),
        (EXPERIMENT | {"styles": ["ink-wahs"]}, "ink-wash"),
        (EXPERIMENT | {"experiment": "../../etc/autumn"}, "../../etc/autumn"),
        (EXPERIMENT | {"brief": "../cup"}, "../cup"),
        (EXPERIMENT | {"brief": "mug"}, "mug"),
        (EXPERIMENT | {"metric": "ctrr"}, "ctr"),
        (EXPERIMENT | {"slots": ["300x260"]}, "300x600"),
        (EXPERIMENT | {"alpha": 2}, "alpha"),
        (EXPERIMENT | {"weights": {"ink": 2}}, "duotone-dusk"),
        (EXPERIMENT | {"styles": ["noir", "noir"]}, "twice"),
        (EXPERIMENT | {"looks": {"count": 3, "day": 7}}, "days"),
        (EXPERIMENT | {"looks": {"spending": "pocok"}}, "pocock"),
        (EXPERIMENT | {"looks": {"spending": "power:x"}}, "'x' is no number"),
        (EXPERIMENT | {"segments": ["devise"]}, "device"),
        (EXPERIMENT | {"segments": ["device", "device"]}, "twice"),
        (EXPERIMENT | {"gates": {"minimum_unit": 5}}, "minimum_units"),
        (EXPERIMENT | {"gates": {"coverage": 1.5}}, "coverage"),
        (EXPERIMENT | {"multiplicity": "bonferroni"}, "holm"),
        (EXPERIMENT | {"winsorise": 50}, "no metric counts any"),
        (EXPERIMENT | {"metric": "revenue-per-unit", "winsorise": -1}, "winsorise"),
        ([1, 2], "autumn.yaml"),
    ],
    ids=str,
)
def test_a_wrong_experiment_file(workspace, refused, document, says):
    write("experiments/autumn.yaml", document)
    before = files(workspace)
    assert says in refused("experiment", "check", "experiments/autumn.yaml")
    assert says in refused("experiment", "create", "experiments/autumn.yaml")
    assert files(workspace) == before


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({key: value for key, value in BRIEF.items() if key != "headline"}, "headline"),
        (BRIEF | {"headlines": "Twice"}, "headline"),
        (BRIEF | {"picture": "mug.png"}, "mug.png"),
        (BRIEF | {"landing_url": "javascript:alert(1)"}, "https://"),
        (BRIEF | {"brief": "../cup"}, "brief"),
    ],
    ids=str,
)
def test_a_wrong_brief(workspace, refused, document, says):
    write("briefs/cup.yaml", document)
    before = files(workspace)
    assert says in refused("experiment", "create", "experiments/autumn.yaml")
    assert says in refused("render", "briefs/cup.yaml", "--style", "noir", "--out", "out")
    assert files(workspace) == before


@pytest.mark.parametrize("broken", ["truncated", "huge", "text", "empty"])
def test_a_picture_that_cannot_be_used(workspace, adstyle, refused, broken, capsys):
    whole = (workspace / "briefs" / "cup.png").read_bytes()
    content = {"truncated": whole[: len(whole) // 2], "huge": HUGE_PNG, "text": b"not a picture", "empty": b""}[broken]
    (workspace / "briefs" / "cup.png").write_bytes(content)
    assert "cup.png" in refused("render", "briefs/cup.yaml", "--style", "noir", "--out", "out")
    assert not list(workspace.glob("out/*"))
    adstyle("experiment", "create", "experiments/autumn.yaml")
    assert "cup.png" in refused("experiment", "generate", "autumn")
    assert run(["job", "run", "generate"]) == 1
    assert "cup.png" in capsys.readouterr().out
    assert not list(workspace.glob("variants/autumn/*"))
    (workspace / "briefs" / "cup.png").write_bytes(whole)
    assert "2 variants" in adstyle("experiment", "generate", "autumn")


def test_a_log_with_wrong_columns_is_refused_and_the_others_go_in(workspace, refused, adstyle):
    (workspace / "inbox" / "a-impressions.csv").write_text("event_id,time,experiment,arm,user\n1,2,3,4,5\n")
    (workspace / "inbox" / "b-impressions.csv").write_text("event_id,ts,experiment,arm,unit\n")
    line = refused("ingest")
    assert "a-impressions.csv" in line
    assert "ts" in line
    assert "1 delivery" in adstyle("status")


@pytest.mark.parametrize(
    "step",
    [
        ["show"],
        ["log"],
        ["generate"],
        ["review"],
        ["approve"],
        ["start"],
        ["pause"],
        ["stop"],
        ["promote"],
        ["rollback"],
    ],
    ids=lambda step: step[0],
)
def test_an_experiment_that_is_not_there_is_named_with_those_that_are(workspace, adstyle, refused, step):
    adstyle("experiment", "create", "experiments/autumn.yaml")
    assert "autumn" in refused("experiment", *step, "autum")


def test_where_there_are_no_experiments_yet_the_way_to_one_is_named(workspace, refused):
    assert "adstyle experiment create FILE" in refused("experiment", "generate", "autumn")


def test_a_name_in_place_of_an_experiment_file_finds_it(workspace, adstyle, refused):
    for step in ("check", "create"):
        for wrong in ("autumn", "autumn.yaml"):
            assert "did you mean experiments/autumn.yaml?" in refused("experiment", step, wrong)
        assert "did you mean" not in refused("experiment", step, "winter")


def test_what_cannot_be_changed_any_more_is_said_of_a_taken_name(workspace, adstyle, refused):
    adstyle("experiment", "create", "experiments/autumn.yaml")
    said = refused("experiment", "create", "experiments/autumn.yaml")
    assert said.endswith("what its file said then holds; for a changed file choose another name\n")


def test_a_week_that_has_not_begun_and_a_week_in_place_of_a_name_are_no_page(workspace, adstyle, refused):
    before = files(workspace)
    for week in ("2026-W47", "2027-W01"):
        said = refused("--now", "2026-11-15T23:59Z", "report", "--week", week)
        assert f"{week} has not begun: the last whole week is 2026-W45" in said
    assert "adstyle report --week 2026-W45" in refused("report", "2026-W45")
    assert files(workspace) == before
    adstyle("--now", "2026-11-16T00:00Z", "report", "--week", "2026-W47")


def test_a_kind_of_events_that_there_is_not_is_said_once(workspace, refused):
    (workspace / "feeds" / "shop.toml").write_text(
        'name = "shop"\ntitle = "Our own"\nsource = "https://example.com/"\nchecked_on = 2026-11-26\n'
        '[[files]]\nkind = "click"\nnames = ["shop-*"]\n'
        'columns = { event_id = "id", ts = "time", unit = "visitor" }\n'
    )
    for name in ("shop-1.csv", "shop-2.csv"):
        (workspace / name).write_text("id,time,visitor\n")
    said = refused("ingest", "--kind", "clicks", "shop-1.csv", "shop-2.csv")
    assert said == "adstyle: there is no kind 'clicks' of events: use impression, click, conversion, count\n"


def test_rejected_lines_come_with_what_can_be_done_about_them(workspace, adstyle):
    (workspace / "clicks-1.csv").write_text("event_id,ts,unit\nc1,2026-11-02T10:00:00Z,ann\n")
    (workspace / "clicks-2.csv").write_text("event_id,ts,unit\nc2,2026-11-02T10:00:00Z,\n")
    now = ("--now", "2026-11-09T06:00Z")
    assert "adstyle events" not in adstyle(*now, "ingest", "clicks-1.csv")
    assert "adstyle events" not in adstyle("status")
    said = adstyle(*now, "ingest", "clicks-2.csv")
    assert "adstyle events rejects --out DIR" in said
    assert "adstyle events replay" in said
    assert adstyle("status").endswith("+ 1 rejected (why: adstyle events rejects)\n")


def test_a_unit_of_which_nothing_is_held_is_said_beside_the_data(workspace, capsys):
    assert run(["events", "show", "ann"]) == 0
    assert tuple(capsys.readouterr()) == ("", "The lake holds nothing of 'ann'.\n")


def test_a_running_experiment_says_when_its_next_look_is(workspace, adstyle):
    write("experiments/autumn.yaml", EXPERIMENT | {"review": False})
    now = ("--now", "2026-11-02T00:00Z")
    for step in (["create", "experiments/autumn.yaml"], ["generate", "autumn"], ["start", "autumn"]):
        adstyle(*now, "experiment", *step)
    assert adstyle("experiment", "show", "autumn").endswith("Next: wait for the next look, on 2026-11-09\n")


def test_where_nothing_can_be_written_is_one_line(workspace, adstyle, refused):
    (workspace / "file").touch()
    (workspace / "held" / "outcomes.parquet").mkdir(parents=True)
    before = files(workspace) | {workspace / "held" / "impressions.parquet"}
    for out, says in (
        ("file", "file"),
        ("file/below", "file/below"),
        ("/proc/x", "/proc/x"),
        ("held", "held/outcomes"),
    ):
        assert says in refused("export", "events", "--out", out)
    assert "csv" in refused("export", "events", "--out", "elsewhere", "--format", "xml")
    assert "file" in refused("report", "--week", "2025-W45", "--out", "file")
    assert files(workspace) <= before
    assert not (workspace / "held" / "impressions.parquet").exists()


def test_units_in_a_file_that_is_no_text_are_one_line(workspace, refused, tmp_path):
    (workspace / "units").write_bytes(b"ann\nb\xff\xfe\n")
    assert "units, line 2: not UTF-8" in refused("assign", "autumn", "--file", "units")
    assert "units/below" in refused("assign", "autumn", "--file", "units/below")
    assert "cannot be used" in refused("assign", "autumn", "--file", "u" * 300)


def test_steps_out_of_order_say_what_is_possible(workspace, adstyle, refused):
    adstyle("experiment", "create", "experiments/autumn.yaml")
    assert "draft" in refused("experiment", "promote", "autumn")
    assert "generate" in refused("experiment", "start", "autumn")
    assert "autumn" in refused("experiment", "create", "experiments/autumn.yaml")
    assert "start" in refused("analyse", "autumn")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "--week", "47"], "2026-W47"),
        (["report", "--week", "2026-W60"], "2026-W47"),
        (["job", "run", "reports"], "report"),
        (["assign", "autumn"], "units"),
        (["ingest", "missing.csv"], "missing.csv"),
        (["ingest", "--format", "doubleclick"], "cm360"),
        (["styles", "preview", "--picture", "missing.png"], "missing.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_argument(workspace, refused, arguments, says):
    assert says in refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--now", "0001-01-01", "status"], "1970 to 2999"),
        (["job", "due", "--as-of", "0001-01-01T00:00:00+05:00"], "1970 to 2999"),
        (["job", "run", "all", "--as-of", "9999-12-31T23:59:59-10:00"], "1970 to 2999"),
        (["job", "run", "all", "--as-of", ""], "not an instant"),
        (["experiment", "start", "autumn", "--at", "9999-12-31"], "1970 to 2999"),
        (["experiment", "start", "autumn", "--at", ""], "not an instant"),
        (["experiment", "generate", "autumn", "--by", "J\udcf6rg"], "--by"),
        (["experiment", "stop", "autumn", "--why", "\x1b[31mred"], "--why"),
        (["experiment", "show", "\udcf6"], "UTF-8"),
        (["assign", "\udcf6", "ann"], "UTF-8"),
        (["init", "experiments/autumn.yaml/below"], "autumn.yaml/below"),
    ],
    ids=ascii,
)
def test_what_no_clock_and_no_keyboard_says(workspace, adstyle, refused, arguments, says):
    adstyle("experiment", "create", "experiments/autumn.yaml")
    if "start" in arguments:
        adstyle("experiment", "generate", "autumn")
        adstyle("experiment", "approve", "autumn")
    phase = json.loads(adstyle("experiment", "show", "autumn", "--json"))["phase"]
    assert says in refused(*arguments)
    assert json.loads(adstyle("experiment", "show", "autumn", "--json"))["phase"] == phase


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ('[stores]\nlake = ""', "at least 1 character"),
        ('[stores]\nlake = "la\\u0000ke"', "control character"),
        ('[stores]\n"\\u001b[31m" = 1', "stores.\\x1b[31m is no known key"),
        ("a = " + "{b = " * 5000, "nested too deeply"),
    ],
    ids=["no lake", "NUL", "control character", "deep"],
)
def test_settings_that_cannot_be_used(workspace, refused, settings, says):
    (workspace / "adstyle.toml").write_text(f'[workspace]\nname = "ads"\n{settings}\n')
    assert says in refused("status")


def test_settings_that_are_a_folder(workspace, refused):
    (workspace / "adstyle.toml").unlink()
    (workspace / "adstyle.toml").mkdir()
    assert "adstyle.toml cannot be used: is a directory" in refused("-w", workspace, "status")


def test_a_check_that_meets_a_file_it_cannot_use_is_a_finding(workspace, capsys, monkeypatch):
    def unreadable(_folder):
        raise PermissionError(errno.EACCES, "Permission denied", "filters/bots.json")

    monkeypatch.setattr("experiments.doctor.read_filters", unreadable)
    assert run(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "filters: filters/bots.json cannot be used: permission denied" in said
    assert "styles: " in said


def test_a_terminal_that_lacks_a_character_is_shown_its_number(tmp_path):
    (tmp_path / "arms.csv").write_text("arm,clicks,shown\na,310,10000\nb,300,10000\n")
    asked = ["compare", "arms.csv", "--numerator", "clicks", "--denominator", "shown"]
    told = subprocess.run(
        [sys.executable, "-c", f"from experiments.cli import main; import sys; sys.argv[1:] = {asked}; main()"],
        cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True,
    )  # fmt: skip
    assert rb"\u2212" in told.stdout
