"""Where what took time to make is kept for the next process."""

import os
from pathlib import Path

CACHE_VARIABLE = "ADSTYLE_CACHE"


def cache_folder() -> Path:
    """$ADSTYLE_CACHE, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(chosen) if chosen else Path(home) / "adstyle"
