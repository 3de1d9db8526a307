"""A delivery: one file of events, accounted for line by line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class Edition:
    """A file as one of several of the same hour: ad servers deliver an hour again when the first file was wrong.

    Of two editions of a slot the greater counts, in whatever order they come.
    """

    slot: str
    """What the file is: feed, kind, account, hour."""
    made: str
    """When it was made, sortable; the empty text is the earliest."""
    sha256: str
    rejects: bool = False
    """Rejected lines of that file which were judged again: its events go when the hour is replaced, but it replaces
    nothing."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a file's lines: ``read == accepted + duplicate + sum(rejected.values())``."""

    sha256: str
    """Of the file's bytes as delivered; the same file again adds nothing."""
    name: str
    """The file's own name, without folders."""
    kind: str
    """``impression``, ``click``, ``conversion`` or ``count``."""
    size: int
    """Bytes as delivered."""
    read: int
    accepted: int
    duplicate: int
    finished_at: datetime
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Count by reason code."""
    lake_versions: Mapping[str, int] = field(default_factory=dict)
    """Version of each lake table after this delivery."""
    slot: str | None = None
    """What the file is, where its ad server may deliver that again; ``made`` tells which is newer."""
    made: str | None = None
    replaced_by: str | None = None
    """SHA-256 of the newer file of its slot: none of its lines count."""
    rejects_of: str | None = None
    """SHA-256 of the file whose kept rejects were judged again. ``rejected`` is what is still kept of them."""
    replay: bool = False
    """True when the file had been ingested before and nothing was added this time."""


def as_it_stands(deliveries: Iterable[Delivery]) -> tuple[Delivery, ...]:
    """Accounts that may be added up, no line twice: the order stays, replaced deliveries are among them.

    What was taken from a file's rejects later is told as the file's own. Where the file itself is not among them, it is
    an account of those lines alone: the others were told with the file.
    """
    found: dict[str, Delivery] = {}
    for each in deliveries:
        origin = found.get(each.rejects_of) if each.rejects_of else None
        if origin is not None:
            accepted, duplicate = origin.accepted + each.accepted, origin.duplicate + each.duplicate
            found[origin.sha256] = replace(
                origin, accepted=accepted, duplicate=duplicate, rejected=_left(origin, accepted + duplicate, each)
            )
        elif each.rejects_of:
            found[each.sha256] = replace(each, read=each.accepted + each.duplicate, rejected={})
        else:
            found[each.sha256] = each
    return tuple(found.values())


_NEVER_KEPT = ("ignored_event_type",)
"""Reasons of lines that are counted and not kept."""


def _left(origin: Delivery, taken: int, judged: Delivery) -> Mapping[str, int]:
    """What is kept of a file's rejects by its last replay; lines that were forgotten since are told as such."""
    never = {reason: origin.rejected[reason] for reason in _NEVER_KEPT if reason in origin.rejected}
    forgotten = origin.read - taken - sum(judged.rejected.values()) - sum(never.values())
    return {**judged.rejected, **never, **({"forgotten": forgotten} if forgotten > 0 else {})}
