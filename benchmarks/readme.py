"""Where measured figures stand in the README."""

import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def write_between(begin: str, end: str, text: str) -> None:
    """Put ``text`` between two marks; nothing is written where a mark is missing."""
    before, found, rest = README.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        sys.exit(f"README.md has no place for the figures between {begin} and {end}")
    README.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")
