from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma, norm

from experiments.core.statistics import allocation
from experiments.core.statistics.allocation import allocate_means, allocate_rates, top_two
from experiments.core.statistics.floors import FLOOR, BadAllocation, control_floor
from experiments.core.statistics.posterior import best_of_rates


def row(*values):
    return np.array([values], dtype=float)


def rates(y, x, phi=None, **options):
    y, x = row(*y), row(*x)
    return allocate_rates(y, x, np.ones_like(y) if phi is None else row(*phi), **options)[0]


def drawn_top_two(posteriors, rounds, rng):
    """Top-two Thompson sampling as it is told: draw, keep the best, half of the time draw until another is best."""
    shown = np.zeros(len(posteriors))
    draws = np.array([each.rvs(rounds * 20, random_state=rng) for each in posteriors]).argmax(axis=0)
    place = 0
    for _ in range(rounds):
        leader, place = draws[place], place + 1
        if rng.random() < 0.5:
            while draws[place] == leader:
                place += 1
            leader, place = draws[place], place + 1
        shown[leader] += 1
    return shown / rounds


def test_the_shares_are_those_of_the_rule_played_by_draws():
    y, x = np.array([30, 36, 27, 33]), np.array([1000, 1000, 1000, 1000])
    rate = (y.sum() + 0.5) / x.sum()
    posteriors = [gamma((a + 0.5) / 1.3, scale=1.3 / (b + 0.5 / rate)) for a, b in zip(y, x, strict=True)]
    played = drawn_top_two(posteriors, 20_000, np.random.default_rng(7))
    shares = rates(y, x, [1.3] * 4, floor=0.0)
    assert control_floor(4, 0.0) > played[0], "the control is raised to its floor; the others keep their proportions"
    assert shares[0] == control_floor(4)
    assert shares[1:] / shares[1:].sum() == pytest.approx(played[1:] / played[1:].sum(), abs=0.015)


def test_the_shares_for_means_are_those_of_the_rule_played_by_draws():
    mean, variance, units = np.array([5.0, 5.3, 4.9]), np.array([40.0, 40, 40]), np.array([500.0, 500, 500])
    posteriors = [norm(m, np.sqrt(40 / 501)) for m in (500 * mean + mean.mean()) / 501]
    played = drawn_top_two(posteriors, 20_000, np.random.default_rng(8))
    shares = allocate_means(row(*mean), row(*variance), row(*units), floor=0.0)[0]
    assert shares[1] / shares[2] == pytest.approx(played[1] / played[2], rel=0.08)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6))
def test_psi_is_the_published_formula(weights):
    p = np.array(weights) / sum(weights)
    rivals = np.array([[[0 if i == j else p[i] / (1 - p[j]) for i in range(len(p))] for j in range(len(p))]])
    found = top_two(p[None], rivals)[0]
    for i in range(len(p)):
        told = p[i] * (0.5 + 0.5 * sum(p[j] / (1 - p[j]) for j in range(len(p)) if j != i))
        assert found[i] == pytest.approx(told, rel=1e-9)
    assert found.sum() == pytest.approx(1)


tables = st.integers(2, 7).flatmap(
    lambda arms: st.tuples(
        st.lists(st.sampled_from([0, 1, 2, 30, 1000]), min_size=arms, max_size=arms),
        st.lists(st.sampled_from([1000, 1001, 3e5, 1e9]), min_size=arms, max_size=arms),
        st.sampled_from([0.9, 1.65, 5.0]),
    )
)


@given(tables)
def test_every_arm_has_its_floor_the_control_a_larger_one_and_all_shares_add_to_one(given_table):
    y, x, phi = given_table
    shares = rates(y, x, [phi] * len(y))
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert (shares >= FLOOR - 1e-12).all()
    assert shares[0] >= 1 / (1 + np.sqrt(len(y) - 1)) - 1e-12
    assert shares.tolist() == rates(y, x, [phi] * len(y)).tolist(), "the same evidence, the same shares"


@pytest.mark.parametrize("phi", [1.0, 1.65])
@pytest.mark.parametrize("others", [10, 100, 1000])
def test_an_arm_without_clicks_loses_traffic_with_every_impression(others, phi):
    seen = [0, 1, 10, 30, 100, 300, 1000, 10_000, 10**9]
    shares = [rates([others, others, others, 0], [others * 50] * 3 + [x], [phi] * 4)[3] for x in seen]
    assert all(later <= before + 1e-9 for before, later in pairwise(shares))
    assert shares[0] <= 0.25, "unknown, it is given no more than its turn"
    assert shares[4] < 0.6 * shares[0]
    assert shares[6] == pytest.approx(FLOOR), "twenty clicks were to be expected and none came"


def test_one_impression_without_a_click_is_no_evidence_and_no_feast():
    assert rates([10, 10, 0], [1000, 1000, 1])[2] == pytest.approx(rates([10, 10, 0], [1000, 1000, 0])[2], abs=0.01)


