"""The two charts: the click rate to date by day, and each style's lift at each look."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import altair as alt

from reports import measures, numbers, scales
from reports.drawing import FONT, Drawing, Frame, both, cut, room, rules, texts, x_scale, y_scale
from reports.model import DailyRow, ExperimentReport, LiftRow
from reports.palette import CONTROL, GRID, PAST, TEXT, WINNER, ZERO, strokes
from reports.words import control_of


@dataclass(frozen=True, slots=True)
class RateToDate:
    """An arm's clicks over impressions, from the first day to the end of ``day``."""

    day: date
    arm: str
    impressions: int
    clicks: int

    @property
    def rate(self) -> float:
        """Clicks per impression."""
        return self.clicks / self.impressions


def rates_to_date(daily: Iterable[DailyRow]) -> tuple[RateToDate, ...]:
    """Cumulative counts by day and arm, in order; nothing until an arm's first impression."""
    totals: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    series = []
    for row in sorted(daily, key=lambda row: row.day):
        impressions, clicks = totals[row.arm]
        totals[row.arm] = impressions, clicks = impressions + row.impressions, clicks + row.clicks
        if impressions:
            series.append(RateToDate(row.day, row.arm, impressions, clicks))
    return tuple(series)


def rate_chart(experiment: ExperimentReport, prefix: str) -> Drawing | None:
    """The click rate to date of every arm, labelled at its line's end; None before the first impression."""
    series = rates_to_date(experiment.daily)
    if not series:
        return None
    title = f"Click rate to date by day: {experiment.title}"
    last = {row.arm: row for row in series}
    said = ", ".join(f"{arm} {numbers.percent(row.rate)}" for arm, row in last.items())
    names = ROW * len(last)
    frames = (Frame("wide", 560, max(290, names), 50, 158, 14), Frame("narrow", 208, max(230, names), 44, 94, 12))
    return both(
        prefix,
        title,
        f"Clicks per impression since the start. At the end: {said}.",
        [(frame, _rate_layers(experiment, series, frame)) for frame in frames],
    )


def _rate_layers(experiment: ExperimentReport, series: tuple[RateToDate, ...], frame: Frame) -> list[alt.Chart]:
    # Every day of the calendar has its room: a pause is no shorter than it was.
    first, last = min(row.day for row in series), max(row.day for row in series)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    levels = scales.ticks(min(row.rate for row in series), max(row.rate for row in series), 5)
    span_x = max(1, len(days) - 1)
    x = x_scale(0, span_x)
    y = y_scale(levels[0], levels[-1])
    winner = experiment.verdict.arm if experiment.verdict else None
    drawn = strokes(tuple(dict.fromkeys(row.arm for row in series)), control_of(experiment), winner)

    layers = [rules([{"y": level} for level in levels], GRID, y=y)]
    digits = scales.decimals((levels[1] - levels[0]) * 100)
    axis = [{"y": level, "text": f"{numbers.fixed(level * 100, digits)} %"} for level in levels]
    layers += texts(axis, y=y, px=-8, align="right")
    marked = scales.evenly(len(days), 4 if frame.narrow else 6)
    said = numbers.short_days(days[n] for n in marked)
    dates = [{"x": n, "text": text} for n, text in zip(marked, said, strict=True)]
    layers += texts(dates, x=x, py=frame.height + 20, align="center")

    ends = {row.arm: row for row in series}
    span = levels[-1] - levels[0]
    gap = (FONT + 3.5) / frame.height * span
    heights = scales.spread([row.rate for row in ends.values()], gap, levels[0], levels[-1])
    # The accented and the neutral line go on top of the muted ones.
    for arm in sorted(drawn, key=lambda arm: (drawn[arm].colour in (CONTROL, WINNER), arm == winner)):
        stroke, end = drawn[arm], ends[arm]
        height = heights[list(ends).index(arm)]
        points = [{"x": (row.day - first).days, "y": row.rate} for row in series if row.arm == arm]
        line = alt.Chart(alt.Data(values=points)).mark_line(
            color=stroke.colour, strokeWidth=stroke.width, strokeDash=stroke.dash, strokeJoin="round"
        )
        layers.append(line.encode(x, y))
        at_end = alt.Chart(alt.Data(values=[points[-1]]))
        layers.append(at_end.mark_circle(color=stroke.colour, size=34, opacity=1).encode(x, y))
        # A label beside the plot lies beyond the scale; its leader runs there from the line's end.
        label = {"x": span_x * (1 + 17 / frame.width), "y": height}
        leader = alt.Chart(alt.Data(values=[points[-1], label])).mark_line(color=stroke.colour, strokeWidth=1)
        layers.append(leader.encode(x, y))
        name = cut(arm, frame.letters)
        text = name if frame.narrow else f"{name}  {numbers.percent(end.rate)}"
        layers += texts([{"y": height, "text": text}], y=y, px=frame.width + 22, colour=TEXT, bold=arm == winner)
    return layers


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of the forest: an arm's lift at one look."""

    arm: str
    look: int
    value: float
    low: float | None
    high: float | None


