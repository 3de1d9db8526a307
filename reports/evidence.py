"""The evidence tables as text, each interval with the place of its bar on a scale that the table's rows share."""

from collections.abc import Sequence
from typing import Any

from reports import charts, measures, numbers, scales
from reports.errors import ReportError
from reports.model import ArmRow, ExperimentReport, GuardrailRow, LiftRow, MetricView, SegmentRow, SegmentView
from reports.words import control_style, differs, humanised, quoted, verdict_label

DAYS_SHOWN = 42
"""More days make a page nobody reads; the others are in the JSON."""
COLUMNS = 6
"""A table of more arms side by side scrolls within itself where the page is wide."""

GUARDRAILS = {"held": ("good", "Held"), "harmed": ("bad", "Harmed"), "unknown": ("note", "Not known yet")}


def interval_text(low: str, high: str) -> str:
    """``2.94 % to 3.31 %``; one phrase where a bound is missing."""
    return numbers.UNKNOWN if numbers.UNKNOWN in (low, high) else f"{low} to {high}"


def bars(
    rows: Sequence[tuple[float | None, float | None, float | None]], reference: float | None
) -> list[dict[str, str] | None]:
    """Where each (low, value, high) lies, in percent of a common scale that includes ``reference``."""
    points = [v for row in rows for v in (*row, reference) if numbers.known(v)]
    if not points or min(points) == max(points):
        return [None] * len(rows)
    first, width = min(points), max(points) - min(points)

    def place(value: float) -> str:
        return f"{(value - first) / width * 100:.2f}%"

    return [
        {
            "left": place(low),
            "width": f"{(high - low) / width * 100:.2f}%",
            "value": place(value),
            "reference": place(reference if numbers.known(reference) else first),
        }
        if numbers.known(low) and numbers.known(value) and numbers.known(high)
        else None
        for low, value, high in rows
    ]


def arms_table(experiment: ExperimentReport) -> list[dict[str, Any]]:
    """A row for each arm: what it was given and what it earned."""
    metric = experiment.metric
    winner = experiment.verdict.arm if experiment.verdict else None
    control = next((arm.rate for arm in experiment.arms if arm.control), None)
    places = bars([(arm.low, arm.rate, arm.high) for arm in experiment.arms], control)
    return [_arm(arm, metric, winner, place) for arm, place in zip(experiment.arms, places, strict=True)]


def _arm(arm: ArmRow, metric: MetricView, winner: str | None, place: dict[str, str] | None) -> dict[str, Any]:
    low, high = measures.level(metric, arm.low), measures.level(metric, arm.high)
    return {
        "name": arm.name,
        "look": control_style(arm),
        "role": "control" if arm.control else "winner" if arm.name == winner else "",
        "units": numbers.count(arm.units),
        "denominator": numbers.count(arm.denominator),
        "numerator": measures.total(metric, arm.numerator),
        "rate": measures.level(metric, arm.rate),
        "interval": interval_text(low, high),
        "bar": place,
    }


def lifts_table(experiment: ExperimentReport) -> list[dict[str, Any]]:
    """A row for each arm against the control; relative where every arm's lift is, else absolute."""
    lifts = experiment.lifts
    winner = experiment.verdict.arm if experiment.verdict else None
    arms = {arm.name: arm for arm in experiment.arms}
    relative = all(numbers.known(lift.relative) for lift in lifts)
    places = bars([_bounds(lift, relative) for lift in lifts], 0.0)
    rows: list[dict[str, Any]] = []
    for lift, place in zip(lifts, places, strict=True):
        arm = arms.get(lift.arm)
        rows.append(
            lift_text(experiment, lift, relative)
            | {
                "name": lift.arm,
                "role": "winner" if lift.arm == winner else "",
                "p": numbers.p_value(lift.p),
                "p_adjusted": numbers.p_value(lift.p_adjusted),
                "best": numbers.probability(arm.probability_best if arm else None),
                "loss": measures.risk(experiment.metric, arm.expected_loss if arm else None),
                "expected": numbers.signed(numbers.change(lift.expected)),
                "bar": place,
            }
        )
    return rows


def _bounds(lift: LiftRow, relative: bool) -> tuple[float | None, float | None, float | None]:
    if relative:
        return lift.relative_low, lift.relative, lift.relative_high
    return lift.absolute_low, lift.absolute, lift.absolute_high


def lift_text(experiment: ExperimentReport, lift: LiftRow, relative: bool) -> dict[str, str]:
    """A lift and its interval as text."""
    low, value, high = (
        numbers.signed(numbers.change(bound) if relative else measures.difference(experiment.metric, bound))
        for bound in _bounds(lift, relative)
    )
    return {"lift": value, "interval": interval_text(low, high)}


def guardrails_table(experiment: ExperimentReport) -> list[dict[str, str]]:
    """A row for each guardrail of each arm, with whether it held."""
    return [_guardrail(row, experiment.method.unit) for row in experiment.guardrails]


