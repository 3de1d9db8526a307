"""Contact sheets: every look on every photograph, every name to be read."""

from dataclasses import dataclass

import numpy as np
import pytest

from creatives.checks import sample_scene
from creatives.fonts import fitting
from creatives.pictures import WORKING_SIDE, Picture
from creatives.sheet import GAP, SEAM, contact_sheet


@dataclass(frozen=True)
class Toned:
    reference: str
    tone: tuple[int, int, int]

    def apply(self, rgb, *, seed):  # noqa: ARG002 - the same whatever the dice
        return np.broadcast_to(np.array(self.tone, np.uint8), rgb.shape).copy()


LOOKS = [Toned("red", (255, 0, 0)), Toned("green", (0, 255, 0)), Toned("blue", (0, 0, 255))]


def tones(sheet):
    """Colour -> columns and rows where it begins."""
    pixels = np.asarray(sheet)
    return {look.reference: np.argwhere((pixels == look.tone).all(axis=2)) for look in LOOKS}


def test_several_photographs_stand_in_a_row_for_each_look():
    pictures = [Picture(sample_scene(60, 80)), Picture(sample_scene(80, 60))]
    sheet = contact_sheet(LOOKS, pictures, tile=80)
    assert sheet.width == 80 + 45 + SEAM + 2 * GAP
    found = tones(sheet)
    assert [len(places) for places in found.values()] == [(80 + 45) * 60] * 3, "both are as high as the flatter one"
    tops = [places[:, 0].min() for places in found.values()]
    assert tops == sorted(tops)
    assert len(set(np.diff(tops))) == 1


def test_one_photograph_fills_rows_of_looks():
    sheet = contact_sheet(LOOKS, [Picture(sample_scene(60, 80))], tile=80, columns=2)
    found = tones(sheet)
    assert found["red"][:, 0].min() == found["green"][:, 0].min() < found["blue"][:, 0].min()
    assert found["red"][:, 1].min() == found["blue"][:, 1].min() < found["green"][:, 1].min()


def test_looks_on_several_photographs_stand_side_by_side_where_asked():
    pictures = [Picture(sample_scene(60, 80)), Picture(sample_scene(80, 60))]
    found = tones(contact_sheet(LOOKS, pictures, tile=80, columns=2))
    assert found["red"][:, 0].min() == found["green"][:, 0].min() < found["blue"][:, 0].min()
    assert found["green"][:, 1].min() - found["red"][:, 1].min() == 80 + 45 + SEAM + GAP


def test_photographs_are_styled_at_the_size_of_an_advertisement():
    seen = []

    class Watched(Toned):
        def apply(self, rgb, *, seed):
            seen.append(rgb.shape)
            return super().apply(rgb, seed=seed)

    contact_sheet(
        [Watched("red", (255, 0, 0))], [Picture(sample_scene(1200, 1600)), Picture(sample_scene(60, 80))], tile=80
    )
    assert seen == [(WORKING_SIDE * 3 // 4, WORKING_SIDE, 3)] * 2, "as they are in advertisements"


@pytest.mark.parametrize("name", ["ink", "a-very-long-name-of-a-style-that-nobody-would-choose@0.75"])
def test_names_go_into_their_room(name):
    assert fitting(name, "SemiBold", 30, 500).getlength(name) <= 500


def test_a_cut_out_stands_on_paper():
    clear = Picture(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8))

    class Same(Toned):
        def apply(self, rgb, *, seed):  # noqa: ARG002 - the same whatever the dice
            return rgb

    sheet = np.asarray(contact_sheet([Same("same", (0, 0, 0))], [clear, clear], tile=40))
    assert (sheet[-40 - GAP : -GAP] == 255).all()
