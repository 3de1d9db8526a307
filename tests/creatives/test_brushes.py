"""What looks are made of: smoothing that can be taken apart, and tones."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from creatives import strips
from creatives.brushes import blur, guidance, guided, in_tones, kuwahara
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


@pytest.mark.parametrize(
    "work",
    [
        lambda picture: in_tones(picture, 6),
        lambda picture: blur(picture, 0.7),
        lambda picture: blur(picture, 7.9),
        lambda picture: guided(picture, luma(picture), 6, 1e-3),
        lambda picture: kuwahara(picture, luma(picture), 5),
        lambda picture: kuwahara(picture, luma(picture), 6),
        to_oklab,
        from_oklab,
    ],
)
def test_what_is_worked_on_by_strips_is_what_the_whole_would_be(work, monkeypatch):
    picture = np.random.default_rng(3).uniform(0, 1, (150, 40, 3)).astype(np.float32)
    whole = work(picture)  # less than two strips
    monkeypatch.setattr(strips, "_ROWS", 16)
    monkeypatch.setattr(strips, "_OVERLAPS", 1)
    assert np.abs(work(picture) - whole).max() < 1e-5


def test_grain_does_not_fray_the_edges_of_tones():
    grain = np.random.default_rng(4).normal(0, 0.02, (80, 400, 1))
    across = np.linspace(0.2, 0.8, 400)[None, :, None]
    smooth, grainy = (
        np.repeat(np.clip(across + each, 0, 1), 3, axis=2).astype(np.float32) for each in (0 * grain, grain)
    )
    wanted, found = (to_oklab(in_tones(each, 8))[:, :, 0] for each in (smooth, grainy))
    specks = np.abs(found - wanted) > 0.03
    assert specks.mean() < 0.002


@pytest.mark.parametrize("sigma", [3, 8, 13, 40])
@pytest.mark.parametrize("size", [(301, 407), (301, 407, 3)])
def test_a_wide_blur_is_gaussian_all_the_same(sigma, size):
    """Away from the rim, beyond which the reduced picture goes on with a square's mean instead of a pixel."""
    values = np.random.default_rng(6).uniform(0, 1, size).astype(np.float32)
    values[: size[0] // 2] *= 0.3
    found = blur(values, sigma)
    wanted = gaussian_filter(values, (sigma, sigma, 0)[: len(size)], mode="nearest")
    assert np.abs(found - wanted)[sigma:-sigma, sigma:-sigma].max() < 0.03


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (90, 5, 3), (64, 64)])
def test_a_wide_blur_of_anything_can_be_worked_on(size):
    found = blur(np.full(size, 0.6, np.float32), 20)
    assert found.shape == size
    assert found.dtype == np.float32
    found += 0.1
    assert np.abs(found - 0.7).max() < 1e-5