def intervals(experiment: ExperimentReport) -> tuple[bool, tuple[Interval, ...]]:
    """(whether they are relative, the lifts of every look); absolute where any look has no relative lift."""
    rows = [(taken.look, lift) for taken in experiment.looks_taken for lift in taken.lifts]
    relative = all(numbers.known(lift.relative) for _, lift in rows)

    def interval(look: int, lift: LiftRow) -> Interval | None:
        value, low, high = (
            (lift.relative, lift.relative_low, lift.relative_high)
            if relative
            else (lift.absolute, lift.absolute_low, lift.absolute_high)
        )
        if not numbers.known(value):
            return None
        return Interval(
            lift.arm, look, value, low if numbers.known(low) else None, high if numbers.known(high) else None
        )

    found = (interval(look, lift) for look, lift in rows)
    return relative, tuple(row for row in found if row is not None)


def lift_chart(experiment: ExperimentReport, prefix: str) -> Drawing | None:
    """Each arm's lift with its corrected interval at every look taken, around zero; None before the first look."""
    relative, rows = intervals(experiment)
    if not rows:
        return None
    newest = max(row.look for row in rows)
    said = ", ".join(f"{row.arm} {_lift_text(experiment, row.value, relative)}" for row in rows if row.look == newest)
    arms = tuple(dict.fromkeys(row.arm for row in rows))
    height = sum(_block(rows, arm) for arm in arms)
    frames = (
        Frame("wide", 500, height, 172, 96, 15),
        Frame("narrow", 214, height + NAME_LINE * len(arms), 56, 76, 24),
    )
    return both(
        prefix,
        f"Lift against {control_of(experiment)} at each look: {experiment.title}",
        f"Each style's lift with its interval, corrected for all styles and looks. At look {newest}: {said}.",
        [(frame, _lift_layers(experiment, relative, rows, frame)) for frame in frames],
    )


ROW, BLOCK_GAP, NAME_LINE = 19, 15, 19
REACH = 2.5
"""Early intervals are very wide; the axis reaches this many times as far as the newest ones and cuts the rest."""


def _block(rows: tuple[Interval, ...], arm: str) -> int:
    return ROW * sum(row.arm == arm for row in rows) + BLOCK_GAP


def _reach(rows: tuple[Interval, ...]) -> tuple[float, float]:
    newest = max(row.look for row in rows)
    bounds = [b for row in rows if row.look == newest for b in (row.low, row.value, row.high) if b is not None]
    limit = REACH * max(map(abs, bounds)) or 0.01
    every = [b for row in rows for b in (row.low, row.value, row.high, 0.0) if b is not None]
    low, high = max(min(every), -limit), min(max(every), limit)
    margin = ((high - low) or 0.01) * 0.04
    return low - margin, high + margin


@dataclass(frozen=True, slots=True)
class Placed:
    """One interval at its height in the plot."""

    row: Interval
    y: float
    weight: float
    colour: str
    name_at: float | None
    """Where the arm is named; only on its first row."""


