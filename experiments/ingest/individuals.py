"""Tables of units that are more than sums an arm: told apart by a stratum, or value by value for quantiles."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from experiments.core.statistics.moments import PairMoments
from experiments.ingest.table import BadTable, refuse_strangers, source_of

Array = NDArray[np.float64]
NONE = "(none)"
"""The stratum of units whose column is empty."""


@dataclass(frozen=True, slots=True)
class Strata:
    """Moments by stratum and arm; every stratum has every arm."""

    strata: Mapping[str, Mapping[str, PairMoments]]
    seen: int
    crossover: int
    """Units seen in more than one arm; they are in none."""

    @property
    def arms(self) -> dict[str, PairMoments]:
        """All strata together."""
        whole: dict[str, PairMoments] = {}
        for found in self.strata.values():
            for arm, pair in found.items():
                whole[arm] = whole[arm] + pair if arm in whole else pair
        return whole


@dataclass(frozen=True, slots=True)
class Rows:
    """By arm, every row's value, and which unit it is of (codes)."""

    values: Mapping[str, tuple[Array, NDArray[np.int64]]]
    seen: int
    crossover: int


def read_strata(
    path: Path, *, arm: str, unit: str, numerator: str, stratum: str, denominator: str | None = None
) -> Strata:
    """Sum a table per unit, then over the units of each arm in each stratum.

    Raises:
        BadTable: for a file or column that is not there, values that are missing or no numbers, and units that are in
            several strata: those are known before anything happens, and do not change.
    """
    over = "CAST(1 AS DOUBLE)" if denominator is None else f"sum({_number(denominator)})"
    query = (
        f"SELECT {_text(unit)} AS unit, min({_text(arm)}) AS arm, min({_text(arm)}) <> max({_text(arm)}) AS crossed, "
        f"coalesce(min({_text(stratum)}), '{NONE}') AS stratum, "
        f"coalesce(min({_text(stratum)}) <> max({_text(stratum)}), false) AS moved, "
        f"sum({_number(numerator)}) AS y, {over} AS x FROM source GROUP BY 1"
    )
    asked = [arm, unit, numerator, *([denominator] if denominator else []), stratum]
    with _opened(path, asked, required=[each for each in asked if each != stratum]) as engine:
        engine.execute(f"CREATE TEMP TABLE people AS {query}")
        ((seen, crossover, moved),) = engine.execute(
            "SELECT count(*), count(*) FILTER (crossed), count(*) FILTER (moved) FROM people"
        ).fetchall()
        if moved:
            raise BadTable(
                f"{path}: {moved:,} units have several values of {stratum!r}; strata are what was known of a unit "
                "before it was assigned, and never change"
            )
        found = engine.execute(
            "SELECT stratum, arm, count(*), sum(y), sum(x), sum(y * y), sum(x * x), sum(x * y) FROM people "
            "WHERE NOT crossed GROUP BY ALL ORDER BY stratum, arm"
        ).fetchall()
    arms = sorted({each[1] for each in found})
    strata: dict[str, dict[str, PairMoments]] = {}
    for name, of_arm, *sums in found:
        strata.setdefault(name, {each: PairMoments() for each in arms})[of_arm] = PairMoments(*sums)
    return Strata(strata, int(seen), int(crossover))


def read_rows(path: Path, *, arm: str, unit: str, column: str) -> Rows:
    """Every row's value, by arm in the order of their names.

    Raises:
        BadTable: for a file or column that is not there, and values that are missing or no numbers.
    """
    with _opened(path, [arm, unit, column], required=[arm, unit, column]) as engine:
        engine.execute(
            f"CREATE TEMP TABLE rows AS SELECT {_text(arm)} AS arm, {_text(unit)} AS unit, {_number(column)} AS value "
            "FROM source"
        )
        engine.execute(
            "CREATE TEMP TABLE people AS SELECT unit, row_number() OVER () AS code, min(arm) <> max(arm) AS crossed "
            "FROM rows GROUP BY unit"
        )
        ((seen, crossover),) = engine.execute("SELECT count(*), count(*) FILTER (crossed) FROM people").fetchall()
        names = [
            name
            for (name,) in engine.execute(
                "SELECT DISTINCT arm FROM rows JOIN people USING (unit) WHERE NOT crossed ORDER BY arm"
            ).fetchall()
        ]
        values = {}
        for name in names:
            found = engine.execute(
                "SELECT value, code FROM rows JOIN people USING (unit) WHERE NOT crossed AND arm = ?", [name]
            ).fetchnumpy()
            values[name] = (np.asarray(found["value"], dtype=np.float64), np.asarray(found["code"], dtype=np.int64))
    return Rows(values, int(seen), int(crossover))


@contextmanager
def _opened(path: Path, asked: Sequence[str], required: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose ``source`` is the table, its columns checked; what DuckDB cannot read is a BadTable."""
    engine = duckdb.connect()
    try:
        engine.execute(f"CREATE VIEW source AS SELECT * FROM {source_of(path)}")
        refuse_strangers(path, [row[0] for row in engine.execute("DESCRIBE source").fetchall()], asked)
        for column in dict.fromkeys(required):
            _refuse_missing(engine, path, column)
        yield engine
    except duckdb.Error as error:
        lines = str(error).splitlines()
        raise BadTable(f"{path}: {next((line for line in lines if 'convert' in line), lines[0])}") from None
    finally:
        engine.close()


def _refuse_missing(engine: duckdb.DuckDBPyConnection, path: Path, column: str) -> None:
    query = f"SELECT count(*) FROM source WHERE coalesce({_text(column)}, '') = ''"
    ((missing,),) = engine.execute(query).fetchall()
    if missing:
        raise BadTable(f"{path}: {column} is missing in {missing:,} rows; fill or leave out those rows")


def _text(column: str) -> str:
    return f"CAST({_quoted(column)} AS VARCHAR)"


def _number(column: str) -> str:
    return f"CAST({_quoted(column)} AS DOUBLE)"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
