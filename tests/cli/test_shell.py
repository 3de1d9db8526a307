"""The command line as its user meets it: help is quick and light, misuse is one line and exit code 2."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

ADSTYLE = str(Path(sys.executable).with_name("adstyle"))
HEAVY = (
    "torch",
    "skimage",
    "scipy",
    "pandas",
    "pyarrow",
    "duckdb",
    "ibis",
    "deltalake",
    "sqlalchemy",
    "altair",
    "PIL",
    "numpy",
)


def adstyle(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ADSTYLE, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def says_one_line(result: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("adstyle: ")
    return lines[0]


def test_the_version_is_the_installed_ones(tmp_path: Path) -> None:
    told = adstyle("--version", cwd=tmp_path)
    assert (told.returncode, told.stdout) == (0, f"adstyle {importlib.metadata.version('adstyle')}\n")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--help"], ()),
        (["-w", "here", "styles", "list"], ("numpy",)),
        (["-w", "here", "experiment", "list"], ("numpy", "sqlalchemy")),
        (["-w", "here", "status"], ("numpy", "sqlalchemy", "pyarrow", "duckdb", "deltalake")),
    ],
    ids=lambda value: " ".join(value),
)
def test_nothing_heavy_is_loaded_without_need(tmp_path: Path, arguments: list[str], needed: tuple[str, ...]) -> None:
    adstyle("init", "here", cwd=tmp_path).check_returncode()
    spared = tuple(name for name in HEAVY if name not in needed)
    script = (
        "import sys\n"
        "from experiments.cli.app import run\n"
        f"code = run({arguments!r})\n"
        f"print('loaded', [name for name in {spared!r} if name in sys.modules], code)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "loaded [] 0" in result.stdout


def test_arrow_does_not_load_pandas_in_a_command(tmp_path: Path) -> None:
    """It would at its first array, and take longer to load than a small delivery to read."""
    adstyle("init", "here", cwd=tmp_path).check_returncode()
    (tmp_path / "shown.csv").write_text("event_id,ts,experiment,arm,unit\ni1,2026-11-23T10:00:00Z,spring,original,u1\n")
    arguments = ["adstyle", "-w", "here", "ingest", "shown.csv", "--kind", "impression"]
    script = (
        "import atexit, sys\n"
        f"sys.argv = {arguments!r}\n"
        "def told():\n"
        "    print('loaded', [name for name in ('pyarrow', 'pandas') if name in sys.modules])\n"
        "    import pandas, pyarrow\n"
        "    print('others', len(pyarrow.table({'n': [1, 2]}).to_pandas()))\n"
        "atexit.register(told)\n"
        "from experiments.cli import main\n"
        "main()"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "loaded ['pyarrow']" in result.stdout
    assert "others 2" in result.stdout, "an engine that others add may use it"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nonsense"], "nonsense"),
        (["status"], "adstyle init"),
        (["--now", "yesterday", "status"], "RFC 3339|2026-11-23T06:00:00Z"),
        (["-w", "nowhere", "status"], "adstyle init"),
        (["job", "run"], "NAME"),
        (["compare", "missing.csv", "--numerator", "clicks", "--denominator", "shown"], "missing.csv"),
        (["render", "missing.yaml", "--style", "pencil", "--out", "x"], "missing.yaml"),
        (["styles", "show", "pencl"], "pencil"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_misuse_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], expected: str) -> None:
    line = says_one_line(adstyle(*arguments, cwd=tmp_path))
    assert any(part in line for part in expected.split("|"))
    assert not list(tmp_path.iterdir()), "nothing may be half-written"


def test_init_makes_a_workspace_once(tmp_path: Path) -> None:
    first = adstyle("init", "ads", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert {path.name for path in (tmp_path / "ads").iterdir()} >= {
        "adstyle.toml",
        "briefs",
        "experiments",
        "inbox",
        "packs",
    }
    key = tmp_path / "ads" / "secrets" / "unit.key"
    assert key.stat().st_mode & 0o077 == 0, "the key is for its owner alone"
    before = key.read_text()
    assert "exists" in says_one_line(adstyle("init", "ads", cwd=tmp_path))
    assert key.read_text() == before


@pytest.mark.parametrize("marker", ["pyproject.toml", "setup.py", "package.json"])
def test_init_inside_a_source_checkout_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / marker).touch()
    (tmp_path / "deep").mkdir()
    line = says_one_line(adstyle("init", cwd=tmp_path / "deep"))
    assert "source checkout" in line
    assert not list((tmp_path / "deep").iterdir())


def test_a_source_tree_above_the_repository_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "package.json").touch()
    (tmp_path / "ads" / ".git").mkdir(parents=True)
    assert adstyle("init", "ads", cwd=tmp_path).returncode == 0


def test_unknown_settings_are_refused_with_a_suggestion(tmp_path: Path) -> None:
    adstyle("init", "ads", cwd=tmp_path)
    settings = tmp_path / "ads" / "adstyle.toml"
    settings.write_text(settings.read_text().replace("lake =", "lakes ="))
    line = says_one_line(adstyle("status", cwd=tmp_path / "ads"))
    assert "lakes" in line
    assert "lake" in line.replace("lakes", "")


def test_status_of_an_empty_workspace_in_json_and_what_it_loads(tmp_path: Path, monkeypatch) -> None:
    adstyle("init", "ads", cwd=tmp_path)
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = adstyle("status", "--json", cwd=tmp_path / "ads")
    document = json.loads(result.stdout)
    assert document["experiments"] == []
    assert document["deliveries"]["read"] == 0
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "sqlalchemy" in loaded
    assert not loaded & {"altair", "ibis", "pandas", "torch", "scipy.stats", "scipy.interpolate", "pyarrow.dataset"}


def test_doctor_finds_a_key_that_others_can_read(tmp_path: Path) -> None:
    adstyle("init", "ads", cwd=tmp_path)
    healthy = adstyle("doctor", cwd=tmp_path / "ads")
    assert healthy.returncode == 0, healthy.stdout
    (tmp_path / "ads" / "secrets" / "unit.key").chmod(0o644)
    ill = adstyle("doctor", cwd=tmp_path / "ads")
    assert ill.returncode == 1
    assert "chmod 600" in ill.stdout


def test_doctor_reads_the_lists_that_ingest_will_read(tmp_path: Path) -> None:
    adstyle("init", "ads", cwd=tmp_path)
    (tmp_path / "ads" / "filters").mkdir()
    (tmp_path / "ads" / "filters" / "data_centres.txt").write_text("198.51.100.0/24\n198.51.100.300/24\n")
    (tmp_path / "ads" / "trafficking.csv").write_text("creative,arm\n")
    with (tmp_path / "ads" / "adstyle.toml").open("a") as settings:
        settings.write('[money]\ncurrency = "EUR"\nrates = "rates.csv"\n')
    (tmp_path / "ads" / "rates.csv").write_text("currency,from,rate\nSEK,2026-11-01,a lot\n")
    ill = adstyle("doctor", cwd=tmp_path / "ads")
    assert ill.returncode == 1
    assert "rates.csv:2: 'a lot' is no rate" in " ".join(ill.stdout.split())
    assert "data_centres.txt:2" in ill.stdout
    assert "has not the columns" in " ".join(ill.stdout.split())


def test_a_database_is_backed_up_and_restored(tmp_path: Path) -> None:
    adstyle("init", "ads", cwd=tmp_path).check_returncode()
    made = adstyle("-w", "ads", "db", "backup", "ads.backup", cwd=tmp_path)
    assert (made.returncode, made.stdout) == (0, "ads.backup: nothing, it is empty\n"), made.stderr
    assert "overwrites nothing" in says_one_line(adstyle("-w", "ads", "db", "backup", "ads.backup", cwd=tmp_path))
    database = tmp_path / "ads" / "adstyle.db"
    database.write_bytes(b"spoiled" * 1000)
    spoiled = says_one_line(adstyle("-w", "ads", "db", "restore", "ads.backup", cwd=tmp_path), code=1)
    assert "move it away, and restore your backup of it (adstyle db restore)" in spoiled
    database.rename(tmp_path / "spoiled.db")
    restored = adstyle("-w", "ads", "db", "restore", "ads.backup", cwd=tmp_path)
    assert restored.returncode == 0, restored.stderr
    assert "adstyle doctor" in restored.stdout
    assert adstyle("-w", "ads", "status", cwd=tmp_path).returncode == 0
