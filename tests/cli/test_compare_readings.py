"""What `adstyle compare` says beside the decision."""

import json

import pytest

from experiments.cli.app import run

ARMS = "arm,impressions,clicks\noriginal,20000,400\nink,20000,520\nneon,20000,402\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "arms.csv"
    path.write_text(ARMS)
    return str(path)


def asked(capsys, *arguments):
    code = run(["compare", *arguments])
    return code, capsys.readouterr()


def test_a_plan_adds_the_reading_that_holds_at_any_time(table, capsys):
    options = ("--numerator", "clicks", "--denominator", "impressions", "--json")
    _, without = asked(capsys, table, *options)
    code, said = asked(capsys, table, *options, "--planned", "1400")
    assert code == 0
    plain, found = json.loads(without.out), json.loads(said.out)
    for before, lift in zip(plain["lifts"], found["lifts"], strict=True):
        reading = lift.pop("anytime")
        assert lift == before, "it decides nothing"
        assert reading["relative_low"] < lift["relative_low"] < lift["relative_high"] < reading["relative_high"]
        assert reading["p"] >= lift["p_adjusted"]


def test_people_read_it_in_words(table, capsys):
    _, said = asked(capsys, table, "--numerator", "clicks", "--denominator", "impressions", "--planned", "1400")
    assert "At any time, ink: p 0.00" in said.out


def test_a_plan_that_is_none_is_refused(table, capsys):
    code, said = asked(capsys, table, "--numerator", "clicks", "--denominator", "impressions", "--planned", "0")
    assert code == 2
    assert said.err.count("\n") == 1
    assert "positive number, got 0" in said.err


def test_an_arm_of_people_who_click_all_day_is_pointed_out(tmp_path, capsys):
    path = tmp_path / "units.csv"
    rows = [f"{arm}{i},{arm},{int(i < 60)}" for arm in ("original", "ink") for i in range(3000)]
    rows += [f"neon{i},neon,{30 if i < 2 else 0}" for i in range(3000)]
    path.write_text("unit,arm,clicks\n" + "\n".join(rows) + "\n")
    _, said = asked(capsys, str(path), "--unit", "unit", "--numerator", "clicks", "--json")
    found = json.loads(said.out)
    assert found["notes"] == ["unequal_dispersion"]
    assert found["verdict"]["kind"] == "no_winner"
    _, said = asked(capsys, str(path), "--unit", "unit", "--numerator", "clicks")
    assert "look who they are" in " ".join(said.out.split())
