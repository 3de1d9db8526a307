"""Which events are not a person's, as far as a single event tells: general invalid traffic, no more than that.

Five rules, in this order, of which the first that fits counts: robots that say they are (the list that its community
keeps, crawler-user-agents); programs that name no browser, telephone or television; addresses of data centres, where no
people sit; what a browser fetched in advance, before anybody asked to see it; and slots without width or height. Rules
that take several events are asked when evidence is gathered (`events.rates`). What a robot does to look like a person
(sophisticated invalid traffic) is for measurers with other means.
Events that a rule fits are kept and marked; evidence leaves them out and says how many, by arm and rule.
"""

import ipaddress
import json
import os
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from experiments.core.errors import ExperimentError
from experiments.events.schema import DATA_CENTRE, DECLARED_BOT, NOT_A_BROWSER, PREFETCH, ZERO_SIZE
from experiments.ingest.feed import own_text

BOTS, DATA_CENTRES = "bots.json", "data_centres.txt"
"""Of the workspace's folder ``filters``: a newer list of robots, and address ranges, one a line."""
_PEOPLE: Final = re.compile(
    r"Mozilla/|Opera/|Dalvik/|CFNetwork/|Darwin/|okhttp/|AppleCoreMedia|ExoPlayer|Android|iPhone|iPad|\biOS\b|Windows"
    r"|Macintosh|Tizen|Web0S|webOS|Roku|CrKey|PlayStation|Xbox|Nokia|BlackBerry|SAMSUNG|UCWEB",
    re.IGNORECASE,
)
"""Words by which browsers and the devices and libraries of apps name themselves; one of them is enough."""

_IN_ADVANCE: Final = re.compile(r"(?:prefetch|prerender|preview)(?=[\s;,]|$)", re.IGNORECASE)
"""How the header begins by which browsers say that they load what nobody asked for yet: ``Sec-Purpose: prefetch``, with
parameters such as ``;prerender`` and ``;anonymous-client-ip`` (fetch.spec.whatwg.org/#sec-purpose-header,
wicg.github.io/nav-speculation/prefetch.html), and before it ``Purpose: prefetch``, ``X-Moz: prefetch`` and Safari's
``X-Purpose: preview`` (lists.webkit.org/pipermail/webkit-dev/2010-September/014485.html)."""
_SIZE: Final = re.compile(r"(\d{1,9})\s*[x×]\s*(\d{1,9})", re.IGNORECASE | re.ASCII)


class Agents(dict[str, str | None]):
    """The rule that disqualifies each user agent of one file, None for a person's; each distinct agent matched once."""

    def __init__(self, declared: re.Pattern[str]) -> None:
        super().__init__()
        self._declared = declared

    def __missing__(self, agent: str) -> str | None:
        rule = None
        if self._declared.search(agent):
            rule = DECLARED_BOT
        elif not _PEOPLE.search(agent):
            rule = NOT_A_BROWSER
        self[agent] = rule
        return rule


class Ranges:
    """Ranges of addresses, IPv4 and IPv6, that may overlap."""

    def __init__(self, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()) -> None:
        fours, sixes = list[ipaddress.IPv4Network](), list[ipaddress.IPv6Network]()
        for network in networks:
            if isinstance(network, ipaddress.IPv4Network):
                fours.append(network)
            else:
                sixes.append(network)
        ends = {
            4: [(int(each[0]), int(each[-1])) for each in ipaddress.collapse_addresses(fours)],
            6: [(int(each[0]), int(each[-1])) for each in ipaddress.collapse_addresses(sixes)],
        }
        self._first = {version: [first for first, _ in each] for version, each in ends.items()}
        self._last = {version: [last for _, last in each] for version, each in ends.items()}

    def __bool__(self) -> bool:
        return any(self._first.values())

    def __contains__(self, address: str) -> bool:
        """Whether a range holds it, or all of what an address was cut to; what is no address lies in none."""
        try:
            network = ipaddress.ip_network(address)
        except ValueError:
            return False
        parsed, last = network[0], network[-1]
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = last = parsed.ipv4_mapped
        place = bisect_right(self._first[parsed.version], int(parsed)) - 1
        return place >= 0 and int(last) <= self._last[parsed.version][place]


class Hosts(dict[str, str | None]):
    """The rule that disqualifies each address of one file; each distinct one is looked up once."""

    def __init__(self, ranges: Ranges) -> None:
        super().__init__()
        self._ranges = ranges

    def __missing__(self, address: str) -> str | None:
        rule = self[address] = DATA_CENTRE if address in self._ranges else None
        return rule


class Purposes(dict[str, str | None]):
    """The rule that disqualifies what was requested for each purpose of one file: what was fetched in advance.

    Whoever opens the page later asks for what it counts by anew, without that header.
    """

    def __missing__(self, purpose: str) -> str | None:
        rule = self[purpose] = PREFETCH if _IN_ADVANCE.match(purpose) else None
        return rule


class Sizes(dict[str, str | None]):
    """The rule that disqualifies each size of one file: a slot without width or height shows nothing.

    One pixel is no such size: ad servers write 1x1 for formats that bring their own size, as native, audio and
    out-of-page ones do (developers.google.com/ad-manager/api/reference/v202411/ForecastService.CreativeSizeType). Only
    what is a size and nothing else is judged, not what slots are called.
    """

    def __missing__(self, slot: str) -> str | None:
        size = _SIZE.fullmatch(slot)
        rule = self[slot] = ZERO_SIZE if size and 0 in (int(size[1]), int(size[2])) else None
        return rule


@dataclass(frozen=True, slots=True)
class Filters:
    """What the rules go by."""

    declared: re.Pattern[str]
    data_centres: Ranges

    @classmethod
    def shipped(cls) -> Self:
        """The package's list of robots; no ranges, because those change and are somebody's to keep."""
        return cls(_shipped_robots(), Ranges())


def read_filters(folder: Path) -> Filters:
    """What a workspace's own files say, and what is shipped where there is no such file.

    Raises:
        ExperimentError: for a file that is no such list, in one line with its place.
    """
    robots, ranges = folder / BOTS, folder / DATA_CENTRES
    return Filters(
        _robots_of(robots) if os.path.lexists(robots) else _shipped_robots(),
        _ranges_of(ranges) if os.path.lexists(ranges) else Ranges(),
    )


@cache
def _shipped_robots() -> re.Pattern[str]:
    """All patterns of the package as one, compiled once."""
    return re.compile("|".join(f"(?:{crawler['pattern']})" for crawler in CRAWLER_USER_AGENTS_DATA))


def _robots_of(path: Path) -> re.Pattern[str]:
    try:
        found = json.loads(own_text(path))
    except ValueError as error:
        raise ExperimentError(f"{path} is no JSON: {error}") from None
    robots = found if isinstance(found, list) else []
    said = [each.get("pattern") if isinstance(each, dict) else None for each in robots]
    patterns = [pattern for pattern in said if isinstance(pattern, str) and pattern]
    if not patterns or len(patterns) < len(said):
        raise ExperimentError(f'{path} is no list of robots: it is to be [{{"pattern": "..."}}, ...]')
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ExperimentError(f"{path}: {pattern!r} is no regular expression: {error}") from None
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _ranges_of(path: Path) -> Ranges:
    networks = []
    for number, line in enumerate(own_text(path).splitlines(), start=1):
        said = line.partition("#")[0].strip()
        if said:
            try:
                networks.append(ipaddress.ip_network(said))
            except ValueError as error:
                raise ExperimentError(f"{path}:{number}: {error}: ranges look like 198.51.100.0/24") from None
    return Ranges(networks)
