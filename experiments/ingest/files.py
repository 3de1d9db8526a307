"""One file into the lake: whole or not at all, once, with every line accounted for."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from experiments.core.delivery import Delivery
from experiments.events.lake import EventLake
from experiments.events.schema import REJECTS, table_of
from experiments.ingest.feed import Feed, Trafficking
from experiments.ingest.formats import Csv, Format, JsonLines, Mapped, Rows, looks_like_json
from experiments.ingest.hashing import HashedUnits, Networks, UnitHasher
from experiments.ingest.log import Block, FileRefused, Log, open_log
from experiments.ingest.rows import Rules, Sieve
from experiments.ingest.staging import Staging, staging
from experiments.ingest.traffic import Agents, Filters, Hosts
from experiments.ingest.values import micros

FUTURE_TOLERANCE = timedelta(days=1)
"""Clocks and time zones are wrong by hours, not by days."""
FIRST_LINES = 1000
"""Lines that say which keys a file of JSON objects has."""
LONGEST_REJECT = 64 << 10
"""Bytes kept of a rejected line."""


class Deliveries(Protocol):
    """The register of files that were ingested."""

    def find(self, sha256: str) -> Delivery | None:
        """The delivery of the file with these bytes."""

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        FileRefused: when it cannot be read.
    """
    with open_log(path) as log:
        return log.sha256


