"""Where the demo's photographs lie: scikit-image carries them in its wheel, never downloaded, never copied here."""

from importlib.util import find_spec
from pathlib import Path

from experiments.core.errors import ExperimentError

FILES = {"coffee": "coffee.png", "motorcycle": "motorcycle_left.png", "cat": "chelsea.png"}


PREVIEWED = {**FILES, "portrait": "astronaut.png"}
"""What styles are looked at on: things on a table and in a room, fur, a face."""


def photograph(name: str) -> Path:
    """The file of one of PREVIEWED; found without importing scikit-image."""
    spec = find_spec("skimage")
    path = Path(spec.origin).parent / "data" / PREVIEWED[name] if spec and spec.origin else None
    if path is None or not path.is_file():
        missing = f"scikit-image's photograph {PREVIEWED[name]} is missing"
        raise ExperimentError(f"{missing}; give your own with --picture FILE")
    return path
