"""One file into the lake: whole or not at all, once, with every line accounted for."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from experiments.core.delivery import Delivery
from experiments.events.lake import EventLake
from experiments.events.schema import REJECTS, table_of
from experiments.ingest.bots import Agents
from experiments.ingest.formats import Csv, Format, JsonLines, looks_like_json
from experiments.ingest.hashing import HashedUnits, Networks, UnitHasher
from experiments.ingest.log import FileRefused, Line, Log, open_log
from experiments.ingest.rows import Row, Rules, events_table, refuse_macros
from experiments.ingest.values import Rejected, may_have_macros, micros

FUTURE_TOLERANCE = timedelta(days=1)
"""Clocks and time zones are wrong by hours, not by days."""
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
    progress: Callable[[int, int], None] | None = None,
) -> Delivery:
    """Read a file of events into the lake.

    The events are one commit, the rejected lines another, and the register is told last; each knows the file by its
    hash. Killed anywhere, the same call again does what was not done, and gives the account of an undisturbed run:
    what is in the lake already stays as it was judged, even if it would be judged otherwise now.

    Args:
        path: CSV or JSON lines, plain or gzip.
        arms: the arms of every known experiment.
        now: UTC; later events (by more than FUTURE_TOLERANCE) are rejected.
        kind: of the events; by default the file's name or its columns tell.
        progress: called with bytes read and bytes in all.

    Raises:
        FileRefused: the file as a whole is not usable; nothing was added.
        TryLater: another ingest wrote to the lake meanwhile.
        StorageFailure: the disk is full; nothing is half written.
    """
    with open_log(path) as log:
        if known := deliveries.find(log.sha256):
            return replace(known, replay=True)
        settled = {row["line"]: row["reason"] for row in lake.begin("rejects").rows_of(log.sha256, "line", "reason")}
        reading = _read(log, arms, HashedUnits(hasher), now, kind, settled, progress)
    appended = lake.begin(table_of(reading.kind))
    new = _without(reading.events, appended.known_ids(reading.events, log.sha256))
    rest = _without(new, {row["event_id"] for row in appended.rows_of(log.sha256, "event_id")})
    if rest.num_rows:
        appended.commit(rest, log.sha256)
    rejects = lake.begin("rejects")
    if reading.rejected and not rejects.delivered(log.sha256):
        rejects.commit(reading.rejects_table(path.name, log.sha256, now), log.sha256)
    delivery = Delivery(
        sha256=log.sha256,
        name=path.name,
        kind=reading.kind,
        size=log.size,
        read=reading.read,
        accepted=new.num_rows,
        duplicate=reading.repeated + reading.events.num_rows - new.num_rows,
        finished_at=now,
        rejected=dict(sorted(Counter(reject.reason for reject in reading.rejected).items())),
        lake_versions=lake.versions(),
    )
    deliveries.record(delivery)
    return delivery


def _without(events: pa.Table, ids: Set[str]) -> pa.Table:
    return events.filter(pc.invert(pc.is_in(events["event_id"], pa.array(sorted(ids))))) if ids else events


@dataclass(frozen=True, slots=True)
class _Reject:
    line: int
    reason: str
    text: str


@dataclass(slots=True)
class _Reading:
    """What a file says, before the lake is asked."""

    kind: str
    events: pa.Table
    read: int = 0
    repeated: int = 0
    """Lines with the event id of an earlier line of this file."""
    rejected: list[_Reject] = field(default_factory=list)

    def rejects_table(self, name: str, delivery: str, now: datetime) -> pa.Table:
        constant = {"name": name, "kind": self.kind, "delivery": delivery, "delivered_at": now, "date": now.date()}
        rows = [{"line": r.line, "reason": r.reason, "text": r.text, **constant} for r in self.rejected]
        return pa.Table.from_pylist(rows, schema=REJECTS)


def _read(
    log: Log,
    arms: Mapping[str, frozenset[str]],
    units: HashedUnits,
    now: datetime,
    asked: str | None,
    settled: Mapping[int, str],
    progress: Callable[[int, int], None] | None,
) -> _Reading:
    form, blocks = _form(log, asked)
    rules = Rules(arms, micros(now + FUTURE_TOLERANCE), units, Agents(), Networks())
    rule = rules.rule(form.kind)
    seen: set[object] = set()
    tables = [events_table(form.kind, (), log.sha256, now)]
    reading = _Reading(form.kind, tables[0])
    for block in blocks:
        rows: list[Row] = []
        for line in block:
            try:
                if reason := line.unreadable or settled.get(line.number):
                    raise Rejected(reason)  # noqa: TRY301 - one place writes rejects down
                cells = form.cells(line)
                if may_have_macros(line.text):
                    refuse_macros(form.kind, cells)
                row = rule(cells)
            except Rejected as rejected:
                text = form.masked(line.text, units).encode()[:LONGEST_REJECT].decode(errors="ignore")
                reading.rejected.append(_Reject(line.number, rejected.reason, text))
                continue
            if row[0] in seen:
                reading.repeated += 1
                continue
            seen.add(row[0])
            rows.append(row)
        reading.read += len(block)
        tables.append(events_table(form.kind, rows, log.sha256, now))
        if progress:
            progress(log.position, log.size)
    reading.events = pa.concat_tables(tables)
    return reading


def _form(log: Log, asked: str | None) -> tuple[Format, Iterator[list[Line]]]:
    """The file's form, and its lines of data."""
    blocks = log.blocks()
    first = next((block for block in blocks if block), None)
    if first is None:
        raise FileRefused(f"{log.path.name} is empty: it has not even a header line")
    if looks_like_json(log.path.name, first[0]):
        return JsonLines(log.path.name, first, asked), chain([first], blocks)
    return Csv(log.path.name, first[0], asked), chain([first[1:]], blocks)
