"""What counts, said in another way: loops over events as dicts, and small worlds full of trouble for them."""

import random
from collections import Counter, defaultdict
from datetime import timedelta

from experiments.core.evidence import MOST_SEGMENTS, OTHER, UNKNOWN
from experiments.core.statistics.moments import OUTCOMES, PRODUCTS
from experiments.events.schema import DATA_CENTRE, DECLARED_BOT, IMPOSSIBLE_RATE, REPEATED_CLICK

ARMS = ("original", "mosaic", "retired")
DAY = timedelta(days=1)


def left_of(conversion, adjustments):
    """What is left of a conversion's value, as an account keeps it, entry after entry; None where it is gone."""

    def money(event):
        value = event["value_micros"] or 0
        paid = event.get("paid_micros")
        return value, value if paid is None else paid, event.get("currency") or ""

    value, paid, currency = money(conversion)
    back, back_paid, currencies = 0, 0, set()
    for each in sorted(adjustments, key=lambda e: (e["ts"], e["event_id"])):
        if each["value_micros"] is not None and each["value_micros"] >= 0:
            value, paid, currency = money(each)
            back, back_paid, currencies = 0, 0, set()
        elif each["value_micros"] is not None:
            back, back_paid = back - money(each)[0], back_paid - money(each)[1]
            currencies.add(money(each)[2])
    if any(each["value_micros"] is None for each in adjustments):
        return None
    whole = back_paid >= paid if currencies == {currency} else back >= value
    return None if adjustments and whole else max(0, value - back)


