"""What evidence asks of an engine: a form, which decides the words, and the values that stand in them.

To load Ibis and to put the evidence expression into SQL takes seconds, ten times what DuckDB then takes for a small
lake. The words are the same for all experiments that are planned alike, at each look; only names and instants differ.
So these have names in the expression, and what was put into SQL once is kept (`statements`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from experiments.core.plan import Attribution, Plan, Traffic

if TYPE_CHECKING:  # it is loaded where an expression is made
    import ibis.expr.types as ir

MONEY = ("value_micros", "paid_micros", "currency")
"""A conversion's value in the reporting currency, and what was paid in which currency, where that is another."""
READ = {
    "impressions": (
        "event_id", "ts", "experiment", "arm", "unit", "variant", "device", "placement", "country", "invalid",
    ),
    "outcomes": ("event_id", "ts", "kind", "impression_id", "unit", *MONEY, "adjusts", "invalid"),
}  # fmt: skip
"""The tables evidence is computed from, and their columns."""
LOOKS_BACK = timedelta(days=7)
"""Before the start, for events that come again after it, and for impressions that later clicks belong to."""
EXPERIMENT, START, AS_OF, KNOWN_UNTIL = "experiment", "start", "as_of", "known_until"
"""Names of values."""
Value: TypeAlias = str | datetime

_HERE = Path(__file__).parent
DEFINED_BY = (
    *(
        _HERE / f"{name}.py"
        for name in (
            "adjustments", "attribution", "expression", "facts", "kept", "numbers", "past", "people", "question",
            "rates", "schema", "values",
        )
    ),
    *(_HERE.parent / "core" / f"{name}.py" for name in ("evidence", "plan", "statistics/moments")),
)  # fmt: skip
"""The modules that say what counts."""


@dataclass(frozen=True, slots=True)
class Divisions:
    """Where an experiment's time is divided, because units were dealt otherwise: instants in order."""

    batches: tuple[datetime, ...] = ()
    """Where the second batch begins, the third ...; none where there are no batches."""
    changes: tuple[datetime, ...] = ()
    """Those of them, or others, at which the arms' shares changed."""

    def before(self, instant: datetime) -> Self:
        """What of it was known by then, for good."""
        both = (self.batches, self.changes)
        return type(self)(*(tuple(each for each in instants if each < instant) for instants in both))


@dataclass(frozen=True, slots=True)
class Form:
    """All that decides how evidence is asked for, but the values."""

    segments: tuple[str, ...]
    attribution: Attribution
    traffic: Traffic
    cap: int | None
    """On money."""
    batches: int = 0
    """How many begin after the first."""
    changes: int = 0
    """How often the arms' shares changed."""
    turns: int = 1
    """In which units are told apart (`people.people_of`); the facts are the same."""
    knows: bool = False
    """Whether it begins with what was found before (`past`); the facts are the same."""
    holds: bool = False
    """Whether impressions since then are held, for they are read several times; the facts are the same."""


@dataclass(frozen=True, slots=True)
class Question:
    """What evidence asks of an engine."""

    form: Form
    values: Mapping[str, Value]

    @classmethod
    def of(
        cls,
        plan: Plan,
        as_of: datetime,
        *,
        divided: Divisions = Divisions(),
        turns: int = 1,
        known_until: datetime | None = None,
        holds: bool = False,
    ) -> Self:
        """All facts about an experiment.

        Args:
            plan: gives the name, the start, the attribution windows, the segment columns and the cap on money.
            as_of: exclusive upper bound of event time, aware.
            divided: where its time is.
            turns: in which units are told apart.
            known_until: up to here the engine knows what was found.
            holds: whether it holds the impressions since then.
        """
        values: dict[str, Value] = {EXPERIMENT: plan.experiment, START: plan.start, AS_OF: as_of}
        values |= {batch_name(number): instant for number, instant in enumerate(divided.batches)}
        values |= {change_name(number): instant for number, instant in enumerate(divided.changes)}
        values |= {KNOWN_UNTIL: known_until} if known_until else {}
        form = Form(
            tuple(plan.segments), plan.attribution, plan.traffic, plan.cap, len(divided.batches), len(divided.changes),
            turns, knows=known_until is not None, holds=holds,
        )  # fmt: skip
        return cls(form, values)

    def expression(self) -> "ir.Table":
        """In Ibis."""
        return expression_of(self.form)


def batch_name(number: int) -> str:
    """Of the instant at which a batch begins, the second as number 0."""
    return f"batch_{number}"


def change_name(number: int) -> str:
    """Of the instant of a change of shares."""
    return f"change_{number}"


def definition() -> str:
    """A number for what counts: where the source of a module that says it has changed, it is another."""
    texts = b"".join(hashlib.sha256(module.read_bytes()).digest() for module in DEFINED_BY)
    return hashlib.sha256(texts).hexdigest()


@lru_cache(maxsize=64)
def expression_of(form: Form) -> "ir.Table":
    """What all questions of one form ask, in Ibis."""
    from experiments.events.expression import evidence_expression

    return evidence_expression(form)