def test_arms_that_are_equal_share_equally():
    for y, x in (([0] * 4, [0] * 4), ([0] * 4, [1] * 4), ([7] * 4, [900] * 4), ([10**7] * 4, [10**9] * 4)):
        shares = rates(y, x)
        assert shares[1:] == pytest.approx([(1 - shares[0]) / 3] * 3, rel=1e-6)
    means = allocate_means(np.zeros((1, 4)), np.zeros((1, 4)), row(1000, 1000, 1000, 1))[0]
    assert means[1:] == pytest.approx([means[1]] * 3, rel=1e-6)
    unseen = allocate_means(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 3)))[0]
    assert unseen[1] == pytest.approx(unseen[2])


def test_a_billion_impressions_leave_a_leader_a_rival_and_no_doubt():
    shares = rates([10**7, 1.02 * 10**7, 1.01 * 10**7, 0], [10**9] * 4)
    assert shares[1] == pytest.approx(shares[2]), "the leader's rival is the second best, though its chance underflows"
    assert shares[1] > 0.3
    assert shares[3] == pytest.approx(FLOOR)
    certain = rates([10**7, 0, 0, 0], [10**9] * 4)
    assert certain[0] == pytest.approx(0.5, abs=0.03), "half of the time the leader, whatever the others are"
    assert certain[1:] == pytest.approx([certain[1]] * 3, rel=1e-6)


def test_a_rivals_chance_that_is_rounded_to_nothing_is_asked_for_without_the_leader(monkeypatch):
    def rounded(*sums, **options):
        probability, loss = best_of_rates(*sums, **options)
        return np.where(probability < 1e-9, 0.0, probability), loss

    monkeypatch.setattr(allocation, "best_of_rates", rounded)
    shares = rates([50, 300, 90, 80], [1000] * 4)
    exposure = 1000 + 0.5 / (520.5 / 4000)
    others = best_of_rates(row(50, 90, 80), np.full((1, 3), exposure), np.ones((1, 3)))[0][0]
    assert shares[2:] / shares[1] == pytest.approx(others[1:], abs=1e-9)


def test_where_less_is_better_the_arm_with_less_leads():
    assert rates([50, 50, 20], [1000] * 3, higher_is_better=False)[2] > 0.35
    assert rates([50, 50, 20], [1000] * 3)[2] < 0.05
    assert allocate_means(row(5, 5, 4), row(9, 9, 9), row(99, 99, 99), higher_is_better=False)[0, 2] > 0.35


def test_an_arm_that_never_earned_starves_though_its_units_do_not_differ():
    seen = [1, 30, 100, 1000, 100_000]
    shares = [
        allocate_means(row(2e12, 2e12, 2e12, 0), row(9e24, 9e24, 9e24, 0), row(2000, 2000, 2000, units))[0, 3]
        for units in seen
    ]
    assert all(later <= before + 1e-9 for before, later in pairwise(shares))
    assert shares[0] > 0.1, "one unit without a purchase says nothing"
    assert shares[-2] == pytest.approx(FLOOR)


def test_no_share_changes_by_more_than_the_largest_step():
    previous = row(0.25, 0.25, 0.25, 0.25)
    wanted = rates([10, 60, 10, 0], [1000] * 4)
    stepped = rates([10, 60, 10, 0], [1000] * 4, previous=previous, largest_step=0.1)
    assert np.abs(stepped - 0.25).max() == pytest.approx(0.1)
    assert stepped.sum() == pytest.approx(1)
    assert rates([10, 60, 10, 0], [1000] * 4, previous=previous) == pytest.approx(wanted)
    assert rates([10, 60, 10, 0], [1000] * 4, previous=wanted[None], largest_step=0.1) == pytest.approx(wanted)


def test_groups_are_allocated_in_one_pass():
    y, x = row(10, 20, 0)[0], row(1000, 1000, 500)[0]
    together = allocate_rates(np.stack([y, y[::-1]]), np.stack([x, x[::-1]]), np.ones((2, 3)))
    assert together[0] == pytest.approx(rates(y, x))
    assert together[1] == pytest.approx(rates(y[::-1], x[::-1]))


def test_what_cannot_be_is_refused():
    for y, x, phi in (([-1, 2], [9, 9], [1, 1]), ([1, np.nan], [9, 9], [1, 1]), ([1, 2], [9, np.inf], [1, 1])):
        with pytest.raises(BadAllocation, match="out of range"):
            rates(y, x, phi)
    with pytest.raises(BadAllocation, match="dispersion"):
        rates([1, 2], [9, 9], [1, 0])
    with pytest.raises(BadAllocation, match="no room"):
        rates([1, 2, 3], [9, 9, 9], floor=0.4)
    with pytest.raises(BadAllocation, match="fewer than two"):
        rates([1], [9])
    with pytest.raises(BadAllocation, match="add to 1"):
        rates([1, 2], [9, 9], previous=row(0.5, 0.6))
    with pytest.raises(BadAllocation, match="variance"):
        allocate_means(row(1, 2), row(-1, 1), row(9, 9))
