"""Layouts: nothing is clipped, nothing overlaps, everything is legible and inside the safe zone, in every slot."""

from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import features

from creatives.fonts import SANS, SERIF, FontError, face, load_face
from creatives.layout import LEADING, SMALLEST_BUTTON, SMALLEST_HEADLINE, Box, Content, Faces, Layout, NoRoom, lay_out
from creatives.slots import Margins, Slot, catalogue
from creatives.typesetting import SOFT_HYPHEN, direction, fit

SLOTS = tuple(catalogue().values())
GERMAN = f"Donaudampfschifffahrts{SOFT_HYPHEN}gesellschafts{SOFT_HYPHEN}kapitän gesucht"


def faces(family: str = SANS) -> Faces:
    return Faces(face(family, "Bold"), face(family, "SemiBold"), face(family, "Regular"))


def content(headline: str = "Slow mornings start here", **changes: object) -> Content:
    given_ = {"call_to_action": "Find your roast", "legal": None, "logo_aspect": 5.0, "picture_aspect": 1.5}
    return Content(headline=headline, **(given_ | changes))  # type: ignore[arg-type]


def boxes(layout: Layout) -> dict[str, Box]:
    named = {"headline": layout.headline.box, "button": layout.button}
    if layout.logo:
        named["logo"] = layout.logo
    if layout.legal:
        named["legal"] = layout.legal.box
    return named


def apart(one: Box, other: Box) -> bool:
    across = one.right <= other.left or other.right <= one.left
    return across or one.bottom <= other.top + 0.5 or other.bottom <= one.top + 0.5


def check(slot: Slot, layout: Layout, words: str) -> None:
    safe = slot.safe
    for name, box in boxes(layout).items():
        assert box.left >= max(safe.left, 2), name
        assert box.top >= max(safe.top, 1), name
        assert box.right <= slot.width - max(safe.right, 2) + 0.5, name
        assert box.bottom <= slot.height - max(safe.bottom, 1) + 0.5, name
    placed = list(boxes(layout).items())
    for number, (name, box) in enumerate(placed):
        for other_name, other in placed[:number]:
            assert apart(box, other), (slot.name, name, other_name)
    inner, outer = layout.button_text.box, layout.button
    assert outer.left + 2 <= inner.left
    assert inner.right <= outer.right - 2
    assert outer.top < inner.top
    assert inner.bottom < outer.bottom
    assert layout.headline.size >= SMALLEST_HEADLINE * slot.pixel_ratio
    assert layout.button_text.size >= SMALLEST_BUTTON * slot.pixel_ratio
    said = " ".join(line.text for line in layout.headline.lines)
    assert said.replace("-", "").replace(" ", "") == words.replace(SOFT_HYPHEN, "").replace("-", "").replace(" ", "")


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
@pytest.mark.parametrize("family", [SANS, SERIF])
@pytest.mark.parametrize("legal", [None, "Prices include VAT."])
@pytest.mark.parametrize("logo", [None, 1.0, 6.0])
def test_every_slot_takes_an_ordinary_brief(slot: Slot, family: str, legal: str | None, logo: float | None) -> None:
    words = "Ready for the first warm road?"
    check(slot, lay_out(slot, content(words, legal=legal, logo_aspect=logo), faces(family)), words)


@settings(max_examples=200, deadline=None)
@given(
    slot=st.sampled_from(SLOTS),
    words=st.lists(st.sampled_from(["so", "warm", "morning", "Geschwindigkeit", GERMAN]), min_size=1, max_size=9),
    button=st.sampled_from(["Go", "Find your roast", "Jetzt unverbindlich anfragen"]),
    legal=st.sampled_from([None, "T&Cs apply.", "Sollzins 3,9 % p. a., effektiver Jahreszins 4,1 %. " * 3]),
    logo=st.sampled_from([None, 0.3, 1.0, 12.0]),
    picture=st.floats(0.2, 5),
)
def test_whatever_is_set_fits_and_what_does_not_fit_is_refused(
    slot: Slot, words: list[str], button: str, legal: str | None, logo: float | None, picture: float
) -> None:
    headline = " ".join(words)
    asked = content(headline, call_to_action=button, legal=legal, logo_aspect=logo, picture_aspect=picture)
    try:
        layout = lay_out(slot, asked, faces())
    except NoRoom:
        return
    check(slot, layout, headline)


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_the_picture_has_room_of_its_own(slot: Slot) -> None:
    layout = lay_out(slot, content(), faces())
    clear = layout.clear
    assert clear.width * clear.height >= (0.15 if slot.width > 4 * slot.height else 0.28) * slot.width * slot.height
    assert layout.picture.right >= clear.right - 0.5
    assert layout.picture.bottom >= clear.bottom


