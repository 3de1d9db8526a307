"""Engine ``reference``: any style, from one picture and in one pass; nothing is trained for it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from creatives.documents import validate_document
from creatives.engines import EngineError, Part
from creatives.engines.drawn import Blending, Drawn, pack_file, pack_picture
from creatives.engines.parameters import PackFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from creatives.neural.exchange import Statistics

NETWORK = Path(__file__).parents[1] / "networks" / "reference.safetensors"


class Likeness(Drawn):
    """A style as a picture in its pack, and how photographs take after it."""

    picture: PackFile
    """File name of the style's picture inside the pack's folder, such as ``style.webp``."""
    picture_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of that file: so the pack's identity covers the picture, and another picture is refused."""
    network: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    """First digits of the SHA-256 of the network's file: another network would give another picture."""
    size: Annotated[int, Field(ge=64, le=2048)] = 512
    """Longer side at which the style's picture is looked at: the smaller, the finer its strokes become."""


class Reference(Blending):
    """A photograph whose features take on the statistics of a picture's."""

    name = "reference"
    version = "7"

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """As `creatives.engines.Engine.check`; a style made for another network than the one at hand is refused."""
        checked = validate_document(parameters, Likeness, where)
        here = network_hash()
        if checked.network != here:
            raise EngineError(f"{where}: made for network {checked.network}, here is {here}: make the style again")
        return checked.model_dump(mode="json")

    def check_blend(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        """As `creatives.engines.Choosy.check_blend`."""
        first, *others = (Likeness.model_validate(each) for each in parameters)
        if not all(each.network == first.network and each.mixes_with(first) for each in others):
            raise EngineError(
                "styles of different networks or settings cannot be blended: blend styles that share them"
            )

    def mix(self, rgb: "NDArray[np.uint8]", parts: Sequence[Part], *, seed: int) -> "NDArray[np.uint8]":  # noqa: ARG002
        """As `creatives.engines.Mixing.mix`: moments add, and what strength leaves over is the photograph's own.

        What the network cannot give back of the photograph is added in the same share, so that strength runs down to
        the photograph itself.
        """
        from creatives.colour import to_bytes, to_float
        from creatives.enlarging import to_draw
        from creatives.grounds import white_ground
        from creatives.neural.likeness import network_in, take_after

        self.check_blend([part.parameters for part in parts])
        settings = [Likeness.model_validate(part.parameters) for part in parts]
        styles = [
            (_statistics_of(pack_file(part.folder, each.picture, self.name), each.picture_sha256, each.size, NETWORK),
             part.strength * part.weight)
            for each, part in zip(settings, parts, strict=True)
        ]  # fmt: skip
        picture = to_float(rgb)
        drawn = to_draw(picture)
        ground = white_ground(to_bytes(drawn)) if settings[0].white_ground else None
        styled = take_after(drawn, styles, network_in(NETWORK), None if ground is None else 1 - ground)
        return settings[0].finished(rgb, picture, styled, drawn)


def network_hash() -> str:
    """What a style's parameter ``network`` must be here.

    Raises:
        EngineError: where the network's file is missing.
    """
    from creatives.neural.shared import file_sha256

    if not NETWORK.is_file():
        raise EngineError(f"there is no file of weights {NETWORK}: install adstyle again")
    return file_sha256(NETWORK)[:12]


@lru_cache(maxsize=32)
def _statistics_of(path: Path, sha256: str, size: int, network: Path) -> "tuple[Statistics, ...]":
    """What the style's picture in a file is known by.

    Raises:
        CreativeError: for a picture that is missing, damaged, or another than the pack names.
    """
    import numpy as np
    from PIL import Image

    from creatives.colour import to_float
    from creatives.neural.likeness import network_in, statistics_of

    image = Image.fromarray(pack_picture(path, sha256))
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return statistics_of(to_float(np.asarray(image)), network_in(network))