def ingest_file(
    path: Path,
    *,
    lake: EventLake,
    deliveries: Deliveries,
    hasher: UnitHasher,
    arms: Mapping[str, frozenset[str]],
    now: datetime,
    kind: str | None = None,
    feed: Feed | None = None,
    trafficking: Trafficking | None = None,
    filters: Filters | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Delivery:
    """Read a file of events into the lake.

    The events are one commit, the rejected lines another, and the register is told last; each knows the file by its
    hash. A file whose first events are all known is read without writing; where new ones follow, it is read again.
    Killed anywhere, the same call again does what was not done, and gives the account of an undisturbed run:
    what is in the lake already stays as it was judged, even if it would be judged otherwise now.

    Args:
        path: CSV or JSON lines, plain, gzip or Zstandard.
        arms: the arms of every known experiment.
        now: UTC; later events (by more than FUTURE_TOLERANCE) are rejected.
        kind: of the events; by default the file's name or its columns tell.
        feed: of an ad server, where the file is one of its own; None for files in our format.
        trafficking: which of the feed's creatives are which arms.
        filters: by which events are marked as not a person's; the shipped ones where None.
        progress: called with bytes read and bytes in all.

    Raises:
        FileRefused: the file as a whole is not usable; nothing was added.
        TryLater: another ingest wrote to the lake meanwhile.
        StorageFailure: the disk is full; nothing is half written.
    """
    with open_log(path) as log:
        if known := deliveries.find(log.sha256):
            return replace(known, replay=True)
        filters = filters or Filters.shipped()
        mapping = Mapped(feed.file(path.name, kind), trafficking or {}) if feed else None
        accepted, duplicate, reading = 0, 0, None
        for expecting_known in (True, False):
            form, blocks = _form(log, kind, mapping)
            appended, rejects = lake.begin(table_of(form.kind)), lake.begin("rejects")
            settled = {row["line"]: row["reason"] for row in rejects.rows_of(log.sha256, "line", "reason")}
            with staging(
                appended, rejects, hasher, log.sha256, now, lake.root, expecting_known=expecting_known
            ) as staged:
                reading = _read(log, form, blocks, arms, hasher, now, filters, settled, staged, progress)
                repeated = staged.settle()
                appended.find_known(staged.engine, log.sha256)
                duplicate = repeated + staged.drop_known()
                accepted = staged.remaining()
                if staged.unwritten:
                    staged.discard()
                    continue
                staged.drop_own({row["event_id"] for row in appended.rows_of(log.sha256, "event_id")})
                staged.rewrite()
                if staged.remaining():
                    appended.commit(staged.events, log.sha256)
                if reading.rejected and not rejects.delivered(log.sha256):
                    rejects.commit(staged.rejects, log.sha256)
                else:
                    staged.rejects.discard()
                break
    delivery = Delivery(
        sha256=log.sha256,
        name=path.name,
        kind=form.kind,
        size=log.size,
        read=reading.read,
        accepted=accepted,
        duplicate=duplicate,
        finished_at=now,
        rejected=dict(sorted(reading.rejected.items())),
        lake_versions=lake.versions(),
    )
    deliveries.record(delivery)
    return delivery


@dataclass(slots=True)
class _Reading:
    """How many lines there were, and how many of them were rejected, by reason."""

    read: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def _read(
    log: Log,
    form: Format,
    blocks: Iterator[Block],
    arms: Mapping[str, frozenset[str]],
    hasher: UnitHasher,
    now: datetime,
    filters: Filters,
    settled: Mapping[int, str],
    staged: Staging,
    progress: Callable[[int, int], None] | None,
) -> _Reading:
    """Every line into the staging, as an event or a reject."""
    agents, hosts = Agents(filters.declared), Hosts(filters.data_centres) if filters.data_centres else None
    rules = Rules(form.kind, arms, micros(now + FUTURE_TOLERANCE), agents, hosts, Networks())
    units = HashedUnits(hasher)
    reading = _Reading()
    own = {
        "name": log.path.name,
        "kind": form.kind,
        "delivery": log.sha256,
        "delivered_at": now,
        "date": now.date(),
    }
    if progress:
        progress(0, log.size)
    for block, rows, events, sieve in _ahead(form, rules, blocks):
        numbers = block.numbers[rows.places]
        for row in np.flatnonzero(np.isin(numbers, list(settled))).tolist() if settled else ():
            sieve.overrule(row, settled[int(numbers[row])])
        kept = sieve.kept
        events = events.append_column("line", pa.array(numbers))
        events = events if kept.all() else events.filter(pa.array(kept))
        bad = [(each.place, settled.get(int(block.numbers[each.place]), each.reason)) for each in rows.broken]
        bad += [(int(rows.places[row]), reason) for row, reason in sieve.rejected()]
        bad.sort()
        reading.read += len(block)
        reading.rejected.update(reason for _, reason in bad)
        lines = block.lines(np.array([place for place, _ in bad], dtype=np.int64))
        texts = [_cut(form.masked(line.text, units)) for line in lines]
        rejects = [
            {"line": int(block.numbers[place]), "reason": reason, "text": text, **own}
            for (place, reason), text in zip(bad, texts, strict=True)
        ]
        staged.add(events, pa.Table.from_pylist(rejects, schema=REJECTS))
        if progress:
            progress(log.position, log.size)
    return reading


def _ahead(form: Format, rules: Rules, blocks: Iterator[Block]) -> Iterator[tuple[Block, Rows, pa.Table, Sieve]]:
    """Each block with its rows as they were judged, the next one being judged while this one is worked on."""

    def judge() -> tuple[Block, Rows, pa.Table, Sieve] | None:
        block = next(blocks, None)
        if block is None:
            return None
        rows = form.rows(block)
        return block, rows, *rules.sift(rows)

    with ThreadPoolExecutor(1) as judging:
        coming = judging.submit(judge)
        while found := coming.result():
            coming = judging.submit(judge)
            yield found


def _cut(text: str) -> str:
    return text.encode()[:LONGEST_REJECT].decode(errors="ignore")


def _form(log: Log, asked: str | None, mapping: Mapped | None) -> tuple[Format, Iterator[Block]]:
    """The file's form, and its lines of data."""
    blocks = log.blocks()
    first = next((block for block in blocks if len(block)), None)
    if first is None:
        raise FileRefused(f"{log.path.name} is empty: it has not even a header line")
    beginning = list(islice(first.lines(), FIRST_LINES))
    if mapping is None and looks_like_json(log.path.name, beginning[0]):
        return JsonLines(log.path.name, beginning, asked), chain([first], blocks)
    return Csv(log.path.name, beginning[0], asked, mapping), chain([first.after(1)], blocks)
