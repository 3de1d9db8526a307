"""Engine ``optimise``: the pixels of each picture are optimised. Minutes a picture; other engines are judged by it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from creatives.documents import validate_document
from creatives.engines import EngineError, Part
from creatives.engines.drawn import Blending, pack_file, pack_picture
from creatives.engines.parameters import PackFile, Parameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from creatives.neural.deep import Sight

VGG = "vgg19"
"""In place of the eye's hash."""
Weight = Annotated[float, Field(ge=0, le=1000)]


class Optimisation(Parameters):
    """A style as a picture in its pack, and how far a photograph goes towards it."""

    picture: PackFile
    """File name of the style's picture inside the pack's folder, such as ``style.webp``."""
    picture_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of that file: so the pack's identity covers the picture, and another picture is refused."""
    eye: Annotated[str, Field(pattern=f"^([0-9a-f]{{12}}|{VGG})$")] = VGG
    """Through which pictures are compared: VGG-19, wherever its weights lie, or the first digits of the SHA-256 of the
    file of the eye that comes along."""
    size: Annotated[int, Field(ge=256, le=1024)] = 768
    """Longest side worked at; larger photographs get their fine detail back."""
    scales: Annotated[int, Field(ge=1, le=4)] = 3
    """Sizes worked at, each twice the one before."""
    iterations: Annotated[int, Field(ge=1, le=2000)] = 100
    """At each scale."""
    method: Literal["lbfgs", "adam"] = "lbfgs"
    style_weight: Weight = 2.0
    content_weight: Weight = 1.0
    smooth: Weight = 0.2
    calm: Weight = 3.0
    """How much more the photograph's content counts where it is flat: strokes go where there is something to draw."""


class Optimise(Blending):
    """A photograph moved pixel by pixel until its moments are the style's."""

    name = "optimise"
    version = "7"

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """As `creatives.engines.Engine.check`; a style made for another eye than the one at hand is refused."""
        from creatives.neural.vgg import eye_hash

        checked = validate_document(parameters, Optimisation, where)
        if checked.eye == VGG:  # said of none before there was a choice: what they are called stays
            return checked.model_dump(mode="json", exclude={"eye"})
        if checked.eye != (here := eye_hash()):
            raise EngineError(f"{where}: made for eye {checked.eye}, here is {here}: make the style again")
        return checked.model_dump(mode="json")

    def check_blend(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        """As `creatives.engines.Choosy.check_blend`."""
        settings = [Optimisation.model_validate(each) for each in parameters]
        if len({each.model_copy(update={"picture": "", "picture_sha256": ""}) for each in settings}) > 1:
            raise EngineError(
                "styles with different settings cannot be blended: blend styles that share all but pictures"
            )

    def mix(self, rgb: "NDArray[np.uint8]", parts: Sequence[Part], *, seed: int) -> "NDArray[np.uint8]":
        """As `creatives.engines.Mixing.mix`: moments add, and what strength leaves over is the photograph's own."""
        import torch

        from creatives.colour import to_bytes
        from creatives.grounds import keep_white_ground, white_ground
        from creatives.neural import optimise as neural

        self.check_blend([part.parameters for part in parts])
        settings = [Optimisation.model_validate(part.parameters) for part in parts]
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        wish = settings[0]
        chosen = neural.Settings(
            scales=wish.scales, iterations=wish.iterations, method=wish.method, style_weight=wish.style_weight,
            content_weight=wish.content_weight, smooth=wish.smooth, calm=wish.calm,
        )  # fmt: skip
        styles = [
            (
                _tensor(pack_picture(pack_file(part.folder, each.picture, self.name), each.picture_sha256)).to(device),
                part.strength * part.weight,
            )
            for each, part in zip(settings, parts, strict=True)
        ]
        sight = _sight(wish.eye).to(device).to(memory_format=torch.channels_last)
        photograph = _tensor(rgb, neural.SMALLEST).to(device)
        factor = min(1.0, wish.size / max(photograph.shape[2:]))
        height, width = (max(neural.SMALLEST, round(side * factor)) for side in photograph.shape[2:])
        styled = picture = neural.resized(photograph, (height, width))
        ground = white_ground(rgb)
        counted = None if ground is None else _product(ground, photograph)
        with _repeatable():
            for progress in neural.optimise(picture, styles, sight, chosen, seed, counted):
                styled = progress.picture
        left = max(0.0, 1 - sum(share for _, share in styles))
        out = neural.grown(styled, photograph, left)[0, :, : rgb.shape[0], : rgb.shape[1]]
        return keep_white_ground(rgb, to_bytes(out.permute(1, 2, 0).cpu().numpy()))


def _tensor(rgb: "NDArray[np.uint8]", smallest: int = 1) -> "Tensor":
    """``(1, 3, height, width)`` in 0..1, mirrored at the far edges to sides of at least ``smallest``."""
    import numpy as np
    import torch

    grow = [(0, max(0, smallest - side)) for side in rgb.shape[:2]]
    padded = np.pad(rgb, (*grow, (0, 0)), mode="symmetric")
    return torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255


def _product(ground: "NDArray[np.float32]", photograph: "Tensor") -> "Tensor":
    """Where strokes are asked for, ``(1, 1, height, width)`` of ``photograph``: not on a white ground."""
    import numpy as np
    import torch

    grow = [(0, size - side) for size, side in zip(photograph.shape[2:], ground.shape, strict=True)]
    return torch.from_numpy(1 - np.pad(ground, grow, mode="symmetric"))[None, None].to(photograph)


def _sight(eye: str) -> "Sight":
    from creatives.neural.vgg import EYE, find_small, find_vgg

    return _through_vgg(find_vgg(), find_small()) if eye == VGG else _through_eye(EYE)


@lru_cache(maxsize=1)
def _through_eye(eye: Path) -> "Sight":
    from creatives.neural.deep import Sight
    from creatives.neural.eye import load_eye

    return Sight(load_eye(eye))


@lru_cache(maxsize=1)
def _through_vgg(vgg: Path, small: Path | None) -> "Sight":
    from creatives.neural.deep import DeepVgg19, Sight
    from creatives.neural.features import Distilled, read_weights

    deep = DeepVgg19(read_weights(vgg), str(vgg))
    return Sight(deep, Distilled(read_weights(small), str(small)) if small else None)


@contextmanager
def _repeatable() -> Iterator[None]:
    """The same sums in the same order each time, on CUDA too; what the caller had chosen is put back."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    # Only warned of: cuBLAS refuses unless its workspace was fixed before the process began.
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
