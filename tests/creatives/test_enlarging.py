"""Large pictures are drawn small: at which size, and what becomes of their detail."""

import numpy as np
import pytest

from creatives.colour import to_float
from creatives.engines.drawn import Drawn
from creatives.enlarging import DRAWN_SIDE, drawn_size, enlarged, to_draw
from creatives.keeping import keep_calm


@pytest.mark.parametrize(
    ("size", "drawn"),
    [
        ((1, 1), (1, 1)),
        ((250, 3000), (250, 3000)),
        ((DRAWN_SIDE, DRAWN_SIDE), (DRAWN_SIDE, DRAWN_SIDE)),
        ((1080, 1080), (640, 640)),
        ((853, 1280), (640, 960)),
        ((4096, 3000), (2048, 1500)),
    ],
)
def test_pictures_are_drawn_with_so_many_pixels(size, drawn):
    assert drawn_size(*size) == drawn


def test_what_is_not_too_large_is_drawn_as_it_is():
    picture = np.random.default_rng(1).random((60, 900, 3), np.float32)
    assert to_draw(picture) is picture
    assert enlarged(picture, picture, picture) is picture


def test_what_a_drawing_leaves_alone_is_the_photograph_to_the_last_pixel():
    picture = np.random.default_rng(2).random((700, 810, 3), np.float32)
    drawn = to_draw(picture)
    assert drawn.shape == (640, 741, 3)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert np.array_equal(enlarged(drawn, drawn, picture), picture)


def test_strokes_grow_and_hairlines_stay():
    """A band that is drawn darker is as wide beside the picture as it was; lines of one pixel run through it."""
    picture = np.full((1280, 1300, 3), 0.8, np.float32)
    picture[:, ::20] = 0.2
    drawing = to_draw(picture).copy()
    drawing[200:300] -= 0.1
    found = enlarged(drawing, to_draw(picture), picture) - picture
    assert np.abs(found[420:580] + 0.1).max() < 1e-5
    assert np.abs(found[:380]).max() < 1e-5
    assert np.abs(found[620:]).max() < 1e-5


def test_a_drawing_is_calmed_for_the_size_that_it_will_have():
    rgb = np.random.default_rng(3).integers(105, 145, (800, 800, 3), np.uint8)
    drawn = to_draw(to_float(rgb))
    mesh = 0.4 * np.random.default_rng(4).random(drawn.shape, np.float32)
    found = Drawn(white_ground=False).finished(rgb, to_float(rgb), drawn + mesh, drawn)
    calmed = enlarged(keep_calm(drawn, drawn + mesh, 800), drawn, to_float(rgb))
    assert np.abs(found - np.clip(calmed, 0, 1) * 255).max() < 1
    loud = enlarged(keep_calm(drawn, drawn + mesh), drawn, to_float(rgb))
    assert np.abs(found - np.clip(loud, 0, 1) * 255).max() > 4