def test_text_beyond_a_slot_is_refused_with_advice() -> None:
    with pytest.raises(NoRoom, match=r"320x50 has no room for the headline.*leave this slot out"):
        lay_out(catalogue()["320x50"], content("word " * 17 + "word"), faces())


def test_headlines_shrink_with_their_length() -> None:
    slot = catalogue()["1080x1080"]
    sizes = [lay_out(slot, content("word " * n + "word"), faces()).headline.size for n in (1, 6, 12)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx(0.088 * sqrt(1080 * 1080))


def set_in(text: str, width: float, lines: int = 4) -> tuple[str, ...] | None:
    """Each character is an em wide, and the size is one."""
    found = fit(
        text, lambda it: float(len(it)), width=width, height=100, largest=1, smallest=1, lines=lines, leading=LEADING,
        cap_height=0.7,
    )  # fmt: skip
    return found.lines if found else None


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("aaa bbb ccc ddd", 11, ("aaa bbb", "ccc ddd")),  # greedily: "aaa bbb ccc" and a lonely "ddd"
        ("aaa bbb", 7, ("aaa bbb",)),
        (f"gesell{SOFT_HYPHEN}schaft", 8, ("gesell-", "schaft")),
        (f"gesell{SOFT_HYPHEN}schaft", 12, ("gesellschaft",)),
        ("Anti-Falten", 6, ("Anti-", "Falten")),
        ("nur 1.299,00 €", 10, ("nur", "1.299,00\u00a0€")),  # a number keeps its sign
        ("ab ₹ 99 cd", 5, ("ab", "₹\u00a099", "cd")),
        ("日本語の", 2, ("日本", "語の")),
        ("新しいiPhone", 7, ("新しい", "iPhone")),  # a word among ideographs is not cut
        ("買う。「今日」", 4, ("買う。", "「今日」")),  # no line begins with what closes or ends with what opens
        ("買物。", 2, ("買", "物。")),
        ("ビール", 2, ("ビー", "ル")),
        ("か\u3099き", 2, ("か\u3099", "き")),
        ("茶👩\u200d🍳", 3, ("茶", "👩\u200d🍳")),
        ("กาแฟ\u200bสด", 4, ("กาแฟ", "สด")),  # Thai says so where it may be broken
        ("\u200bab\u200b \u200b", 2, ("ab",)),
        ("a\u00a0b c", 3, ("a\u00a0b", "c")),
        (f"{SOFT_HYPHEN}ab {SOFT_HYPHEN} cd{SOFT_HYPHEN}", 9, ("ab cd",)),
        ("abcdef", 5, None),
    ],
)
def test_lines_break_where_they_may_and_evenly(text: str, width: float, lines: tuple[str, ...] | None) -> None:
    assert set_in(text, width) == lines


def test_no_lonely_last_word_where_a_little_smaller_avoids_it() -> None:
    arguments = {"height": 100.0, "largest": 1.1, "smallest": 0.5, "lines": 4, "leading": LEADING, "cap_height": 0.7}
    found = fit("aaaaa bbbbb ccccc d", lambda it: float(len(it)), width=6.8, **arguments)  # type: ignore[arg-type]
    assert found is not None
    assert found.lines == ("aaaaa", "bbbbb", "ccccc d")


@pytest.mark.parametrize(
    ("text", "way"),
    [("Roasted 24/7!", None), ("קפה Nike", "rtl"), ("Nike קפה", "ltr"), ("«قهوة»", "rtl"), ("5 € !", None)],
)
def test_a_text_runs_as_its_first_letter_does(text: str, way: str | None) -> None:
    assert direction(text) == way


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_what_runs_leftwards_is_flush_right_whatever_begins_a_line(slot: Slot) -> None:
    layout = lay_out(slot, content("קפה טרי שנקלה Nike Oslo", call_to_action="לקנות", legal="תנאים"), faces())
    measures = faces()
    for block, measure in ((layout.headline, measures.headline), (layout.legal, measures.legal)):
        ends = [line.x + measure.width(line.text) * block.size for line in block.lines]
        assert ends == pytest.approx([block.box.right] * len(ends))
        assert block.direction == "rtl"
    assert layout.button_text.direction == "rtl"