def _place(rows: tuple[Interval, ...], winner: str | None, frame: Frame) -> list[Placed]:
    """The rows grouped by arm, each look below the one before."""
    newest, above = max(row.look for row in rows), NAME_LINE if frame.narrow else 0
    placed, top = [], 0.0
    for arm in dict.fromkeys(row.arm for row in rows):
        mine = [row for row in rows if row.arm == arm]
        for n, row in enumerate(mine):
            colour = PAST if row.look != newest else WINNER if arm == winner else CONTROL
            weight = 5 if row.look == newest else 2.5
            placed.append(Placed(row, top + above + ROW * (n + 0.5), weight, colour, None if n else top + ROW / 2))
        top += _block(rows, arm) + above
    return placed


def _lift_layers(
    experiment: ExperimentReport, relative: bool, rows: tuple[Interval, ...], frame: Frame
) -> list[alt.Chart]:
    low, high = _reach(rows)
    x, y = x_scale(low, high), y_scale(frame.height, 0)

    def label(tick: float) -> str:
        return _lift_text(experiment, tick, relative).replace(".0 %", " %")

    marks = scales.labelled_ticks(low, high, 5 if frame.narrow else 6, frame.width, room, label)
    axis = [{"x": tick, "text": said} for tick, said in marks]
    winner = experiment.verdict.arm if experiment.verdict else None
    newest = max(row.look for row in rows)
    placed = _place(rows, winner, frame)

    def within(bound: float | None, edge: float) -> float:
        return edge if bound is None else min(high, max(low, bound))

    bars = [
        {"x": within(p.row.low, low), "x2": within(p.row.high, high), "y": p.y, "colour": p.colour, "width": p.weight}
        for p in placed
    ]
    points = [{"x": p.row.value, "y": p.y, "colour": p.colour} for p in placed if low <= p.row.value <= high]
    arrows = [
        {"x": edge, "y": p.y, "colour": p.colour, "shape": shape}
        for p in placed
        for beyond, edge, shape in (
            (p.row.low is None or p.row.low < low, low, "triangle-left"),
            (p.row.high is None or p.row.high > high, high, "triangle-right"),
        )
        if beyond
    ]
    colour = alt.Color("colour:N", scale=None, legend=None)
    width = alt.StrokeWidth("width:Q", scale=None, legend=None)
    shape = alt.Shape("shape:N", scale=None, legend=None)
    layers = [
        rules([{"x": tick} for tick, _ in marks], GRID, x=x),
        rules([{"x": 0}], ZERO, x=x),
        alt.Chart(alt.Data(values=bars)).mark_rule(opacity=1).encode(x, y, colour, width, alt.X2("x2:Q")),
        alt.Chart(alt.Data(values=points)).mark_circle(size=90, opacity=1).encode(x, y, colour),
        alt.Chart(alt.Data(values=arrows)).mark_point(size=60, filled=True, opacity=1).encode(x, y, colour, shape),
        *texts(axis, x=x, py=frame.height + 16, align="center"),
        *texts([{"y": p.y, "text": f"look {p.row.look}"} for p in placed], y=y, px=-12, align="right"),
    ]
    for bold in (False, True):
        mine = [p for p in placed if (p.row.arm == winner) is bold]
        names = [{"y": p.name_at, "text": cut(p.row.arm, frame.letters)} for p in mine if p.name_at is not None]
        lifts = [
            {"y": p.y, "text": _lift_text(experiment, p.row.value, relative)} for p in mine if p.row.look == newest
        ]
        beside = partial(texts, y=y, colour=TEXT, bold=bold)
        layers += beside(names, px=-frame.left) + beside(lifts, px=frame.width + 14)
    return layers


def _lift_text(experiment: ExperimentReport, value: float, relative: bool) -> str:
    if relative:
        return numbers.signed(numbers.change(value))
    return numbers.signed(measures.difference(experiment.metric, value))
