"""The plan: what an experiment promised before it saw any data. Sealed (hashed) when the experiment starts.

What plans learn to promise later is left out of the document where it is not asked for, so that a plan that was sealed
before keeps its hash, and is judged by what it promised.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from experiments.core.errors import ExperimentError
from experiments.core.statistics.floors import BadAllocation, check_floor
from experiments.core.statistics.moments import UNITS
from experiments.core.statistics.multiplicity import Multiplicity
from experiments.core.statistics.spending import Spending

SEGMENTS = ("device", "country", "placement")
"""What an impression says of its circumstances, and a plan may split its evidence by."""


class BadPlan(ExperimentError):
    """A plan that contradicts itself."""


class Direction(StrEnum):
    """Which way is better."""

    INCREASE = "increase"
    DECREASE = "decrease"


class Role(StrEnum):
    """What a metric may decide."""

    PRIMARY = "primary"
    """The one metric that may promote."""
    GUARDRAIL = "guardrail"
    """Must not get worse than its margin, or nothing is promoted."""
    SECONDARY = "secondary"
    """Shown, decides nothing."""


class Promotion(StrEnum):
    """Who says the last word when the plan has found a winner."""

    PROPOSE = "propose"
    """A person approves."""
    AUTO = "auto"
    """The promote job does it; a person may roll back."""


LATE = ("conversions", "value_micros")
"""Outcomes that come days after the impression, so that young units still lack some."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A ratio of per-unit sums, for example clicks over impressions."""

    name: str
    numerator: str
    denominator: str = UNITS
    direction: Direction = Direction.INCREASE
    role: Role = Role.PRIMARY
    margin: float | None = None
    """Guardrails: the largest relative loss that is tolerated, 0.05 for five percent."""
    winsorise: int | None = None
    """Money: a unit that brought more counts as this much, in millionths of the currency."""

    @property
    def money(self) -> bool:
        """Whether it counts money."""
        return "value_micros" in (self.numerator, self.denominator)

    @property
    def matures(self) -> bool:
        """Whether only units count whose conversion window has closed."""
        return self.numerator in LATE or self.denominator in LATE


CTR = Metric("ctr", "clicks", "impressions")


@dataclass(frozen=True, slots=True)
class Arm:
    """One style (or ``original``) inside one experiment."""

    name: str
    style: str
    """The exact look: ``name#hash12@strength``, or ``original``."""
    weight: float = 1.0
    """Relative share of units."""


@dataclass(frozen=True, slots=True)
class Looks:
    """When the evidence may be judged: ``count`` times, every ``days`` days after the start."""

    count: int = 3
    days: int = 7
    spending: str = "obrien_fleming"
    """How alpha is spent over the looks: ``obrien_fleming``, ``pocock``, or ``power:RHO``."""

    def __post_init__(self) -> None:
        Spending.parse(self.spending)


@dataclass(frozen=True, slots=True)
class Attribution:
    """How long an outcome still counts, in days; the last touch has the credit, and a click goes before a view."""

    click_days: int = 1
    """A click: so long after its impression."""
    conversion_days: int = 7
    """A conversion: so long after its unit's latest impression, where no click in its own window has the credit."""
    click_conversion_days: int | None = None
    """A conversion: so long after its unit's latest click that counts. None: clicks have no window of their own."""

    @property
    def matures_after(self) -> int:
        """Days after an impression from which on nothing more can come of it.

        Somebody who has not clicked may still do so on the last day, and has the whole window of a click from then on.
        """
        if self.click_conversion_days is None:
            return self.conversion_days
        return max(self.conversion_days, self.click_days + self.click_conversion_days)


