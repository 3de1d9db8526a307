"""Training: the same dice, the same network; interrupted or not."""

import errno
import math
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save, save_file

from creatives.neural.features import Vgg19, WeightsError, read_weights
from creatives.neural.moments import feature_moments
from creatives.training.base import fit_identity, style_tensor
from creatives.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from creatives.training.objective import Perception
from creatives.training.photographs import Augmentation, NoPhotographs, read_photographs
from creatives.training.session import Session, Settings

TINY = Settings(steps=4, batch=2, size=64, validate_every=0, checkpoint_every=2, patience=0, mixed=False)


@pytest.fixture
def session(vgg_file, photos, painting, tmp_path):
    def open_session(settings=TINY, path=None):
        perception = Perception(Vgg19(read_weights(vgg_file), "the tiny eye"))
        return Session(
            settings, {"stripes": style_tensor(painting, 96)}, read_photographs(photos), perception,
            path or tmp_path / "training.safetensors",
        )  # fmt: skip

    return open_session


def numbers(session):
    return torch.cat(
        [session.adapters.detach().flatten(), *(p.detach().flatten() for p in session.network.parameters())]
    )


def test_interrupted_and_resumed_it_is_what_it_would_have_been(session, tmp_path):
    unbroken = session(path=tmp_path / "unbroken.safetensors")
    steps = list(unbroken.run())
    first = session()
    for step in first.run():
        if step.number == 2:
            break
    resumed = session()
    assert resumed.step == 2
    again = list(resumed.run())
    assert [step.number for step in again] == [3, 4]
    assert [step.loss for step in again] == [step.loss for step in steps[2:]]
    assert torch.equal(numbers(resumed), numbers(unbroken))


def test_the_loss_falls(session):
    settings = replace(TINY, steps=12, checkpoint_every=0)
    losses = [step.loss for step in session(settings).run()]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_frozen_only_the_adapter_learns(session):
    learner = session(replace(TINY, frozen=True))
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    adapter = learner.adapter("stripes").clone()
    list(learner.run())
    assert all(torch.equal(value, before[name]) for name, value in learner.network.state_dict().items())
    assert not torch.equal(learner.adapter("stripes"), adapter)


def test_without_improvement_it_ends_early(session):
    settings = replace(TINY, steps=50, rate=0.0, adapter_rate=0.0, validate_every=1, patience=2)
    steps = list(session(settings).run())
    assert len(steps) == 3, "the first validation is the best; two without improvement end it"
    assert steps[-1].over
    assert math.isfinite(steps[-1].best)


def test_a_checkpoint_of_other_settings_is_refused(session):
    list(session().run())
    with pytest.raises(CheckpointError, match="belongs to a training with other settings"):
        session(replace(TINY, seed=5))


@pytest.mark.parametrize(
    "damage", ["text", "empty", "cut short", "no facts", "facts of nothing", "facts too deep", "folder"]
)
def test_a_damaged_checkpoint_is_refused_in_one_line(session, tmp_path, damage):
    path = tmp_path / "training.safetensors"
    list(session().run())
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(damaged(path, damage))
    with pytest.raises(CheckpointError, match="is no checkpoint of ours") as refusal:
        session()
    assert "\n" not in str(refusal.value)


def damaged(path, damage):
    return {
        "text": b"nothing of the kind",
        "empty": b"",
        "cut short": path.read_bytes()[:-1000],
        "no facts": save({"adapters": torch.zeros(1)}),
        "facts of nothing": save({"adapters": torch.zeros(1)}, {"adstyle": "[]"}),
        "facts too deep": save({"adapters": torch.zeros(1)}, {"adstyle": "[" * 100_000}),
    }[damage]


