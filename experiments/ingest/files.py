"""One file into the lake: whole or not at all, once, with every line accounted for."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from experiments.core.delivery import Delivery, Edition
from experiments.events.keys import refuse_other_keys
from experiments.events.lake import EventLake
from experiments.events.schema import REJECTS, table_of
from experiments.ingest.comma_separated import Csv, separator_told
from experiments.ingest.feed import Feed, Trafficking
from experiments.ingest.formats import DESCRIBING, Format, Lines, Rows, looks_like_json
from experiments.ingest.hashing import HashedUnits, Networks, UnitHasher
from experiments.ingest.json_lines import JsonLines
from experiments.ingest.layout import Mapped
from experiments.ingest.log import PARQUET_MAGIC, FileRefused, Log, open_log
from experiments.ingest.money import Rates
from experiments.ingest.parquet import Parquet
from experiments.ingest.rejected import LONGEST_REJECT
from experiments.ingest.restating import after_all_of, drop_unchanged
from experiments.ingest.rows import Rules
from experiments.ingest.sieve import Sieve
from experiments.ingest.slots import edition_of, is_same, newer, numbered, older
from experiments.ingest.staging import Staging, staging
from experiments.ingest.times import Times, in_zone
from experiments.ingest.traffic import Agents, Filters, Hosts
from experiments.ingest.values import micros

FUTURE_TOLERANCE = timedelta(days=1)
"""Clocks and time zones are wrong by hours, not by days."""
FIRST_LINES = 1000
"""Lines that say which keys a file of JSON objects has."""
IGNORED = "ignored_event_type"
"""Counted like a reason to reject a line, but such lines are not kept: the mapping says that they are no mistake."""


class Deliveries(Protocol):
    """The register of files that were ingested."""

    def find(self, sha256: str) -> Delivery | None:
        """The delivery with this id: the hash of the file's bytes, but for further kinds of events in it, and for files
        of other hours with the same bytes."""

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery, and whom it replaced as replaced."""

    def claim(self, edition: Edition) -> None:
        """Tell of a file that may be delivered anew, before any of its events is in the lake."""

    def claimed(self, delivery: str) -> Edition | None:
        """What was told so of the delivery with this id."""

    def editions(self, slot: str) -> tuple[Edition, ...]:
        """The files of a slot that were begun."""

    def named(self, name: str) -> tuple[Delivery, ...]:
        """The deliveries of files of this name, the earliest first."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        FileRefused: when it cannot be read.
    """
    with open_log(path) as log:
        return log.sha256


def ingest_file(path: Path, **settings: Any) -> Delivery:
    """A file of one kind of events into the lake; of a file that holds several, the first. See ``ingest_kinds``."""
    return ingest_kinds(path, **settings)[0]


def ingest_kinds(
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
    zone: str | None = None,
    filters: Filters | None = None,
    rates: Rates | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Delivery, ...]:
    """Read a file of events into the lake, each kind that it holds as a delivery.

    The events are one commit, the rejected lines another, and the register is told last; each knows the file by its
    hash. A file whose first events are all known is read without writing, and only for what its lines are judged by;
    where new ones follow, it is read again.
    Killed anywhere, the same call again does what was not done, and gives the account of an undisturbed run:
    what is in the lake already stays as it was judged, even if it would be judged otherwise now.

    Where a feed's file holds several kinds, it is read once a kind. The first, which goes by the file's own hash, is
    read last: when the register knows that, it knows them all.

    Of a feed that delivers an hour again, the newer file's commits remove what the older one left; an older file that
    comes after a newer one adds nothing, and its lines are counted as ``superseded``. Of files that their names tell to
    be of one instant, the one that came later is the newer.

    Bytes that came before are taken once, but for two that have the last word when they come again: counts under
    another name, and a file under a name by which another has taken its place since.

    Args:
        path: CSV or JSON lines, plain, gzip or Zstandard; or Parquet.
        arms: the arms of every known experiment.
        now: UTC; later events (by more than FUTURE_TOLERANCE) are rejected.
        kind: of the events; by default the file's name or its columns tell. Of a feed's file it says which one it is
            like, and what else such a file holds is taken, too: a file is known when all of it is.
        feed: of an ad server, where the file is one of its own; None for files in our format.
        trafficking: which of the feed's creatives are which arms.
        zone: of times without an offset, where the feed declares none.
        filters: by which events are marked as not a person's; the shipped ones where None.
        rates: into the reporting currency; None where money stays as it was delivered.
        progress: called with bytes read and bytes in all.

    Raises:
        FileRefused: the file as a whole is not usable; nothing was added.
        TryLater: another ingest wrote to the lake meanwhile, or the unit key is being changed.
        OtherKeys: the lake's units are hashed under other keys than the hasher's.
        StorageFailure: the disk is full; nothing is half written.
    """
    with open_log(path) as log:
        held: tuple[Mapped | None, ...] = (None,)
        if feed is None:
            own = _said_again(path.name, log.sha256, log.since, deliveries)
        else:
            own, held = _held(path.name, log.sha256, log.since, feed, kind, trafficking or {}, hasher, deliveries)
        known = [deliveries.find(_id_of(each, own)) for each in held]
        _refuse_other_kind(path.name, kind, known)
        if len(held) > 1 and not all(known):
            for each in held:  # what refuses one kind refuses the file, before anything of it is taken
                _form(log, kind, each)
        taken: list[Delivery] = []
        for mapped, before in reversed(tuple(zip(held, known, strict=True))):
            if before is not None:
                taken.append(replace(before, replay=True))
            else:
                times = in_zone(zone) if mapped is None else mapped.file.times.with_zone(zone)
                judging = filters or Filters.shipped()
                delivery = _ingest(
                    log, own, mapped, kind, lake, deliveries, hasher, arms, now, times, judging, rates, progress
                )
                deliveries.record(delivery)
                taken.append(delivery)
    return tuple(reversed(taken))


