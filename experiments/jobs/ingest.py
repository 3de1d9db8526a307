"""Ingest: every file in the inbox, once."""

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from experiments.core.delivery import Delivery
from experiments.ingest.feed import feed_for, feeds, read_trafficking
from experiments.ingest.files import file_sha256, ingest_kinds
from experiments.ingest.log import FileRefused
from experiments.ingest.traffic import read_filters
from experiments.jobs.context import Context, Progress
from experiments.jobs.job import WHOLE_WORKSPACE, Task
from experiments.store.control import PlanNotSealed

WRITER = "lake"
"""The lock every ingest takes: the lake has one writer at a time."""
WRITER_SECONDS = 120.0


class Ingest:
    """Reads the inbox into the lake; files stay where they are and are known by their hash."""

    name = "ingest"
    summary = "read new files of the inbox into the event lake"
    every_minutes = 15

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:  # noqa: ARG002 - due as soon as it is there
        return tuple(Task(self.name, WHOLE_WORKSPACE, key) for key in _waiting(context))

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]:  # noqa: ARG002
        known = context.deliveries.find(task.period)
        if known is not None:  # somebody was faster
            return delivery_document(replace(known, replay=True))
        path = _waiting(context).get(task.period)
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
    are of the time zone ``zone``, if the feed does not say otherwise.

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
            hasher=context.hasher,
            arms=_arms(context),
            now=context.clock(),
            kind=kind,
            feed=feed,
            trafficking=read_trafficking(context.workspace.folder("trafficking.csv")) if feed else None,
            zone=zone,
            filters=read_filters(context.workspace.folder("filters")),
            rates=context.workspace.rates(),
            progress=lambda done, of: progress(f"reading {path.name}", done, of),
        )


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
        "lake_versions": dict(delivery.lake_versions),
    }


@lru_cache(maxsize=65_536)
def _sha256(path: Path, _size: int, _modified_ns: int) -> str:
    """Hashing a large inbox again for every file in it would be quadratic; an unchanged file is hashed once."""
    return file_sha256(path)


def _waiting(context: Context) -> dict[str, Path]:
    """The inbox's new files by hash; one that cannot be read is there under its name, so that it fails by itself."""
    waiting = {}
    for path in inbox_files(context):
        try:
            fact = path.stat()
            key = _sha256(path, fact.st_size, fact.st_mtime_ns)
        except FileNotFoundError:
            continue
        except FileRefused:
            key = path.name
        if context.deliveries.find(key) is None:
            waiting[key] = path
    return waiting


def _arms(context: Context) -> dict[str, frozenset[str]]:
    """The arms of every experiment that was ever started: late lines of ended ones still count."""
    arms = {}
    for record in context.control.experiments():
        try:
            plan, _ = context.control.plan(record.name)
        except PlanNotSealed:
            continue
        arms[record.name] = frozenset(plan.weights)
    return arms
