"""The weekly report as a value: what the application fills in and this package only presents.

Plain values throughout (text, numbers, instants, bytes, tuples, read-only mappings), so that the same model gives the
same page and the same JSON. Shares are fractions (0.05 is five percent), instants are aware datetimes, money is in
millionths of the reporting currency. A number that does not exist (a relative lift on a control without clicks, an
interval without an upper end) is None, never NaN or infinity.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

Value = str | int | float | bool | None | tuple[str, ...] | Mapping[str, float]
"""What a reason's or a milestone's parameter may be."""


@dataclass(frozen=True, slots=True)
class ReasonView:
    """One named reason of a verdict; ``words.reason`` turns it into a sentence."""

    code: str
    parameters: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class VerdictView:
    """What the sealed plan says of the evidence at the latest look."""

    kind: str
    """``promote``, ``keep_running``, ``no_winner`` or ``invalid``."""
    arm: str | None
    """The winner; None unless ``kind`` is ``promote``."""
    reasons: tuple[ReasonView, ...]


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What was done about the verdict, and the command that undoes it."""

    state: str
    """``waiting``, ``paused``, ``proposed``, ``promoted``, ``rolled_back``, ``concluded``, ``stopped``, ``archived`` or
    ``none``."""
    arm: str | None = None
    at: datetime | None = None
    actor: str | None = None
    undo_command: str | None = None
    next_command: str | None = None


@dataclass(frozen=True, slots=True)
class MetricView:
    """A ratio of per-unit sums, by the application's names (``clicks`` over ``impressions``)."""

    name: str
    numerator: str
    denominator: str
    direction: str = "increase"
    """``increase`` or ``decrease``: which way is better."""


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm's evidence to date. ``low`` and ``high`` bound the rate on its own, before any correction."""

    name: str
    style: str
    control: bool
    units: int
    numerator: int | float
    denominator: int | float
    rate: float | None
    low: float | None
    high: float | None
    probability_best: float | None
    expected_loss: float | None
    """What promoting this arm would cost, in the metric's own units, averaged over what may be true."""


@dataclass(frozen=True, slots=True)
class LiftRow:
    """One arm against the control; the intervals and ``p_adjusted`` account for all arms and looks."""

    arm: str
    absolute: float | None
    absolute_low: float | None
    absolute_high: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    p: float | None
    p_adjusted: float | None
    expected: float | None = None
    """Relative; allowing for the looks and for luck, what to count on, with the 95 % interval."""
    expected_low: float | None = None
    expected_high: float | None = None


@dataclass(frozen=True, slots=True)
class LookRow:
    """What was known, and said, at one scheduled look."""

    look: int
    at: datetime
    lifts: tuple[LiftRow, ...]
    verdict: str
    """The verdict's kind at that look."""


@dataclass(frozen=True, slots=True)
class DailyRow:
    """One arm's counts on one UTC day (not cumulative)."""

    day: date
    arm: str
    impressions: int
    clicks: int


@dataclass(frozen=True, slots=True)
class GuardrailRow:
    """A metric that must not get worse than its margin, for one arm against the control."""

    metric: MetricView
    arm: str
    control_rate: float | None
    rate: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    margin: float
    """The largest relative loss that is tolerated."""
    state: str
    """``held``, ``harmed`` or ``unknown``."""


@dataclass(frozen=True, slots=True)
class SecondaryRow:
    """A metric that is shown and decides nothing, for one arm against the control."""

    metric: MetricView
    arm: str
    control_rate: float | None
    rate: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    p_adjusted: float | None
    """Corrected for all secondary metrics and arms."""


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One arm in one segment."""

    segment: str
    arm: str
    units: int
    lift: float | None
    """Relative for counts, a difference for values."""
    p_adjusted: float
    """Corrected for all arms and segments of the column."""


@dataclass(frozen=True, slots=True)
class SegmentView:
    """The primary metric by one column, for example ``device``."""

    column: str
    relative: bool
    """Whether lifts are relative."""
    differs: tuple[tuple[str, float], ...]
    """(arm, p of its lift being the same in all segments, corrected for the arms)."""
    rows: tuple[SegmentRow, ...]


@dataclass(frozen=True, slots=True)
class CountedRow:
    """What a platform counted of one arm, of an audience that it chose: nothing may be concluded from it."""

    source: str
    """The platform; empty where a file made by hand does not say."""
    arm: str
    first: date
    last: date
    days: int
    """Days with any count."""
    impressions: int
    clicks: int
    rate: float | None
    """Clicks per impression."""
    conversions: int | None
    value: tuple[tuple[str | None, int], ...]
    """(currency, millionths); the currency is None where none was named."""
    spend: tuple[tuple[str | None, int], ...]


@dataclass(frozen=True, slots=True)
class StyleRow:
    """One exact look over all experiments; lifts are relative, on a typical and on one new product, 95 %."""

    style: str
    experiments: int
    expected: float
    low: float
    high: float
    next_low: float
    next_high: float
    probability_better: float


@dataclass(frozen=True, slots=True)
class BoardView:
    """All looks measured on one metric against one control, the best first."""

    metric: MetricView
    control: str
    experiments: int
    styles: tuple[StyleRow, ...]
    proposals: tuple[tuple[str, ReasonView], ...]
    """(style, why) to try next on a new product; ``standings.sentence`` has the words."""


@dataclass(frozen=True, slots=True)
class ArmUnits:
    """How many units an arm should have by its share, and how many it has."""

    arm: str
    expected: float
    observed: int


@dataclass(frozen=True, slots=True)
class ArmCount:
    """A count that belongs to one arm."""

    arm: str
    count: int


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivered file of events: ``read`` = ``accepted`` + ``duplicate`` + the sum of ``rejected``."""

    name: str
    kind: str
    read: int
    accepted: int
    duplicate: int
    rejected: tuple[tuple[str, int], ...]
    """(reason code, lines)."""
    replaced: bool = False
    """A newer file of the same hour counts in its place: it is shown, and its lines are in no sum."""


