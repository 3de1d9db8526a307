"""What `adstyle compare` says beside the decision."""

import json

import numpy as np
import pytest
from scipy.stats import gamma

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


@pytest.fixture
def people(tmp_path):
    """Money a unit, the same people as before: history tells most of it."""
    rng = np.random.default_rng(4)
    path, rows = tmp_path / "people.csv", ["unit,arm,spent,spent_before"]
    for i in range(1200):
        before = rng.gamma(2, 10)
        arm = ("original", "ink")[i % 2]
        rows.append(f"u{i},{arm},{before + rng.normal(3 if arm == 'ink' else 0, 5):.2f},{before:.2f}")
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_history_narrows_what_is_said(people, capsys):
    asking = (people, "--unit", "unit", "--numerator", "spent", "--control", "original", "--json")
    _, without = asked(capsys, *asking)
    code, with_history = asked(capsys, *asking, "--before", "spent_before")
    assert code == 0
    plain, found = json.loads(without.out), json.loads(with_history.out)
    assert found["notes"] == ["adjusted_by_history"]
    widths = [each["lifts"][0]["absolute_high"] - each["lifts"][0]["absolute_low"] for each in (plain, found)]
    assert widths[1] < 0.5 * widths[0]
    assert found["verdict"] == {
        **plain["verdict"],
        "kind": "promote",
        "arm": "ink",
        "reasons": found["verdict"]["reasons"],
    }


def test_a_cap_is_applied_to_each_unit(people, capsys):
    asking = (people, "--unit", "unit", "--numerator", "spent", "--control", "original", "--json")
    _, said = asked(capsys, *asking, "--winsorise", "5")
    assert all(arm["rate"] <= 5 for arm in json.loads(said.out)["arms"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--before", "spent_before"), "need --unit"),
        (("--unit", "unit", "--winsorise", "-1"), "is no cap"),
        (("--unit", "unit", "--denominator-before", "spent"), "belongs to --before"),
        (("--unit", "unit", "--before", "spent_befor"), "did you mean 'spent_before'"),
        (("--unit", "unit", "--looks", "1/2", "--final"), "--final belongs to --information"),
        (("--unit", "unit", "--spending", "pokock"), "did you mean 'pocock'"),
    ],
)
def test_options_that_do_not_fit_are_refused(people, capsys, options, said):
    code, found = asked(capsys, people, "--numerator", "spent", *options)
    assert code == 2
    assert said in found.err


def test_the_last_look_of_an_experiment_that_ended_early_spends_what_is_left(table, capsys):
    options = ("--numerator", "clicks", "--denominator", "impressions", "--json", "--information", "0.3,0.6")
    _, before = asked(capsys, table, *options)
    _, last = asked(capsys, table, *options, "--final")
    before, last = json.loads(before.out), json.loads(last.out)
    assert last["look"] == [2, 2]
    assert last["lifts"][0]["p_adjusted"] < before["lifts"][0]["p_adjusted"]


CTR = ("--numerator", "clicks", "--denominator", "impressions")


def test_credible_intervals_are_those_of_the_gamma(table, capsys):
    _, said = asked(capsys, table, *CTR, "--json", "--credible")
    _, plain = asked(capsys, table, *CTR, "--json")
    arms, without = json.loads(said.out)["arms"], json.loads(plain.out)["arms"]
    assert not any(key.startswith("credible") for arm in without for key in arm)
    pooled = 1322 / 60_000
    for arm, before in zip(arms, without, strict=True):
        low, high = arm.pop("credible_low"), arm.pop("credible_high")
        assert arm == before
        shape = (arm["numerator"] + 0.5) / (1 - pooled)
        ends = gamma.ppf([0.025, 0.975], shape, scale=(1 - pooled) / arm["denominator"])
        assert [low, high] == pytest.approx(list(ends))


def test_what_is_known_beforehand_moves_chances_and_no_p_value(table, capsys):
    _, said = asked(capsys, table, *CTR, "--json", "--credible", "--prior", "20000/1000000")
    _, plain = asked(capsys, table, *CTR, "--json", "--credible")
    found, without = json.loads(said.out), json.loads(plain.out)
    assert found["lifts"] == without["lifts"]
    assert found["verdict"] == without["verdict"]
    ink, before = found["arms"][1], without["arms"][1]
    assert ink["probability_best"] < before["probability_best"]
    assert 0.0195 < ink["credible_low"] < ink["credible_high"] < before["credible_high"]


@pytest.mark.parametrize("prior", ["20", "20/x", "1/2/3", "0/100", "nan/5", "5/-1"])
def test_a_prior_that_is_none_is_refused(table, capsys, prior):
    code, said = asked(capsys, table, *CTR, "--prior", prior)
    assert code == 2
    assert said.err.count("\n") == 1
    assert "prior" in said.err
