"""Deliveries that leave a table because newer ones come in their place: which files hold them, and what else does."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa

from experiments.events.parts import Parts
from experiments.events.stored import StoredFile, literals, parquet

AtHand = Callable[[Sequence[StoredFile]], AbstractContextManager[list[Path]]]
"""Brings files to this machine for as long as a body runs."""
Ends = tuple[str | None, str | None]
"""The least and the greatest delivery in a file, by hash; None where the log does not say."""


@dataclass(frozen=True, slots=True)
class Share:
    """A file that holds rows of such deliveries."""

    file: StoredFile
    theirs: int

    @property
    def whole(self) -> bool:
        """Whether it holds nothing else."""
        return self.theirs == self.file.rows


def delivery_ends(log: pa.Table) -> dict[str, Ends]:
    """Of each file, from the log's statistics."""
    columns = (f"{end}.delivery" for end in ("min", "max"))
    nothing = [None] * log.num_rows
    least, most = (log[name].to_pylist() if name in log.column_names else nothing for name in columns)
    paths = map(unquote, log["path"].to_pylist())
    return dict(zip(paths, zip(least, most, strict=True), strict=True))


def shares(files: Iterable[tuple[StoredFile, Ends]], deliveries: Sequence[str], at_hand: AtHand) -> Iterator[Share]:
    """The files that hold rows of ``deliveries``; files that cannot, by the log, are not opened."""
    with duckdb.connect() as engine:
        for file, (least, most) in files:
            if least is None or most is None or any(least <= each <= most for each in deliveries):
                with at_hand([file]) as paths:
                    query = f"SELECT count(*) FROM {parquet(paths)} WHERE delivery IN ({literals(deliveries)})"
                    ((theirs,),) = engine.execute(query).fetchall()
                if theirs:
                    yield Share(file, int(theirs))


def write_the_rest(held: Iterable[Share], parts: Parts, deliveries: Sequence[str], at_hand: AtHand) -> list[StoredFile]:
    """Write what these files hold of other deliveries into ``parts``; return the files, which may go then."""
    gone = []
    for share in held:
        gone.append(share.file)
        if not share.whole:
            target = str(parts.beginning(share.file.keys)).replace("'", "''")
            with at_hand([share.file]) as paths, duckdb.connect() as engine:
                rest = f"SELECT * FROM {parquet(paths)} WHERE delivery NOT IN ({literals(deliveries)})"
                engine.execute(f"COPY ({rest}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    return gone
