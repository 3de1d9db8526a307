import errno
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from creatives import render as rendering
from creatives.quality import Finding, GateResult
from experiments.core.errors import ExperimentError, StorageFailure, TryLater
from experiments.jobs.analyse import Analyse
from experiments.jobs.job import Task, TaskRun, run_job
from experiments.jobs.presenting import task_line
from experiments.jobs.registry import JOBS
from experiments.store.deliveries import SqlDeliveries

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


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
    office.now += timedelta(days=14)
    office.runs("all")
    page = json.loads((office.root / "reports" / "2026-W46.json").read_text())
    assert page["sections"][0]["decision"]["state"] == "rolled_back", "on the day that the page of W45 was written"
    assert not (office.root / "reports" / "2026-W47.json").exists()


def test_a_winner_that_waits_for_a_person_is_on_every_page_until_then(office):
    def decision(week):
        page = json.loads((office.root / "reports" / f"2026-W{week}.json").read_text())
        return page["sections"][0]["decision"]["state"]

    office.delivers(week=1)
    office.runs("all")
    office.now += timedelta(days=14)
    office.runs("all")
    assert [decision(week) for week in (45, 46, 47)] == ["proposed"] * 3
    assert office.now.isoweekday() == 1, "when pages are read"
    office.types("experiment", "decline", "autumn")
    office.now += timedelta(days=14)
    office.runs("all")
    assert decision(48) == "concluded", "the week of the answer"
    assert not (office.root / "reports" / "2026-W49.json").exists()


def test_the_page_of_a_week_that_is_not_over_counts_up_to_now(office):
    office.delivers(week=1)
    office.now = MONDAY + timedelta(days=3, hours=6)
    office.types("ingest", *sorted((office.root / "inbox").iterdir()))
    office.types("report", "--week", "2026-W45")
    page = json.loads((office.root / "reports" / "2026-W45.json").read_text())
    assert datetime.fromisoformat(page["as_of"]) == office.now
    with office.looks() as stores:
        (counted,) = stores.control.evidence_at("autumn", office.now)
    assert counted.health.days_expected == 3


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


@pytest.mark.parametrize("state", ["being written", "left for later"])
def test_a_look_waits_for_logs_that_others_read_and_the_page_for_the_look(automatic, state):
    automatic.delivers(week=1)
    with automatic.looks() as stores:
        if state == "being written":
            with stores.ledger.lock("lake", "somebody else", 60):
                automatic.runs("all", code=75)
        else:
            for task in JOBS["ingest"].plan(stores, automatic.now):
                lease = stores.ledger.claim(task.job, task.experiment, task.period, "somebody else", 60)
                stores.ledger.leave(lease, "the lake is busy")
            automatic.runs("analyse", code=75)
            automatic.runs("report", code=75)
    assert automatic.phase() == "running"
    assert pages(automatic) == {}
    automatic.runs("all")
    assert automatic.phase() == "promoted"
    assert "2026-W45.html" in pages(automatic)


def test_a_file_that_was_refused_holds_no_look_up(office):
    (office.root / "inbox" / "impressions.csv").write_text("nonsense\n1\n")
    office.runs("all", code=1)
    with office.looks() as stores:
        assert len(stores.control.verdicts("autumn")) == 1


@pytest.mark.parametrize("taken", ["reports", "reports/2026-W45.html/x"])
def test_where_a_page_cannot_be_written_its_task_fails_and_the_others_go_on(office, capsys, taken):
    office.delivers(week=1)
    place = office.root / taken
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way")
    capsys.readouterr()
    office.runs("all", code=1)
    said = capsys.readouterr()
    assert said.err == ""
    assert f"report 2026-W45: failed ({office.root / 'reports'}" in said.out
    assert "retain: nothing is due" in said.out
    place.unlink()
    if taken != "reports":
        place.parent.rmdir()
    office.runs("report")
    assert len(pages(office)) == 2


