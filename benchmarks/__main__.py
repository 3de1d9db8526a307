"""Measure everything, print the tables and, with ``--write``, put them into the README.

Processes that are measured come first: the system counts what their parent held as theirs.
"""

import importlib
import os
import platform
import sys

from benchmarks.readme import write_between

CLAIMS = ("commands", "volume", "evidence", "wrong_winners", "compare", "scorecard", "units", "ingest", "looks")
BEGIN, END = "<!-- measured: made by `make bench WRITE=1` -->", "<!-- end of measured -->"


def main(arguments: list[str]) -> None:
    """Run the named benchmarks, or all of them."""
    write = "--write" in arguments
    chosen = [name for name in arguments if name != "--write"] or list(CLAIMS)
    strangers = sorted(set(chosen) - set(CLAIMS))
    if strangers or (write and chosen != list(CLAIMS)):
        sys.exit(f"benchmarks are {', '.join(CLAIMS)}; --write takes all of them")
    parts = [f"On {os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}.\n"]
    for name in chosen:
        table = importlib.import_module(f"benchmarks.{name}").measure().markdown()
        print(table, flush=True)
        parts.append(table)
    if write:
        write_between(BEGIN, END, "\n".join(parts))


if __name__ == "__main__":
    main(sys.argv[1:])
