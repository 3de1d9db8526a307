"""A verdict as rows of the report: what the latest look said of lifts, guardrails, further measures and segments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from experiments.core.plan import Metric, Plan
from experiments.store.records import VerdictRecord
from reports.model import (
    GuardrailRow,
    LiftRow,
    MetricView,
    ReasonView,
    SecondaryRow,
    SegmentRow,
    SegmentView,
    VerdictView,
)


def lift_rows(comparison: Mapping[str, Any] | None) -> tuple[LiftRow, ...]:
    """Every arm against the control; nothing where nothing was compared."""
    if comparison is None:
        return ()
    fields = LiftRow.__dataclass_fields__
    return tuple(LiftRow(**{name: lift[name] for name in fields if name in lift}) for lift in comparison["lifts"])


def with_expected(lifts: tuple[LiftRow, ...], latest: VerdictRecord | None) -> tuple[LiftRow, ...]:
    """With what to count on, which a look that is not valid does not say."""
    if latest is None or latest.kind == "invalid":
        return lifts
    found = {each["arm"]: each for each in latest.document.get("estimates", ())}
    ends = ("expected", "expected_low", "expected_high")
    return tuple(
        replace(lift, **{end: found[lift.arm][end] for end in ends}) if lift.arm in found else lift for lift in lifts
    )


def guardrail_rows(plan: Plan, latest: VerdictRecord) -> tuple[GuardrailRow, ...]:
    """Of each guardrail that could be read, every arm."""
    by_name = {metric.name: metric for metric in plan.metrics}
    rows = list[GuardrailRow]()
    for guardrail in latest.document["guardrails"]:
        metric, comparison = by_name[guardrail["metric"]], guardrail["comparison"]
        if comparison is None:
            continue  # nothing to read yet
        rates = {arm["arm"]: arm["rate"] for arm in comparison["arms"]}
        rows.extend(
            GuardrailRow(
                metric=metric_view(metric),
                arm=lift["arm"],
                control_rate=rates[plan.control],
                rate=rates[lift["arm"]],
                relative=lift["relative"],
                relative_low=lift["relative_low"],
                relative_high=lift["relative_high"],
                margin=metric.margin or 0.0,
                state=guardrail["states"][lift["arm"]],
            )
            for lift in comparison["lifts"]
        )
    return tuple(rows)


def secondary_rows(plan: Plan, latest: VerdictRecord) -> tuple[SecondaryRow, ...]:
    """Of each further measure, every arm."""
    by_name = {metric.name: metric for metric in plan.metrics}
    corrected = latest.document.get("secondary_p", {})
    rows = list[SecondaryRow]()
    for name, comparison in latest.document["secondary"].items():
        rates = {arm["arm"]: arm["rate"] for arm in comparison["arms"]}
        rows.extend(
            SecondaryRow(
                metric=metric_view(by_name[name]),
                arm=lift["arm"],
                control_rate=rates[plan.control],
                rate=rates[lift["arm"]],
                relative=lift["relative"],
                relative_low=lift["relative_low"],
                relative_high=lift["relative_high"],
                p_adjusted=corrected.get(name, {}).get(lift["arm"]),
            )
            for lift in comparison["lifts"]
        )
    return tuple(rows)


def segment_views(plan: Plan, latest: VerdictRecord) -> tuple[SegmentView, ...]:
    """By segment column."""
    return tuple(
        SegmentView(
            column=column,
            relative=plan.primary.numerator != "value_micros",
            differs=tuple((each["arm"], each["p_adjusted"]) for each in reading["heterogeneity"]),
            rows=tuple(
                SegmentRow(each["segment"], each["arm"], each["units"], each["lift"], each["p_adjusted"])
                for each in reading["lifts"]
            ),
        )
        for column, reading in latest.document.get("segments", {}).items()
    )


def verdict_view(record: VerdictRecord) -> VerdictView:
    """The kind, the winner and the reasons."""
    reasons = record.document["verdict"]["reasons"]
    return VerdictView(
        record.kind, record.arm, tuple(ReasonView(each["code"], flat(each["parameters"])) for each in reasons)
    )


def metric_view(metric: Metric) -> MetricView:
    """By the application's names."""
    return MetricView(metric.name, metric.numerator, metric.denominator, str(metric.direction))


def flat(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Lists become tuples: the model holds plain, hashable values."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in payload.items()}