class Loops:
    """What counts, by loops: events as dicts, one at a time."""

    def __init__(self, impressions, outcomes, plan, as_of):
        self.click_window = plan.attribution.click_days * DAY
        self.view_window = plan.attribution.conversion_days * DAY
        days = plan.attribution.click_conversion_days
        self.click_counts_for = None if days is None else days * DAY
        self.impressions = impressions
        self.asked_since = plan.start - 7 * DAY
        self.is_own = lambda i: plan.start <= i["ts"] < as_of and i["experiment"] == plan.experiment
        self.shown = [event for event in impressions if self.is_own(event)]
        first_of = {}
        adjusting = {}
        for event in sorted(outcomes, key=lambda e: e["ts"]):
            if event.get("adjusts") is not None:
                if event["ts"] < as_of and event["invalid"] is None:
                    adjusting.setdefault(event["event_id"], event)
            elif self.asked_since <= event["ts"] < as_of:
                first_of.setdefault((event["kind"], event["event_id"]), event)
        self.adjustments = list(adjusting.values())
        known = {
            e["event_id"] for e in outcomes if e["kind"] == "conversion" and not e.get("adjusts") and e["ts"] < as_of
        }
        self.unmatched_adjustments = sum(
            each["adjusts"] not in known and each["ts"] >= plan.start for each in self.adjustments
        )
        self.outcomes = [event for event in first_of.values() if event["ts"] >= plan.start]
        likely = [event for event in self.shown if event["invalid"] is None]
        self.machines = self.too_many(likely, plan.traffic)
        for event in likely:
            if event["unit"] in self.machines:
                self.shown[self.shown.index(event)] = {**event, "invalid": IMPOSSIBLE_RATE}
        valid = [event for event in self.shown if event["invalid"] is None]
        by_unit = defaultdict(list)
        for event in sorted(valid, key=lambda e: (e["ts"], e["event_id"])):
            by_unit[event["unit"]].append(event)
        self.crossover = {unit for unit, seen in by_unit.items() if len({event["arm"] for event in seen}) > 1}
        self.first = {unit: seen[0] for unit, seen in by_unit.items()}
        self.kept = [
            {**event, "arm": self.first[event["unit"]]["arm"], "creative": (event["arm"], event.get("variant"))}
            for event in valid
        ]
        last_click = None if self.click_counts_for is None else self.click_window + self.click_counts_for
        closed = as_of - max(self.view_window, last_click or self.view_window)
        self.mature = {unit for unit, event in self.first.items() if event["ts"] < closed}
        self.cap = plan.cap
        self.clicks_of = defaultdict(list)
        self.unmatched = 0
        self.click_rules = Counter()
        rushed = [event for event in self.shown if event["invalid"] == IMPOSSIBLE_RATE]
        for click in (event for event in self.outcomes if event["kind"] == "click"):
            if click["invalid"]:
                found = self.impression_of(click, self.shown)
                if found:
                    self.click_rules[found["arm"], click["invalid"]] += 1
            elif found := self.impression_of(click, self.kept + rushed):
                if found["invalid"]:
                    self.click_rules[found["arm"], IMPOSSIBLE_RATE] += 1
                else:
                    self.clicks_of[found["event_id"]].append((click["ts"], click["event_id"], found))
            else:
                self.unmatched += not self.explained(click)
        self.invalid_clicks = Counter()
        for (arm, _), count in self.click_rules.items():
            self.invalid_clicks[arm] += count
        firsts = [min(clicks, key=lambda c: c[:2]) for clicks in self.clicks_of.values()]
        self.first_clicks = [click for click in firsts if not self.soon(click, plan.traffic.repeat_seconds)]
        repeated = [click for clicks in self.clicks_of.values() for click in clicks if click not in self.first_clicks]
        self.repeated = len(repeated)
        self.click_rules.update((shown["arm"], REPEATED_CLICK) for _, _, shown in repeated)
        self.conversions, self.by_click, self.withdrawn, self.currencies = [], [], 0, Counter()
        for event in self.outcomes:
            if event["kind"] == "conversion" and event["invalid"] is None:
                clicked = self.click_before(event)
                found = clicked or self.latest(
                    event, [i for i in self.kept if i["unit"] == event["unit"]], self.view_window
                )
                if found:
                    if event["value_micros"] is not None and event.get("paid_micros") is None and event.get("currency"):
                        self.currencies[event["currency"]] += 1
                    left = left_of(event, [each for each in self.adjustments if each["adjusts"] == event["event_id"]])
                    if left is None:
                        self.withdrawn += 1
                        continue
                    self.conversions.append(({**event, "value_micros": left}, found))
                    self.by_click += [self.conversions[-1]] if clicked else []

    def click_before(self, event):
        """The impression of the last click by the unit that is recent enough."""
        if self.click_counts_for is None:
            return None
        own = [
            (moment, shown) for moment, _, shown in self.first_clicks
            if shown["unit"] == event["unit"] and timedelta(0) <= event["ts"] - moment <= self.click_counts_for
        ]  # fmt: skip
        return max(own, key=lambda click: click[0])[1] if own else None

    def too_many(self, shown, traffic):
        """Units with an hour of too much."""
        seen = Counter((event["unit"], event["ts"].replace(minute=0, second=0, microsecond=0)) for event in shown)
        clicked = Counter()
        for click in self.outcomes:
            if click["kind"] == "click" and click["invalid"] is None and (found := self.impression_of(click, shown)):
                clicked[found["unit"], click["ts"].replace(minute=0, second=0, microsecond=0)] += 1
        limits = ((seen, traffic.impressions_an_hour), (clicked, traffic.clicks_an_hour))
        return {unit for counts, limit in limits for (unit, _), n in counts.items() if limit is not None and n > limit}

    def soon(self, click, seconds):
        """Whether any click of the unit on the same creative came so shortly before it."""
        at, name, shown = click
        others = [other for clicks in self.clicks_of.values() for other in clicks]
        return seconds is not None and any(
            (when, other) < (at, name)
            and (of["unit"], of["creative"]) == (shown["unit"], shown["creative"])
            and at - when <= timedelta(seconds=seconds)
            for when, other, of in others
        )

    @staticmethod
    def latest(event, candidates, window):
        before = [i for i in candidates if timedelta(0) <= event["ts"] - i["ts"] <= window]
        return max(before, key=lambda i: (i["ts"], i["event_id"]), default=None)

    def impression_of(self, click, candidates):
        if click["impression_id"] is not None:
            named = [i for i in candidates if i["event_id"] == click["impression_id"]]
        else:
            named = [i for i in candidates if i["unit"] == click["unit"]]
        return self.latest(click, named, self.click_window)

    def explained(self, click):
        if click["unit"] in self.machines or self.impression_of(click, [i for i in self.shown if i["invalid"]]):
            return True
        named = "event_id" if click["impression_id"] is not None else "unit"
        wanted = click["impression_id"] or click["unit"]
        return any(i[named] == wanted for i in self.impressions if i["ts"] >= self.asked_since and not self.is_own(i))

    def segment(self, unit, column):
        """Of its first impression; the largest by name."""
        said = {u: event[column] or UNKNOWN for u, event in self.first.items()}
        sizes = Counter(said.values())
        largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:MOST_SEGMENTS]
        return said[unit] if said[unit] in largest else OTHER

    def money_of_units(self):
        money = Counter()
        for event, shown in self.conversions:
            money[shown["unit"], shown["arm"]] += event["value_micros"] or 0
        return money

    def moments(self, arm, chosen=None):
        """Of all the arm's units, or of those among ``chosen``."""
        units = defaultdict(lambda: dict.fromkeys(OUTCOMES, 0))
        for event in self.kept:
            if event["arm"] == arm:
                units[event["unit"]]["impressions"] += 1
        for _, _, shown in self.first_clicks:
            if shown["arm"] == arm:
                units[shown["unit"]]["clicks"] += 1
        for event, shown in self.conversions:
            if shown["arm"] == arm:
                units[shown["unit"]]["conversions"] += 1
                units[shown["unit"]]["value_micros"] += event["value_micros"] or 0
        for unit in units.values():
            unit["value_micros"] = unit["value_micros"] if self.cap is None else min(unit["value_micros"], self.cap)
        units = {name: unit for name, unit in units.items() if chosen is None or name in chosen}
        sums = tuple(sum(unit[name] for unit in units.values()) for name in OUTCOMES)
        products = tuple(sum(unit[a] * unit[b] for unit in units.values()) for a, b in PRODUCTS)
        return len(units), sums, products

    def daily(self):
        apart = self.click_counts_for is not None
        counts = defaultdict(lambda: [0, 0, 0, 0 if apart else None])
        for event in self.kept:
            counts[event["ts"].date(), event["arm"]][0] += 1
        for moment, _, shown in self.first_clicks:
            counts[moment.date(), shown["arm"]][1] += 1
        for event, shown in self.conversions:
            counts[event["ts"].date(), shown["arm"]][2] += 1
        for event, shown in self.by_click:
            counts[event["ts"].date(), shown["arm"]][3] += 1
        return [(day, arm, *counts[day, arm]) for day, arm in sorted(counts)]

    def last_event(self):
        moments = [event["ts"] for event in self.shown]
        moments += [moment for clicks in self.clicks_of.values() for moment, _, _ in clicks]
        moments += [event["ts"] for event, _ in self.conversions]
        return max(moments, default=None)


