"""DuckDB within bounds: so much memory, beyond it a folder of its own that is gone afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from experiments.core.errors import ExperimentError

MEMORY = "2GiB"
"""What work on the lake may take, unless a workspace says otherwise."""


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
            yield engine
    except duckdb.OutOfMemoryException as error:
        raise ExperimentError(
            f"{memory} of memory are too little for this; give more as `memory` under [stores] in adstyle.toml"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
