"""Engine ``reference``: any style, from one picture and in one pass; nothing is trained for it."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from creatives.documents import validate_document
from creatives.engines import EngineError, Part
from creatives.engines.parameters import PackFile, Parameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from creatives.neural.exchange import Statistics

NETWORK = Path(__file__).parents[1] / "networks" / "reference.safetensors"


class Likeness(Parameters):
    """A style as a picture in its pack, and how photographs take after it."""

    picture: PackFile
    """File name of the style's picture inside the pack's folder, such as ``style.webp``."""
    picture_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of that file: so the pack's identity covers the picture, and another picture is refused."""
    network: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    """First digits of the SHA-256 of the network's file: another network would give another picture."""
    size: Annotated[int, Field(ge=64, le=2048)] = 512
    """Longer side at which the style's picture is looked at: the smaller, the finer its strokes become."""
    colours: Literal["style", "photograph", "palette"] = "style"
    """The style's own; the photograph's under the style's lightness; or the style's strokes in its palette."""
    white_ground: bool = True
    """A packshot's white ground stays as it is."""


class Reference:
    """A photograph whose features take on the statistics of a picture's."""

    name = "reference"
    version = "1"

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """As `creatives.engines.Engine.check`; a style made for another network than the one at hand is refused."""
        checked = validate_document(parameters, Likeness, where)
        here = network_hash()
        if checked.network != here:
            raise EngineError(f"{where}: made for network {checked.network}, here is {here}: make the style again")
        return checked.model_dump(mode="json")

    def paper(self, parameters: Mapping[str, Any]) -> str:  # noqa: ARG002 - the same for every style
        """White grounds are kept."""
        return "#ffffff"

    def apply(
        self, rgb: "NDArray[np.uint8]", parameters: Mapping[str, Any], *, seed: int, folder: Path | None = None
    ) -> "NDArray[np.uint8]":
        """As `creatives.engines.Engine.apply`."""
        return self.mix(rgb, [Part(parameters, folder, 1.0, 1.0)], seed=seed)

    def mix(self, rgb: "NDArray[np.uint8]", parts: Sequence[Part], *, seed: int) -> "NDArray[np.uint8]":  # noqa: ARG002
        """As `creatives.engines.Mixing.mix`: moments add, and what strength leaves over is the photograph's own.

        What the network cannot give back of the photograph is added in the same share, so that strength runs down to
        the photograph itself.
        """
        import numpy as np

        from creatives.colour import to_bytes, to_float
        from creatives.grounds import keep_white_ground, white_ground
        from creatives.keeping import keep_hues, keep_palette
        from creatives.neural.likeness import network_in, take_after

        settings = [Likeness.model_validate(part.parameters) for part in parts]
        if len({(each.network, each.colours, each.white_ground) for each in settings}) > 1:
            raise EngineError(
                "styles of different networks or settings cannot be blended: blend styles that share them"
            )
        styles = [
            (_statistics_of(_picture_of(each, part), each.picture_sha256, each.size, NETWORK),
             part.strength * part.weight)
            for each, part in zip(settings, parts, strict=True)
        ]  # fmt: skip
        picture = to_float(rgb)
        ground = white_ground(rgb) if settings[0].white_ground else None
        styled = np.clip(take_after(picture, styles, network_in(NETWORK), None if ground is None else 1 - ground), 0, 1)
        if settings[0].colours == "photograph":
            styled = keep_hues(picture, styled)
        elif settings[0].colours == "palette":
            styled = keep_palette(picture, styled)
        out = to_bytes(styled)
        return keep_white_ground(rgb, out) if settings[0].white_ground else out


def network_hash() -> str:
    """What a style's parameter ``network`` must be here.

    Raises:
        EngineError: where the network's file is missing.
    """
    from creatives.neural.shared import file_sha256

    if not NETWORK.is_file():
        raise EngineError(f"there is no file of weights {NETWORK}: install adstyle again")
    return file_sha256(NETWORK)[:12]


def _picture_of(settings: Likeness, part: Part) -> Path:
    if part.folder is None:
        raise EngineError("a style of engine reference needs its pack's folder, where its picture lies")
    return part.folder / settings.picture


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
    from creatives.pictures import load_picture

    image = Image.fromarray(load_picture(path).rgb)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise EngineError(f"{path} is not the picture the pack names (its sha256 is {found[:12]}...): get it again")
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return statistics_of(to_float(np.asarray(image)), network_in(network))
