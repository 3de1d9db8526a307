"""Ingest: every file in the inbox, once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.core.delivery import Delivery
from experiments.core.errors import ExperimentError, TryLater
from experiments.ingest.feed import Feed, Trafficking, feed_for, feeds, read_trafficking
from experiments.ingest.files import beside, delivery_of, file_sha256, ingest_kinds
from experiments.ingest.hashing import UnitHasher
from experiments.ingest.layout import Mapped
from experiments.ingest.log import FileRefused, came_at
from experiments.ingest.rejected import Origin, counted
from experiments.ingest.replay import Replay, replay_rejects
from experiments.ingest.times import in_zone
from experiments.ingest.traffic import read_filters
from experiments.jobs.context import Context, Progress
from experiments.jobs.job import WHOLE_WORKSPACE, Task
from experiments.store.codec import Damaged

WRITER = "lake"
"""The lock every ingest takes: the lake has one writer at a time."""
WRITER_SECONDS = 120.0


class Ingest:
    """Reads the inbox into the lake; files stay where they are and are known by their hash."""

    name = "ingest"
    summary = "read new files of the inbox into the event lake"
    every_minutes = 15

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:  # noqa: ARG002 - due as soon as it is there
        return tuple(Task(self.name, WHOLE_WORKSPACE, key, path.name) for key, path in _waiting(context).items())

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]:  # noqa: ARG002
        known = context.deliveries.find(task.period)
        if known is not None:  # somebody was faster
            return delivery_document(replace(known, replay=True))
        path = _place_of(context, task.period)
        if path is None:
            raise FileRefused(f"the file {task.period[:12]} is no longer in the inbox as it was: nothing was read")
        first, *others = ingest(context, path, None, progress)
        document = delivery_document(first)
        return document | ({"kinds": [delivery_document(each) for each in others]} if others else {})


def ingest(
    context: Context,
    path: Path,
    kind: str | None,
    progress: Progress,
    format: str | None = None,
    zone: str | None = None,
) -> tuple[Delivery, ...]:
    """One file into the lake; of the format that is asked for or, where none is, that its name tells.

    A file is one delivery or, where a feed's file holds several kinds of events, one a kind. Times without an offset
    are of the time zone ``zone``, or else of the workspace's, if the feed does not say otherwise.

    Raises:
        ExperimentError: for a format or a time zone that there is not.
        TryLater: while another ingest is at it.
    """
    feed = feed_for(path.name, feeds(context.workspace.folder("feeds")), format)
    with context.ledger.lock(WRITER, context.owner, WRITER_SECONDS):
        return ingest_kinds(
            path,
            lake=context.lake,
            deliveries=context.deliveries,
            hasher=context.hasher(),
            arms=_arms(context),
            now=context.clock(),
            kind=kind,
            feed=feed,
            trafficking=read_trafficking(context.workspace.folder("trafficking.csv")) if feed else None,
            zone=zone or context.workspace.zone,
            filters=read_filters(context.workspace.folder("filters")),
            rates=context.workspace.rates(),
            progress=lambda done, of: progress(f"reading {path.name}", done, of),
        )


def refuse_while_reading(context: Context) -> None:
    """To be asked before a look is taken, once and for all: what others are reading into the lake belongs to it.

    Raises:
        TryLater: while somebody writes to the lake, reads a file of the inbox, or left one for later.
    """
    with context.ledger.lock(WRITER, context.owner, WRITER_SECONDS):
        pass
    begun = context.ledger.begun(Ingest.name)
    unread = begun and [path.name for key, path in _waiting(context).items() if (WHOLE_WORKSPACE, key) in begun]
    if unread:
        raise TryLater(f"{unread[0]} in the inbox is still to be read: adstyle job run ingest, then try again")


def replay(
    context: Context, reason: str | None, name: str | None, progress: Progress, zone: str | None = None
) -> tuple[list[Replay], list[str]]:
    """Kept rejects judged again as they are, and what cannot be, each in one line.

    Raises:
        TryLater: while an ingest is at it.
    """
    known, done, refused = feeds(context.workspace.folder("feeds")), list[Replay](), list[str]()
    trafficking = read_trafficking(context.workspace.folder("trafficking.csv"))
    filters, arms = read_filters(context.workspace.folder("filters")), _arms(context)
    zone = zone or context.workspace.zone
    with context.ledger.lock(WRITER, context.owner, WRITER_SECONDS):
        origins = list(dict.fromkeys(origin for origin, _ in counted(context.lake, reason, name)))
        for number, origin in enumerate(origins):
            progress("judging rejects again", number, len(origins))
            try:
                mapped = _mapping(origin, known, trafficking, context.hasher())
                done.append(
                    replay_rejects(
                        origin, reason, lake=context.lake, deliveries=context.deliveries, hasher=context.hasher(),
                        arms=arms, now=context.clock(), mapped=mapped, filters=filters, rates=context.workspace.rates(),
                        times=mapped.file.times.with_zone(zone) if mapped else in_zone(zone),
                    )
                )  # fmt: skip
            except FileRefused as error:
                refused.append(str(error))
    return done, refused


def _mapping(origin: Origin, known: Mapping[str, Feed], trafficking: Trafficking, hasher: UnitHasher) -> Mapped | None:
    """By which a file was read, as it is now."""
    if origin.feed is None:
        return None
    if origin.feed not in known:
        raise FileRefused(f"{origin.name} was read by the mapping {origin.feed!r}, which feeds/ has no more")
    files = known[origin.feed].kinds(origin.name, origin.kind)
    held = [Mapped.of(files, place, trafficking, origin.delivery, hasher, origin.feed) for place in range(len(files))]
    found = next((each for each in held if each.label == origin.label), None)
    if found is None:
        raise FileRefused(f"{origin.name} was read as {origin.kind}s, of which {origin.feed!r} knows no more")
    return found


def inbox_files(context: Context) -> tuple[Path, ...]:
    """What lies in the inbox, by name; hidden and half-written (``.part``) files are left alone."""
    return tuple(
        sorted(
            path
            for path in context.workspace.folder("inbox").glob("*")
            if path.is_file() and not path.name.startswith(".") and path.suffix != ".part"
        )
    )


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """A delivery's account for programs."""
    return {
        "file": delivery.name,
        "sha256": delivery.sha256,
        "kind": delivery.kind,
        "read": delivery.read,
        "accepted": delivery.accepted,
        "duplicate": delivery.duplicate,
        "rejected": dict(delivery.rejected),
        "replay": delivery.replay,
        "slot": delivery.slot,
        "replaced_by": delivery.replaced_by,
        "rejects_of": delivery.rejects_of,
        "lake_versions": dict(delivery.lake_versions),
    }


