"""Read any table of arms or units for `adstyle compare`: CSV, JSON lines or Parquet, plain or gzipped.

DuckDB reads and sums; names stay text, so that an arm called 0 is "0", and arms and groups keep their first order.
"""

import difflib
import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from experiments.core.errors import ExperimentError
from experiments.core.statistics.moments import PairMoments

FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json", ".parquet": "parquet"}

LONGEST_LINE = 16_000_000


class BadTable(ExperimentError):
    """The table cannot be compared; the message says which, where and what to do."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns mean what; None where the table has no such column."""

    arm: str
    numerator: str
    denominator: str | None = None
    unit: str | None = None
    units: str | None = None
    group: str | None = None
    add_up: bool = False
    """Rows of one arm are added up instead of refused (aggregates)."""


@dataclass(frozen=True, slots=True)
class Group:
    """The arms of one comparison, in the order in which the table names them."""

    name: str | None
    arms: dict[str, PairMoments]
    crossover: int = 0
    """Units seen in more than one arm; they are in none."""
    seen: int = 0
    """Units in all, crossover included."""


def read_groups(path: Path, columns: Columns) -> tuple[Group, ...]:
    """Every group of the table.

    Raises:
        BadTable: for a file that is none, a missing column, or values that no arm or unit can have.
    """
    connection = duckdb.connect(config={"threads": 2, "preserve_insertion_order": "true"})
    try:
        _load(connection, path, columns)
        return _units(connection, columns) if columns.unit else _aggregates(connection, path, columns)
    except duckdb.Error as error:
        raise BadTable(f"{path}: {str(error).splitlines()[0]}") from None
    finally:
        connection.close()


def _load(connection: duckdb.DuckDBPyConnection, path: Path, columns: Columns) -> None:
    """The columns we need as table ``rows``: position, group_name, arm, unit, y, x, n (all text but position)."""
    source = source_of(path)
    connection.execute(f"CREATE VIEW source AS SELECT * FROM {source}")  # noqa: S608 - quoted by source_of
    present = [row[0] for row in connection.execute("DESCRIBE source").fetchall()]
    wanted = {
        "group_name": columns.group, "arm": columns.arm, "unit": columns.unit,
        "y": columns.numerator, "x": columns.denominator, "n": columns.units,
    }  # fmt: skip
    refuse_strangers(path, present, [column for column in wanted.values() if column is not None])
    chosen = ", ".join(
        f"{'NULL' if column is None else f'CAST({_quoted(column)} AS VARCHAR)'} AS {alias}"
        for alias, column in wanted.items()
    )
    connection.execute(f"CREATE TABLE rows AS SELECT row_number() OVER () AS position, {chosen} FROM source")  # noqa: S608
    if connection.execute("SELECT count(*) FROM rows").fetchall()[0][0] == 0:
        raise BadTable(f"{path} has a header but no rows")
    for alias, column in (("arm", columns.arm), ("unit", columns.unit), ("group_name", columns.group)):
        if column is not None:
            _refuse(connection, path, f"{alias} IS NULL OR trim({alias}) = ''", column, "is empty", alias)
    for alias, column in (("y", columns.numerator), ("x", columns.denominator), ("n", columns.units)):
        if column is None:
            continue
        number = f"TRY_CAST({alias} AS DOUBLE)"
        _refuse(connection, path, f"{number} IS NULL OR NOT isfinite({number})", column, "is not a number", alias)
    for alias, column in (("x", columns.denominator), ("n", columns.units)):
        if column is not None:
            _refuse(connection, path, f"TRY_CAST({alias} AS DOUBLE) < 0", column, "is negative", alias)


def refuse_strangers(path: Path, present: Iterable[str], wanted: Iterable[str]) -> None:
    """Every wanted column must be there; the refusal names the nearest that is."""
    known = list(present)
    for column in wanted:
        if column not in known:
            near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise BadTable(f"{path} has no column {column!r}: {advice}")


def source_of(path: Path) -> str:
    """What DuckDB reads the file with; text formats come as text.

    Raises:
        BadTable: for what is no such file.
    """
    if not path.exists():
        near = (
            difflib.get_close_matches(path.name, [each.name for each in path.parent.glob("*")], n=1)
            if path.parent.is_dir()
            else []
        )
        raise BadTable(f"there is no file {path}" + (f": did you mean {near[0]!r}?" if near else ""))
    if path.is_dir():
        raise BadTable(f"{path} is a folder: give a file")
    if path.stat().st_size == 0:
        raise BadTable(f"{path} is empty")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    kind = FORMATS.get((suffixes[:-1] if packed else suffixes)[-1] if len(suffixes) > packed else "")
    if kind is None:
        raise BadTable(
            f"{path}: the name ends in none of {', '.join(FORMATS)} (and .gz); rename it to what it is, or save it as "
            "one of these"
        )
    if packed:
        _refuse_cut_gzip(path)
    literal = "'" + str(path).replace("'", "''") + "'"
    compression = "gzip" if packed else "none"
    match kind:
        case "csv":
            return (
                f"read_csv({literal}, header = true, all_varchar = true, compression = '{compression}', "
                f"max_line_size = {LONGEST_LINE})"
            )
        case "json":
            return f"read_json({literal}, format = 'newline_delimited', compression = '{compression}')"
        case _:
            return f"read_parquet({literal})"


def _refuse_cut_gzip(path: Path) -> None:
    try:
        with gzip.open(path) as file:
            while file.read(1 << 22):
                pass
    except (EOFError, OSError) as error:
        raise BadTable(f"{path} cannot be unpacked ({error}): get the whole file again") from None


