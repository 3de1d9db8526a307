"""The quality gate's floors, held against real photographs."""

from pathlib import Path

import numpy as np
import pytest
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from creatives.errors import CreativeError
from creatives.quality import (
    DISTINCT,
    RECOGNISABLE,
    GateResult,
    difference,
    fingerprint,
    judge_file,
    judge_layer,
    judge_logo,
    likeness,
    near_duplicates,
    sound_layer,
)

Pixels = NDArray[np.uint8]
NAMES = ("coffee.png", "motorcycle_left.png", "chelsea.png", "astronaut.png", "rocket.jpg")


def photographs() -> list[Pixels]:
    folder = Path(skimage.data_dir)
    return [np.asarray(Image.open(folder / name).convert("RGB").resize((600, 400))) for name in NAMES]


def edited(rgb: Pixels, how: object) -> Pixels:
    return np.asarray(how(Image.fromarray(rgb)).convert("RGB"))  # type: ignore[operator]


STRONG_LOOKS = {
    "poster": lambda image: ImageOps.posterize(image, 2),
    "negative": ImageOps.invert,
    "duotone": lambda image: ImageOps.colorize(image.convert("L"), "#1b1464", "#ffd6a5"),
    "linocut": lambda image: image.convert("L").point(lambda value: 255 * (value > 110)),
    "soft": lambda image: image.filter(ImageFilter.GaussianBlur(5)),
    "grain": lambda image: Image.fromarray(
        np.clip(np.asarray(image) + np.random.default_rng(1).normal(0, 60, (400, 600, 3)), 0, 255).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("look", STRONG_LOOKS)
def test_strong_looks_keep_the_product_recognisable(look: str) -> None:
    for picture in photographs():
        assert judge_layer(likeness(picture, edited(picture, STRONG_LOOKS[look]))) == ()


def test_another_picture_or_none_is_not_the_product() -> None:
    pictures = photographs()
    noise = np.random.default_rng(1).integers(0, 256, pictures[0].shape, np.uint8)
    for number, picture in enumerate(pictures):
        for other in (pictures[number - 1], noise, np.full_like(picture, 128), picture[::-1, ::-1].copy()):
            (finding,) = judge_layer(likeness(picture, other))
            assert finding.code == "not_recognisable"
            assert finding.parameters["floor"] == RECOGNISABLE
    assert likeness(pictures[0], pictures[0]) > 0.95
    assert likeness(np.zeros((40, 60, 3), np.uint8), pictures[0][:40, :60]) == 0.0


def test_looks_are_told_apart_and_doubles_are_found() -> None:
    picture = photographs()[0]
    brighter = np.clip(picture * 1.02, 0, 255).astype(np.uint8)
    arms = {
        "original": picture,
        "poster": edited(picture, STRONG_LOOKS["poster"]),
        "faint": brighter,
        "duotone": edited(picture, STRONG_LOOKS["duotone"]),
    }
    found = near_duplicates({arm: fingerprint(rgb) for arm, rgb in arms.items()})
    assert set(found) == {"faint"}
    assert found["faint"].parameters["of"] == "original"


def test_textures_of_the_same_colours_are_told_apart() -> None:
    smooth = np.full((400, 600, 3), 128, np.uint8)
    coarse = np.kron(np.random.default_rng(2).choice([78, 178], (100, 150)), np.ones((4, 4)))
    coarse_rgb = np.repeat(coarse[..., None], 3, axis=-1).astype(np.uint8)
    assert difference(fingerprint(smooth), fingerprint(coarse_rgb)) > DISTINCT
    assert difference(fingerprint(smooth), fingerprint(smooth)) == 0


def test_files_are_judged_by_contrast_and_weight() -> None:
    assert judge_file({"headline": 4.5}, 100, 100) == ()
    findings = judge_file({"headline": 4.4, "legal": float("nan")}, 101, 100)
    assert [finding.code for finding in findings] == ["low_contrast", "low_contrast", "too_heavy"]
    assert findings[-1].parameters == {"bytes": 101, "limit": 100}
    assert GateResult.of(findings) == GateResult(ok=False, findings=findings)
    assert GateResult.of([]).ok


def test_a_logo_that_cannot_be_seen_is_told_by_name() -> None:
    assert judge_logo(None) == judge_logo(1.5) == ()
    (finding,) = judge_logo(1.49)
    assert (finding.code, finding.parameters) == ("faint_logo", {"ratio": 1.49, "floor": 1.5})
    assert str(finding) == "faint_logo (ratio 1.49, floor 1.5)"


def test_an_engine_s_result_is_checked() -> None:
    shape = (4, 6, 3)
    good = np.ones(shape, np.uint8)
    assert sound_layer(good, shape, "ink")[0] is good
    broken = np.full(shape, 300.0)
    broken[0, 0] = np.nan
    pixels, (finding,) = sound_layer(broken, shape, "ink")
    assert (pixels[0, 0, 0], pixels[1, 1, 1]) == (0, 255)
    assert finding.code == "not_finite"
    for wrong in (np.ones((4, 5, 3), np.uint8), np.ones(shape, complex)):
        with pytest.raises(CreativeError, match="style ink returned"):
            sound_layer(wrong, shape, "ink")