def test_a_full_disk_fails_a_task_by_that_name(office, capsys, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("reports.page.write_report", full)
    office.runs("report", code=1)
    assert "failed (the disk is full" in capsys.readouterr().out


LEADING = {"original": 0.03, "duotone-dusk": 0.036, "noir": 0.0}


def test_traffic_follows_the_evidence_and_the_verdict_stays_sound(adaptive):
    for week in (1, 2):
        adaptive.delivers(week, people=3000, rates=LEADING)
        adaptive.runs("all")
        adaptive.now += timedelta(days=7)
    assert milestones(adaptive).count("reweighted") == 2
    with adaptive.looks() as stores:
        dealt = stores.control.dealings("autumn")
        verdict = stores.control.verdicts("autumn")[1]
        evidence = stores.control.evidence(verdict.evidence_id)
    assert dealt[1].since == MONDAY + timedelta(days=7, hours=6), "from when it was decided, not from when it was due"
    assert dealt[1].shares["noir"] < 0.15, "no click: a step towards its floor"
    assert dealt[2].shares["noir"] == pytest.approx(0.1)
    assert [batch.until - batch.since for batch in evidence.batches] == [
        timedelta(days=7), timedelta(hours=6), timedelta(days=6, hours=18)
    ]  # fmt: skip
    assert verdict.kind != "invalid"
    assert verdict.document["comparison"]["sample_ratio"]["p"] > 0.01
    page = json.loads((adaptive.root / "reports" / "2026-W46.json").read_text())["sections"][0]
    assert page["method"]["allocation"] == "top_two"
    assert page["health"]["sample_ratio_ok"]
    whole = (adaptive.root / "reports" / "2026-W46.html").read_text()
    assert "Traffic shared out anew" in whole
    assert "shared out anew, by what each style has shown" in whole


def test_a_look_that_is_taken_again_shares_nothing_out_again(adaptive):
    adaptive.delivers(1, people=3000, rates=LEADING)
    adaptive.runs("all")
    facts = milestones(adaptive)
    adaptive.runs("all")
    assert milestones(adaptive) == facts


def test_a_pause_breaks_no_split(office):
    even = dict.fromkeys(("original", "duotone-dusk", "noir"), 0.03)
    office.now = MONDAY + timedelta(days=2)
    office.types("experiment", "pause", "autumn")
    office.now = MONDAY + timedelta(days=5)
    office.types("experiment", "resume", "autumn")
    office.delivers(1, people=6000, rates=even)
    office.now = MONDAY + timedelta(days=7, hours=6)
    office.runs("all")
    with office.looks() as stores:
        (verdict,) = stores.control.verdicts("autumn")
        evidence = stores.control.evidence(verdict.evidence_id)
    assert verdict.kind == "keep_running"
    units = {arm: moments.units for arm, moments in evidence.arms.items()}
    assert units["original"] > 1.5 * units["noir"], "in the pause everyone saw the original"
    page = json.loads((office.root / "reports" / "2026-W45.json").read_text())["sections"][0]
    assert page["health"]["sample_ratio_ok"]
    assert [row["observed"] for row in page["health"]["units"]] == [arm["units"] for arm in page["arms"]]


def test_a_page_says_how_a_paused_experiment_goes_on_and_that_an_archived_one_does_not(office):
    office.delivers(1, rates=dict.fromkeys(("original", "duotone-dusk", "noir"), 0.03))
    for week, verb in ((45, "pause"), (46, "archive")):
        office.now = MONDAY + timedelta(days=7 * (week - 45) + 2)
        office.types("experiment", verb, "autumn")
        office.now = MONDAY + timedelta(days=7 * (week - 44), hours=6)
        office.runs("all")
    made = [
        json.loads((office.root / "reports" / f"2026-W{week}.json").read_text())["sections"][0]["decision"]
        for week in (45, 46)
    ]
    assert [each["state"] for each in made] == ["paused", "archived"]
    assert [each["next_command"] for each in made] == ["adstyle experiment resume autumn", None]
    assert all("audience sees" in each["text"] for each in made)


def test_an_experiment_whose_styles_are_all_worse_ends(office):
    office.delivers(1, rates={"original": 0.06, "duotone-dusk": 0.02, "noir": 0.02})
    office.runs("all")
    assert office.phase() == "concluded"
    assert milestones(office)[-2:] == ["judged", "concluded"]
    assert "is worse than the control" in (office.root / "reports" / "2026-W45.html").read_text()


def test_segments_and_further_measures_and_the_leaderboard_are_on_the_page(curious):
    curious.delivers(1)
    curious.runs("all")
    found = json.loads((curious.root / "reports" / "2026-W45.json").read_text())
    section = found["sections"][0]
    assert [view["column"] for view in section["segments"]] == ["device"]
    rows = section["segments"][0]["rows"]
    assert {(row["segment"], row["arm"]) for row in rows} == {
        (device, arm) for device in ("phone", "desktop") for arm in ("duotone-dusk", "noir")
    }
    assert all(0.5 < row["lift"] < 3 for row in rows if row["arm"] == "duotone-dusk")
    measures = {(row["metric"]["name"], row["arm"]): row for row in section["secondary"]}
    assert measures["clicks-per-unit", "duotone-dusk"]["p_adjusted"] < 1e-6
    assert dict(section["health"]["balance"])["device"] > 0.01
    winner = section["lifts"][0]
    assert 0 < winner["expected"] < winner["relative"]
    (board,) = found["leaderboard"]
    assert board["experiments"] == 1
    assert board["styles"][0]["style"].startswith("duotone-dusk#")
    page = (curious.root / "reports" / "2026-W45.html").read_text()
    assert "By device: lift against" in page
    assert "Which styles sell" in page


def test_a_weeks_leaderboard_knows_nothing_of_later_weeks(office):
    even = dict.fromkeys(("original", "duotone-dusk", "noir"), 0.03)
    office.delivers(1, rates=even)
    office.runs("all")
    before = pages(office)
    office.delivers(2)
    office.now += timedelta(days=7)
    office.runs("all")
    (office.root / "reports" / "2026-W45.html").unlink()
    office.runs("report")
    assert (
        json.loads(pages(office)["2026-W45.json"])["leaderboard"] == json.loads(before["2026-W45.json"])["leaderboard"]
    )


def test_an_ad_servers_file_in_the_inbox_is_known_by_its_name(office):
    lines = ["Event Time,User ID,Rendering ID,Impression ID"]
    moment = int(MONDAY.timestamp() * 1_000_000)
    lines += [f"{moment + n},user-{n},{(501, 502, 503)[n % 3]},imp-{n}" for n in range(30)]
    file = office.root / "inbox" / "dcm_account7_impression_2026110200_20261102_014912_218211994.csv"
    file.write_text("\n".join(lines) + "\n")
    office.runs("ingest", code=1)
    named = ["column,value,experiment,arm", "Rendering ID,501,autumn,original", "Rendering ID,502,autumn,noir"]
    (office.root / "trafficking.csv").write_text("\n".join(named) + "\n")
    office.runs("ingest")
    with office.looks() as stores:
        (delivery,) = stores.deliveries.all()
    assert (delivery.accepted, delivery.rejected) == (20, {"unknown_creative": 10})
    office.types("ingest", file, "--format", "cm36", code=2)
    other = office.root / "october.csv"
    other.write_text("\n".join(lines[:3]) + "\n")
    office.types("ingest", other, "--format", "gam", code=2)
    office.types("ingest", other, "--format", "cm360", "--kind", "impression")


def test_an_hour_with_the_bytes_of_another_waits_in_the_inbox_like_any_other(office):
    (office.root / "trafficking.csv").write_text("column,value,experiment,arm\nRendering ID,501,autumn,original\n")
    header, inbox = "Event Time,User ID,Rendering ID,Impression ID\n", office.root / "inbox"
    row = f"{int(MONDAY.timestamp() * 1_000_000)},user-1,501,imp-1\n"
    (inbox / "dcm_account7_impression_2026110200_20261102_014912_1.csv").write_text(header + row)
    (inbox / "dcm_account7_impression_2026110201_20261102_024912_2.csv").write_text(header)
    office.runs("ingest")
    (inbox / "dcm_account7_impression_2026110200_20261102_034912_3.csv").write_text(header)
    office.runs("ingest")
    with office.looks() as stores:
        before = stores.deliveries.all()
        assert len(before) == 3
        assert stores.lake.dataset("impressions").to_table().num_rows == 0, "the hour was corrected to nothing"
    office.runs("ingest")
    with office.looks() as stores:
        assert stores.deliveries.all() == before


def test_a_file_of_several_kinds_is_done_when_all_of_it_is(office, capsys, monkeypatch):
    (office.root / "feeds").mkdir(exist_ok=True)
    (office.root / "feeds" / "mixed.toml").write_text(
        'name = "mixed"\ntitle = "One log"\nsource = "ours"\nchecked_on = 2026-11-26\n'
        '[[files]]\nkind = "impression"\nnames = ["mixed-*"]\nwhere = { what = ["view"] }\n'
        'columns = { event_id = "id", ts = "at", unit = "who", arm = "look" }\n'
        'constants = { experiment = "autumn" }\n'
        '[[files]]\nkind = "click"\nnames = ["mixed-*"]\nwhere = { what = ["click"] }\n'
        'columns = { event_id = "id", ts = "at", impression_id = "view" }\n'
    )
    local = f"{MONDAY:%Y-%m-%d} 12:00:00"
    rows = [f"view,v1,{local},ann,noir,", f"click,c1,{local},,,v1", f"dance,d1,{local},,,"]
    file = office.root / "inbox" / "mixed-1.csv"
    file.write_text("\n".join(["what,id,at,who,look,view", *rows]) + "\n")
    office.now = MONDAY + timedelta(days=1)
    office.types("ingest", file, "--zone", "Europe/Berln", code=2)
    assert "did you mean 'Europe/Berlin'?" in capsys.readouterr().err
    real = SqlDeliveries.record

    def record(self, delivery):
        if ":" not in delivery.sha256:
            raise StorageFailure("the disk is full")
        real(self, delivery)

    with monkeypatch.context() as patch:
        patch.setattr(SqlDeliveries, "record", record)
        office.types("ingest", file, "--zone", "Europe/Berlin", code=1)
    with office.looks() as stores:
        assert [each.kind for each in stores.deliveries.all()] == ["click"]
        assert len(JOBS["ingest"].plan(stores, office.now)) == 1, "the other kind is still to come"
    capsys.readouterr()
    office.types("ingest", "--zone", "Europe/Berlin", "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["kind"], each["read"], each["accepted"], each["replay"]) for each in told] == [
        ("impression", 2, 1, False), ("click", 1, 1, True)
    ]  # fmt: skip
    assert told[0]["rejected"] == {"unknown_event_type": 1}
    with office.looks() as stores:
        assert JOBS["ingest"].plan(stores, office.now) == ()
        result = {**told[0], "kinds": told[1:]}
        line = task_line(TaskRun(Task("ingest", "*", told[0]["sha256"]), "done", result))
        (moment,) = stores.lake.dataset("impressions").to_table(columns=["ts"])["ts"].to_pylist()
    assert moment == MONDAY + timedelta(hours=11), "noon in Berlin"
    assert line == (
        "ingest mixed-1.csv: 2 read = 1 accepted + 0 duplicate + 1 rejected; "
        "ingest mixed-1.csv: 1 read = 1 accepted + 0 duplicate + 0 rejected"
    )


def test_events_are_forgotten_after_ninety_days_unless_an_experiment_still_measures(office, capsys):
    office.delivers(1, people=300)
    office.runs("ingest")
    office.now = MONDAY + timedelta(days=120)
    with office.looks() as stores:
        assert JOBS["retain"].plan(stores, office.now) == ()
    office.types("experiment", "stop", "autumn")
    with office.looks() as stores:
        assert JOBS["retain"].plan(stores, office.now) == (), "its last page is to come"
    office.now = MONDAY + timedelta(days=135)
    office.types("events", "retain")
    assert "impressions: 300 rows from before" in capsys.readouterr().out
    with office.looks() as stores:
        assert stores.lake.dataset("impressions").count_rows() == 0
        assert JOBS["retain"].plan(stores, office.now) == ()
    office.types("events", "retain")
    assert "nothing is due" in capsys.readouterr().out


def test_rejected_lines_are_forgotten_after_ninety_days_whatever_measures(office):
    """To the day: they are kept from the day they came in."""
    (office.root / "inbox" / "clicks-1.csv").write_text("event_id,ts,impression_id\nc1,yesterday,i1\n")
    office.runs("ingest")
    delivered = office.now
    office.now = delivered + timedelta(days=90)
    office.runs("retain")
    with office.looks() as stores:
        assert stores.lake.dataset("rejects").count_rows() == 1
    office.now = delivered + timedelta(days=91)
    office.runs("retain")
    with office.looks() as stores:
        assert stores.lake.dataset("rejects").count_rows() == 0


def test_evidence_that_no_verdict_rests_on_is_forgotten_after_thirteen_months(office, capsys):
    office.delivers(1, people=300)
    office.runs("all")
    with office.looks() as stores:
        (verdict,) = stores.control.verdicts("autumn")
        judged = stores.control.evidence(verdict.evidence_id)
        unjudged = stores.control.record_evidence(replace(judged, as_of=datetime(2026, 11, 9, 12, tzinfo=UTC)))
        retain = JOBS["retain"]
        for day, due in ((datetime(2027, 12, 9, tzinfo=UTC), False), (datetime(2027, 12, 11, tzinfo=UTC), True)):
            assert any(task.period.startswith("evidence-") for task in retain.plan(stores, day)) is due
    office.now = datetime(2027, 12, 11, tzinfo=UTC)
    capsys.readouterr()
    office.types("events", "retain")
    assert "retain evidence: 1 rows from before 2026-11-10 forgotten" in capsys.readouterr().out
    with office.looks() as stores:
        assert stores.control.evidence(verdict.evidence_id) == judged
        with pytest.raises(ExperimentError, match="there is no evidence"):
            stores.control.evidence(unjudged)


def test_what_killed_writers_left_is_cleared_by_compaction_though_nothing_is_crowded(office, capsys):
    office.delivers(1, people=300)
    office.runs("ingest")
    orphan = office.root / "lake" / "impressions" / "part-0.parquet"
    orphan.write_bytes(b"half")
    office.now = datetime.now(UTC) + timedelta(hours=47)
    capsys.readouterr()
    office.types("events", "compact")
    assert "compact: nothing is due" in capsys.readouterr().out
    office.now += timedelta(hours=2)
    office.types("events", "compact")
    assert "compact impressions: 0 files made few, 1 removed" in capsys.readouterr().out
    assert not orphan.exists()


def test_many_small_files_become_few_and_the_next_look_finds_the_same(office, capsys):
    for hour in range(9):
        name = f"impressions-{hour}.csv"
        rows = [f"e{hour}-{n},{(MONDAY + timedelta(minutes=n)).isoformat()},autumn,noir,u{n}" for n in range(20)]
        (office.root / "inbox" / name).write_text("\n".join(["event_id,ts,experiment,arm,unit", *rows]) + "\n")
    office.runs("ingest")
    office.types("events", "compact")
    assert "compact impressions: 9 files made few" in capsys.readouterr().out
    with office.looks() as stores:
        assert stores.lake.dataset("impressions").count_rows() == 180
    office.types("events", "compact")
    assert "compact: nothing is due" in capsys.readouterr().out
    again = office.root / "again.csv"
    again.write_text((office.root / "inbox" / "impressions-3.csv").read_text() + "\n")
    office.types("ingest", again, "--kind", "impression")
    with office.looks() as stores:
        (delivery,) = (each for each in stores.deliveries.all() if each.name == "again.csv")
    assert delivery.duplicate == 20, "what was compacted is still known"


def test_a_unit_may_see_and_erase_what_is_held_of_it(office, capsys):
    office.delivers(1, people=300)
    office.runs("ingest")
    capsys.readouterr()
    office.types("events", "show", "w1-7")
    (shown,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (shown["event_id"], shown["table"], shown["line"]) == ("i-w1-7", "impressions", 9)
    office.types("events", "rekey", "--yes")
    assert "impressions: 300 rows hashed once more" in capsys.readouterr().out
    office.types("events", "show", "w1-7")
    (again,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert {key for key in again if again[key] != shown[key]} == {"unit"}
    office.types("events", "erase", "w1-7", "--yes")
    assert "impressions: 1 rows erased" in capsys.readouterr().out
    office.types("events", "show", "w1-7")
    assert capsys.readouterr().out == ""
    office.types("export", "events", "--out", office.root / "out", "--format", "csv")
    assert (office.root / "out" / "impressions.csv").read_text().count("\n") == 300
    office.types("export", "events", "--format", "xml", code=2)


def test_a_workspace_that_was_moved_keeps_its_thumbnails(office, tmp_path):
    office.root = office.root.rename(tmp_path / "elsewhere")
    office.runs("report")
    page = json.loads((office.root / "reports" / "2026-W45.json").read_text())
    assert {tile["arm"] for tile in page["sections"][0]["gallery"]} == {"original", "duotone-dusk", "noir"}


def test_what_the_gate_declined_is_told_with_its_numbers(office, capsys, monkeypatch):
    found = GateResult.of((Finding("contrast", {"ratio": 2.1, "least": 4.5}),))

    def refusing(*arguments, **options):
        return [replace(each, gate=found) if each.arm == "noir" else each for each in really(*arguments, **options)]

    really = rendering.render
    monkeypatch.setattr(rendering, "render", refusing)
    document = {"experiment": "winter", "brief": "cup", "styles": ["noir", "duotone-dusk"]}
    (office.root / "experiments" / "winter.yaml").write_text(yaml.safe_dump(document))
    office.types("experiment", "create", office.root / "experiments" / "winter.yaml")
    capsys.readouterr()
    office.types("experiment", "generate", "winter")
    assert "noir was declined by the quality gate: contrast (ratio 2.1, least 4.5)" in capsys.readouterr().out
