"""Crops cut a batch at a time: the same dice, the same crops, and never a corner that is not the photograph's."""

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional

from creatives.neural.mirror import _Mirrored
from creatives.training.photographs import Augmentation
from creatives.training.pool import Pool

CPU = torch.device("cpu")


def dice(seed=3):
    return torch.Generator().manual_seed(seed)


def test_the_same_generator_draws_the_same_crops():
    pool = Pool([data.coffee()[:200, :300], data.chelsea()], Augmentation(), CPU)
    crops, cover = pool.batch(6, 48, dice())
    assert crops.shape == (6, 3, 48, 48)
    assert cover.shape == (6, 1, 48, 48)
    assert torch.equal(crops, pool.batch(6, 48, dice())[0])
    assert not torch.equal(crops, pool.batch(6, 48, dice(4))[0])
    assert crops.min() >= 0
    assert crops.max() <= 1


@pytest.mark.parametrize("shape", [(120, 160), (160, 120), (60, 60)])
def test_turning_leaves_no_black_corners(shape):
    photographs = [np.full((*shape, 3), 200, np.uint8), np.full((90, 300, 3), 200, np.uint8)]
    pool = Pool(photographs, Augmentation(rotate=30, colour=0, packshots=0), CPU)
    crops, _ = pool.batch(60, 48, dice())
    assert (crops * 255).min() > 199, "nothing of the frame around a photograph is ever in a crop"


def test_at_rest_a_crop_is_the_photograph():
    photograph = data.coffee()[:64, :64]
    wish = Augmentation(flip=False, rotate=0, colour=0, zoom=(1.0, 1.0), packshots=0)
    crops, cover = Pool([photograph], wish, CPU).batch(1, 64, dice())
    assert np.abs(crops[0].permute(1, 2, 0).numpy() * 255 - photograph).max() < 1
    assert cover.min() == 1


def test_packshots_stand_on_white():
    pool = Pool([data.coffee()], Augmentation(packshots=1.0), CPU)
    crops, cover = pool.batch(8, 64, dice())
    ground = (cover == 0).expand(-1, 3, -1, -1)
    assert 0.1 < ground.float().mean() < 0.9
    assert crops[ground].min() >= 0.98


@pytest.mark.parametrize(("margin", "height", "width"), [(1, 8, 9), (2, 7, 12), (1, 3, 3), (2, 5, 6)])
def test_mirrored_as_torch_does_it_forwards_and_backwards(margin, height, width):
    x = torch.randn(2, 3, height, width, dtype=torch.float64, generator=dice())
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    ours, torchs = _Mirrored.apply(x, margin), functional.pad(x, (margin,) * 4, mode="reflect")
    assert torch.equal(ours, torchs)
    weights = torch.randn(ours.shape, dtype=torch.float64, generator=dice(5))
    assert torch.allclose(*(torch.autograd.grad((each * weights).sum(), x)[0] for each in (ours, torchs)))
