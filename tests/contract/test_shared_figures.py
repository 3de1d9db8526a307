"""Every further figure of the real data's answers, recomputed by the product's own functions."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import chi2_contingency

from experiments.core.errors import ExperimentError
from experiments.core.gates import contingency_p
from experiments.core.judgement import judge_look
from experiments.core.metrics import metric_named
from experiments.core.plan import Arm, Attribution, Plan
from experiments.core.statistics import proportions
from experiments.core.statistics.comparison import Correction, compare, compare_estimates, compare_groups
from experiments.core.statistics.dunnett import holm, two_sided
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.sample_ratio import sample_ratio, sample_ratio_p
from experiments.core.statistics.sequential import Looks
from experiments.core.statistics.tables import Outcome
from experiments.core.verdict import Kind
from experiments.events.evidence import evidence_of
from experiments.events.schema import TABLES

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LEVEL = 0.05
Z = np.array([1.959963984540054])

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real experiments are not here ({DATA})")


@pytest.fixture(scope="module")
def answers():
    return json.loads((DATA / "answers_dev.json").read_text())


# --- Upworthy ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def headlines():
    """A dict a test: its week and arms with all that can be said of them."""
    rows = pd.read_csv(DATA / "upworthy_dev.csv.gz", keep_default_na=False)
    tests = []
    for _, arms in rows.groupby("clickability_test_id", sort=False):
        y, x = arms.clicks.to_numpy(float)[None], arms.impressions.to_numpy(float)[None]
        left, right = np.triu_indices(len(arms), 1)
        pairs = two_sided(proportions.score_z(y[:, left], x[:, left], y[:, right], x[:, right]))
        rate = (y / x)[0]
        best = int(rate.argmax())
        concerned = (left == best) | (right == best)
        order = np.argsort(-rate, kind="stable")
        second = (left == min(order[:2])) & (right == max(order[:2]))
        flagged = arms.winner.astype(str).eq("True").to_numpy()
        wins = int(flagged.argmax())
        against_winner = (left == min(best, wins)) & (right == max(best, wins))
        tests.append(
            {
                "week": int(arms.test_week.iloc[0]), "arms": len(arms), "impressions": x.sum(), "clicks": y.sum(),
                "srm": float(sample_ratio_p(x, np.ones_like(x))[0]),
                "chi2": float(chi2_contingency(np.vstack([y, x - y]), correction=False).pvalue),
                "each": float(holm(pairs[:, concerned]).max()),
                "all": float(holm(pairs)[0, concerned].max()),
                "any": float(holm(pairs).min()),
                "second": float(pairs[0, second][0]),
                "flags": int(flagged.sum()), "hit": bool(flagged.sum() == 1 and wins == best),
                "worse": bool(flagged.sum() == 1 and wins != best and (pairs[0, against_winner] < LEVEL).all()),
                "tied": int((rate == rate.max()).sum()) > 1,
            }
        )  # fmt: skip
    return pd.DataFrame(tests)


@pytest.mark.parametrize(
    "which", ["all", "clean_excluding_weeks_201325_201401", "problem_window_only", "clean_and_srm_pass_p_ge_0_001"]
)
def test_every_figure_of_the_headline_tests(headlines, answers, which):
    expected = answers["upworthy_dev.csv.gz"][which]
    broken = headlines.week.between(201325, 201401)
    chosen = {"all": broken | ~broken, "problem_window_only": broken}.get(which, ~broken)
    if which.startswith("clean_and_srm"):
        chosen = chosen & (headlines.srm >= 0.001)
    tests = headlines[chosen]
    one_flag = tests[tests["flags"] == 1]
    found = {
        "tests": len(tests),
        "arms_total": tests.arms.sum(),
        "arms_min": tests.arms.min(),
        "arms_median": tests.arms.median(),
        "arms_max": tests.arms.max(),
        "impressions": tests.impressions.sum(),
        "clicks": tests.clicks.sum(),
        "ctr_overall": tests.clicks.sum() / tests.impressions.sum(),
        "srm_p_lt_0_001": (tests.srm < 0.001).sum(),
        "srm_p_lt_0_001_share": (tests.srm < 0.001).mean(),
        "srm_p_lt_0_01_share": (tests.srm < 0.01).mean(),
        "srm_p_lt_0_05_share": (tests.srm < LEVEL).mean(),
        "chi2_p_lt_0_05": (tests.chi2 < LEVEL).sum(),
        "chi2_p_lt_0_05_share": (tests.chi2 < LEVEL).mean(),
        "best_beats_every_other_holm_k_minus_1": (tests.each < LEVEL).sum(),
        "best_beats_every_other_holm_k_minus_1_share": (tests.each < LEVEL).mean(),
        "best_beats_every_other_holm_all_pairs": (tests["all"] < LEVEL).sum(),
        "best_beats_every_other_holm_all_pairs_share": (tests["all"] < LEVEL).mean(),
        "best_beats_second_raw_p_lt_0_05": (tests.second < LEVEL).sum(),
        "any_pair_differs_holm_all_pairs": (tests["any"] < LEVEL).sum(),
        "any_pair_differs_holm_all_pairs_share": (tests["any"] < LEVEL).mean(),
        "tests_with_exactly_one_winner_flag": len(one_flag),
        "tests_with_2plus_winner_flags": (tests["flags"] > 1).sum(),
        "winner_flag_is_best_ctr": one_flag.hit.sum(),
        "winner_flag_is_best_ctr_share": one_flag.hit.mean(),
        "winner_flagged_and_significant_best_holm_k_minus_1": (one_flag.hit & (one_flag.each < LEVEL)).sum(),
        "winner_flag_significantly_worse_than_best_raw_p05": one_flag.worse.sum(),
        "best_ctr_ties": tests.tied.sum(),
    }
    assert set(found) == set(expected), "no figure is left out"
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("which", ["clean", "problem_window"])
def test_arms_that_readers_could_not_tell_apart_differ_more_often_than_chance(answers, which):
    rows = pd.read_csv(DATA / "upworthy_dev.csv.gz", keep_default_na=False)
    rows = rows[rows.test_week.between(201325, 201401) == (which == "problem_window")]
    alike = ["clickability_test_id", "headline", "eyecatcher_id", "lede", "excerpt"]
    groups = []
    for _, arms in rows.groupby(alike, sort=False):
        for i in range(len(arms)):
            groups += [
                ("a", {name: PairMoments(n, y, n, y, n, y) for name, y, n in zip("ab", clicks, shown, strict=True)})
                for j in range(i + 1, len(arms))
                for clicks in ([int(arms.clicks.iloc[i]), int(arms.clicks.iloc[j])],)
                for shown in ([int(arms.impressions.iloc[i]), int(arms.impressions.iloc[j])],)
            ]
    found = compare_groups(groups, split=None, alpha=LEVEL, correction=Correction.NONE, looks=Looks.even())
    expected = answers["upworthy_dev.csv.gz"]["natural_AA_pairs_same_headline_image_lede_excerpt"][which]
    assert len(found) == expected["pairs"]
    assert sum(not each.sample_ratio.ok for each in found) == expected["srm_lt_0_001"]
    assert sum(each.lifts[0].p < LEVEL for each in found) == expected["p_lt_0_05"]


# --- The landing page -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["raw_rows_by_group", "consistent_rows_first_per_user", "CA", "UK", "US"])
def test_every_figure_of_the_landing_page(answers, which):
    whole = answers["ab_data.csv.gz"]
    expected = whole[which] if which in whole else whole["by_country"][which]
    (n0, y0), (n1, y1) = ((expected[arm]["n"], expected[arm]["x"]) for arm in ("control", "treatment"))
    arms = {"control": PairMoments(n0, y0, n0, y0, n0, y0), "treatment": PairMoments(n1, y1, n1, y1, n1, y1)}
    found = compare(arms, control="control")
    for arm in found.arms:
        assert arm.rate == pytest.approx(expected[arm.arm]["rate"], rel=1e-12)
        assert [arm.low, arm.high] == pytest.approx(expected[arm.arm]["wilson95"], rel=1e-9)
    (lift,) = found.lifts
    assert lift.absolute == pytest.approx(expected["abs_diff"], rel=1e-9)
    assert lift.relative == pytest.approx(expected["rel_lift"], rel=1e-9)
    assert lift.p == pytest.approx(expected["p_chi2_no_yates"], rel=1e-9)
    cells = [np.array([float(each)]) for each in (y1, n1, y0, n0)]
    assert proportions.score_z(*cells)[0] == pytest.approx(expected["z_pooled"], rel=1e-9)
    assert proportions.fisher_p(y1, n1, y0, n0) == pytest.approx(expected["p_fisher_two_sided"], rel=1e-6)
    ends = [float(end[0]) for end in proportions.difference_interval(*cells, Z)]
    assert ends == pytest.approx(expected["diff_ci95_newcombe"], rel=1e-9)
    wald = expected["diff_ci95_wald_unpooled"]
    assert [lift.absolute_low, lift.absolute_high] == pytest.approx(wald, abs=2e-5)
    assert [lift.relative_low, lift.relative_high] == pytest.approx(expected["rel_lift_ci95_katz_log"], abs=1.5e-4)
    assert found.sample_ratio.p == pytest.approx(expected["srm"]["p"], rel=1e-9)


def test_the_raw_rows_of_the_landing_page(answers):
    rows, whole = pd.read_csv(DATA / "ab_data.csv.gz"), answers["ab_data.csv.gz"]
    pages = {"control": "old_page", "treatment": "new_page"}
    assert len(rows) == whole["rows"]
    assert rows.user_id.nunique() == whole["users"]
    assert (rows.group.map(pages) != rows.landing_page).sum() == whole["mismatched_rows"]
    for name, each in rows.groupby("group"):
        assert (len(each), each.converted.sum()) == tuple(whole["raw_rows_by_group"][name][key] for key in "nx")


# --- Thirty-four creatives --------------------------------------------------------------------------------------------


def test_every_figure_of_the_thirty_four_creatives(answers):
    rows, expected = pd.read_csv(DATA / "obd_random_men.csv.gz"), answers["obd_random_men.csv.gz"]
    y = rows.groupby("item_id").click.sum()
    n = rows.groupby("item_id").click.size()
    assert (len(rows), rows.click.sum(), len(n)) == (expected["rows"], expected["clicks"], expected["arms"])
    assert rows.click.mean() == pytest.approx(expected["ctr"])
    low, high = proportions.wilson(np.array([46.0]), np.array([10_000.0]), Z[0])
    assert [low[0], high[0]] == pytest.approx(expected["wilson95"], rel=1e-9)
    assert [[arm, n[arm], y[arm]] for arm in n.index] == expected["arm_table"]
    assert sample_ratio(n.to_dict(), dict.fromkeys(n.index, 1.0)).p == pytest.approx(expected["srm_p"], rel=1e-9)
    assert ((y == 0).sum(), n.min(), n.max()) == tuple(
        expected[key] for key in ("arms_with_zero_clicks", "arm_n_min", "arm_n_max")
    )
    rate = (y / n).sort_values(ascending=False)
    assert [rate.iloc[0], rate.iloc[1], rate.iloc[-1]] == pytest.approx(
        [expected["best_ctr"], expected["second_ctr"], expected["worst_ctr"]]
    )
    best, second = rate.index[:2]
    score = proportions.score_z(*(np.array([float(each)]) for each in (y[best], n[best], y[second], n[second])))
    assert two_sided(score)[0] == pytest.approx(expected["best_vs_second_raw_p"], rel=1e-9)
    one_against_rest = [proportions.fisher_p(y[arm], n[arm], 46 - y[arm], 10_000 - n[arm]) for arm in n.index]
    assert min(one_against_rest) == pytest.approx(expected["fisher_arm_vs_rest_min_p"], rel=1e-6)
    assert holm(np.array([one_against_rest])).min() == expected["fisher_arm_vs_rest_min_holm"]
    positions = rows.groupby("position").click.agg(["size", "sum"])
    assert {str(p): {"n": int(r["size"]), "clicks": int(r["sum"])} for p, r in positions.iterrows()} == {
        key: {name: each[name] for name in ("n", "clicks")} for key, each in expected["position_ctr"].items()
    }
    table = np.vstack([positions["sum"], positions["size"] - positions["sum"]])
    assert contingency_p(table) == pytest.approx(expected["position_chi2_p"], rel=1e-9)
    days = pd.to_datetime(rows.timestamp, format="ISO8601")
    for name, zone in (("utc", "UTC"), ("tokyo", "Asia/Tokyo")):
        found = days.dt.tz_convert(zone).dt.date.astype(str).value_counts().to_dict()
        assert found == expected[f"impressions_per_{name}_day"]


# --- Series of looks --------------------------------------------------------------------------------------------------


def test_every_series_ends_as_scipy_says(answers):
    expected = answers["asos_dev.csv.gz"]
    rows = pd.read_csv(DATA / "asos_dev.csv.gz")
    assert (len(rows), rows.experiment_id.nunique()) == (expected["rows"], expected["experiments"])
    looks = rows.groupby(["experiment_id", "variant_id", "metric_id"]).size()
    assert (looks.median(), looks.max()) == (expected["looks_median"], expected["looks_max"])
    assert rows.isna().any(axis=1).sum() == expected["nan_rows"]
    p, by_experiment = [], {}
    for series in expected["final_table"]:
        if series["p_z"] is None:  # fifteen end without a variance, so nothing can be said of them
            unknown = {arm: (series[f"mean_{arm}"], float("nan"), int(series[f"count_{arm}"])) for arm in "ct"}
            with pytest.raises(ExperimentError, match="is no estimate"):
                compare_estimates(unknown, control="c")
            continue
        arms = {arm: arm_of(series, arm) for arm in "ct"}
        found = compare(arms, control="c", outcome=Outcome.VALUE)
        assert found.lifts[0].p == pytest.approx(series["p_z"], rel=3e-4, abs=1e-10)
        assert found.lifts[0].absolute == pytest.approx(series["diff"], rel=1e-6, abs=1e-9)
        assert found.sample_ratio.p == pytest.approx(series["srm_p"], rel=1e-6, abs=1e-10)
        p.append(found.lifts[0].p)
        by_experiment.setdefault(series["experiment_id"], []).append(len(p) - 1)
    corrected = np.empty(len(p))
    for members in by_experiment.values():
        corrected[members] = holm(np.array([[p[i] for i in members]]))[0]
    assert (np.array(p) < LEVEL).sum() == expected["final_p_lt_0_05"]
    assert (corrected < LEVEL).sum() == expected["final_holm_in_experiment_lt_0_05"] == 47
    first = [series for series in expected["final_table"] if series["metric_id"] == 1]
    assert len(first) == expected["metric1_series"]
    unfair = [not sample_ratio({arm: int(each[f"count_{arm}"]) for arm in "ct"}, {"c": 1, "t": 1}).ok for each in first]
    assert sum(unfair) == expected["srm_equal_split_p_lt_0_001_metric1"] == 4


def arm_of(series, arm):
    """Moments from count, mean and the sample variance."""
    n, mean, variance = int(series[f"count_{arm}"]), series[f"mean_{arm}"], series[f"variance_{arm}"]
    return PairMoments(n, mean * n, n, variance * (n - 1) + mean**2 * n, n, mean * n)


# --- A log of channels that nobody randomised -------------------------------------------------------------------------


START = datetime(2018, 7, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def touches():
    rows = pd.read_csv(DATA / "attribution_events_dev.csv.gz", parse_dates=["time"])
    return rows.assign(event_id=[f"e{number}" for number in range(len(rows))])


def gathered(touches, plan, arms):
    """Evidence of the log, its impressions in the arms given."""
    shown = touches[touches.interaction == "impression"]
    bought = touches[touches.interaction == "conversion"]
    common = {"delivery": "d", "delivered_at": START}
    impressions = [
        {"event_id": row.event_id, "ts": row.time, "date": row.time.date(), "experiment": plan.experiment,
         "arm": arm, "unit": row.customer_id, "invalid": None, **common}
        for row, arm in zip(shown.itertuples(), arms(shown), strict=True)
    ]  # fmt: skip
    outcomes = [
        {"event_id": row.event_id, "ts": row.time, "date": row.time.date(), "kind": "conversion",
         "unit": row.customer_id, "value_micros": round(row.conversion_value * 1e6), **common}
        for row in bought.itertuples()
    ]  # fmt: skip
    tables = (
        pa.Table.from_pylist(rows, schema=TABLES[name].schema)
        for name, rows in (("impressions", impressions), ("outcomes", outcomes))
    )
    return evidence_of(*tables, plan, START + timedelta(days=32), {})


@pytest.mark.parametrize("days", [1, 7, 30])
def test_as_many_conversions_are_attributed_as_a_last_touch_finds(touches, answers, days):
    expected = answers["attribution_events_dev.csv.gz"]
    plan = Plan("all", "s", "all", (Arm("all", "original"), Arm("none", "x")), START, attribution=Attribution(1, days))
    evidence = gathered(touches, plan, lambda shown: ["all"] * len(shown))
    attributed = expected["conversions"] - expected[f"last_touch_{days}d"]["unattributed"]
    assert evidence.arms["all"].total("conversions") == attributed
    assert evidence.arms["all"].total("impressions") == expected["impressions"]


def test_no_channel_of_a_log_that_nobody_randomised_is_called_a_winner(touches, answers):
    expected = answers["attribution_events_dev.csv.gz"]
    channels = sorted(expected["impressions_by_channel"])
    plan = Plan(
        "channels", "s", channels[0], tuple(Arm(name, name) for name in channels), START,
        metrics=(metric_named("conversion-rate"),), attribution=Attribution(1, 30),
    )  # fmt: skip
    evidence = gathered(touches, plan, lambda shown: shown.channel)
    judgement = judge_look(plan, plan.seal(), evidence, 1)
    assert judgement.verdict.kind is Kind.INVALID
    assert "crossover" in [reason.code for reason in judgement.verdict.reasons]


def test_the_counts_of_the_channels_log(touches, answers):
    expected = answers["attribution_events_dev.csv.gz"]
    shown, bought = (touches[touches.interaction == kind] for kind in ("impression", "conversion"))
    assert (len(touches), touches.customer_id.nunique()) == (expected["rows"], expected["customers"])
    assert shown.channel.value_counts().to_dict() == expected["impressions_by_channel"]
    assert bought.channel.value_counts().to_dict() == expected["conversions_by_own_channel"]
    assert bought.conversion_value.sum() == expected["conversion_value_sum"]
    first = shown.groupby("customer_id").time.min()
    seen = bought.customer_id.map(first)
    assert seen.isna().sum() == expected["conversions_without_any_impression"]
    assert (bought.time < seen).sum() == expected["conversions_before_first_impression"]


def test_the_totals_of_the_three_campaigns(answers):
    rows = pd.read_csv(DATA / "kag_conversion_data.csv.gz")
    found = rows.groupby("xyz_campaign_id").sum(numeric_only=True)
    for campaign, expected in answers["kag_conversion_data.csv.gz"].items():
        for name, value in expected.items():
            assert found.loc[int(campaign), name] == pytest.approx(value, rel=1e-9), (campaign, name)
