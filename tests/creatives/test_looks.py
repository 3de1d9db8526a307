"""Looks that are drawn without weights: what holds of every one, and how pictures are cut into pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from creatives.brushes import flattened, intricate, kuwahara
from creatives.colour import luma, parse_hex
from creatives.engines.filters import LOOKS, Filters
from creatives.looks import pieces, tiles
from creatives.looks.pieces import cells_of, cut, joined, mean_of, round_pieces, seams, square_pieces

ENGINE = Filters()
PHOTOGRAPH = data.chelsea()[::2, ::2]


def drawn(picture, look, seed=1):
    return ENGINE.apply(picture, ENGINE.check({"look": look}, look), seed=seed)


@pytest.mark.parametrize("look", LOOKS)
def test_white_is_the_looks_own_paper_and_clean(look):
    white = drawn(np.full((120, 160, 3), 255, dtype=np.uint8), look)
    paper = parse_hex(ENGINE.paper(ENGINE.check({"look": look}, look))) * 255
    assert np.abs(white.astype(float).mean(axis=(0, 1)) - paper).max() < 3
    assert white.std(axis=(0, 1)).max() < 3


@pytest.mark.parametrize("look", LOOKS)
def test_a_photograph_is_drawn_the_same_again_in_its_own_size_and_changed(look):
    found = drawn(PHOTOGRAPH, look)
    assert (found.shape, found.dtype) == (PHOTOGRAPH.shape, np.uint8)
    assert np.array_equal(found, drawn(PHOTOGRAPH, look))
    assert np.abs(found.astype(float) - PHOTOGRAPH).mean() > 8


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (61, 7)])
def test_pictures_of_any_shape_are_drawn(look, shape):
    assert drawn(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8), look).shape == (*shape, 3)


@pytest.mark.parametrize("look", ["stained-glass", "mosaic"])
def test_pieces_are_as_large_in_a_large_picture(look):
    """Enlarged and drawn, then made small again: nearly what is drawn of the small one."""
    coffee = Image.fromarray(data.coffee())
    large = drawn(np.asarray(coffee.resize((1200, 800), Image.Resampling.BICUBIC)), look)
    small = large.reshape(400, 2, 600, 2, 3).mean(axis=(1, 3))
    found = drawn(np.asarray(coffee), look)
    assert np.abs(small.mean(axis=(0, 1)) - found.mean(axis=(0, 1))).max() < 6
    assert abs(small.std() - found.std()) < 6


def test_a_label_is_painted_on_few_pieces_of_glass(monkeypatch):
    """Five lines of lettering: lead runs along its edge and hardly through it."""
    page = Image.new("RGB", (540, 540), (205, 190, 160))
    lines = ("ORANGE MARMALADE", "with cut peel and", "a spoon of whisky", "made by hand in", "small copper pans")
    for number, line in enumerate(lines):
        place = (43, 162 + 65 * number)
        ImageDraw.Draw(page).text(place, line, fill=(60, 40, 30), font=ImageFont.load_default(50))
    letters, lead = np.asarray(page)[:, :, 0] < 100, []
    monkeypatch.setattr(tiles, "seams", lambda *given: lead.append(seams(*given)) or lead[-1])
    drawn(np.asarray(page), "stained-glass")
    assert (lead[0][letters] > 0.5).mean() < 0.02


def test_no_piece_holds_two_colours_that_differ():
    """A slanted edge: every piece lies on one side of it."""
    rows, columns = np.mgrid[0:120, 0:160]
    side = columns > 60 + rows // 3
    colour = np.where(side[:, :, None], [0.9, 0.1, 0.1], [0.3, -0.1, 0.05]).astype(np.float32)
    labels = cut(colour, 20, 6, round_pieces, np.random.default_rng(3))
    share = mean_of(side[:, :, None].astype(np.float32), labels, 48)[np.unique(labels)]
    assert np.all((share < 0.03) | (share > 0.97))


def test_each_pixel_is_in_the_piece_whose_seed_is_nearest_of_all():
    rng = np.random.default_rng(0)
    colour = rng.random((90, 120, 3), dtype=np.float32)
    seeds = pieces._sown(colour, 15, 0, np.random.default_rng(2))
    labels = cut(colour, 15, 0.5, round_pieces, np.random.default_rng(2), rounds=0)
    rows, columns = np.mgrid[0:90, 0:120].astype(np.float32)
    away = np.square(rows[..., None] - seeds.row) + np.square(columns[..., None] - seeds.column)
    shades = np.square(colour[:, :, None] - seeds.colour).sum(axis=3)
    assert ((away / 15**2 + 0.25 * shades).argmin(axis=2) == labels).mean() > 0.998, "a few are two cells away"


def test_some_cells_may_have_no_seed():
    still = np.zeros((200, 200, 3), dtype=np.float32)
    labels = cut(still, 20, 0, round_pieces, np.random.default_rng(1), bare=0.4)
    assert 45 <= len(np.unique(labels)) <= 75, "of a hundred"


def test_square_pieces_lie_along_their_angle():
    one = np.ones((1, 1), dtype=np.float32)
    none = np.zeros((1, 1), dtype=np.intp)
    for angle, far in ((0, 1), (np.pi / 4, 2), (np.pi / 2, 1)):
        assert square_pieces(np.array([angle], dtype=np.float32))(one, one, none)[0, 0] == pytest.approx(far, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_means_are_those_of_each_piece_by_itself(count, seed):
    rng = np.random.default_rng(seed)
    labels, values = rng.integers(0, count, (5, 4)), rng.random((5, 4, 2), dtype=np.float32)
    found = mean_of(values, labels, count)
    for piece in range(count):
        own = values[labels == piece]
        assert found[piece] == pytest.approx(own.mean(axis=0) if len(own) else np.zeros(2), rel=1e-5)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_seams_are_as_thick_as_asked(width):
    labels = np.repeat((np.arange(80) >= 40).astype(np.intp)[None], 30, axis=0)
    line = seams(labels, width)[15]
    assert line[40] == 1
    assert line.sum() == pytest.approx(width, rel=0.25)
    assert line[: 40 - 2 * width].max() == line[41 + 2 * width :].max() == 0


def test_the_grid_has_a_cell_however_small_the_picture():
    assert cells_of((3, 500), 50) == (1, 10)


def test_flattening_keeps_what_its_window_would_lose():
    rng = np.random.default_rng(3)
    picture = np.clip(0.8 + rng.normal(0, 0.02, (200, 200, 3)), 0, 1).astype(np.float32)
    picture[60:140, 100:103] = 0.1
    windows, found = kuwahara(picture, luma(picture), 15), flattened(picture, luma(picture), 15)
    stroke, calm = np.s_[70:130, 101], np.s_[20:180, 20:60]
    assert np.abs(windows[stroke] - 0.1).min() > 0.2, "the window loses the stroke"
    assert np.abs(found[stroke] - 0.1).max() < 0.05
    assert np.allclose(found[calm], windows[calm], atol=0.01)
    assert found[calm].std() < picture[calm].std() / 3


def test_pieces_under_a_fine_drawing_become_one_unless_their_colours_differ():
    """A row of four pieces; the drawing runs over the first three, of which the third is of another colour."""
    labels = np.repeat(np.arange(4), 10)[None].repeat(20, axis=0)
    colours = np.float32([(0.50, 0, 0), (0.52, 0, 0), (0.80, 0, 0), (0.80, 0, 0)])
    fine = np.zeros((20, 40), np.float32)
    fine[:, :30] = 1
    found = joined(labels, colours, fine, most=9)
    assert list(found[0, ::10]) == [0, 0, 2, 3]
    assert (joined(labels, colours, np.zeros_like(fine), most=9) == labels).all()


def test_no_more_pieces_become_one_than_may():
    labels = np.arange(144).reshape(12, 12).repeat(5, axis=0).repeat(5, axis=1)
    found = joined(labels, np.full((144, 3), 0.5, np.float32), np.ones((60, 60), np.float32), most=6)
    sizes = np.bincount(found.ravel()) / 25
    assert sizes.max() == 6
    assert (sizes > 0).sum() < 60


def test_a_face_is_intricate_and_leaves_and_lone_contours_are_not():
    rng = np.random.default_rng(4)
    still, leaves = np.full((1080, 1080), 0.5, np.float32), rng.uniform(0.3, 0.7, (1080, 1080)).astype(np.float32)
    face, contour = still.copy(), still.copy()
    face[450:630, 450:630] = leaves[450:630, 450:630]
    contour[:, 540:543] = 0.9
    assert intricate(face, still, 1.0)[500:580, 500:580].min() > 0.9
    assert intricate(face, still, 1.0)[:300].max() < 0.01
    assert intricate(contour, still, 1.0).max() < 0.1
    assert intricate(leaves, still, 1.0)[300:780, 300:780].max() < 0.1
