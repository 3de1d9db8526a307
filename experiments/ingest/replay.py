"""Rejected lines judged again as they are: after an experiment was started, or trafficking.csv mended.

What is good now enters the lake and leaves the rejects; what is not stays there. A replay is a delivery of its own,
known by the lines that it tried: killed anywhere, the same call again finds how far it came. Its events come first, its
account second, and only then do its lines leave the rejects.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from experiments.core.delivery import Delivery, Edition
from experiments.events.append import Append
from experiments.events.keys import refuse_other_keys
from experiments.events.lake import EventLake
from experiments.events.schema import REJECTS, table_of
from experiments.ingest.comma_separated import Csv
from experiments.ingest.feed import columns_of
from experiments.ingest.files import FUTURE_TOLERANCE, Deliveries
from experiments.ingest.hashing import Networks, UnitHasher
from experiments.ingest.header import COLUMNS, PRIVATE
from experiments.ingest.json_lines import JsonLines
from experiments.ingest.layout import Mapped, asked_columns
from experiments.ingest.log import Block, FileRefused, Line
from experiments.ingest.masks import with_suffix
from experiments.ingest.money import Rates
from experiments.ingest.rejected import Origin, lost_to_machines, of_origin, raised
from experiments.ingest.rows import Rules
from experiments.ingest.staging import Staging, staging
from experiments.ingest.times import Times
from experiments.ingest.traffic import Agents, Filters, Hosts
from experiments.ingest.values import micros

Numbers = NDArray[np.int64]
"""Of lines in their file; in order."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a file's kept lines."""

    origin: Origin
    delivery: Delivery | None
    """None where no line left the rejects."""
    tried: int
    accepted: int
    duplicate: int
    rejected: Mapping[str, int]
    """Lines that were tried and stay, by why."""
    left: Mapping[str, int]
    """Lines that cannot be judged as they are, by why."""


@dataclass(slots=True)
class _Survey:
    """What is kept of a file."""

    rows: int = 0
    """Of all reasons."""
    size: int = 0
    """Bytes of the lines that are tried."""
    tried: Numbers = field(default_factory=lambda: np.empty(0, np.int64))
    left: Counter[str] = field(default_factory=Counter)


def replay_rejects(
    origin: Origin,
    reason: str | None = None,
    *,
    lake: EventLake,
    deliveries: Deliveries,
    hasher: UnitHasher,
    arms: Mapping[str, frozenset[str]],
    now: datetime,
    mapped: Mapped | None = None,
    times: Times | None = None,
    rates: Rates | None = None,
    filters: Filters | None = None,
) -> Replay:
    """Judge what is kept of a file, of one reason or of all.

    Args:
        origin: what the lines were rejected from.
        mapped: the feed by which that file was read; None for our own format.
        arms, now, times, rates, filters: as for the file itself, as they are now.

    Raises:
        FileRefused: where that file was not ingested to its end, or can no longer be read by its mapping.
        TryLater: another ingest wrote to the lake meanwhile.
    """
    source = deliveries.find(origin.delivery)
    if source is None:
        raise FileRefused(f"{origin.name} was not ingested to its end: ingest it again, then its rejects")
    rejects, appended = lake.begin("rejects", {origin.delivery}), lake.begin(table_of(origin.kind))
    found = _survey(rejects, origin, reason)
    refuse_other_keys(appended, hasher.keys)
    left = dict(sorted(found.left.items()))
    if not len(found.tried):
        return Replay(origin, None, 0, 0, 0, {}, left)
    name = _name(origin, found.tried)
    if source.slot is not None and source.made is not None:  # when that hour is replaced, what is taken here goes too
        deliveries.claim(Edition(source.slot, source.made, name, rejects=True))
    filters = filters or Filters.shipped()
    hosts = Hosts(filters.data_centres) if filters.data_centres else None
    agents, networks = Agents(filters.declared), Networks()
    rules = Rules(origin.kind, arms, micros(now + FUTURE_TOLERANCE), agents, hosts, networks, times, rates)
    with staging(appended, rejects, hasher, name, now, lake.root, expecting_known=False) as staged:
        bad = _judge(_form(origin, mapped), _blocks(rejects, origin, found.tried, hasher), rules, staged)
        repeated = _enter(staged, appended, name)
    entered = np.sort(_lines(appended.batches_of(name, "line")))
    taken = np.union1d(entered, repeated)
    bad = {why: np.setdiff1d(lines, taken) for why, lines in bad.items()}
    parts = rejects.parts()
    try:
        after, changed = Counter[str](), False
        for batch in rejects.batches_of(origin.delivery):
            stays = batch.filter(pa.array(~(np.isin(batch["line"], taken) & _of_kind(batch, origin))))
            judged = _judged(stays, origin, bad)
            changed = changed or len(stays) < len(batch) or not judged["reason"].equals(stays["reason"])
            after.update(judged["reason"].to_pylist())
            parts.add(pa.Table.from_batches([judged]))
        parts.close()
        told = None
        if len(taken):
            told = Delivery(
                sha256=name,
                name=origin.name,
                kind=origin.kind,
                size=found.size,
                read=found.rows,
                accepted=len(entered),
                duplicate=len(repeated),
                finished_at=now,
                rejected=dict(sorted(after.items())),
                lake_versions={**lake.versions(), "rejects": rejects.version + 1},
                rejects_of=origin.delivery,
            )
            deliveries.record(told)
        if changed:
            rejects.commit(parts, name)
    finally:
        parts.discard()
    stay = {why: len(lines) for why, lines in sorted(bad.items()) if len(lines)}
    waiting = len(found.tried) - len(taken) - sum(stay.values())
    if waiting:  # good by now, but not when the replay that this one completes judged them: the next one takes them
        stay["judged_before"] = waiting
    return Replay(origin, told, len(found.tried), len(entered), len(repeated), stay, left)


