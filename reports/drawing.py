"""Drawing in two sizes: a wide edition and one for telephones, where text scaled down from a wide one cannot be read.

Every position is given and Vega only draws, so no font's metrics move anything. Values travel inside the chart: nothing
is fetched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt
import vl_convert

from reports import svg
from reports.palette import FAINT, VARIABLES

FONT = 12.5
"""Pixels; a wide drawing is shown at about its own size."""

Rows = Sequence[Mapping[str, object]]
"""What a layer draws: values by field."""


def room(text: str) -> float:
    """Pixels that a label needs with the gap to its neighbour; 0.6 em is a wide digit of the usual sans serifs."""
    return FONT * (0.6 * len(text) + 0.8)


@dataclass(frozen=True, slots=True)
class Frame:
    """One size of drawing, in pixels: the plot and the margins around it."""

    suffix: str
    width: int
    height: int
    left: int
    right: int
    letters: int
    """Longer names are cut."""

    @property
    def narrow(self) -> bool:
        """Whether this is the telephone's edition."""
        return self.suffix == "narrow"


@dataclass(frozen=True, slots=True)
class Drawing:
    """The same chart in two sizes, as SVG for a page."""

    wide: str
    narrow: str


def cut(name: str, letters: int) -> str:
    """A long name without its middle: styles often differ in how they end (``watercolor-0-6``, ``watercolor-0-8``)."""
    tail = (letters - 1) // 2
    return name if len(name) <= letters else f"{name[: letters - 1 - tail]}…{name[-tail:]}"


def x_scale(first: float, last: float) -> alt.X:
    return alt.X("x:Q", axis=None, scale=_exactly(first, last))


def y_scale(first: float, last: float) -> alt.Y:
    return alt.Y("y:Q", axis=None, scale=_exactly(first, last))


def _exactly(first: float, last: float) -> alt.Scale:
    return alt.Scale(domain=[first, last], nice=False, zero=False)


def rules(values: Rows, colour: str, **scale: alt.X | alt.Y) -> alt.Chart:
    return alt.Chart(alt.Data(values=values)).mark_rule(color=colour, strokeWidth=1, opacity=1).encode(**scale)


def texts(
    values: Rows,
    *,
    x: alt.X | None = None,
    y: alt.Y | None = None,
    px: float = 0,
    py: float = 0,
    align: Literal["left", "center", "right"] = "left",
    colour: str = FAINT,
    bold: bool = False,
) -> list[alt.Chart]:
    """Text at data positions on the scales given and at pixels on the others; no layer for no text."""
    if not values:
        return []
    marks = alt.Chart(alt.Data(values=values)).mark_text(
        color=colour, fontSize=FONT, align=align, baseline="middle", fontWeight=700 if bold else 400
    )
    return [marks.encode(x or alt.XValue(px), y or alt.YValue(py), alt.Text("text:N"))]


def both(prefix: str, title: str, description: str, editions: list[tuple[Frame, list[alt.Chart]]]) -> Drawing:
    drawn = {}
    for frame, layers in editions:
        # Given at once: each of Altair's fluent methods copies the whole chart with its data.
        chart = alt.layer(
            *layers,
            width=frame.width,
            height=frame.height,
            padding={"left": frame.left, "right": frame.right, "top": 12, "bottom": 34},
            autosize="none",
            config={"view": {"stroke": None}},
        )
        raw = vl_convert.vegalite_to_svg(chart.to_dict(validate=False))
        drawn[frame.suffix] = svg.inline(raw, f"{prefix}-{frame.suffix}", title, description, VARIABLES)
    return Drawing(**drawn)
