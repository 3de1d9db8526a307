"""What engines share whose networks draw on the whole picture: clean grounds, chosen colours, files of their packs."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from creatives.engines import EngineError, Part
from creatives.engines.parameters import Parameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Drawn(Parameters):
    """What becomes of a drawing when it is finished."""

    colours: Literal["style", "photograph", "palette"] = "style"
    """The style's own; the photograph's under the style's lightness; or the style's strokes in its palette."""
    white_ground: bool = True
    """A packshot's white ground stays as it is."""
    calm: bool = True
    """Where the photograph is flat, no marks are set."""
    tones: Annotated[int, Field(ge=0, le=64)] = 0
    """Flat steps of lightness between black and white, as cartoons have; 0 leaves shading smooth."""

    def mixes_with(self, other: "Drawn") -> bool:
        """Whether drawings that are finished so can be blended."""
        mine, others = (each.model_dump(include=set(Drawn.model_fields)) for each in (self, other))
        return mine == others

    def finished(
        self,
        rgb: "NDArray[np.uint8]",
        picture: "NDArray[np.float32]",
        styled: "NDArray[np.float32]",
        drawn: "NDArray[np.float32] | None" = None,
    ) -> "NDArray[np.uint8]":
        """The drawing as bytes; ``picture`` is ``rgb`` in 0..1, and ``drawn`` what of it was drawn, if not that."""
        import numpy as np

        from creatives.brushes import in_tones
        from creatives.colour import to_bytes
        from creatives.enlarging import enlarged
        from creatives.grounds import keep_white_ground
        from creatives.keeping import keep_calm, keep_hues, keep_palette

        drawn = picture if drawn is None else drawn
        if self.calm:
            styled = keep_calm(drawn, styled, min(picture.shape[:2]))
        styled = np.clip(enlarged(styled, drawn, picture), 0, 1)
        if self.tones:
            styled = in_tones(styled, self.tones)
        if self.colours == "photograph":
            styled = keep_hues(picture, styled)
        elif self.colours == "palette":
            styled = keep_palette(picture, styled)
        out = to_bytes(styled)
        return keep_white_ground(rgb, out) if self.white_ground else out


class OnWhite:
    """An engine that keeps white grounds."""

    def paper(self, parameters: Mapping[str, Any]) -> str:  # noqa: ARG002 - the same for every style
        """White grounds are kept."""
        return "#ffffff"


class Blending(OnWhite, ABC):
    """One that blends by itself: one style is a blend of one."""

    def apply(
        self, rgb: "NDArray[np.uint8]", parameters: Mapping[str, Any], *, seed: int, folder: Path | None = None
    ) -> "NDArray[np.uint8]":
        """As `creatives.engines.Engine.apply`."""
        return self.mix(rgb, [Part(parameters, folder, 1.0, 1.0)], seed=seed)

    @abstractmethod
    def check_blend(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        """As `creatives.engines.Choosy.check_blend`."""

    @abstractmethod
    def mix(self, rgb: "NDArray[np.uint8]", parts: Sequence[Part], *, seed: int) -> "NDArray[np.uint8]":
        """As `creatives.engines.Mixing.mix`."""


def pack_file(folder: Path | None, name: str, engine: str) -> Path:
    """A file of a style's pack.

    Raises:
        EngineError: where the style came without its pack's folder.
    """
    if folder is None:
        raise EngineError(f"a style of engine {engine} needs its pack's folder, where {name} lies")
    return folder / name


def pack_picture(path: Path, sha256: str) -> "NDArray[np.uint8]":
    """The style's picture in a pack, ``(height, width, 3)``; where it is transparent it is white.

    Raises:
        CreativeError: for a picture that is missing, damaged, or another than the pack names.
    """
    from creatives.pictures import load_picture, on_ground

    loaded = load_picture(path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise EngineError(f"{path} is not the picture the pack names (its sha256 is {found[:12]}...): get it again")
    return on_ground(loaded)
