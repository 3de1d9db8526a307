"""A workspace: the folder a team works in, found by its ``adstyle.toml``.

adstyle.toml   settings         briefs/       what advertisers hand in      inbox/    ad-server logs are dropped here
adstyle.db     control plane    experiments/  what ad ops schedule          packs/    the team's own style packs
lake/          events           variants/     finished advertisements       reports/  the weekly pages
secrets/       the keys under which units are hashed; never leaves the machine
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from creatives.documents import suggestion, validate_document
from experiments.core.errors import ExperimentError
from experiments.ingest.keyfile import KeyFile
from experiments.ingest.zones import known_zone

if TYPE_CHECKING:
    from experiments.ingest.money import Rates

SETTINGS = "adstyle.toml"
FOLDERS = ("briefs", "experiments", "feeds", "inbox", "packs")
SOURCE_MARKERS = ("pyproject.toml", "setup.py", "package.json", "Cargo.toml", "go.mod")

SETTINGS_TEXT = """\
# An AdStyle workspace. Paths are relative to this file.
[workspace]
name = "{name}"

[stores]
database = "sqlite:///adstyle.db"   # in production: postgresql+psycopg://user@host/adstyle
lake = "lake"                       # Delta tables; for more than one host: s3://bucket/lake
# memory = "2GiB"                   # what gathering evidence may take; beyond that it takes disk
# engine = "spark"                  # instead of DuckDB, with pip install 'adstyle[spark]' and Java 17 or later

# [spark]
# master = "local[*]"               # this machine; or a cluster's address
# "spark.executor.memory" = "8g"    # whatever Spark's documentation has

# [stores.options]                  # how an object store is reached: deltalake's storage_options, as text
# AWS_REGION = "eu-west-1"          # (credentials rather from the environment: AWS_ACCESS_KEY_ID and so on)

# [ingest]
# zone = "Europe/Berlin"            # where clocks hang whose times in logs say no zone; without it they are rejected

# [money]
# currency = "EUR"                  # what money is reported in; decide it before the first delivery
# rates = "rates.csv"               # of other currencies: lines of currency,from,rate, as SEK,2026-01-01,0.088

[secrets]
unit_key = "secrets/unit.key"       # units are stored only as hashes under this key: back it up, never share it
"""

IGNORED = "/adstyle.db*\n/lake/\n/secrets/\n/variants/\n/reports/\n"


ENGINES = ("duckdb", "spark")


class NoWorkspace(ExperimentError):
    """No ``adstyle.toml`` here or above."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


SQLITE = "sqlite:///"


def _place(text: str) -> str:
    """A path or URL: what holds a NUL ends libraries without a word. ``~`` is a home, as shells have it."""
    if any(each < " " for each in text):
        raise ValueError("holds a control character")
    scheme = SQLITE if text.startswith(SQLITE) else ""
    return scheme + str(at_home(Path(text.removeprefix(scheme)))) if text.startswith(f"{scheme}~") else text


