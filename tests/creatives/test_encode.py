"""File weight: under the limit, as good as that allows, nothing in the file but the picture."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from creatives.encode import BEST, TooHeavy, encode, thumbnail
from creatives.errors import CreativeError


def busy(side: int = 300) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2))


@pytest.mark.parametrize("limit", [10_000, 16_000, 20_000, 50_000])
def test_the_file_is_under_the_limit_and_the_next_quality_would_not_be(limit: int) -> None:
    encoded = encode(busy(), limit)
    assert len(encoded.data) <= limit
    assert encoded.extension == "jpg"
    assert encoded.quality is not None
    if encoded.quality < BEST:
        # Not far below: the search found the edge, it did not merely get under.
        assert len(encoded.data) > 0.85 * limit
    assert encode(busy(), limit) == encoded


def test_text_keeps_its_colour_as_long_as_the_weight_allows() -> None:
    with Image.open(BytesIO(encode(busy(), 50_000).data)) as fine:
        assert fine.layer[1][1:3] == (1, 1)  # Cb sampled 1x1: 4:4:4
    with Image.open(BytesIO(encode(busy(), 9_000).data)) as coarse:
        assert coarse.layer[0][1:3] == (2, 2)


def test_what_cannot_be_made_light_is_refused() -> None:
    with pytest.raises(TooHeavy, match="300x300: cannot be brought under 1 KB"):
        encode(busy(), 1_000)


def test_flat_pictures_become_png() -> None:
    flat = Image.new("RGB", (300, 250), (20, 40, 60))
    flat.paste((250, 200, 50), (40, 40, 140, 80))
    encoded = encode(flat, 150_000)
    assert (encoded.extension, encoded.quality) == ("png", None)
    with Image.open(BytesIO(encoded.data)) as image:
        assert image.convert("RGB").tobytes() == flat.tobytes()


def test_nothing_but_the_picture_is_in_the_file() -> None:
    image = busy()
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    image.info |= {"exif": exif.tobytes(), "icc_profile": b"profile", "comment": b"a secret"}
    data = encode(image, 150_000).data
    assert b"secret" not in data
    with Image.open(BytesIO(data)) as image:
        assert not image.getexif()
        assert "icc_profile" not in image.info
        assert (image.mode, image.info.get("progressive")) == ("RGB", 1)


def test_thumbnails_are_small_and_keep_their_shape(tmp_path: Path) -> None:
    path = tmp_path / "ad.png"
    busy(400).crop((0, 0, 400, 100)).save(path)
    with Image.open(BytesIO(thumbnail(path, 120))) as image:
        assert image.format == "WEBP"
        assert image.size == (120, 30)
    (tmp_path / "ad.jpg").write_bytes(b"no picture")
    with pytest.raises(CreativeError, match=r"ad\.jpg"):
        thumbnail(tmp_path / "ad.jpg", 120)
