"""Where everything goes: a slot and its content in, boxes out. Knows no pixels' values and draws nothing.

Every slot is the same advertisement: the picture melts into the brand's ground, and on the ground stand headline,
button, logo and legal text. How it is cut depends on the slot's shape alone:

    card     picture above, text below     squares, rectangles, portraits, skyscrapers, stories
    panel    picture left, text right      billboards, link pictures
    strip    picture, headline, button     leaderboards, phone banners

Sizes grow with the geometric mean of a slot's sides; nothing becomes smaller than what is legible there. Under a
headline that runs from right to left all of it is mirrored, as its readers expect.
"""

from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal, NamedTuple

from creatives.errors import CreativeError
from creatives.fonts import Measure
from creatives.slots import Slot
from creatives.typesetting import Fitted, direction, fit, has_marks

PANEL_FROM, STRIP_FROM = 1.6, 5.0
"""Width over height from which a slot is cut as a panel, as a strip."""

SMALLEST_HEADLINE, SMALLEST_BUTTON, SMALLEST_LEGAL = 12.0, 11.0, 8.0
"""Least sizes in pixels as commonly seen (see ``Slot.pixel_ratio``)."""

LEADING = 1.16
_LEGAL_LEADING = 1.3
_BETWEEN_MARKS = 0.06
"""Ems left free between marks below one line and marks above the next."""
_ACCENTS = 0.12
"""Ems by which an accent on a capital may reach into the line above: it seldom stands right below a descender."""


class NoRoom(CreativeError):
    """A text does not fit into a slot at a legible size."""


class Box(NamedTuple):
    """Edges in pixels; right and bottom are exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text: where its ink begins, and its base line."""

    text: str
    x: float
    baseline: float


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of one size; ``box`` holds all their ink, descenders included."""

    lines: tuple[Line, ...]
    size: float
    box: Box
    direction: Literal["ltr", "rtl"] | None = None
    """Of the whole text (see `typesetting.direction`): a line may begin with a word that runs the other way."""


@dataclass(frozen=True, slots=True)
class Fade:
    """The picture's way into the ground along ``axis`` (``down``, ``right`` or ``left``), in pixels from the edge
    that it runs away from.

    It begins at ``start`` and is complete at ``late``, or as much earlier, down to ``early``, as legibility needs.
    """

    axis: str
    start: float
    late: float
    early: float


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be placed; aspects are width over height."""

    headline: str
    call_to_action: str
    legal: str | None
    logo_aspect: float | None
    picture_aspect: float