@dataclass(frozen=True, slots=True)
class HealthView:
    """Whether the data can be trusted, and what was left out of the evidence."""

    sample_ratio_p: float | None
    sample_ratio_ok: bool | None
    """None where there is nothing to test yet."""
    units: tuple[ArmUnits, ...]
    crossover_units: int
    invalid_impressions: tuple[ArmCount, ...]
    repeated_clicks: int
    unmatched_clicks: int
    days_expected: int
    days_covered: int
    deliveries: tuple[DeliveryRow, ...]
    mature_share: float | None = None
    """Of the units, where a metric counts what comes late; None where none does."""
    balance: tuple[tuple[str, float], ...] = ()
    """(segment column, p of arms against it)."""
    invalid_rules: tuple[tuple[str, tuple[ArmCount, ...]], ...] = ()
    """``invalid_impressions`` by the rule that marked them; nothing where that was not counted yet."""
    capped_units: tuple[ArmCount, ...] = ()
    """Units that brought more money than the plan's cap."""
    conversions_by_click: int | None = None
    """Conversions that a click has the credit for; None where the plan tells clicks and views not apart."""
    conversions_by_view: int | None = None
    currencies: tuple[tuple[str, int], ...] = ()
    """Conversions whose money was not converted, by its currency."""
    withdrawn_conversions: int = 0
    """Retracted, or refunded whole; left out."""
    unmatched_adjustments: int = 0
    """Refunds and corrections of conversions that never came."""
    click_rules: tuple[tuple[str, tuple[ArmCount, ...]], ...] = ()
    """Clicks that are not a person's, and repeated ones, by rule; nothing where that was not counted yet."""


@dataclass(frozen=True, slots=True)
class VariantTile:
    """One finished advertisement as a small picture; ``weight`` is the finished file's size in bytes."""

    arm: str
    style: str
    slot: str
    file_name: str
    alt: str
    width: int
    height: int
    thumbnail: bytes
    media_type: str
    """Of the thumbnail: one of ``gallery.MEDIA_TYPES``."""
    weight: int


@dataclass(frozen=True, slots=True)
class MilestoneRow:
    """An immutable fact in the experiment's life; ``words.milestone`` turns it into a sentence."""

    at: datetime
    kind: str
    actor: str
    parameters: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What was promised before the first impression, and what the figures were computed from."""

    alpha: float
    correction: str
    """How arms are corrected jointly: ``dunnett``, ``holm`` or ``none``."""
    spending: str
    """How the error is spent over the looks, for example ``obrien_fleming``."""
    looks: int
    look_days: int
    unit: str
    """What was randomised, in the singular: ``user``, ``device`` ..."""
    salt: str
    plan_hash: str
    lake_versions: tuple[tuple[str, int], ...]
    """(table, version) of the event lake."""
    click_days: int
    conversion_days: int
    promotion: str
    """``propose`` or ``auto``."""
    holdback: float
    sample_ratio_p: float
    """The gates: below this p-value the split is judged broken;"""
    crossover_share: float
    """above this share of units in two arms nothing is judged;"""
    minimum_units: int
    """so many units an arm needs;"""
    coverage: float
    """this share of whole days must carry impressions."""
    allocation: str = "fixed"
    """``fixed``, or ``top_two`` where traffic follows the evidence from look to look."""
    floor: float = 0.0
    """Every style's least share then."""
    ends_on_harm: bool = False
    """Whether it ends early where every style is worse than the control;"""
    futility_lift: float | None = None
    """or has hardly a chance left of this relative lift."""
    click_conversion_days: int | None = None
    """How long a conversion counts after a click; ``conversion_days`` is then for those that have none. None where it
    is for all."""
    balance_p: float | None = None
    """Below this p-value the audiences of the styles are judged unlike."""
    mature_share: float | None = None
    """So many units must have had the whole conversion window."""
    repeat_seconds: int | None = None
    """A click at most so long after another on the same creative is the same click again;"""
    impressions_an_hour: int | None = None
    """a unit with more of them in an hour is no person,"""
    clicks_an_hour: int | None = None
    """nor is one with more of these."""


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """One experiment as of the report's instant."""

    name: str
    title: str
    """The brief's headline."""
    advertiser: str
    campaign: str
    phase: str
    look: int
    """Looks taken so far."""
    looks: int
    verdict: VerdictView | None
    """None before there is anything to judge."""
    decision: DecisionView
    metric: MetricView
    arms: tuple[ArmRow, ...]
    lifts: tuple[LiftRow, ...]
    looks_taken: tuple[LookRow, ...]
    daily: tuple[DailyRow, ...]
    guardrails: tuple[GuardrailRow, ...]
    health: HealthView
    gallery: tuple[VariantTile, ...]
    timeline: tuple[MilestoneRow, ...]
    method: MethodFacts
    secondary: tuple[SecondaryRow, ...] = ()
    segments: tuple[SegmentView, ...] = ()
    counted: tuple[CountedRow, ...] = ()
    """Not randomised; by source, then arm."""


@dataclass(frozen=True, slots=True)
class WeeklyReport:
    """Everything one weekly page says."""

    workspace: str
    week: str
    """ISO 8601: ``2026-W47``."""
    start: date
    end: date
    """The week's last day, inclusive."""
    as_of: datetime
    """Exclusive upper bound on the instant of every event that was counted."""
    sections: tuple[ExperimentReport, ...]
    leaderboard: tuple[BoardView, ...] = ()
