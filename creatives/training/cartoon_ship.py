"""From a generator that `cartoon` trained to the pack we ship, with what is known of how it was made.

python -m creatives.training.cartoon_ship GENERATOR.safetensors [--out DIR] [--name NAME] [--data WORDS]
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from creatives.errors import CreativeError
from creatives.packaging import write_pack
from creatives.packs import SHIPPED
from creatives.previews import preview_of

NAME = "flat-cartoon"
LOOK = "Flat cartoon: lively colour in a few flat tones, edges drawn clean, lettering left readable."
TONES = 8


def how_made(facts: Mapping[str, Any], data: str) -> str:
    """Provenance in a few sentences."""
    return (
        f"Generator of creatives.neural.cartoon, trained by creatives.training.cartoon on {data} against two critics: "
        f"{facts['steps']} steps of {facts['batch']} crops of {facts['size']} px, {facts['seconds']} s on "
        f"{facts['device']}, seed {facts['seed']}. No artist's cartoons were used: the critics' targets were rendered "
        "by ourselves, by rule, from other photographs of the same kinds (creatives.training.cartoon_targets), and a "
        "structure term leads towards each photograph flattened and outlined by rule."
    )


def ship(generator: Path, folder: Path, data: str) -> Path:
    """Write the pack; one that exists is not touched.

    Raises:
        CreativeError: for a file that `cartoon` did not write, or a folder that exists.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(generator, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["training"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError, KeyError) as error:
        raise CreativeError(f"{generator} is no generator that creatives.training.cartoon wrote ({error})") from None
    return write_pack(
        folder, name=folder.name, look=LOOK, engine="cartoon", parameters={"tones": TONES}, weights=weights,
        licence="Apache-2.0", author="AdStyle", made=how_made(facts, data),
        preview=preview_of,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pack, and say where."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("generator", type=Path)
    options.add_argument("--out", type=Path, default=SHIPPED)
    options.add_argument("--name", default=NAME)
    options.add_argument("--data", default="free photographs of products and scenes", help="Said in the pack.")
    wish = options.parse_args(arguments)
    print(ship(wish.generator, wish.out / wish.name, wish.data))  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
