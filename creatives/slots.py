"""Slots: the sizes advertisements are made for, with what each place accepts. The catalogue is data: ``slots.toml``."""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from creatives.documents import suggestion, validate_document
from creatives.errors import CreativeError

DEFAULT_SLOTS = ("300x250", "728x90", "1080x1080")


class UnknownSlot(CreativeError):
    """No slot of the catalogue has this name."""


class Margins(NamedTuple):
    """Pixels inside each edge."""

    top: int = 0
    right: int = 0
    bottom: int = 0
    left: int = 0


class Slot(BaseModel):
    """One size and its rules; sizes and margins in pixels of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[1-9]\d{1,3}x[1-9]\d{1,3}$")]
    title: str
    platforms: tuple[str, ...]
    max_bytes: Annotated[int, Field(gt=0)]
    safe: Margins = Margins()
    pixel_ratio: Annotated[float, Field(ge=1, le=4)] = 1.0
    """Pixels of the file for one pixel as it is commonly seen: what is legible depends on it."""
    border: bool = False
    source: str
    checked_on: date

    @property
    def width(self) -> int:
        return int(self.name.split("x")[0])

    @property
    def height(self) -> int:
        return int(self.name.split("x")[1])


class _Catalogue(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    slots: dict[str, Slot]


@cache
def catalogue() -> Mapping[str, Slot]:
    """Every slot by its name, in the catalogue's order."""
    table = tomllib.loads(files("creatives").joinpath("slots.toml").read_text(encoding="utf-8"))
    named = {"slots": {name: {"name": name, **entry} for name, entry in table["slots"].items()}}
    return MappingProxyType(validate_document(named, _Catalogue, "slots.toml").slots)


def find_slot(name: str) -> Slot:
    """The slot with this name, for example ``300x250``.

    Raises:
        UnknownSlot: with the nearest name, or all of them.
    """
    known = catalogue()
    if name not in known:
        raise UnknownSlot(f"slot {name!r} is not in the catalogue{suggestion(name, tuple(known))}")
    return known[name]


def find_slots(names: Iterable[str]) -> tuple[Slot, ...]:
    """The slots with these names, each once, in the order given."""
    return tuple(find_slot(name) for name in dict.fromkeys(names))
