"""What is approved and served is what was rendered, from an instant on that had not passed when the plan was sealed."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from PIL import Image

from experiments.cli.app import run

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
BRIEF = {
    "brief": "cup", "advertiser": "Roastery", "campaign": "autumn", "concept": "cup", "picture": "cup.png",
    "headline": "Roasted today", "call_to_action": "Order", "landing_url": "https://roastery.example/",
    "slots": ["300x250"],
}  # fmt: skip


@pytest.fixture
def adstyle(tmp_path, capsys, monkeypatch):
    """Runs a command in a workspace whose experiment is in review; gives its exit code and what it said of errors."""
    for name in ("ADSTYLE_WORKSPACE", "ADSTYLE_NOW"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "ads"

    def adstyle(*arguments):
        code = run(["-w", str(root), "--now", NOW.isoformat(), *arguments])
        return code, capsys.readouterr().err

    run(["init", str(root)])
    Image.linear_gradient("L").resize((640, 400)).convert("RGB").save(root / "briefs" / "cup.png")
    (root / "briefs" / "cup.yaml").write_text(yaml.safe_dump(BRIEF))
    (root / "experiments" / "autumn.yaml").write_text(
        yaml.safe_dump({"experiment": "autumn", "brief": "cup", "styles": ["noir", "mine"]})
    )
    write_pack(root, contrast=1.0)
    for step in (("create", str(root / "experiments" / "autumn.yaml")), ("generate", "autumn")):
        assert adstyle("experiment", *step)[0] == 0
    return adstyle


def write_pack(root, contrast):
    """A pack of the workspace's own."""
    pack = root / "packs" / "mine"
    pack.mkdir(exist_ok=True)
    (pack / "style.toml").write_text(
        'name = "mine"\nlook = "Black and white."\nengine = "palette"\nlicence = "Apache-2.0"\nauthor = "Ada"\n'
        'made = "By hand."\n\n[parameters]\nlook = "duotone"\ncolours = ["#102030", "#f0e0d0"]\n'
        f"contrast = {contrast}\n"
    )


def creative(tmp_path, arm):
    (found,) = (tmp_path / "ads" / "variants" / "autumn").glob(f"*_{arm}_*")
    return found


@pytest.mark.parametrize("step", ["approve", "start"])
def test_creatives_that_are_not_as_they_were_rendered_are_named(adstyle, tmp_path, step):
    if step == "start":
        assert adstyle("experiment", "approve", "autumn")[0] == 0
    file = creative(tmp_path, "noir")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    again = "run adstyle experiment generate autumn, and review it again\n"
    assert adstyle("experiment", step, "autumn") == (2, f"adstyle: {file} was changed since it was rendered: {again}")
    file.unlink()
    assert adstyle("experiment", step, "autumn") == (2, f"adstyle: {file} is not there any more: {again}")
    assert adstyle("experiment", "generate", "autumn")[0] == 0
    assert file.read_bytes() == whole
    assert adstyle("experiment", "approve", "autumn")[0] == 0
    assert adstyle("experiment", "start", "autumn")[0] == 0
    file.unlink()  # what runs is not asked again
    assert adstyle("experiment", "pause", "autumn")[0] == 0


def test_a_pack_that_was_changed_after_its_creatives_were_rendered_is_named(adstyle, tmp_path):
    write_pack(tmp_path / "ads", contrast=1.4)
    code, said = adstyle("experiment", "approve", "autumn")
    assert (code, "was rendered before the pack 'mine' was changed: run adstyle" in said) == (2, True)
    assert adstyle("experiment", "decline", "autumn", "--arm", "mine")[0] == 0
    assert adstyle("experiment", "approve", "autumn")[0] == 0
    assert adstyle("experiment", "start", "autumn")[0] == 0


def test_a_workspace_that_was_moved_starts_where_it_is(adstyle, tmp_path):
    (tmp_path / "ads").rename(tmp_path / "moved")
    for step in ("approve", "start"):
        assert run(["-w", str(tmp_path / "moved"), "--now", NOW.isoformat(), "experiment", step, "autumn"]) == 0


def test_a_start_that_is_past_is_refused_and_todays_date_is_not(adstyle):
    assert adstyle("experiment", "approve", "autumn")[0] == 0
    for past in ("2020-11-02", (NOW - timedelta(days=1)).isoformat()):
        code, said = adstyle("experiment", "start", "autumn", "--at", past)
        assert (code, f"--at {past} is past" in said, said.count("\n")) == (2, True, 1)
    assert adstyle("experiment", "start", "autumn", "--at", "2026-11-02")[0] == 0
