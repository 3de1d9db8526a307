"""Setting a short text in a box: where to break its lines, and how large it may be.

Lines are broken for the whole text at once (the idea of Knuth and Plass, "Breaking paragraphs into lines", 1981), not
one after the other: an advertisement wants lines of like length, not one full line and a lonely word.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

SOFT_HYPHEN = "\u00ad"
_ZERO_WIDTH_SPACE = "\u200b"
"""Where Thai, Khmer or Lao, which leave no space between words, may be broken."""
_NEVER_FIRST = "、。，．・：；？！％…‥ー〜々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ.,:;?!%"
"""What begins no line of Chinese or Japanese, beside closing brackets (JIS X 4051)."""
_SIGNS = "$¢-¥֏؋৲৳૱௹฿៛₠-⃏﷼﹩＄￠￡￥￦"
_WITHIN_A_PRICE = re.compile(rf"(?<=\d) (?=[{_SIGNS}%‰])|(?<=[{_SIGNS}]) (?=\d)")
"""A number is not parted from its currency's sign."""
_STEP = 0.97
"""Sizes are tried in steps of three percent: finer ones cannot be told apart."""
_LONELY, _WORTH = 0.45, 0.8
"""A last line shorter than this share of the widest is worth being rid of at down to this share of the size."""
_DIVIDED_WORD = 0.5
"""The price of a line that ends in a divided word, beside squared shares of a line left empty."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A text that fits: its lines, its size in pixels an em, its widest line in pixels."""

    lines: tuple[str, ...]
    size: float
    width: float


def fit(
    text: str, width_of: Callable[[str], float], *, width: float, height: float, largest: float, smallest: float,
    lines: int, leading: float, cap_height: float,
) -> Fitted | None:  # fmt: skip
    """The largest setting of ``text`` in ``width`` x ``height`` pixels and so many ``lines``; None where none fits.

    ``width_of`` measures in ems; ``leading`` is the distance of base lines in ems. The height counts from the top of
    the first line's capitals to the last base line.
    """
    atoms = tuple(_atoms(text))
    measured = cache(width_of)
    size, first = largest, None
    while first is None or size >= first.size * _WORTH:
        broken = _break(atoms, measured, width / size)
        if broken and len(broken) <= lines and (cap_height + (len(broken) - 1) * leading) * size <= height:
            widest = max(measured(line) for line in broken)
            found = Fitted(broken, size, widest * size)
            if measured(broken[-1]) >= _LONELY * widest:
                return found
            first = first or found
        if size <= smallest:
            break
        size = max(size * _STEP, smallest)
    return first


def _atoms(text: str) -> list[tuple[str, str]]:
    """(unbreakable piece, what joins it to the next): a space, nothing, or a soft hyphen."""
    atoms: list[tuple[str, str]] = []
    words = _WITHIN_A_PRICE.sub("\u00a0", text).split(" ")
    for word in filter(None, (word.strip(SOFT_HYPHEN + _ZERO_WIDTH_SPACE) for word in words)):
        for piece in re.split(rf"(?<=[-–—/])(?=\w)|{_ZERO_WIDTH_SPACE}|({SOFT_HYPHEN})", word):
            if piece == SOFT_HYPHEN:
                atoms[-1] = (atoms[-1][0], SOFT_HYPHEN)
            elif piece:
                atoms.extend((part, "") for part in _ideographs_apart(piece))
        atoms[-1] = (atoms[-1][0], " ")
    return atoms


def _ideographs_apart(piece: str) -> list[str]:
    """Scripts that are written without spaces may break beside every character; words of others among them may not."""
    parts: list[str] = []
    for character in piece:
        if parts and _inseparable(parts[-1][-1], character):
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def _inseparable(before: str, after: str) -> bool:
    kinds = unicodedata.category(before), unicodedata.category(after)
    if "Cf" in kinds or kinds[1] in ("Mn", "Mc", "Me", "Sk"):  # accents, emoji of several characters
        return True
    if "W" not in (unicodedata.east_asian_width(before), unicodedata.east_asian_width(after)):
        return True
    return kinds[0] in ("Ps", "Pi") or kinds[1] in ("Pe", "Pf") or after in _NEVER_FIRST


def direction(text: str) -> Literal["ltr", "rtl"] | None:
    """Which way a text runs, all its lines alike, by its first letter (UAX 9, P2 and P3); None where no letter of it
    is written from right to left."""
    strong = [kind for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL")]
    if not {"R", "AL"} & set(strong):
        return None
    return "ltr" if strong[0] == "L" else "rtl"


def has_marks(text: str) -> bool:
    """Whether letters of it carry marks that are no part of them, as those of most scripts of Asia do."""
    return any(unicodedata.category(character)[0] == "M" for character in unicodedata.normalize("NFC", text))


def _line(atoms: tuple[tuple[str, str], ...], start: int, end: int) -> str:
    inner = "".join(piece + joint.replace(SOFT_HYPHEN, "") for piece, joint in atoms[start : end - 1])
    piece, joint = atoms[end - 1]
    return inner + piece + ("-" if joint == SOFT_HYPHEN and end < len(atoms) else "")


def _break(
    atoms: tuple[tuple[str, str], ...], width_of: Callable[[str], float], width: float
) -> tuple[str, ...] | None:
    """The fewest lines no wider than ``width`` ems, and among those the most even; None where a piece is too wide."""
    # best[end]: (lines so far, raggedness, where the last line starts), for the first ``end`` atoms.
    best: list[tuple[int, float, int] | None] = [(0, 0.0, 0)] + [None] * len(atoms)
    for end in range(1, len(atoms) + 1):
        for start in range(end - 1, -1, -1):
            before = best[start]
            taken = width_of(_line(atoms, start, end))
            if taken > width:
                break
            if before is None:
                continue
            divided = end < len(atoms) and atoms[end - 1][1] != " "
            ragged = before[1] + (1 - taken / width) ** 2 + (_DIVIDED_WORD if divided else 0.0)
            candidate = (before[0] + 1, ragged, start)
            best[end] = min(best[end] or candidate, candidate)
    lines: list[str] = []
    end = len(atoms)
    while end:
        entry = best[end]
        if entry is None:
            return None
        lines.append(_line(atoms, entry[2], end))
        end = entry[2]
    return tuple(reversed(lines))