def _guardrail(row: GuardrailRow, unit: str) -> dict[str, str]:
    if row.state not in GUARDRAILS:
        raise ReportError(f"there is no guardrail state {row.state!r}; it is one of {', '.join(GUARDRAILS)}")
    state, label = GUARDRAILS[row.state]
    low, high = (numbers.signed(numbers.change(bound)) for bound in (row.relative_low, row.relative_high))
    return {
        "metric": measures.title(row.metric, unit),
        "name": row.arm,
        "rate": measures.level(row.metric, row.rate),
        "control": measures.level(row.metric, row.control_rate),
        "change": numbers.signed(numbers.change(row.relative)),
        "interval": interval_text(low, high),
        "margin": numbers.limit(row.margin),
        "state": state,
        "label": label,
    }


def secondary_table(experiment: ExperimentReport) -> list[dict[str, str]]:
    """A row for each secondary metric of each arm."""
    unit = experiment.method.unit
    return [
        {
            "metric": measures.title(row.metric, unit),
            "name": row.arm,
            "rate": measures.level(row.metric, row.rate),
            "control": measures.level(row.metric, row.control_rate),
            "change": numbers.signed(numbers.change(row.relative)),
            "interval": interval_text(
                *(numbers.signed(numbers.change(bound)) for bound in (row.relative_low, row.relative_high))
            ),
            "p": numbers.p_value(row.p_adjusted),
        }
        for row in experiment.secondary
    ]


def segments_table(experiment: ExperimentReport, view: SegmentView) -> dict[str, Any]:
    """One column's segments: a row each, a lift for each arm, and whether they differ by more than chance."""
    arms = tuple(dict.fromkeys(row.arm for row in view.rows))
    cells = {(row.segment, row.arm): row for row in view.rows}
    units = {row.segment: 0 for row in view.rows}
    for row in view.rows:
        units[row.segment] = max(units[row.segment], row.units)

    def lift(row: SegmentRow) -> str:
        text = numbers.change(row.lift) if view.relative else measures.difference(experiment.metric, row.lift)
        return numbers.signed(text)

    return {
        "title": f"By {humanised(view.column)}",
        "arms": arms,
        "across": len(arms) > COLUMNS,
        "differs": differs(view, experiment.method.alpha),
        "rows": [
            {
                "segment": segment,
                "units": numbers.count(units[segment]),
                "lifts": [
                    {
                        "arm": arm,
                        "text": lift(cells[segment, arm]),
                        "p": numbers.p_phrase(cells[segment, arm].p_adjusted),
                    }
                    for arm in arms
                ],
            }
            for segment in units
        ],
    }


def rates_by_day(experiment: ExperimentReport) -> dict[str, Any]:
    """The table behind the first chart: a row for each day or, of many, every few days, a column for each arm."""
    series = charts.rates_to_date(experiment.daily)
    arms = tuple(dict.fromkeys(row.arm for row in series))
    cells = {(row.day, row.arm): row for row in series}
    days = sorted({row.day for row in series})
    shown = sorted({*(days[n] for n in scales.evenly(len(days), DAYS_SHOWN)), *days[-1:]})
    return {
        "arms": arms,
        "across": len(arms) > COLUMNS,
        "days_left_out": numbers.count(len(days) - len(shown)) if len(shown) < len(days) else "",
        "rows": [
            {
                "day": numbers.short_day(day),
                "rates": [numbers.percent(cells[day, arm].rate) if (day, arm) in cells else "" for arm in arms],
            }
            for day in shown
        ],
    }


def lifts_by_look(experiment: ExperimentReport) -> list[dict[str, str]]:
    """The table behind the second chart: a row for each arm at each look."""
    relative, _ = charts.intervals(experiment)
    return [
        lift_text(experiment, lift, relative)
        | {
            "look": numbers.count(taken.look),
            "name": lift.arm,
            "p_adjusted": numbers.p_value(lift.p_adjusted),
            "verdict": verdict_label(taken.verdict),
        }
        for taken in experiment.looks_taken
        for lift in taken.lifts
    ]


def figures(experiment: ExperimentReport, lead: LiftRow | None, control: str) -> list[dict[str, str]]:
    """The few numbers to remember: the lift and its interval (where they may be believed), the audience, the look."""
    shown = []
    kind = experiment.verdict.kind if experiment.verdict else None
    if lead is not None and kind not in (None, "invalid"):
        relative = numbers.known(lead.relative)
        text = lift_text(experiment, lead, relative)
        level = numbers.limit(1 - experiment.method.alpha)
        metric = measures.title(experiment.metric, experiment.method.unit).lower()
        shown.append(
            {"value": text["lift"], "label": f"{metric}, {quoted(lead.arm)} against {quoted(control, control)}"}
        )
        shown.append(
            {
                "value": text["interval"].replace("+", ""),
                "label": f"{level} interval: where the true lift plausibly lies",
            }
        )
    if experiment.arms:
        units = sum(arm.units for arm in experiment.arms)
        shown.append({"value": numbers.count(units), "label": f"{experiment.method.unit}s in the experiment"})
        shown.append({"value": f"{experiment.look} of {experiment.looks}", "label": "looks at the evidence taken"})
    return shown
