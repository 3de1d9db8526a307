"""Checkpoints: everything training needs to go on, in one safetensors file that is whole or not there."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from creatives.errors import CreativeError

_FACTS = "adstyle"


class CheckpointError(CreativeError):
    """A checkpoint that cannot be gone on from; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name, and plain facts: step, settings, states of the dice."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write aside, then rename.

        Raises:
            OSError: for a full disk; what was there before is still there.
        """
        from safetensors.torch import save

        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(path.name + ".part")
        try:
            aside.write_bytes(
                save(
                    {name: value.contiguous() for name, value in self.tensors.items()}, {_FACTS: json.dumps(self.facts)}
                )
            )
            os.replace(aside, path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise


def load_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint in a file; None where there is none.

    Raises:
        CheckpointError: for a file that is no checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise CheckpointError(f"{path} is no checkpoint of ours (it is a folder): remove it to begin again")
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(_FACTS, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} is no checkpoint of ours ({reason}): remove it to begin again") from None
    except RecursionError:
        facts = None
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path} is no checkpoint of ours (it tells of no training): remove it to begin again")
    return Checkpoint(tensors, facts)
