"""Names and short texts: of finished advertisements, as ad servers and people sort them, and what people are told."""

import re
import unicodedata
from hashlib import sha256

LONGEST_PART = 40
"""Characters of one part: all together stay below what file systems (255) and ad servers take."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Terminals obey them, those above ASCII, too."""


def slugged(text: str) -> str:
    """``text`` as lower-case ASCII letters, digits and hyphens; never empty, the same text always gives the same slug.

    >>> slugged("Pelle & Co"), slugged("Crème brûlée")
    ('pelle-co', 'creme-brulee')
    """
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_PART].strip("-")
    # A name without any Latin letter still needs a stable file name of its own.
    return slug or f"x{sha256(text.encode()).hexdigest()[:8]}"


def file_name(
    *, advertiser: str, campaign: str, concept: str, style: str, size: str, language: str, revision: int, key: str,
    extension: str,
) -> str:  # fmt: skip
    """``{advertiser}_{campaign}_{concept}_{style}_{WxH}_{language}_v{revision}_{first 8 of key}.{extension}``."""
    parts = [slugged(part) for part in (advertiser, campaign, concept, style, size, language)]
    return "_".join([*parts, f"v{revision}", key[:8]]) + f".{extension}"


def one_line(text: str) -> str:
    """``text`` in one line.

    Raises:
        ValueError: where it is empty, or holds control characters that are no white space.
    """
    text = " ".join(part for part in re.split(r"[ \t\r\n]+", text) if part)
    if CONTROL.search(text):
        raise ValueError("holds a control character")
    if not text.strip("\u00ad\u200b\u00a0 "):
        raise ValueError("is empty")
    return text


def plain(name: str) -> str:
    """A file's name as text: file systems allow bytes that are none."""
    return name.encode("utf-8", "replace").decode()
