"""What can be done next, by phase: the last line of many commands."""

from collections.abc import Mapping

NEXT: Mapping[str, str] = {
    "draft": "adstyle experiment generate {name}",
    "generating": "adstyle experiment generate {name}",
    "review": "adstyle experiment review {name}, then start {name}",
    "running": "wait for the next look; adstyle report",
    "paused": "adstyle experiment resume {name}",
    "concluded": "adstyle experiment show {name}; adstyle report",
    "promoted": "adstyle experiment rollback {name} undoes it",
    "rolled_back": "adstyle experiment archive {name}",
    "archived": "",
}


def advice(phase: str, name: str) -> str:
    """The command to type next, or what to wait for."""
    return NEXT[phase].format(name=name)
