"""Engines: code that applies a style to a picture. Styles are data; an engine's name is taken once.

An engine is a class named by an entry point in the group ``adstyle.engines``. Its module must be cheap to import
(parameters and version); what is heavy, torch above all, it imports inside ``apply``.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from creatives.errors import CreativeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUP = "adstyle.engines"


class EngineError(CreativeError):
    """An engine is missing, taken twice, or given parameters it does not have."""


class Engine(Protocol):
    """What every engine promises; `creatives.checks` proves it style by style."""

    name: str
    version: str
    """Raised whenever the same parameters would give another picture: it is part of a style's identity."""

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The parameters with defaults filled in, as plain JSON values.

        Raises:
            CreativeError: for unknown or impossible parameters, naming ``where`` they stand.
        """
        ...

    def paper(self, parameters: Mapping[str, Any]) -> str:
        """What becomes of pure white, as ``#rrggbb``: packshots stand on it."""
        ...

    def apply(
        self, rgb: "NDArray[np.uint8]", parameters: Mapping[str, Any], *, seed: int, folder: Path | None = None
    ) -> "NDArray[np.uint8]":
        """The styled picture, of the same shape ``(height, width, 3)``; the same seed gives the same picture.

        ``folder`` is the pack's: engines whose styles have weights find them there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One style of a blend: ``strength`` and ``weight`` as in its reference, both above 0 and up to 1."""

    parameters: Mapping[str, Any]
    folder: Path | None
    strength: float
    weight: float


@runtime_checkable
class Mixing(Protocol):
    """What an engine may offer beside: strength and blends of its own. Others are mixed pixel by pixel."""

    def mix(self, rgb: "NDArray[np.uint8]", parts: Sequence[Part], *, seed: int) -> "NDArray[np.uint8]":
        """The picture in several styles at once; weights sum to 1, and what strength leaves over is the picture."""
        ...


@runtime_checkable
class Choosy(Protocol):
    """What an engine may offer beside: that not all of its styles can be blended. Others take any blend."""

    def check_blend(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Refuse a blend of styles with these parameters before anything is drawn.

        Raises:
            EngineError: in words that go after the blend's name.
        """
        ...


@lru_cache(maxsize=1)
def _registered() -> dict[str, EntryPoint]:
    return register(entry_points(group=GROUP))


def register(points: "tuple[EntryPoint, ...] | Any") -> dict[str, EntryPoint]:
    """Entry points by name.

    Raises:
        EngineError: where two packages offer the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in points:
        if point.name in found and found[point.name].value != point.value:
            raise EngineError(
                f"engine {point.name!r} is offered twice, by {found[point.name].value} and {point.value}: remove one"
            )
        found[point.name] = point
    return found


@lru_cache(maxsize=32)
def engine_named(name: str) -> Engine:
    """The engine of that name, imported on first use."""
    points = _registered()
    if name not in points:
        near = difflib.get_close_matches(name, points, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(points))}"
        raise EngineError(f"there is no engine {name!r}: {advice}")
    engine: Engine = points[name].load()()
    return engine
