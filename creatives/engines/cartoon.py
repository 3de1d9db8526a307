"""Engine ``cartoon``: flat areas and inky contours, drawn by a pack's own generator, which two critics taught."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from creatives.documents import validate_document
from creatives.engines.drawn import Drawn, OnWhite, pack_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = "weights.safetensors"


class Cartoon(OnWhite):
    """Cartoons, learned from pictures and no pairs; strength and blends are mixed pixel by pixel."""

    name = "cartoon"
    version = "7"

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """As `creatives.engines.Engine.check`."""
        return validate_document(parameters, Drawn, where).model_dump(mode="json")

    def apply(
        self,
        rgb: "NDArray[np.uint8]",
        parameters: Mapping[str, Any],
        *,
        seed: int,  # noqa: ARG002 - its pen knows no dice
        folder: Path | None = None,
    ) -> "NDArray[np.uint8]":
        """As `creatives.engines.Engine.apply`."""
        from creatives.colour import to_float
        from creatives.enlarging import to_draw
        from creatives.neural.drawing import draw, drawer_of

        weights = pack_file(folder, WEIGHTS, self.name)
        picture = to_float(rgb)
        drawn = to_draw(picture)
        return Drawn.model_validate(parameters).finished(rgb, picture, draw(drawn, drawer_of(weights)), drawn)
