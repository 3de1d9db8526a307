"""The experiment file ad ops write, and the plan it becomes when the experiment starts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from creatives.documents import read_document, validate_document
from creatives.packs import Look, StyleLibrary
from creatives.slots import find_slots
from experiments.core.errors import ExperimentError
from experiments.core.metrics import metric_named
from experiments.core.names import check_name
from experiments.core.plan import (
    Allocation,
    Arm,
    Attribution,
    Gates,
    Looks,
    Metric,
    Plan,
    Promotion,
    Role,
    Rule,
    Stopping,
    Traffic,
)
from experiments.core.statistics.multiplicity import Multiplicity
from experiments.core.statistics.spending import Spending

CONTROL = "original"
MOST_ARMS = 12
MICROS = 1_000_000
CLICK_CONVERSION_DAYS, VIEW_CONVERSION_DAYS = 30, 1
"""How long a conversion counts where an experiment file does not say."""

Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=0.5)]
Days = Annotated[int, Field(ge=1, le=90)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GuardrailEntry(_Strict):
    """A metric that must not get worse than ``margin`` (relative)."""

    metric: str
    margin: Annotated[float, Field(gt=0, lt=1)]


class LooksEntry(_Strict):
    """How often and how many times the evidence is judged."""

    count: Annotated[int, Field(ge=1, le=52)] = 3
    days: Annotated[int, Field(ge=1, le=28)] = 7
    spending: str = "obrien_fleming"
    """How alpha is spent over the looks: ``obrien_fleming``, ``pocock`` or ``power:RHO``."""


class GatesEntry(_Strict):
    """What must hold before a winner is spoken of; null takes a gate away, those that are absent keep their default."""

    sample_ratio_p: Level = Gates().sample_ratio_p
    crossover_share: Share = Gates().crossover_share
    minimum_units: Annotated[int, Field(ge=0)] = Gates().minimum_units
    coverage: Share = Gates().coverage
    minimum_information: Annotated[float, Field(gt=0)] | None = Gates().minimum_information
    full_weeks: Annotated[int, Field(ge=1, le=52)] | None = Gates().full_weeks
    mature_share: Share | None = Gates().mature_share
    balance_p: Level | None = Gates().balance_p
    invalid_share: Share | None = Gates().invalid_share
    invalid_p: Level | None = Gates().invalid_p


class AllocationEntry(_Strict):
    """How traffic is shared out between looks."""

    rule: Rule = Rule.FIXED
    floor: Annotated[float, Field(ge=0, lt=0.5)] = Allocation().floor
    largest_step: Annotated[float, Field(gt=0, le=1)] = Allocation().largest_step


class StoppingEntry(_Strict):
    """When it ends early without a winner."""

    harm: bool = True
    futility_lift: Annotated[float, Field(gt=0, lt=100)] | None = None
    power: Annotated[float, Field(ge=0.5, lt=1)] = Stopping().power


class TrafficEntry(_Strict):
    """What one unit may do before it is no person; null takes a rule away, those that are absent keep their default."""

    repeat_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = Traffic().repeat_seconds
    impressions_an_hour: Annotated[int, Field(ge=1)] | None = Traffic().impressions_an_hour
    clicks_an_hour: Annotated[int, Field(ge=1)] | None = Traffic().clicks_an_hour


class AttributionEntry(_Strict):
    """Days in which an outcome counts: a click after its impression, a conversion after the touch that has the credit.

    That is the unit's last click or, where no click is recent enough, its last impression.
    """

    click_days: Days = 1
    click_conversion_days: Days | None = None
    """After a click; CLICK_CONVERSION_DAYS where absent."""
    view_conversion_days: Days | None = None
    """After an impression; VIEW_CONVERSION_DAYS where absent."""
    conversion_days: Days | None = None
    """In place of those two: so long after the latest impression, whether it was clicked or not."""

    @property
    def contradicts_itself(self) -> bool:
        """Whether it gives one window for all conversions, and another for some."""
        some = (self.click_conversion_days, self.view_conversion_days)
        return self.conversion_days is not None and any(days is not None for days in some)

    def windows(self) -> Attribution:
        """As the plan has them."""
        if self.conversion_days is not None:
            return Attribution(self.click_days, self.conversion_days)
        return Attribution(
            self.click_days,
            self.view_conversion_days or VIEW_CONVERSION_DAYS,
            self.click_conversion_days or CLICK_CONVERSION_DAYS,
        )


class ExperimentDocument(_Strict):
    """``experiments/NAME.yaml``: which brief, which styles, what decides."""

    experiment: str
    brief: str
    styles: Annotated[list[str], Field(min_length=1, max_length=MOST_ARMS - 1)]
    """Style references; each becomes an arm beside the original."""
    slots: list[str] | None = None
    """Sizes to render; the brief's own where absent."""
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Relative traffic by arm, 1 where absent."""
    metric: str = "ctr"
    guardrails: list[GuardrailEntry] = Field(default_factory=list)
    secondary: list[str] = Field(default_factory=list)
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    looks: LooksEntry = LooksEntry()
    attribution: AttributionEntry = AttributionEntry()
    segments: list[Literal["device", "country", "placement"]] = Field(default_factory=list)
    """What the audience is told apart by, in the evidence and by the gate of covariate balance."""
    multiplicity: Multiplicity = Multiplicity.HOLM
    """How secondary metrics are corrected for their number."""
    winsorise: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Money: a unit that brought more counts as this much, in the reporting currency."""
    gates: GatesEntry = GatesEntry()
    allocation: AllocationEntry = AllocationEntry()
    stopping: StoppingEntry = StoppingEntry()
    traffic: TrafficEntry = TrafficEntry()
    promotion: Promotion = Promotion.PROPOSE
    review: bool = True
    """True: a person approves the creatives before they may be served."""
    holdback: Annotated[float, Field(ge=0, lt=0.5)] = 0.05

    def metrics(self) -> tuple[Metric, ...]:
        """Primary first, then guardrails, then secondaries."""
        primary = metric_named(self.metric)
        guardrails = [_in_role(entry.metric, Role.GUARDRAIL, entry.margin) for entry in self.guardrails]
        secondary = [_in_role(name, Role.SECONDARY, None) for name in self.secondary]
        chosen = tuple(self._capped(metric) for metric in (primary, *guardrails, *secondary))
        names = [metric.name for metric in chosen]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated:
            raise ExperimentError(f"{self.experiment}: metric {repeated!r} is named twice; give each one role")
        if self.winsorise is not None and not any(metric.money for metric in chosen):
            raise ExperimentError(f"{self.experiment}: winsorise caps money, and no metric counts any; leave it out")
        return chosen

    def _capped(self, metric: Metric) -> Metric:
        if self.winsorise is None or not metric.money:
            return metric
        return replace(metric, winsorise=round(self.winsorise * MICROS))

    def looks_of(self, library: StyleLibrary) -> dict[str, Look]:
        """Arm name -> look, the control first. Unknown styles and doubles are refused."""
        arms = {CONTROL: library.resolve(CONTROL)}
        for reference in self.styles:
            look = library.resolve(reference)
            other = arms.setdefault(look.slug, look)
            if other.identity == look.identity and other is not look:
                raise ExperimentError(f"{self.experiment}: style {reference!r} is named twice")
            if other is not look:
                raise ExperimentError(
                    f"{self.experiment}: styles {other.reference!r} and {reference!r} would both be the arm "
                    f"{look.slug!r}: leave one out, or rename the pack"
                )
        strangers = sorted(set(self.weights) - set(arms))
        if strangers:
            raise ExperimentError(
                f"{self.experiment}: weights name {strangers[0]!r}, which is no arm; the arms are {', '.join(arms)}"
            )
        return arms

    def plan(self, styles: Mapping[str, str], start: datetime) -> Plan:
        """The plan to seal: ``styles`` maps arm names to exact style identities, ``start`` is UTC."""
        return Plan(
            experiment=self.experiment,
            salt=self.experiment,
            control=CONTROL,
            arms=tuple(Arm(name, identity, self.weights.get(name, 1.0)) for name, identity in styles.items()),
            start=start.astimezone(UTC),
            metrics=self.metrics(),
            alpha=self.alpha,
            looks=Looks(self.looks.count, self.looks.days, self.looks.spending),
            attribution=self.attribution.windows(),
            gates=Gates(**self.gates.model_dump()),
            allocation=Allocation(**self.allocation.model_dump()),
            stopping=Stopping(**self.stopping.model_dump()),
            traffic=Traffic(**self.traffic.model_dump()),
            promotion=self.promotion,
            holdback=self.holdback,
            segments=tuple(self.segments),
            multiplicity=self.multiplicity,
        )


