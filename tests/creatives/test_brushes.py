"""What looks are made of: smoothing that can be taken apart, and tones."""

import numpy as np
import pytest

from creatives import brushes
from creatives.brushes import guidance, guided, in_tones
from creatives.colour import from_oklab, luma, to_oklab


def ramp(a=0.0, b=0.0):
    """From black to white, lightness rising evenly, under one hue and chroma (in Oklab)."""
    lab = np.zeros((20, 800, 3), np.float32)
    lab[:] = np.stack([np.linspace(0, 1, 800), np.full(800, a), np.full(800, b)], axis=1)
    return from_oklab(lab)


@pytest.mark.parametrize("tones", [2, 5, 8])
def test_a_ramp_becomes_so_many_flat_steps(tones):
    found = to_oklab(in_tones(ramp(), tones))[10, :, 0]
    flat = np.abs(np.gradient(found)) < 2e-4
    steps = np.unique(np.round(found[flat] * tones))
    assert list(steps) == list(range(tones + 1))
    assert np.abs(found[flat] * tones - np.round(found[flat] * tones)).max() < 0.03
    assert flat.mean() > 0.4


def test_tones_leave_black_white_and_hues_as_they_are():
    found = in_tones(ramp(), 8)
    assert found[:, 0].max() < 1 / 255
    assert found[:, -1].min() > 254 / 255
    rosy, inside = ramp(0.05, 0.02), np.s_[10, 300:560]
    assert np.abs((to_oklab(in_tones(rosy, 8)) - to_oklab(rosy))[inside][:, 1:]).max() < 1e-3


def test_guided_smoothing_is_its_guidance_applied():
    rng = np.random.default_rng(2)
    picture = rng.uniform(0.2, 0.8, (40, 50, 3)).astype(np.float32)
    slope, offset = guidance(picture, luma(picture), 4, 1e-3)
    assert slope.shape == offset.shape == picture.shape
    assert np.abs(slope * luma(picture)[:, :, None] + offset - guided(picture, luma(picture), 4, 1e-3)).max() < 1e-6


def test_tones_of_strips_are_those_of_the_whole(monkeypatch):
    picture = np.random.default_rng(3).uniform(0, 1, (100, 40, 3)).astype(np.float32)
    whole = in_tones(picture, 6)
    monkeypatch.setattr(brushes, "_STRIP", 16)
    assert np.abs(in_tones(picture, 6) - whole).max() < 1e-6
    monkeypatch.setattr(brushes, "_BEYOND", 0)
    assert np.abs(in_tones(picture, 6) - whole).max() > 0.01


def test_grain_does_not_fray_the_edges_of_tones():
    grain = np.random.default_rng(4).normal(0, 0.02, (80, 400, 1))
    across = np.linspace(0.2, 0.8, 400)[None, :, None]
    smooth, grainy = (
        np.repeat(np.clip(across + each, 0, 1), 3, axis=2).astype(np.float32) for each in (0 * grain, grain)
    )
    wanted, found = (to_oklab(in_tones(each, 8))[:, :, 0] for each in (smooth, grainy))
    specks = np.abs(found - wanted) > 0.03
    assert specks.mean() < 0.002
