"""Engine ``filters``: looks made of marks on paper: dots, lines, washes, glowing edges. No weights, milliseconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from creatives.engines.parameters import Hex, Parameters, Share, read_look

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Positive = Annotated[float, Field(gt=0, le=200)]
"""A length in pixels of a picture whose shorter side has 1080."""


class Halftone(Parameters):
    """Flat bright colour under a screen of ink dots."""

    period: Positive = 11
    angle: float = 38
    ink: Hex = "#20183a"
    saturation: Annotated[float, Field(ge=0, le=3)] = 1.6


class Poster(Parameters):
    """Few flat colours, cut cleanly."""

    colours: Annotated[int, Field(ge=3, le=24)] = 11
    flatness: Positive = 15
    saturation: Annotated[float, Field(ge=0, le=3)] = 1.35
    outline: Share = 0.0


class Pencil(Parameters):
    """Graphite: outlines by dodging, shading by hatching."""

    softness: Positive = 9
    hatching: Share = 0.5
    graphite: Hex = "#2d2d31"


class InkWash(Parameters):
    """Brush and diluted ink on rice paper."""

    wash: Positive = 14
    line: Positive = 1.6
    ink: Hex = "#1a1b20"
    paper: Hex = "#fbf8f1"


class Watercolor(Parameters):
    """Transparent washes that pool at their edges, on rough paper."""

    wash: Positive = 15
    pooling: Share = 0.55
    grain: Share = 0.4
    lightness: Share = 0.25


class Pastel(Parameters):
    """Chalk strokes over toothed paper."""

    stroke: Positive = 16
    tooth: Share = 0.5
    lightness: Share = 0.22


class Riso(Parameters):
    """Two inks printed one over the other, not quite in register."""

    first: Hex = "#2148c7"
    second: Hex = "#ff5a5f"
    paper: Hex = "#fdfaf2"
    shift: Positive = 4
    grain: Share = 0.55


class Linocut(Parameters):
    """Black and paper, with mid-tones carved as lines."""

    period: Positive = 10
    line: Positive = 2.2
    ink: Hex = "#1c1b22"
    paper: Hex = "#fbf6ea"
    tint: Hex = "#e0b15a"


class Neon(Parameters):
    """Night falls, and every edge glows."""

    night: Hex = "#0d0b26"
    dusk: Hex = "#3d2b7a"
    cold: Hex = "#21e6ff"
    warm: Hex = "#ff3ea5"
    glow: Share = 0.8


class GoldLeaf(Parameters):
    """Lacquer in the darks, beaten gold in the middle, ivory above."""

    lacquer: Hex = "#14211d"
    shade: Hex = "#5b4a1f"
    gold: Hex = "#c6963a"
    shine: Hex = "#f0d68a"
    paper: Hex = "#fdf8ec"
    seams: Share = 0.5
    """How much the seams between the leaves show."""


class StainedGlass(Parameters):
    """Pieces of coloured glass in lead, lit from behind."""

    piece: Positive = 54
    lead: Positive = 5
    metal: Hex = "#1b1b20"
    saturation: Annotated[float, Field(ge=0, le=3)] = 1.55
    painting: Share = 0.45
    """How much of the picture is painted on the glass."""


class Mosaic(Parameters):
    """Small stones along the contours, set in mortar."""

    stone: Positive = 15
    mortar: Hex = "#d9d2c3"
    mortar_width: Positive = 2.2
    saturation: Annotated[float, Field(ge=0, le=3)] = 1.25
    variety: Share = 0.6
    """How much stones of one colour differ."""


LOOKS: Mapping[str, type[Parameters]] = {
    "halftone": Halftone,
    "poster": Poster,
    "pencil": Pencil,
    "ink-wash": InkWash,
    "watercolor": Watercolor,
    "pastel": Pastel,
    "riso": Riso,
    "linocut": Linocut,
    "neon": Neon,
    "gold-leaf": GoldLeaf,
    "stained-glass": StainedGlass,
    "mosaic": Mosaic,
}


class Filters:
    """Marks on paper."""

    name = "filters"
    version = "6"

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """As `creatives.engines.Engine.check`."""
        look, checked = read_look(LOOKS, parameters, where)
        return {"look": look, **checked.model_dump(mode="json")}

    def paper(self, parameters: Mapping[str, Any]) -> str:
        """The look's own paper; at night white becomes dusk."""
        return str(parameters.get("dusk") or parameters.get("paper") or "#ffffff")

    def apply(
        self,
        rgb: "NDArray[np.uint8]",
        parameters: Mapping[str, Any],
        *,
        seed: int,
        folder: Path | None = None,  # noqa: ARG002 - these styles have no weights
    ) -> "NDArray[np.uint8]":
        """As `creatives.engines.Engine.apply`."""
        from creatives.grounds import keep_white_ground
        from creatives.looks import marks, tiles, washes

        look, checked = read_look(LOOKS, parameters, self.name)
        drawn = {**marks.RENDERERS, **washes.RENDERERS, **tiles.RENDERERS}[look](rgb, checked, seed)
        return keep_white_ground(rgb, drawn, self.paper(parameters))
