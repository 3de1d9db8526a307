"""Writing style packs, and taking in packs from elsewhere: whole or not at all."""

import hashlib
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from creatives.checks import SEED, sample_scene
from creatives.engines.drawn import pack_picture
from creatives.engines.optimise import Optimisation, Optimise
from creatives.errors import CreativeError
from creatives.names import CONTROL
from creatives.packs import MANIFEST, NAME, ORIGINAL, SHIPPED, WEIGHTS, Look, PackError, StylePack, read_pack

PREVIEW = "preview.webp"
TAKEN_IN = (MANIFEST, WEIGHTS, PREVIEW, "LICENSE", "README.md")
"""The files of a pack from elsewhere that are copied; what else lies beside them stays there."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_ATTEMPT = 3600
"""Seconds that nobody needs to write a pack: its folder aside is older only where its writer is dead."""


def check_new_name(name: str, packs: Path) -> None:
    """Refuse a name that no new pack in the folder ``packs`` can have.

    Raises:
        PackError: in one line, saying why.
    """
    if not NAME.fullmatch(name) or name == ORIGINAL:
        raise PackError(f"{name!r} is no name for a style: use small letters, digits and hyphens, such as autumn-board")
    if (SHIPPED / name).exists():
        raise PackError(f"{name!r} is the name of a style that comes along: choose another name")
    _check_free(packs / name)


def write_pack(
    folder: Path, *, name: str, look: str, engine: str, parameters: Mapping[str, Any],
    weights: Mapping[str, NDArray[Any]] | None, licence: str, author: str, made: str,
    preview: Callable[[StylePack], Image.Image] | None = None, files: Mapping[str, bytes] = MappingProxyType({}),
) -> Path:  # fmt: skip
    """Make a style pack in ``folder``, which must not exist yet; what `read_pack` would refuse is not written.

    ``preview`` draws what it looks like, and ``files`` are its engine's own, such as a style's picture, by name.

    Raises:
        CreativeError: where the folder exists, or for a pack that breaks a rule.
        OSError: for a full disk; nothing is left behind.
    """
    from safetensors.numpy import save

    _check_free(folder)
    with _aside(folder) as made_here:
        facts: dict[str, Any] = {
            "name": name, "look": _line(look), "engine": engine,
            "licence": _line(licence), "author": _line(author), "made": _line(made),
        }  # fmt: skip
        if weights is not None:
            data = save({key: np.array(value, order="C") for key, value in weights.items()})
            (made_here / WEIGHTS).write_bytes(data)
            facts["weights_sha256"] = hashlib.sha256(data).hexdigest()
        for file, content in files.items():
            (made_here / file).write_bytes(content)
        (made_here / MANIFEST).write_text(_toml(facts) + "\n[parameters]\n" + _toml(parameters), encoding="utf-8")
        if preview is not None:
            preview(read_pack(made_here)).save(made_here / PREVIEW, quality=80, method=6)
    return folder


def add_pack(source: Path, packs: Path) -> StylePack:
    """Check the pack in the folder ``source`` and copy it into the folder ``packs``.

    Raises:
        CreativeError: for a pack that breaks a rule or cannot draw, or a name that is taken.
        OSError: for a full disk; nothing is left behind.
    """
    source = Path(os.path.abspath(source))  # "." has no name, and a link's own name is the pack's
    if not source.is_dir():
        raise PackError(f"{source} is no folder; name the folder of a style pack, the one that holds {MANIFEST}")
    pack = read_pack(source)
    check_new_name(pack.name, packs)
    with _aside(packs / pack.name) as copy:
        # An engine may name a picture of its own, which it has checked to lie in the pack.
        for name in (*TAKEN_IN, *filter(None, [pack.parameters.get("picture")])):
            if (source / name).is_file():
                if not (source / name).resolve().is_relative_to(source.resolve()):
                    raise PackError(f"{source / name} leads out of the pack: put the file itself there")
                shutil.copyfile(source / name, copy / name)
        try:
            _prove(read_pack(copy))
        except CreativeError as error:
            raise PackError(str(error).replace(str(copy), str(source))) from None  # where people find it
    return read_pack(packs / pack.name)


def _prove(pack: StylePack) -> None:
    """Draw one tiny picture, so that a pack that never could is refused before an experiment relies on it.

    Raises:
        CreativeError: where it cannot be drawn.
    """
    if pack.engine == Optimise.name:  # takes minutes, and VGG-19, which need not be at hand yet
        wish = Optimisation.model_validate(pack.parameters)
        pack_picture(pack.folder / wish.picture, wish.picture_sha256)
        return
    try:
        Look(pack.name, ((pack, 1.0, 1.0),)).apply(sample_scene(32, 32), seed=SEED)
    except OSError:
        raise  # a full disk is not the pack's fault
    except CreativeError as error:
        if str(pack.folder) in str(error):
            raise
        raise PackError(f"{pack.folder}: {error}") from None
    except Exception as error:  # engines may be anybody's, and so may weights
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise PackError(f"{pack.folder}: no picture can be drawn ({said}); get the pack again") from None


def _check_free(folder: Path) -> None:
    if folder.exists():
        raise PackError(f"{folder} exists: choose another name, or remove it first")


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A folder aside that becomes ``folder`` when all is well and it reads as a pack, and vanishes when not.

    What an earlier attempt left because it was killed vanishes, too.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _tidy(folder)
    around = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    inside = around / folder.name  # a pack is named as its folder is, so that it can be checked before it is moved
    try:
        inside.mkdir()
        try:
            yield inside
            read_pack(inside)
        except CreativeError as error:
            raise PackError(str(error).replace(str(inside), str(folder))) from None
        os.rename(inside, folder)
    finally:
        shutil.rmtree(around, ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Remove what is certainly ours and of nobody who lives: a folder aside that holds that one folder, and is old."""
    for left in folder.parent.glob(f".{folder.name}.{'[a-z0-9_]' * 8}"):
        with suppress(OSError):  # somebody else may be tidying, too
            old = left.stat().st_mtime < time.time() - _LONGEST_ATTEMPT
            if old and [path.name for path in left.iterdir()] == [folder.name]:
                shutil.rmtree(left)


def _line(text: str) -> str:
    """Without control characters, which a file's name may hold: hours of training must not be refused for one."""
    return CONTROL.sub(" ", text)


def _toml(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items())


def _key(key: str) -> str:
    if not _BARE_KEY.fullmatch(key):
        raise PackError(f"{key!r} cannot be a key of a style's manifest")
    return key


def _value(value: Any) -> str:
    """Plain values only: what TOML would read back as something else is refused."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)  # numpy's float64 is a float whose own repr is not TOML
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, str):
        return '"' + "".join(_character(each) for each in value) + '"'
    raise PackError(f"{value!r} cannot be a value of a style's manifest")


def _character(character: str) -> str:
    """As it may stand in a TOML basic string."""
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise PackError(f"{character!r} is half a character; a style's manifest is UTF-8 text")
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
