"""Engine ``palette``: looks made of colour alone. Each pixel is graded by its own value; edges stay as they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from creatives.engines.parameters import Hex, Parameters, Share, read_look

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Duotone(Parameters):
    """Tones mapped onto a ramp of colours, darkest first."""

    colours: Annotated[list[Hex], Field(min_length=2, max_length=6)]
    contrast: Annotated[float, Field(gt=0, le=3)] = 1.2
    """Steepness of the tone curve around the middle."""
    keep: Share = 0.0
    """Share of the photograph's own colour that shines through."""


class Film(Parameters):
    """A colour film: lifted shadows, split toning, halation around lights, grain."""

    shadows: Hex = "#16222b"
    highlights: Hex = "#fff1dc"
    warmth: Annotated[float, Field(ge=-1, le=1)] = 0.35
    fade: Share = 0.06
    saturation: Annotated[float, Field(ge=0, le=2)] = 1.08
    halation: Share = 0.35
    grain: Share = 0.3


LOOKS: Mapping[str, type[Parameters]] = {"duotone": Duotone, "film": Film}


class Palette:
    """Grades and ramps."""

    name = "palette"
    version = "2"

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """As `creatives.engines.Engine.check`."""
        look, checked = read_look(LOOKS, parameters, where)
        return {"look": look, **checked.model_dump(mode="json")}

    def paper(self, parameters: Mapping[str, Any]) -> str:
        """The brightest colour of the ramp; film leaves white alone."""
        return str(parameters["colours"][-1]) if parameters["look"] == "duotone" else "#ffffff"

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
        from creatives.looks import grades

        look, checked = read_look(LOOKS, parameters, self.name)
        return keep_white_ground(rgb, grades.RENDERERS[look](rgb, checked, seed), self.paper(parameters))
