"""The eye that comes along: it learns from a teacher, goes on where it was, and sees nearly what VGG-19 sees."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from creatives.neural.eye import LAYERS, Eye, load_eye
from creatives.neural.features import Distilled, Vgg19, WeightsError, read_weights
from creatives.neural.moments import feature_moments, relative_gap
from creatives.neural.vgg import EYE
from creatives.training import eye as training
from creatives.training.objective import Perception
from creatives.training.photographs import photographs_that_come_along, read_photographs

SHARED = Path(__file__).resolve().parents[3] / "shared" / "style"


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(3)
    return Eye().requires_grad_(requires_grad=False)


@pytest.fixture
def learn(teacher, photos, tmp_path):
    photographs = read_photographs(photos)

    def learn(checkpoint, *, steps):
        torch.manual_seed(0)
        eye = Eye()
        before = training.held_back(eye, teacher, photographs, 48)
        after = training.train(
            eye, teacher, photographs, photographs, tmp_path / checkpoint, steps=steps, count=4, size=48
        )
        return eye.state_dict(), before, after

    return learn


def test_it_comes_to_see_as_its_teacher_does(learn):
    _, before, after = learn("a", steps=12)
    assert after < 0.8 * before


def test_interrupted_it_ends_where_an_undisturbed_training_does(learn, monkeypatch):
    whole, *_ = learn("whole", steps=6)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    real = training.rate_at

    def cut(step, steps):
        if step == 4:
            raise KeyboardInterrupt
        return real(step, steps)

    monkeypatch.setattr(training, "rate_at", cut)
    with pytest.raises(KeyboardInterrupt):
        learn("cut", steps=6)
    monkeypatch.setattr(training, "rate_at", real)
    resumed, *_ = learn("cut", steps=6)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_it_is_shown_what_its_own_slopes_make_of_photographs(teacher, photos):
    photographs = read_photographs(photos)
    moved = training.Moved(photographs, photographs, 48, seed=0)
    first = moved.next(teacher, 0)
    for life in range(1, training.MOVES):
        last = moved.next(teacher, life * training.UNDER_WAY)
    anew = moved.next(teacher, training.MOVES * training.UNDER_WAY)
    rng = np.random.default_rng([0, 0, 0])
    photographs.batch(rng, 1, 48)
    painting = torch.from_numpy(photographs.batch(rng, 1, 48).pictures).permute(0, 3, 1, 2).float() / 255

    def away(picture):
        found, goal = (feature_moments(teacher(each)["relu2_1"]).gram for each in (picture, painting))
        return float(relative_gap(found, goal))

    assert away(last) < 0.5 * away(first)
    assert not torch.allclose(last, anew, atol=0.1), "it should have made room for another photograph"
    assert torch.equal(moved.pictures[0], anew[0])
    assert not moved.pictures[1:].any(), "it was nobody else's turn"


def test_it_looks_only_as_deep_as_it_is_asked(teacher):
    found = teacher(torch.rand(1, 3, 32, 32), deepest="relu2_1")
    assert list(found) == ["relu1_1", "relu1_2", "relu2_1"]
    assert found["relu2_1"].shape == (1, 128, 16, 16)


def test_foreign_weights_are_refused(tmp_path):
    save_file({"layers.relu1_1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no eye of ours"):
        load_eye(tmp_path / "other.safetensors")


def test_what_comes_along_is_small_and_has_vggs_layers():
    eye = load_eye()
    assert tuple(eye.layers) == LAYERS
    assert EYE.stat().st_size < 4_000_000


@pytest.mark.skipif(not SHARED.is_dir(), reason="VGG-19's weights are not here (../shared/style)")
def test_what_comes_along_sees_nearly_as_vgg_does():
    paths = [SHARED / "weights" / f"vgg19_{name}_fp16.safetensors" for name in ("relu3_4", "small16x_relu5_1")]
    photographs = photographs_that_come_along()
    vgg, small = (kind(read_weights(path), str(path)) for kind, path in zip((Vgg19, Distilled), paths, strict=True))
    teacher = Perception(vgg, small, deep=True)
    torch.manual_seed(0)
    blind = training.held_back(Eye(), teacher, photographs, 160)
    assert training.held_back(load_eye(), teacher, photographs, 160) < 0.4 * blind
