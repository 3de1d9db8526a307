"""Rows of units to the moments of many metrics at once, with what the units did before: one pass, in DuckDB.

`table` reads any table for one comparison and points at the row that is wrong. Here the table is large and regular
(Parquet above all): columns keep their types, integers stay exact, and no text is made of anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import duckdb

from experiments.core.statistics.adjustment import NAMES, PAIRS, HistoryMoments
from experiments.ingest.table import BadTable, refuse_strangers, source_of

_SAFE = 3_000_000_000
"""Integers up to this have products that a 64-bit integer holds."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric: a numerator column over a denominator (each unit counts 1 without one), and both before."""

    name: str
    numerator: str
    denominator: str | None = None
    before: str | None = None
    denominator_before: str | None = None
    cap: float | None = None
    """Winsorised: a unit's numerator above this counts as this. Declared before the data."""


@dataclass(frozen=True, slots=True)
class UnitMetrics:
    """What a table of units says."""

    metrics: Mapping[str, Mapping[str, HistoryMoments]]
    """By metric and arm, arms in the order of their names."""
    seen: int
    """Units in all."""
    crossover: int
    """Units seen in more than one arm; they are in none."""
    capped: Mapping[str, Mapping[str, int]]
    """Units whose numerator was capped, by metric and arm; only of metrics with a cap."""


def read_unit_metrics(path: Path, *, arm: str, unit: str, measures: Sequence[Measure], threads: int = 2) -> UnitMetrics:
    """Sum a table per unit, then over units.

    A unit may have several rows; where each has one (which is checked, not believed) nothing is grouped.

    Raises:
        BadTable: for a file or a column that is not there, and values that are missing or no numbers.
    """
    connection = duckdb.connect(config={"threads": threads, "preserve_insertion_order": "false"})
    try:
        return _read(connection, path, arm, unit, measures)
    except duckdb.Error as error:
        raise BadTable(f"{path}: {str(error).splitlines()[0]}") from None
    finally:
        connection.close()


def _read(
    connection: duckdb.DuckDBPyConnection, path: Path, arm: str, unit: str, measures: Sequence[Measure]
) -> UnitMetrics:
    connection.execute(f"CREATE VIEW source AS SELECT * FROM {source_of(path)}")
    types = {name: kind for name, kind, *_ in connection.execute("DESCRIBE source").fetchall()}
    asked = {
        column
        for each in measures
        for column in (each.numerator, each.denominator, each.before, each.denominator_before)
        if column is not None
    }
    refuse_strangers(path, types, [arm, unit, *asked])
    columns = {name: f"c{number}" for number, name in enumerate(sorted(asked))}
    casts = {
        alias: _quoted(name) if _is_number(types[name]) else f"CAST({_quoted(name)} AS DOUBLE)"
        for name, alias in columns.items()
    }
    rows, *checks = _first(
        connection,
        f"SELECT count(*), count({_quoted(unit)}), count({_quoted(arm)}), "
        + ", ".join(f"count({cast})" for cast in casts.values())
        + " FROM source",
    )
    for name, known in zip((unit, arm, *columns), checks, strict=True):
        if known < rows:
            raise BadTable(
                f"{path}: {name} is missing in {rows - known:,} of {rows:,} rows; fill or leave out those rows"
            )
    if rows == 0:
        raise BadTable(f"{path} has no rows")
    (units,) = _first(connection, f"SELECT count(DISTINCT {_quoted(unit)}) FROM source")
    crossover = 0
    if units == rows:
        inner = ", ".join(f"{cast} AS {alias}" for alias, cast in casts.items())
        per_unit = f"SELECT {_quoted(arm)} AS arm, {inner} FROM source"
    else:
        sums = ", ".join(f"sum({cast}) AS {alias}" for alias, cast in casts.items())
        connection.execute(
            f"CREATE TEMP TABLE summed AS SELECT min({_quoted(arm)}) AS arm, {sums}, "
            f"min({_quoted(arm)}) <> max({_quoted(arm)}) AS crossed FROM source GROUP BY {_quoted(unit)}"
        )
        (crossover,) = _first(connection, "SELECT count(*) FILTER (crossed) FROM summed")
        per_unit = "SELECT * EXCLUDE (crossed) FROM summed WHERE NOT crossed"
    return _moments(connection, path, per_unit, measures, columns, int(units), int(crossover))