class Even:
    """A face whose characters are all of one width; so far above and below the base line is ink."""

    cap_height, descent = 0.7, 0.2

    def __init__(self, above: float = 0.7, below: float = 0.2) -> None:
        self.above, self.below = above, below

    def width(self, text: str) -> float:
        return 0.5 * len(text)

    def ink(self, _: str) -> tuple[float, float]:
        return self.above, self.below


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
@pytest.mark.parametrize("logo", [None, 1.0, 5.0])
def test_what_runs_leftwards_is_laid_out_in_mirror_image(slot: Slot, logo: float | None) -> None:
    one, measures = Even(), Faces(Even(), Even(), Even())
    words = {"call_to_action": "buy now", "legal": "with VAT", "logo_aspect": logo}
    plain = lay_out(slot, content("slow mornings start here", **words), measures)
    turned = lay_out(slot, content("אאאא בבבבבבבב גגגגג דדדד", **words), measures)
    assert len(plain.headline.lines) == len(turned.headline.lines)
    for name, box in (boxes(plain) | {"picture": plain.picture, "clear": plain.clear}).items():
        left, right = slot.width - box.right, slot.width - box.left
        other = (boxes(turned) | {"picture": turned.picture, "clear": turned.clear})[name]
        assert other == pytest.approx((left, box.top, right, box.bottom)), name
    label = turned.button_text
    ends = label.lines[0].x, label.lines[0].x + one.width(label.lines[0].text) * label.size
    assert sum(ends) == pytest.approx(turned.button.left + turned.button.right)
    assert turned.fade.axis == {"down": "down", "right": "left"}[plain.fade.axis]


def test_a_mirror_image_keeps_a_safe_zone_that_is_wider_on_one_side() -> None:
    slot = catalogue()["1080x1920"].model_copy(update={"safe": Margins(top=100, right=300, bottom=100, left=40)})
    layout = lay_out(slot, content("קפה טרי שנקלה היום", legal="תנאים"), faces())
    assert min(box.left for box in boxes(layout).values()) >= 40
    assert max(box.right for box in boxes(layout).values()) == pytest.approx(1080 - 300)


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_marks_above_and_below_do_not_touch_those_of_other_lines(slot: Slot) -> None:
    tall = Even(above=1.1, below=0.5)
    words = "so many marks"
    layout = lay_out(slot, content(words, legal="and marks", call_to_action="buy"), Faces(tall, tall, tall))
    check(slot, layout, words)
    for block in (layout.headline, layout.legal):
        baselines = [line.baseline for line in block.lines]
        apart_by = [after - before for before, after in pairwise(baselines)]
        assert all(distance >= 1.6 * block.size for distance in apart_by)
        assert block.box.top <= baselines[0] - 1.1 * block.size + 0.5
        assert block.box.bottom >= baselines[-1] + 0.5 * block.size - 0.5


def test_ordinary_letters_are_set_as_close_as_ever() -> None:
    slot = catalogue()["1080x1080"]
    for words in (
        "Größe, Äpfel und Öl für jeden Tag im ganzen Jahr",
        "Slow mornings start here, every day of the year",
    ):
        headline = lay_out(slot, content(words), faces()).headline
        first, second = (line.baseline for line in headline.lines[:2])
        assert second - first == pytest.approx(LEADING * headline.size, abs=1)


def test_a_face_measures_its_marks() -> None:
    sans = face(SANS, "Bold")
    assert sans.ink("H") == pytest.approx((sans.cap_height, 0), abs=0.02)
    assert sans.ink("Ä")[0] > sans.cap_height + 0.1
    assert sans.ink("p")[1] == pytest.approx(sans.descent)


@pytest.mark.parametrize("text", ["קפה", "قهوة", "กาแฟคั่ว"])
def test_without_fribidi_no_letters_are_set_in_a_wrong_order(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda _: False)
    with pytest.raises(FontError, match=r"the headline is in a script .* install FriBidi"):
        face(SANS, "Bold").check(text, "headline")
    face(SANS, "Bold").check("Cafe\u0301 für 5 €", "headline")


def test_fonts_refuse_what_they_cannot_show() -> None:
    face(SANS, "Bold").check("Größe für 5 € – déjà vu?", "headline")
    with pytest.raises(FontError, match="'sans' has no '日', which the headline needs"):
        face(SANS, "Bold").check("日 day", "headline")
    with pytest.raises(FontError, match="has no weight 'Heavy'"):
        load_face(SANS, "Heavy", 12)
    with pytest.raises(FontError, match="neither"):
        load_face("comic", "Bold", 12)
    with pytest.raises(FontError, match="no font that can be read"):
        load_face(__file__, "Bold", 12)
