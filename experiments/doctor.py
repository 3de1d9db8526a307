"""The doctor: one check a store, engine, folder and clock, each with what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from creatives.errors import CreativeError
from experiments.composition import lake_of, library_of
from experiments.core.errors import ExperimentError
from experiments.events.keys import HASHED, refuse_other_keys
from experiments.ingest.feed import feeds, read_trafficking
from experiments.ingest.hashing import UnitHasher
from experiments.ingest.traffic import read_filters
from experiments.jobs.context import Clock
from experiments.store.control import ControlPlane
from experiments.store.database import open_database
from experiments.workspace import FOLDERS, Workspace

FUTURE_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: is it well, and what it says."""

    check: str
    ok: bool
    says: str


def examine(workspace: Workspace, clock: Clock) -> tuple[Finding, ...]:
    """Every check, in order; a check that breaks is a finding and not an end."""
    checks: tuple[tuple[str, Callable[[], Iterator[str]]], ...] = (
        ("folders", lambda: _folders(workspace)),
        ("unit key", lambda: _unit_key(workspace)),
        ("database", lambda: _database(workspace, clock)),
        ("clock", lambda: _clock(workspace, clock)),
        ("lake", lambda: _lake(workspace)),
        ("ad servers", lambda: _ad_servers(workspace)),
        ("filters", lambda: _filters(workspace)),
        ("money", lambda: _money(workspace)),
        ("styles", lambda: _styles(workspace)),
    )
    return tuple(_finding(name, check) for name, check in checks)


def _finding(name: str, check: Callable[[], Iterator[str]]) -> Finding:
    try:
        return Finding(name, ok=True, says="; ".join(check()))
    except (ExperimentError, CreativeError) as error:
        return Finding(name, ok=False, says=str(error))


def _folders(workspace: Workspace) -> Iterator[str]:
    missing = [name for name in FOLDERS if not workspace.folder(name).is_dir()]
    if missing:
        raise ExperimentError(f"{', '.join(missing)} missing in {workspace.root}: mkdir {' '.join(missing)}")
    yield f"{workspace.root} holds {', '.join(FOLDERS)}"


def _unit_key(workspace: Workspace) -> Iterator[str]:
    file = workspace.key_file
    keys = file.keys()
    for path in (file.path, file.pending):
        if path.exists() and path.stat().st_mode & 0o077:
            raise ExperimentError(f"others can read {path}: chmod 600 {path}")
    if file.changing:
        raise ExperimentError(
            "a change of key was begun and not ended: run adstyle events rekey, which goes on with it"
        )
    for name in HASHED:
        refuse_other_keys(lake_of(workspace).begin(name), UnitHasher(*keys).keys)
    counted = f", the newest of {len(keys)}" if len(keys) > 1 else ""
    yield f"{len(keys[-1]) * 8} bits{counted}, readable by its owner alone"


def _database(workspace: Workspace, clock: Clock) -> Iterator[str]:
    database = open_database(workspace.database_url)
    try:
        yield f"up to date, {len(ControlPlane(database, clock).experiments())} experiments"
    finally:
        database.dispose()


def _clock(workspace: Workspace, clock: Clock) -> Iterator[str]:
    """A clock that was set back would order new facts before old ones."""
    now, newest = clock(), _newest_fact(workspace, clock)
    if newest and newest > now + FUTURE_TOLERANCE:
        raise ExperimentError(
            f"the clock says {now:%Y-%m-%d %H:%M} UTC but facts were recorded at {newest:%Y-%m-%d %H:%M}: set the clock"
        )
    yield f"{now:%Y-%m-%d %H:%M} UTC"


def _newest_fact(workspace: Workspace, clock: Clock) -> datetime | None:
    database = open_database(workspace.database_url)
    try:
        return max((record.updated_at for record in ControlPlane(database, clock).experiments()), default=None)
    finally:
        database.dispose()


def _lake(workspace: Workspace) -> Iterator[str]:
    """Every file that the tables are made of is there, whole."""
    lake = lake_of(workspace)
    for table in lake.health():
        if lost := lake.lost(table.name):
            raise ExperimentError(
                f"{len(lost)} files of {table.name} are missing or cut, {lost[0]} first: restore it from your backup"
            )
        yield f"{table.name} version {table.version}, {table.rows:,} rows"


def _ad_servers(workspace: Workspace) -> Iterator[str]:
    known = feeds(workspace.folder("feeds"))
    told = read_trafficking(workspace.folder("trafficking.csv"))
    yield f"feeds {', '.join(known)}"
    yield f"trafficking.csv names {sum(map(len, told.values())):,} creatives"


def _filters(workspace: Workspace) -> Iterator[str]:
    found = read_filters(workspace.folder("filters"))
    yield f"declared bots, no browser, {'data centres' if found.data_centres else 'no ranges of data centres'}"


def _money(workspace: Workspace) -> Iterator[str]:
    """Rates that ingest will ask for are there and can be read."""
    rates = workspace.rates()
    if rates is None:
        yield "as delivered: adstyle.toml names no reporting currency"
    else:
        yield f"reported in {rates.currency}, with rates of {', '.join(rates.known) or 'no other currency'}"


def _styles(workspace: Workspace) -> Iterator[str]:
    packs = library_of(workspace).packs()
    yield f"{len(packs)} packs, engines {', '.join(sorted({pack.engine for pack in packs}))}"
