"""Robots that say they are: user agents matched against the list its community keeps (crawler-user-agents)."""

import re
from functools import cache

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from experiments.events.schema import DECLARED_BOT


@cache
def _declared() -> re.Pattern[str]:
    """All patterns of the package as one, compiled once."""
    return re.compile("|".join(f"(?:{crawler['pattern']})" for crawler in CRAWLER_USER_AGENTS_DATA))


class Agents(dict[str, str | None]):
    """The rule that disqualifies each user agent of one file, None for a person's; each distinct agent matched once."""

    def __missing__(self, agent: str) -> str | None:
        rule = self[agent] = DECLARED_BOT if _declared().search(agent) else None
        return rule
