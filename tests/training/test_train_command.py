"""``adstyle styles train`` and ``add``: from a picture to a pack, interrupted, refused, taken in."""

import errno
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from creatives.engines.optimise import Optimise
from creatives.neural.vgg import eye_hash
from creatives.packs import StyleLibrary, read_pack
from creatives.previews import SIDE
from creatives.training import lesson
from creatives.training.beginning import Beginning
from creatives.training.checkpoint import Checkpoint, load_checkpoint
from creatives.training.session import Session
from experiments.cli.app import run

QUICK = ("--steps", "3", "--batch", "1", "--size", "64", "--patience", "0")


@pytest.fixture
def workspace(tmp_path, capsys, monkeypatch, shared_file):
    for name in ("ADSTYLE_WORKSPACE", "ADSTYLE_NOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("ADSTYLE_VGG", raising=False)
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


@pytest.fixture
def steps_taken(monkeypatch):
    """The steps of all trainings; ``steps_taken.at[2] = act`` does something once, right after the second."""

    class Taken(list):
        at: dict = {}  # noqa: RUF012 - one test's own

    taken, real = Taken(), Session.run

    def watched(self):
        for step in real(self):
            taken.append(step.number)
            taken.at.pop(step.number, lambda: None)()
            yield step

    monkeypatch.setattr(Session, "run", watched)
    return taken


def refused(capsys):
    line = capsys.readouterr().err
    assert line.startswith("adstyle: ")
    assert line.count("\n") == 1
    return line


def left_over(workspace):
    return sorted(path.name for path in (workspace / "packs" / ".training").glob("*"))


def raise_interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("options", [(), ("--full",)], ids=["adapter", "full"])
def test_a_picture_becomes_a_style_of_the_workspace(workspace, train, capsys, shared_file, options):
    assert train(*options) == 0
    said = capsys.readouterr().out
    assert "step 3 of 3: loss" in said
    assert said.splitlines()[-1].endswith("adstyle styles preview stripes")
    library = StyleLibrary((workspace / "packs",))
    cup = np.asarray(Image.linear_gradient("L").convert("RGB").resize((64, 48)))
    styled = library.resolve("stripes").apply(cup, seed=1)
    assert styled.shape == (48, 64, 3)
    assert not np.array_equal(styled, library.resolve("stripes@0.5").apply(cup, seed=1))
    pack = library.get("stripes")
    assert pack.parameters["network"] == ("own" if options else pack.parameters["network"])
    assert len(pack.parameters["network"]) == (3 if options else 12)
    assert ("network.stem" in (pack.folder / "weights.safetensors").read_bytes().decode("latin-1")) == bool(options)
    with Image.open(pack.folder / "preview.webp") as preview:
        assert preview.size == (SIDE, SIDE * 2 // 3)
    assert left_over(workspace) == []
    assert "learned from stripes.png in 3 steps of 1 crops of 64 px from 2 photographs" in pack.made
    assert run(["styles", "show", "stripes"]) == 0


def test_what_breaks_a_promise_is_told_and_there_all_the_same(workspace, train, capsys, monkeypatch):
    from creatives import checks

    monkeypatch.setattr(checks, "check_style", lambda look: iter([f"knows {look.reference}"]))
    assert train() == 0
    assert "warning stripes breaks a promise: knows stripes" in capsys.readouterr().out


def test_interrupted_the_same_command_goes_on_as_if_nothing_had_been(workspace, train, capsys, steps_taken):
    assert train("--steps", "40") == 0
    unbroken = (workspace / "packs" / "stripes" / "weights.safetensors").read_bytes()
    (workspace / "packs" / "stripes").rename(workspace / "unbroken")
    steps_taken.clear()
    steps_taken.at[3] = lambda: os.kill(os.getpid(), signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    capsys.readouterr()
    assert train("--steps", "40") == 130
    assert "interrupted; the same command goes on from step 3" in refused(capsys)
    assert signal.getsignal(signal.SIGINT) is before
    assert not (workspace / "packs" / "stripes").exists()
    assert train("--steps", "40") == 0
    assert "going on from step 3 of 40" in capsys.readouterr().out
    assert steps_taken == list(range(1, 41))
    assert (workspace / "packs" / "stripes" / "weights.safetensors").read_bytes() == unbroken


def test_interrupted_for_good_it_goes_on_from_the_last_checkpoint(workspace, train, capsys, steps_taken):
    steps_taken.at[2] = raise_interrupt
    assert train() == 130
    assert "what was finished is kept, and the same command does the rest" in refused(capsys)
    assert train() == 0
    assert steps_taken == [1, 2, 3]


def test_pressed_twice_it_does_not_wait(workspace, train, capsys, steps_taken):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    steps_taken.at[2] = twice
    assert train() == 130
    assert "what was finished is kept, and the same command does the rest" in refused(capsys)


def test_what_it_begins_with_is_said_once(train, capsys, steps_taken, monkeypatch):
    monkeypatch.setattr(lesson, "begin", lambda network, *_: Beginning(network.identity, ("pencil", "riso")))
    steps_taken.at[2] = raise_interrupt
    assert train() == 130
    assert "come nearest: pencil, riso" in capsys.readouterr().out
    assert train() == 0
    assert "nearest" not in capsys.readouterr().out


def test_begun_again_it_forgets(workspace, train, steps_taken):
    steps_taken.at[2] = raise_interrupt
    assert train() == 130
    assert train("--fresh") == 0
    assert steps_taken == [1, 2, 1, 2, 3]


@pytest.mark.parametrize("other", ["setting", "picture"])
def test_a_checkpoint_of_another_training_is_refused(workspace, train, capsys, steps_taken, tmp_path, other):
    steps_taken.at[2] = raise_interrupt
    assert train() == 130
    capsys.readouterr()
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    changed = train("--seed", "1") if other == "setting" else train(picture=tmp_path / "red.png")
    assert changed == 2
    assert "other settings or pictures" in (line := refused(capsys))
    assert "--fresh" in line


def test_a_checkpoint_edited_by_hand_is_refused_and_fresh_goes_on_without_it(workspace, train, capsys, steps_taken):
    steps_taken.at[2] = raise_interrupt
    assert train() == 130
    path = workspace / "packs" / ".training" / "stripes.safetensors"
    found = load_checkpoint(path)
    Checkpoint(found.tensors, {**found.facts, "step": "2"}).save(path)
    capsys.readouterr()
    assert train() == 2
    line = refused(capsys)
    assert "(step is no whole number from 0 on): remove it to begin again, or give --fresh" in line
    assert train("--fresh") == 0


def test_on_a_full_disk_nothing_is_lost(workspace, train, capsys, monkeypatch, steps_taken):
    real = Path.write_bytes

    def full(self, data):
        if ".training" in self.parts and steps_taken == [1]:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert train() == 1
    assert "the disk is full" in refused(capsys)
    assert left_over(workspace) == ["stripes.png", "stripes.safetensors"]
    steps_taken.append(0)  # somebody freed some space
    assert train() == 0
    assert steps_taken == [1, 0, 2, 3]


def test_a_full_disk_at_the_very_end_costs_no_step(workspace, train, capsys, monkeypatch, steps_taken):
    real, room = Path.write_text, []

    def full(self, text, **options):
        if self.name == "style.toml" and not room:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    assert train() == 1
    assert "the disk is full" in refused(capsys)
    assert [path.name for path in (workspace / "packs").iterdir()] == [".training"]
    room.append("freed")
    assert train() == 0
    assert steps_taken == [1, 2, 3]


def test_a_folder_that_cannot_be_written_is_named(workspace, train, capsys):
    (workspace / "packs" / ".training").write_text("a file, no folder")
    assert train() == 2
    assert ".training cannot be used" in refused(capsys)


def test_a_rate_that_is_too_high_is_named(workspace, train, capsys, monkeypatch):
    learn = Session._learn
    monkeypatch.setattr(Session, "_learn", lambda self: (float("nan"), learn(self)[1]))
    assert train() == 2
    assert "give a lower --rate" in refused(capsys)


def test_losses_and_pictures_can_be_watched(workspace, train, tmp_path):
    assert train("--tensorboard", str(tmp_path / "board")) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [event.step for event in events.Scalars("training/loss")] == [1, 2, 3]
    assert [event.step for event in events.Scalars("validation/loss")] == [1, 2, 3]
    assert [event.step for event in events.Images("preview")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("missing", "option"), [("torch.utils.tensorboard", "--tensorboard"), ("optuna", "--search")], ids=str
)
def test_what_is_not_installed_is_named(workspace, train, capsys, monkeypatch, tmp_path, missing, option):
    monkeypatch.setitem(sys.modules, missing, None)
    assert train(option, str(tmp_path) if option == "--tensorboard" else "1") == 2
    assert "pip install 'adstyle[train]'" in refused(capsys)


def test_a_search_is_not_repeated_by_the_command_that_goes_on(workspace, train, capsys, steps_taken, monkeypatch):
    from creatives.training import search

    real, asked = search.search, []

    def searched(*given, **wish):
        asked.append(wish["seconds"])
        found = real(*given, **wish)
        steps_taken.at[2] = raise_interrupt
        return found

    monkeypatch.setattr(search, "search", searched)
    assert train("--search", "0.02") == 130
    capsys.readouterr()
    assert train("--search", "0.02") == 0
    assert asked == [pytest.approx(1.2)]
    said = capsys.readouterr().out
    assert "found earlier: style weight " in said
    assert "going on from step 2 of 3" in said
    assert left_over(workspace) == []


@pytest.mark.parametrize("found", ["2", True, float("nan"), -1.0, None, 10**400], ids=lambda given: str(given)[:4])
def test_a_search_whose_result_was_edited_by_hand_is_made_again(
    workspace, train, capsys, steps_taken, monkeypatch, found
):
    from creatives.training import search

    monkeypatch.setattr(
        search, "search", lambda _, given, **__: search.Found(search.Choice.of(given), None, None, 0, 0)
    )
    steps_taken.at[2] = raise_interrupt
    assert train("--search", "0.02") == 130
    path = workspace / "packs" / ".training" / "stripes.search.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"choice": kept["choice"] | {"rate": found}}))
    capsys.readouterr()
    assert train("--search", "0.02") == 0
    assert "too short for one trial" in capsys.readouterr().out


def test_a_search_can_be_interrupted(workspace, train, capsys, steps_taken):
    steps_taken.at[2] = lambda: os.kill(os.getpid(), signal.SIGINT)
    assert train("--search", "1") == 130
    assert "nothing was learned yet" in refused(capsys)
    assert left_over(workspace) == []


@pytest.mark.parametrize(
    ("changed", "options", "says"),
    [
        ({"vgg": "nowhere.pth"}, (), "nowhere.pth"),
        ({"picture": "missing.png"}, (), "missing.png"),
        ({"name": "Not A Name"}, (), "small letters"),
        ({"name": "../stripes"}, (), "small letters"),
        ({"name": "original"}, (), "original"),
        ({"name": "ink-wash"}, (), "comes along"),
        ({}, ("--size", "100"), "multiple of 16"),
        ({}, ("--device", "abacus"), "neither cpu nor cuda"),
        ({}, ("--photos", "nowhere"), "nowhere is no folder"),
        ({}, ("--style-weight", "inf"), "style weight of inf"),
        ({}, ("--look", "Nice"), "in one sentence of 10 to 200"),
        ({}, ("--look", "x" * 200), "in one sentence of 10 to 200"),
    ],
    ids=str,
)
def test_what_cannot_be_learned_is_refused_in_one_line(workspace, train, capsys, changed, options, says):
    assert train(*options, **changed) == 2
    assert says in refused(capsys)
    assert list((workspace / "packs").glob("*")) == []


def test_weights_too_large_to_compute_with_are_refused_before_anything_is_learned(
    train, capsys, steps_taken, vgg_file, tmp_path
):
    save_file({name: value * 1e30 for name, value in load_file(vgg_file).items()}, tmp_path / "large.safetensors")
    assert train(vgg=tmp_path / "large.safetensors") == 2
    assert "the picture comes to no numbers: give another file (--vgg)" in refused(capsys)
    assert steps_taken == []


def test_without_vgg_a_style_is_learned_through_the_eye_that_comes_along(workspace, train, capsys):
    assert train(vgg=None) == 0
    assert "AdStyle's own eye" in capsys.readouterr().out
    assert read_pack(workspace / "packs" / "stripes").made.endswith("without VGG-19.")
    assert train(name="rows") == 0
    assert "own eye" not in capsys.readouterr().out
    assert "VGG" not in read_pack(workspace / "packs" / "rows").made


def test_a_style_is_learned_by_one_command_at_a_time(workspace, train, capsys, steps_taken):
    def begin_another():
        assert train() == 2
        assert "stripes is being learned by another command" in refused(capsys)
        assert train(name="waves") == 0
        capsys.readouterr()

    steps_taken.at[2] = begin_another
    assert train() == 0
    assert sorted(path.name for path in (workspace / "packs").iterdir()) == [".training", "stripes", "waves"]
    assert left_over(workspace) == []


@pytest.mark.parametrize("look", ["a" + " " * 12 + "b", "\x1b" * 12, "\udcff is no text at all"])
def test_a_look_that_no_pack_can_have_is_refused_before_anything_is_learned(train, capsys, steps_taken, look):
    assert train("--look", look) == 2
    refused(capsys)
    assert steps_taken == []


def test_a_taken_name_is_refused_before_anything_is_learned(workspace, train, capsys, steps_taken):
    assert train("--look", "Stripes in the colours of a test") == 0
    assert read_pack(workspace / "packs" / "stripes").look == "Stripes in the colours of a test."
    capsys.readouterr()
    assert train() == 2
    assert "choose another name" in refused(capsys)
    assert steps_taken == [1, 2, 3]


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
    assert run(["styles", "add", str(tmp_path / "nowhere")]) == 2
    assert "is no folder" in refused(capsys)
    assert {path.name for path in (workspace / "packs").iterdir()} == {"stripes", ".training"}


def test_a_picture_is_a_style_at_once(workspace, painting, capsys):
    assert run(["styles", "add", str(painting), "--name", "board"]) == 0
    pack = read_pack(workspace / "packs" / "board")
    assert (pack.engine, pack.look) == ("reference", "The colours and the light of stripes.")
    with Image.open(pack.folder / "preview.webp") as preview:
        assert preview.size == (SIDE, SIDE * 2 // 3)
    assert "board#" in capsys.readouterr().out
    photograph = np.full((40, 60, 3), (200, 30, 30), np.uint8)
    photograph[:, :30] = (30, 30, 120)
    styled = StyleLibrary([workspace / "packs"]).resolve("board").apply(photograph, seed=0)
    assert styled.shape == photograph.shape
    assert not np.array_equal(styled, photograph)


def test_a_picture_that_makes_no_style_is_told_of(workspace, tmp_path, capsys):
    Image.new("RGB", (1, 1), "teal").save(tmp_path / "dot.png")
    assert run(["styles", "add", str(tmp_path / "dot.png"), "--name", "dot"]) == 0
    assert "warning dot breaks a promise: " in capsys.readouterr().out
    assert (workspace / "packs" / "dot").is_dir()


def test_a_picture_is_a_style_of_moved_pixels(workspace, painting, vgg_file, capsys, monkeypatch):
    given = ["styles", "add", str(painting), "--engine", "optimise", "--name"]
    drawn = []
    monkeypatch.setattr(Optimise, "mix", lambda _self, rgb, _parts, **_: drawn.append(rgb.shape) or 255 - rgb)
    assert run([*given, "seen"]) == 0
    assert "AdStyle's own eye" in capsys.readouterr().out
    assert read_pack(workspace / "packs" / "seen").parameters["eye"] == eye_hash()
    monkeypatch.setenv("ADSTYLE_VGG", str(vgg_file))
    drawn.clear()
    assert run([*given, "still"]) == 0
    pack = read_pack(workspace / "packs" / "still")
    assert (pack.engine, pack.look) == ("optimise", "The colours and the strokes of stripes.")
    assert "eye" not in pack.parameters
    assert drawn == [(SIDE * 2 // 3, SIDE, 3)]
    assert "still#" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["{picture}"], "say what its style will be called"),
        (["{picture}", "--name", "No Name"], "is no name for a style"),
        (["{picture}", "--name", "ink-wash"], "is the name of a style that comes along"),
        (["{picture}", "--name", "board", "--look", "short"], "sentence"),
        (["nowhere.png", "--name", "board"], "there is no picture"),
        (["{photos}", "--name", "board"], "are for pictures"),
        (["{photos}/broken.png", "--name", "board"], "broken.png"),
        (["{picture}", "--name", "board", "--engine", "palette"], "it may be reference or optimise"),
        (["{photos}", "--engine", "optimise"], "--engine are for pictures"),
    ],
)
def test_what_cannot_be_a_style_at_once_is_refused(workspace, painting, photos, capsys, given, says):
    assert run(["styles", "add", *(each.format(picture=painting, photos=photos) for each in given)]) == 2
    assert says in refused(capsys)
    assert not (workspace / "packs" / "board").exists()
