"""Training of the cartoon: targets that are flat and inky, losses that mean what they say, the same from the same."""

import itertools
import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from skimage import data

from creatives.errors import CreativeError
from creatives.neural.cartoon import Cartoonist
from creatives.neural.drawing import load_generator
from creatives.neural.features import Vgg19, read_weights
from creatives.packs import read_pack
from creatives.training import cartoon, cartoon_losses, cartoon_ship, cartoon_store, cartoon_targets
from creatives.training.cartoon import CartoonTraining, Settings, TrainingFailed, train
from creatives.training.photographs import NoPhotographs

TINY = Settings(steps=4, batch=2, size=64, critics_alone=0.25)


@pytest.fixture(scope="module")
def photographs():
    return [np.asarray(Image.fromarray(picture).resize((160, 120))) for picture in (data.chelsea(), data.coffee())]


@pytest.fixture(scope="module")
def drawn(photographs):
    """Two cartoons, ``(2, SIDE, SIDE, 3)``."""
    rng = np.random.default_rng(1)
    return [cartoon_targets.target_from(np.asarray(picture), rng) for picture in (data.coffee(), data.astronaut())]


@pytest.fixture
def vgg(vgg_file):
    return Vgg19(read_weights(vgg_file), "here")


def training(photographs, drawn, vgg, settings=TINY):
    return CartoonTraining(settings, photographs, drawn, vgg)


def clock():
    ticks = itertools.count()
    return lambda: float(next(ticks))


def test_targets_have_flat_areas_and_ink(drawn):
    for picture in drawn:
        values = picture.astype(float).mean(axis=2)
        steps = np.abs(np.diff(values, axis=1))
        assert (steps < 2).mean() > 0.6, "areas are flat"
        assert (values < 70).mean() > 0.01, "there is ink"


