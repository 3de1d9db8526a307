"""The styles that the shared network learns, and the packs that come of them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).with_name("catalogue.toml")


def read_catalogue() -> Mapping[str, Mapping[str, Any]]:
    """Pack -> ``picture`` (file stem), ``work``, ``look``; where it may go further than others, ``content``: how far in
    feature space a styled photograph may be from itself; where it goes too far, ``full``: how much of it is shipped.
    """
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
