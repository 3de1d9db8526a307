"""Strips of a picture: every row once, with what is around it, and never a failure lost."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from creatives.strips import in_strips, over_rows


@pytest.mark.parametrize("height", [1, 5, 16, 31, 32, 33, 100])
def test_every_row_is_in_one_strip(height):
    done = np.zeros(height, int)

    def work(top, end):
        done[top:end] += 1

    over_rows(work, height, rows=16)
    assert (done == 1).all()


@pytest.mark.parametrize("height", [100, 300, 1000])
def test_a_strip_sees_its_neighbours_and_no_more_edges_than_there_are(height):
    values = np.random.default_rng(height).uniform(0, 1, (height, 3)).astype(np.float32)

    def smooth(strip):
        return uniform_filter1d(strip, 21, axis=0, mode="nearest")

    assert np.abs(in_strips(smooth, values, beyond=10) - smooth(values)).max() < 1e-5
    if height > 256:
        assert np.abs(in_strips(smooth, values) - smooth(values)).max() > 0.01


def test_pictures_are_cut_alike():
    one, other = (np.random.default_rng(seed).uniform(0, 1, (300, 4)).astype(np.float32) for seed in (1, 2))
    assert np.array_equal(in_strips(np.subtract, one, other, beyond=3), one - other)


def test_what_fails_in_one_strip_fails():
    def work(top, _end):
        if top >= 128:
            raise MemoryError("too large")

    with pytest.raises(MemoryError, match="too large"):
        over_rows(work, 1000)
