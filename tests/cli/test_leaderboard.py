"""``adstyle leaderboard`` as people and programs read it."""

import json
import re
from datetime import UTC, datetime

import pytest

from experiments.cli.app import run
from experiments.composition import open_context
from experiments.core.commands import Approve, Conclude, FinishGeneration, Generate
from experiments.core.evidence import Evidence, Health
from experiments.core.judgement import judge_look
from experiments.core.plan import Arm, Looks, Plan
from experiments.core.proposals import Tried, Why
from experiments.core.statistics.moments import UnitMoments
from experiments.workspace import open_workspace
from reports.errors import ReportError
from reports.standings import SENTENCES, sentence

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def root(tmp_path, monkeypatch, capsys):
    for name in ("ADSTYLE_WORKSPACE", "ADSTYLE_NOW"):
        monkeypatch.delenv(name, raising=False)
    assert run(["init", str(tmp_path / "ads")]) == 0
    capsys.readouterr()
    return tmp_path / "ads"


def moments(clicks, people=20_000):
    return UnitMoments(people, (people, clicks, 0, 0), (people, clicks, 0, 0, clicks, 0, 0, 0, 0, 0))


def run_experiment(root, clicks):
    """An experiment on the brief ``cup``, concluded; ``clicks`` by style reference, the original among them."""
    with open_context(open_workspace(root), lambda: MONDAY) as stores:
        control = stores.control
        control.save_brief("cup", {})
        control.create_experiment("autumn", {"brief": "cup"}, salt="autumn", control="original", actor="test")
        for command in (Generate(), FinishGeneration(2), Approve()):
            control.execute("autumn", command, "test")
        arms = tuple(Arm(name, stores.library.resolve(name).identity) for name in clicks)
        plan = Plan("autumn", "autumn", "original", arms, MONDAY, looks=Looks(1, 7))
        sealed = control.seal_plan("autumn", plan, "test")
        counted = {name: moments(count) for name, count in clicks.items()}
        evidence = Evidence("autumn", plan.look_time(1), {}, counted, (), Health(0, {}, {}, 0, 0, 7, 7, None))
        judgement = judge_look(plan, sealed, evidence, 1)
        then = Conclude(judgement.verdict.arm)
        control.record_judgement("autumn", 1, sealed, control.record_evidence(evidence), judgement, "test", then=then)


def typed(capsys, root, *arguments, code=0):
    assert run(["-w", str(root), "leaderboard", *arguments]) == code
    return capsys.readouterr()


def test_without_experiments_there_is_one_clear_line(root, capsys):
    assert typed(capsys, root).out.splitlines() == [
        "No experiment has a valid verdict yet; the leaderboard begins with the first look: adstyle status"
    ]
    assert json.loads(typed(capsys, root, "--json").out) == {"brief": None, "boards": [], "uncounted": []}


def test_people_read_a_table_and_what_to_try_next(root, capsys):
    run_experiment(root, {"original": 1000, "noir": 1500, "riso": 980})
    lines = typed(capsys, root).out.splitlines()
    assert lines[0].startswith("ctr against original, 1 experiment; one style's lift differs by about")
    assert re.search(r"by about \d+ % between products, styles differ by about \d+ %\.$", lines[0])
    assert lines[1].split("  ")[0].strip() == "style"
    assert "better than original" in lines[1]
    noir = next(line for line in lines if line.strip().startswith("noir#"))
    assert "2026-11-09" in noir
    assert " % " in noir
    assert "+" in noir
    at = lines.index("Try next on a new product")
    assert lines[at + 1].startswith("1. noir#")
    assert "after 1 experiment" in lines[at + 1]
    assert "the best with a chance of" in lines[at + 1]
    assert len(lines) == at + 6


def test_for_a_brief_what_it_has_settled_is_said(root, capsys):
    run_experiment(root, {"original": 1000, "noir": 1500, "riso": 980})
    out = typed(capsys, root, "--brief", "cup").out
    assert "Try next on cup" in out
    assert "not proposed: it beat the control on this brief in autumn" in out


def test_programs_read_every_number(root, capsys):
    run_experiment(root, {"original": 1000, "noir": 1500, "riso": 980})
    document = json.loads(typed(capsys, root, "--brief", "cup", "--json").out)
    (board,) = document["boards"]
    assert document["brief"] == "cup"
    assert {"style", "experiments", "expected", "low", "high", "next_low", "next_high", "probability_better",
            "last_seen", "alone"} == set(board["standings"][0])  # fmt: skip
    assert board["standings"][0]["style"].startswith("noir#")
    assert sum(each["probability_best"] for each in board["proposals"]) == pytest.approx(1)
    assert board["settled"][0]["reason"]["code"] == "style_better_here"


def test_a_brief_nobody_knows_is_one_line_and_exit_code_2(root, capsys):
    said = typed(capsys, root, "--brief", "cop", code=2).err
    assert said.startswith("adstyle: there is no brief 'cop'")
    assert len(said.splitlines()) == 1


def test_every_reason_has_words():
    said = {
        "style": "ink#1", "experiment": "autumn", "experiments": 2, "probability_best": 0.31,
        "probability_better": 0.93, "expected": 0.12, "low": -0.03, "high": 0.3,
    }  # fmt: skip
    codes = [*Why, *(f"style_{each}_here" for each in Tried)]
    codes += [f"experiment_{why}" for why in ("not_judged", "invalid", "without_lift", "damaged")]
    for code in codes:
        text = sentence(code, said)
        assert text.endswith(".")
        assert "None" not in text
    assert set(codes) == set(SENTENCES)
    with pytest.raises(ReportError, match="no words"):
        sentence("style_unheard_of", said)
    with pytest.raises(ReportError, match="needs the parameter 'probability_best'"):
        sentence("style_proven", {key: value for key, value in said.items() if key != "probability_best"})
    assert sentence("style_proven", said) == (
        "better than the control with a chance of 93 % after 2 experiments (+12.0 % expected, −3.0 % to +30.0 %); "
        "the best with a chance of 31 %."
    )
