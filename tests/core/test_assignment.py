"""Assignment: the published vectors, and the properties that make it fair, stable and independent."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from experiments.core import assignment
from experiments.core.assignment import BadWeights, assign, assign_many

VECTORS = Path(__file__).parent / "assignment_vectors.csv"
CHANCE = 1e-6
"""The salts are fixed, so a p-value is too: a test passes or fails for good. Below this, something is wrong."""

weights = st.dictionaries(
    st.text(min_size=1, max_size=8), st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=8
).filter(lambda drawn: max(drawn.values()) > 1e-3)  # fmt: skip


def vectors() -> list[dict[str, str]]:
    with VECTORS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def weights_of(text: str) -> dict[str, float]:
    return {name: float(weight) for name, weight in (entry.split("=") for entry in text.split(";"))}


def units(count: int) -> list[str]:
    return [f"unit-{number}" for number in range(count)]


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: f"{vector['salt']}/{vector['unit'][:20]}")
def test_published_vectors(vector):
    shares = weights_of(vector["weights"])
    found = assign(vector["salt"], vector["unit"], shares)
    assert (found.arm, repr(found.propensity)) == (vector["arm"], vector["propensity"])
    many = assign_many(vector["salt"], [vector["unit"]], shares)
    assert (many.arms[0], many.propensities[0]) == (found.arm, found.propensity)
    hashing = assignment._hasher(vector["salt"], min(shares)).copy()
    hashing.update(vector["unit"].encode())
    assert hashing.hexdigest() == vector["hash_of_first_arm"]


@given(st.text(), st.lists(st.text(), max_size=20), weights)
def test_one_and_many_agree(salt, ids, shares):
    many = assign_many(salt, ids, shares)
    singly = [assign(salt, unit, shares) for unit in ids]
    assert many.arms.tolist() == [each.arm for each in singly]
    assert many.propensities.tolist() == [each.propensity for each in singly]


def test_blocks_do_not_show(monkeypatch):
    ids, shares = units(1000), {"a": 1.0, "b": 2.0}
    whole = assign_many("salt", ids, shares).arms.tolist()
    monkeypatch.setattr(assignment, "_BLOCK", 7)
    assert assign_many("salt", iter(ids), shares).arms.tolist() == whole


@given(st.text(), st.text(), weights, st.randoms(use_true_random=False))
def test_the_order_and_scale_of_weights_do_not_matter(salt, unit, shares, random):
    names = list(shares)
    random.shuffle(names)
    found = assign(salt, unit, shares)
    assert assign(salt, unit, {name: shares[name] * 4 for name in names}) == found
    assert shares[found.arm] > 0
    assert 0 < found.propensity <= 1


@given(st.text(), weights, st.data())
@settings(max_examples=50, deadline=None)
def test_only_as_many_move_as_must(salt, shares, data):
    """Raising one arm's weight (or adding the arm) moves units to it and between no others."""
    arm = data.draw(st.sampled_from(sorted(shares)) | st.text(min_size=1, max_size=8))
    raised = shares | {arm: shares.get(arm, 0.0) + data.draw(st.floats(0.001, 1e6))}
    before, after = (assign_many(salt, units(200), each).arms for each in (shares, raised))
    assert set(after[before != after].tolist()) <= {arm}


def test_as_many_move_as_the_shares_say():
    ids = units(100_000)
    before = assign_many("salt", ids, {"a": 1, "b": 1, "c": 1}).arms
    after = assign_many("salt", ids, {"a": 1, "b": 1, "c": 1, "d": 1}).arms
    assert abs(np.mean(before != after) - 0.25) < 0.01  # cumulative edges would move half


@pytest.mark.parametrize("shares", [[1, 1], [0.7, 0.2, 0.1], [0.04, 0.96], [1] * 12, [1, 2, 4, 8, 16]])
def test_shares_are_what_the_weights_say(shares):
    ids = units(100_000)
    names = [f"arm-{number}" for number in range(len(shares))]
    found = assign_many("calibration", ids, dict(zip(names, shares, strict=True))).arms
    counts = [np.count_nonzero(found == name) for name in names]
    assert chisquare(counts, np.array(shares) / sum(shares) * len(ids)).pvalue > CHANCE


def test_an_arm_of_a_twenty_thousandth_gets_its_share():
    found = assign_many("rare", units(400_000), {"original": 0.99995, "rare": 0.00005})
    counts = [np.count_nonzero(found.arms == name) for name in ("original", "rare")]
    assert chisquare(counts, [399_980, 20]).pvalue > CHANCE
    assert found.propensities[found.arms == "rare"].tolist() == [pytest.approx(0.00005)] * counts[1]


def test_salts_are_independent():
    ids, shares = units(200_000), {"a": 0.5, "b": 0.3, "c": 0.2}
    first, second = (assign_many(salt, ids, shares).arms for salt in ("spring-sale", "spring-sale-2"))
    table = [[np.count_nonzero((first == one) & (second == other)) for other in shares] for one in shares]
    assert chi2_contingency(table).pvalue > CHANCE


def test_consecutive_units_are_independent():
    found = assign_many("runs", units(200_000), {"a": 1, "b": 1}).arms
    pairs = [[np.count_nonzero((found[:-1] == one) & (found[1:] == other)) for other in "ab"] for one in "ab"]
    assert chi2_contingency(pairs).pvalue > CHANCE


@pytest.mark.parametrize(
    "shares",
    [
        {},
        {"a": 0.0},
        {"a": -1.0},
        {"a": float("nan")},
        {"a": float("inf"), "b": 1.0},
        {"a": 1.0, "b": -0.5},
        {"a": 1e16},
    ],
)
def test_weights_that_give_no_shares_are_refused(shares):
    with pytest.raises(BadWeights):
        assign("salt", "unit", shares)
    with pytest.raises(BadWeights):
        assign_many("salt", ["unit"], shares)


def test_extreme_weights():
    assert assign("salt", "unit", {"a": 1e15, "b": 1e15, "c": 1e15}).propensity == pytest.approx(1 / 3)
    assert {assign("salt", unit, {"a": 1.0, "b": 5e-324}).arm for unit in units(100)} == {"a"}


def test_a_lone_surrogate_is_an_id_too():
    assert assign("salt", "\ud800", {"a": 1.0, "b": 1.0}).arm in {"a", "b"}
