"""What can be done next: the last line of many commands."""

from collections.abc import Mapping

NEXT: Mapping[str, str] = {
    "draft": "adstyle experiment generate {name}",
    "generating": "adstyle experiment generate {name}",
    "review": "adstyle experiment review {name}, then start {name}",
    "running": "wait for the next look; adstyle experiment show {name}",
    "paused": "adstyle experiment resume {name}",
    "concluded": "adstyle experiment archive {name}",
    "promoted": "to undo: adstyle experiment rollback {name}",
    "rolled_back": "adstyle experiment archive {name}",
    "archived": "",
}
DAMAGED = "restore the database's backup"
WINNER_WAITS = "adstyle job run promote"
PROPOSED = "adstyle experiment approve {name}, or decline {name}"


def advice(phase: str, name: str, winner: str | None, proposed: str | None, next_look: str | None = None) -> str:
    """The command to type next, or what to wait for: the day of the ``next_look``, an instant, where it is known."""
    if phase == "running" and next_look:
        return f"wait for the next look, on {next_look[:10]}"
    if phase == "concluded" and proposed:
        return PROPOSED.format(name=name)
    if phase == "concluded" and winner:
        return WINNER_WAITS
    return NEXT[phase].format(name=name)
