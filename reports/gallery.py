"""The variants as small pictures inside the page, within a budget that keeps the page light."""

import base64
from collections import Counter, defaultdict
from collections.abc import Container, Iterable

from reports.errors import ReportError
from reports.model import VariantTile, WeeklyReport

MARKUP = 400
"""Bytes around a picture's address: the tag, its text and its size."""

MEDIA_TYPES = ("image/avif", "image/gif", "image/jpeg", "image/png", "image/svg+xml", "image/webp")


def data_uri(tile: VariantTile) -> str:
    """The thumbnail as a ``data:`` address."""
    if tile.media_type not in MEDIA_TYPES:
        raise ReportError(
            f"{tile.file_name}: a thumbnail cannot be {tile.media_type!r}; use one of {', '.join(MEDIA_TYPES)}"
        )
    return f"data:{tile.media_type};base64,{base64.b64encode(tile.thumbnail).decode()}"


def pictures(report: WeeklyReport, budget: int, twice: Container[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Addresses by (experiment, file name) for as many thumbnails as ``budget`` bytes allow.

    Every arm's first slot comes before any arm's second, so that each style is seen even where not all sizes are.
    Those in ``twice`` appear in two places of the page and come before the others.
    """
    ranks: Counter[tuple[str, str]] = Counter()
    queue: list[tuple[int, int, tuple[str, str], VariantTile]] = []
    for section in report.sections:
        for tile in section.gallery:
            key = section.name, tile.file_name
            queue.append((-1 if key in twice else ranks[section.name, tile.arm], len(queue), key, tile))
            ranks[section.name, tile.arm] += 1
    chosen: dict[tuple[str, str], str] = {}
    spent = 0
    for _, _, key, tile in sorted(queue, key=lambda entry: entry[:2]):
        address = data_uri(tile)
        cost = (len(address) + MARKUP) * (2 if key in twice else 1)
        if spent + cost <= budget:
            chosen[key] = address
            spent += cost
    return chosen


def by_arm(tiles: Iterable[VariantTile]) -> dict[str, list[VariantTile]]:
    """Tiles grouped by arm, both in the order given."""
    groups: dict[str, list[VariantTile]] = defaultdict(list)
    for tile in tiles:
        groups[tile.arm].append(tile)
    return dict(groups)
