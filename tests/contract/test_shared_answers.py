"""Real experiments whose answers were computed independently (scipy, statsmodels); they lie beside the checkout."""

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ADSTYLE = str(Path(sys.executable).with_name("adstyle"))

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real experiments are not here ({DATA})")


@pytest.fixture(scope="module")
def answers():
    return json.loads((DATA / "answers_dev.json").read_text())


def compared(path, *options):
    command = [ADSTYLE, "compare", str(path), "--json", *options]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def upworthy():
    aggregates = ("--numerator", "clicks", "--denominator", "impressions")
    found = compared(DATA / "upworthy_dev.csv.gz", *aggregates, "--group", "clickability_test_id")
    return {each["group"]: each for each in found}


def test_all_upworthy_tests_are_reproduced(upworthy, answers):
    expected = answers["upworthy_dev.csv.gz"]["all"]
    assert len(upworthy) == expected["tests"]
    assert sum(len(each["arms"]) for each in upworthy.values()) == expected["arms_total"]
    mismatched = sum(each["sample_ratio"]["p"] < 0.001 for each in upworthy.values())
    assert mismatched == expected["srm_p_lt_0_001"]
    assert sum(each["best"]["beats_every_other"] for each in upworthy.values()) == 142
    assert all(each["verdict"]["kind"] == "invalid" for each in upworthy.values() if not each["sample_ratio"]["ok"])


def test_single_upworthy_tests_are_reproduced(upworthy, answers):
    for expected in answers["upworthy_dev.csv.gz"]["examples"]:
        found = upworthy[expected["clickability_test_id"]]
        assert found["sample_ratio"]["p"] == pytest.approx(expected["srm_p"], rel=1e-6)
        assert sum(arm["numerator"] for arm in found["arms"]) == expected["total_clicks"]
        assert max(arm["rate"] for arm in found["arms"]) == pytest.approx(expected["best_ctr"], rel=1e-6)
        holm = expected["max_holm_p_best_among_all_pairs"]
        assert found["best"]["p_adjusted"] == pytest.approx(holm, rel=1e-6, abs=1e-9)


def test_the_cleaned_landing_page_test_is_reproduced(answers, tmp_path):
    pages = {"control": "old_page", "treatment": "new_page"}
    first: dict[str, list[str]] = {}
    with gzip.open(DATA / "ab_data.csv.gz", "rt") as rows:
        for row in csv.DictReader(rows):
            if pages[row["group"]] == row["landing_page"]:
                first.setdefault(row["user_id"], [row["user_id"], row["group"], row["converted"]])
    cleaned = tmp_path / "cleaned.csv"
    with cleaned.open("w", newline="") as file:
        csv.writer(file).writerows([["user_id", "group", "converted"], *first.values()])
    (found,) = compared(
        cleaned, "--unit", "user_id", "--arm", "group", "--numerator", "converted", "--control", "control"
    )
    expected = answers["ab_data.csv.gz"]["consistent_rows_first_per_user"]
    lift = found["lifts"][0]
    assert {arm["arm"]: (arm["units"], arm["numerator"]) for arm in found["arms"]} == {
        name: (expected[name]["n"], expected[name]["x"]) for name in pages
    }
    assert lift["p"] == pytest.approx(expected["p_chi2_no_yates"], rel=1e-9)
    assert lift["absolute"] == pytest.approx(expected["abs_diff"], rel=1e-9)
    assert lift["relative"] == pytest.approx(expected["rel_lift"], rel=1e-9)
    assert found["verdict"]["kind"] == "no_winner"


def test_users_in_both_groups_are_dropped_and_counted(answers):
    (found,) = compared(
        DATA / "ab_data.csv.gz",
        "--unit",
        "user_id",
        "--arm",
        "group",
        "--numerator",
        "converted",
        "--crossover",
        "0.02",
    )
    assert found["crossover"] == answers["ab_data.csv.gz"]["users_in_both_groups"]


def test_broken_randomisation_is_invalid_whatever_was_clicked(upworthy):
    week = {}
    with gzip.open(DATA / "upworthy_dev.csv.gz", "rt") as rows:
        for row in csv.DictReader(rows):
            week[row["clickability_test_id"]] = int(row["test_week"])
    broken = [test for test, each in upworthy.items() if each["sample_ratio"]["p"] < 0.001]
    assert {upworthy[test]["verdict"]["kind"] for test in broken} == {"invalid"}
    assert len(broken) == 369
    assert sum(201325 <= week[test] <= 201401 for test in broken) == 362


@pytest.mark.parametrize("country", ["CA", "UK", "US"])
def test_the_landing_page_by_country_is_reproduced(answers, tmp_path, country):
    expected = answers["ab_data.csv.gz"]["by_country"][country]
    table = tmp_path / "country.csv"
    lines = [f"{arm},{expected[arm]['x']},{expected[arm]['n']}" for arm in ("control", "treatment")]
    table.write_text("\n".join(["arm,converted,users", *lines]))
    (found,) = compared(table, "--numerator", "converted", "--denominator", "users")
    assert found["lifts"][0]["p"] == pytest.approx(expected["p_chi2_no_yates"], rel=1e-9)
    assert found["lifts"][0]["relative"] == pytest.approx(expected["rel_lift"], rel=1e-9)
    assert found["sample_ratio"]["p"] == pytest.approx(expected["srm"]["p"], rel=1e-9)


def test_thirty_four_arms_of_which_nine_have_no_clicks_have_no_winner(answers, tmp_path):
    expected = answers["obd_random_men.csv.gz"]
    table = tmp_path / "arms.csv"
    lines = [f"{arm},{clicks},{shown}" for arm, shown, clicks in expected["arm_table"]]
    table.write_text("\n".join(["arm,clicks,impressions", *lines]))
    (found,) = compared(table, "--numerator", "clicks", "--denominator", "impressions")
    assert found["sample_ratio"]["p"] == pytest.approx(expected["srm_p"], rel=1e-9)
    assert found["best"]["arm"] == str(expected["best_arm"])
    assert found["best"]["p_adjusted"] == expected["max_holm_p_best_among_all_pairs"] == 1.0
    assert sum(arm["numerator"] == 0 for arm in found["arms"]) == expected["arms_with_zero_clicks"] == 9
    assert found["verdict"]["kind"] == "no_winner"
