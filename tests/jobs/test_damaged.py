"""One experiment whose plan is not as it was sealed: it is named, and stops nothing but itself."""

import json
import sqlite3
from datetime import date, timedelta

import pytest
import yaml

from experiments.jobs.analyse import Analyse
from experiments.jobs.job import run_job
from experiments.jobs.leaderboard import build_leaderboard
from experiments.jobs.report import Report
from experiments.jobs.upkeep import BEGINNING, _limit

DAMAGES = {
    "changed": """UPDATE plans SET document = json_set(document, '$.alpha', 0.4) WHERE experiment = 'autumn'""",
    "no JSON": """UPDATE plans SET document = '{"alpha": ' WHERE experiment = 'autumn'""",
    "no text": """UPDATE plans SET document = x'ff' WHERE experiment = 'autumn'""",
    "no plan": """UPDATE plans SET document = '[1]' WHERE experiment = 'autumn'""",
    "no number": """UPDATE plans SET document = json_set(document, '$.alpha', 'x') WHERE experiment = 'autumn'""",
    "another": """UPDATE plans SET hash = 'ab' WHERE experiment = 'autumn'""",
    "gone": """DELETE FROM plans WHERE experiment = 'autumn'""",
    "a phase that is none": """UPDATE experiments SET phase = 'enchanted' WHERE name = 'autumn'""",
    "a document that is no JSON": """UPDATE experiments SET document = '{"brief": ' WHERE name = 'autumn'""",
    "a document that is none": """UPDATE experiments SET document = '[1]' WHERE name = 'autumn'""",
    "an instant that is none": """UPDATE experiments SET created_at = '0' WHERE name = 'autumn'""",
    "a life that nobody can tell": (
        "DROP TRIGGER milestones_refuse_update; UPDATE milestones SET kind = 'enchanted' WHERE experiment = 'autumn'"
    ),
}


def hurt(office, damage):
    with sqlite3.connect(office.root / "adstyle.db") as database:
        database.executescript(DAMAGES[damage])
    database.close()


@pytest.fixture
def two(office):
    """Beside autumn, winter runs since the Monday after."""
    document = {"experiment": "winter", "brief": "cup", "styles": ["noir"]}
    file = office.root / "experiments" / "winter.yaml"
    file.write_text(yaml.safe_dump(document))
    office.types("experiment", "create", file)
    office.types("experiment", "generate", "winter")
    office.types("experiment", "approve", "winter")
    office.types("experiment", "start", "winter")
    office.now += timedelta(days=8)
    return office


def test_screens_and_jobs_name_it_and_go_on_with_the_others(two, capsys):
    database = two.root / "adstyle.db"
    whole = database.read_bytes()
    for damage in DAMAGES:
        database.write_bytes(whole)
        hurt(two, damage)
        named_and_no_more(two, capsys, damage)


def named_and_no_more(two, capsys, damage):
    capsys.readouterr()
    two.types("status", "--json", code=1)
    rows = {row["experiment"]: row for row in json.loads(capsys.readouterr().out)["experiments"]}
    said = rows["autumn"]["damage"]
    assert said.startswith("autumn: "), damage
    assert said.endswith("backup"), damage
    assert "\n" not in said, damage
    assert (rows["winter"]["damage"], rows["winter"]["looks"]) == (None, 3)
    two.types("status", code=1)
    assert f"Damaged: {said}\n" in capsys.readouterr().out
    with two.looks() as stores:
        run = run_job(stores, Analyse(), two.now)
    assert [(each.task.experiment, each.state) for each in run.tasks] == [("autumn", "failed"), ("winter", "done")]
    assert (run.exit_code, run.tasks[0].error) == (1, said)


def test_its_lines_are_kept_and_nothing_of_it_is_forgotten(two):
    two.delivers(week=1, people=60)
    hurt(two, "changed")
    two.runs("ingest")
    with two.looks() as stores:
        assert sum(each.accepted for each in stores.deliveries.all()) >= 60
        assert _limit(stores, "outcomes", two.now) == (BEGINNING, ())
        assert _limit(stores, "impressions", two.now) == (date(2026, 8, 19), ("autumn", "winter"))


def test_the_page_is_written_without_it_and_says_so_once(two, capsys):
    hurt(two, "no JSON")
    two.runs("analyse", code=1)
    capsys.readouterr()
    two.runs("report", code=1)
    said = capsys.readouterr().out
    assert "2026-W46.html was written without autumn: " in said
    assert "then run adstyle report --week 2026-W46" in said
    page = json.loads((two.root / "reports" / "2026-W46.json").read_text())
    assert [section["name"] for section in page["sections"]] == ["winter"]
    two.runs("report")


def test_the_leaderboard_does_not_count_it(two, capsys):
    hurt(two, "gone")
    with two.looks() as stores:
        codes = {each.experiment: each.reason.code for each in build_leaderboard(stores).uncounted}
    assert codes == {"autumn": "experiment_damaged", "winter": "experiment_not_judged"}
    capsys.readouterr()
    two.types("leaderboard")
    assert "autumn, because its plan is not as it was sealed" in capsys.readouterr().out


def test_the_doctor_names_it(two, capsys):
    hurt(two, "changed")
    capsys.readouterr()
    two.types("doctor", code=1)
    assert "experiments: autumn: the plan was changed after it was sealed" in capsys.readouterr().out


def test_a_winner_of_a_damaged_plan_is_not_promoted(automatic):
    automatic.delivers(week=1)
    automatic.runs("ingest")
    automatic.runs("analyse")
    hurt(automatic, "changed")
    automatic.runs("promote", code=1)
    assert automatic.phase() == "concluded"


def test_a_document_that_names_no_brief_costs_the_others_no_page(two, capsys):
    with sqlite3.connect(two.root / "adstyle.db") as database:
        database.execute("UPDATE experiments SET document = json_remove(document, '$.brief') WHERE name = 'autumn'")
    database.close()
    two.runs("analyse")
    capsys.readouterr()
    two.runs("report", code=1)
    said = capsys.readouterr().out
    assert "2026-W46.html was written without autumn: its document names no brief: restore the database's" in said
    page = json.loads((two.root / "reports" / "2026-W46.json").read_text())
    assert [section["name"] for section in page["sections"]] == ["winter"]
    two.types("leaderboard")


def test_one_whose_events_are_gone_costs_the_others_no_page(two, capsys, monkeypatch):
    def forgotten(_context, plan):
        return date(2026, 11, 4) if plan.experiment == "autumn" else None

    monkeypatch.setattr("experiments.jobs.weekly._forgotten", forgotten)
    capsys.readouterr()
    two.runs("report", code=1)
    said = capsys.readouterr().out
    assert "2026-W46.html was written without autumn: events from before 2026-11-04 are forgotten" in said
    page = json.loads((two.root / "reports" / "2026-W46.json").read_text())
    assert [section["name"] for section in page["sections"]] == ["winter"]
    with two.looks() as stores:
        assert "report" not in {task.job for task in Report().plan(stores, two.now)}, "it is told once"
    before = (two.root / "reports" / "2026-W46.html").read_bytes()
    two.types("report", "--week", "2026-W46", code=2)
    assert "one that was made stays as it is" in capsys.readouterr().err
    assert (two.root / "reports" / "2026-W46.html").read_bytes() == before
