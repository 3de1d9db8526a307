import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.core.statistics.spending import BadSpending, Family, Spending

FAMILIES = (Spending(), Spending(Family.POCOCK), Spending(Family.POWER, 3.0), Spending(Family.POWER, 0.5))


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@given(st.floats(1e-9, 0.49), st.lists(st.floats(1e-3, 1), min_size=2, max_size=6))
def test_spending_grows_with_the_plan_to_all_of_alpha(family, alpha, fractions):
    spent = family.spent(alpha, np.sort(fractions))
    assert (np.diff(spent) >= 0).all()
    assert (spent <= alpha * (1 + 1e-9)).all()
    assert family.spent(alpha, 1.0) == pytest.approx(alpha, rel=1e-9)


def test_the_families_are_the_published_ones():
    # D. L. DeMets, K. K. G. Lan, Statist. Med. 13 (1994), table 1: one-sided 0.025 at five even looks.
    fifths = np.arange(1, 6) / 5
    assert Spending().spent(0.025, fifths) == pytest.approx([5.4e-7, 3.9e-4, 0.0038, 0.0122, 0.0250], rel=0.06)
    assert Spending(Family.POCOCK).spent(0.025, fifths) == pytest.approx(
        [0.0074, 0.0131, 0.0177, 0.0216, 0.025], abs=6e-5
    )
    assert Spending(Family.POWER, 1.0).spent(0.025, fifths) == pytest.approx(0.025 * fifths)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_level_is_found_back_from_what_falls_due(family):
    level, before, now = 1e-40, 0.4, 0.7
    due = family.spent(level, now) - family.spent(level, before)
    assert family.log_level(np.log(due), before, now) == pytest.approx(np.log(level), rel=1e-3)


@pytest.mark.parametrize("text", ["obrien_fleming", "pocock", "power:3", "power:0.5"])
def test_a_family_is_read_as_it_is_written(text):
    assert str(Spending.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("pocok", "did you mean 'pocock'"),
        ("haybittle", "choose obrien_fleming, pocock or power:RHO"),
        ("power", "write power:RHO"),
        ("pocock:2", "write power:RHO"),
        ("power:three", "'three' is no number"),
        ("power:0", "above 0 and up to 20"),
        ("power:nan", "above 0 and up to 20"),
    ],
)
def test_what_is_no_family_is_refused_with_advice(text, advice):
    with pytest.raises(BadSpending, match=advice):
        Spending.parse(text)