def _survey(rejects: Append, origin: Origin, reason: str | None) -> _Survey:
    """Which lines are to be tried."""
    found, tried, width = _Survey(), [np.empty(0, np.int64)], origin.width
    for batch in rejects.batches_of(origin.delivery):
        found.rows += len(batch)
        chosen = batch.filter(of_origin(batch, origin, reason))
        texts, reasons = chosen["text"].to_pylist(), chosen["reason"].to_pylist()
        gone = [lost_to_machines(text, why, origin, width) for text, why in zip(texts, reasons, strict=True)]
        found.left.update(why for why in gone if why)
        found.size += sum(len(text.encode()) for text, why in zip(texts, gone, strict=True) if not why)
        tried.append(chosen["line"].to_numpy()[np.array([why is None for why in gone], np.bool_)])
    found.tried = np.sort(np.concatenate(tried))
    return found


def _name(origin: Origin, tried: Numbers) -> str:
    """Of the delivery: the same lines of the same file tried again are the same."""
    return sha256(json.dumps([origin.delivery, origin.kind]).encode() + tried.tobytes()).hexdigest()


def _form(origin: Origin, mapped: Mapped | None) -> Csv | JsonLines:
    """As the file's own; rows of Parquet are kept as JSON."""
    if origin.header is not None:
        return Csv(origin.name, Line(1, origin.header), origin.kind, mapped)
    # The file had all columns, or none of its lines would be here; those that are left may all lack the same one.
    names = COLUMNS[origin.kind] if mapped is None else _kept_names(mapped)
    return JsonLines(origin.name, [Line(0, json.dumps(dict.fromkeys(names)))], origin.kind, mapped)


def _kept_names(mapped: Mapped) -> list[str]:
    """The columns of a feed as kept lines have them."""
    files = (mapped.file, *mapped.beside)
    private = {name for file in files for column in PRIVATE for name in columns_of(file.columns.get(column, []))}
    return [with_suffix(name) if name in private else name for name in asked_columns(mapped)]


def _blocks(rejects: Append, origin: Origin, tried: Numbers, hasher: UnitHasher) -> Iterator[Block]:
    """The lines that are tried, under the numbers that they had in their file."""
    for batch in rejects.batches_of(origin.delivery):
        chosen = batch.filter(pa.array(np.isin(batch["line"], tried) & _of_kind(batch, origin)))
        told = zip(chosen["text"].to_pylist(), chosen["layers"].to_pylist(), strict=True)
        texts = [raised(text, layers, origin, hasher) for text, layers in told]
        block = Block.of("".join(f"{text}\n" for text in texts).encode(), 0)
        yield replace(block, numbers=chosen["line"].to_numpy()[block.numbers])


def _judge(form: Csv | JsonLines, blocks: Iterable[Block], rules: Rules, staged: Staging) -> dict[str, Numbers]:
    """Every line into the staging, or among those that stay, by why."""
    bad: dict[str, list[Numbers]] = {}
    for block in blocks:
        rows = form.rows(block)
        events, sieve = rules.sift(rows)
        numbers = block.numbers[rows.places]
        of_no_kind = np.ones(len(block), np.bool_)
        of_no_kind[rows.places] = False
        for each in rows.broken:
            of_no_kind[each.place] = False
            bad.setdefault(each.reason, []).append(block.numbers[each.place : each.place + 1])
        bad.setdefault("unknown_event_type", []).append(block.numbers[of_no_kind])
        for code, why in enumerate(sieve.reasons[1:], start=1):
            bad.setdefault(why, []).append(numbers[sieve.codes == code])
        events = events.append_column("line", pa.array(numbers)).filter(pa.array(sieve.kept))
        staged.add(events, REJECTS.empty_table())
    return {why: np.sort(np.concatenate(lines)) for why, lines in bad.items()}


def _enter(staged: Staging, appended: Append, name: str) -> Numbers:
    """Commit what is new, unless it was before; the lines that repeat other events."""
    staged.finish()
    appended.find_known(staged.engine, name)
    staged.drop_known()
    staged.drop_repeated()
    repeated = staged.dropped_lines()
    if appended.delivered(name):
        staged.events.discard()
    else:
        staged.rewrite()
        if staged.remaining():
            appended.commit(staged.events, name)
    staged.rejects.discard()
    return repeated


def _of_kind(batch: pa.RecordBatch, origin: Origin) -> NDArray[np.bool_]:
    """A line of a file of several kinds may be kept once for each."""
    same: NDArray[np.bool_] = of_origin(batch, origin).to_numpy(zero_copy_only=False)
    return same


def _judged(batch: pa.RecordBatch, origin: Origin, bad: Mapping[str, Numbers]) -> pa.RecordBatch:
    """With the reasons that hold now."""
    reasons, theirs, lines = batch["reason"], _of_kind(batch, origin), batch["line"].to_numpy()
    for why, numbers in bad.items():
        reasons = pc.if_else(pa.array(np.isin(lines, numbers) & theirs), why, reasons)
    return batch.set_column(batch.schema.get_field_index("reason"), REJECTS.field("reason"), reasons)


def _lines(batches: Iterable[pa.RecordBatch]) -> Numbers:
    return np.concatenate([np.empty(0, np.int64), *(batch["line"].to_numpy() for batch in batches)])
