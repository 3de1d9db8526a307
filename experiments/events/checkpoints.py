"""What evidence found of a large experiment, kept beside the lake, so that the next look reads what came since.

A checkpoint is of one plan, of all events before one instant, and of the lake at one version. It holds for a later
version as long as nothing came that is older than that instant, nothing went that it may have been made of, and the
time before it is divided as it was (`question.Divisions`). It is never needed: one that is missing, damaged or of an
older AdStyle costs time. Whatever makes the lake forget something removes those that may have been made of it
(`EventLake.forget_checkpoints`), because they speak of units, too.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from experiments.core.plan import Plan
from experiments.events.kept import PARTS, WHOLE, part_files
from experiments.events.lake import CHECKPOINT, EventLake
from experiments.events.question import LOOKS_BACK, Divisions, definition
from experiments.events.stored import StoredTable

WORTH = 2_000_000
"""So many impressions since the last checkpoint, and the next is kept; it takes a second for some million units."""
KEPT = 3
"""An event may come late, and the newest checkpoints be worth nothing: then an older one is."""
_ASIDE = "unfinished-"
_ABANDONED = 2 * 24 * 3600
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was found, in files."""

    folder: Path
    until: datetime
    versions: Mapping[str, tuple[int, str]]
    """Of the lake's tables, and their marks."""
    divided: Divisions
    """Before ``until``."""


class Checkpoints:
    """Those of one plan."""

    def __init__(self, lake: EventLake, plan: Plan, impressions: StoredTable, divided: Divisions) -> None:
        self._lake, self._experiment, self._divided = lake, plan.experiment, divided
        asked = {
            "plan": [plan.experiment, plan.start.isoformat(), asdict(plan.attribution), asdict(plan.traffic)],
            "segments": list(plan.segments),
            "numbered": impressions.numbered,
            "engine": version("duckdb"),  # whose hashes may be others in its next version
            "definition": definition(),
        }
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
        self._of_experiment = lake.checkpoints / quote(plan.experiment, safe="")
        self._folder = self._of_experiment / key
        self._made_from = (plan.start - LOOKS_BACK).astimezone(UTC).date()

    def find(self, as_of: datetime, versions: Mapping[str, int]) -> Checkpoint | None:
        """The newest that holds for the lake at these versions."""
        for found in reversed(self._all()):
            if found.until <= as_of and _is_whole(found) and self._holds(found, versions):
                return found
        return None

    @contextmanager
    def adding(self, until: datetime, versions: Mapping[str, int], known: Checkpoint | None) -> Iterator[Path]:
        """A folder to write parts in; when the body has ended they are kept, with what was ``known`` before them.

        Where that fails, nothing is kept.
        """
        aside = self._folder / f"{_ASIDE}{uuid.uuid4().hex}"
        aside.mkdir(parents=True)
        try:
            yield aside
            with suppress(OSError):
                self._add(aside, until, versions, known)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _add(self, aside: Path, until: datetime, versions: Mapping[str, int], known: Checkpoint | None) -> None:
        for part, files in (part_files(known.folder) if known else {}).items():
            for file in files if part != WHOLE else ():
                _link(file, aside / file.name)
        marked = {name: (number, self._lake.mark(name, number)) for name, number in versions.items()}
        divided = self._divided.before(until)
        told = {
            "until": until.isoformat(),
            "made_from": self._made_from.isoformat(),
            "versions": marked,
            "divided": [[each.isoformat() for each in instants] for instants in astuple(divided)],
        }
        (aside / CHECKPOINT).write_text(json.dumps(told))
        kept = Checkpoint(aside.rename(self._folder / uuid.uuid4().hex), until, marked, divided)
        if not self._holds(kept, self._lake.versions()):  # something was forgotten meanwhile
            shutil.rmtree(kept.folder, ignore_errors=True)
        self._prune()

    def _holds(self, found: Checkpoint, now: Mapping[str, int]) -> bool:
        return found.divided == self._divided.before(found.until) and all(
            self._lake.kept_between(self._made_from, found.until, self._experiment, name, since, now[name])
            for name, since in found.versions.items()
        )

    def _all(self) -> list[Checkpoint]:
        """From the oldest instant on."""
        found = []
        for told in self._folder.glob(f"*/{CHECKPOINT}"):
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # it goes just now, or was damaged
                document = json.loads(told.read_text())
                versions = {name: (int(number), str(mark)) for name, (number, mark) in document["versions"].items()}
                divided = Divisions(*(tuple(map(datetime.fromisoformat, instants)) for instants in document["divided"]))
                found.append(Checkpoint(told.parent, datetime.fromisoformat(document["until"]), versions, divided))
        return sorted(found, key=lambda each: (each.until, sorted(each.versions.items())))

    def _prune(self) -> None:
        """Keep the newest, and none of another key: a plan is sealed, so that was another AdStyle's."""
        kept = {each.folder for each in self._all()[-KEPT:]}
        for folder in self._of_experiment.iterdir():
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)
        for folder in self._folder.iterdir():
            if folder not in kept and (not folder.name.startswith(_ASIDE) or _is_old(folder)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_whole(found: Checkpoint) -> bool:
    """Whether all its files are there to their ends: a machine that stopped may have written some in part."""
    files = part_files(found.folder)
    try:
        for file in (each for part in files.values() for each in part):
            pq.read_metadata(file)
    except (OSError, pa.ArrowException):
        return False
    return files.keys() == PARTS


def _link(file: Path, name: Path) -> None:
    """Files never change, so several checkpoints share them where the disk can."""
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)


def _is_old(folder: Path) -> bool:
    """Its writer is no more."""
    return time.time() - folder.stat().st_mtime > _ABANDONED