@dataclass(frozen=True, slots=True)
class Faces:
    """The measures of the three faces."""

    headline: Measure
    button: Measure
    legal: Measure


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes and lines, all inside the slot; ``clear`` is the part of the picture that nothing covers."""

    picture: Box
    clear: Box
    fade: Fade
    headline: Block
    button: Box
    button_text: Block
    logo: Box | None
    legal: Block | None


def lay_out(slot: Slot, content: Content, faces: Faces) -> Layout:
    """The layout of ``content`` in ``slot``.

    Raises:
        NoRoom: when a text cannot be set legibly; says which, and what to do.
    """
    aspect = slot.width / slot.height
    cut = _strip if aspect >= STRIP_FROM else _panel if aspect >= PANEL_FROM else _card
    if direction(content.headline) != "rtl":
        return cut(slot, content, faces)
    turned = slot.safe._replace(left=slot.safe.right, right=slot.safe.left)
    return _mirrored(cut(slot.model_copy(update={"safe": turned}), content, faces), slot, faces)


def _card(slot: Slot, content: Content, faces: Faces) -> Layout:
    tall = slot.height / slot.width >= 3
    frame = _frame(slot, margin=max(0.066 * min(slot.width, slot.height), 12 * min(slot.pixel_ratio, 1.5)))
    column = _column(
        slot, content, faces, frame,
        headline_height=slot.height * (0.36 if tall else 0.31), headline_lines=8 if tall else 4,
    )  # fmt: skip
    text_top, text_bottom = column.headline.box.top, column.headline.box.bottom
    bottom = min(max(slot.width / content.picture_aspect, text_top + 0.4 * (slot.height - text_top)), slot.height)
    bottom = slot.height if bottom > 0.9 * slot.height else round(bottom)
    reach = min(0.24 * slot.height, 0.5 * slot.width, 0.5 * text_top)
    fade = Fade(
        "down",
        start=text_top - reach,
        late=min(text_top + 0.5 * (text_bottom - text_top), bottom),
        early=text_top - 0.1 * column.headline.size,
    )
    return replace(
        column,
        picture=Box(0, 0, slot.width, bottom),
        clear=Box(0, 0, slot.width, text_top - 0.35 * reach),
        fade=fade,
    )


def _panel(slot: Slot, content: Content, faces: Faces) -> Layout:
    margin = 0.12 * slot.height
    width = round(min(max(slot.height * content.picture_aspect, 0.36 * slot.width), 0.5 * slot.width))
    frame = _frame(slot, margin)._replace(left=width + 0.6 * margin)
    column = _column(slot, content, faces, frame, headline_height=0.42 * slot.height, headline_lines=3)
    rise = (column.headline.box.top - frame.top) / 2  # the column was set on the bottom margin; centre it
    picture, clear, fade = _picture_left(slot, width)
    return replace(_raised(column, rise), picture=picture, clear=clear, fade=fade)


def _strip(slot: Slot, content: Content, faces: Faces) -> Layout:
    margin = max(0.11 * slot.height, 5)
    width = round(min(max(slot.height * content.picture_aspect, 1.25 * slot.height), 2.1 * slot.height))
    frame = _frame(slot, margin)._replace(left=width + 1.2 * margin)
    middle = slot.height / 2

    size = max(0.17 * slot.height, 12 * slot.pixel_ratio)
    button = _button(slot, content, faces, frame.width * 0.5, size)
    height = min(button.height, frame.height)
    # A phone banner is too low for a logo that could be read.
    logo = _logo_size(content, slot, widest=button.width, highest=0.24 * slot.height) if slot.height >= 80 else None
    gap = 0.12 * slot.height
    stack = height + (logo[1] + gap if logo else 0)
    top = middle - stack / 2
    button_box = Box(frame.right - button.width, top + stack - height, frame.right, top + stack)
    logo_box = None
    if logo:
        centre = (button_box.left + button_box.right) / 2
        logo_box = Box(centre - logo[0] / 2, top, centre + logo[0] / 2, top + logo[1])

    left, right = frame.left, button_box.left - 1.6 * margin
    legal = _legal_fit(slot, content, faces, right - left)
    below = legal.height + 0.6 * margin if legal else 0.0
    fitted = _headline_fit(
        slot, content, faces, right - left, frame.height - below, largest=0.3 * slot.height, lines=3
    )  # fmt: skip
    headline = _block(fitted, left, middle - (fitted.height + below) / 2)
    legal_block = _block(legal, left, headline.box.bottom + 0.6 * margin) if legal else None
    picture, clear, fade = _picture_left(slot, width)
    return Layout(
        picture=picture, clear=clear, fade=fade, headline=headline, button=button_box,
        button_text=_button_text(button_box, button, faces), logo=logo_box, legal=legal_block,
    )  # fmt: skip


def _picture_left(slot: Slot, width: int) -> tuple[Box, Box, Fade]:
    """A layout's ``picture``, ``clear`` and ``fade``, of a picture so wide along the left edge."""
    reach = min(0.5 * slot.height, 0.4 * width)
    fade = Fade("right", start=width - reach, late=width, early=width)
    return Box(0, 0, width, slot.height), Box(0, 0, width - 0.3 * reach, slot.height), fade


def _column(
    slot: Slot, content: Content, faces: Faces, frame: Box, *, headline_height: float, headline_lines: int
) -> Layout:
    """Headline, button with the logo beside or below it, legal text, set from the frame's bottom up; no picture yet."""
    scale = sqrt(slot.width * slot.height)
    bottom = frame.bottom
    legal = None
    legal_fit = _legal_fit(slot, content, faces, frame.width)
    if legal_fit:
        legal = _block(legal_fit, frame.left, bottom - legal_fit.height)
        bottom = legal.box.top - max(0.5 * legal.box.height, 0.035 * scale)

    button = _button(slot, content, faces, frame.width, max(0.038 * scale, 12.5 * slot.pixel_ratio))
    left_for_logo = frame.width - button.width - 0.05 * scale
    beside = left_for_logo >= 0.16 * scale
    logo_size = _logo_size(
        content, slot, widest=left_for_logo if beside else frame.width, highest=1.1 * button.height
    )  # fmt: skip
    logo = None
    if logo_size:
        logo_width, logo_height = logo_size
        if beside:
            # Button and logo share a middle; the higher of the two stands on the margin.
            row = max(button.height, logo_height)
            middle = bottom - row / 2
            logo = Box(frame.right - logo_width, middle - logo_height / 2, frame.right, middle + logo_height / 2)
            button_bottom = middle + button.height / 2
        else:
            logo = Box(frame.left, bottom - logo_height, frame.left + logo_width, bottom)
            button_bottom = logo.top - 0.05 * scale
    else:
        button_bottom = bottom
    button_width = button.width if beside or not logo_size else frame.width
    button_box = Box(frame.left, button_bottom - button.height, frame.left + button_width, button_bottom)

    top_of_row = min(button_box.top, logo.top if logo else button_box.top)
    largest = min(0.088 * scale, 0.3 * slot.height)
    fitted = _headline_fit(slot, content, faces, frame.width, headline_height, largest, headline_lines)
    gap = 0.5 * button.height
    headline = _block(fitted, frame.left, top_of_row - gap - fitted.height)
    nowhere = Box(0, 0, 0, 0)
    return Layout(
        picture=nowhere, clear=nowhere, fade=Fade("down", 0, 0, 0), headline=headline, button=button_box,
        button_text=_button_text(button_box, button, faces), logo=logo, legal=legal,
    )  # fmt: skip


