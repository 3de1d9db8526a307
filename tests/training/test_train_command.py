"""``adstyle styles train`` and ``add``: from a picture to a pack, interrupted, refused, taken in."""

import pytest
from PIL import Image

from creatives.packs import StyleLibrary, read_pack
from creatives.training.session import Session
from experiments.cli.app import run

QUICK = ("--steps", "3", "--batch", "1", "--size", "64", "--patience", "0")


@pytest.fixture
def workspace(tmp_path, capsys, monkeypatch, shared_file):
    for name in ("ADSTYLE_WORKSPACE", "ADSTYLE_NOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert run(["init", str(tmp_path / "ads")]) == 0
    capsys.readouterr()
    monkeypatch.chdir(tmp_path / "ads")
    return tmp_path / "ads"


@pytest.fixture
def train(workspace, painting, vgg_file, photos):
    def train(*options, picture=painting, name="stripes", vgg=vgg_file):
        given = ["--vgg", str(vgg)] if vgg else []
        return run(["styles", "train", str(picture), "--name", name, *QUICK, *given, "--photos", str(photos), *options])

    return train


def refused(capsys):
    line = capsys.readouterr().err
    assert line.startswith("adstyle: ")
    assert line.count("\n") == 1
    return line


@pytest.mark.parametrize("options", [(), ("--full",)], ids=["adapter", "full"])
def test_a_picture_becomes_a_style_of_the_workspace(workspace, train, capsys, options):
    assert train(*options) == 0
    assert "adstyle styles preview stripes" in capsys.readouterr().out
    library = StyleLibrary((workspace / "packs",))
    cup = Image.linear_gradient("L").convert("RGB").resize((64, 48))
    import numpy as np

    styled = library.resolve("stripes").apply(np.asarray(cup), seed=1)
    assert styled.shape == (48, 64, 3)
    half = library.resolve("stripes@0.5").apply(np.asarray(cup), seed=1)
    assert not np.array_equal(styled, half)
    assert (workspace / "packs" / "stripes" / "preview.webp").is_file()
    assert list((workspace / "packs" / ".training").glob("*")) == []
    assert run(["styles", "show", "stripes"]) == 0
    assert "learned from stripes.png in 3 steps" in " ".join(capsys.readouterr().out.split())


def test_interrupted_the_same_command_goes_on(workspace, train, capsys, monkeypatch):
    taken = []

    def interrupted(self):
        for step in real(self):
            taken.append(step.number)
            yield step
            if step.number == 2 and len(taken) == 2:
                raise KeyboardInterrupt

    real = Session.run
    monkeypatch.setattr(Session, "run", interrupted)
    assert train() == 130
    assert "goes on from there" in refused(capsys)
    assert not (workspace / "packs" / "stripes").exists()
    assert train() == 0
    assert taken == [1, 2, 3]


def test_losses_can_be_watched(workspace, train, tmp_path):
    assert train("--tensorboard", str(tmp_path / "board")) == 0
    assert list((tmp_path / "board").glob("events*"))


@pytest.mark.parametrize(
    ("changed", "options", "says"),
    [
        ({"vgg": None}, (), "--vgg FILE"),
        ({"vgg": "nowhere.pth"}, (), "nowhere.pth"),
        ({"picture": "missing.png"}, (), "missing.png"),
        ({"name": "Not A Name"}, (), "small letters"),
        ({"name": "original"}, (), "original"),
        ({}, ("--size", "100"), "multiple of 16"),
        ({}, ("--device", "abacus"), "neither cpu nor cuda"),
        ({}, ("--photos", "nowhere"), "holds no photographs"),
    ],
    ids=str,
)
def test_what_cannot_be_learned_is_refused_in_one_line(workspace, train, capsys, changed, options, says):
    assert train(*options, **changed) == 2
    assert says in refused(capsys)
    assert list((workspace / "packs").glob("*")) == []


def test_a_taken_name_is_refused_before_anything_is_learned(workspace, train, capsys):
    assert train() == 0
    capsys.readouterr()
    assert train() == 2
    assert "choose another name" in refused(capsys)


def test_a_pack_from_elsewhere_is_taken_in_whole_or_not(workspace, train, capsys, tmp_path):
    assert train() == 0
    (workspace / "packs" / "stripes").rename(tmp_path / "stripes")
    assert run(["styles", "add", str(tmp_path / "stripes")]) == 0
    assert read_pack(workspace / "packs" / "stripes").identity == read_pack(tmp_path / "stripes").identity
    capsys.readouterr()
    assert run(["styles", "add", str(tmp_path / "stripes")]) == 2
    assert "choose another name" in refused(capsys)
    (tmp_path / "stripes").rename(tmp_path / "other")
    assert run(["styles", "add", str(tmp_path / "other")]) == 2
    assert "rename one" in refused(capsys)
    assert {path.name for path in (workspace / "packs").iterdir()} == {"stripes", ".training"}
