"""The simulated audience: who comes, what they are shown, what they do.

Only people are simulated: which arm they see is asked of the real assignment.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray

from experiments.core.assignment import assign_many
from experiments.core.seeds import seed_for
from experiments.core.statistics.worlds import World

NEWCOMERS = 9_000
"""New people a week, per experiment."""
RETURNING = 0.25
"""Chance that someone of an earlier week comes again in this one."""
EXTRA_VISITS = 0.6
"""Mean visits a week beyond the first."""
CONVERSION_SHARE = 0.08
"""Of those who click."""
BASKET = 38.0
"""Median order value in currency units."""
SLOTS = ("300x250", "728x90", "1080x1080")
AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Version/19.1 Mobile Safari/604.1",
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_6) AppleWebKit/605.1.15 Version/19.1 Safari/605.1.15",
)
BOT_AGENT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
BOT_VISITS = 120
WEEK_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Serving:
    """What the ad server was told for one experiment and one week, and the truth it does not know."""

    experiment: str
    salt: str
    weights: Mapping[str, float]
    world: World


@dataclass(frozen=True, slots=True)
class Events:
    """Columns of one kind of event, equally long."""

    columns: Mapping[str, NDArray[np.str_]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self, mask: NDArray[np.bool_]) -> "Events":
        """The rows where ``mask`` is true."""
        return Events({name: values[mask] for name, values in self.columns.items()})

    def csv_lines(self) -> list[str]:
        """One line a row; no value of ours holds a comma or a quote, agents are quoted for theirs."""
        columns = [
            np.char.add(np.char.add('"', values), '"') if name == "user_agent" else values
            for name, values in self.columns.items()
        ]
        return [",".join(row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def json_lines(self) -> list[str]:
        """One object a row."""
        names = list(self.columns)
        rows: Iterator[tuple[str, ...]] = zip(*(values.tolist() for values in self.columns.values()), strict=True)
        return [json.dumps(dict(zip(names, row, strict=True))) for row in rows]


@dataclass(frozen=True, slots=True)
class Audience:
    """Everybody who may ever see one experiment; who is given to clicking stays so from week to week."""

    seed: int
    appetites: NDArray[np.float64]
    """One a person, mean 1."""

    @classmethod
    def draw(cls, serving: Serving, seed: int, weeks: int) -> Self:
        """The people of one experiment; the same seed, the same people."""
        own = seed_for("audience", str(seed), serving.experiment)
        return cls(own, serving.world.draw_appetites(np.random.default_rng(own), NEWCOMERS * weeks))

    def of_week(self, week: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Who comes in week 0, 1, ...: person numbers and their visits; newcomers and some of those who came before."""
        earlier = np.flatnonzero(rng.random(NEWCOMERS * week) < RETURNING)
        people = np.concatenate([earlier, np.arange(NEWCOMERS * week, NEWCOMERS * (week + 1))])
        return people, 1 + rng.poisson(EXTRA_VISITS, len(people))


def week_of_events(audience: Audience, serving: Serving, week: int, monday: datetime) -> tuple[Events, Events, Events]:
    """Impressions, clicks and conversions of one experiment in week 0, 1, ..."""
    rng = np.random.default_rng([audience.seed, week])
    people, visits = audience.of_week(week, rng)
    names = np.char.add(f"{serving.experiment}-", people.astype(str))
    assignment = assign_many(serving.salt, names.tolist(), serving.weights)
    visitor = rng.permutation(np.repeat(np.arange(len(people)), visits))
    count = len(visitor)
    arms = assignment.arms.astype(str)[visitor]
    clicked = rng.random(count) < serving.world.click_probability(arms, audience.appetites[people[visitor]])

    shown_at = np.sort((rng.uniform(0, WEEK_SECONDS, count) * 1e6).astype(np.int64))
    ids = np.char.add(f"{serving.experiment}-w{week + 1}-", np.arange(count).astype(str))
    agents = np.asarray(AGENTS)[people[visitor] % len(AGENTS)]
    impressions = Events(
        {
            "event_id": ids,
            "ts": instants(monday, shown_at),
            "experiment": np.full(count, serving.experiment),
            "arm": arms,
            "unit": names[visitor],
            "slot": np.asarray(SLOTS)[rng.integers(len(SLOTS), size=count)],
            "propensity": np.char.mod("%.6f", np.asarray(assignment.propensities)[visitor]),
            "user_agent": agents,
        }
    )
    hits = np.flatnonzero(clicked)
    clicked_at = shown_at[hits] + 800_000 + rng.exponential(20e6, len(hits)).astype(np.int64)
    clicks = Events(
        {
            "event_id": np.char.add("c-", ids[hits]),
            "ts": instants(monday, clicked_at),
            "impression_id": ids[hits],
            "user_agent": agents[hits],
        }
    )
    buys = np.flatnonzero(rng.random(len(hits)) < CONVERSION_SHARE)
    bought_at = clicked_at[buys] + rng.exponential(3600e6, len(buys)).astype(np.int64)
    conversions = Events(
        {
            "event_id": np.char.add("o-", ids[hits][buys]),
            "ts": instants(monday, bought_at),
            "unit": names[visitor][hits][buys],
            "click_id": np.char.add("c-", ids[hits][buys]),
            "action": np.full(len(buys), "purchase"),
            "value": np.char.mod("%.2f", BASKET * np.exp(rng.normal(0, 0.5, len(buys)))),
            "currency": np.full(len(buys), "EUR"),
        }
    )
    return impressions, clicks, conversions


def bot_visits(serving: Serving, week: int, monday: datetime) -> tuple[Events, Events]:
    """A crawler that says what it is, comes every hour or so, and follows every link."""
    unit = f"{serving.experiment}-crawler"
    assignment = assign_many(serving.salt, [unit], serving.weights)
    shown_at = np.linspace(0, WEEK_SECONDS - 60, BOT_VISITS).astype(np.int64) * 1_000_000
    ids = np.char.add(f"{serving.experiment}-bot-w{week + 1}-", np.arange(BOT_VISITS).astype(str))
    every = [
        np.full(BOT_VISITS, value) for value in (serving.experiment, assignment.arms[0], unit, SLOTS[0], BOT_AGENT)
    ]
    propensity = np.full(BOT_VISITS, f"{assignment.propensities[0]:.6f}")
    shown = (ids, instants(monday, shown_at), *every[:4], propensity, every[4])
    names = ("event_id", "ts", "experiment", "arm", "unit", "slot", "propensity", "user_agent")
    clicked = (np.char.add("c-", ids), instants(monday, shown_at + 1_000_000), ids, every[4])
    return (
        Events(dict(zip(names, shown, strict=True))),
        Events(dict(zip(("event_id", "ts", "impression_id", "user_agent"), clicked, strict=True))),
    )


def concatenate(parts: Sequence[Events]) -> Events:
    """All events of one kind in the order of time."""
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    order = np.argsort(columns["ts"], kind="stable")
    return Events({name: values[order] for name, values in columns.items()})


def instants(monday: datetime, micros: NDArray[np.int64]) -> NDArray[np.str_]:
    """RFC 3339 in UTC with microseconds; text order is time order."""
    start = np.datetime64(monday.replace(tzinfo=None), "us")
    return np.char.add(np.datetime_as_string(start + micros.astype("timedelta64[us]"), unit="us"), "Z")