def read_experiment(path: Path) -> ExperimentDocument:
    """The experiment file, checked; names are checked before they become paths or keys."""
    document = _checked(read_document(path, ExperimentDocument))
    weeks, looks = document.gates.full_weeks, document.looks
    days = [look * looks.days for look in range(1, looks.count + 1)]
    if weeks is not None and not any(day % 7 == 0 and day >= 7 * weeks for day in days):
        raise ExperimentError(
            f"{document.experiment}: gates.full_weeks waits for a look at the end of a whole week, on day {weeks * 7} "
            f"or later, but looks are on days {', '.join(map(str, days))}: plan one there, or leave the gate out"
        )
    return document


def restore_experiment(document: Mapping[str, Any]) -> ExperimentDocument:
    """The document as the control plane keeps it."""
    return _checked(validate_document(document, ExperimentDocument, str(document.get("experiment"))))


def too_early(document: ExperimentDocument) -> str | None:
    """One line where the last look comes before any unit counts for a metric that decides; None where all is well."""
    plan = document.plan(dict.fromkeys((CONTROL, *document.styles), ""), datetime.now(UTC))
    if not plan.decides_on_late or plan.look_time(plan.looks.count) > plan.first_mature:
        return None
    last, needed = plan.looks.count * plan.looks.days, plan.attribution.matures_after
    return (
        f"Warning: conversions decide, and units count {needed} days after they were first shown (attribution), but "
        f"the last look is on day {last}, when none can be that old: plan more looks, or shorter windows."
    )


def _checked(document: ExperimentDocument) -> ExperimentDocument:
    check_name("experiment", document.experiment)
    check_name("brief", document.brief)
    document.metrics()
    if document.attribution.contradicts_itself:
        raise ExperimentError(
            f"{document.experiment}: attribution.conversion_days is one window for all conversions: leave it out, or "
            "leave out click_conversion_days and view_conversion_days"
        )
    Spending.parse(document.looks.spending)
    if len(set(document.segments)) < len(document.segments):
        raise ExperimentError(f"{document.experiment}: segments name a column twice; name each once")
    find_slots(document.slots or ())
    document.plan(
        dict.fromkeys((CONTROL, *document.styles), ""), datetime.now(UTC)
    )  # what contradicts itself says so now
    return document


def _in_role(name: str, role: Role, margin: float | None) -> Metric:
    metric = metric_named(name)
    return Metric(metric.name, metric.numerator, metric.denominator, metric.direction, role, margin)
