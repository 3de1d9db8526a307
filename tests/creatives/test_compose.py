"""Finished advertisements: legible on any picture, crisp, cropped around what matters, protected where asked."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, features

import creatives.compose as compose_module
from creatives.brand import Logo, legibility, ready_logo, theme_for
from creatives.briefs import Brief, Colours, Point, Region
from creatives.compose import compose, crop_box, direct, restore_protected
from creatives.contrast import contrast
from creatives.errors import CreativeError
from creatives.focus import salient_point
from creatives.fonts import face
from creatives.layout import Block, Box, Fade, Layout, Line
from creatives.pictures import Picture
from creatives.scrim import coverage, covered
from creatives.slots import Slot, catalogue

SLOTS = tuple(catalogue().values())
SMALL = [catalogue()[name] for name in ("300x250", "728x90", "160x600", "320x50", "970x250")]
Pixels = NDArray[np.uint8]


def brief(**changes: object) -> Brief:
    fields = {
        "brief": "coffee", "advertiser": "Nordlicht", "campaign": "spring", "concept": "cup",
        "picture": Path("cup.png"), "headline": "Slow mornings start here", "call_to_action": "Find your roast",
        "landing_url": "https://nordlicht.example",
    }  # fmt: skip
    return Brief.model_validate(fields | changes)


def hard_pictures() -> dict[str, Pixels]:
    """Backgrounds on which careless text cannot be read."""
    rng = np.random.default_rng(7)
    stripes = np.zeros((400, 600, 3), np.uint8)
    stripes[:, ::6] = 255
    return {
        "white": np.full((400, 600, 3), 255, np.uint8),
        "black": np.zeros((400, 600, 3), np.uint8),
        "noise": rng.integers(0, 256, (400, 600, 3), np.uint8),
        "stripes": stripes,
        "tall": rng.integers(0, 256, (700, 300, 3), np.uint8),
    }


def logo_of(colour: tuple[int, int, int]) -> Logo:
    image = Image.new("RGBA", (240, 80), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((20, 20, 219, 59), fill=(*colour, 255))
    pixels = np.asarray(image)
    return ready_logo(Picture(rgb=pixels[..., :3].copy(), alpha=pixels[..., 3].copy()))


def wcag(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.floating]:
    """The contrast ratio, written a second time from the recommendation."""

    def relative(rgb: NDArray[np.floating]) -> NDArray[np.floating]:
        share = rgb / 255.0
        linear = np.where(share <= 0.03928, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return 0.2126 * linear[..., 0] + 0.7152 * linear[..., 1] + 0.0722 * linear[..., 2]

    a, b = relative(one), relative(other)
    return (np.maximum(a, b) + 0.05) / (np.minimum(a, b) + 0.05)


@pytest.mark.parametrize("kind", hard_pictures())
@pytest.mark.parametrize("logo", [None, (255, 255, 255), (10, 10, 10)])
def test_text_keeps_its_contrast_on_the_pixels_behind_it(
    kind: str, logo: tuple[int, int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = hard_pictures()[kind]
    asked = brief(legal="Prices include VAT.", headline="A rather long headline that takes several lines here")
    direction = direct(asked, picture, logo_of(logo) if logo else None)
    seen = {}
    draw = compose_module._draw_texts

    def look_behind(canvas: Image.Image, layout: object, *rest: object) -> None:
        seen.update(pixels=np.asarray(canvas).copy(), layout=layout)
        draw(canvas, layout, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(compose_module, "_draw_texts", look_behind)
    for slot in (catalogue()[name] for name in ("300x250", "728x90", "160x600", "1080x1080")):
        composition = compose(picture, asked, slot, direction)
        layout = seen["layout"]
        for colour, block in (
            (direction.theme.text, layout.headline), (direction.theme.text, layout.legal),
            (direction.theme.label, layout.button_text),
        ):  # fmt: skip
            box = block.box
            behind = seen["pixels"][int(box.top) : int(np.ceil(box.bottom)), int(box.left) : int(np.ceil(box.right))]
            assert wcag(np.array(colour, float), behind.astype(float)).min() >= 4.499, (slot.name, block.lines)
        assert min(composition.contrasts.values()) >= 4.5
        assert set(composition.contrasts) == {"headline", "legal", "call_to_action"}


@pytest.mark.parametrize("slot", SMALL, ids=lambda slot: slot.name)
def test_no_ink_leaves_its_box(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    """What text changes lies inside the boxes the layout promised, so nothing can be clipped or collide."""
    picture = hard_pictures()["black"]
    asked = brief(headline="Größe, jung & pfiffig: ÄÖÜ")
    direction = direct(asked, picture, None)
    promised = {}

    def only_note(canvas: Image.Image, layout: object, *rest: object) -> None:
        promised["layout"] = layout

    drawn = np.asarray(compose(picture, asked, slot, direction).image).astype(int)
    monkeypatch.setattr(compose_module, "_draw_texts", only_note)
    blank = np.asarray(compose(picture, asked, slot, direction).image).astype(int)
    ink = np.abs(drawn - blank).max(axis=-1) > 40
    assert ink.any()
    layout = promised["layout"]
    diacritics = 0.3  # Ä rises above the capitals, by which lines are set
    for block in (layout.headline, layout.button_text):
        left, top, right, bottom = block.box
        rows = slice(max(int(top - diacritics * block.size), 0), int(bottom) + 2)
        ink[rows, max(int(left) - 2, 0) : int(right) + 3] = False
    assert not ink.any()


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_every_slot_is_filled_and_drawn_the_same_twice(slot: Slot) -> None:
    picture = hard_pictures()["noise"]
    asked = brief()
    direction = direct(asked, picture, logo_of((255, 255, 255)))
    once, twice = (compose(picture, asked, slot, direction).image for _ in range(2))
    assert once.size == (slot.width, slot.height)
    assert once.mode == "RGB"
    assert once.tobytes() == twice.tobytes()


def test_small_letters_are_spaced_as_finely_as_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set in whole pixels, 8 px type would have gaps and collisions inside its words."""
    picture = hard_pictures()["black"]
    asked = brief(legal="Sollzins 3,9 % p. a., effektiver Jahreszins 4,1 %.")
    pixels, layout = drawn_with_layout(asked, picture, catalogue()["300x250"], None, monkeypatch)
    left, top, _, bottom = layout.legal.box
    ink = pixels[int(top) - 1 : int(bottom) + 2, 4:-4].max(axis=-1).astype(float)
    (line,) = layout.legal.lines
    finer = 16
    type_ = face(asked.font, "Regular")
    sheet = Image.new("L", (ink.shape[1] * finer, ink.shape[0] * finer), int(ink.min()))
    x = (left - 4 - type_.bearing(line.text) * layout.legal.size) * finer
    y = (line.baseline - int(top) + 1) * finer
    font = type_.at(layout.legal.size * finer)
    ImageDraw.Draw(sheet).text((x, y), line.text, font=font, fill=255, anchor="ls")
    expected = np.asarray(sheet.reduce(finer), float)
    assert np.corrcoef(ink.ravel(), expected.ravel())[0, 1] > 0.97