def world(seed, start):
    """A few units, few instants and every kind of trouble, so that things collide."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    instants = [start + timedelta(hours=draw.choice((-1, 0, 6, 23, 24, 48, 191))) for _ in range(6)]
    instants += [start + timedelta(hours=draw.uniform(-6, 220)) for _ in range(24)]
    edges = [timedelta(0), timedelta(hours=3), DAY, 7 * DAY, timedelta(microseconds=1), timedelta(microseconds=-1)]
    home = {f"u{n}": draw.choice(ARMS) for n in range(25)}

    def invalid():
        return draw.choice((None,) * 12 + (DECLARED_BOT, DATA_CENTRE))

    impressions = []
    for number in range(150):
        unit = draw.choice(tuple(home))
        arm = home[unit] if draw.random() < 0.97 else draw.choice(ARMS)
        experiment = draw.choice(("spring", "spring", "spring", "autumn"))
        fields = {"ts": draw.choice(instants), "experiment": experiment, "arm": arm, "unit": unit}
        fields["device"] = draw.choice(("phone", "desktop", None))
        fields["placement"] = f"p{round(draw.expovariate(0.1))}"
        fields["variant"] = draw.choice(("v1", "v1", "v2", None))
        impressions.append({"event_id": f"i{number}", "invalid": invalid(), **fields})
    outcomes = {}
    for number in range(200):
        kind = draw.choice(("click", "click", "conversion"))
        of = draw.choice(impressions)
        ts = draw.choice((of["ts"], of["ts"], draw.choice(instants))) + draw.choice(edges) + draw.choice(edges)
        event = {"event_id": f"o{number // 2 if draw.random() < 0.1 else number}", "ts": ts, "kind": kind}
        names = kind == "click" and draw.random() < 0.6
        event["impression_id"] = draw.choice((*[of["event_id"]] * 9, "nowhere")) if names else None
        event["unit"] = None if names and draw.random() < 0.5 else draw.choice((*[of["unit"]] * 9, "stranger"))
        event["value_micros"] = draw.choice((None, 0, 1, 2**53 + 1, 10**15)) if kind == "conversion" else None
        event["invalid"] = invalid()
        outcomes[kind, event["event_id"], event["ts"].date()] = event  # as the lake keeps them: one a day
    for number in range(60):
        of = draw.choice(tuple(outcomes.values()))
        ts = draw.choice((of["ts"], draw.choice(instants), start - DAY)) + draw.choice(edges)
        event = {"event_id": f"a{number // 2 if draw.random() < 0.1 else number}", "ts": ts, "kind": "conversion"}
        event["adjusts"] = draw.choice((*[of["event_id"]] * 9, "nowhere"))
        event["value_micros"] = draw.choice((None, 0, 1, 10**15, -1, -1, -(10**15), -(2**53) - 1))
        event |= {"unit": of["unit"], "impression_id": None, "invalid": invalid()}
        outcomes["adjustment", event["event_id"], event["ts"].date()] = event
    for event in outcomes.values():
        if event["kind"] == "conversion" and draw.random() < 0.3:
            value, factor = event["value_micros"], draw.choice((2, 3))
            event["currency"] = draw.choice(("SEK", "SEK", "DKK"))
            event["paid_micros"] = None if value is None else value * factor
            event["paid_micros"] = draw.choice((*[event["paid_micros"]] * 3, None))
    return impressions, list(outcomes.values())
