"""Files that an ad server delivers again because the first was wrong: which they are, and which one counts."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator

from experiments.core.delivery import Edition

MADE = "made"
"""The group of a name pattern that says when the file was made; all other groups together say what it is."""
_NUMBERED = re.compile(r"(.*?)(?: #(\d{6}))?", re.DOTALL)
"""When a file was made and, of several of one instant, its number: sorted as text, it is after the instant itself."""


def _checked(pattern: str) -> str:
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    if MADE not in groups or len(groups) < 2:
        raise ValueError(
            f"it must have the named group (?P<{MADE}>...), and others that say which file it is: "
            "(?P<account>...)(?P<hour>...)"
        )
    return pattern


NamePattern = Annotated[str, AfterValidator(_checked)]
"""A regular expression over a file's name with named groups."""


def edition_of(file_name: str, sha256: str, pattern: str, feed: str, what: str) -> Edition | None:
    """Which file this is of which slot, by its name; None where the name is of another form.

    A group that may be missing counts as empty text, which is the earliest for ``made``.
    """
    found = re.match(pattern, file_name, re.IGNORECASE)
    if found is None:
        return None
    said = {name: (value or "").lower() for name, value in found.groupdict().items()}
    made = said.pop(MADE)
    return Edition("/".join((feed, what, *said.values())), made, sha256)


def is_same(one: Edition, other: Edition) -> bool:
    """Whether two files are of one slot and one instant, whichever came later."""
    return (one.slot, _instant(one)) == (other.slot, _instant(other))


def numbered(edition: Edition, rivals: Iterable[Edition]) -> Edition:
    """A file that comes after others of its slot: of one instant by their names, they count in the order they came."""
    before = [_number(each) for each in rivals if not each.rejects and is_same(each, edition)]
    return replace(edition, made=f"{edition.made} #{max(before) + 1:06}") if before else edition


def older(editions: Iterable[Edition], than: Edition) -> frozenset[str]:
    """Whose rows go when this one is in the lake: earlier files of the slot, and what was taken from their rejects."""
    return frozenset(each.sha256 for each in editions if each.sha256 != than.sha256 and _age(each) < _age(than))


def newer(editions: Iterable[Edition], than: Edition) -> tuple[str, ...]:
    """The files beside which this one does not count, the newest last."""
    found = [each for each in editions if not each.rejects and _age(each) > _age(than)]
    return tuple(each.sha256 for each in sorted(found, key=_age))


def _age(edition: Edition) -> tuple[str, str]:
    """Files of one instant have numbers; those that were begun before there were any differ by their bytes."""
    return edition.made, edition.sha256


def _told(edition: Edition) -> tuple[str, str | None]:
    found = _NUMBERED.fullmatch(edition.made)
    assert found is not None  # noqa: S101 - it fits any text
    return found[1], found[2]


def _instant(edition: Edition) -> str:
    return _told(edition)[0]


def _number(edition: Edition) -> int:
    return int(_told(edition)[1] or 1)
