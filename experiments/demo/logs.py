"""A week's log files as an ad server delivers them, with what real logs have: late, repeated, broken lines, a bot."""

import gzip
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from experiments.core.seeds import seed_for
from experiments.demo.audience import Audience, Events, Serving, bot_visits, concatenate, week_of_events

LATE_SHARE = 0.01
"""Of the lines of a week, delivered a week later."""
REPEATED_SHARE = 0.004
"""Delivered twice: at-least-once pipelines do."""
TORN_CLICKS = (
    '{"event_id": "torn-1", "ts": "2026-11-0',
    "upstream connect error or disconnect/reset before headers",
    '{"event_id": "", "ts": "2026-11-03T08:00:00Z", "impression_id": "nobody-1"}',
    '{"event_id": "torn-2", "ts": "yesterday evening", "impression_id": "nobody-2"}',
)
TORN_IMPRESSIONS = (
    "torn-3,2026-11-04T10:00:00Z,coffee",
    "torn-4,2026-11-04T10:00:00Z,coffee,%%ARM%%,coffee-1,300x250,0.2,-",
    "torn-5,2026-13-41T10:00:00Z,coffee,original,coffee-1,300x250,0.2,-",
)


def week_is_begun(inbox: Path, week: int) -> bool:
    """True when the first file of a week lies in the inbox."""
    return _paths(inbox, week)[0].is_file()


def week_is_written(inbox: Path, week: int) -> bool:
    """True when all files of a week lie in the inbox (the last one is written last)."""
    return _paths(inbox, week)[-1].is_file()


def write_week(inbox: Path, servings: Sequence[Serving], week: int, weeks: int, monday: datetime, seed: int) -> int:
    """Simulate week 0, 1, ... of every experiment, drop its files into ``inbox``, return the number of lines."""
    rng = np.random.default_rng(seed_for("demo", str(seed), "delivery", str(week)))
    kinds: list[list[Events]] = [[], [], []]
    for serving in servings:
        audience = Audience.draw(serving, seed, weeks)
        for events, kind in zip(week_of_events(audience, serving, week, monday), kinds, strict=True):
            kind.append(events)
        for events, kind in zip(bot_visits(serving, week, monday), kinds, strict=False):
            kind.append(events)
    impressions, clicks, conversions = (concatenate(kind) for kind in kinds)
    late = rng.random(len(impressions)) < LATE_SHARE
    header = ",".join(impressions.columns)
    on_time = [header, *_scattered(rng, impressions.rows(~late).csv_lines(), TORN_IMPRESSIONS)]
    paths = _paths(inbox, week)
    lines = (
        on_time,
        [header, *impressions.rows(late).csv_lines()],
        _scattered(rng, clicks.json_lines(), TORN_CLICKS),
        [",".join(conversions.columns), *conversions.csv_lines()],
    )
    for path, text in zip(paths, lines, strict=True):
        _write(path, text)
    return sum(len(text) for text in lines)


def _paths(inbox: Path, week: int) -> tuple[Path, Path, Path, Path]:
    return (
        inbox / f"impressions-week{week + 1}.csv.gz",
        inbox / f"impressions-week{week + 1}-late.csv",
        inbox / f"clicks-week{week + 1}.jsonl.gz",
        inbox / f"conversions-week{week + 1}.csv",
    )


def _scattered(rng: np.random.Generator, lines: list[str], torn: Sequence[str]) -> list[str]:
    """The lines with some repeated and some broken ones among them."""
    repeated = [lines[index] for index in np.flatnonzero(rng.random(len(lines)) < REPEATED_SHARE)]
    whole = [*lines, *repeated]
    for line in torn:
        whole.insert(int(rng.integers(1, len(whole))), line)
    return whole


def _write(path: Path, lines: Sequence[str]) -> None:
    """Whole or not at all; gzip without a time stamp, so that the same week has the same bytes."""
    data = ("\n".join(lines) + "\n").encode()
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(gzip.compress(data, compresslevel=1, mtime=0) if path.suffix == ".gz" else data)
    os.replace(aside, path)
