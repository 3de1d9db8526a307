"""Strict YAML: each mistake is one line that says where it is."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from creatives.documents import DocumentError, parse_document, read_document, validate_document


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    left: float
    top: float = 0


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    headline: str
    language: str = "en"
    count: int = 1
    share: float = 1
    flag: bool = False
    parts: list[Part] | None = None
    weights: dict[str, float] = {}


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(DocumentError) as caught:
        parse_document(text, Whole, "a.yaml")
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("headline: x\nhedline: y", "a.yaml:2: hedline is no known key; did you mean 'headline'?"),
        (
            "headline: x\nparts:\n- left: 1\n- lft: 2\n  left: 1",
            "a.yaml:4: parts.1.lft is no known key; did you mean 'left'?",
        ),
        ("headline: x\nparts:\n- top: 1", "a.yaml:3: parts.0.left is missing"),
        ("count: 2", "a.yaml: headline is missing"),
        ("", "a.yaml: headline is missing"),
        ("headline: x\nheadline: y", "a.yaml:2: headline is given twice"),
        ("headline: &a x\nlanguage: *a", "a.yaml:2: *a is an alias; write the value out"),
        ("- x", "a.yaml: holds a list, where keys and values are expected (key: value)"),
        (
            'language: en\nheadline: "\\ud83d!"',
            "a.yaml:2: an escape from \\ud800 to \\udfff is half a character; write the character itself",
        ),
        ("[" * 3000, "a.yaml: is nested too deeply to be a document"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, expected: str) -> None:
    assert problems(text) == (expected,)


@pytest.mark.parametrize(
    "text", ["headline: [", "headline: !!python/object:os.system x", "headline: a\x00", "count: !!int x", "? [a]\n: 1"]
)
def test_what_is_no_plain_yaml_is_refused_in_one_line(text: str) -> None:
    assert len(problems(text)) == 1


def test_a_wrong_value_is_shown_with_its_line() -> None:
    assert problems("headline: x\ncount: many") == (
        "a.yaml:2: count: input should be a valid integer, unable to parse string as an integer (given: 'many')",
    )


def test_every_problem_is_told_at_once() -> None:
    assert len(problems("hedline: x\ncount: many")) == 3


def test_words_and_numbers_mean_what_they_look_like() -> None:
    text = "headline: 2026-11-01\nlanguage: no\ncount: 010\nshare: 1e-3\nflag: true\nweights: {300x250: 1, 2: 3}"
    assert parse_document(text, Whole, "a.yaml") == Whole(
        headline="2026-11-01", language="no", count=10, share=0.001, flag=True, weights={"300x250": 1, "2": 3}
    )


def test_what_json_escapes_is_one_character() -> None:
    assert parse_document('{"headline": "\\ud83d\\ude00 \\u00e9"}', Whole, "a.json").headline == "😀 é"


def test_aliases_cannot_unfold(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join('*' + chr(97 + n) for _ in range(9))}]" for n in range(9)
    )
    assert "alias" in problems(bomb)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"headline: \xff", "is not UTF-8 text (byte 10)"),
        (b"\x89PNG\r\n\x1a\n\0", "is no text; name a document (YAML)"),
        (b"#" * (1 << 20) + b"\n", "is larger than 1024 KiB"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"a\.yaml") as caught:
        read_document(path, Whole)
    assert message in str(caught.value)


def test_a_document_that_is_not_there_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "briefs").mkdir()
    for name in ("briefs/cup.yaml", "autumn.yaml"):
        (tmp_path / name).write_text("headline: x")

    def said(name: str) -> str:
        with pytest.raises(DocumentError) as caught:
            read_document(tmp_path / name, Whole)
        return str(caught.value)

    assert said("cup").endswith(f"there is no such file: did you mean {tmp_path / 'briefs' / 'cup.yaml'}?")
    assert said("autmn.yaml").endswith(f"did you mean {tmp_path / 'autumn.yaml'}?")
    assert said("winter").endswith("there is no such file")
    assert said("gone/winter.yaml").endswith("there is no such file")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("\ufeffheadline: x".encode())
    assert read_document(path, Whole).headline == "x"


def test_values_from_elsewhere_are_told_without_lines() -> None:
    with pytest.raises(DocumentError, match=r"^adstyle\.toml: count: "):
        validate_document({"headline": "x", "count": "many"}, Whole, "adstyle.toml")
