"""From the adapters of a training to the packs we ship, with what is known of how each was made.

python -m creatives.training.ship --checkpoint FILE [--out DIR] [STYLE...]
"""

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from creatives.errors import CreativeError
from creatives.neural import shared
from creatives.packaging import write_pack
from creatives.packs import SHIPPED
from creatives.previews import preview_of
from creatives.training.catalogue import CATALOGUE, read_catalogue
from creatives.training.checkpoint import load_checkpoint


def how_made(work: str, facts: Mapping[str, Any], data: str) -> str:
    """One sentence of provenance: picture, script, data, steps, seed, device."""
    settings = facts["settings"]
    how = "with the network" if not settings["frozen"] else "first with the network (networks/README.md), then alone"
    return (
        f"Adapter of the shared network, learned from: {work}; {how}, by creatives.training.base on {data}: "
        f"{facts['step']} steps of {settings['batch']} crops of {settings['size']} px, "
        f"styles at once: {len(facts['styles'])}, seed {settings['seed']}, {settings['device']}."
    )


def ship(checkpoint: Path, out: Path, names: Sequence[str], data: str) -> tuple[Path, ...]:
    """Write a pack for each named style of the catalogue that the training holds; existing packs are not touched.

    Raises:
        CreativeError: for a style that is not in the catalogue or the training.
    """
    found = load_checkpoint(checkpoint)
    if found is None:
        raise CreativeError(f"there is no checkpoint {checkpoint}")
    catalogue, network = read_catalogue(), shared.file_sha256(shared.SHARED)[:12]
    written = []
    for name in names or [name for name in catalogue if catalogue[name]["picture"] in found.facts["styles"]]:
        if name not in catalogue or catalogue[name]["picture"] not in found.facts["styles"]:
            raise CreativeError(f"{name!r} is not in {CATALOGUE.name} or not in {checkpoint}")
        entry = catalogue[name]
        numbers = found.tensors["adapters"][found.facts["styles"].index(entry["picture"])]
        adapter = numbers.numpy().astype(np.float16)
        parameters = {"network": network} | ({"full": entry["full"]} if "full" in entry else {})
        folder = write_pack(
            out / name, name=name, look=entry["look"], engine="network", parameters=parameters,
            weights={"adapter": adapter}, licence="Apache-2.0", author="AdStyle",
            made=how_made(entry["work"], found.facts, data), preview=preview_of,
        )  # fmt: skip
        written.append(folder)
    return tuple(written)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write packs, and say which."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("styles", nargs="*", metavar="STYLE")
    options.add_argument("--checkpoint", type=Path, required=True)
    options.add_argument("--out", type=Path, default=SHIPPED)
    options.add_argument("--data", default="free photographs of products and scenes", help="Said in the packs.")
    wish = options.parse_args(arguments)
    for folder in ship(wish.checkpoint, wish.out, wish.styles, wish.data):
        digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
        print(folder, digest[:12])  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