class Rule(StrEnum):
    """What becomes of the traffic between looks."""

    FIXED = "fixed"
    """Every arm keeps its weight."""
    TOP_TWO = "top_two"
    """After each look it follows the evidence: top-two Thompson sampling (`statistics.allocation`)."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """How traffic is shared out; the arms' weights are where it begins."""

    rule: Rule = Rule.FIXED
    floor: float = 0.05
    """Every arm's least share; the control's is 1 / (1 + sqrt(arms - 1)), which all contrasts need."""
    largest_step: float = 0.25
    """No arm's share changes by more than this at once."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """When an experiment ends before its last look without a winner. A look that is not valid never ends it.

    Neither rule binds: whoever goes on nevertheless calls no style wrongly more often than alpha.
    """

    harm: bool = True
    """An arm that is worse than the control, by the same boundaries as a winner is better, is given up."""
    futility_lift: float | None = None
    """An arm is given up too that would by now look better, had it this relative lift: the smallest worth having."""
    power: float = 0.9
    """Such an arm is given up, over all looks, with chance 1 - power at most."""

    def __post_init__(self) -> None:
        if self.futility_lift is not None and not 0 < self.futility_lift < 100:
            raise BadPlan(f"a futility lift of {self.futility_lift:g} is none: 0.1 is a lift of ten percent")
        if not 0.5 <= self.power < 1:
            raise BadPlan(f"a power of {self.power:g} is not from 0.5 up to 1: 0.9 finds nine lifts of ten")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Which events of one unit are more than a person's (`events.rates`). A rule that is None is not asked.

    The limits are far above what people do: they are to stop machines. A limit that people reach would take them out of
    the arm that makes them click, and so hide the very effect that is looked for.
    """

    repeat_seconds: int | None = 30
    """A click at most so long after another one of the same unit on the same creative is the same click again."""
    impressions_an_hour: int | None = 360
    """A unit with more in any hour of the clock is no person: that is one every ten seconds, the whole hour long."""
    clicks_an_hour: int | None = 60
    """Likewise: that is one a minute."""

    def __post_init__(self) -> None:
        for name in ("repeat_seconds", "impressions_an_hour", "clicks_an_hour"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise BadPlan(f"traffic: {name} of {limit} is no limit: give a whole number from 1 on, or null")


UNLIMITED = Traffic(None, None, None)
"""As it was before there were such rules."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What must hold before a verdict may speak of winners. A gate that is None is not asked.

    Those that fail make a look invalid; those that wait hold a winner back until they are met.
    """

    sample_ratio_p: float = 0.001
    """Fails below this p-value of the units against the arms' weights."""
    crossover_share: float = 0.01
    """Fails where more than this share of the units saw several arms."""
    minimum_units: int = 100
    """Waits for so many units in each arm; for a conversion metric, units whose window has closed."""
    coverage: float = 0.9
    """Fails where less than this share of whole days since the start carries impressions."""
    minimum_information: float | None = 10.0
    """Waits for so many effective events of the primary metric (clicks over their dispersion; beside a few large orders
    many small ones count for little), arm for arm on average: the tests' tails are near nominal from about there on."""
    full_weeks: int | None = None
    """Waits for this many whole weeks, and for a look at the end of one, because weekdays click unlike Sundays."""
    mature_share: float | None = 0.5
    """Waits, where the primary metric or a guardrail counts conversions, until this share of the units has had the
    whole conversion window: the first to mature are the keenest."""
    balance_p: float | None = 0.001
    """Fails below this p-value of arms against segments, over all of the plan's segment columns together: a style
    that is delivered to other people than the control (divergent delivery) is not compared with it."""
    invalid_share: float | None = 0.5
    """Fails where more than this share of one arm's impressions was by declared bots."""
    invalid_p: float | None = 0.001
    """Fails below this p-value of the bots' share being the same in all arms."""

    @classmethod
    def sealed(cls, document: Mapping[str, Any]) -> Self:
        """The gates of a sealed plan: those it does not name did not exist when it was sealed, and are not asked."""
        return cls(**{**GATES_ADDED, **document})


# Fields that came after the first plans were sealed, each with the value that means: as it was before.
GATES_ADDED: Mapping[str, Any] = dict.fromkeys(
    ("minimum_information", "full_weeks", "mature_share", "balance_p", "invalid_share", "invalid_p")
)
_METRIC_ADDED: Mapping[str, Any] = {"winsorise": None}
_LOOKS_ADDED: Mapping[str, Any] = {"spending": "obrien_fleming"}
_ATTRIBUTION_ADDED: Mapping[str, Any] = {"click_conversion_days": None}
_PLAN_ADDED: Mapping[str, Any] = {
    "segments": (),
    "multiplicity": Multiplicity.HOLM,
    "allocation": asdict(Allocation()),
    "stopping": asdict(Stopping(harm=False)),
    "traffic": asdict(UNLIMITED),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a verdict depends on, fixed before the first impression."""

    experiment: str
    salt: str
    control: str
    arms: tuple[Arm, ...]
    start: datetime
    """UTC."""
    metrics: tuple[Metric, ...] = (CTR,)
    alpha: float = 0.05
    """Two-sided, over all arms and looks together."""
    looks: Looks = field(default_factory=Looks)
    attribution: Attribution = field(default_factory=Attribution)
    gates: Gates = field(default_factory=Gates)
    promotion: Promotion = Promotion.PROPOSE
    holdback: float = 0.05
    """Share of units that keep seeing the control after a promotion, so that it stays measured."""
    segments: tuple[str, ...] = ()
    """Columns of SEGMENTS; a unit's segment is that of its first impression."""
    multiplicity: Multiplicity = Multiplicity.HOLM
    """For secondary metrics, and for the segments' lifts."""
    allocation: Allocation = field(default_factory=Allocation)
    stopping: Stopping = field(default_factory=Stopping)
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        strangers = [column for column in self.segments if column not in SEGMENTS]
        if strangers or len(set(self.segments)) < len(self.segments):
            named = ", ".join(self.segments)
            raise BadPlan(f"{self.experiment}: segments are some of {', '.join(SEGMENTS)}, each once, not {named}")
        caps = {metric.winsorise for metric in self.metrics if metric.money}
        if len(caps) > 1:
            raise BadPlan(f"{self.experiment}: money is winsorised at one amount in all metrics of a plan, not several")
        if self.allocation.rule is Rule.TOP_TWO:
            self._check_allocation()

    def _check_allocation(self) -> None:
        if self.looks.count < 2:
            raise BadPlan(f"{self.experiment}: traffic follows the evidence from look to look; plan two looks or more")
        if not 0 < self.allocation.largest_step <= 1:
            raise BadPlan(f"{self.experiment}: the largest step of a share lies above 0 and up to 1")
        try:
            check_floor(len(self.arms), self.allocation.floor)
        except BadAllocation as error:
            raise BadPlan(f"{self.experiment}: {error}") from None

    @property
    def primary(self) -> Metric:
        """The metric that may promote."""
        return next(metric for metric in self.metrics if metric.role is Role.PRIMARY)

    @property
    def decides_on_late(self) -> bool:
        """Whether a metric that decides, the primary one or a guardrail, counts what comes days after an impression."""
        return any(metric.matures for metric in self.metrics if metric.role is not Role.SECONDARY)

    @property
    def first_mature(self) -> datetime:
        """No unit is mature up to this instant: the first one was not shown before the start."""
        return self.start + timedelta(days=self.attribution.matures_after)

    @property
    def weights(self) -> dict[str, float]:
        """Relative shares by arm name, in the plan's order."""
        return {arm.name: arm.weight for arm in self.arms}

    @property
    def cap(self) -> int | None:
        """The most money one unit counts for, in millionths; None where money is counted as it came."""
        return next((metric.winsorise for metric in self.metrics if metric.winsorise is not None), None)

    @property
    def shares(self) -> dict[str, float]:
        """The weights, adding to 1."""
        total = sum(self.weights.values())
        return {arm: weight / total for arm, weight in self.weights.items()}

    def look_time(self, look: int) -> datetime:
        """The instant of look 1, 2, ... ``looks.count``."""
        return self.start + timedelta(days=self.looks.days * look)

    def document(self) -> dict[str, Any]:
        """The plan as plain JSON values; the same plan gives the same document."""
        whole = asdict(self) | {"start": self.start.isoformat()}
        return _trimmed(whole, _PLAN_ADDED) | {
            "metrics": [_trimmed(metric, _METRIC_ADDED) for metric in whole["metrics"]],
            "looks": _trimmed(whole["looks"], _LOOKS_ADDED),
            "gates": _trimmed(whole["gates"], GATES_ADDED),
            "attribution": _trimmed(whole["attribution"], _ATTRIBUTION_ADDED),
        }

    def seal(self) -> str:
        """SHA-256 of the canonical JSON: a verdict refuses evidence judged under another."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _trimmed(values: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in added or value != added[name]}