@pytest.mark.parametrize("lacks", ["adapters", "network.stem.convolution.weight"])
def test_a_checkpoint_that_lacks_something_is_refused(session, tmp_path, lacks):
    path = tmp_path / "training.safetensors"
    list(session().run())
    found = load_checkpoint(path)
    Checkpoint({name: value for name, value in found.tensors.items() if name != lacks}, found.facts).save(path)
    with pytest.raises(CheckpointError, match="does not hold what this training needs"):
        session()


VALIDATED = replace(TINY, frozen=True, validate_every=1)


@pytest.mark.parametrize(
    ("facts", "tensors", "says"),
    [
        ({"step": "2"}, {}, "step is no whole number from 0 on"),
        ({"step": True}, {}, "step is no whole number from 0 on"),
        ({"step": -1}, {}, "step is no whole number from 0 on"),
        ({"step": 99}, {}, "it is at step 99 of 4"),
        ({"since_best": 1.5}, {}, "since_best is no whole number from 0 on"),
        ({"spent": float("nan")}, {}, "spent is no number from 0 on"),
        ({"best": "x"}, {}, "best is no number"),
        ({"best": None}, {}, "best is no number"),
        ({"best": 10**400}, {}, "best is no number"),
        ({}, {"adapters": (1, 1)}, r"adapters is \(1, 1\) float32, not \(1, 2252\) float32"),
        ({}, {"balance": math.nan}, "balance holds values that are no numbers"),
        ({}, {"best.adapters": (2,)}, r"best\.adapters is \(2,\) float32, not \(1, 2252\) float32"),
        ({}, {"optimiser.0.exp_avg": (3,)}, r"optimiser\.0\.exp_avg is \(3,\) float32, not"),
        ({}, {"optimiser.0.exp_avg": None}, r"it lacks optimiser\.0\.exp_avg"),
        ({}, {"optimiser.0.step": -1.0}, r"optimiser\.0\.step is below 0"),
        ({}, {"optimiser.one.step": (1,)}, r"nothing needs optimiser\.one\.step"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_a_checkpoint_edited_by_hand_is_refused_in_one_line(session, tmp_path, facts, tensors, says):
    """Numbers fill a tensor with themselves, shapes make another one, and nothing takes it away."""
    path = tmp_path / "training.safetensors"
    next(iter((learner := session(VALIDATED)).run()))
    learner.save()
    found, edited = load_checkpoint(path), {}
    for name, change in tensors.items():
        if isinstance(change, float):
            edited[name] = torch.full_like(found.tensors[name], change)
        elif change is not None:
            edited[name] = torch.zeros(change)
    kept = {name: value for name, value in found.tensors.items() if name not in tensors}
    Checkpoint(kept | edited, found.facts | facts).save(path)
    with pytest.raises(CheckpointError, match=rf"to go on \({says}.*\): remove it to begin again$"):
        session(VALIDATED)


@pytest.mark.parametrize("steps", [2, 3])
def test_resumed_through_validation_and_dropout_it_is_the_same(session, tmp_path, steps):
    settings = replace(TINY, frozen=True, dropout=0.3, validate_every=2, patience=3, mixed=True)
    unbroken = session(settings, tmp_path / "unbroken.safetensors")
    whole = list(unbroken.run())
    first = session(settings)
    for step in first.run():
        if step.number == steps:
            first.save()
            break
    resumed = session(settings)
    assert list(resumed.run()) == whole[steps:]
    assert torch.equal(resumed.adapters, unbroken.adapters)
    assert list(session(settings).run()) == [], "what is finished is finished"


def test_on_a_full_disk_the_earlier_checkpoint_stays(session, tmp_path, monkeypatch):
    learner = session()
    next(iter(learner.run()))
    learner.save()
    kept = (tmp_path / "training.safetensors").read_bytes()

    def full(self, _data):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        learner.save()
    assert (tmp_path / "training.safetensors").read_bytes() == kept
    assert list(tmp_path.glob("*.part")) == []


def test_the_same_seed_draws_the_same_crops(photos):
    pictures = read_photographs(photos)
    one, other = (pictures.batch(np.random.default_rng(3), 6, 48) for _ in range(2))
    assert np.array_equal(one.pictures, other.pictures)
    assert one.pictures.shape == (6, 48, 48, 3)
    assert not np.array_equal(one.pictures, pictures.batch(np.random.default_rng(4), 6, 48).pictures)


def test_packshots_stand_on_white(photos):
    pictures = read_photographs(photos, Augmentation(packshots=1.0))
    batch = pictures.batch(np.random.default_rng(3), 8, 64)
    ground = batch.product == 0
    assert 0.1 < ground.mean() < 0.9
    assert batch.pictures[ground].min() >= 249


def test_turning_leaves_no_black_corners(photos):
    wish = Augmentation(rotate=30, colour=0, packshots=0, flip=False)
    pictures = read_photographs(photos, wish)
    pictures.training = (np.full((120, 160, 3), 200, np.uint8),)
    assert pictures.batch(np.random.default_rng(1), 40, 48).pictures.min() >= 199


def test_of_very_many_photographs_some_are_read_from_all_over_the_folder(tmp_path):
    for shade in range(40):
        Image.new("L", (8, 8), shade).save(tmp_path / f"{shade:02}.png")
    few = read_photographs(tmp_path, most=10)
    shades = sorted(int(each[0, 0, 0]) for each in (*few.validation, *few.training))
    assert len(set(shades)) == 10
    assert shades[0] < 10
    assert shades[-1] >= 30
    assert len(read_photographs(tmp_path, most=40).training) == len(read_photographs(tmp_path).training)


def test_a_folder_without_photographs_is_named(tmp_path):
    with pytest.raises(NoPhotographs, match="holds no photographs"):
        read_photographs(tmp_path)
    with pytest.raises(NoPhotographs, match="is no folder"):
        read_photographs(tmp_path / "nowhere")


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 11))
def test_moments_of_the_whole_are_the_sum_of_the_parts(height, width, cut):
    features = torch.rand(1, 5, height, width, generator=torch.Generator().manual_seed(height * width))
    cut = min(cut, height - 1)
    whole = feature_moments(features)
    parts = feature_moments(features[:, :, :cut]) + feature_moments(features[:, :, cut:])
    assert torch.allclose(whole.gram, parts.gram, atol=1e-5)
    assert torch.allclose(whole.mean, features.mean(dim=(2, 3)), atol=1e-5)
    assert torch.allclose(parts.spread, features.std(dim=(2, 3), correction=0), atol=1e-3)


def test_only_the_counted_pixels_count():
    features = torch.rand(1, 3, 8, 8)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    assert torch.allclose(feature_moments(features, mask).gram, feature_moments(features[..., :4]).gram, atol=1e-5)


def test_the_identity_comes_closer_to_the_photograph(session, photos):
    learner = session()
    pictures = read_photographs(photos)
    held = torch.from_numpy(pictures.held_out(64).pictures).permute(0, 3, 1, 2).float() / 255

    def miss(adapter):
        with torch.no_grad():
            return (learner.network(held, adapter.expand(len(held), -1)) - held).abs().mean()

    before = miss(learner.network.neutral_adapter())
    assert miss(fit_identity(learner.network, pictures, steps=12)) < before


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a state dict", b"\x08" * 64, b"hello", b"00", b"h"])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_hostile_weights_are_refused_in_one_line(tmp_path, content, suffix):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as weights") as refusal:
        read_weights(path)
    assert "\n" not in str(refusal.value)