def delivery_of(
    name: str, sha256: str, since: datetime, feed: Feed | None, hasher: UnitHasher, deliveries: Deliveries
) -> str:
    """By which id a file of these bytes is known, or will be, that lies under this name ``since`` then.

    Raises:
        FileRefused: where the feed has no files of such a name.
    """
    if feed is None:
        return _said_again(name, sha256, since, deliveries)
    return _held(name, sha256, since, feed, None, {}, hasher, deliveries)[0]


def beside(sha256: str, what: str) -> str:
    """An id for bytes that came before, as something else."""
    return hashlib.sha256(f"{sha256}/{what}".encode(errors="surrogateescape")).hexdigest()


def _held(
    name: str,
    sha256: str,
    since: datetime,
    feed: Feed,
    kind: str | None,
    trafficking: Trafficking,
    hasher: UnitHasher,
    deliveries: Deliveries,
) -> tuple[str, tuple[Mapped | None, ...]]:
    """The hash that a feed's file goes by, and all that it holds.

    That is the hash of its bytes, unless those were another hour's before, or an earlier file's of this one: hours in
    which nothing happened look alike, and what was corrected may be corrected back.
    """
    files = feed.kinds(name, kind)

    def under(own: str) -> tuple[Mapped, ...]:
        return tuple(Mapped.of(files, place, trafficking, own, hasher, feed.name) for place in range(len(files)))

    editions = [each for each in (_edition(name, sha256, mapped) for mapped in under(sha256)) if each]
    own, claimed = sha256, ((deliveries.claimed(each.sha256), each) for each in editions)
    if any(before is not None and not is_same(before, each) for before, each in claimed):
        own = beside(sha256, f"{editions[0].slot}/{editions[0].made}")
    own = _said_again(name, own, since, deliveries)
    return own, under(own)


def _said_again(name: str, own: str, since: datetime, deliveries: Deliveries) -> str:
    """The id of what has the last word though its bytes are known; of all else, ``own``."""
    while (known := deliveries.find(own)) is not None:
        if known.kind == "count" and known.name != name:
            own = beside(own, name)
            continue
        after = _in_its_place(known, deliveries)
        if known.name != name or after is None or since <= after.finished_at:
            break
        own = beside(own, after.sha256)
    return own


def _in_its_place(known: Delivery, deliveries: Deliveries) -> Delivery | None:
    """What came under the same name since, and counts instead; clocks may go back, versions of the lake do not."""
    if known.kind == "count":
        version, named = known.lake_versions.get("counts", 0), deliveries.named(known.name)
        later = [each for each in named if each.kind == "count" and each.lake_versions.get("counts", 0) > version]
        return min(later, key=lambda each: each.lake_versions["counts"], default=None)
    newer = deliveries.find(known.replaced_by) if known.replaced_by else None
    return newer if newer is not None and newer.name == known.name else None


