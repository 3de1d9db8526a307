"""The expression against the loops (``loops.py``), and each rule by itself."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import duckdb
import pytest

from experiments.core.errors import ExperimentError
from experiments.core.evidence import MOST_SEGMENTS, UNKNOWN
from experiments.core.lifecycle import Dealing
from experiments.core.metrics import metric_named
from experiments.core.plan import UNLIMITED, Attribution, Looks, Traffic
from experiments.core.statistics.moments import UnitMoments
from experiments.events.evidence import evidence_of, gather, whole_days
from experiments.events.schema import DECLARED_BOT, IMPOSSIBLE_RATE
from experiments.store.codec import evidence_document, restore_evidence

DAY = timedelta(days=1)


def totals(evidence, arm="original"):
    moments = evidence.arms[arm]
    return (moments.units, *moments.sums)


def as_tuple(moments):
    return moments.units, moments.sums, moments.products


LIMITS = (Traffic(), Traffic(86_400, 2, None), UNLIMITED, Traffic(86_400, None, 1), Traffic(3600, 2, 1))
"""The usual ones, and such as the units of these small worlds reach."""


def worlds(count, on_spark):
    """So many on DuckDB; on Spark, where each takes seconds, fewer."""
    few = [pytest.param("spark", seed, marks=pytest.mark.spark) for seed in range(on_spark)]
    return pytest.mark.parametrize(
        ("engine", "seed"), [*(("duckdb", seed) for seed in range(count)), *few], indirect=["engine"]
    )


@worlds(15, on_spark=5)
def test_the_expression_says_what_the_loops_say(measure, plan, start, seed, loops, world):
    impressions, outcomes = world(seed, start)
    money = replace(metric_named("revenue-per-unit"), winsorise=(None, 2**53 + 1)[seed % 2])
    chosen = replace(
        plan, attribution=Attribution(1 + seed % 2, (7, 3, 1)[seed % 3], (None, 2, 5)[seed // 2 % 3]), metrics=(money,),
        segments=((), ("device",), ("device", "placement"))[seed % 3], traffic=LIMITS[seed % 5],
    )  # fmt: skip
    as_of = start + timedelta(hours=(36, 100, 192, 240)[seed % 4])
    said = loops(impressions, outcomes, chosen, as_of)
    evidence = measure(impressions, outcomes, as_of, chosen)
    for arm, moments in evidence.arms.items():
        assert as_tuple(moments) == said.moments(arm), arm
        assert as_tuple(evidence.mature[arm]) == said.moments(arm, said.mature), arm
    for each in evidence.segments:
        inside = {unit for unit in said.first if said.segment(unit, each.column) == each.segment}
        assert as_tuple(each.moments) == said.moments(each.arm, inside)
        assert as_tuple(each.mature) == said.moments(each.arm, inside & said.mature)
    found = {(each.column, each.segment) for each in evidence.segments}
    assert found == {(column, said.segment(unit, column)) for unit in said.first for column in chosen.segments}
    assert {event["arm"] for event in said.kept} <= set(evidence.arms)
    found = [(d.day, d.arm, d.impressions, d.clicks, d.conversions, d.by_click) for d in evidence.daily]
    assert found == said.daily()
    health = evidence.health
    assert Counter(health.conversions_by_click) == Counter(shown["arm"] for _, shown in said.by_click)
    assert (health.withdrawn_conversions, health.unmatched_adjustments) == (
        said.withdrawn, said.unmatched_adjustments
    )  # fmt: skip
    assert health.currencies == said.currencies
    assert health.crossover_units == len(said.crossover)
    bots = Counter(event["arm"] for event in said.shown if event["invalid"])
    assert Counter(health.invalid_impressions) == bots
    rules = Counter((event["arm"], event["invalid"]) for event in said.shown if event["invalid"])
    assert {(arm, rule): n for arm, each in health.invalid_rules.items() for rule, n in each.items()} == rules
    assert Counter(health.invalid_clicks) == said.invalid_clicks
    assert {(arm, rule): n for arm, of in health.click_rules.items() for rule, n in of.items()} == said.click_rules
    bot_units = Counter(arm for _, arm in {(e["unit"], e["arm"]) for e in said.shown if e["invalid"]})
    assert Counter(health.invalid_units) == bot_units
    above = [arm for (_, arm), money in said.money_of_units().items() if chosen.cap and money > chosen.cap]
    assert Counter(health.capped_units) == Counter(above)
    assert health.repeated_clicks == said.repeated
    assert health.unmatched_clicks == said.unmatched
    assert health.last_event == said.last_event()
    days = {event["ts"].date() for event in said.shown}
    assert health.days_covered == len(days & set(whole_days(chosen.start, as_of)))


def test_the_worlds_have_what_every_limit_forbids(plan, start, loops, world):
    """Or the loops above would prove nothing of them."""
    for limits, machines, soon in zip(LIMITS[1:], (6, 0, 10, 10), (3, 0, 3, 0), strict=True):
        found = Counter()
        for seed in range(15):
            said = loops(*world(seed, start), replace(plan, traffic=limits), start + timedelta(hours=192))
            clicks = sum(count for (_, rule), count in said.click_rules.items() if rule == IMPOSSIBLE_RATE)
            soon_again = len(said.clicks_of) - len(said.first_clicks)
            found.update(machines=len(said.machines), clicks=clicks, soon=soon_again, people=len(said.first))
        assert (found["machines"] >= machines, found["clicks"] >= machines, found["soon"] >= soon) == (True,) * 3, (
            limits
        )
        assert found["people"] > 300


@worlds(4, on_spark=1)
def test_batches_say_what_the_loops_say(rows, plan, start, engine, seed, loops, world):
    impressions, outcomes = world(seed, start)
    chosen = replace(plan, segments=("device",), looks=Looks(4, 2), traffic=LIMITS[seed])
    as_of = start + timedelta(hours=192)
    dealt = [
        Dealing(start, {"original": 0.5, "mosaic": 0.5}),
        Dealing(start + timedelta(hours=24), {"original": 1.0, "mosaic": 0.0}),
        Dealing(start + timedelta(hours=100), {"original": 0.3, "mosaic": 0.7}),
        Dealing(as_of, {"original": 0.2, "mosaic": 0.8}),
    ]
    tables = rows("impressions", impressions), rows("outcomes", outcomes)
    evidence = evidence_of(*tables, chosen, as_of, {}, dealt=dealt, engine=engine)
    said = loops(impressions, outcomes, chosen, as_of)
    hours = [0, 24, 48, 96, 100, 144, 192]
    assert [(batch.since - start, batch.until - start) for batch in evidence.batches] == [
        (timedelta(hours=a), timedelta(hours=b)) for a, b in pairwise(hours)
    ]
    assert [batch.shares["mosaic"] for batch in evidence.batches] == [0.5, 0.0, 0.0, 0.0, 0.7, 0.7]
    for batch in evidence.batches:
        inside = {unit for unit, event in said.first.items() if batch.since <= event["ts"] < batch.until}
        bots = {(e["unit"], e["arm"]) for e in said.shown if e["invalid"] and batch.since <= e["ts"] < batch.until}
        for arm in evidence.arms:
            assert as_tuple(batch.arms[arm]) == said.moments(arm, inside)
            assert as_tuple(batch.mature[arm]) == said.moments(arm, inside & said.mature)
            assert batch.invalid_units[arm] == sum(shown == arm for _, shown in bots)
        devices = Counter((said.segment(unit, "device"), said.first[unit]["arm"]) for unit in inside)
        found = {(name, arm): n for name, arms in batch.segments["device"].items() for arm, n in arms.items()}
        assert found == dict(devices)
    together = {arm: sum((batch.arms[arm] for batch in evidence.batches), UnitMoments()) for arm in evidence.arms}
    assert together == dict(evidence.arms)
    seen = defaultdict(set)
    for event in said.kept:
        shown = next(e["arm"] for e in impressions if e["event_id"] == event["event_id"])
        since = max(each.since for each in dealt if each.since <= event["ts"])
        seen[event["unit"], since].add(shown)
    assert evidence.health.crossover_units == len({unit for (unit, _), arms in seen.items() if len(arms) > 1})


def test_shares_that_change_later_make_no_batches(rows, plan, start, engine):
    dealt = [Dealing(start, {"original": 0.5, "mosaic": 0.5}), Dealing(start + DAY, {"original": 1.0, "mosaic": 0.0})]
    tables = rows("impressions", []), rows("outcomes", [])
    assert evidence_of(*tables, plan, start + DAY, {}, dealt=dealt, engine=engine).batches == ()
    later = evidence_of(*tables, plan, start + 2 * DAY, {}, dealt=dealt, engine=engine)
    assert [batch.dealt for batch in later.batches] == [True, False]
    assert restore_evidence("spring", later.as_of, {}, json.loads(json.dumps(evidence_document(later)))) == later


def test_daily_counts_add_to_the_totals(measure, start, world):
    evidence = measure(*world(3, start), start + 8 * DAY)
    for arm, moments in evidence.arms.items():
        days = [day for day in evidence.daily if day.arm == arm]
        for place, name in enumerate(("impressions", "clicks", "conversions")):
            assert sum(getattr(day, name) for day in days) == moments.sums[place]


def test_a_column_that_a_table_lacks_is_missing(rows, plan, engine, impression, at):
    shown = rows("impressions", [impression("i1", device="phone")]).drop_columns(["device", "invalid"])
    bought = rows("outcomes", []).drop_columns(["value_micros"])
    evidence = evidence_of(shown, bought, replace(plan, segments=("device",)), at(days=1), {}, engine=engine)
    assert [each.segment for each in evidence.segments if each.moments.units] == [UNKNOWN]


def test_no_events_at_all(measure, start):
    evidence = measure([], [], start + DAY)
    assert list(evidence.arms) == ["original", "mosaic"], "the plan's arms, in the plan's order"
    assert totals(evidence) == (0, 0, 0, 0, 0)
    assert (evidence.daily, evidence.health.last_event, evidence.health.days_covered) == ((), None, 0)


def test_a_unit_seen_in_two_arms_belongs_with_all_it_did_to_the_first(measure, impression, outcome, at):
    shown = [impression("i1", hours=2), impression("i2", arm="mosaic", hours=1), impression("i3", "u2")]
    did = [outcome("c1", impression_id="i1", hours=3), outcome("v1", "conversion", unit="u1", value_micros=5)]
    evidence = measure(shown, did, at(days=1))
    assert evidence.health.crossover_units == 1
    assert totals(evidence) == (1, 1, 0, 0, 0)
    assert totals(evidence, "mosaic") == (1, 2, 1, 1, 5), "the click on the original, too"
    assert [(day.arm, day.clicks) for day in evidence.daily] == [("mosaic", 1), ("original", 0)]


def test_of_two_arms_at_the_same_instant_the_lower_event_id_is_first(measure, impression, at):
    evidence = measure([impression("i2"), impression("i1", arm="mosaic")], [], at(days=1))
    assert (totals(evidence)[0], totals(evidence, "mosaic")[0]) == (0, 1)


def test_a_bot_impression_does_not_choose_the_arm(measure, impression, at):
    shown = [impression("i1", hours=1, invalid=DECLARED_BOT), impression("i2", arm="mosaic", hours=2)]
    evidence = measure(shown, [], at(days=1))
    assert (totals(evidence)[0], totals(evidence, "mosaic")[0]) == (0, 1)
    assert evidence.health.crossover_units == 0


def test_a_unit_is_mature_when_its_first_impressions_window_has_closed(measure, impression, at):
    shown = [impression(f"i{n}", f"u{n}", hours=0, microseconds=n) for n in range(2)]
    shown = [{**event, "ts": at(microseconds=n)} for n, event in enumerate(shown)]
    shown.append(impression("late", "u0", hours=100))
    evidence = measure(shown, [], at(days=7, microseconds=1))
    assert evidence.mature["original"].units == 1
    assert evidence.mature["original"].total("impressions") == 2, "all that the mature unit did, to date"
    assert measure(shown, [], at(days=7)).mature["original"].units == 0, (
        "a conversion at the window's end may still come"
    )
    assert evidence.mature_share() == 0.5


def test_conversion_metrics_read_mature_units_and_click_metrics_all(measure, plan, impression, at):
    evidence = measure([impression("i1"), impression("i2", "u2", hours=30)], [], at(days=7, hours=20))
    assert evidence.pair("original", metric_named("ctr")).units == 2
    assert evidence.pair("original", metric_named("conversion-rate")).units == 1
    assert replace(evidence, mature=None).pair("original", metric_named("conversion-rate")).units == 2


def test_money_is_capped_for_each_unit_not_for_each_order(measure, plan, impression, outcome, at):
    capped = replace(plan, metrics=(replace(metric_named("revenue-per-unit"), winsorise=10),))
    shown = [impression("i1"), impression("i2", "u2"), impression("i3", "u3", "mosaic")]
    bought = [outcome(f"v{n}", "conversion", unit="u1", value_micros=7) for n in range(2)]
    bought += [outcome("v2", "conversion", unit="u2", value_micros=10), outcome("v3", "conversion", unit="u3")]
    evidence = measure(shown, bought, at(days=1), capped)
    assert totals(evidence) == (2, 2, 0, 3, 20)
    assert evidence.arms["original"].product("value_micros", "value_micros") == 200
    assert evidence.health.capped_units == {"original": 1, "mosaic": 0}


def test_a_units_segment_is_that_of_its_first_impression(measure, plan, impression, at):
    shown = [impression("i1", hours=1, device="phone"), impression("i2", hours=2, device="desktop")]
    shown += [impression("i3", "u2", "mosaic")]
    evidence = measure(shown, [], at(days=1), replace(plan, segments=("device", "country")))
    units = {(each.column, each.segment, each.arm): each.moments.units for each in evidence.segments}
    assert units == {
        ("device", UNKNOWN, "original"): 0, ("device", UNKNOWN, "mosaic"): 1,
        ("device", "phone", "original"): 1, ("device", "phone", "mosaic"): 0,
        ("country", UNKNOWN, "original"): 1, ("country", UNKNOWN, "mosaic"): 1,
    }  # fmt: skip


def test_segments_add_to_the_arms(measure, plan, start, world):
    evidence = measure(*world(5, start), start + 8 * DAY, replace(plan, segments=("device", "placement")))
    for arm, moments in evidence.arms.items():
        for column in ("device", "placement"):
            parts = [each for each in evidence.segments if (each.column, each.arm) == (column, arm)]
            assert sum((each.moments for each in parts), UnitMoments()) == moments
            assert sum((each.mature for each in parts), UnitMoments()) == evidence.mature[arm]
    assert len({each.segment for each in evidence.segments if each.column == "placement"}) <= MOST_SEGMENTS + 1


def test_a_declared_bot_neither_counts_nor_makes_a_crossover(measure, impression, outcome, at):
    shown = [impression("i1"), impression("i2", arm="mosaic", invalid=DECLARED_BOT)]
    clicks = [outcome("c1", impression_id="i1", invalid=DECLARED_BOT), outcome("c2", impression_id="i2")]
    evidence = measure(shown, clicks, at(days=1))
    assert totals(evidence) == (1, 1, 0, 0, 0)
    assert evidence.health.invalid_impressions == {"original": 0, "mosaic": 1}
    assert evidence.health.invalid_clicks == {"original": 1, "mosaic": 0}
    assert (evidence.health.crossover_units, evidence.health.unmatched_clicks) == (0, 0)


def test_a_click_belongs_to_the_impression_it_names(measure, impression, outcome, at):
    shown = [impression("i1", hours=1), impression("i2", hours=2), impression("i3", "u2", "mosaic")]
    evidence = measure(shown, [outcome("c1", impression_id="i3", unit="u1", hours=3)], at(days=1))
    assert (totals(evidence)[2], totals(evidence, "mosaic")[2]) == (0, 1)


def test_a_click_without_a_name_belongs_to_its_units_latest_impression(measure, impression, outcome, at):
    shown = [impression("i1", hours=1), impression("i2", hours=4), impression("i3", hours=10)]
    clicks = [outcome("c1", unit="u1", hours=5), outcome("c2", impression_id="i2", hours=6)]
    evidence = measure(shown, clicks, at(days=1))
    assert totals(evidence)[2] == 1, "both are clicks on i2, the first counts"
    assert evidence.health.repeated_clicks == 1


def test_the_click_window_includes_its_end(measure, impression, outcome, at):
    shown = [impression(f"i{n}", f"u{n}", hours=1) for n in range(4)]
    last, too_late = at(hours=25), at(hours=25, microseconds=1)
    clicks = [outcome("c0", impression_id="i0", ts=last), outcome("c1", unit="u1", ts=last)]
    clicks += [outcome("c2", impression_id="i2", ts=too_late), outcome("c3", unit="u3", ts=too_late)]
    evidence = measure(shown, clicks, at(days=3))
    assert totals(evidence)[2] == 2
    assert evidence.arms["original"].product("clicks", "clicks") == 2, "of two units"
    assert evidence.health.unmatched_clicks == 2


def test_a_click_before_its_impression_is_none(measure, impression, outcome, at):
    evidence = measure([impression("i1", hours=2)], [outcome("c1", impression_id="i1", hours=1)], at(days=1))
    assert totals(evidence)[2] == 0
    assert evidence.health.unmatched_clicks == 1


def test_clicks_on_other_experiments_are_not_unmatched(measure, impression, outcome, at):
    shown = [impression("i1"), impression("other", "u2", experiment="autumn")]
    clicks = [outcome("c1", impression_id="other"), outcome("c2", unit="u2"), outcome("c3", impression_id="nowhere")]
    assert measure(shown, clicks, at(days=1)).health.unmatched_clicks == 1


def test_an_impression_that_came_twice_is_elsewhere_too(measure, impression, outcome, at):
    autumn = [impression(name, unit, experiment="autumn") for name, unit in (("i1", "u1"), ("i2", "u3"))]
    late = [outcome("c1", unit="u1", hours=90), outcome("c2", impression_id="i1", hours=90), outcome("c3", unit="u3")]
    assert measure([impression("i1"), *autumn], late, at(days=9)).health.unmatched_clicks == 0
    assert measure([impression("i1")], late, at(days=9)).health.unmatched_clicks == 3


def test_a_click_on_a_bots_impression_is_explained_while_it_may_belong_to_it(measure, impression, outcome, at):
    bots = [impression("i1", invalid=DECLARED_BOT), impression("i2", "u2", invalid=DECLARED_BOT)]
    soon = [outcome("c1", impression_id="i1", hours=25), outcome("c2", unit="u2", hours=25)]
    late = [outcome("c3", impression_id="i1", hours=25.1), outcome("c4", unit="u2", hours=25.1)]
    early = [outcome("c5", impression_id="i1", hours=0.9)]
    assert measure(bots, soon, at(days=9)).health.unmatched_clicks == 0
    assert measure(bots, [*soon, *late, *early], at(days=9)).health.unmatched_clicks == 3


def test_of_two_segments_at_the_same_instant_the_lower_event_id_decides(measure, plan, impression, at):
    shown = [impression("i2", device="phone"), impression("i1", device="desktop"), impression("i0", "u2", device="tv")]
    evidence = measure(shown, [], at(days=1), replace(plan, segments=("device",)))
    units = {each.segment: each.moments.units for each in evidence.segments if each.arm == "original"}
    assert units == {"desktop": 1, "tv": 1}


def test_the_conversion_window_includes_its_end(measure, impression, outcome, at):
    shown = [impression("i1", hours=1), impression("i2", "u2", hours=1)]
    bought = [outcome("v1", "conversion", unit="u1", ts=at(days=7, hours=1), value_micros=5)]
    bought += [outcome("v2", "conversion", unit="u2", ts=at(days=7, hours=1, microseconds=1), value_micros=6)]
    assert totals(measure(shown, bought, at(days=30)))[3:] == (1, 5)


def test_one_conversion_serves_several_experiments(measure, plan, impression, outcome, at):
    shown = [impression("i1"), impression("i2", experiment="autumn")]
    bought = [outcome("v1", "conversion", unit="u1", value_micros=7)]
    for name in ("spring", "autumn"):
        evidence = measure(shown, bought, at(days=1), replace(plan, experiment=name))
        assert totals(evidence) == (1, 1, 0, 1, 7)


def test_an_outcome_that_came_on_two_days_counts_once(measure, impression, outcome, at):
    bought = [outcome("v1", "conversion", unit="u1", hours=hours, value_micros=hours) for hours in (30, 2)]
    assert totals(measure([impression("i1")], bought, at(days=3)))[3:] == (1, 2), "on the first day"


def test_what_came_before_the_start_does_not_count_when_it_comes_again(measure, impression, outcome, at):
    bought = [outcome("v1", "conversion", unit="u1", hours=hours, value_micros=7) for hours in (-20, 30)]
    assert totals(measure([impression("i1")], bought, at(days=3)))[3:] == (0, 0)


def test_money_in_several_currencies_is_told_unless_it_was_converted(measure, impression, outcome, at):
    bought = [
        outcome("v1", "conversion", unit="u1", value_micros=7, currency="EUR"),
        outcome("v2", "conversion", unit="u1", value_micros=80, currency="SEK"),
        outcome("v3", "conversion", unit="u1", value_micros=7, paid_micros=8, currency="USD"),
        outcome("v4", "conversion", unit="u1", currency="GBP"),
        outcome("v5", "conversion", unit="stranger", value_micros=9, currency="CHF"),
    ]
    assert measure([impression("i1")], bought, at(days=3)).health.currencies == {"EUR": 1, "SEK": 1}


def test_money_is_exact_beyond_what_a_float_holds(measure, impression, outcome, at):
    amounts = [2**53 + 1, 2**53 + 1, 2**60 + 1]
    bought = [outcome(f"v{n}", "conversion", unit="u1", value_micros=amount) for n, amount in enumerate(amounts)]
    evidence = measure([impression("i1")], bought, at(days=1))
    moments = evidence.arms["original"]
    assert moments.total("value_micros") == sum(amounts)
    assert moments.product("value_micros", "value_micros") == sum(amounts) ** 2
    assert moments.product("impressions", "value_micros") == sum(amounts)


def test_a_sum_may_have_more_digits_than_64_bits(measure, impression, outcome, at):
    half = 475 * 10**16
    bought = [outcome(f"v{n}", "conversion", unit="u1", value_micros=half) for n in range(2)]
    moments = measure([impression("i1")], bought, at(days=1)).arms["original"]
    assert moments.total("value_micros") == 2 * half > 2**63
    assert moments.product("value_micros", "value_micros") == (2 * half) ** 2


def test_what_is_too_large_even_so_is_refused(measure, impression, outcome, at):
    bought = [outcome(f"v{n}", "conversion", unit="u1", value_micros=9 * 10**18) for n in range(2)]
    with pytest.raises((ExperimentError, duckdb.Error)):  # the square has 39 digits
        measure([impression("i1")], bought, at(days=1))


def test_as_of_is_exclusive_and_the_start_inclusive(measure, impression, at):
    shown = [
        impression("i1", ts=at(hours=0)),
        impression("i2", ts=at(hours=0, microseconds=-1)),
        impression("i3", hours=5),
    ]
    assert totals(measure(shown, [], at(hours=5)))[1] == 1
    assert totals(measure(shown, [], at(hours=5, microseconds=1)))[1] == 2


def test_as_of_in_another_time_zone_is_the_same_instant(measure, start, world):
    impressions, outcomes = world(2, start)
    as_of = start + timedelta(days=4)
    elsewhere = measure(impressions, outcomes, as_of.astimezone(timezone(timedelta(hours=9))))
    assert elsewhere == measure(impressions, outcomes, as_of)
    assert elsewhere.as_of.tzinfo is UTC


def test_an_arm_that_left_the_plan_is_still_shown(measure, impression, at):
    evidence = measure([impression("i1", arm="retired")], [], at(days=1))
    assert list(evidence.arms) == ["original", "mosaic", "retired"]


def test_whole_days_run_from_midnight_to_midnight():
    morning = datetime(2026, 11, 2, 6, tzinfo=UTC)
    assert whole_days(morning, morning + timedelta(days=2)) == (date(2026, 11, 3),)
    assert whole_days(morning.replace(hour=0), morning) == ()
    assert whole_days(morning, morning - DAY) == ()


@pytest.fixture
def deliver(lake, rows):
    """Puts events into the lake as one delivery."""

    def deliver(name, events, delivery):
        lake.begin(name).commit(rows(name, events, delivery), delivery)

    return deliver


def test_evidence_of_an_older_version_is_the_same_after_later_deliveries(lake, deliver, plan, start, world):
    impressions, outcomes = world(3, start)
    as_of = start + 8 * DAY
    deliver("impressions", impressions[::2], "d1")
    deliver("outcomes", outcomes[::2], "d2")
    before = gather(lake, plan, as_of)
    assert before.lake_versions == {"impressions": 1, "outcomes": 1, "rejects": 0}
    deliver("impressions", impressions[1::2], "d3")
    deliver("outcomes", outcomes[1::2], "d4")
    after = gather(lake, plan, as_of)
    assert after.lake_versions == {"impressions": 2, "outcomes": 2, "rejects": 0}
    assert after.arms != before.arms
    assert gather(lake, plan, as_of, before.lake_versions) == before
    assert gather(lake, plan, as_of, {"impressions": 0, "outcomes": 0}).health.last_event is None


def test_the_lake_and_its_tables_in_memory_give_the_same_evidence(lake, deliver, measure, plan, start, world):
    impressions, outcomes = world(7, start)
    deliver("impressions", impressions, "d1")
    deliver("outcomes", outcomes, "d2")
    of_lake = gather(lake, plan, start + 8 * DAY)
    assert replace(of_lake, lake_versions={"impressions": 3}) == measure(impressions, outcomes, start + 8 * DAY)


@pytest.mark.parametrize(
    ("versions", "says"), [({"impresions": 1}, "no table 'impresions'"), ({"outcomes": 9}, "no version 9")]
)
def test_a_table_or_version_that_is_not_there_is_named(lake, plan, start, versions, says):
    with pytest.raises(ExperimentError, match=says):
        gather(lake, plan, start + DAY, versions)