def at_home(path: Path) -> Path:
    """A path that may begin with ``~`` or ``~user``.

    Raises:
        ValueError: where there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path} begins with the home of nobody") from None


Place = Annotated[str, Field(min_length=1), AfterValidator(_place)]


class WorkspaceSettings(_Strict):
    """The ``[workspace]`` table."""

    name: str = Field(min_length=1, max_length=80)


class StoreSettings(_Strict):
    """The ``[stores]`` table."""

    database: Place = "sqlite:///adstyle.db"
    lake: Place = "lake"
    options: dict[str, str] = {}
    """How an object store is reached: deltalake's storage_options."""
    memory: str | None = Field(default=None, pattern=r"^[1-9][0-9]* ?(MB|MiB|GB|GiB)$")
    """What evidence may take of it; beyond that it takes disk."""
    engine: str = "duckdb"
    """What computes evidence."""

    @field_validator("engine")
    @classmethod
    def _known(cls, engine: str) -> str:
        if engine not in ENGINES:
            raise ValueError(f"{engine} is no engine for evidence{suggestion(engine, ENGINES)}")
        return engine


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """TOML takes a name with dots, without quotes, for tables in tables."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, bool):
            yield f"{above}{name}", str(value).lower()
        elif isinstance(value, str | int | float):
            yield f"{above}{name}", str(value)
        else:
            raise ValueError(f"{above}{name} is no text, number, true or false")  # noqa: TRY004 - pydantic's protocol


class SparkSettings(_Strict):
    """The ``[spark]`` table: where Spark runs, and whatever else it is to be told, by its own names."""

    master: str = Field(default="local[*]", min_length=1)
    settings: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _told(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        settings = dict(_flat({name: value for name, value in table.items() if name != "master"}))
        for name in settings:
            if not name.startswith("spark."):
                raise ValueError(f"{name} is no known key{suggestion(name, ['master'])}; Spark's own begin with spark.")
        if "spark.master" in settings:
            raise ValueError("spark.master is called master here")
        return {**{name: table[name] for name in ("master",) if name in table}, "settings": settings}


class SecretSettings(_Strict):
    """The ``[secrets]`` table."""

    unit_key: Place = "secrets/unit.key"


class IngestSettings(_Strict):
    """The ``[ingest]`` table."""

    zone: Annotated[str, AfterValidator(known_zone)] | None = None
    """Of times without an offset, where neither their feed nor ``--zone`` says one."""


class MoneySettings(_Strict):
    """The ``[money]`` table."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    """What all money is reported in."""
    rates: Place | None = None
    """A file of rates; without one, money in another currency is rejected."""


class Settings(_Strict):
    """``adstyle.toml``, checked."""

    workspace: WorkspaceSettings
    stores: StoreSettings = StoreSettings()
    spark: SparkSettings = SparkSettings()
    secrets: SecretSettings = SecretSettings()
    ingest: IngestSettings = IngestSettings()
    money: MoneySettings | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where things lie. Holds no connection and reads nothing but its settings and its key."""

    root: Path
    settings: Settings

    @property
    def name(self) -> str:
        return self.settings.workspace.name

    @property
    def database_url(self) -> str:
        """The control plane's URL; a relative SQLite path is taken from the workspace."""
        url = self.settings.stores.database
        path = Path(url.removeprefix(SQLITE))
        return SQLITE + str(self.root / path) if url.startswith(SQLITE) and not path.is_absolute() else url

    @property
    def lake_root(self) -> str:
        """A folder, or an object store's URL as given."""
        lake = self.settings.stores.lake
        return lake if "://" in lake else str(self.root / lake)

    def folder(self, name: str) -> Path:
        """``briefs``, ``experiments``, ``inbox``, ``packs``, ``variants`` or ``reports``."""
        return self.root / name

    @property
    def zone(self) -> str | None:
        """Of times without an offset, where nothing else says one."""
        return self.settings.ingest.zone

    def rates(self) -> "Rates | None":
        """By which money becomes the reporting currency's; None where none is set."""
        from experiments.ingest.money import read_rates  # not for every command: it loads the columns' library

        money = self.settings.money
        return read_rates(self.root / money.rates if money.rates else None, money.currency) if money else None

    @property
    def key_file(self) -> KeyFile:
        """The keys under which units are hashed."""
        return KeyFile(self.root / self.settings.secrets.unit_key)


def find_workspace(start: Path) -> Workspace:
    """The workspace that ``start`` lies in."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / SETTINGS).is_file():
            return open_workspace(folder)
    raise NoWorkspace(
        f"{start} is not in a workspace (no {SETTINGS} here or above): run adstyle init DIR, or give -w DIR"
    )


def open_workspace(root: Path) -> Workspace:
    """The workspace whose ``adstyle.toml`` lies in ``root``."""
    path = root / SETTINGS
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoWorkspace(f"{root} is not a workspace (no {SETTINGS} in it): run adstyle init {root}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: {error}") from None
    except RecursionError:
        raise ExperimentError(f"{path}: is nested too deeply to be settings") from None
    return Workspace(root.resolve(), validate_document(table, Settings, str(path)))


def refuse_source_tree(root: Path) -> None:
    """A workspace's folders would mingle with a program's: say so before anything is written."""
    root = root.resolve()
    for folder in (root, *root.parents):
        found = next((marker for marker in SOURCE_MARKERS if (folder / marker).exists()), None)
        if found:
            raise ExperimentError(
                f"{root} lies in a source checkout ({folder / found}): choose a folder outside it, "
                "for example adstyle init ~/ads"
            )
        if (folder / ".git").exists():
            return


def create_workspace(root: Path, name: str | None = None) -> Workspace:
    """Make ``root`` a workspace. What is already there stays; an existing workspace is refused."""
    if (root / SETTINGS).exists():
        raise ExperimentError(f"{root / SETTINGS} exists: this is a workspace already")
    if root.exists() and not root.is_dir():
        raise ExperimentError(f"{root} is a file: give the name of a folder")
    title = (name or root.resolve().name).replace("\\", "").replace('"', "")
    try:
        for folder in (*FOLDERS, "secrets"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        KeyFile(root / "secrets" / "unit.key").create()
        (root / ".gitignore").write_text(IGNORED)
        aside = root / f"{SETTINGS}.part"
        aside.write_text(SETTINGS_TEXT.format(name=title or "workspace"), encoding="utf-8")
        os.replace(aside, root / SETTINGS)  # last: a folder with settings is a whole workspace
    except PermissionError as error:
        raise ExperimentError(f"{error.filename} cannot be written: {str(error.strerror).lower()}") from None
    return open_workspace(root)