def _refuse_other_kind(name: str, kind: str | None, known: Sequence[Delivery | None]) -> None:
    """Bytes count once: as something else they would be passed over, and nobody would know."""
    before = [each.kind for each in known if each]
    if kind is not None and len(before) == len(known) and kind not in before:
        was = " and ".join(f"{each}s" for each in before)
        raise FileRefused(
            f"{name} was ingested before, as {was}, and the same bytes are taken once: if they are {kind}s, add an "
            "empty line at the file's end and ingest it again"
        )


def _id_of(mapped: Mapped | None, own: str) -> str:
    return own if mapped is None else mapped.delivery(own)


def _ingest(
    log: Log,
    file_id: str,
    mapped: Mapped | None,
    kind: str | None,
    lake: EventLake,
    deliveries: Deliveries,
    hasher: UnitHasher,
    arms: Mapping[str, frozenset[str]],
    now: datetime,
    times: Times | None,
    filters: Filters,
    rates: Rates | None,
    progress: Callable[[int, int], None] | None,
) -> Delivery:
    """One kind of a file's events into the lake; the register is still to be told."""
    accepted, duplicate, reading, own, replaced_by = 0, 0, _Reading(), _id_of(mapped, file_id), None
    for expecting_known in (True, False):
        form, blocks = _form(log, kind, mapped)
        _refuse_other_layers(form, log, hasher)
        edition = None if mapped is None or form.repaired else _edition(log.path.name, file_id, mapped)
        if edition:
            edition = deliveries.claimed(edition.sha256) or numbered(edition, deliveries.editions(edition.slot))
            deliveries.claim(edition)
        rivals = deliveries.editions(edition.slot) if edition else ()
        replaced = older(rivals, edition) if edition else ()
        appended, rejects = lake.begin(table_of(form.kind), replaced), lake.begin("rejects", replaced)
        refuse_other_keys(appended, hasher.keys)
        beside = newer(rivals, edition) if edition else ()
        if replaced_by := next((each for each in reversed(beside) if appended.delivered(each)), None):
            reading = _superseded(form, blocks)
            break
        settled = {row["line"]: row["reason"] for row in rejects.rows_of(own, "line", "reason")}
        taken = appended.lines_of(own)
        rules, counts = _rules(form.kind, arms, now, filters, times, rates), form.kind == "count"
        with staging(
            appended, rejects, hasher, own, after_all_of(appended, now) if counts else now, lake.root,
            expecting_known=expecting_known and not counts,
        ) as staged:  # fmt: skip
            reading = _read(log, own, form, blocks, rules, hasher, now, settled, taken, staged, progress)
            if counts:
                duplicate = drop_unchanged(staged, appended, own, log.path.name)
            else:
                staged.finish()
                appended.find_known(staged.engine, own)
                duplicate = staged.drop_known()
                if staged.unwritten:
                    staged.discard()
                    continue
                duplicate += staged.drop_repeated()
            accepted = staged.remaining()
            staged.drop_own({row["event_id"] for row in appended.rows_of(own, "event_id")})
            staged.rewrite()
            # A file that counts instead of others says so in the lake even where it brings no event: whoever comes
            # after it, or at the same time, must see that.
            if staged.remaining() or (edition and not appended.delivered(own)):
                appended.commit(staged.events, own)
            if (reading.rejected or rejects.holds()) and not rejects.delivered(own):
                rejects.commit(staged.rejects, own)
            else:
                staged.rejects.discard()
            break
    ignored = {IGNORED: reading.ignored} if reading.ignored else {}
    return Delivery(
        sha256=own,
        name=log.path.name,
        kind=form.kind,
        size=log.size,
        read=reading.read,
        accepted=accepted,
        duplicate=duplicate,
        finished_at=now,
        rejected=dict(sorted((reading.rejected | ignored).items())),
        lake_versions=lake.versions(),
        slot=edition.slot if edition else None,
        made=edition.made if edition else None,
        replaced_by=replaced_by,
    )


def _refuse_other_layers(form: Format[Any], log: Log, hasher: UnitHasher) -> None:
    """Units that were hashed before the key was changed would be strangers now."""
    if form.layers - {hasher.keys.layers}:
        raise FileRefused(
            f"{log.path.name} has units hashed under another number of keys than the lake's, which is "
            f"{hasher.keys.layers}: the unit key was changed since; export these rejects again"
        )


def _edition(name: str, own: str, mapped: Mapped) -> Edition | None:
    """Which file of which slot this is; None where its feed never delivers a file anew."""
    pattern = mapped.file.replaces
    if pattern is None:
        return None
    return edition_of(name, mapped.delivery(own), pattern, mapped.source, mapped.label)


