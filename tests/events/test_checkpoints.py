"""Evidence that begins with what was found before is the evidence of all events, whatever came, when and in what order.

The worlds are those of the loops (``loops.py``), which the whole expression is held against.
"""

import json
import os
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from experiments.core.lifecycle import Dealing
from experiments.core.metrics import metric_named
from experiments.core.plan import UNLIMITED, Attribution, Traffic
from experiments.events import evidence as gathering
from experiments.events import question, upkeep
from experiments.events.checkpoints import KEPT
from experiments.events.engine import DuckDB
from experiments.events.evidence import evidence_of, gather

HOURS = (48, 100, 240)
LOOSE, STRICT = Traffic(), Traffic(3600, 2, 1)
VARIANTS = (
    {"traffic": LOOSE, "segments": ("device", "placement")},
    {"traffic": STRICT, "attribution": Attribution(2, 1, 5)},
    {"traffic": Traffic(86_400, 2, None), "segments": ("device",), "attribution": Attribution(1, 3, 2)},
    {"traffic": Traffic(5 * 86_400, None, 1), "segments": ("placement",)},
    {"traffic": UNLIMITED, "attribution": Attribution(1, 7, 7)},
)


DEALT = ((), (30, 60, 110), (90, 105))
"""Hours after the start at which the shares changed: between two looks back at what was found, and across them."""


def dealt_at(hours, start):
    """From the start on, and otherwise from each of these instants on; nothing where there are none."""
    shares = ({"original": 0.5, "mosaic": 0.5}, {"original": 0.2, "mosaic": 0.8})
    return [Dealing(start + timedelta(hours=at), shares[n % 2]) for n, at in enumerate((0, *hours))] if hours else []


@pytest.fixture
def begun(monkeypatch):
    """From which instants evidence began in the end, ``None`` for none; however few impressions are worth it."""
    instants = []

    def watched(*asked, known=None, **further):
        found = evidence_of(*asked, known=known, **further)
        instants.append(known.until if known else None)
        return found

    monkeypatch.setattr(gathering, "evidence_of", watched)
    monkeypatch.setattr(gathering, "WORTH", 0)
    return instants


@pytest.fixture
def deliver(lake, rows):
    """Events into the lake, each call a delivery."""
    deliveries = Counter()

    def deliver(impressions=(), outcomes=()):
        for name, events in (("impressions", impressions), ("outcomes", outcomes)):
            deliveries[name] += 1
            if events:
                delivery = f"{name}-{deliveries[name]}"
                lake.begin(name).commit(rows(name, list(events), delivery), delivery)

    return deliver


def same(evidence, other):
    return replace(evidence, lake_versions={}) == replace(other, lake_versions={})


def between(events, since, until):
    return [event for event in events if (since is None or event["ts"] >= since) and event["ts"] < until]


