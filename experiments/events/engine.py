"""DuckDB within bounds: so much memory, beyond it a folder of its own that is gone afterwards."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from experiments.core.errors import ExperimentError

MEMORY = "2GiB"
"""What gathering evidence may take, unless a workspace says otherwise."""
_BYTES = {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
_A_THREAD = 125_000_000
"""Bytes; with less a thread, DuckDB's guide says, work that goes to disk may fail."""


@contextmanager
def bounded_engine(memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine with no database; what does not fit in ``memory`` goes to disk for as long as it is needed.

    Raises:
        ExperimentError: where that much memory is too little for the work.
    """
    folder = Path(tempfile.mkdtemp(prefix="adstyle-"))
    try:
        with duckdb.connect(config={"memory_limit": memory, "temp_directory": str(folder)}) as engine:
            engine.execute("SET TimeZone = 'UTC'")
            engine.execute("SET enable_progress_bar = false")
            engine.execute("SET preserve_insertion_order = false")
            ((cores,),) = engine.execute("SELECT current_setting('threads')").fetchall()
            engine.execute(f"SET threads = {max(1, min(cores, _bytes(memory) // _A_THREAD))}")
            yield engine
    except duckdb.OutOfMemoryException as error:
        raise ExperimentError(
            f"{memory} of memory is too little for this; give more as `memory` under [stores] in adstyle.toml"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bytes(memory: str) -> int:
    number, unit = re.fullmatch(r"(\d+) ?(\w+)", memory).groups()  # type: ignore[union-attr]
    return int(number) * _BYTES[unit]
