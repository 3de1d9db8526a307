"""Where things lie."""

from pathlib import Path

import pytest

from creatives.documents import DocumentError
from experiments.cli.app import run
from experiments.workspace import SETTINGS, create_workspace, open_workspace


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Writes into a workspace's settings; ``~`` is a folder beside it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root = create_workspace(tmp_path / "ads").root

    def settings(text):
        (root / SETTINGS).write_text(f'[workspace]\nname = "ads"\n{text}')
        return open_workspace(root)

    return settings


def test_a_tilde_is_the_home(settings, tmp_path):
    workspace = settings(
        '[stores]\ndatabase = "sqlite:///~/ads.db"\nlake = "~/lake"\n[secrets]\nunit_key = "~/unit.key"\n'
        '[money]\ncurrency = "EUR"\nrates = "~/rates.csv"\n'
    )
    home = tmp_path / "home"
    assert workspace.database_url == f"sqlite:///{home}/ads.db"
    assert (workspace.lake_root, workspace.key_file.path) == (str(home / "lake"), home / "unit.key")
    assert workspace.settings.money.rates == str(home / "rates.csv")


def test_a_tilde_within_a_name_is_one(settings, tmp_path):
    workspace = settings('[stores]\ndatabase = "sqlite:///a~b.db"\nlake = "s3://bucket/~ada"\n')
    assert workspace.database_url == f"sqlite:///{tmp_path}/ads/a~b.db"
    assert workspace.lake_root == "s3://bucket/~ada"


def test_the_home_of_nobody_is_refused(settings):
    with pytest.raises(DocumentError, match=r"stores\.lake: ~no-such-user/x begins with the home of nobody"):
        settings('[stores]\nlake = "~no-such-user/x"\n')


def test_the_workspace_given_may_lie_at_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ADSTYLE_WORKSPACE", raising=False)
    assert run(["init", str(tmp_path / "ads")]) == 0
    assert run(["-w", "~/ads", "status"]) == 0
    monkeypatch.setenv("ADSTYLE_WORKSPACE", "~/ads")
    assert run(["status"]) == 0
    monkeypatch.setenv("ADSTYLE_WORKSPACE", "~no-such-user/ads")
    assert run(["status"]) == 2
    assert "~no-such-user/ads begins with the home of nobody" in capsys.readouterr().err
    assert not Path("~").exists()
