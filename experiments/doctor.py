"""The doctor: one check a store, engine, folder and clock, each with what to do."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from creatives.errors import CreativeError
from experiments.composition import lake_of, library_of
from experiments.core.delivery import Delivery
from experiments.core.errors import ExperimentError
from experiments.events.append import LOG
from experiments.events.inspection import inspect
from experiments.events.keys import HASHED, refuse_other_keys
from experiments.events.schema import TABLES
from experiments.events.sparksession import check_installed
from experiments.events.upkeep import ORPHAN_HOURS
from experiments.ingest.feed import feeds, read_trafficking
from experiments.ingest.hashing import UnitHasher
from experiments.ingest.traffic import read_filters
from experiments.jobs.complaints import complaint
from experiments.jobs.context import Clock
from experiments.jobs.upkeep import RETENTION_DAYS, behind
from experiments.store.control import ControlPlane
from experiments.store.database import open_database
from experiments.store.deliveries import SqlDeliveries
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
        ("experiments", lambda: _experiments(workspace, clock)),
        ("clock", lambda: _clock(workspace, clock)),
        ("lake", lambda: _lake(workspace)),
        ("left behind", lambda: _left_behind(workspace)),
        ("deliveries", lambda: _deliveries(workspace)),
        ("currencies", lambda: _currencies(workspace)),
        ("engine", lambda: _engine(workspace)),
        ("ad servers", lambda: _ad_servers(workspace)),
        ("filters", lambda: _filters(workspace)),
        ("money", lambda: _money(workspace)),
        ("styles", lambda: _styles(workspace)),
    )
    return tuple(_finding(name, check) for name, check in checks)


def _finding(name: str, check: Callable[[], Iterator[str]]) -> Finding:
    try:
        return Finding(name, ok=True, says="; ".join(check()))
    except (ExperimentError, CreativeError, OSError) as error:
        said = complaint(error) if isinstance(error, OSError) else None
        return Finding(name, ok=False, says=said or str(error))


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


def _experiments(workspace: Workspace, clock: Clock) -> Iterator[str]:
    """Every plan is as it was sealed, and every life can be told."""
    database = open_database(workspace.database_url)
    try:
        control = ControlPlane(database, clock)
        records = control.experiments()
        damaged = [damage for record in records if (damage := control.damage(record.name))]
    finally:
        database.dispose()
    if damaged:
        raise ExperimentError("; ".join(map(str, damaged)))
    yield f"{sum(record.plan_hash is not None for record in records)} plans, as they were sealed"


def _clock(workspace: Workspace, clock: Clock) -> Iterator[str]:
    """A clock that was set back would order new facts before old ones."""
    now = clock()
    moments = (_newest_fact(workspace, clock), inspect(lake_of(workspace)).newest)
    newest = max((moment for moment in moments if moment is not None), default=None)
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


def _left_behind(workspace: Workspace) -> Iterator[str]:
    """Files that no version of the lake needs, or only old ones: they cost room."""
    lake, registered = lake_of(workspace), _registered(workspace)
    orphans, outdated = ({name: look(name) for name in TABLES} for look in (lake.orphans, lake.outdated))
    older = {
        name: {path: size for path, size in sizes.items() if path not in orphans[name]}
        for name, sizes in outdated.items()
    }
    if lost := {name: orphans[name] for name in behind(lake, registered) if orphans[name]}:
        raise ExperimentError(
            f"{_counted(lost)} that the log does not know, which is behind the register of deliveries: restore {LOG} "
            f"of {', '.join(lost)} from your newest backup, and leave the files where they are"
        )
    if told := _counted(orphans):
        yield f"{told} of interrupted work: adstyle events compact removes those of more than {ORPHAN_HOURS} hours"
    if told := _counted(older):
        yield f"{told} that only older versions need, which go with compaction after {RETENTION_DAYS} days"
    if not any(outdated.values()):
        yield "no file but those that the lake is made of"


def _counted(found: Mapping[str, Mapping[str, int]]) -> str:
    """How many files there are, of which tables, and how large they are together."""
    told = ", ".join(f"{len(sizes):,} of {name}" for name, sizes in found.items() if sizes)
    size = sum(sum(sizes.values()) for sizes in found.values())
    return f"{sum(map(len, found.values())):,} files ({told}; {size / 2**20:,.1f} MiB)" if told else ""


def _deliveries(workspace: Workspace) -> Iterator[str]:
    """The register and the lake know the same files."""
    lake, registered = lake_of(workspace), _registered(workspace)
    for name, each in behind(lake, registered).items():
        raise ExperimentError(
            f"{each.name} was delivered on {each.finished_at:%Y-%m-%d}, but {name} does not know it "
            f"({each.sha256[:12]}): the lake, or its log alone, is older than the database; restore its newer backup"
        )
    known = {each.sha256 for each in registered}
    strangers = sorted({each for found in inspect(lake).deliveries.values() for each in found} - known)
    if strangers:
        raise ExperimentError(
            f"the lake has rows of {len(strangers):,} files that the register does not know ({strangers[0][:12]} "
            "first): an ingest was interrupted, or the database is older than the lake; ingest those files again: what "
            "is there is not added twice"
        )
    yield f"{len(known):,} files, known to the register and the lake"


def _registered(workspace: Workspace) -> tuple[Delivery, ...]:
    database = open_database(workspace.database_url)
    try:
        return SqlDeliveries(database).all()
    finally:
        database.dispose()


def _currencies(workspace: Workspace) -> Iterator[str]:
    """What was converted is in the reporting currency, whatever it was paid in."""
    looked, money = inspect(lake_of(workspace)), workspace.settings.money
    found = Counter(looked.currencies)
    if looked.converted:
        found[money.currency if money else "converted"] += looked.converted
    told = ", ".join(f"{currency or 'without one'} {count:,}" for currency, count in sorted(found.items()))
    if len(found) > 1:
        yield f"conversions are in several currencies ({told}): do not add them up as they are"
    else:
        yield f"conversions: {told}" if found else "no conversion has a value"


def _engine(workspace: Workspace) -> Iterator[str]:
    """What computes evidence is there; Spark is not started for it."""
    if workspace.settings.stores.engine == "spark":
        yield f"{check_installed()}, on {workspace.settings.spark.master}"
    else:
        yield "DuckDB"


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
    library = library_of(workspace)
    for error in library.broken.values():
        raise error
    packs = library.packs()
    yield f"{len(packs)} packs, engines {', '.join(sorted({pack.engine for pack in packs}))}"
