"""What stays of a photograph under a style's strokes: its calm."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from creatives import keeping
from creatives.fonts import load_face
from creatives.keeping import keep_calm


def scene(side=300, noise=0.15):
    """Sky above, with little in it; below, what is busy."""
    rng = np.random.default_rng(5)
    rows = np.mgrid[0:side, 0:side][0] / side
    picture = np.repeat((0.6 + 0.2 * rows)[:, :, None], 3, axis=2)
    picture[side // 2 :] += rng.normal(0, noise, (side - side // 2, side, 3))
    return np.clip(picture, 0, 1).astype(np.float32)


def meshed(picture):
    """Other colours, under a mesh of the network's."""
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    mesh = 0.08 * np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4)
    return (picture * (0.9, 0.5, 0.3) + 0.1 + mesh[:, :, None]).astype(np.float32)


def test_a_flat_sky_takes_colours_and_no_mesh():
    picture = scene()
    styled = meshed(picture)
    found, sky = keep_calm(picture, styled), np.s_[24:96, 16:288]  # whole periods of the mesh
    across = np.s_[10:100, 100:200]
    assert styled[across].std(axis=1).mean() > 0.03
    assert found[across].std(axis=1).mean() < 0.004
    assert np.abs(found[sky].mean(axis=(0, 1)) - styled[sky].mean(axis=(0, 1))).max() < 0.005


@pytest.mark.parametrize(("noise", "moved"), [(0.15, 0.005), (0.3, 1e-6)])
def test_what_is_busy_is_the_styles(noise, moved):
    """In little noise a few places are even by chance, and their colours move a little."""
    picture = scene(noise=noise)
    styled = meshed(picture)
    assert np.abs(keep_calm(picture, styled)[190:] - styled[190:]).max() < moved


def test_faint_detail_of_the_photograph_is_its_own():
    picture = scene()
    picture[60, 50:250] += 0.02
    found = keep_calm(picture, meshed(picture))
    step = (found[60] - (found[57] + found[63]) / 2)[80:220]
    assert np.abs(step.mean() - 0.02) < 0.008


def labels():
    """Two cream labels and a blue one on a dark shelf; and the same as a network paints them: each as it likes."""
    picture = np.full((160, 460, 3), 0.1, np.float32)
    left, middle, right = places = [np.s_[20:140, start : start + 120] for start in (20, 170, 320)]
    picture[left] = picture[middle] = (0.95, 0.9, 0.8)
    picture[right] = (0.2, 0.3, 0.9)
    styled = picture * 0.8
    rows, columns = np.mgrid[-1:1:120j, -1:1:120j]
    rim = np.maximum(np.abs(rows), np.abs(columns))[:, :, None] ** 4
    styled[left] = rim * (0.9, 0.8, 0.5) + (1 - rim) * (0.5, 0.2, 0.1)
    styled[middle] = (0.85, 0.75, 0.5)
    styled[right] = (0.1, 0.5, 0.7)
    return (
        picture,
        styled.astype(np.float32),
        [np.s_[each[0].start + 4 : 136, each[1].start + 4 : each[1].stop - 4] for each in places],
    )


def test_one_colour_of_a_photograph_has_one_in_the_style_wherever_it_lies():
    picture, styled, (left, middle, right) = labels()
    found = keep_calm(picture, styled)
    assert styled[left].std(axis=(0, 1)).min() > 0.08
    assert found[left].std(axis=(0, 1)).max() < 0.01
    assert np.abs(found[left].mean(axis=(0, 1)) - found[middle].mean(axis=(0, 1))).max() < 0.005
    assert np.abs(found[right].mean(axis=(0, 1)) - styled[right].mean(axis=(0, 1))).max() < 0.03


def test_of_what_a_style_makes_of_a_colour_the_likest_in_lightness_counts_most():
    picture, styled, (left, middle, _) = labels()
    found, both = keep_calm(picture, styled)[left].mean(), (styled[left].mean() + styled[middle].mean()) / 2
    assert both + 0.05 < found < styled[middle].mean() + 0.01


def test_lettering_takes_the_colour_of_its_ground_and_keeps_its_marks():
    """The network paints dark around small print, with a mesh: the paper there becomes as pale as elsewhere."""
    picture = np.full((600, 700, 3), 0.9, np.float32)
    for left in range(220, 480, 16):
        picture[294:306, left : left + 6] = 0.1
    styled = meshed(picture)
    styled[270:330, 200:500] -= 0.25
    found = keep_calm(picture, styled)
    paper, letters, blank = np.s_[294:306, 231:235], np.s_[296:304, 222:224], np.s_[40:200]
    assert styled[blank].mean() - styled[paper].mean() > 0.2
    assert abs(found[blank].mean() - found[paper].mean()) < 0.05
    assert found[paper].mean() - found[letters].mean() > 0.3
    assert found[paper].std(axis=(0, 1)).min() > 3 * found[blank].std(axis=(0, 1)).max()


