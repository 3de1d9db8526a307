import json
from datetime import timedelta

import pytest

from experiments.core.errors import TryLater
from experiments.jobs.analyse import Analyse
from experiments.jobs.job import run_job
from experiments.jobs.registry import JOBS


def pages(office):
    return {path.name: path.read_bytes() for path in sorted((office.root / "reports").glob("*.*"))}


def milestones(office):
    with office.looks() as stores:
        return [str(fact.kind) for fact in stores.control.history("autumn")]


def test_a_winner_is_proposed_approved_and_rolled_back(office):
    office.delivers(week=1)
    office.runs("all")
    with office.looks() as stores:
        state = stores.control.state("autumn")
        assert (state.winner, state.proposed, state.promoted_arm) == ("duotone-dusk", "duotone-dusk", None)
    office.types("experiment", "approve", "autumn")
    assert office.phase() == "promoted"
    office.types("experiment", "rollback", "autumn")
    office.runs("all")
    assert office.phase() == "rolled_back", "a person's rollback is never undone by a job"
    assert milestones(office)[-4:] == ["concluded", "proposed", "promoted", "rolled_back"]


def test_a_declined_proposal_is_not_made_again(office):
    office.delivers(week=1)
    office.runs("all")
    office.types("experiment", "decline", "autumn")
    office.runs("all")
    assert office.phase() == "concluded"
    assert milestones(office).count("proposed") == 1


def test_where_the_plan_says_auto_the_job_promotes(automatic):
    automatic.delivers(week=1)
    automatic.runs("all")
    assert automatic.phase() == "promoted"


def test_running_everything_again_does_nothing(automatic):
    automatic.delivers(week=1)
    automatic.runs("all")
    before, facts = pages(automatic), milestones(automatic)
    with automatic.looks() as stores:
        assert all(not job.plan(stores, automatic.now) for job in JOBS.values())
        versions = stores.lake.versions()
    automatic.runs("all")
    with automatic.looks() as stores:
        assert stores.lake.versions() == versions
    assert (pages(automatic), milestones(automatic)) == (before, facts)


def test_the_same_inputs_give_the_same_page(office):
    office.delivers(week=1)
    office.runs("all")
    before = pages(office)
    for path in (office.root / "reports").glob("*"):
        path.unlink()
    office.runs("report")
    assert pages(office) == before


def test_a_report_of_one_experiment_lies_beside_the_weeks(office):
    office.delivers(week=1)
    office.runs("all")
    before = pages(office)
    office.types("report", "autumn", "--week", "2026-W45")
    assert (office.root / "reports" / "autumn" / "2026-W45.html").is_file()
    assert {name: content for name, content in pages(office).items() if name in before} == before


def test_a_week_without_any_log_has_a_page_that_says_so(office):
    office.runs("all")
    document = json.loads((office.root / "reports" / "2026-W45.json").read_text())
    section = document["sections"][0]
    assert all(arm["rate"] is None for arm in section["arms"])
    assert office.phase() == "running"


def test_after_the_end_the_page_keeps_the_evidence_that_decided(automatic):
    automatic.delivers(week=1)
    automatic.runs("all")
    first = json.loads((automatic.root / "reports" / "2026-W45.json").read_text())["sections"][0]
    automatic.delivers(week=2)
    automatic.now += timedelta(days=7)
    automatic.runs("all")
    later = json.loads((automatic.root / "reports" / "2026-W46.json").read_text())["sections"][0]
    assert later["arms"] == first["arms"]
    assert later["health"]["sample_ratio_ok"]


def test_every_look_is_taken_at_its_instant_however_late_the_bell(office):
    for week in (1, 2, 3):
        office.delivers(week, people=600, rates=dict.fromkeys(("original", "duotone-dusk", "noir"), 0.03))
    office.now += timedelta(days=30)
    office.runs("ingest")
    with office.looks() as stores:
        run = run_job(stores, Analyse(), office.now)
        assert [task.task.period for task in run.tasks] == ["look-1", "look-2", "look-3"]
        units = [
            sum(moments.units for moments in stores.control.evidence(each.evidence_id).arms.values())
            for each in stores.control.verdicts("autumn")
        ]
    assert units == [600, 1200, 1800]
    assert office.phase() == "concluded"


def test_two_ingests_at_once_the_second_says_try_later(office):
    office.delivers(week=1)
    with office.looks() as stores, stores.ledger.lock("lake", "somebody else", 60):
        office.types("ingest", code=75)
        office.runs("ingest", code=75)
    office.types("ingest")


def test_a_job_that_fails_is_due_again(office):
    (office.root / "inbox" / "impressions.csv").write_text("nonsense\n1\n")
    office.runs("ingest", code=1)
    with office.looks() as stores:
        assert stores.ledger.last("ingest").state == "failed"
    (office.root / "inbox" / "impressions.csv").unlink()
    office.delivers(week=1)
    office.runs("ingest")


def test_a_lease_that_somebody_holds_is_respected(office):
    office.delivers(week=1)
    office.runs("ingest")
    with office.looks() as stores:
        stores.ledger.claim("analyse", "autumn", "look-1", "somebody else", 60)
        with pytest.raises(TryLater):
            stores.ledger.claim("analyse", "autumn", "look-1", "me", 60)
    office.runs("analyse", code=75)
    assert office.phase() == "running"
