"""What a picture's file holds under transparency is nobody's business: no style learns or takes after it."""

import numpy as np
import pytest
from PIL import Image

from creatives.engines.drawn import pack_picture
from creatives.engines.optimise import Optimisation
from creatives.likenesses import style_of_picture
from creatives.pictures import Picture, on_ground

pytest.importorskip("torch")
from creatives.training.base import style_tensor
from creatives.training.photographs import read_photographs

SIDE = 64


@pytest.fixture
def hidden(tmp_path):
    """A red square in the middle, and neon green that nobody sees around it."""
    pixels = np.full((SIDE, SIDE, 4), (0, 255, 0, 0), np.uint8)
    pixels[16:48, 16:48] = (200, 30, 20, 255)
    (tmp_path / "photographs").mkdir()
    Image.fromarray(pixels, "RGBA").save(tmp_path / "photographs" / "hidden.png")
    return tmp_path / "photographs" / "hidden.png"


def is_seen(rgb):
    """Red on white, and no green."""
    return rgb.shape[2] == 3 and (rgb[:12] == 255).all() and np.array_equal(rgb[32, 32], (200, 30, 20))


def test_a_picture_is_laid_on_its_ground():
    picture = Picture(np.full((1, 3, 3), (0, 255, 0), np.uint8), np.array([[0, 128, 255]], np.uint8))
    assert on_ground(picture)[0].tolist() == [[255, 255, 255], [127, 255, 127], [0, 255, 0]]
    assert on_ground(picture, (10, 20, 30))[0, 0].tolist() == [10, 20, 30]
    assert on_ground(Picture(picture.rgb)) is picture.rgb


def test_a_style_of_one_picture_takes_after_what_is_seen(hidden, tmp_path, monkeypatch):
    monkeypatch.setattr("creatives.likenesses.preview_of", lambda _pack: Image.new("RGB", (8, 8)))
    pack = style_of_picture(hidden, tmp_path, name="seen", look="The colours of a test.", author="us")
    with Image.open(pack.folder / "style.webp") as kept:
        assert is_seen(np.asarray(kept))
    assert is_seen(pack_picture(pack.folder / "style.webp", pack.parameters["picture_sha256"]))


def test_a_pack_s_picture_is_seen_as_it_is_shown(hidden):
    import hashlib

    digest = hashlib.sha256(hidden.read_bytes()).hexdigest()
    assert Optimisation(picture="hidden.png", picture_sha256=digest)
    assert is_seen(pack_picture(hidden, digest))


def test_training_sees_what_people_see(hidden):
    assert is_seen((style_tensor(hidden)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    assert is_seen(read_photographs(hidden.parent).training[0])
