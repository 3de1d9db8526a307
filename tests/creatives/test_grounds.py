"""Packshots: soft shadows belong to the white ground they fall on, as far as they are pale; things do not."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from creatives.engines.filters import LOOKS, Filters
from creatives.grounds import keep_white_ground, white_ground
from creatives.packs import StyleLibrary

DRAWN = ("filters", "palette")


def packshot(side=400, tint=(1.0, 1.0, 1.0), depth=90):
    """A dark box, and under it a soft shadow that is `depth` levels deep."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    inside = ((rows - 0.72) / 0.05) ** 2 + ((columns - 0.5) / 0.25) ** 2 < 1
    shadow = gaussian_filter(inside.astype(float), 0.03 * side)
    picture = 255 - depth * (shadow / shadow.max())[:, :, None] * np.array(tint)
    picture[int(0.25 * side) : int(0.7 * side), int(0.35 * side) : int(0.65 * side)] = (40, 60, 50)
    return picture.round().astype(np.uint8)


@pytest.mark.parametrize("side", [200, 400, 1080])
def test_a_shadow_belongs_to_its_ground_the_less_the_darker_it_is(side):
    ground = white_ground(packshot(side))
    down = ground[int(0.73 * side) :, side // 2]
    assert down[0] < 0.15, "the core of the shadow is the style's"
    assert down[-1] == 1
    assert (np.diff(down) > -0.02).all()
    assert np.abs(np.diff(down)).max() < max(45 / side, 0.06), "nothing bounds it"
    assert not ground[int(0.3 * side) : int(0.6 * side), int(0.4 * side) : int(0.6 * side)].any()


def test_a_shadow_reaches_to_what_casts_it():
    """No line of another tone between the two: the photograph's own levels, but for the share that is the style's."""
    picture = packshot(540, depth=40)
    foot = int(0.7 * 540)
    ground = white_ground(picture)
    assert ground[foot : foot + 8, 250:290].min() > 0.3
    assert not ground[foot - 1, 195:345].any()


@pytest.mark.parametrize(("thing", "level"), [("a box", 225), ("a white box that is a little grey", 238)])
def test_a_pale_thing_with_an_edge_is_no_shadow(thing, level):
    picture = np.full((400, 400, 3), 255, np.uint8)
    picture[100:300, 100:300] = level
    assert not white_ground(picture)[105:295, 105:295].any(), thing


def test_a_pale_colour_is_no_shadow():
    grey, pink = (white_ground(packshot(tint=tint, depth=50))[290, 120] for tint in ((1, 1, 1), (0.2, 1, 1)))
    assert grey > 0.5
    assert pink < 0.1


def test_a_shadow_on_coloured_paper_darkens_the_paper():
    picture = packshot()
    kept = keep_white_ground(picture, np.zeros_like(picture), "#804020")
    assert (kept[5, 5] == (128, 64, 32)).all()
    cover = white_ground(picture)
    half = (cover > 0.4) & (cover < 0.8)
    assert half.sum() > 500
    expected = cover[half][:, None] * picture[half] * np.array([128, 64, 32]) / 255
    assert np.abs(kept[half] - expected).max() <= 1


@pytest.mark.parametrize(
    "pack", [pack.name for pack in StyleLibrary().packs() if pack.engine in ("filters", "palette")]
)
def test_no_look_bounds_a_shadow(pack):
    """Where a shadow is pale, the styled one has no edge and no grain that the photograph has not."""
    picture = packshot(540)
    pale = picture.min(axis=2) >= 228
    pale[:400] = False
    styled = StyleLibrary().resolve(pack).apply(picture, seed=3).astype(float).mean(axis=2)
    assert np.abs(np.diff(styled, axis=0))[pale[1:] & pale[:-1]].max() < 6
    assert np.abs(np.diff(styled, axis=1))[pale[:, 1:] & pale[:, :-1]].max() < 6


@pytest.mark.parametrize("look", ["stained-glass", "mosaic"])
def test_what_is_white_in_a_picture_without_a_white_ground_is_laid_in_pieces_too(look):
    rows, columns = np.mgrid[0:300, 0:300]
    picture = np.full((300, 300, 3), (90, 120, 160), np.uint8)
    sun = (rows - 150) ** 2 + (columns - 150) ** 2 < 80**2
    picture[sun] = 255
    engine = Filters()
    found = engine.apply(picture, engine.check({"look": look}, look), seed=1)
    core = found[110:190, 110:190].mean(axis=2)
    assert core.min() < 225
    assert core.mean() > 150


@pytest.mark.parametrize("look", LOOKS)
def test_thin_strokes_stay(look):
    """Strokes as thin as small print on a label: as dark against their ground, in the mean, as half of before."""
    picture = np.full((540, 540, 3), (235, 228, 210), np.uint8)
    strokes = np.zeros((540, 540), bool)
    for row in range(60, 480, 40):
        strokes[row : row + 18, 60:480][:, ::14] = strokes[row : row + 18, 60:480][:, 1::14] = True
        strokes[row : row + 18, 60:480][:, 2::14] = True
    picture[strokes] = (60, 20, 30)
    between = np.roll(strokes, 7, axis=1) & ~strokes
    engine = Filters()
    found = engine.apply(picture, engine.check({"look": look}, look), seed=1).astype(float).mean(axis=2)
    before = picture[between].mean() - picture[strokes].mean()
    assert abs(found[between].mean() - found[strokes].mean()) > before / 2


def test_a_poster_has_a_colour_for_a_small_red_word():
    rng = np.random.default_rng(0)
    grey = rng.integers(60, 220, (30, 30)).astype(np.uint8)
    picture = np.asarray(Image.fromarray(np.dstack([grey] * 3)).resize((540, 540), Image.Resampling.BICUBIC)).copy()
    picture[250:275, 240:300] = (190, 25, 30)
    engine = Filters()
    found = engine.apply(picture, engine.check({"look": "poster"}, "poster"), seed=1)[255:270, 245:295].astype(float)
    assert (found[..., 0] - found[..., 1]).mean() > 100
