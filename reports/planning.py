"""The planner's chart: what every lift would take, as a file for a slide."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import vl_convert

from reports import numbers
from reports.errors import ReportError

_WIDTH, _HEIGHT, _PIXELS = 640, 360, 2
_GRID, _PLANNED, _MEAN, _ASKED = "#e3e3e0", "#1d1d1b", "#8a8a86", "#0b6e4f"


@dataclass(frozen=True, slots=True)
class PlannedLift:
    """One lift that may be looked for."""

    lift: float
    """Relative."""
    sample: float
    """Units of all arms together."""
    expected: float
    """Of which, on average, so many are needed where the lift is there."""
    days: float | None = None


def planning_chart(plans: Sequence[PlannedLift], asked: float, power: float, suffix: str) -> bytes:
    """Sample (or days, where they are known) against lift, the asked one marked.

    Args:
        plans: at least two, by lift.
        asked: the lift to be marked; one of them.
        power: said in the title.
        suffix: ``.svg`` or ``.png``.

    Raises:
        ReportError: for another suffix.
    """
    if suffix not in (".svg", ".png"):
        raise ReportError(f"a chart is written as .svg or .png, not as {suffix or 'a file without an ending'!r}")
    timed = all(plan.days is not None for plan in plans)
    what = "days" if timed else "units in all arms"

    def amount(plan: PlannedLift, sample: float) -> float:
        return (plan.days or 0.0) * sample / plan.sample if timed else sample

    rows = [
        {"lift": 100 * plan.lift, "amount": amount(plan, sample), "kind": kind}
        for plan in plans
        for kind, sample in (("planned", plan.sample), ("mean, if the lift is there", plan.expected))
    ]
    mark = next(plan for plan in plans if plan.lift == asked)
    label = f"{numbers.change(asked)}: {numbers.count(round(amount(mark, mark.sample)))} {what}"
    x = alt.X("lift:Q", title="relative lift, %", scale=alt.Scale(zero=False, nice=False))
    amounts = [amount(plan, sample) for plan in plans for sample in (plan.sample, plan.expected)]
    y = alt.Y(
        "amount:Q",
        title=what,
        scale=alt.Scale(type="log", nice=False, domain=[min(amounts) / 1.2, max(amounts) * 1.2]),
        axis=alt.Axis(format="~s", tickCount=5),
    )
    kinds = alt.Scale(domain=["planned", "mean, if the lift is there"], range=[_PLANNED, _MEAN])
    base = alt.Chart(alt.Data(values=rows))
    lines = base.mark_line(strokeWidth=2).encode(
        x, y, alt.Color("kind:N", scale=kinds, title=None, legend=alt.Legend(orient="top", labelFontSize=13))
    )
    point = alt.Chart(alt.Data(values=[{"lift": 100 * asked, "amount": amount(mark, mark.sample), "text": label}]))
    chart = alt.layer(
        lines,
        point.mark_point(size=90, filled=True, color=_ASKED, opacity=1).encode(x, y),
        point.mark_text(align="left", dx=9, dy=-11, fontSize=13, fontWeight=600, color=_ASKED).encode(
            x, y, alt.Text("text:N")
        ),
        width=_WIDTH,
        height=_HEIGHT,
        padding=16,
        background="white",
        title=alt.TitleParams(f"What it takes to find a lift with a power of {power:.0%}", anchor="start", fontSize=15),
        config={
            "view": {"stroke": None},
            "axis": {
                "labelFontSize": 12.5,
                "titleFontSize": 13,
                "gridColor": _GRID,
                "domainColor": _GRID,
                "tickColor": _GRID,
                "titleFontWeight": 400,
            },
            "font": "sans-serif",
        },
    )
    drawn = chart.to_dict(validate=False)
    if suffix == ".svg":
        return vl_convert.vegalite_to_svg(drawn).encode()
    return vl_convert.vegalite_to_png(drawn, scale=_PIXELS)
