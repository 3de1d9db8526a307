"""Writing style packs, and taking in packs from elsewhere: whole or not at all."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from creatives.packs import MANIFEST, NAME, ORIGINAL, WEIGHTS, PackError, StylePack, read_pack

PREVIEW = "preview.webp"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def check_new_name(name: str, packs: Path) -> None:
    """Refuse a name that no new pack in the folder ``packs`` can have.

    Raises:
        PackError: in one line, saying why.
    """
    if not NAME.fullmatch(name) or name == ORIGINAL:
        raise PackError(f"{name!r} is no name for a style: use small letters, digits and hyphens, such as autumn-board")
    if (packs / name).exists():
        raise PackError(f"{packs / name} exists: choose another name, or remove it first")


def write_pack(
    folder: Path, *, name: str, look: str, engine: str, parameters: Mapping[str, Any],
    weights: Mapping[str, NDArray[Any]] | None, licence: str, author: str, made: str,
    preview: Image.Image | None = None,
) -> Path:  # fmt: skip
    """Make a style pack in ``folder``, which must not exist yet.

    Raises:
        PackError: where it exists.
        OSError: for a full disk; nothing is left behind.
    """
    from safetensors.numpy import save

    check_new_name(name, folder.parent)
    with _aside(folder) as made_here:
        facts: dict[str, Any] = {
            "name": name, "look": look, "engine": engine, "licence": licence, "author": author, "made": made,
        }  # fmt: skip
        if weights is not None:
            data = save({key: np.ascontiguousarray(value) for key, value in weights.items()})
            (made_here / WEIGHTS).write_bytes(data)
            facts["weights_sha256"] = hashlib.sha256(data).hexdigest()
        if preview is not None:
            preview.save(made_here / PREVIEW, quality=80, method=6)
        (made_here / MANIFEST).write_text(_toml(facts) + "\n[parameters]\n" + _toml(parameters), encoding="utf-8")
    return folder


def add_pack(source: Path, packs: Path) -> StylePack:
    """Check the pack in the folder ``source`` and copy it into the folder ``packs``.

    Raises:
        CreativeError: for a pack that breaks a rule, or a name that is taken.
    """
    pack = read_pack(source)
    check_new_name(pack.name, packs)
    with _aside(packs / pack.name) as copy:
        for path in (source / MANIFEST, source / WEIGHTS, *sorted(source.glob("*.webp"))):
            if path.is_file():
                shutil.copyfile(path, copy / path.name)
    return read_pack(packs / pack.name)


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` that becomes it when all is well, and vanishes when not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield aside
        aside.chmod(0o755)
        os.rename(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _toml(table: Mapping[str, Any]) -> str:
    lines = []
    for key, value in table.items():
        if not _BARE_KEY.fullmatch(key):
            raise PackError(f"{key!r} cannot be a key of a style's manifest")
        lines.append(f"{key} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return _string(str(value))


def _string(text: str) -> str:
    """A TOML basic string: quotes, backslashes and control characters escaped."""
    escaped = "".join(
        f"\\{mark}" if mark in '"\\' else mark if mark.isprintable() else f"\\u{ord(mark):04x}" for mark in text
    )
    return f'"{escaped}"'