def test_the_same_dice_draw_the_same_target():
    one, other = (cartoon_targets.target_from(data.coffee(), np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, other)


def test_an_empty_place_is_no_target():
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert cartoon_targets.target_from(grey, np.random.default_rng(0)) is None


def test_white_stays_paper():
    picture = np.ones((96, 96, 3), np.float32)
    picture[30:60, 30:60] = (0.8, 0.2, 0.1)
    drawn = cartoon_targets.cartoon(picture, np.random.default_rng(0))
    assert drawn[:20].min() > 0.995
    assert drawn[26:34, 40:50].max(axis=2).min() < 0.25, "and the red has a contour"


def test_generator_and_targets_share_no_photograph(tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(9)]
    assert set(cartoon_store.targets_among(paths)).isdisjoint(cartoon_store.read_among(paths))


def test_targets_are_kept_in_one_file(photos, tmp_path):
    out, page = tmp_path / "targets.npz", tmp_path / "sheet.png"
    (tmp_path / "photos").mkdir()
    for number, picture in enumerate((data.chelsea(), data.coffee(), data.astronaut())):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{number}.png")
    cartoon_targets.main(
        ["--photos", str(tmp_path / "photos"), "--out", str(out), "--count", "2", "--sheet", str(page)]
    )
    found = cartoon_store.load_targets(out)
    assert found.shape == (2, cartoon_targets.SIDE, cartoon_targets.SIDE, 3)
    assert page.is_file()
    out.write_bytes(b"PK no archive")
    with pytest.raises(CreativeError, match="holds no targets"):
        cartoon_store.load_targets(out)
    with pytest.raises(NoPhotographs):
        cartoon_targets.main(["--photos", str(tmp_path / "nowhere"), "--out", str(out)])


def test_a_little_training_is_finite_and_moves_everything(photographs, drawn, vgg):
    session = training(photographs, drawn, vgg)
    before = [value.clone() for value in (*session.network.parameters(), *session.texture.parameters())]
    for share in (0.0, 0.3, 0.6, 0.9):
        said = session.advance(share)
        assert all(torch.isfinite(value) for value in said.values())
    after = [*session.network.parameters(), *session.texture.parameters()]
    moved = [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert sum(moved) == len(moved)
    assert any(not torch.equal(a, b) for a, b in zip(session.kept.parameters(), after[: len(before)], strict=False))


def test_the_same_settings_give_the_same_network(photographs, drawn, vgg):
    states = []
    for _ in range(2):
        session = training(photographs, drawn, vgg)
        for share in (0.0, 0.5):
            session.advance(share)
        states.append(session.kept.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_what_is_written_is_what_the_engine_reads(photographs, drawn, vgg, tmp_path):
    session = training(photographs, drawn, vgg)
    out, log = tmp_path / "toon.safetensors", tmp_path / "log.jsonl"
    assert train(session, out, log, clock(), 0.0) == TINY.steps
    assert isinstance(load_generator(out), Cartoonist)
    with safe_open(out, "np") as file:
        assert json.loads(file.metadata()["training"])["steps"] == TINY.steps
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines
    assert {"step", "content", "fooling", "real"} <= lines[0].keys()
    assert not list(tmp_path.glob("*.part"))


def test_the_clock_ends_it(photographs, drawn, vgg, tmp_path):
    session = training(photographs, drawn, vgg, replace(TINY, steps=None, seconds=3.0))
    assert 1 <= train(session, tmp_path / "toon.safetensors", None, clock(), 0.0) <= 3


def test_losses_that_are_no_numbers_end_it_and_spoil_nothing(photographs, drawn, vgg, tmp_path, monkeypatch):
    session = training(photographs, drawn, vgg, replace(TINY, steps=100))
    before = [value.clone() for value in session.network.parameters()]
    monkeypatch.setattr(cartoon, "LOG_EVERY", 0.0)
    monkeypatch.setattr(cartoon, "terms", broken_terms)
    with pytest.raises(TrainingFailed, match="no numbers after 3 steps"):
        train(session, tmp_path / "toon.safetensors", None, clock(), 0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, session.network.parameters(), strict=True))


def broken_terms(pictures, *_):
    nothing = pictures.mean() * float("nan")
    return cartoon_losses.Terms(*[nothing] * len(fields(cartoon_losses.Terms)))


def test_a_white_ground_that_is_painted_costs(vgg):
    photograph = torch.full((1, 3, 64, 64), 0.99)
    photograph[..., 20:44, 20:44] = 0.4
    product = (photograph[:, :1] < 0.9).float()
    clean = cartoon_losses.terms(photograph, photograph, product, vgg)
    dirty = cartoon_losses.terms(torch.where(product > 0, photograph, 0.8), photograph, product, vgg)
    assert clean.white < 0.02 < dirty.white
    assert clean.content < 1e-5


def test_flattening_calms_areas_and_keeps_edges():
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 0.06
    noise[..., 32:] += 0.6
    flat = cartoon_losses.flattened(noise)
    assert flat[..., :30].std() < noise[..., :30].std() / 3
    assert (flat[..., 32] - flat[..., 31]).mean() > 0.55


def test_blurred_contours_differ_from_targets_only_there():
    picture = torch.full((1, 3, 48, 48), 0.8)
    picture[..., 24:26] = 0.1
    blurred = cartoon_losses.edges_smoothed(picture)
    assert torch.equal(blurred[..., :12], picture[..., :12])
    assert blurred[..., 24:26].min() > 0.2


def test_a_cut_out_target_gets_a_contour():
    product = torch.zeros(1, 1, 48, 48)
    product[..., 12:36, 12:36] = 1
    picture = torch.where(product > 0, 0.6, 1.0).expand(1, 3, 48, 48)
    outlined = cartoon_losses.outlined(picture, product)
    assert outlined[..., 24, 11:13].max() < 0.2
    assert torch.equal(outlined[..., 20:28, 20:28], picture[..., 20:28, 20:28])


def test_the_command_line_trains(photos, vgg_file, drawn, tmp_path, capsys):
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / cartoon.VGG).write_bytes(vgg_file.read_bytes())
    cartoon_store.save_targets(drawn, tmp_path / "targets.npz")
    cartoon.main(
        ["--photos", str(photos), "--weights", str(weights), "--targets", str(tmp_path / "targets.npz"),
         "--steps", "1", "--batch", "2", "--size", "64", "--out", str(tmp_path / "toon.safetensors")]
    )  # fmt: skip
    assert "1 steps" in capsys.readouterr().out
    assert load_generator(tmp_path / "toon.safetensors")


def test_a_generator_becomes_a_pack(photographs, drawn, vgg, tmp_path, monkeypatch):
    monkeypatch.setenv("ADSTYLE_BACKEND", "torch")
    session = training(photographs, drawn, vgg)
    session.write(tmp_path / "toon.safetensors", 2.0)
    pack = read_pack(cartoon_ship.ship(tmp_path / "toon.safetensors", tmp_path / "flat-test", "two photographs"))
    assert "rendered by ourselves" in pack.made
    assert (pack.folder / "preview.webp").is_file()
    (tmp_path / "notes.safetensors").write_text("no weights")
    with pytest.raises(CreativeError, match="is no generator"):
        cartoon_ship.ship(tmp_path / "notes.safetensors", tmp_path / "other", "nothing")
