"""Engine ``cartoon``: flat areas and inky contours, drawn by a pack's own generator, which two critics taught."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from creatives.documents import validate_document
from creatives.engines import EngineError
from creatives.engines.parameters import Parameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = "weights.safetensors"


class Drawing(Parameters):
    """How a generator's drawing is used."""

    colours: Literal["style", "photograph"] = "style"
    """The drawing's own, or the photograph's under the drawing's lightness."""
    white_ground: bool = True
    """A packshot's white ground stays as it is."""


class Cartoon:
    """Cartoons, learned from pictures and no pairs; strength and blends are mixed pixel by pixel."""

    name = "cartoon"
    version = "1"

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """As `creatives.engines.Engine.check`."""
        return validate_document(parameters, Drawing, where).model_dump(mode="json")

    def paper(self, parameters: Mapping[str, Any]) -> str:  # noqa: ARG002 - the same for every style
        """White grounds are kept."""
        return "#ffffff"

    def apply(
        self,
        rgb: "NDArray[np.uint8]",
        parameters: Mapping[str, Any],
        *,
        seed: int,  # noqa: ARG002 - its pen knows no dice
        folder: Path | None = None,
    ) -> "NDArray[np.uint8]":
        """As `creatives.engines.Engine.apply`."""
        import numpy as np

        from creatives.colour import to_bytes, to_float
        from creatives.grounds import keep_white_ground
        from creatives.keeping import keep_hues
        from creatives.neural.drawing import draw, drawer_of

        if folder is None:
            raise EngineError("a style of engine cartoon needs its pack's folder, where its weights lie")
        wish = Drawing.model_validate(parameters)
        picture = to_float(rgb)
        drawn = np.clip(draw(picture, drawer_of(folder / WEIGHTS)), 0, 1)
        if wish.colours == "photograph":
            drawn = keep_hues(picture, drawn)
        out = to_bytes(drawn)
        return keep_white_ground(rgb, out) if wish.white_ground else out