def test_pickled_code_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a device", "a link that leads in a circle"])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_that_are_no_file_are_named_for_what_they_are(tmp_path, kind, suffix):
    path = tmp_path / f"weights.{suffix}"
    makers = {"a folder": path.mkdir, "a pipe": lambda: os.mkfifo(path)}
    makers.get(kind, lambda: path.symlink_to("/dev/zero" if kind == "a device" else path.name))()
    with pytest.raises(WeightsError, match=f"weights.{suffix} is {kind}; name a file of weights$"):
        read_weights(path)


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.ones(2).to_sparse(), "sparse_coo float32"),
        (torch.ones(2, dtype=torch.complex64), "strided complex64"),
        (torch.ones(2, device="meta"), "meta"),
        (torch.ones(1).expand(10**14), "strided float32"),
    ],
    ids=["sparse", "complex", "meta", "endless"],
)
def test_tensors_that_hold_no_plain_numbers_are_refused_in_one_line(tmp_path, tensor, kind, recwarn):
    torch.save({"features.0.weight": tensor}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"features\.0\.weight is a tensor of another kind \({kind}\); save it as"):
        read_weights(tmp_path / "w.pth")
    assert not recwarn.list


def test_what_a_pickle_is_made_of_is_nobody_s_to_read(tmp_path, recwarn):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Path, protocol=4))
    with pytest.raises(WeightsError, match="it is damaged, or holds more than plain tensors"):
        read_weights(tmp_path / "evil.pth")
    assert not recwarn.list