@pytest.mark.parametrize(("side", "least", "most"), [(1080, 0.5, 0.85), (540, 0.95, 1.1)])
def test_lettering_is_mostly_drawn_as_it_was(side, least, most):
    """A network doubles small print: less of that is left, nearly all at the size that networks have learned on.

    (What it is measured by includes the paper's colour, which becomes the doubled print's in the mean.)
    """
    picture = np.full((side, side, 3), 0.9, np.float32)
    for column in range(100, side - 100, 16):
        picture[294:306, column : column + 6] = 0.1
    styled = picture.copy()
    styled[297:309] = np.minimum(styled[297:309], np.roll(picture, (3, 4), axis=(0, 1))[297:309])
    inside = np.s_[285:315, 120 : side - 120]
    wrong, found = (np.abs(each - picture)[inside].mean() for each in (styled, keep_calm(picture, styled)))
    assert least < found / wrong < most


@pytest.mark.parametrize("size", [22, 30])
def test_a_line_of_a_label_has_one_colour_throughout(size):
    """A network draws a word of it paler than the others."""
    page = Image.new("L", (760, 640), 230)
    face = load_face("sans", "ExtraBold", size)
    ImageDraw.Draw(page).text((100, 300), "Extra virgin, cold pressed, and more", font=face, fill=25)
    picture = np.repeat(np.asarray(page, np.float32)[:, :, None] / 255, 3, axis=2)
    styled, word = picture.copy(), np.s_[290:350, 300:370]
    styled[word] = 0.5 + 0.45 * styled[word]
    found = keep_calm(picture, styled, 810)
    pale, mended, usual = (
        each[where][picture[where] < 0.3].mean()
        for each, where in ((styled, word), (found, word), (found, np.s_[290:350, 110:280]))
    )
    assert pale > 0.5
    assert abs(mended - usual) < 0.1


@pytest.mark.parametrize(("side", "times"), [(1080, 1.3), (400, 4.6)])
def test_fine_marks_are_no_louder_than_what_they_are_to_show(side, times):
    """Soft hair, neither flat nor sharp: a mesh over it is toned down, in pictures larger than what is learned on."""
    rows, columns = np.mgrid[0:side, 0 : max(side, 400)]
    hair = 0.5 + 0.06 * np.sin(rows * np.pi / 6)
    mesh = 0.4 * np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4)
    picture, styled = (np.dstack([each] * 3).astype(np.float32) for each in (hair, hair + mesh))
    middle = np.s_[100:300, 100:300]
    found = keep_calm(picture, styled)[middle].std() / picture[middle].std()
    assert styled[middle].std() > 4.5 * picture[middle].std()
    assert times * 0.7 < found < times * 1.25


def test_what_is_to_be_enlarged_has_fewer_marks():
    """They will be larger, too: on hair, and on lettering."""
    picture = np.full((640, 700, 3), 0.9, np.float32)
    for column in range(100, 600, 16):
        picture[204:216, column : column + 6] = 0.1
    rows, columns = np.mgrid[0:640, 0:700]
    picture[400:] = (0.5 + 0.06 * np.sin(rows * np.pi / 6))[400:, :, None]
    doubled, mesh = np.roll(picture, (3, 4), axis=(0, 1)), 0.4 * np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4)
    styled = np.minimum(picture, doubled)
    styled[400:] = (picture + mesh[:, :, None])[400:]
    as_it_is, larger = (np.abs(keep_calm(picture, styled, side) - picture) for side in (None, 1080))
    for where, less in ((np.s_[195:225, 120:580], 0.75), (np.s_[440:600, 50:650], 0.5)):
        assert larger[where].mean() < less * as_it_is[where].mean()
    assert np.array_equal(keep_calm(picture, styled, 640), keep_calm(picture, styled))


@pytest.mark.parametrize("side", [1, 5, 38, 39, 300])
def test_a_photograph_that_no_style_has_changed_stays_as_it_is(side):
    picture = scene(300)[:side, : max(side, 2)]
    found = keep_calm(picture, picture.copy())
    assert found.shape == picture.shape
    assert np.abs(found - picture).max() < 1e-6


def test_between_letters_is_no_mesh_and_letters_keep_their_edges():
    """Bars like those of letters, 16 pixels apart: the paper between them takes colours alone, right up to the bars."""
    picture = np.full((120, 240, 3), 0.9, np.float32)
    bars = [np.s_[20:100, left : left + 8] for left in range(60, 180, 24)]
    for bar in bars:
        picture[bar] = 0.1
    styled = meshed(picture)
    found, gap = keep_calm(picture, styled), np.s_[40:80, 72:80]
    assert styled[gap].std(axis=(0, 1)).min() > 0.03
    assert found[gap].std(axis=(0, 1)).max() < 0.006
    assert np.abs(found[gap].mean(axis=(0, 1)) - styled[gap].mean(axis=(0, 1))).max() < 0.02
    paper, ink = found[40:80, 75:77].mean(), found[40:80, 63:65].mean()
    assert paper - ink > 0.9 * (styled[40:80, 75:77].mean() - styled[40:80, 63:65].mean())


def test_ground_begins_and_ends_softly():
    """Skin is flat in one place and not in the next; where it took other colours, it would have specks."""
    rng = np.random.default_rng(5)
    patches = np.kron(rng.integers(0, 2, (40, 40)), np.ones((8, 8)))
    skin = 0.7 + rng.normal(0, 1, (320, 320)) * (4 + 16 * patches) / 255
    _, ground, _ = keeping._flat_ground(np.repeat(skin[:, :, None], 3, axis=2).astype(np.float32), 640, 1.3)
    assert ground.std() > 0.1
    assert max(np.abs(np.diff(ground, axis=axis)).max() for axis in (0, 1)) < 0.25
