"""Changing the unit key: every unit in the lake is hashed once more, under a new key; from then on all units are.

The steps, each of which may be the last of a killed run and is found done by the next: the new key is kept beside the
key file (from here on nothing else hashes); each table is rewritten in one commit, which remembers the keys; what held
the old hashes leaves the disk, the log's older entries too; the new key counts. Rejected lines are left as they are,
with the number of keys they know: units stand in them as text.
"""

from collections.abc import Callable
from dataclasses import dataclass

from experiments.events import upkeep
from experiments.events.keys import HASHED, OtherKeys, are_keys_of, layers_of, refuse_other_keys
from experiments.events.lake import EventLake
from experiments.ingest.hashing import UnitHasher
from experiments.ingest.keyfile import KeyFile

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What a change of key did."""

    layers: int
    """Keys there are now, one over the other."""
    rows: dict[str, int]
    """Hashed once more in this run, by table."""


def rekey(lake: EventLake, file: KeyFile, progress: Progress = lambda _what, _done, _of: None) -> Rekeyed:
    """Add a key; or go on with a change that was interrupted. The caller holds the lake's lock.

    Older versions of the rewritten tables can no longer be read afterwards.

    Raises:
        OtherKeys: where the lake's units are hashed under other keys than the file's.
        TryLater: where somebody else wrote meanwhile; the same call again goes on.
    """
    before = UnitHasher(*file.keys())
    if not file.changing:
        for name in HASHED:
            refuse_other_keys(lake.begin(name), before.keys)
    after = UnitHasher(*file.begin_change())
    rows = {name: _rehash(lake, name, before, after, progress) for name in HASHED}
    for name in HASHED:
        upkeep.vacuum(lake, name, 0)
        upkeep.forget_log(lake, name)
    file.end_change()
    return Rekeyed(after.keys.layers, rows)


def _rehash(lake: EventLake, name: str, before: UnitHasher, after: UnitHasher, progress: Progress) -> int:
    handle = lake.begin(name)
    if are_keys_of(handle, after.keys):
        return 0
    if layers_of(handle) == after.keys.layers:
        raise OtherKeys(
            f"the units in {name} are hashed under a new key already, and it is not ours: the change was ended on "
            "another machine; copy its secrets/unit.key and remove secrets/unit.key.next here"
        )
    refuse_other_keys(handle, before.keys)
    done = upkeep.rewrite(
        lake, name, "unit", after.raising("unit", before.keys.layers), after.keys.transactions,
        lambda done, of: progress(f"hashing {name}", done, of),
    )  # fmt: skip
    return done.rows


def refuse_strangers(lake: EventLake, hasher: UnitHasher) -> None:
    """A unit may be looked for only where it would be found.

    Raises:
        OtherKeys: where a table's units are hashed under other keys.
        KeyIsChanging: while the key is being changed.
    """
    for name in HASHED:
        refuse_other_keys(lake.begin(name), hasher.keys)
