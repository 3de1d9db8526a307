"""Pictures people hand in: read as they are meant, or refused in one line that names the file."""

import io
import os
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from creatives.errors import CreativeError
from creatives.pictures import Limits, PictureError, load_photograph, load_picture

TURNS = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: np.rot90,
}


def pixels(height: int = 12, width: int = 20) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=2).astype(np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, raw: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


DEFAULT = Limits()


def refusal(path: Path, limits: Limits = DEFAULT) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(CreativeError) as caught:
        load_picture(path, limits)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels()).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(load_picture(tmp_path / "turned.png").rgb, TURNS[orientation](pixels()))


def test_alpha_is_turned_with_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = pixels()[:, :, 0]
    Image.fromarray(np.dstack([pixels(), alpha])).save(tmp_path / "cut.png", exif=exif)
    picture = load_picture(tmp_path / "cut.png")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, np.rot90(alpha, -1))


def test_a_damaged_exif_block_does_no_harm(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "photo.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert load_picture(tmp_path / "photo.jpg").rgb.shape == (48, 64, 3)


def linear_rgb_profile() -> bytes:
    """A matrix profile with sRGB's primaries and gamma 1, written out by hand: what it must do is known."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(fixed(value) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    text = b"desc\0\0\0\0" + struct.pack(">I", 7) + b"linear\0" + b"\0" * 78
    tags = [
        (b"desc", text + b"\0" * (-len(text) % 4)),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
        (b"wtpt", xyz(0.9642, 1.0, 0.8249)),
        (b"rXYZ", xyz(0.4360, 0.2225, 0.0139)),
        (b"gXYZ", xyz(0.3851, 0.7169, 0.0971)),
        (b"bXYZ", xyz(0.1431, 0.0606, 0.7141)),
        *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags:
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    header = bytearray(128)
    header[0:4] = struct.pack(">I", start + len(body))
    header[8:12] = bytes([2, 0x10, 0, 0])
    header[12:24] = b"mntrRGB XYZ "
    header[36:40] = b"acsp"
    header[68:80] = fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return bytes(header) + table + body


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "with alpha"])
def test_an_embedded_profile_is_converted_to_srgb(tmp_path: Path, alpha: bool) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.dstack([ramp] * 3 + ([np.full_like(ramp, 128)] if alpha else []))
    Image.fromarray(picture).save(tmp_path / "linear.png", icc_profile=linear_rgb_profile())
    linear = ramp / 255
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(load_picture(tmp_path / "linear.png").rgb - expected[:, :, None]).max() <= 2


def test_srgb_and_broken_profiles_change_nothing(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("srgb", srgb), ("broken", b"no profile at all"), ("cut", srgb[:200])):
        Image.fromarray(smooth()).save(tmp_path / f"{name}.png", icc_profile=profile)
        assert np.abs(load_picture(tmp_path / f"{name}.png").rgb.astype(int) - smooth()).max() <= 1, name


def test_alpha_is_kept_apart_and_the_colour_below_it_is_left_alone(tmp_path: Path) -> None:
    alpha = pixels()[:, :, 1]
    Image.fromarray(np.dstack([pixels(), alpha])).save(tmp_path / "cut.png")
    picture = load_picture(tmp_path / "cut.png")
    assert np.array_equal(picture.rgb, pixels())
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha)


def test_grey_with_alpha_keeps_both(tmp_path: Path) -> None:
    grey, alpha = pixels()[:, :, 0], pixels()[:, :, 1]
    Image.fromarray(np.dstack([grey, alpha])).save(tmp_path / "cut.png")
    picture = load_picture(tmp_path / "cut.png")
    assert np.array_equal(picture.rgb, np.dstack([grey] * 3))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha)


def test_full_opacity_is_no_alpha(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([pixels(), np.full((12, 20), 255, np.uint8)])).save(tmp_path / "opaque.png")
    assert load_picture(tmp_path / "opaque.png").alpha is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    deep = np.arange(0, 65_536, 257, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
    rgb = load_picture(tmp_path / f"deep.{suffix}").rgb
    assert np.array_equal(rgb, np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3))


def test_deep_colour_is_scaled_not_clipped(tmp_path: Path) -> None:
    deep = (pixels().astype(np.uint16) * 257).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in deep)
    (tmp_path / "deep.png").write_bytes(png(20, 12, 16, 2, raw))
    assert np.abs(load_picture(tmp_path / "deep.png").rgb.astype(int) - pixels()).max() <= 1


def test_floating_point_grey_is_read_as_shares_of_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(tmp_path / "float.tif")
    assert load_picture(tmp_path / "float.tif").rgb[0, :, 0].tolist() == [0, 128, 255]


def test_floating_point_holes_are_black_without_a_warning(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, np.nan, 1.0]], dtype=np.float32)).save(tmp_path / "holes.tif")
    assert load_picture(tmp_path / "holes.tif").rgb[0, :, 0].tolist() == [0, 0, 255]


def test_cmyk_is_separated_into_the_right_colours(tmp_path: Path) -> None:
    inks = {(0, 0, 0, 0): (255, 255, 255), (0, 0, 0, 255): (0, 0, 0), (255, 0, 0, 0): (0, 255, 255)}
    for number, (ink, colour) in enumerate(inks.items()):
        path = tmp_path / f"print{number}.jpg"
        Image.new("CMYK", (16, 16), ink).save(path, quality=95)
        assert np.abs(load_picture(path).rgb.astype(int) - colour).max() <= 3


def test_a_palette_with_a_transparent_entry_gives_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (4, 2), 1)
    image.putpalette([255, 0, 0, 0, 128, 255])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "palette.png", transparency=0)
    picture = load_picture(tmp_path / "palette.png")
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, 255, 255, 255], [255] * 4]
    assert picture.rgb[1, 1].tolist() == [0, 128, 255]


def test_one_transparent_colour_gives_alpha(tmp_path: Path) -> None:
    solid = np.full((3, 3, 3), 200, np.uint8)
    solid[0, 0] = (1, 2, 3)
    Image.fromarray(solid).save(tmp_path / "key.png", transparency=(1, 2, 3))
    alpha = load_picture(tmp_path / "key.png").alpha
    assert alpha is not None
    assert (alpha == 0).sum() == 1
    assert alpha[0, 0] == 0


def test_black_and_white_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "bits.png")
    assert np.array_equal(load_picture(tmp_path / "bits.png").rgb[:, :, 0], np.eye(8) * 255)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("RGB", (20, 10), (250, 0, 0)), Image.new("RGB", (20, 10), (0, 0, 250))
    options = {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / f"moving.{suffix}", save_all=True, append_images=[second], **options)
    rgb = load_picture(tmp_path / f"moving.{suffix}").rgb
    assert np.abs(rgb.astype(int) - (250, 0, 0)).max() <= 2


def decoded(image: Image.Image) -> None:
    pytest.fail(f"a picture of {image.size} was decoded")


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (20_001, 10), (9_000, 9_000), (13_000, 13_000)])
def test_a_header_that_claims_too_much_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    (tmp_path / "bomb.png").write_bytes(png(width, height, 8, 2, b"\0"))
    monkeypatch.setattr(Image.Image, "load", decoded)
    message = refusal(tmp_path / "bomb.png")
    assert "claims" in message
    assert "make it smaller" in message


def test_a_small_file_with_a_huge_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(12_000, 12_000, 1, 0, bytes(1501 * 12_000))
    assert len(data) < 30_000
    (tmp_path / "small.png").write_bytes(data)
    monkeypatch.setattr(Image.Image, "load", decoded)
    assert "million pixels" in refusal(tmp_path / "small.png")


def test_limits_are_inclusive(tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "photo.png")
    size = (tmp_path / "photo.png").stat().st_size
    assert load_picture(tmp_path / "photo.png", Limits(bytes=size, pixels=240, side=20)).rgb.shape == (12, 20, 3)
    assert "20 x 12" in refusal(tmp_path / "photo.png", Limits(pixels=239))
    assert "20 x 12" in refusal(tmp_path / "photo.png", Limits(side=19))
    assert "the limit is" in refusal(tmp_path / "photo.png", Limits(bytes=size - 1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif", "bmp"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    Image.fromarray(smooth()).save(whole)
    data = whole.read_bytes()
    # Up to 90 %: the last bytes of a file may be a mere end mark, without which the picture is complete.
    for length in sorted({*range(1, 80), *np.linspace(80, len(data) * 0.9, 40, dtype=int).tolist()}):
        cut.write_bytes(data[:length])
        refusal(cut)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif", "bmp"])
def test_damaged_bytes_never_cause_anything_but_a_refusal(tmp_path: Path, suffix: str) -> None:
    whole, bad = tmp_path / f"whole.{suffix}", tmp_path / f"bad.{suffix}"
    Image.fromarray(smooth()).save(whole)
    data = np.frombuffer(whole.read_bytes(), np.uint8)
    rng = np.random.default_rng(11)
    refusals = []
    for _ in range(150):
        damaged = data.copy()
        places = rng.integers(0, min(len(data), 400), 3)
        damaged[places] = rng.integers(0, 256, 3)
        bad.write_bytes(damaged.tobytes())
        try:
            assert load_picture(bad).rgb.dtype == np.uint8
        except PictureError as error:
            refusals.append(str(error))
    assert refusals
    assert all("\n" not in message and bad.name in message for message in refusals)


def test_what_is_no_picture_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("Dear customer,\nhere is the picture.\n", encoding="utf-8")
    assert "no picture we read" in refusal(tmp_path / "letter.png")
    (tmp_path / "empty.png").touch()
    assert "is empty" in refusal(tmp_path / "empty.png")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.png")
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    assert re.search("save it as PNG", refusal(tmp_path / "drawing.svg"))


def test_what_is_no_file_is_named_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zeros.jpg").symlink_to("/dev/zero")
    kinds = {"loop": "a link that leads in a circle", "gone": "a link that leads nowhere", "pipe": "a pipe"}
    for name, kind in (kinds | {"zeros": "a device"}).items():
        assert refusal(tmp_path / f"{name}.jpg").endswith(f"{name}.jpg is {kind}; name a picture")
    assert "is behind a link that leads in a circle" in refusal(tmp_path / "loop.jpg" / "cup.jpg")


@pytest.mark.parametrize("size", [0, 10])
def test_a_file_that_grows_or_shrinks_while_it_is_read_is_not_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = tmp_path / "growing.png"
    path.write_bytes(b"x" * 2000)
    real = os.fstat

    def early(number: int) -> os.stat_result:
        return os.stat_result([*real(number)[:6], size, *real(number)[7:]])

    monkeypatch.setattr(os, "fstat", early)
    assert ("is empty" if size == 0 else "the limit is 0; make it smaller") in refusal(path, Limits(bytes=1000))


def test_a_missing_file_is_refused_and_a_near_name_suggested(tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "bottle.png")
    assert "did you mean 'bottle.png'?" in refusal(tmp_path / "botle.png")
    assert "did you mean" not in refusal(tmp_path / "zzz")
    assert "there is no picture" in refusal(tmp_path / "nowhere" / "bottle.png")


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(pixels()).save(data, format="PNG")
    (tmp_path / "photo.jpg").write_bytes(data.getvalue())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(load_picture(tmp_path / "photo.jpg").rgb, pixels())


@pytest.mark.parametrize(
    ("size", "fits"), [((64, 64), True), ((1280, 64), True), ((63, 400), False), ((1, 1), False), ((1300, 64), False)]
)
def test_a_photograph_has_a_least_size(tmp_path: Path, size: tuple[int, int], fits: bool) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", size).save(path)
    if fits:
        assert load_photograph(path).rgb.shape == (size[1], size[0], 3)
        return
    with pytest.raises(PictureError, match=r"dot.png is .* pixels; a photograph needs at least 64 a side"):
        load_photograph(path)