def _moments(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    per_unit: str,
    measures: Sequence[Measure],
    columns: Mapping[str, str],
    units: int,
    crossover: int,
) -> UnitMetrics:
    """Every sum and product that a metric needs, each once."""
    exact = _exact(connection, per_unit, list(columns.values()))
    terms = {alias: alias for alias in columns.values()}
    for each in measures:
        if each.cap is not None:
            terms[f"k_{each.name}"] = f"least({columns[each.numerator]}, {float(each.cap)!r})"
    parts = {each.name: _parts(each, columns) for each in measures}
    sums: dict[tuple[str, ...], str] = {}
    for of in parts.values():
        used = [part for part in of.values() if part is not None]
        for part in used:
            sums[(part,)] = _sum(terms, exact, part)
        for left, right in combinations_with_replacement(sorted(set(used)), 2):
            sums[left, right] = _sum(terms, exact, left, right)
    capped = {
        each.name: f"count(*) FILTER ({columns[each.numerator]} > {float(each.cap)!r})"
        for each in measures
        if each.cap is not None
    }
    selected = [f"{text} AS s{number}" for number, text in enumerate(sums.values())]
    selected += [f"{text} AS w{number}" for number, text in enumerate(capped.values())]
    found = connection.execute(
        f"SELECT CAST(arm AS VARCHAR) AS name, count(*), {', '.join(selected)} FROM ({per_unit}) "
        "GROUP BY arm ORDER BY name"
    ).fetchall()
    metrics: dict[str, dict[str, HistoryMoments]] = {each.name: {} for each in measures}
    counts: dict[str, dict[str, int]] = {name: {} for name in capped}
    for name, count, *values in found:
        known = dict(zip(sums, values[: len(sums)], strict=True))
        for each in measures:
            metrics[each.name][name] = _history(int(count), parts[each.name], known, path, each)
        for number, metric in enumerate(capped):
            counts[metric][name] = int(values[len(sums) + number])
    return UnitMetrics(metrics, units, crossover, counts)


def _parts(each: Measure, columns: Mapping[str, str]) -> dict[str, str | None]:
    """Which term stands for y, x, yb and xb; None where each unit counts 1 or there is no history."""
    return {
        "y": f"k_{each.name}" if each.cap is not None else columns[each.numerator],
        "x": columns[each.denominator] if each.denominator else None,
        "yb": columns[each.before] if each.before else None,
        "xb": columns[each.denominator_before] if each.denominator_before else None,
    }


def _history(
    count: int, parts: Mapping[str, str | None], known: Mapping[tuple[str, ...], float], path: Path, each: Measure
) -> HistoryMoments:
    def value(*names: str) -> int | float:
        if not each.before and any(name in ("yb", "xb") for name in names):
            return 0
        terms = sorted(part for name in names for part in (parts[name],) if part is not None)
        found = count if not terms else known[tuple(terms)]
        if found != found or found in (float("inf"), float("-inf")):
            raise BadTable(f"{path}: {each.numerator} or what it is divided by holds NaN or infinity: mend those rows")
        return found if isinstance(found, int) else int(found) if found == int(found) and abs(found) < 2**53 else found

    return HistoryMoments(count, *(value(name) for name in NAMES), *(value(*pair) for pair in PAIRS))


def _sum(terms: Mapping[str, str], exact: Mapping[str, str], *of: str) -> str:
    """Integers are summed as such; their products are widened only where they could overflow."""
    if all(part in exact for part in of):
        width = "HUGEINT" if len(of) > 1 and "HUGEINT" in (exact[part] for part in of) else "BIGINT"
        return "sum(" + " * ".join(f"CAST({terms[part]} AS {width})" for part in of) + ")"
    return "sum(" + " * ".join(f"CAST({terms[part]} AS DOUBLE)" for part in of) + ")"


def _exact(connection: duckdb.DuckDBPyConnection, per_unit: str, aliases: Sequence[str]) -> dict[str, str]:
    """The integer columns, and how wide their products must be."""
    types = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {per_unit}").fetchall()}
    whole = [alias for alias in aliases if "INT" in types[alias]]
    if not whole:
        return {}
    ends = _first(
        connection,
        "SELECT " + ", ".join(f"max(abs(CAST({alias} AS HUGEINT)))" for alias in whole) + f" FROM ({per_unit})",
    )
    return {
        alias: "BIGINT" if end is not None and end <= _SAFE else "HUGEINT"
        for alias, end in zip(whole, ends, strict=True)
    }


def _is_number(kind: str) -> bool:
    return kind.startswith(("DECIMAL",)) or kind in ("DOUBLE", "FLOAT") or "INT" in kind


def _first(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    return connection.execute(query).fetchall()[0]


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
