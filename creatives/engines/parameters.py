"""Parameters of engines, read strictly."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from creatives.documents import validate_document
from creatives.engines import EngineError

Share = Annotated[float, Field(ge=0, le=1)]
Hex = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


class Parameters(BaseModel):
    """Base of every look's parameters: unknown keys are errors, and text or a truth value is no number.

    A whole number may stand for any other; ``3.0`` is no whole number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def read_look(
    looks: Mapping[str, type[Parameters]], parameters: Mapping[str, Any], where: str
) -> tuple[str, Parameters]:
    """The look that ``parameters`` name under the key ``look``, and its checked parameters."""
    if "look" not in parameters:
        raise EngineError(f"{where}: look is missing; it may be {', '.join(looks)}")
    name = parameters["look"]
    if not isinstance(name, str) or name not in looks:
        raise EngineError(f"{where}: look {name!r} is none of {', '.join(looks)}")
    rest = {key: value for key, value in parameters.items() if key != "look"}
    return name, validate_document(rest, looks[name], where)


_LONGEST_NAME = 255
"""Bytes of a file's name, where file systems are most generous."""


def _stays_inside(name: str) -> str:
    if not name or name.startswith(".") or any(mark in name for mark in "/\\:\0"):
        raise ValueError("is the name of a file inside the pack, such as style.webp, and no path")
    if not name.isprintable():
        raise ValueError("holds a control character")
    if len(name.encode("utf-8", "replace")) > _LONGEST_NAME:
        raise ValueError(f"is longer than the {_LONGEST_NAME} bytes that a file's name may have")
    return name


PackFile = Annotated[str, AfterValidator(_stays_inside)]
"""The name of a file in a pack's folder."""
