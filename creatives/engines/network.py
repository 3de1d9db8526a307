"""Engine ``network``: a feed-forward transformer shared by all its styles; a style is an adapter of a few kilobytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from creatives.documents import validate_document
from creatives.engines import EngineError, Part
from creatives.engines.drawn import Blending, Drawn, pack_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OWN = "own"
"""In place of the shared network's hash: the pack brings a network of its own."""
WEIGHTS = "weights.safetensors"
_NOTHING = 1e-6


class Adapter(Drawn):
    """A style of the shared network, or of one in its own pack."""

    network: Annotated[str, Field(pattern=f"^([0-9a-f]{{12}}|{OWN})$")]
    """First digits of the SHA-256 of the shared network's file: an adapter belongs to exactly one network."""
    full: Annotated[float, Field(gt=0, le=1)] = 1.0
    """What full strength is of what was learned: a style that covers all else leaves more to the photograph."""


class Network(Blending):
    """Strokes learned from a picture."""

    name = "network"

    @property
    def version(self) -> str:
        """Pictures drawn in eight bits are others, and so must be the styles' identities."""
        from creatives.neural.runner import chosen_precision

        return "7-int8" if chosen_precision() == "int8" else "7"

    def check(self, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """As `creatives.engines.Engine.check`; an adapter of another network than the one at hand is refused.

        An adapter of the network that the one at hand was pruned from is taken, and named after the pruned one: its
        pictures are others, and so must be the style's identity.
        """
        from creatives.neural.shared import adapters_fit, shared_file

        checked = validate_document(parameters, Adapter, where).model_dump(mode="json")
        if checked["network"] != OWN:
            fitting = adapters_fit(shared_file())
            here = fitting[0][:12]
            if not any(each.startswith(checked["network"]) for each in fitting):
                made = f"made for network {checked['network']}, here is {here}"
                raise EngineError(f"{where}: {made}: train the style again")
            checked["network"] = here
        return checked

    def check_blend(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        """As `creatives.engines.Choosy.check_blend`."""
        first, *others = (Adapter.model_validate(each) for each in parameters)
        # Each of those that bring a network of their own brings another.
        if others and first.network == OWN:
            raise EngineError("styles that bring networks of their own cannot be blended: blend others")
        if not all(each.network == first.network and each.mixes_with(first) for each in others):
            raise EngineError(
                "styles of different networks or settings cannot be blended: blend styles that share them"
            )

    def mix(self, rgb: "NDArray[np.uint8]", parts: Sequence[Part], *, seed: int) -> "NDArray[np.uint8]":  # noqa: ARG002
        """As `creatives.engines.Mixing.mix`: adapters add, and what strength leaves over is the identity's adapter.

        What the network cannot give back of the photograph under its identity is added in the same share, so that
        strength runs down to the photograph itself.
        """
        import numpy as np

        from creatives.colour import to_float
        from creatives.enlarging import to_draw
        from creatives.neural.runner import runner_of
        from creatives.neural.tiling import lost, style_picture

        self.check_blend([part.parameters for part in parts])
        settings = [Adapter.model_validate(part.parameters) for part in parts]
        path, identity = _network_of(settings[0], parts[0])
        runner = runner_of(path)
        shares = [part.strength * part.weight * each.full for part, each in zip(parts, settings, strict=True)]
        left = max(0.0, 1.0 - sum(shares))
        adapter = sum(share * _vector(part, "adapter") for share, part in zip(shares, parts, strict=True))
        picture = to_float(rgb)
        drawn = to_draw(picture)
        if identity is None:
            styled = style_picture(drawn, np.asarray(adapter / sum(shares), np.float32), runner)
            styled = styled + left * (drawn - styled)
        else:
            styled = style_picture(drawn, np.asarray(adapter + left * identity, np.float32), runner)
            if left > _NOTHING:
                styled = styled + left * lost(drawn, identity, runner)
        return settings[0].finished(rgb, picture, styled, drawn)


def _network_of(settings: Adapter, part: Part) -> "tuple[Path, NDArray[np.float32] | None]":
    """The file of the network, and its identity adapter; a network trained for one style alone has none."""
    from creatives.neural.shared import IDENTITY, read_vector, shared_file

    if settings.network == OWN:
        return _weights(part), None
    path = shared_file()
    return path, read_vector(path, IDENTITY, adapter_size())


def _vector(part: Part, name: str) -> "NDArray[np.float32]":
    from creatives.neural.shared import read_vector

    return read_vector(_weights(part), name, adapter_size())


def _weights(part: Part) -> Path:
    path = pack_file(part.folder, WEIGHTS, Network.name)
    if not path.is_file():
        raise EngineError(f"there is no file of weights {path}: get the whole pack again")
    return path


def adapter_size() -> int:
    """Numbers in an adapter, known without loading torch; a test compares it with the network's."""
    return 2252
