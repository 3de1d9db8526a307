"""Under which keys the lake's units are hashed: each table remembers it, in the commit that hashed them.

A delivery, a look for one unit and a gathering of evidence first compare, because hashes under other keys would make
every unit a stranger. A table that remembers nothing is hashed under the first key alone.
"""

from dataclasses import dataclass

from deltalake import Transaction

from experiments.core.errors import ExperimentError, TryLater
from experiments.events.append import Append
from experiments.events.lake import EventLake
from experiments.events.schema import TABLES

_LAYERS = "unit-keys"
HASHED = tuple(name for name, layout in TABLES.items() if "unit" in layout.schema.names)
"""The tables that have units."""


@dataclass(frozen=True, slots=True)
class UnitKeys:
    """How many keys, one over the other, and which."""

    layers: int
    mark: str
    """Tells these keys from others; says nothing of what they are."""

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        """What a table's commit is to remember of them."""
        return Transaction(_LAYERS, self.layers), Transaction(f"{_LAYERS}-{self.mark}", self.layers)


class OtherKeys(ExperimentError):
    """The lake's units are hashed under keys that are not ours."""


def layers_of(handle: Append) -> int:
    """Under how many keys a table's units are hashed."""
    return handle.table.transaction_version(_LAYERS) or 1


def are_keys_of(handle: Append, keys: UnitKeys) -> bool:
    """Whether a table's units are hashed under these keys and no others."""
    layers = layers_of(handle)
    return layers == keys.layers and (layers == 1 or handle.delivered(f"{_LAYERS}-{keys.mark}"))


def refuse_other_keys(handle: Append, keys: UnitKeys) -> None:
    """Hashes under ``keys`` may only meet those of a table that has the same.

    Raises:
        OtherKeys: where the table has others.
    """
    if are_keys_of(handle, keys):
        return
    layers = layers_of(handle)
    which = "others" if layers == keys.layers else f"{layers} and not {keys.layers}"
    raise OtherKeys(
        f"the units in {handle.name} are hashed under other unit keys than ours ({which}): if the key was changed "
        "meanwhile, start this again; if it was changed on another machine, end that there (adstyle events rekey) and "
        "copy its secrets/unit.key; otherwise restore the newest one"
    )


def refuse_mixed_keys(lake: EventLake, versions: dict[str, int]) -> None:
    """Tables whose units are to meet must be hashed alike.

    Raises:
        TryLater: where one is, at its version, hashed under a key that another is not.
    """
    layers = {name: layers_of(lake.at(name, versions[name])) for name in HASHED if name in versions}
    if len(set(layers.values())) > 1:
        told = ", ".join(f"{name} under {count}" for name, count in layers.items())
        raise TryLater(
            f"the unit key is being changed ({told}): wait until that has ended or, where it was interrupted, "
            "run adstyle events rekey"
        )
