"""Rules over several events of one unit, each by itself and at its limits; the loops (loops.py) know them all."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from experiments.core.gates import failed_gates
from experiments.core.lifecycle import Dealing
from experiments.core.plan import UNLIMITED, BadPlan, Looks, Traffic
from experiments.events.evidence import evidence_of, gather
from experiments.events.schema import DECLARED_BOT, IMPOSSIBLE_RATE, REPEATED_CLICK
from experiments.store.codec import evidence_document, restore_evidence

AS_OF = timedelta(days=9)
FEW = Traffic(30, 3, 2)


@pytest.fixture
def shown(at):
    """An impression, so many seconds after the first hour began."""

    def shown(event_id, unit="u1", arm="original", *, seconds=0.0, **fields):
        return {"event_id": event_id, "unit": unit, "arm": arm, "ts": at(hours=1, seconds=seconds), **fields}

    return shown


@pytest.fixture
def click(at):
    """A click on the impression of the same number, so many seconds after the first hour began."""

    def click(number, *, seconds, **fields):
        whole = {"event_id": f"c{number}", "kind": "click", "impression_id": f"i{number}", "unit": None}
        return {**whole, "ts": at(hours=1, seconds=seconds), **fields}

    return click


@pytest.fixture
def measure(rows, plan, start):
    """The evidence of these events under these limits."""

    def measure(impressions, outcomes=(), traffic=FEW, **planned):
        tables = rows("impressions", impressions), rows("outcomes", list(outcomes))
        chosen = replace(plan, traffic=traffic, **planned)
        evidence = evidence_of(*tables, chosen, start + AS_OF, {})
        document = json.loads(json.dumps(evidence_document(evidence)))
        assert restore_evidence("spring", evidence.as_of, {}, document) == evidence
        return evidence

    return measure


def counted(evidence, arm="original"):
    """Units, impressions and clicks."""
    return (evidence.arms[arm].units, *evidence.arms[arm].sums[:2])


def test_a_click_soon_after_another_on_the_same_creative_is_the_same_click(measure, shown, click):
    impressions = [shown("i1"), shown("i2")]
    for later, clicks in ((30, 1), (30.000001, 2)):
        evidence = measure(impressions, [click(1, seconds=10), click(2, seconds=10 + later)])
        assert counted(evidence) == (1, 2, clicks), later
        assert evidence.health.repeated_clicks == 2 - clicks
        told = {"original": {REPEATED_CLICK: 1}} if clicks == 1 else {}
        assert evidence.health.click_rules == told
        assert [day.clicks for day in evidence.daily] == [clicks]
    evidence = measure(impressions, [click(1, seconds=10), click(2, seconds=10)])
    assert counted(evidence) == (1, 2, 1), "at the same instant the one of the lower id counts"


def test_what_a_creative_is(measure, shown, click):
    def clicks(*impressions):
        evidence = measure(impressions, [click(number, seconds=10 + number) for number in (1, 2)])
        return sum(each.total("clicks") for each in evidence.arms.values())

    assert clicks(shown("i1", variant="v1"), shown("i2", variant="v1")) == 1
    assert clicks(shown("i1", variant="v1"), shown("i2", variant="v2")) == 2
    assert clicks(shown("i1", variant="v1"), shown("i2")) == 2, "one is not known"
    assert clicks(shown("i1"), shown("i2", arm="mosaic")) == 2, "where no variant is known, the arm that was shown"
    assert clicks(shown("i1", variant="v1"), shown("i2", arm="mosaic", variant="v1")) == 2, "variants are an arm's own"
    assert clicks(shown("i1"), shown("i2", "u2")) == 2, "of two people"


def test_a_burst_of_clicks_is_one_however_long_it_lasts(measure, shown, click):
    impressions = [shown(f"i{number}") for number in range(6)]
    clicks = [click(number, seconds=20 * number) for number in range(5)] + [click(5, seconds=110.5)]
    evidence = measure(impressions, clicks, Traffic(30, None, None))
    assert counted(evidence) == (1, 6, 2), "20 seconds apart, then 30.5"
    again = [click(0, seconds=25, event_id="c0-again"), click(1, seconds=50)]
    evidence = measure(impressions, [click(0, seconds=0), *again], Traffic(30, None, None))
    assert counted(evidence)[2] == 1, "a click that is repeated itself goes on with the burst"
    assert evidence.health.repeated_clicks == 2


def test_how_soon_is_the_plans_to_say(measure, shown, click):
    impressions = [shown("i1"), shown("i2")]
    clicks = [click(1, seconds=10), click(2, seconds=80)]
    assert [counted(measure(impressions, clicks, Traffic(repeat_seconds=n)))[2] for n in (69, 70, None)] == [2, 1, 2]


def test_only_clicks_that_count_for_somebody_make_others_repeated(measure, shown, click):
    impressions = [shown("i1"), shown("i2"), shown("i3", invalid=DECLARED_BOT)]
    clicks = [click(1, seconds=10, invalid=DECLARED_BOT), click(3, seconds=12), click(2, seconds=15)]
    assert counted(measure(impressions, clicks)) == (1, 2, 1)


@pytest.mark.parametrize("count", [360, 361])
def test_more_impressions_in_an_hour_than_a_person_sees(measure, shown, count):
    impressions = [shown(f"i{number}", seconds=number * 9.9) for number in range(count)]
    evidence = measure([*impressions, shown("p", "u2")], traffic=Traffic())
    assert counted(evidence) == ((2, 361, 0) if count == 360 else (1, 1, 0))
    assert evidence.health.invalid_impressions["original"] == (0 if count == 360 else 361)


@pytest.mark.parametrize("count", [60, 61])
def test_more_clicks_in_an_hour_than_a_person_makes(measure, shown, click, count):
    impressions = [shown(f"i{number}", seconds=number * 40) for number in range(count)]
    clicks = [click(number, seconds=4 * 3600 + number * 50) for number in range(count)]
    evidence = measure([*impressions, shown("p", "u2")], clicks, Traffic())
    assert counted(evidence)[:2] == ((2, 61) if count == 60 else (1, 1))
    assert evidence.health.click_rules.get("original", {}).get(IMPOSSIBLE_RATE, 0) == (0 if count == 60 else 61)


def test_hours_are_those_of_the_clock(measure, shown):
    astride = [shown(f"i{number}", seconds=3597 + number) for number in range(6)]
    assert counted(measure(astride)) == (1, 6, 0), "three before the hour and three after it"
    assert counted(measure([*astride, shown("i6", seconds=3599.999999)])) == (0, 0, 0)
    assert counted(measure([*astride, shown("i6", seconds=3599.999999)], traffic=UNLIMITED)) == (1, 7, 0)


def test_a_limit_of_a_plan_is_a_whole_number_or_null():
    with pytest.raises(BadPlan, match="clicks_an_hour of 0 is no limit"):
        Traffic(clicks_an_hour=0)


def test_all_that_a_machine_did_is_left_out_and_told_by_the_arm_it_was_shown(measure, shown, click, at):
    fast = [shown(f"i{number}", "u1", "mosaic", seconds=number, variant=f"v{number}") for number in range(4)]
    slow = [shown("i4", "u1", "original", seconds=86_400), shown("i5", "u2", "original")]
    bought = {"event_id": "v1", "kind": "conversion", "ts": at(hours=30), "unit": "u1", "value_micros": 7}
    clicks = [click(0, seconds=50), click(4, seconds=86_500), click(5, seconds=60)]
    clicks += [click(1, seconds=5 * 86_400, unit="u1"), click(9, seconds=70)]
    clicks += [click(7, seconds=86_600, impression_id=None, unit="u1")]
    clicks += [click(8, seconds=6 * 86_400, impression_id=None, unit="u1")]
    evidence = measure([*fast, *slow], [*clicks, bought], segments=("device",))
    assert (counted(evidence), counted(evidence, "mosaic")) == ((1, 1, 1), (0, 0, 0))
    assert sum(each.total("conversions") for each in evidence.arms.values()) == 0
    assert {(each.arm, each.moments.units) for each in evidence.segments} == {("original", 1), ("mosaic", 0)}
    health = evidence.health
    assert health.invalid_impressions == {"original": 1, "mosaic": 4}
    assert health.invalid_rules == {"original": {IMPOSSIBLE_RATE: 1}, "mosaic": {IMPOSSIBLE_RATE: 4}}
    assert health.invalid_units == {"original": 1, "mosaic": 1}
    assert health.invalid_clicks == {"original": 2, "mosaic": 1}
    assert health.click_rules == {"original": {IMPOSSIBLE_RATE: 2}, "mosaic": {IMPOSSIBLE_RATE: 1}}
    assert health.crossover_units == 0
    assert health.unmatched_clicks == 1, "the one on an impression that nobody knows; the late ones are a machine's"
    assert sum(day.impressions for day in evidence.daily) == 1
    unsaid = measure([*fast, *slow], [*clicks, click(2, seconds=5 * 86_400)])
    assert unsaid.health.unmatched_clicks == 2, "so late a click belongs to no impression, and nobody says whose it is"


def test_a_machine_by_both_limits_is_told_once(measure, shown, click):
    impressions = [shown(f"i{number}") for number in range(4)] + [shown("i4", seconds=86_400), shown("i5", "u2")]
    evidence = measure(impressions, [click(number, seconds=60) for number in range(3)])
    assert counted(evidence) == (1, 1, 0)
    assert evidence.health.invalid_rules == {"original": {IMPOSSIBLE_RATE: 5}}
    assert evidence.health.click_rules == {"original": {IMPOSSIBLE_RATE: 3}}


def test_a_machine_does_not_choose_who_counts_as_the_largest_segments(measure, shown):
    machine = [shown(f"m{unit}-{n}", f"m{unit}", placement="farm") for unit in range(3) for n in range(4)]
    people = [shown(f"p{n}", f"p{n}", placement=f"site{n % 20}") for n in range(40)]
    evidence = measure([*machine, *people], segments=("placement",))
    units = Counter({each.segment: each.moments.units for each in evidence.segments if each.arm == "original"})
    assert units == {f"site{n}": 2 for n in range(20)}


def test_what_ingest_marked_is_not_counted_towards_the_limits(measure, shown, click):
    bots = [shown(f"b{number}", seconds=number, invalid=DECLARED_BOT) for number in range(9)]
    people = [shown(f"i{number}", seconds=number, variant=f"v{number}") for number in range(3)]
    clicks = [click(number, seconds=60, invalid=DECLARED_BOT, event_id=f"d{number}") for number in range(3)]
    clicks += [click(number, seconds=90 + number) for number in range(2)]
    evidence = measure([*bots, *people], clicks)
    assert counted(evidence) == (1, 3, 2)
    assert evidence.health.invalid_rules == {"original": {DECLARED_BOT: 9}}
    assert evidence.health.click_rules == {"original": {DECLARED_BOT: 3}}


def test_a_unit_marked_by_two_rules_is_one_unit_of_its_arm(measure, shown):
    events = [shown(f"i{number}") for number in range(4)] + [shown("b", invalid=DECLARED_BOT)]
    evidence = measure(events)
    assert evidence.health.invalid_units == {"original": 1, "mosaic": 0}
    assert evidence.health.invalid_rules == {"original": {DECLARED_BOT: 1, IMPOSSIBLE_RATE: 4}}


def test_other_experiments_and_times_do_not_make_a_machine(measure, shown):
    events = [shown(f"i{number}") for number in range(3)]
    events += [shown(f"o{number}", experiment="autumn") for number in range(3)]
    events += [shown(f"e{number}", seconds=-3601) for number in range(3)]
    assert counted(measure(events)) == (1, 3, 0)


def test_many_clicks_on_one_impression_make_a_machine_too(measure, shown, click):
    clicks = [click(1, seconds=100 * number, event_id=f"c{number}") for number in range(3)]
    evidence = measure([shown("i1"), shown("i2", "u2")], clicks)
    assert counted(evidence) == (1, 1, 0)
    assert evidence.health.click_rules == {"original": {IMPOSSIBLE_RATE: 3}}
    assert evidence.health.repeated_clicks == 0
    assert counted(measure([shown("i1"), shown("i2", "u2")], clicks[:2])) == (2, 2, 1)


def test_a_rule_that_hits_one_arm_more_makes_the_look_invalid(measure, plan, shown):
    people = [shown(f"p{n}", f"p{n}", ("original", "mosaic")[n % 2]) for n in range(400)]
    machines = [shown(f"m{unit}-{n}", f"m{unit}", "mosaic") for unit in range(20) for n in range(4)]
    evidence = measure([*people, *machines])
    assert evidence.health.invalid_units == {"original": 0, "mosaic": 20}
    assert "invalid_traffic_imbalance" in [reason.code for reason in failed_gates(plan, evidence)]


def test_machines_are_told_in_the_batch_they_were_shown_in(rows, plan, shown, start, at):
    events = [shown(f"i{number}", seconds=number) for number in range(4)]
    events += [shown("late", seconds=3 * 86_400), shown("p", "u2", seconds=3 * 86_400)]
    dealt = [Dealing(start, {"original": 0.5, "mosaic": 0.5}), Dealing(at(days=2), {"original": 0.1, "mosaic": 0.9})]
    tables = rows("impressions", events), rows("outcomes", [])
    chosen = replace(plan, traffic=FEW, looks=Looks(1, 28))
    evidence = evidence_of(*tables, chosen, start + AS_OF, {}, dealt=dealt)
    assert [batch.invalid_units["original"] for batch in evidence.batches] == [1, 1]
    assert [batch.arms["original"].units for batch in evidence.batches] == [0, 1]


def test_what_tells_a_machine_may_come_in_another_file_and_later(lake, rows, plan, shown, start):
    chosen = replace(plan, traffic=FEW)
    halves = [[shown(f"i{number}", seconds=number) for number in numbers] for numbers in (range(3), range(3, 4))]
    lake.begin("impressions").commit(rows("impressions", halves[0], "d1"), "d1")
    before = gather(lake, chosen, start + AS_OF)
    lake.begin("impressions").commit(rows("impressions", halves[1], "d2"), "d2")
    after = gather(lake, chosen, start + AS_OF)
    assert (counted(before), counted(after)) == ((1, 3, 0), (0, 0, 0))
    assert gather(lake, chosen, start + AS_OF, before.lake_versions) == before
    assert counted(gather(lake, chosen, start + timedelta(hours=1, seconds=2.5))) == (1, 3, 0), "before it was one"
