import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import power_proportions_2indep

from experiments.core.plan import Direction
from experiments.core.statistics.power import (
    BadPlan,
    Design,
    Outcome,
    anytime_sample,
    detectable_lift,
    plan_for,
    plan_with,
)
from experiments.core.statistics.spending import Family, Spending

CLICKS = Outcome(0.02)


def test_two_arms_at_one_look_take_what_statsmodels_says():
    plan = plan_for(Design(CLICKS), 0.1)
    found = power_proportions_2indep(0.002, 0.02, plan.sample / 2, alternative="larger", alpha=0.025).power
    assert found == pytest.approx(0.9, abs=2e-4)
    money = plan_for(Design(Outcome(20.0, 50.0), alpha=0.1), 0.05, 0.8)
    assert NormalIndPower().power(20 * 0.05 / 50, money.sample / 2, 0.05, alternative="larger") == pytest.approx(0.8)


@pytest.mark.parametrize(("looks", "inflation"), [(2, 1.002), (5, 1.023)])
def test_more_looks_cost_the_published_inflation(looks, inflation):
    # gsDesign, sfLDOF, one-sided 0.025 with binding nothing, power 90 %: 1.002 and 1.023 or so (maximum over fixed).
    plan = plan_for(Design(CLICKS, looks=looks), 0.1)
    assert plan.sample / plan.fixed == pytest.approx(inflation, abs=4e-3)


@pytest.mark.parametrize("arms", [2, 5, 12])
@pytest.mark.parametrize("looks", [8, 28])
def test_the_default_costs_little_and_saves_much(arms, looks):
    plan = plan_for(Design(CLICKS, (1.0,) * arms, looks), 0.1)
    assert plan.sample <= 1.06 * plan.fixed
    assert plan.expected <= 0.80 * plan.fixed
    assert sum(plan.stops) == pytest.approx(0.9, abs=1e-6)
    assert plan.expected < plan.expected_null <= plan.sample


@pytest.mark.parametrize("arms", [2, 5, 12])
def test_reading_at_any_time_costs_less_than_three_quarters_more(arms):
    design = Design(CLICKS, (1.0,) * arms)
    assert 1.3 < anytime_sample(design, 0.1) / plan_for(design, 0.1).sample < 1.75


def test_several_arms_are_planned_with_the_joint_critical_value():
    design, rng = Design(CLICKS, (2.0, 1.0, 1.0, 1.0)), np.random.default_rng(4)
    plan = plan_for(design, 0.1)
    parts = np.array(plan.per_arm(design.shares))
    rates = 0.02 * np.array([1, 1.1, 1, 1])
    errors = np.sqrt(rates * (1 - rates) / parts)
    means = rates + errors * rng.normal(size=(400_000, 4))
    z = (means[:, 1] - means[:, 0]) / np.hypot(errors[0], errors[1])
    assert (z > design.critical).mean() == pytest.approx(0.9, abs=0.002)


@pytest.mark.parametrize(
    "design",
    [
        Design(CLICKS, (1.0, 1.0, 1.0), 4),
        Design(Outcome(-3.0, 12.0), looks=2),
        Design(Outcome(0.5), direction=Direction.DECREASE, spending=Spending(Family.POCOCK), looks=3),
    ],
)
def test_a_detectable_lift_is_the_one_that_takes_that_sample(design):
    lift = detectable_lift(design, 50_000)
    assert lift * design.sign > 0
    assert plan_for(design, lift).sample == pytest.approx(50_000, rel=1e-6)
    assert plan_with(design, lift, 50_000).power == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize(("margin", "sample"), [(0.0, 5e14), (0.5, 10_000), (0.05, 10_000)])
def test_a_sample_beyond_need_finds_the_smallest_lift_or_a_loss_within_the_margin(margin, sample):
    design = Design(CLICKS, margin=margin)
    lift = detectable_lift(design, sample)
    assert (lift < 0) is (margin == 0.5)
    assert plan_for(design, lift).sample == pytest.approx(sample, rel=1e-5)


def test_clustering_takes_more_and_history_less():
    plain = plan_for(Design(CLICKS), 0.1).sample
    assert plan_for(Design(Outcome(0.02, design_effect=1.65)), 0.1).sample == pytest.approx(1.65 * plain)
    assert plan_for(Design(Outcome(0.02, reduction=0.3)), 0.1).sample == pytest.approx(0.7 * plain)


def test_futility_saves_where_nothing_is_better():
    never = plan_for(Design(CLICKS, looks=5), 0.1)
    giving_up = plan_for(Design(CLICKS, looks=5, beta=0.1), 0.1)
    assert giving_up.expected_null < 0.7 * never.expected_null
    assert giving_up.power == pytest.approx(0.9, abs=1e-6)
    assert giving_up.sample > never.sample, "what is given up by chance must be made up for"


def test_non_inferiority_needs_no_lift():
    same = plan_for(Design(CLICKS, margin=0.05), 0.0)
    z = norm.isf(0.025) + norm.isf(0.1)
    assert same.sample == pytest.approx(2 * (z / (0.02 * 0.05)) ** 2 * 2 * 0.02 * 0.98, rel=1e-6)
    assert plan_for(Design(CLICKS, margin=0.05), -0.02).sample > same.sample


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Outcome(0.0), "cannot be lifted"),
        (lambda: Outcome(2.0), "give it as a share"),
        (lambda: Outcome(float("nan")), "cannot be lifted"),
        (lambda: Outcome(1.0, 0.0), "standard deviation of 0"),
        (lambda: Outcome(3.0, 1e300), "standard deviation of 1e"),
        (lambda: Outcome(1e-200, 1.0), "in the same currency"),
        (lambda: Design(CLICKS, alpha=1e-300), "too small"),
        (lambda: detectable_lift(Design(CLICKS), 1e4, 0.02), "power of 0.02"),
        *(
            (lambda sample=sample: detectable_lift(Design(CLICKS), sample), "a sample of .* is none")
            for sample in (float("nan"), float("inf"), -5.0, 0.0, 1e20)
        ),
        (lambda: Outcome(0.1, design_effect=-1), "design effect"),
        (lambda: Outcome(0.1, reduction=1.0), "variance reduction"),
        (lambda: Design(CLICKS, (1.0,)), "at least one arm"),
        (lambda: Design(CLICKS, looks=0), "0 looks"),
        (lambda: Design(CLICKS, alpha=1.0), "alpha 1"),
        (lambda: Design(CLICKS, margin=1.0), "margin"),
        (lambda: plan_for(Design(CLICKS), 0.0), "no gain"),
        (lambda: plan_for(Design(CLICKS), -0.1), "no gain"),
        (lambda: plan_for(Design(CLICKS), 0.1, 0.01), "power of 0.01"),
        (lambda: plan_for(Design(Outcome(0.6)), 0.9), "would take a rate of 0.6 to 1.14"),
        (lambda: plan_for(Design(CLICKS), 1e-9), "ask for a larger one"),
        (lambda: plan_with(Design(CLICKS), 0.1, 0), "sample of 0"),
        (lambda: detectable_lift(Design(Outcome(0.5)), 6), "cannot find any lift"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(make, said):
    with pytest.raises(BadPlan, match=said) as refusal:
        make()
    assert "\n" not in str(refusal.value)