def _superseded(form: Format[Any], blocks: Iterator[Lines]) -> "_Reading":
    """Lines that no longer count: they are counted, and not kept."""
    lines = sum(len(block) - form.rows(block).elsewhere for block in blocks)
    return _Reading(lines, Counter(superseded=lines) if lines else Counter())


def _rules(
    kind: str,
    arms: Mapping[str, frozenset[str]],
    now: datetime,
    filters: Filters,
    times: Times | None,
    rates: Rates | None,
) -> Rules:
    agents, hosts = Agents(filters.declared), Hosts(filters.data_centres) if filters.data_centres else None
    return Rules(kind, arms, micros(now + FUTURE_TOLERANCE), agents, hosts, Networks(), times, rates)


@dataclass(slots=True)
class _Reading:
    """How many lines there were, how many of them were rejected, by reason, and how many are nobody's and no matter."""

    read: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    ignored: int = 0


def _read(
    log: Log,
    delivery: str,
    form: Format[Any],
    blocks: Iterator[Lines],
    rules: Rules,
    hasher: UnitHasher,
    now: datetime,
    settled: Mapping[int, str],
    taken: NDArray[np.int64],
    staged: Staging,
    progress: Callable[[int, int], None] | None,
) -> _Reading:
    """Every line into the staging, as an event or a reject; what ``settled`` and ``taken`` say was judged before."""
    units = HashedUnits(hasher)
    reading = _Reading()
    own = {
        "name": log.path.name,
        "kind": form.kind,
        "header": form.header,
        "feed": form.feed,
        "layers": hasher.keys.layers,
        "delivery": delivery,
        "delivered_at": now,
        "date": now.date(),
    }
    if progress:
        progress(0, log.size)
    for block, rows, events, sieve in _ahead(form, rules, blocks, staged):
        numbers = block.numbers[rows.places]
        if len(taken):
            sieve.accept(np.isin(numbers, taken))
        for row in np.flatnonzero(np.isin(numbers, list(settled))).tolist() if settled else ():
            sieve.overrule(row, settled[int(numbers[row])])
        kept = sieve.kept
        events = events.append_column("line", pa.array(numbers))
        events = events if kept.all() else events.filter(pa.array(kept))
        bad = [(each.place, settled.get(int(block.numbers[each.place]), each.reason)) for each in rows.broken]
        bad += [(int(rows.places[row]), reason) for row, reason in sieve.rejected()]
        bad.sort()
        reading.read += len(block) - rows.elsewhere
        reading.ignored += rows.ignored
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


def _ahead(
    form: Format[Any], rules: Rules, blocks: Iterator[Lines], staged: Staging
) -> Iterator[tuple[Lines, Rows, pa.Table, Sieve]]:
    """Each block with its rows as they were judged, the next one being judged while this one is worked on.

    As soon as all events seem to be known, and none is written, what only describes them is not read any more.
    """

    def judge() -> tuple[Lines, Rows, pa.Table, Sieve] | None:
        block = next(blocks, None)
        if block is None:
            return None
        rows = form.rows(block, DESCRIBING if staged.expects_known else frozenset())
        return block, rows, *rules.sift(rows)

    with ThreadPoolExecutor(1) as judging:
        coming = judging.submit(judge)
        while found := coming.result():
            coming = judging.submit(judge)
            yield found


def _cut(text: str) -> str:
    return text.encode()[:LONGEST_REJECT].decode(errors="ignore")


def _form(log: Log, asked: str | None, mapped: Mapped | None) -> tuple[Format[Any], Iterator[Lines]]:
    """The file's form, and its lines of data."""
    if log.begins_with(PARQUET_MAGIC):
        rows = Parquet(log, asked, mapped)
        return rows, rows.blocks()
    blocks = log.blocks()
    first = next((block for block in blocks if len(block)), None)
    if first is None:
        raise FileRefused(f"{log.path.name} is empty: it has not even a header line")
    beginning = list(islice(first.lines(), FIRST_LINES))
    if looks_like_json(log.path.name, beginning[0]):
        return JsonLines(log.path.name, beginning, asked, mapped), chain([first], blocks)
    told = separator_told(log.path.name, beginning[0])
    above = 0 if told is None else 1
    if len(beginning) == above:
        raise FileRefused(f"{log.path.name} has no header line after its first")
    return Csv(log.path.name, beginning[above], asked, mapped, told), chain([first.after(above + 1)], blocks)
