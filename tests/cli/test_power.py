import json

import pytest

from experiments.cli.app import run

PLANNED = ("--baseline", "0.02", "--lift", "0.1")


@pytest.fixture
def power(capsys):
    def asked(*options):
        code = run(["power", *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return asked


def document(power, *options):
    code, out, err = power(*options, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_lift_gives_sample_duration_and_a_table(power):
    found = document(power, *PLANNED, "--arms", "5", "--looks", "4", "--per-day", "20000")
    plan = found["plan"]
    assert plan["per_arm"] == [-(-plan["sample"] // 5)] * 5
    assert plan["days"] == pytest.approx(plan["sample"] / 20000, rel=1e-4)
    assert plan["weeks"] == 6
    assert [each["lift"] for each in found["lifts"]] == pytest.approx([0.05, 0.075, 0.1, 0.15, 0.2])
    samples = [each["sample"] for each in found["lifts"]]
    assert samples == sorted(samples, reverse=True)
    assert 1 < plan["inflation"] < 1.06
    assert plan["fixed_sample"] < found["anytime_sample"] < 1.75 * plan["fixed_sample"]


def test_a_sample_or_a_duration_gives_the_lift_that_can_be_found(power):
    sample = document(power, "--baseline", "0.02", "--sample", "280000")
    days = document(power, "--baseline", "0.02", "--days", "14", "--per-day", "20000")
    assert sample["asked"] == days["asked"] == "sample"
    assert days["plan"]["lift"] == pytest.approx(sample["plan"]["lift"])
    back = document(power, "--baseline", "0.02", "--lift", str(sample["plan"]["lift"]))
    assert back["plan"]["sample"] == pytest.approx(280000, abs=2)


def test_people_get_a_table_and_a_sentence(power):
    code, out, _ = power(*PLANNED, "--arms", "3", "--looks", "2", "--per-day", "9000")
    assert code == 0
    assert "A lift of 10.0 % takes" in out
    assert "a single look would take" in " ".join(out.split())


def test_percents_given_as_a_share_are_asked_about(power):
    assert "for one of 15 %, write --lift 0.15." in power("--baseline", "0.03", "--lift", "15")[1]
    assert "--lift" not in power("--baseline", "0.03", "--lift", "1.5")[1]
    assert "--lift" not in power("--baseline", "0.001", "--sample", "2000")[1], "found, not asked for"


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_chart_is_drawn(power, tmp_path, ending):
    path = tmp_path / f"plan.{ending}"
    code, out, _ = power(*PLANNED, "--chart", str(path))
    assert code == 0
    assert path.name in out.replace("\n", "")
    head = path.read_bytes()[:200]
    assert head.startswith(b"\x89PNG") if ending == "png" else b"<svg" in head


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing says what the control does"),
        (("--baseline", "3%"), "unable to parse string as a number: write 0.03 (see"),
        (("--baseline=2,5 %",), "write 0.025 (see"),
        (("--baseline", "0.02", "--lift", "-10%"), "write -0.1 (see"),
        (("--baseline", "0,02"), "write 0.02 (see"),
        (("--baseline", "0.02", "--looks", "3%"), "as an integer (see"),
        (("--baseline", "0.02", "--looks", "2.5"), "as an integer (see"),
        (("--baseline", "much"), "unable to parse string as a number (see"),
        (("--baseline", "2"), "give it as a share"),
        (("--baseline", "0.02", "--mean", "3"), "--baseline and --mean both say"),
        (("--mean", "3"), "--mean and --sd belong together"),
        (("--baseline", "0.02", "--sample", "9", "--days", "3"), "give one of them"),
        (("--baseline", "0.02", "--days", "3"), "add --per-day"),
        (("--baseline", "0.02", "--per-day", "0"), "is no traffic"),
        (("--baseline", "0.02", "--arms", "1"), "--arms 1 cannot be"),
        (("--baseline", "0.02", "--split", "a=1,b=x"), "--split 'b=x'"),
        (("--baseline", "0.02", "--power", "1"), "--power 1"),
        (("--baseline", "0.02", "--spending", "pocok"), "did you mean 'pocock'"),
        (("--baseline", "0.02", "--chart", "plan.jpg"), "as .svg or .png"),
        (("--baseline", "0.02", "--lift", "0"), "no gain"),
        (("--experiment", "nowhere"), "is not in a workspace"),
        (("--baseline", "0.02", "--sample", "nan"), "a sample of nan"),
        (("--baseline", "0.02", "--split", "a=1,a=2"), "names arm 'a' twice"),
        (("--baseline", "0.02", "--chart", "nowhere/plan.svg"), "nowhere/plan.svg cannot be used"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_line(power, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = power(*options)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