@lru_cache(maxsize=65_536)
def _sha256(path: Path, _size: int, _modified_ns: int) -> str:
    """Hashing a large inbox again for every file in it would be quadratic; an unchanged file is hashed once."""
    return file_sha256(path)


def _key(path: Path) -> str:
    """The hash of what a file holds; of one that cannot be read its name, so that it fails by itself.

    Raises:
        FileNotFoundError: where it is no longer there.
    """
    try:
        fact = path.stat()
        return _sha256(path, fact.st_size, fact.st_mtime_ns)
    except FileRefused:
        return ascii(path.name)[1:-1]  # which need be no text


def _waiting(context: Context) -> dict[str, Path]:
    """The inbox's new files, each by a key of its own: of several with the same bytes, the first by their hash."""
    waiting, known = dict[str, Path](), context.deliveries.briefs()
    for path in inbox_files(context):
        try:
            key = _key(path)
            if (before := known.get(key)) is not None:
                if before.name != path.name or before.kind == "count" or before.replaced_by is not None:
                    key = _key_of_known(context, path, key)
            elif key in waiting:
                key = beside(key, path.name)
        except FileNotFoundError:
            continue
        if key not in known:
            waiting[key] = path
    return waiting


def _place_of(context: Context, key: str) -> Path | None:
    """Where what waits by a key lies; most keys tell it without a look at the register."""
    for path in inbox_files(context):
        try:
            if key in ((own := _key(path)), beside(own, path.name)):
                return path
        except FileNotFoundError:
            continue
    return _waiting(context).get(key)


def _key_of_known(context: Context, path: Path, sha256: str) -> str:
    """Of a file whose bytes came before: of a feed, it may be another hour's, and counts may have the last word."""
    try:
        feed = feed_for(path.name, feeds(context.workspace.folder("feeds")), None)
        since = came_at(path.stat())
        return delivery_of(path.name, sha256, since, feed, context.hasher(), context.deliveries)
    except ExperimentError:  # of a mapping that cannot be read: whoever ingests by it is told
        return sha256


def _arms(context: Context) -> dict[str, frozenset[str]]:
    """The arms of every experiment that was ever started: late lines of ended ones still count."""
    arms = {}
    for record in context.control.experiments():
        try:
            started = context.control.state(record.name).arms
        except Damaged:
            continue  # its lines are kept as rejects, to be replayed once it is mended
        if started:
            arms[record.name] = frozenset(started)
    return arms
