"""Samples that are planned have the power that was asked for, where the code that judges experiments judges them."""

import pytest

from benchmarks.calibration import power_against_one_look, simulation_error
from experiments.core.statistics.crowds import DESIGN_EFFECT, RATE, Crowd
from experiments.core.statistics.power import Design, Outcome, plan_for

pytestmark = pytest.mark.calibration

WORLDS = 4000


@pytest.mark.parametrize(("arms", "looks", "lift"), [(2, 1, 0.2), (5, 4, 0.2), (12, 8, 0.3)])
def test_a_planned_sample_finds_what_it_was_planned_for(arms, looks, lift):
    outcome = Outcome(RATE, design_effect=DESIGN_EFFECT, binary=False)
    plan = plan_for(Design(outcome, (1.0,) * arms, looks), lift)
    crowd = Crowd(arms, looks, RATE * plan.sample / arms, lifts=(lift,))
    found = power_against_one_look(crowd, WORLDS)
    print(f"{crowd}: power {found.found:.3f}, mean sample {found.sample:.3f} of {plan.expected / plan.sample:.3f}")
    assert 100 * found.found == pytest.approx(90, abs=4 * simulation_error(90, WORLDS) + 0.5)
    # Looks of uneven weeks stop at other shares of the sample than the even ones that were planned.
    assert found.sample == pytest.approx(plan.expected / plan.sample, abs=0.06)