def test_a_state_dict_that_was_cut_short_is_told_so(tmp_path):
    torch.save({"a": torch.zeros(5000)}, tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:10_000])
    with pytest.raises(WeightsError, match=r"cannot be read as weights \(it is .*\); get the file again"):
        read_weights(tmp_path / "w.pth")


def test_weights_of_another_network_are_no_vgg(tmp_path, vgg_file):
    weights = read_weights(vgg_file)
    weights.pop("features.10.weight")
    with pytest.raises(WeightsError, match=r"that file is no VGG-19: it lacks features\.10;"):
        Vgg19(weights, "that file")


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("features.2.bias", (7,), r"features\.2\.bias has shape \(7,\), not \(8,\)"),
        ("features.2.bias", (), r"features\.2\.bias has shape \(\), not \(8,\)"),
        ("features.2.weight", (8, 8, 5, 5), r"features\.2\.weight has shape \(8, 8, 5, 5\), not \(any, 8, 3, 3\)"),
        ("features.5.weight", (16, 4, 3, 3), r"features\.5\.weight has shape .* not \(any, 8, 3, 3\)"),
        ("features.0.weight", (8, 1, 3, 3), r"features\.0\.weight has shape .* not \(any, 3, 3, 3\)"),
        ("features.0.weight", (8, 27), r"features\.0\.weight has shape \(8, 27\), not"),
        ("features.16.weight", (0, 24, 3, 3), r"features\.16\.weight has shape \(0, 24, 3, 3\), not"),
    ],
)
def test_layers_that_do_not_fit_together_are_no_vgg(vgg_file, name, shape, says):
    weights = read_weights(vgg_file) | {name: torch.zeros(shape)}
    with pytest.raises(WeightsError, match=f"that file is no VGG-19: {says}.*; give another file$"):
        Vgg19(weights, "that file")


def test_numbers_of_any_kind_are_read_as_float32(tmp_path):
    save_file({"a": torch.ones(2).to(torch.float8_e4m3fn), "b": torch.ones(2).bfloat16()}, tmp_path / "w.safetensors")
    assert {name: value.dtype for name, value in read_weights(tmp_path / "w.safetensors").items()} == {
        "a": torch.float32,
        "b": torch.float32,
    }


def test_the_best_is_kept_not_the_last(session, monkeypatch):
    judged = iter([3.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr(Session, "validate", lambda _self: next(judged))
    learner = session(replace(TINY, validate_every=1))
    seen = [learner.adapters.detach().clone() for _ in learner.run()]
    assert torch.equal(learner.adapter("stripes"), seen[1][0])
    assert not torch.equal(learner.adapter("stripes"), learner.adapters.detach()[0])
    resumed = session(replace(TINY, validate_every=1))
    assert torch.equal(resumed.adapter("stripes"), seen[1][0]), "and lies in the checkpoint"
