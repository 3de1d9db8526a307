"""Attribution and maturity, refunds and corrections: thousands of small lakes against the loops, and rule by rule."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.core.plan import Attribution
from experiments.events.evidence import evidence_of
from experiments.store.codec import evidence_document, restore_evidence

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
WINDOWS = (Attribution(1, 1, 30), Attribution(1, 1, 3), Attribution(2, 5, 2), Attribution(1, 3))
LAKES = 500
DAYS = 8
"""So long a small lake is; its instants lie at half days and right beside them, where windows end."""


def instant(draw, start):
    return start + draw.randrange(-1, 2 * DAYS + 1) * DAY / 2 + draw.choice((-1, 0, 0, 0, 1)) * MICROSECOND


def small_lake(draw, start, name):
    """One to three people of one arm, what they saw and did, and what was said of it later; ids begin with its name."""
    units = [f"{name}-u{number}" for number in range(draw.randint(1, 3))]
    impressions = [
        {
            "event_id": f"{name}-i{number}", "ts": instant(draw, start), "experiment": "spring", "arm": name,
            "unit": draw.choice(units), "invalid": draw.choice((None,) * 9 + ("declared_bot",)),
        }
        for number in range(draw.randint(1, 4))
    ]  # fmt: skip
    outcomes = []
    for number in range(draw.randint(0, 4)):
        by_name = draw.random() < 0.6
        of = draw.choice(impressions)
        outcomes.append({
            "event_id": f"{name}-c{number}", "kind": "click", "ts": draw.choice((of["ts"], instant(draw, start))),
            "impression_id": of["event_id"] if by_name else None, "unit": None if by_name else of["unit"],
        })  # fmt: skip
    for number in range(draw.randint(1, 4)):
        value = draw.choice((None, 0, 5, 7, 2**53 + 1))
        outcomes.append({
            "event_id": f"{name}-v{number}", "kind": "conversion", "ts": instant(draw, start),
            "unit": draw.choice(units), "value_micros": value, "currency": draw.choice((None, "SEK")),
            "paid_micros": value and value * draw.choice((1, 11)),
        })  # fmt: skip
    for number in range(draw.choice((0, 0, 1, 2, 3))):
        value = draw.choice((None, 0, 3, 9, -2, -5, -7, -(2**53)))
        outcomes.append({
            "event_id": f"{name}-a{number}", "kind": "conversion", "ts": instant(draw, start),
            "unit": units[0] if number % 2 else None,  # a shop knows the order
            "adjusts": draw.choice([each["event_id"] for each in outcomes if each["kind"] == "conversion"]),
            "value_micros": value, "currency": draw.choice((None, "SEK")), "paid_micros": value and value * 11,
        })  # fmt: skip
    return impressions, [{"impression_id": None, "invalid": None, "value_micros": None, **each} for each in outcomes]


def as_tuple(moments):
    return moments.units, moments.sums, moments.products


def agree(measure, loops, plan, as_of, lakes):
    """All small lakes as one, each being an arm of it; the loops go over each by itself."""
    evidence = measure([i for shown, _ in lakes.values() for i in shown], [o for _, did in lakes.values() for o in did],
                       as_of, plan)  # fmt: skip
    withdrawn = unmatched = 0
    for name, (shown, did) in lakes.items():
        said = loops(shown, did, plan, as_of)
        if name in evidence.arms:
            assert as_tuple(evidence.arms[name]) == said.moments(name), (name, shown, did)
            assert as_tuple(evidence.mature[name]) == said.moments(name, said.mature), (name, shown, did)
            assert evidence.health.conversions_by_click.get(name, 0) == len(said.by_click), (name, shown, did)
        else:
            assert not said.shown
        found = [(d.day, d.arm, d.impressions, d.clicks, d.conversions, d.by_click) for d in evidence.daily
                 if d.arm == name]  # fmt: skip
        assert found == said.daily(), (name, shown, did)
        withdrawn, unmatched = withdrawn + said.withdrawn, unmatched + said.unmatched_adjustments
    assert (evidence.health.withdrawn_conversions, evidence.health.unmatched_adjustments) == (withdrawn, unmatched)
    return evidence


@pytest.mark.parametrize("windows", WINDOWS, ids=str)
def test_many_small_lakes_say_what_the_loops_say(measure, loops, plan, start, windows):
    draw = random.Random(str(windows))  # noqa: S311 - no secret
    lakes = {f"lake{number}": small_lake(draw, start, f"lake{number}") for number in range(LAKES)}
    for days in (DAYS - 3, DAYS + 1):
        evidence = agree(measure, loops, replace(plan, attribution=windows), start + days * DAY, lakes)
        assert evidence.health.withdrawn_conversions > 10
        assert sum(evidence.health.conversions_by_click.values()) > (10 if windows.click_conversion_days else -1)


@pytest.mark.parametrize("engine", ["duckdb"], indirect=True)  # on Spark each takes seconds
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds=st.lists(st.randoms(use_true_random=False), min_size=1, max_size=15), windows=st.sampled_from(WINDOWS))
def test_no_small_lake_is_a_counter_example(measure, loops, plan, start, seeds, windows):
    lakes = {f"lake{number}": small_lake(draw, start, f"lake{number}") for number, draw in enumerate(seeds)}
    agree(measure, loops, replace(plan, attribution=windows), start + DAYS * DAY, lakes)


@pytest.fixture
def result(measure, plan, at):
    """Conversions and money of the original, with the windows 1, 30 and 1 unless told otherwise."""

    def result(shown, did, windows=WINDOWS[0], days=60):
        evidence = measure(shown, did, at(days=days), replace(plan, attribution=windows))
        return evidence.arms["original"].sums[2:], evidence

    return result


@pytest.fixture
def sale(outcome):
    def sale(event_id="v1", value=100, **fields):
        return outcome(event_id, "conversion", **{"unit": "u1", "value_micros": value, **fields})

    return sale


@pytest.fixture
def said(outcome):
    """An adjustment of ``v1``."""

    def said(event_id, value, **fields):
        return outcome(
            event_id, "conversion", value_micros=value, **{"adjusts": "v1", "unit": "u1", "hours": 9, **fields}
        )

    return said


def test_a_click_goes_before_a_later_view(result, impression, outcome, sale):
    shown = [impression("i1", hours=1), impression("i2", hours=50)]
    sums, evidence = result(shown, [outcome("c1", impression_id="i1", hours=2), sale(hours=51)])
    assert sums == (1, 100)
    assert evidence.health.conversions_by_click == {"original": 1, "mosaic": 0}
    assert [day.by_click for day in evidence.daily if day.conversions] == [1]


def test_without_a_click_the_latest_view_has_the_credit(result, impression, sale):
    _, evidence = result([impression("i1", hours=1)], [sale(hours=20)])
    assert evidence.arms["original"].sums[2] == 1
    assert evidence.health.conversions_by_click == {"original": 0, "mosaic": 0}
    assert [day.by_click for day in evidence.daily] == [0]


def test_where_clicks_have_no_window_of_their_own_nobody_tells_them_apart(result, impression, outcome, sale):
    did = [outcome("c1", impression_id="i1", hours=2), sale(hours=20)]
    _, evidence = result([impression("i1", hours=1)], did, Attribution(1, 7))
    assert (evidence.health.conversions_by_click, evidence.daily[0].by_click) == ({}, None)


@pytest.mark.parametrize(("late", "counted"), [(timedelta(0), 1), (MICROSECOND, 0)])
def test_both_windows_include_their_end(result, impression, outcome, sale, at, late, counted):
    shown = [impression("i1", hours=1)]
    assert result(shown, [sale(ts=at(hours=25) + late)])[0] == (counted, 100 * counted), "a view, one day"
    clicked = outcome("c1", impression_id="i1", hours=2)
    assert result(shown, [clicked, sale(ts=at(days=30, hours=2) + late)])[0][0] == counted, "a click, thirty"


def test_an_old_click_leaves_the_credit_to_a_recent_view(result, impression, outcome, sale):
    shown = [impression("i1", hours=1), impression("i2", hours=100)]
    clicked = outcome("c1", impression_id="i1", hours=2)
    _, evidence = result(shown, [clicked, sale(hours=101)], Attribution(1, 1, 3))
    assert evidence.arms["original"].sums[2] == 1
    assert evidence.health.conversions_by_click["original"] == 0


@pytest.mark.parametrize("hours", [0.5, 1.5])
def test_what_came_before_the_first_impression_or_click_is_not_theirs(result, impression, outcome, sale, hours):
    shown = [impression("i1", hours=1)]
    sums, evidence = result(shown, [outcome("c1", impression_id="i1", hours=2), sale(hours=hours)])
    assert sums[0] == (hours > 1), "before any impression: nothing; between impression and click: the view's"
    assert evidence.health.conversions_by_click["original"] == 0


@pytest.mark.parametrize(
    "click",
    [
        {"impression_id": "i1", "invalid": "declared_bot", "hours": 2},
        {"impression_id": "i1", "hours": 26},
        {"impression_id": "nowhere", "hours": 2},
    ],
    ids=["a bot's", "too late after its impression", "of no impression"],
)
def test_only_clicks_that_count_are_touches(result, impression, outcome, sale, click):
    assert result([impression("i1", hours=1)], [outcome("c1", **click), sale(hours=60)])[0] == (0, 0)


def test_a_repeated_click_does_not_open_the_window_again(result, impression, outcome, sale):
    did = [outcome(f"c{hours}", impression_id="i1", hours=hours) for hours in (2, 20)]
    shown, windows = [impression("i1", hours=1)], Attribution(1, 1, 3)
    assert result(shown, [*did, sale(hours=2 + 72)], windows)[0][0] == 1
    assert result(shown, [*did, sale(hours=20 + 72)], windows)[0][0] == 0


def test_the_click_is_its_impressions_units_whoever_says_it(result, impression, outcome, sale):
    did = [outcome("c1", impression_id="i1", unit="u2", hours=2), sale(hours=60), sale("v2", unit="u2", hours=60)]
    assert result([impression("i1", hours=1)], did)[0] == (1, 100)


def test_a_unit_is_mature_when_nothing_more_can_come_of_its_first_impression(measure, plan, impression, outcome, at):
    chosen = replace(plan, attribution=Attribution(1, 2, 5))
    shown = [impression("i1", ts=at(hours=1))]
    end = at(hours=1) + 6 * DAY
    last = [outcome("c1", impression_id="i1", ts=at(hours=25)), outcome("v1", "conversion", unit="u1", ts=end)]
    later = [last[0], {**last[1], "ts": end + MICROSECOND}]

    def mature(did, as_of):
        found = measure(shown, did, as_of, chosen).mature["original"]
        return found.units, found.total("conversions")

    assert mature(last, end) == (0, 0), "the last conversion of the last click may come this very instant"
    assert mature(last, end + MICROSECOND) == (1, 1), "it came, and nothing more can"
    assert mature(later, end + DAY) == (1, 0)
    assert Attribution(1, 30, 5).matures_after == 30, "a view may count for longer than a click"
    assert Attribution(1, 7).matures_after == 7


def test_maturity_does_not_wait_for_what_a_unit_did(measure, plan, impression, outcome, at):
    shown = [impression("i1", hours=1), impression("i2", "u2", hours=1)]
    evidence = measure(shown, [outcome("c1", impression_id="i1", hours=20)], at(days=4, hours=2),
                       replace(plan, attribution=Attribution(1, 1, 3)))  # fmt: skip
    assert evidence.mature["original"].units == 2, "the one who clicked, and the one who did not"


def test_a_refund_takes_its_amount(result, impression, sale, said):
    assert result([impression("i1")], [sale(), said("a1", -30), said("a2", -20)])[0] == (1, 50)


@pytest.mark.parametrize("refunds", [(-100,), (-60, -60), (-1000,)], ids=["whole", "in parts", "too much"])
def test_what_is_refunded_whole_counts_no_more_and_is_never_less_than_nothing(result, impression, sale, said, refunds):
    did = [sale(), sale("v2", 5), *(said(f"a{n}", value) for n, value in enumerate(refunds))]
    sums, evidence = result([impression("i1")], did)
    assert sums == (1, 5)
    assert evidence.health.withdrawn_conversions == 1
    assert [day.conversions for day in evidence.daily] == [1]


def test_a_retraction_is_final(result, impression, sale, said):
    did = [sale(), said("a1", None, hours=3), said("a2", 80, hours=4)]
    assert result([impression("i1")], did)[0] == (0, 0)


def test_the_latest_restatement_counts_and_refunds_after_it(result, impression, sale, said):
    did = [sale(), said("a1", -10, hours=3), said("a2", 70, hours=4), said("a3", 80, hours=5), said("a4", -5, hours=6)]
    assert result([impression("i1")], did)[0] == (1, 75)
    assert result([impression("i1")], [*did, said("a5", 0, hours=7)])[0] == (0, 0)


def test_adjustments_apply_whatever_the_window_and_the_order(result, impression, sale, said, at):
    after = said("a1", -30, ts=at(days=50))
    assert result([impression("i1")], [after, sale()])[0] == (1, 70)
    assert result([impression("i1")], [after, sale()], days=50)[0] == (1, 100), "as of then it had not been said"
    before = said("a1", -30, ts=at(hours=-5))
    assert result([impression("i1")], [before, sale()])[0] == (1, 70), "dated to a midnight before the start"


def test_whose_an_adjustment_is_said_to_be_changes_nothing(result, impression, sale, said):
    """A shop's books know the order and nobody's unit."""
    for unit in ("u1", "stranger", None):
        did = [sale(), said("a1", -30, unit=unit), said("a2", -5, unit=unit, adjusts="v9")]
        sums, evidence = result([impression("i1")], did)
        assert (sums, evidence.health.unmatched_adjustments) == ((1, 70), 1), unit
        assert result([impression("i1")], [*did, said("a3", None, unit=unit)])[0] == (0, 0), unit


def test_adjustments_that_came_twice_count_once(result, impression, sale, said):
    assert result([impression("i1")], [sale(), said("a1", -30), said("a1", -30, hours=40)])[0] == (1, 70)


def test_adjustments_of_unknown_conversions_are_counted(result, impression, outcome, sale, said):
    did = [sale(), outcome("c1", impression_id="i1"), said("a1", -5, adjusts="v9"), said("a2", -5, adjusts="c1")]
    did += [said("a3", -5, adjusts="a4"), said("a4", -5)]
    sums, evidence = result([impression("i1")], did)
    assert sums == (1, 95)
    assert evidence.health.unmatched_adjustments == 3, "of nothing, of a click and of an adjustment"


def test_an_adjusted_conversion_that_is_somebody_elses_is_not_unmatched(result, impression, sale, said):
    _, evidence = result([impression("i1")], [sale(unit="stranger"), said("a1", -5)])
    assert (evidence.health.unmatched_adjustments, evidence.health.withdrawn_conversions) == (0, 0)


def test_whole_is_what_was_paid_in_the_currency_it_was_paid_in(result, impression, sale, said):
    bought = sale(value=100, paid_micros=1000, currency="SEK")
    cheaper = said("a1", -90, paid_micros=-1000, currency="SEK")
    assert result([impression("i1")], [bought, cheaper])[0] == (0, 0), "the krona fell, and all was paid back"
    dearer = said("a1", -110, paid_micros=-990, currency="SEK")
    assert result([impression("i1")], [bought, dearer])[0] == (1, 0), "it rose, and some was not"
    other, pounds = said("a1", -90, paid_micros=-90, currency="EUR"), {"paid_micros": 80, "currency": "GBP"}
    assert result([impression("i1")], [sale(value=100, **pounds), other])[0] == (1, 10), "90 euros are not 90 pounds"


def test_columns_that_came_later_are_missing_from_older_tables(rows, plan, impression, sale, at):
    tables = rows("impressions", [impression("i1")]), rows("outcomes", [sale()])
    older = tables[1].drop_columns(["adjusts", "paid_micros"])
    assert evidence_of(tables[0], older, plan, at(days=9), {}) == evidence_of(*tables, plan, at(days=9), {})


def test_evidence_that_was_recorded_earlier_is_read_as_it_was(result, impression, sale):
    _, evidence = result([impression("i1")], [sale()])
    document = evidence_document(evidence)
    assert restore_evidence("spring", evidence.as_of, evidence.lake_versions, document) == evidence
    for added in ("conversions_by_click", "withdrawn_conversions", "unmatched_adjustments"):
        document["health"].pop(added)
    for day in document["daily"]:
        day.pop("by_click")
    older = restore_evidence("spring", evidence.as_of, evidence.lake_versions, document)
    assert (older.arms, older.daily[0].by_click, older.health.conversions_by_click) == (evidence.arms, None, {})