def _frame(slot: Slot, margin: float) -> Box:
    """The slot less its margin, or its safe zone where that is wider."""
    safe = slot.safe
    return Box(
        max(margin, safe.left),
        max(margin, safe.top),
        slot.width - max(margin, safe.right),
        slot.height - max(margin, safe.bottom),
    )


@dataclass(frozen=True, slots=True)
class _Spacing:
    """How far a text reaches above and below its base lines and how far apart these are, in ems.

    By the capitals, as designers see it; where that would let marks touch those of the next line, by all the ink.
    """

    above: float
    below: float
    leading: float

    @classmethod
    def of(cls, text: str, measure: Measure, leading: float) -> "_Spacing":
        above, below = measure.ink(text)
        if above + below <= leading + (0 if has_marks(text) else _ACCENTS):
            return cls(measure.cap_height, measure.descent, leading)
        return cls(
            max(above, measure.cap_height), max(below, measure.descent), max(leading, above + below + _BETWEEN_MARKS)
        )


@dataclass(frozen=True, slots=True)
class _Set:
    """A text that fits, and by what it was set."""

    fitted: Fitted
    measure: Measure
    spacing: _Spacing

    @property
    def height(self) -> float:
        """Of all its ink, in pixels."""
        spacing = self.spacing
        lines = (len(self.fitted.lines) - 1) * spacing.leading
        return (spacing.above + lines + spacing.below) * self.fitted.size


@dataclass(frozen=True, slots=True)
class _Button:
    label: Fitted
    spacing: _Spacing
    width: float
    height: float


def _button(slot: Slot, content: Content, faces: Faces, widest: float, size: float) -> _Button:
    """A button as wide as its label needs, padded in proportion; the label shrinks before it is refused."""
    padding = 1.15
    spacing = _Spacing.of(content.call_to_action, faces.button, LEADING)
    for lines in (1, 2):
        label = fit(
            content.call_to_action, lambda text: faces.button.width(text) + 2 * padding, width=widest,
            height=slot.height, largest=size, smallest=min(size, SMALLEST_BUTTON * slot.pixel_ratio), lines=lines,
            leading=spacing.leading, cap_height=spacing.above,
        )  # fmt: skip
        if label:
            return _Button(label, spacing, label.width, (2.5 + (lines - 1) * spacing.leading) * label.size)
    raise NoRoom(_no_room(slot, "call_to_action", content.call_to_action, SMALLEST_BUTTON))


def _button_text(box: Box, button: _Button, faces: Faces) -> Block:
    """The label in the button's middle, by the height of its capitals."""
    size, spacing = button.label.size, button.spacing
    cap = faces.button.cap_height * size
    first = (box.top + box.bottom + cap - (len(button.label.lines) - 1) * spacing.leading * size) / 2
    widths = [faces.button.width(text) * size for text in button.label.lines]
    lines = tuple(
        Line(text, (box.left + box.right - width) / 2, first + n * spacing.leading * size)
        for n, (text, width) in enumerate(zip(button.label.lines, widths, strict=True))
    )
    left = min(line.x for line in lines)
    edges = Box(left, first - spacing.above * size, left + max(widths), lines[-1].baseline + spacing.below * size)
    return Block(lines, size, edges, direction("".join(button.label.lines)))


def _headline_fit(
    slot: Slot, content: Content, faces: Faces, width: float, height: float, largest: float, lines: int
) -> _Set:
    smallest = SMALLEST_HEADLINE * slot.pixel_ratio
    found = _set(
        content.headline, faces.headline, LEADING, width=width, height=height, largest=max(largest, smallest),
        smallest=smallest, lines=lines,
    )  # fmt: skip
    if found is None:
        raise NoRoom(_no_room(slot, "headline", content.headline, SMALLEST_HEADLINE))
    return found


