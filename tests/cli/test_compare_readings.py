"""What `adstyle compare` says beside the decision."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

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
        (("--before", "spent_before"), "needs --unit"),
        (("--unit", "unit", "--winsorise", "-1"), "is no cap"),
        (("--unit", "unit", "--denominator-before", "spent"), "belongs to --before"),
        (("--unit", "unit", "--before", "spent_befor"), "did you mean 'spent_before'"),
        (("--unit", "unit", "--looks", "1/2", "--final"), "--final belongs to --information"),
        (("--unit", "unit", "--spending", "pokock"), "did you mean 'pocock'"),
        (("--stratum", "arm"), "--stratum needs --unit"),
        (("--unit", "unit", "--quantile", "0.9", "--stratum", "arm"), "--stratum goes without --quantile"),
        (("--unit", "unit", "--quantile", "0.9", "--before", "spent_before"), "--quantile goes without --before"),
        (("--unit", "unit", "--quantile", "1.2"), "not between 0 and 1"),
        (("--unit", "unit", "--quantile", "0.9999"), "too few for the quantile"),
        (("--unit", "unit", "--quantile", "0.9", "--denominator", "spent"), "without --denominator"),
        (("--unit", "unit", "--quantile", "0.9", "--planned", "9"), "--planned goes without"),
        (("--unit", "unit", "--stratum", "cuntry"), "no column 'cuntry'"),
        (("--unit", "unit", "--stratum", "arm", "--prior", "1/2"), "--prior goes without"),
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


def test_credible_intervals_are_those_of_the_beta(table, capsys):
    _, said = asked(capsys, table, *CTR, "--json", "--credible")
    _, plain = asked(capsys, table, *CTR, "--json")
    arms, without = json.loads(said.out)["arms"], json.loads(plain.out)["arms"]
    assert not any(key.startswith("credible") for arm in without for key in arm)
    for arm, before in zip(arms, without, strict=True):
        low, high = arm.pop("credible_low"), arm.pop("credible_high")
        assert arm == before
        clicks, rest = arm["numerator"] + 0.5, arm["denominator"] - arm["numerator"] + 0.5
        assert [low, high] == pytest.approx(list(beta.ppf([0.025, 0.975], clicks, rest)))


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


@pytest.fixture
def visits(tmp_path):
    """Load times of several visits a person, and a country that tells most of what is spent."""
    draw = np.random.default_rng(9)
    path, rows = tmp_path / "visits.csv", ["person,arm,country,seconds,spent"]
    for person in range(900):
        arm, country = ("original", "ink")[person % 2], ("no", "se", "")[person % 3]
        own = draw.gamma(4, 0.5)
        for _ in range(draw.integers(1, 6)):
            slower = 1.3 if arm == "ink" else 1.0
            spent = {"no": 40, "se": 10, "": 2}[country] + draw.normal(1.0 if arm == "ink" else 0.0, 3)
            rows.append(f"p{person},{arm},{country},{own * slower * draw.gamma(9, 1 / 9):.4f},{spent:.3f}")
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_a_quantile_is_compared_as_its_people_are_alike(visits, capsys):
    code, said = asked(capsys, visits, "--unit", "person", "--numerator", "seconds", "--quantile", "0.9",
                       "--control", "original", "--json")  # fmt: skip
    assert code == 0
    found = json.loads(said.out)
    rows = pd.read_csv(visits)
    for arm in found["arms"]:
        own = rows[rows.arm == arm["arm"]]
        assert arm["rate"] == pytest.approx(np.sort(own.seconds)[int(np.ceil(0.9 * len(own))) - 1])
        assert (arm["units"], arm["low"] < arm["rate"] < arm["high"]) == (own.person.nunique(), True)
    assert found["metric"] == {"numerator": "seconds", "denominator": "units", "quantile": 0.9}
    assert found["notes"] == ["quantile"]
    assert 0.1 < found["lifts"][0]["relative"] < 0.6
    _, said = asked(capsys, visits, "--unit", "person", "--numerator", "seconds", "--quantile", "0.9")
    assert "The rate is the 0.9 quantile of seconds." in said.out


def test_strata_narrow_what_is_said(visits, capsys):
    asking = (visits, "--unit", "person", "--numerator", "spent", "--denominator", "seconds", "--control", "original")
    _, plain = asked(capsys, *asking, "--json")
    code, said = asked(capsys, *asking, "--json", "--stratum", "country")
    assert code == 0
    before, found = json.loads(plain.out), json.loads(said.out)
    assert found["notes"] == ["post_stratified"]
    assert [arm["units"] for arm in found["arms"]] == [450, 450]
    assert {arm["arm"]: arm["numerator"] for arm in found["arms"]} == pytest.approx(
        {arm["arm"]: arm["numerator"] for arm in before["arms"]}
    )
    rows = pd.read_csv(visits, keep_default_na=False).groupby(["arm", "country"])[["spent", "seconds"]].sum()
    weights = rows.groupby("country").seconds.sum() / rows.seconds.sum()
    rate = rows.spent / rows.seconds
    for arm in found["arms"]:
        assert arm["rate"] == pytest.approx((rate[arm["arm"]] * weights).sum())
    widths = [each["lifts"][0]["absolute_high"] - each["lifts"][0]["absolute_low"] for each in (before, found)]
    assert widths[1] < 0.9 * widths[0]


def test_people_in_two_arms_are_left_out_and_people_in_two_strata_refused(visits, capsys):
    with open(visits, "a") as file:
        file.write("p0,ink,no,1.0,1.0\n")
    _, said = asked(capsys, visits, "--unit", "person", "--numerator", "spent", "--stratum", "country", "--json")
    assert json.loads(said.out)["crossover"] == 1
    _, said = asked(capsys, visits, "--unit", "person", "--numerator", "seconds", "--quantile", "0.5", "--json")
    assert json.loads(said.out)["crossover"] == 1
    with open(visits, "a") as file:
        file.write("p2,original,no,1.0,1.0\np1,ink,no,1.0,1.0\n")
    code, said = asked(capsys, visits, "--unit", "person", "--numerator", "spent", "--stratum", "country")
    assert code == 2
    assert "1 units have several values of 'country'" in said.err


@pytest.mark.parametrize("options", [("--stratum", "country"), ("--quantile", "0.5")])
@pytest.mark.parametrize(
    ("line", "says"), [("p1,,no,1,1", "arm is missing in 1 rows"), ("p1,ink,se,fast,fast", "Could not convert")]
)
def test_rows_that_cannot_be_read_are_refused(visits, capsys, options, line, says):
    with open(visits, "a") as file:
        file.write(f"{line}\n")
    code, said = asked(capsys, visits, "--unit", "person", "--numerator", "seconds", *options)
    assert code == 2
    assert says in said.err
    assert "Traceback" not in said.err