def test_the_ink_of_the_headline_begins_at_the_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, picture = brief(headline="Half"), hard_pictures()["black"]
    pixels, layout = drawn_with_layout(asked, picture, catalogue()["1080x1080"], None, monkeypatch)
    left, top, _, bottom = layout.headline.box
    ink = np.flatnonzero((pixels[int(top) : int(bottom)].max(axis=-1) > 128).any(axis=0))
    assert abs(ink[0] - left) <= 1


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow finds no FriBidi")
def test_a_line_runs_as_its_whole_text_does() -> None:
    """A Hebrew headline may break before a Latin name; that line is still read from the right."""

    def drawn(text: str, way: Literal["ltr", "rtl"]) -> bytes:
        canvas = Image.new("L", (400, 60))
        block = Block((Line(text, 10, 45),), 40, Box(10, 10, 390, 50), way)
        compose_module._draw_block(canvas, block, face("sans", "Bold"), 255, hang=False)  # type: ignore[arg-type]
        assert canvas.getbbox()
        return canvas.tobytes()

    assert drawn("Nike קפה", "rtl") == drawn("קפה Nike", "ltr") != drawn("Nike קפה", "ltr")


def test_the_logo_is_drawn_unchanged_in_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = hard_pictures()["black"]
    pixels, layout = drawn_with_layout(brief(), picture, catalogue()["1080x1080"], (250, 120, 20), monkeypatch)
    left, top, right, bottom = (round(edge) for edge in layout.logo)
    assert (pixels[top + 2 : bottom - 2, left + 2 : right - 2] == (250, 120, 20)).all()