@pytest.mark.parametrize("seed", range(10))
def test_evidence_that_begins_with_what_was_found_is_the_same(
    lake, plan, rows, start, seed, world, deliver, begun, monkeypatch
):
    monkeypatch.setattr(DuckDB, "turns", lambda *_, **__: (1, 2)[seed // 5])
    monkeypatch.setattr(DuckDB, "holds", lambda *_: bool(seed % 2))
    impressions, outcomes = world(seed, start)
    money = replace(metric_named("revenue-per-unit"), winsorise=(None, 2**53 + 1)[seed % 2])
    chosen = replace(plan, metrics=(money,), **VARIANTS[seed % 5])
    dealt = dealt_at(DEALT[seed % 3], start)
    since = None
    for hours in HOURS:
        until = start + timedelta(hours=hours)
        deliver(between(impressions, since, until), between(outcomes, since, until))
        known = between(impressions, None, until), between(outcomes, None, until)
        tables = rows("impressions", known[0]), rows("outcomes", known[1])
        found = gather(lake, chosen, until, dealt=dealt)
        assert same(found, evidence_of(*tables, chosen, until, {}, dealt=dealt)), hours
        since = until
    assert begun[0] is None
    assert all(begun[1:]), "or nothing was begun with"


def test_the_worlds_have_what_is_found_before_and_after(plan, start, loops, world):
    """Or the test above would prove nothing of them: clicks and orders that look back over an instant, machines that
    show themselves after it, people who cross over it, adjustments of earlier orders.
    """
    seen = Counter()
    for seed in range(10):
        impressions, outcomes = world(seed, start)
        chosen = replace(plan, **VARIANTS[seed % 5])
        for before, after in pairwise(HOURS):
            instant = start + timedelta(hours=before)
            then = loops(between(impressions, None, instant), between(outcomes, None, instant), chosen, instant)
            now = loops(impressions, outcomes, chosen, start + timedelta(hours=after))
            seen["machines"] += len(now.machines - then.machines)
            seen["crossed"] += len((now.crossover - then.crossover) & set(then.first))
            seen["clicks"] += sum(shown["ts"] < instant <= moment for moment, _, shown in now.first_clicks)
            seen["orders"] += sum(shown["ts"] < instant <= event["ts"] for event, shown in now.conversions)
            seen["matured"] += len(now.mature - then.mature)
            earlier = {event["event_id"] for event in then.outcomes}
            seen["adjusted"] += sum(each["adjusts"] in earlier and each["ts"] >= instant for each in now.adjustments)
            seen["repeated"] += now.repeated - then.repeated
    assert min(seen.values()) >= 5, seen
    assert len(seen) == 7


@pytest.mark.parametrize("by", ["impressions", "clicks"])
def test_who_turns_out_to_be_a_machine_is_left_out_with_all_that_was_found(
    lake, plan, rows, at, impression, outcome, deliver, begun, by
):
    chosen = replace(plan, traffic=Traffic(30, 3, 2), segments=("device",))
    shown = [
        impression("i1", device="phone"), impression("i2", arm="mosaic", hours=5), impression("i3", "u2"),
        impression("i4", "u2", "mosaic", hours=7),
    ]  # fmt: skip
    did = [
        outcome("c1", impression_id="i1"), outcome("c2", impression_id="i3"),
        outcome("c3", impression_id="i1", hours=3),
        outcome("v1", "conversion", unit="u1", value_micros=7, currency="EUR", hours=6),
        outcome("v2", "conversion", unit="u2", value_micros=9, currency="EUR", hours=6),
    ]  # fmt: skip
    deliver(shown, did)
    assert sum(arm.total("conversions") for arm in gather(lake, chosen, at(days=1)).arms.values()) == 2
    many = 4 if by == "impressions" else 1
    later = [impression(f"l{number}", hours=30 + number / 10) for number in range(many)]
    clicks = [] if by == "impressions" else [outcome(f"d{n}", impression_id="l0", hours=31 + n / 10) for n in range(3)]
    deliver(later, clicks)
    found = gather(lake, chosen, at(days=2))
    tables = rows("impressions", shown + later), rows("outcomes", did + clicks)
    assert same(found, evidence_of(*tables, chosen, at(days=2), {}))
    assert begun[-1]
    left = {arm: (moments.units, *moments.sums) for arm, moments in found.arms.items()}
    assert left == {"original": (1, 2, 1, 1, 9), "mosaic": (0, 0, 0, 0, 0)}
    assert found.health.currencies == {"EUR": 1}
    assert (found.health.crossover_units, found.health.repeated_clicks) == (1, 0)


def test_who_saw_another_arm_since_has_crossed_only_where_the_shares_were_the_same(
    lake, plan, rows, start, at, impression, deliver, begun
):
    dealt = dealt_at((12, 48), start)
    before = {"a": (1,), "b": (1, 20), "c": (1, -2), "d": (1, -20), "e": (1, -20), "f": (20,), "g": (1, 2)}
    since = {"a": (-40,), "b": (-40,), "d": (40,), "e": (-40,), "f": (-50,), "g": (50,), "h": (40, -41)}
    """Hours; where they are negative, of the other arm."""

    def shown(seen):
        return [
            impression(f"{unit}{hours}", unit, ("original", "mosaic")[hours < 0], hours=abs(hours))
            for unit, each in seen.items() for hours in each
        ]  # fmt: skip

    deliver(shown(before))
    assert gather(lake, plan, at(hours=30), dealt=dealt).health.crossover_units == 1, "c"
    deliver(shown(since))
    found = gather(lake, plan, at(days=3), dealt=dealt)
    assert begun[-1]
    assert found.health.crossover_units == 4, "b, c, d and h"
    tables = rows("impressions", shown(before) + shown(since)), rows("outcomes", [])
    assert same(found, evidence_of(*tables, plan, at(days=3), {}, dealt=dealt))


def test_bots_are_of_each_batch_that_they_were_seen_in(lake, plan, rows, start, at, impression, deliver, begun):
    dealt = dealt_at((12, 48), start)
    hours = {"a": (1, 2), "b": (1, 20), "c": (1, 20, 40), "d": (1, 50), "e": (50, 51), "f": (40,)}
    shown = [
        impression(f"{unit}{each}", unit, invalid="declared_bot", hours=each)
        for unit, instants in hours.items() for each in instants
    ]  # fmt: skip
    deliver(between(shown, None, at(hours=30)))
    gather(lake, plan, at(hours=30), dealt=dealt)
    deliver(between(shown, at(hours=30), at(days=3)))
    found = gather(lake, plan, at(days=3), dealt=dealt)
    assert begun[-1]
    assert [batch.invalid_units["original"] for batch in found.batches] == [4, 3, 2]
    assert found.health.invalid_units == {"original": 6, "mosaic": 0}
    tables = rows("impressions", shown), rows("outcomes", [])
    assert same(found, evidence_of(*tables, plan, at(days=3), {}, dealt=dealt))


def test_the_last_view_of_before_has_the_credit_as_long_as_its_window_is_open(
    lake, plan, at, impression, outcome, deliver, begun
):
    chosen = replace(plan, attribution=Attribution(1, 2, None))
    deliver([impression("i1", hours=1), impression("i2", hours=10), impression("i3", "u2", hours=1)])
    gather(lake, chosen, at(days=1))
    hours = {"u1": (57, 58, 59), "u2": (48, 49, 50)}
    bought = [outcome(f"{u}{n}", "conversion", unit=u, hours=n) for u, each in hours.items() for n in each]
    deliver([], bought)
    assert gather(lake, chosen, at(days=4)).arms["original"].total("conversions") == 4
    assert begun[-1]


@pytest.mark.parametrize("by", ["impressions", "clicks"])
def test_an_hour_that_had_begun_before_is_a_whole_hour_to_machines(
    lake, plan, at, impression, outcome, deliver, begun, by
):
    chosen = replace(plan, traffic=Traffic(1, 3, 2))
    instants = (24.1, 24.2, 24.6, 24.7) if by == "impressions" else (24.1,)
    clicks = (
        [] if by == "impressions" else [outcome(f"c{hours}", unit="u1", hours=hours) for hours in (24.2, 24.3, 24.6)]
    )
    shown = [impression(f"i{hours}", hours=hours) for hours in instants]
    instant = at(hours=24.5)
    deliver(between(shown, None, instant), between(clicks, None, instant))
    assert gather(lake, chosen, instant).arms["original"].units == 1
    deliver(between(shown, instant, at(days=2)), between(clicks, instant, at(days=2)))
    assert gather(lake, chosen, at(days=2)).arms["original"].units == 0
    assert begun[-1]


def test_what_came_late_is_counted_and_an_older_checkpoint_serves(lake, plan, start, world, rows, deliver, begun):
    impressions, outcomes = world(1, start)
    first, second, until = (start + timedelta(hours=hours) for hours in HOURS)
    deliver(between(impressions, None, first), between(outcomes, None, first))
    gather(lake, plan, first)
    deliver(between(impressions, first, second), between(outcomes, first, second))
    gather(lake, plan, second)
    late = {**impressions[0], "event_id": "late", "ts": second - timedelta(hours=1), "experiment": "spring"}
    deliver([late, *between(impressions, second, until)], between(outcomes, second, until))
    tables = rows("impressions", [*between(impressions, None, until), late]), rows("outcomes", outcomes)
    assert same(gather(lake, plan, until), evidence_of(*tables, plan, until, {}))
    deliver([], [{**outcomes[0], "event_id": "later", "ts": start, "kind": "click"}])
    gather(lake, plan, until)
    assert begun[:2] == [None, begun[1]]
    assert begun[2] == begun[1] < second, "the newest is worth nothing, the one before is"
    assert begun[3] is None, "what came is older than all of them"


def test_what_comes_late_of_another_experiment_is_read_anyway(
    lake, plan, at, rows, impression, outcome, deliver, begun
):
    shown, clicks = [impression("i1"), impression("i2", "u2")], [outcome("c1", impression_id="a1")]
    deliver(shown, clicks)
    assert gather(lake, plan, at(days=1)).health.unmatched_clicks == 1
    autumn = [impression("a1", "u3", experiment="autumn")]
    deliver([*autumn, impression("i3", hours=30)])
    found = gather(lake, plan, at(days=2))
    assert begun[-1]
    assert found.health.unmatched_clicks == 0, "that one was the other experiment's"
    deliver([impression("i4", hours=1.5)])
    assert gather(lake, plan, at(days=2)).arms["original"].total("impressions") == 4
    assert begun[-1] is None


@pytest.fixture
def halves(lake, plan, start, crowd, begun):
    """A lake with a checkpoint in the middle of its events, the plan, the end, and the tables it is made of."""
    instant, until = start + timedelta(days=4), start + timedelta(days=9)
    tables, later = crowd(3000), []
    for name, table in zip(("impressions", "outcomes"), tables, strict=True):
        early = [event["ts"] < instant for event in table.to_pylist()]
        lake.begin(name).commit(table.filter(early), f"{name}-early")
        later.append((name, table.filter([not each for each in early])))
    gather(lake, plan, instant)
    for name, table in later:
        lake.begin(name).commit(table, f"{name}-late")
    begun.clear()
    return plan, until, tables


def test_files_made_fewer_do_no_harm(lake, halves, begun, monkeypatch):
    plan, until, tables = halves
    monkeypatch.setattr(upkeep, "MANY_FILES", 1)
    assert upkeep.compact(lake, "impressions").files > 0
    assert same(gather(lake, plan, until), evidence_of(*tables, plan, until, {}))
    assert begun[0] is not None


def test_whatever_is_forgotten_takes_all_checkpoints_along(lake, halves, begun):
    plan, until, tables = halves
    unit = tables[0]["unit"][0].as_py()
    assert list(lake.checkpoints.rglob("*.parquet"))
    upkeep.erase(lake, unit)
    assert list(lake.checkpoints.rglob("*.parquet")) == []
    found = gather(lake, plan, until)
    assert begun == [None]
    assert sum(arm.units for arm in found.arms.values()) < sum(
        arm.units for arm in evidence_of(*tables, plan, until, {}).arms.values()
    )
    upkeep.forget(lake, "outcomes", (until - timedelta(days=5)).date())
    assert list(lake.checkpoints.rglob("*.parquet")) == []


def test_what_was_forgotten_of_long_before_is_not_missed(lake, plan, rows, start, at, world, deliver, begun):
    """In a lake of ninety days, something is forgotten every night."""
    old = [start - timedelta(days=days) for days in (40, 8, 7)]
    ids = [("o1", "click"), ("o2", "conversion"), ("o3", "click")]
    shown = [
        {"event_id": f"old{n}", "ts": ts, "experiment": "winter", "arm": "a", "unit": "u"} for n, ts in enumerate(old)
    ]
    did = [{"event_id": name, "kind": kind, "ts": ts} for (name, kind), ts in zip(ids, old, strict=True)]
    deliver(shown, did)
    impressions, outcomes = world(1, start)
    clicks = [
        {"event_id": f"late{n}", "kind": "click", "ts": at(hours=n), "impression_id": f"old{n}"} for n in range(3)
    ]
    instant, until = at(days=2), at(days=9)
    deliver(between(impressions, start, instant), [*between(outcomes, start, instant), *clicks])
    gather(lake, plan, instant)
    deliver(between(impressions, instant, until), between(outcomes, instant, until))
    unmatched = [gather(lake, plan, until).health.unmatched_clicks]
    for name in ("impressions", "outcomes"):
        assert upkeep.forget(lake, name, (start - timedelta(days=7)).date()).rows == 2
    begun.clear()
    found = gather(lake, plan, until)
    assert begun[0] is not None
    lake.forget_checkpoints()
    assert gather(lake, plan, until) == found
    assert begun[1] is None
    assert [found.health.unmatched_clicks] == unmatched, "those of more than a week before explained nothing anyway"
    reject = {"ts": start, "name": "a.csv", "kind": "click", "reason": "ragged", "text": "x"}
    lake.begin("rejects").commit(rows("rejects", [reject]), "rejected")
    assert upkeep.forget(lake, "rejects", until.date()).rows == 1
    assert list(lake.checkpoints.rglob("*.parquet")), "no evidence is made of rejected lines"
    assert upkeep.forget(lake, "impressions", (start - timedelta(days=6)).date()).rows == 1
    assert list(lake.checkpoints.rglob("*.parquet")) == []
    assert gather(lake, plan, until).health.unmatched_clicks == unmatched[0] + 1


def test_a_delivery_that_is_replaced_makes_what_was_found_of_it_worth_nothing(lake, halves, begun, rows, outcome):
    plan, until, _ = halves
    late = rows("outcomes", [outcome("new", ts=until - timedelta(hours=1))], "again")
    lake.begin("outcomes", replacing=["d"]).commit(late, "again")
    gather(lake, plan, until)
    assert begun == [None]


def test_a_lake_with_another_history_begins_anew(lake, halves, begun, rows, impression):
    """Restored from a backup that had no checkpoints in it, and delivered other events since."""
    plan, until, _ = halves
    log = Path(lake.root, "impressions", "_delta_log")
    (log / "00000000000000000002.json").unlink()
    (log / "00000000000000000001.json").unlink()
    for number in range(3):
        lake.begin("impressions").commit(
            rows("impressions", [impression(f"i{number}", "f" * 32, hours=24 * 5)], f"d{number}"), f"d{number}"
        )
    found = gather(lake, plan, until)
    assert begun == [None]
    assert sum(arm.units for arm in found.arms.values()) == 1


def test_an_older_version_or_an_earlier_instant_begins_anew(lake, halves, begun):
    plan, until, tables = halves
    instant = plan.start + timedelta(days=2)
    assert same(gather(lake, plan, instant), evidence_of(*tables, plan, instant, {}))
    before = {"impressions": 0, "outcomes": 0}
    assert gather(lake, plan, until, before).health.last_event is None
    assert begun == [None, None]


@pytest.mark.parametrize("change", [{"segments": ("device",)}, {"traffic": STRICT}, {"attribution": Attribution(2, 7)}])
def test_another_plan_begins_anew(lake, halves, begun, change):
    plan, until, tables = halves
    other = replace(plan, **change)
    assert same(gather(lake, other, until), evidence_of(*tables, other, until, {}))
    assert begun == [None]


def test_shares_that_had_changed_by_then_begin_anew(lake, halves, begun):
    plan, until, tables = halves
    (early, late) = (dealt_at((24 * days,), plan.start) for days in (2, 6))
    for dealt in (late, early, early, late):
        assert same(gather(lake, plan, until, dealt=dealt), evidence_of(*tables, plan, until, {}, dealt=dealt))
    instant = plan.start + timedelta(days=4)
    assert begun[0] is not None, "nothing had changed by then, and no look had been taken"
    assert begun[0] < instant
    assert begun[1] is None
    assert begun[2] > instant, "its own"
    assert begun[3] > instant, "still there"


def test_the_end_of_a_table_is_after_all_of_its_events(lake, rows, impression, at, start):
    assert lake.begin("impressions").end(start).year == 1
    for number, more in enumerate(({"microseconds": 1500}, {"microseconds": 7000}, {"microseconds": 7001})):
        lake.begin("impressions").commit(rows("impressions", [impression("i", ts=at(**more))]), f"d{number}")
        tick = 1 if more["microseconds"] % 1000 else 1000  # what is told in milliseconds may have been more
        expected = max(at(**more) + timedelta(microseconds=tick), at(microseconds=8000 * (number > 0)))
        assert lake.begin("impressions").end(start) == expected
    handle = lake.begin("impressions")
    parts = handle.parts()
    stored = rows("impressions", [impression("i", ts=at(days=1))]).drop_columns(["experiment", "date"])
    pq.write_table(stored, parts.beginning(("spring", str(start.date()))), write_statistics=False)
    handle.commit(parts, "untold")
    assert lake.begin("impressions").end(at(days=5)) == at(days=5), "the log does not tell"


def test_another_definition_begins_anew(lake, halves, begun, monkeypatch, tmp_path):
    plan, until, _ = halves
    other = tmp_path / "rates.py"
    other.write_text("# another one")
    monkeypatch.setattr(question, "DEFINED_BY", (*question.DEFINED_BY, other))
    gather(lake, plan, until)
    assert begun == [None]


@pytest.mark.parametrize("harm", ["cut", "part gone", "nonsense", "told nothing"])
def test_a_damaged_checkpoint_costs_nothing_but_time(lake, halves, begun, harm):
    plan, until, tables = halves
    people = next(lake.checkpoints.rglob("people-*.parquet"))
    told = next(lake.checkpoints.rglob("checkpoint.json"))
    if harm == "cut":
        os.truncate(people, people.stat().st_size // 2)
    elif harm == "part gone":
        people.unlink()
    else:
        told.write_text("{" if harm == "nonsense" else "{}")
    assert same(gather(lake, plan, until), evidence_of(*tables, plan, until, {}))
    assert begun == [None]
    assert same(gather(lake, plan, until), evidence_of(*tables, plan, until, {}))
    assert begun[1] is not None, "it has been replaced"


def test_a_checkpoint_that_cannot_be_written_costs_nothing_but_time(lake, halves, begun):
    plan, until, tables = halves
    lake.forget_checkpoints()
    lake.checkpoints.write_text("a file in its place")
    assert same(gather(lake, plan, until), evidence_of(*tables, plan, until, {}))
    assert begun == [None]


def test_few_are_kept_and_nothing_unfinished(lake, plan, start, world, deliver, begun):
    impressions, outcomes = world(2, start)
    since = None
    for hours in range(24, 24 * (KEPT + 3), 24):
        until = start + timedelta(hours=hours)
        deliver(between(impressions, since, until), between(outcomes, since, until))
        gather(lake, plan, until)
        since = until
        (folder,) = (lake.checkpoints / "spring").iterdir()
        if hours == 72:
            (folder / "unfinished-long-ago").mkdir()
            os.utime(folder / "unfinished-long-ago", (time.time() - 3 * 86_400,) * 2)
            (folder / "unfinished-now").mkdir()
            (lake.checkpoints / "spring" / "an older key").mkdir()
    names = [each.name for each in folder.iterdir()]
    assert "unfinished-now" in names
    assert "unfinished-long-ago" not in names
    assert len(names) == KEPT + 1
    untils = sorted(json.loads(told.read_text())["until"] for told in folder.rglob("checkpoint.json"))
    assert untils == sorted(untils)[-KEPT:]
    assert len(set(untils)) == KEPT


def test_work_that_fails_leaves_nothing_behind(lake, plan, start, deliver, world, begun, monkeypatch):
    impressions, outcomes = world(3, start)
    deliver(impressions, outcomes)

    def failing(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(gathering, "_evidence", failing)
    with pytest.raises(KeyboardInterrupt):
        gather(lake, plan, start + timedelta(days=9))
    assert list(lake.checkpoints.rglob("*.*")) == []


def test_several_at_once_find_the_same(lake, halves):
    plan, until, tables = halves
    found = []
    threads = [threading.Thread(target=lambda: found.append(gather(lake, plan, until))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(same(each, evidence_of(*tables, plan, until, {})) for each in found)


def test_small_lakes_keep_nothing(lake, plan, start, world, deliver, monkeypatch):
    impressions, outcomes = world(4, start)
    deliver(impressions, outcomes)
    gather(lake, plan, start + timedelta(days=9))
    assert not lake.checkpoints.exists()
    monkeypatch.setattr(gathering, "WORTH", 0)
    gather(lake, plan, start + timedelta(days=9))
    assert Path(lake.checkpoints, "spring").is_dir()
