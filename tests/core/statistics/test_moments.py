from hypothesis import given
from hypothesis import strategies as st

from experiments.core.statistics.moments import OUTCOMES, UNITS, PairMoments, UnitMoments

counts = st.integers(0, 2**70)
pairs = st.lists(st.tuples(counts, counts), max_size=12)
people = st.lists(st.tuples(*(counts for _ in OUTCOMES)), max_size=6)


def moments_of(units):
    total = UnitMoments()
    for unit in units:
        products = [a * b for i, a in enumerate(unit) for b in unit[i:]]
        total += UnitMoments(1, tuple(unit), tuple(products))
    return total


@given(pairs, pairs)
def test_moments_of_the_whole_are_the_sum_of_the_parts_exactly(left, right):
    assert PairMoments.of(left) + PairMoments.of(right) == PairMoments.of(left + right)


@given(pairs, pairs, pairs)
def test_addition_neither_minds_order_nor_grouping(a, b, c):
    a, b, c = map(PairMoments.of, (a, b, c))
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + PairMoments() == a


@given(people, people)
def test_unit_moments_add_like_their_units(left, right):
    assert moments_of(left) + moments_of(right) == moments_of(left + right)


@given(people, st.sampled_from(OUTCOMES), st.sampled_from((*OUTCOMES, UNITS)))
def test_a_pair_taken_from_unit_moments_is_the_pair_of_those_units(units, numerator, denominator):
    def value(unit, outcome):
        return 1 if outcome == UNITS else unit[OUTCOMES.index(outcome)]

    expected = PairMoments.of((value(unit, numerator), value(unit, denominator)) for unit in units)
    assert moments_of(units).pair(numerator, denominator) == expected


@given(people, st.sampled_from((*OUTCOMES, UNITS)), st.sampled_from((*OUTCOMES, UNITS)))
def test_a_product_does_not_mind_which_outcome_is_named_first(units, left, right):
    moments = moments_of(units)
    assert moments.product(left, right) == moments.product(right, left)
