"""Briefs: what an advertiser may write, and what is refused with which words."""

import re
from pathlib import Path

import pytest
from PIL import Image

from creatives.briefs import Brief, load_brief
from creatives.documents import DocumentError

GOOD = {
    "brief": "coffee",
    "advertiser": "Nordlicht Coffee",
    "campaign": "slow-mornings",
    "concept": "cup",
    "picture": "cup.png",
    "headline": "Slow mornings start here",
    "call_to_action": "Find your roast",
    "landing_url": "https://nordlicht.example/roasts",
}


def written(folder: Path, **changes: str) -> Path:
    Image.new("RGB", (8, 8)).save(folder / "cup.png")
    entries = {key: value for key, value in (GOOD | changes).items() if value}
    path = folder / "coffee.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in entries.items()), encoding="utf-8")
    return path


def test_a_brief_with_what_is_needed_gets_the_rest(tmp_path: Path) -> None:
    brief = load_brief(written(tmp_path))
    assert brief.picture == tmp_path / "cup.png"
    assert brief.slots == ("300x250", "728x90", "1080x1080")
    assert (brief.language, brief.font, brief.logo, brief.protect) == ("en", "sans", None, ())
    assert hash(brief) == hash(load_brief(tmp_path / "coffee.yaml"))


def test_everything_can_be_said(tmp_path: Path) -> None:
    Image.linear_gradient("L").save(tmp_path / "logo.png")
    brief = load_brief(
        written(
            tmp_path,
            language="de-CH",
            logo="logo.png",
            legal='"Prices   include VAT."',
            slots="[1080x1920]",
            protect="[{left: 0.1, top: 0, right: 0.4, bottom: 1}]",
            focus="{x: 0.3, y: 0.5}",
            colours='{accent: "#ff0000"}',
            font="serif",
        )
    )
    assert brief.legal == "Prices include VAT."
    assert brief.logo == tmp_path / "logo.png"
    assert brief.colours.rgb("accent") == (255, 0, 0)
    assert brief.colours.rgb("paper") == (255, 255, 255)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("picture", "nowhere.png", "picture: there is no file"),
        ("logo", "nowhere.png", "logo: there is no file"),
        ("font", "nowhere.ttf", "font: there is no file"),
        ("brief", "../up", "brief:"),
        ("advertiser", "a/b", "must not hold /"),
        ("concept", '".."', "must not hold /"),
        ("campaign", '"a\\\\b"', "must not hold /"),
        ("headline", "x" * 91, "at most 90 characters, not 91"),
        ("headline", '"\\u2060\\ufe0f \\u200e"', "holds nothing that can be seen"),
        ("headline", '"  "', "is empty"),
        ("headline", '"a\\u0007"', "control character"),
        ("call_to_action", "x" * 31, "at most 30"),
        ("landing_url", "https://me:secret@shop.example/", "landing_url: holds a user's name or password (before @)"),
        ("landing_url", "javascript:alert(1)", "must be a complete http:// or https:// address"),
        (
            "landing_url",
            "https://shop.example:99999/",
            "landing_url: names a port that is none: give one from 1 to 65535",
        ),
        ("landing_url", "https://shop.example:0", "names a port that is none"),
        ("landing_url", "https://shop.example:http/", "names a port that is none"),
        ("landing_url", "https://", "must be a complete http:// or https:// address"),
        ("slots", "[300x251]", "did you mean '300x250'?"),
        ("slots", "[]", "at least 1"),
        ("protect", "[{left: 0.5, top: 0, right: 0.5, bottom: 1}]", "left must be less than right"),
        ("focus", "{x: 2, y: 0}", "focus.x"),
        ("focus", '{x: "0.5", y: 0}', "focus.x: input should be a valid number (given: '0.5')"),
        ("focus", "{x: 0.5, y: true}", "focus.y: input should be a valid number (given: true)"),
        ("colours", '{ink: "#787878"}', "ink on paper has a contrast of 4.4; text needs 4.5 (WCAG AA)"),
        ("colours", '{ink: "#777777"}', "contrast of 4.4; text needs 4.5"),  # it is 4.48
        ("colours", "{ink: black}", 'colours.ink: must be a colour in quotes, as "#14171f"'),
        ("colours", "\n  ink: #14171f", 'colours.ink: must be a colour in quotes, as "#14171f"'),
        ("language", "German", "language: must be a language's code, as en or pt-BR"),
        ("slots", "300x250", "slots: should be a list"),
        ("protect", "[[0, 0, 1, 1]]", "protect.0: should be keys and values"),
        ("headine", "x", "did you mean 'headline'?"),
    ],
)
def test_a_mistake_is_one_line_naming_the_file(tmp_path: Path, key: str, value: str, message: str) -> None:
    path = written(tmp_path, **{key: value})
    with pytest.raises(DocumentError) as caught:
        load_brief(path)
    (problem,) = caught.value.problems
    assert problem.startswith(str(path))
    assert message in problem


def test_a_logo_and_a_font_that_cannot_be_used_are_told_with_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"no picture")
    (tmp_path / "brand.ttf").write_bytes(b"no font")
    path = written(tmp_path, logo="logo.png", font="brand.ttf")
    with pytest.raises(DocumentError) as caught:
        load_brief(path)
    logo, font = caught.value.problems
    assert logo.startswith(f"{path}: logo: {tmp_path / 'logo.png'} is no picture")
    assert font.startswith(f"{path}: font: {tmp_path / 'brand.ttf'}: is no font")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("headline", "日々", "font: the font 'sans' has no '日', '々', which the headline needs"),
     ("logo", "cup.png", "logo: the logo is all of one colour")],
)  # fmt: skip
def test_what_a_logo_or_font_lacks_is_told_before_anything_is_made(
    tmp_path: Path, key: str, value: str, message: str
) -> None:
    path = written(tmp_path, **{key: value})
    with pytest.raises(DocumentError, match="^" + re.escape(f"{path}: {message}")):
        load_brief(path)


def test_a_brief_is_plain_values_to_whoever_keeps_it(tmp_path: Path) -> None:
    brief = load_brief(written(tmp_path))
    assert Brief.model_validate(brief.model_dump(mode="json")) == brief
