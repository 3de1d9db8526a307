"""Names of time zones."""

import difflib
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones


def known_zone(name: str) -> str:
    """The name of a time zone (IANA, ``Europe/Berlin``).

    Raises:
        ValueError: for a name that is none, with the nearest that is.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    else:
        return name
    folded = {each.lower(): each for each in available_timezones()}
    near = difflib.get_close_matches(name.lower().replace(" ", "_"), folded, n=1)
    advice = f"did you mean {folded[near[0]]!r}?" if near else "name one like Europe/Berlin, or UTC"
    raise ValueError(f"there is no time zone {name!r}: {advice}")