def _legal_fit(slot: Slot, content: Content, faces: Faces, width: float) -> _Set | None:
    if content.legal is None:
        return None
    smallest = SMALLEST_LEGAL * slot.pixel_ratio
    found = _set(
        content.legal, faces.legal, _LEGAL_LEADING, width=width, height=0.3 * slot.height,
        largest=max(smallest, 0.017 * sqrt(slot.width * slot.height)), smallest=smallest, lines=12,
    )  # fmt: skip
    if found is None:
        raise NoRoom(_no_room(slot, "legal", content.legal, SMALLEST_LEGAL))
    return found


def _set(
    text: str, measure: Measure, leading: float, *, width: float, height: float, largest: float, smallest: float,
    lines: int,
) -> _Set | None:  # fmt: skip
    spacing = _Spacing.of(text, measure, leading)
    # The height that a fit counts ends on the last base line: marks that hang lower than a p are asked room for here.
    fitted = fit(
        text, measure.width, width=width, height=height, largest=largest, smallest=smallest, lines=lines,
        leading=spacing.leading, cap_height=spacing.above + spacing.below - measure.descent,
    )  # fmt: skip
    return _Set(fitted, measure, spacing) if fitted else None


def _no_room(slot: Slot, key: str, text: str, smallest: float) -> str:
    return (
        f"slot {slot.name} has no room for the {key} ({len(text)} characters, at least {smallest:g} px as seen); "
        "shorten it, or leave this slot out of the brief"
    )


def _logo_size(content: Content, slot: Slot, *, widest: float, highest: float) -> tuple[float, float] | None:
    """Logos of every shape get like areas, because that is what makes them look equally large."""
    if content.logo_aspect is None:
        return None
    side = 0.13 * sqrt(slot.width * slot.height)
    width = min(side * sqrt(content.logo_aspect), widest, highest * content.logo_aspect, 0.42 * slot.width)
    return width, width / content.logo_aspect


def _block(text: _Set, left: float, top: float) -> Block:
    """Lines from ``top`` down, on whole base lines so that small text stays crisp; what runs from right to left is
    flush right."""
    fitted, measure, spacing = text.fitted, text.measure, text.spacing
    size, way = fitted.size, direction("".join(fitted.lines))
    first = top + spacing.above * size
    lines = tuple(
        Line(
            text,
            left + fitted.width - measure.width(text) * size if way == "rtl" else left,
            round(first + n * spacing.leading * size),
        )
        for n, text in enumerate(fitted.lines)
    )
    bottom = lines[-1].baseline + spacing.below * size
    box = Box(left, lines[0].baseline - spacing.above * size, left + fitted.width, bottom)
    return Block(lines, size, box, way)


def _raised(layout: Layout, rise: float) -> Layout:
    def box(it: Box) -> Box:
        return it._replace(top=it.top - rise, bottom=it.bottom - rise)

    def block(it: Block) -> Block:
        lines = tuple(replace(line, baseline=round(line.baseline - rise)) for line in it.lines)
        return replace(it, lines=lines, box=box(it.box))

    return replace(
        layout, headline=block(layout.headline), button=box(layout.button), button_text=block(layout.button_text),
        logo=box(layout.logo) if layout.logo else None, legal=block(layout.legal) if layout.legal else None,
    )  # fmt: skip


def _mirrored(layout: Layout, slot: Slot, faces: Faces) -> Layout:
    """Right for left, and each line flush with the other edge of its block; a label stays in its button's middle."""

    def box(it: Box) -> Box:
        return it._replace(left=slot.width - it.right, right=slot.width - it.left)

    def block(it: Block, measure: Measure, before: float = 1.0) -> Block:
        edges = box(it.box)
        lines = tuple(
            replace(line, x=edges.left + (edges.width - measure.width(line.text) * it.size) * before)
            for line in it.lines
        )
        return replace(it, lines=lines, box=edges)

    fade = replace(layout.fade, axis="left") if layout.fade.axis == "right" else layout.fade
    return Layout(
        picture=box(layout.picture), clear=box(layout.clear), fade=fade,
        headline=block(layout.headline, faces.headline), button=box(layout.button),
        button_text=block(layout.button_text, faces.button, 0.5), logo=box(layout.logo) if layout.logo else None,
        legal=block(layout.legal, faces.legal) if layout.legal else None,
    )  # fmt: skip
