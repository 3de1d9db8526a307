"""Names people give to experiments, briefs and arms: they become keys, file names and parts of URLs."""

import re
import unicodedata

from experiments.core.errors import ExperimentError

LONGEST = 63
_SLUG = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{LONGEST - 1}}}")


class BadName(ExperimentError):
    """A name that could not safely be a key, a file name and part of a URL."""


def check_name(what: str, name: str) -> str:
    """``name`` itself if it is a slug (1 to 63 of a-z, 0-9 and ``-``, beginning with a letter or digit).

    Raises:
        BadName: telling which name of what, what is wrong with it, and a name that would do.
    """
    if _SLUG.fullmatch(name):
        return name
    suggestion = slugified(name)
    advice = f"; {suggestion!r} would do" if suggestion else ""
    shown = name if len(name) <= LONGEST else name[:LONGEST] + "…"
    raise BadName(f"{what} name {shown!r} {_complaint(name)}{advice}")


def slugified(text: str) -> str:
    """The nearest slug, empty where nothing can be kept: ``Spring Sale 2026!`` gives ``spring-sale-2026``."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST].strip("-")


def _complaint(name: str) -> str:
    if not name:
        return "is empty; use 1 to 63 of a-z, 0-9 and -"
    if not re.search(r"[^a-z0-9-]", name):
        return "begins with a hyphen" if name.startswith("-") else f"has {len(name)} characters; at most {LONGEST} fit"
    odd = next(character for character in name if not re.match(r"[a-z0-9-]", character))
    return f"holds {odd!r}; use only a-z, 0-9 and -, beginning with a letter or digit"
