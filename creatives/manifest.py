"""The manifest beside finished files: what each is, from what it was made, and whether it may be used again."""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from creatives.kinds import no_file
from creatives.quality import Finding

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished file; ``key`` is the hash of everything its bytes depend on."""

    key: str
    arm: str
    slot: str
    file_name: str
    sha256: str
    bytes: int
    width: int
    height: int
    provenance: Mapping[str, Any]
    findings: tuple[Finding, ...]
    """What is wrong with the file by itself, not beside other arms."""
    fingerprint: str
    """Of the picture layer, base64: what it takes to compare arms without rendering them again."""


@dataclass(slots=True)
class Manifest:
    """The entries of one folder, by file name."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    def usable(self, key: str) -> Entry | None:
        """The entry made from the same inputs, if its file is still what it was."""
        for entry in self.entries.values():
            if entry.key == key:
                try:
                    content = (self.folder / entry.file_name).read_bytes()
                except OSError:
                    return None
                return entry if hashlib.sha256(content).hexdigest() == entry.sha256 else None
        return None

    def save(self, made: Iterable[tuple[Entry, bytes]]) -> None:
        """Write files, then the manifest that names them; each whole or not at all."""
        for entry, content in made:
            write_whole(self.folder / entry.file_name, content)
            self.entries[entry.file_name] = entry
        present = {name: entry for name, entry in self.entries.items() if (self.folder / name).is_file()}
        self.entries = dict(sorted(present.items()))
        document = {"variants": [asdict(entry) for entry in self.entries.values()]}
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
        write_whole(self.folder / MANIFEST, text.encode())


def load_manifest(folder: Path) -> Manifest:
    """The folder's manifest; empty where it is absent or broken: files are then made again, which harms nothing."""
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
        entries = [_entry(item) for item in document["variants"]]
    except (OSError, ValueError, TypeError, KeyError):
        entries = []
    return Manifest(folder, {entry.file_name: entry for entry in entries})


def _entry(item: Mapping[str, Any]) -> Entry:
    findings = tuple(Finding(**finding) for finding in item["findings"])
    return Entry(**{**item, "findings": findings})


def write_whole(path: Path, content: bytes) -> None:
    """Write aside, then rename: a reader sees the old file or the new one.

    Raises:
        OSError: also for a pipe or a device, which the rename would do away with.
    """
    if path.exists() and (kind := no_file(path)):
        raise OSError(errno.EINVAL, f"it is {kind}; name a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        if error.filename is not None:
            error.filename = str(path)  # nobody knows of the file aside
        raise
    finally:
        with suppress(OSError):  # such as of a read-only folder, of which the refusal above has spoken
            aside.unlink(missing_ok=True)