def _refuse(
    connection: duckdb.DuckDBPyConnection, path: Path, condition: str, column: str, complaint: str, alias: str
) -> None:
    found = connection.execute(
        f"SELECT position, {alias} FROM rows WHERE {condition} ORDER BY position LIMIT 1"  # noqa: S608 - our own names
    ).fetchone()
    if found:
        shown = "" if found[1] is None else f" {str(found[1])[:40]!r}"
        raise BadTable(f"{path}: row {found[0]}: {column}{shown} {complaint}; mend the row or leave it out")


def _aggregates(connection: duckdb.DuckDBPyConnection, path: Path, columns: Columns) -> tuple[Group, ...]:
    if columns.denominator is None:
        raise BadTable("aggregates need --denominator COLUMN; rows of units need --unit COLUMN")
    if not columns.add_up:
        twice = connection.execute(
            "SELECT group_name, arm, min(position) FROM rows GROUP BY ALL HAVING count(*) > 1 ORDER BY 3 LIMIT 1"
        ).fetchone()
        if twice:
            of_group = f" of group {twice[0]!r}" if twice[0] is not None else ""
            raise BadTable(
                f"{path}: arm {twice[1]!r}{of_group} has several rows: add them up with --sum, or name a --group"
            )
    _refuse(
        connection, path, "TRY_CAST(y AS DOUBLE) < 0 OR TRY_CAST(y AS DOUBLE) > TRY_CAST(x AS DOUBLE)",
        columns.numerator, f"is not between 0 and {columns.denominator}, as counts of independent units are", "y",
    )  # fmt: skip
    for alias, column in (("y", columns.numerator), ("x", columns.denominator), ("n", columns.units)):
        if column is not None:
            number = f"CAST({alias} AS DOUBLE)"
            _refuse(connection, path, f"{number} <> trunc({number})", column, "is not a whole number", alias)
    units = "n" if columns.units else "x"
    rows = connection.execute(
        f"""
        SELECT group_name, arm, sum({_integer("y")}), sum({_integer("x")}), sum({_integer(units)}),
               min(position) AS first, min(min(position)) OVER (PARTITION BY group_name) AS group_first
        FROM rows GROUP BY group_name, arm ORDER BY group_first, first
        """  # noqa: S608 - our own names
    ).fetchall()
    groups: dict[str | None, dict[str, PairMoments]] = {}
    for name, arm, y, x, n, *_ in rows:
        groups.setdefault(name, {})[arm] = PairMoments(int(n), int(y), int(x), int(y), int(x), int(y))
    return tuple(Group(name, arms, 0, sum(pair.units for pair in arms.values())) for name, arms in groups.items())


def _units(connection: duckdb.DuckDBPyConnection, columns: Columns) -> tuple[Group, ...]:
    whole = _all_whole(connection, "y") and (columns.denominator is None or _all_whole(connection, "x"))
    cast = "HUGEINT" if whole else "DOUBLE"
    x = f"sum(CAST(x AS {cast}))" if columns.denominator else f"CAST(1 AS {cast})"
    connection.execute(
        f"""
        CREATE TABLE per_unit AS
        SELECT group_name, unit, min(arm) AS arm, count(DISTINCT arm) AS arms, sum(CAST(y AS {cast})) AS y, {x} AS x,
               min(position) AS position
        FROM rows GROUP BY group_name, unit
        """  # noqa: S608 - our own names
    )
    rows = connection.execute(
        """
        WITH places AS (
            SELECT group_name, arm, min(position) AS first,
                   min(min(position)) OVER (PARTITION BY group_name) AS group_first
            FROM rows GROUP BY group_name, arm
        ), sums AS (
            SELECT group_name, arm, count(*) AS n, sum(y) AS y, sum(x) AS x,
                   sum(y * y) AS yy, sum(x * x) AS xx, sum(x * y) AS xy
            FROM per_unit WHERE arms = 1 GROUP BY group_name, arm
        )
        SELECT places.group_name, places.arm, n, y, x, yy, xx, xy
        FROM places LEFT JOIN sums
          ON places.arm = sums.arm AND places.group_name IS NOT DISTINCT FROM sums.group_name
        ORDER BY group_first, first
        """
    ).fetchall()
    crossing = dict(
        connection.execute("SELECT group_name, count(*) FROM per_unit WHERE arms > 1 GROUP BY group_name").fetchall()
    )
    seen = dict(connection.execute("SELECT group_name, count(*) FROM per_unit GROUP BY group_name").fetchall())
    groups: dict[str | None, dict[str, PairMoments]] = {}
    for name, arm, n, *sums in rows:
        number = int if whole else float
        groups.setdefault(name, {})[arm] = PairMoments(n or 0, *(number(value or 0) for value in sums))
    return tuple(Group(name, arms, crossing.get(name, 0), seen[name]) for name, arms in groups.items())


def _all_whole(connection: duckdb.DuckDBPyConnection, alias: str) -> bool:
    value = f"CAST({alias} AS DOUBLE)"
    whole = f"TRY_CAST({alias} AS HUGEINT) IS NOT NULL AND {value} = trunc({value})"
    return bool(connection.execute(f"SELECT bool_and({whole}) FROM rows").fetchall()[0][0])  # noqa: S608 - our own names


def _integer(alias: str) -> str:
    """Counts may be written 1200, 1200.0 or 1.2e3."""
    return f"CAST(CAST({alias} AS DOUBLE) AS HUGEINT)"


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
