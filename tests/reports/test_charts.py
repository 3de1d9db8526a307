import dataclasses
import hashlib
import re
import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports import charts, palette, svg
from reports.drawing import cut
from reports.model import DailyRow, LookRow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def drawings(example):
    winner = example["winner"]()
    return charts.rate_chart(winner, "e1-rate"), charts.lift_chart(winner, "e1-lift")


def both(drawings):
    return [text for drawing in drawings for text in (drawing.wide, drawing.narrow)]


def test_rates_to_date_add_up_day_by_day():
    monday, tuesday = date(2026, 11, 2), date(2026, 11, 3)
    daily = (
        DailyRow(tuesday, "ink", 100, 5),
        DailyRow(monday, "ink", 100, 1),
        DailyRow(monday, "late", 0, 0),
        DailyRow(tuesday, "late", 50, 2),
    )
    series = [(row.day, row.arm, row.impressions, row.clicks, row.rate) for row in charts.rates_to_date(daily)]
    assert series == [(monday, "ink", 100, 1, 0.01), (tuesday, "ink", 200, 6, 0.03), (tuesday, "late", 50, 2, 0.04)]


def test_a_chart_is_themed_labelled_and_scales(drawings):
    for text in both(drawings):
        root = ElementTree.fromstring(text)  # noqa: S314 - our own drawing
        assert root.get("role") == "img"
        assert "viewBox" in root.attrib
        assert "width" not in root.attrib
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        assert root.get("aria-labelledby").split() == ids[:2]
        assert len(ids) == len(set(ids))
        assert all(identity.startswith(("e1-rate-", "e1-lift-")) for identity in ids)
        assert not any(stand_in in text for stand_in in palette.VARIABLES)
        assert "font-family" not in text
        assert "<text" in text
        assert "script" not in text


def test_every_arm_is_named_at_the_end_of_its_line(drawings):
    for arm in ("original", "ink", "watercolour", "halftone", "night"):
        assert f">{arm} " in drawings[0].wide or f">{arm}<" in drawings[0].wide
        assert f">{arm}<" in drawings[0].narrow


def test_the_same_bytes_after_other_charts_and_in_another_process(drawings, example):
    charts.lift_chart(example["running"](), "other")
    again = charts.rate_chart(example["winner"](), "e1-rate"), charts.lift_chart(example["winner"](), "e1-lift")
    assert again == drawings
    code = (
        "import hashlib, runpy; from reports import charts;"
        "winner = runpy.run_path('tests/reports/example.py')['winner']();"
        "text = ''.join(t for c in (charts.rate_chart(winner, 'e1-rate'), charts.lift_chart(winner, 'e1-lift'))"
        " for t in (c.wide, c.narrow));"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == hashlib.sha256("".join(both(drawings)).encode()).hexdigest()


def test_ids_from_a_process_wide_counter_are_renamed():
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
        '<defs><clipPath id="clip41"><path d="M0 0"/></clipPath>'
        '</defs><g clip-path="url(#clip41)"><path fill="#a10006" d="M1 1"/></g></svg>'
    )
    text = svg.inline(drawn, "c", "Title & more", "Says <so>", palette.VARIABLES)
    assert "clip41" not in text
    assert re.search(r'id="(c-\d+)".*url\(#\1\)', text)
    assert 'style="fill:var(--accent)"' in text
    assert "Title &amp; more" in text
    assert text == svg.inline(drawn.replace("clip41", "clip77"), "c", "Title & more", "Says <so>", palette.VARIABLES)


def test_nothing_is_drawn_before_there_is_anything_to_draw(example):
    empty = dataclasses.replace(example["winner"](), daily=(), looks_taken=())
    assert charts.rate_chart(empty, "a") is None
    assert charts.lift_chart(empty, "b") is None


def test_one_day_one_arm_and_a_hostile_name_are_drawn(example):
    name = '<script>alert("x")</script>'
    alone = dataclasses.replace(example["winner"](), daily=(DailyRow(date(2026, 11, 2), name, 10, 0),), title=name)
    drawn = charts.rate_chart(alone, "a")
    assert "<script" not in drawn.wide + drawn.narrow


def test_days_without_impressions_keep_their_room(example):
    winner = example["winner"]()
    paused = tuple(row for row in winner.daily if not date(2026, 11, 6) <= row.day <= date(2026, 11, 18))
    drawn = charts.rate_chart(dataclasses.replace(winner, daily=paused), "a").wide
    assert ">10 Nov<" in drawn


def test_the_names_of_many_arms_do_not_lie_on_each_other(example):
    rows = tuple(DailyRow(date(2026, 11, 2), f"style-{n:02d}", 1000, 30 + n) for n in range(40))
    drawn = charts.rate_chart(dataclasses.replace(example["winner"](), daily=rows), "a")
    for text in (drawn.wide, drawn.narrow):
        heights = sorted(float(y) for y in re.findall(r"translate\([\d.]+,([\d.]+)\)[^>]*>style-", text))
        assert len(heights) == 40
        assert min(b - a for a, b in pairwise(heights)) > 12.5


def test_long_names_that_differ_at_their_end_are_told_apart():
    assert cut("watercolor", 12) == "watercolor"
    names = [cut(f"watercolor-at-0-{n}", 12) for n in (6, 8)]
    assert names == ["waterc…t-0-6", "waterc…t-0-8"]


def test_an_interval_beyond_the_axis_or_without_an_end_gets_an_arrow(example):
    winner = example["winner"]()
    lift = dataclasses.replace(winner.lifts[0], relative=0.1, relative_low=-0.05, relative_high=0.25)
    early = dataclasses.replace(lift, relative_low=None, relative_high=40.0)
    at = winner.looks_taken[0].at
    looks = (LookRow(1, at, (early,), "keep_running"), LookRow(2, at, (lift,), "promote"))
    cut = charts.lift_chart(dataclasses.replace(winner, looks_taken=looks), "a").wide
    whole = charts.lift_chart(dataclasses.replace(winner, looks_taken=looks[1:]), "a").wide
    assert "−1,000 %" not in cut
    assert (whole.count("Z"), cut.count("Z")) == (0, 2)  # only the arrows are closed paths


def test_a_control_without_clicks_is_drawn_in_absolute_terms(example):
    winner = example["winner"]()
    lifts = tuple(
        dataclasses.replace(row, relative=None, relative_low=None, relative_high=None) for row in winner.lifts
    )
    taken = (dataclasses.replace(winner.looks_taken[-1], lifts=lifts),)
    relative, rows = charts.intervals(dataclasses.replace(winner, looks_taken=taken))
    assert not relative
    assert rows[0].value == winner.lifts[0].absolute


def test_twelve_arms_stay_apart():
    arms = tuple(f"style-{n}" for n in range(12))
    strokes = palette.strokes(arms, "style-0", "style-3")
    assert strokes["style-3"].colour == palette.WINNER
    assert strokes["style-0"].colour == palette.CONTROL
    others = {(s.colour, tuple(s.dash)) for arm, s in strokes.items() if arm not in ("style-0", "style-3")}
    assert len(others) == 10
