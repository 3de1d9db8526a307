"""The plan: what an experiment promised before it saw any data. Sealed (hashed) when the experiment starts."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from experiments.core.statistics.moments import UNITS


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


@dataclass(frozen=True, slots=True)
class Attribution:
    """How long after an impression an outcome still counts, in days."""

    click_days: int = 1
    conversion_days: int = 7


@dataclass(frozen=True, slots=True)
class Gates:
    """What must hold before a verdict may speak of winners."""

    sample_ratio_p: float = 0.001
    crossover_share: float = 0.01
    minimum_units: int = 100
    """Per arm."""
    coverage: float = 0.9
    """Share of whole days since the start that carry impressions."""


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

    @property
    def primary(self) -> Metric:
        """The metric that may promote."""
        return next(metric for metric in self.metrics if metric.role is Role.PRIMARY)

    @property
    def weights(self) -> dict[str, float]:
        """Relative shares by arm name, in the plan's order."""
        return {arm.name: arm.weight for arm in self.arms}

    def look_time(self, look: int) -> datetime:
        """The instant of look 1, 2, ... ``looks.count``."""
        return self.start + timedelta(days=self.looks.days * look)

    def document(self) -> dict[str, Any]:
        """The plan as plain JSON values; the same plan gives the same document."""
        return asdict(self) | {"start": self.start.isoformat()}

    def seal(self) -> str:
        """SHA-256 of the canonical JSON: a verdict refuses evidence judged under another."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
