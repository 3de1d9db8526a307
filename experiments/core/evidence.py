"""Evidence: what the event lake, at one version, says about an experiment up to one instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import reduce
from operator import add

from experiments.core.plan import Metric
from experiments.core.statistics.moments import PairMoments, UnitMoments
from experiments.core.statistics.standardised import standardised

UNKNOWN = "(unknown)"
"""The segment of units whose first impression did not say."""
OTHER = "(other)"
"""The segment of all units beyond the MOST_SEGMENTS largest of a column."""
MOST_SEGMENTS = 20


@dataclass(frozen=True, slots=True)
class DailyCounts:
    """One arm's filtered counts on one UTC day (counts add over days; units do not and are absent on purpose).

    The arm is the one that the unit belongs to, whichever it saw that day.
    """

    day: date
    arm: str
    impressions: int
    clicks: int
    conversions: int
    by_click: int | None = None
    """Of the conversions, those that a click has the credit for; a view has it for the others. None where the plan
    tells them not apart."""


@dataclass(frozen=True, slots=True)
class SegmentMoments:
    """One arm's units whose first impression was in one segment, for example ``device`` is ``phone``."""

    column: str
    segment: str
    arm: str
    moments: UnitMoments
    mature: UnitMoments


@dataclass(frozen=True, slots=True)
class Batch:
    """The units first shown while the arms' shares were the same, with all they did to date."""

    since: datetime
    until: datetime
    """Exclusive."""
    shares: Mapping[str, float]
    arms: Mapping[str, UnitMoments]
    mature: Mapping[str, UnitMoments]
    segments: Mapping[str, Mapping[str, Mapping[str, int]]]
    """Units by segment column, segment and arm."""
    invalid_units: Mapping[str, int]
    """Units with an impression by a declared bot in this time, by the arm that was shown."""

    def pair(self, arm: str, metric: Metric) -> PairMoments:
        """As `Evidence.pair`."""
        return (self.mature if metric.matures else self.arms)[arm].pair(metric.numerator, metric.denominator)

    @property
    def dealt(self) -> bool:
        """Whether several arms had a share: in a pause the control has all."""
        return sum(share > 0 for share in self.shares.values()) > 1


@dataclass(frozen=True, slots=True)
class Health:
    """What was left out of the moments and what is missing, so that a gate or a reader can judge the rest."""

    crossover_units: int
    """Units seen in more than one arm while the shares were the same; each belongs, with all its outcomes, to the arm
    it saw first."""
    invalid_impressions: Mapping[str, int]
    """Impressions that are not a person's by some rule, by the arm that was shown; dropped."""
    invalid_clicks: Mapping[str, int]
    repeated_clicks: int
    """Clicks after the first on the same impression, or soon after one on the same creative; dropped."""
    unmatched_clicks: int
    """Clicks in the window that belong to no impression of any experiment."""
    days_expected: int
    """Whole UTC days from the start to ``as_of``."""
    days_covered: int
    """Of those, days with at least one impression."""
    last_event: datetime | None
    invalid_units: Mapping[str, int] = field(default_factory=dict)
    """Units with such an impression, by the arm that was shown."""
    capped_units: Mapping[str, int] = field(default_factory=dict)
    """Units that brought more money than the plan's cap and count as the cap, by arm."""
    invalid_rules: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """``invalid_impressions`` by arm and by the name of the rule."""
    conversions_by_click: Mapping[str, int] = field(default_factory=dict)
    """Conversions that a click has the credit for, by arm; a view has it for the others. Empty where the plan tells
    them not apart."""
    withdrawn_conversions: int = 0
    """Conversions that were retracted or whose money was refunded whole; they count no more."""
    unmatched_adjustments: int = 0
    """Refunds and corrections of conversions that never came."""
    click_rules: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """``invalid_clicks`` and ``repeated_clicks`` by arm and by the name of the rule."""
    currencies: Mapping[str, int] = field(default_factory=dict)
    """Conversions whose money was not converted, by its currency: of several, sums mean nothing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Additive moments per arm, and the state of the lake they were taken from."""

    experiment: str
    as_of: datetime
    """Exclusive upper bound on event time, UTC."""
    lake_versions: Mapping[str, int]
    arms: Mapping[str, UnitMoments]
    daily: tuple[DailyCounts, ...]
    health: Health
    mature: Mapping[str, UnitMoments] | None = None
    """Of ``arms``, the units of whose first impression nothing more can come. None in evidence from before maturity was
    measured: all units counted then."""
    segments: tuple[SegmentMoments, ...] = ()
    """By the plan's segment columns."""
    batches: tuple[Batch, ...] = ()
    """Where the shares changed: what came between the changes (and looks), in order. Empty where they did not."""

    def pair(self, arm: str, metric: Metric) -> PairMoments:
        """An arm's moments of one metric: of mature units only, where the metric counts what comes late.

        Where the shares changed, of units that were dealt among several arms: in a pause there is nothing to compare.
        """
        if self.batches:
            return reduce(add, (batch.pair(arm, metric) for batch in self.dealt), PairMoments())
        units = self.mature if metric.matures and self.mature is not None else self.arms
        return units[arm].pair(metric.numerator, metric.denominator)

    @property
    def dealt(self) -> tuple[Batch, ...]:
        """The batches in which several arms had a share."""
        return tuple(batch for batch in self.batches if batch.dealt)

    @property
    def moved(self) -> bool:
        """Whether these had not all the same shares, so that pooled rates compare different times."""
        return any(batch.shares != self.dealt[0].shares for batch in self.dealt[1:])

    def standardised(self, arms: Sequence[str], metric: Metric) -> dict[str, PairMoments]:
        """As `pair`, of several arms; where the shares moved, as if all times had been alike."""
        if self.moved:
            return standardised([{arm: batch.pair(arm, metric) for arm in arms} for batch in self.dealt])
        return {arm: self.pair(arm, metric) for arm in arms}

    def mature_share(self) -> float:
        """Share of all units whose conversion window has closed; 1 where there are none."""
        units = sum(moments.units for moments in self.arms.values())
        if self.mature is None or not units:
            return 1.0
        return sum(moments.units for moments in self.mature.values()) / units
