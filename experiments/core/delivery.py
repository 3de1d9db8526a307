"""A delivery: one file of events, accounted for line by line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


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
    replay: bool = False
    """True when the file had been ingested before and nothing was added this time."""