def drawn_with_layout(
    asked: Brief, picture: Pixels, slot: Slot, logo: tuple[int, int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> tuple[Pixels, Layout]:
    kept = []
    draw = compose_module._draw_texts
    monkeypatch.setattr(compose_module, "_draw_texts", lambda *them: (kept.append(them[1]), draw(*them)))
    composition = compose(picture, asked, slot, direct(asked, picture, logo_of(logo) if logo else None))
    return np.asarray(composition.image), kept[0]


def test_display_sizes_have_a_visible_edge() -> None:
    picture = hard_pictures()["white"]
    asked = brief()
    pixels = np.asarray(compose(picture, asked, catalogue()["300x250"], direct(asked, picture, None)).image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edge == edge[0]).all()
    assert contrast(tuple(edge[0]), (255, 255, 255)) > 1.3


def test_all_arms_are_cut_and_coloured_alike() -> None:
    original, styled = hard_pictures()["white"], hard_pictures()["black"]
    direction = direct(brief(), original, None)
    pixels = np.asarray(compose(styled, brief(), catalogue()["1080x1080"], direction).image)
    assert tuple(pixels[-1, -1]) == direction.theme.ground == (255, 255, 255)


@pytest.mark.parametrize(
    ("logo", "brightness", "ground"),
    [((255, 255, 255), 0.9, "ink"), ((10, 10, 10), 0.1, "paper"), (None, 0.9, "paper"), (None, 0.1, "ink")],
)
def test_the_ground_is_the_one_on_which_the_logo_reads(
    logo: tuple[int, int, int] | None, brightness: float, ground: str
) -> None:
    colours = Colours()
    assert theme_for(colours, logo_of(logo) if logo else None, brightness).ground == colours.rgb(ground)


@pytest.mark.parametrize("accent", ["#e4312b", "#ffc83d", "#14171f", "#ffffff", "#777777", "#0000ff"])
@pytest.mark.parametrize("brightness", [0.0, 1.0])
def test_the_button_stands_out_and_its_label_reads(accent: str, brightness: float) -> None:
    theme = theme_for(Colours(accent=accent), None, brightness)
    assert contrast(theme.button, theme.ground) >= 3
    assert contrast(theme.label, theme.button) >= 4.5


def test_logos_are_trimmed_and_opaque_ones_get_a_plate() -> None:
    assert logo_of((255, 0, 0)).aspect == pytest.approx(200 / 40)
    opaque = np.full((100, 300, 3), 250, np.uint8)
    opaque[40:60, 100:200] = 0
    plated = ready_logo(Picture(rgb=opaque, alpha=None))
    assert plated.plate == (250, 250, 250)
    assert plated.image.getpixel((0, 0))[3] == 0  # a round corner
    assert plated.image.width < 150
    with pytest.raises(CreativeError, match="wholly transparent"):
        ready_logo(Picture(rgb=opaque, alpha=np.zeros((100, 300), np.uint8)))
    pale = np.full((100, 300, 3), 255, np.uint8)
    pale[40:60, 100:200] = 250
    with pytest.raises(CreativeError, match="nothing can be seen"):
        ready_logo(Picture(rgb=pale, alpha=None))


def logo_in_parts(*colours: tuple[int, int, int], alpha: int = 255) -> Logo:
    """Parts of one size side by side, like letters."""
    pixels = np.zeros((60, 80 * len(colours), 4), np.uint8)
    for number, colour in enumerate(colours):
        pixels[10:50, 80 * number + 10 : 80 * number + 70] = (*colour, alpha)
    return ready_logo(Picture(rgb=pixels[..., :3].copy(), alpha=pixels[..., 3].copy()))


def test_a_logo_that_no_ground_shows_whole_stands_on_a_plate_that_does() -> None:
    white, black, orange = (255, 255, 255), (0, 0, 0), (255, 121, 0)
    on_ink = direct(brief(), hard_pictures()["black"], logo_in_parts(white, black))
    assert on_ink.logo is not None
    assert on_ink.logo.plate is not None
    assert min(contrast(on_ink.logo.plate, part) for part in (white, black)) >= 4.5
    assert on_ink.logo_contrast is not None
    assert on_ink.logo_contrast >= 4.5
    for parts in ((white, orange), (white,), (black, orange), (orange, (30, 60, 160))):
        logo = logo_in_parts(*parts)
        assert direct(brief(), hard_pictures()["noise"], logo).logo is logo, "it reads as it is"


def test_white_inside_a_dark_badge_is_no_part_that_is_lost() -> None:
    pixels = np.zeros((60, 200, 4), np.uint8)
    pixels[5:55, 5:195] = (10, 10, 60, 255)
    pixels[15:45, 40:160] = 255
    badge = ready_logo(Picture(rgb=pixels[..., :3].copy(), alpha=pixels[..., 3].copy()))
    direction = direct(brief(), hard_pictures()["white"], badge)
    assert direction.theme.ground == (255, 255, 255)
    assert direction.logo is badge


def test_how_well_a_logo_is_seen_is_measured_where_it_stands() -> None:
    ground = (20, 23, 31)
    assert legibility(logo_of((255, 255, 255)), ground) == pytest.approx(contrast((255, 255, 255), ground))
    assert legibility(logo_in_parts((255, 255, 255), alpha=20), ground) < 1.5
    pale = np.full((100, 300, 3), 255, np.uint8)
    pale[40:60, 100:200] = 225
    assert legibility(ready_logo(Picture(rgb=pale, alpha=None)), ground) < 1.5, "its own plate hides it"
    assert direct(brief(), hard_pictures()["white"], None).logo_contrast is None


def test_a_logo_of_a_few_pixels_is_refused() -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[20:22, 20:23] = 255
    with pytest.raises(CreativeError, match=r"shows something on 3 x 2 pixels only.*at least 16"):
        ready_logo(Picture(rgb=pixels[..., :3].copy(), alpha=pixels[..., 3].copy()))


def test_a_crop_keeps_the_focus_and_never_leaves_the_picture() -> None:
    square = Box(0, 0, 100, 100)
    assert crop_box((300, 100), square, square, (0.5, 0.5)) == (100, 0, 200, 100)
    assert crop_box((300, 100), square, square, (0.0, 0.5)) == (0, 0, 100, 100)
    assert crop_box((300, 100), square, square, (1.0, 0.5)) == (200, 0, 300, 100)
    # The subject moves to the middle of what stays clear.
    assert crop_box((100, 300), square, Box(0, 0, 100, 40), (0.5, 0.5)) == (0, 130, 100, 230)
    right, clear = Box(200, 0, 300, 100), Box(240, 0, 300, 100)
    assert crop_box((300, 100), right, clear, (0.5, 0.5)) == (80, 0, 180, 100)


def test_the_focus_is_the_brief_s_or_what_it_protects_or_what_strikes_the_eye() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    picture[60:100, 190:230] = (250, 40, 40)
    region = Region(left=0.0, top=0.2, right=0.2, bottom=0.6)
    assert direct(brief(focus=Point(x=0.1, y=0.9)), picture, None).focus == (0.1, 0.9)
    assert direct(brief(protect=(region,)), picture, None).focus == pytest.approx((0.1, 0.4))
    x, y = salient_point(picture)
    assert abs(x - 0.7) < 0.08
    assert abs(y - 0.4) < 0.08


def test_protected_parts_are_the_original_s_and_the_style_returns_softly() -> None:
    original, styled = np.full((100, 200, 3), 200, np.uint8), np.full((100, 200, 3), 20, np.uint8)
    region = Region(left=0.25, top=0.25, right=0.5, bottom=0.75)
    mixed = restore_protected(styled, original, [region])
    assert (mixed[25:75, 50:100] == 200).all()
    assert (mixed[:, 120:] == 20).all()
    assert 20 < mixed[50, 101, 0] < 200
    assert restore_protected(styled, original, ()) is styled


def test_a_picture_on_the_right_fades_leftwards() -> None:
    rightwards = Fade("right", start=40, late=90, early=90)
    leftwards = Fade("left", start=40, late=90, early=90)
    assert (coverage(leftwards, 0.5, 200) == coverage(rightwards, 0.5, 200)[::-1]).all()
    pixels = hard_pictures()["noise"][:50, :200]
    turned = covered(pixels[:, ::-1], (10, 20, 30), leftwards, 0.5)[:, ::-1]
    assert (turned == covered(pixels, (10, 20, 30), rightwards, 0.5)).all()
    part, mirrored = Box(30, 5, 120, 40), Box(80, 5, 170, 40)
    turned = covered(pixels[:, ::-1], (10, 20, 30), leftwards, 0.5, mirrored)[:, ::-1]
    assert (turned == covered(pixels, (10, 20, 30), rightwards, 0.5, part)).all()


def test_the_scrim_is_one_smooth_ramp_that_strength_completes_earlier() -> None:
    fade = Fade("down", start=20, late=80, early=50)
    gentle, strong = coverage(fade, 0, 100), coverage(fade, 1, 100)
    for cover in (gentle, strong):
        assert (np.diff(cover) >= 0).all()
        assert np.diff(cover).max() < 0.06
        assert cover[:20].max() == 0
    assert (strong >= gentle).all()
    assert strong[50:].min() == 1.0
    assert gentle[80:].min() == 1.0
