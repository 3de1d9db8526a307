"""Style packs: a look as data, with an identity. A reference names a look, its strength, or a blend of several."""

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from creatives.documents import LARGEST_BYTES, validate_document
from creatives.engines import Choosy, EngineError, Mixing, Part, engine_named
from creatives.errors import CreativeError
from creatives.kinds import no_file
from creatives.names import one_line

ORIGINAL = "original"
MANIFEST = "style.toml"
WEIGHTS = "weights.safetensors"
SHIPPED = Path(__file__).parent / "shipped"
LARGEST_WEIGHTS = 256 * 1024 * 1024
HASH_DIGITS = 12
_PICKLED = (".pt", ".pth", ".bin", ".pkl", ".ckpt", ".onnx")
"""How names of files end whose loading may run what lies in them."""
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

Rgb = NDArray[np.uint8]


class PackError(CreativeError):
    """A pack cannot be used; the message says which, why, and what to do."""


class UnknownStyle(CreativeError):
    """No such style, or no such reference."""


Told = Annotated[str, AfterValidator(one_line)]
"""What people are told of a style: one line."""


class _Manifest(BaseModel):
    """``style.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    look: Annotated[Told, Field(min_length=10, max_length=200)]
    engine: str
    licence: Told
    author: Told
    made: Told
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class StylePack:
    """One look: its manifest, checked by its engine."""

    name: str
    look: str
    engine: str
    engine_version: str
    parameters: dict[str, Any]
    weights_sha256: str | None
    licence: str
    author: str
    made: str
    folder: Path

    @cached_property
    def identity(self) -> str:
        """``name#hash12``: evidence belongs to exactly this picture-making, whatever licence or prose say."""
        return f"{self.name}#{identity_hash(self.engine, self.engine_version, self.parameters, self.weights_sha256)}"


def identity_hash(engine: str, engine_version: str, parameters: dict[str, Any], weights_sha256: str | None) -> str:
    """First digits of the SHA-256 of the canonical JSON of everything that decides the picture."""
    decides = {"engine": engine, "engine_version": engine_version, "parameters": parameters, "weights": weights_sha256}
    canonical = json.dumps(decides, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:HASH_DIGITS]


def read_pack(folder: Path) -> StylePack:
    """The pack in a folder.

    Raises:
        CreativeError: for a missing or wrong manifest, weights that are not those named, anything but safetensors, or
            what may not be read.
    """
    path = folder / MANIFEST
    try:
        table = tomllib.loads(_manifest_of(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise PackError(f"{folder} is no style pack: it has no {MANIFEST}") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise PackError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"{path}: {error}") from None
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        raise PackError(f"{path}: holds a number with thousands of digits; no parameter is so large") from None
    except RecursionError:
        raise PackError(f"{path}: is nested too deeply to be a style's manifest") from None
    manifest = validate_document(table, _Manifest, str(path))
    if manifest.name != folder.name:
        raise PackError(f"{path}: the style is named {manifest.name!r} but its folder {folder.name!r}: rename one")
    try:
        engine = engine_named(manifest.engine)
    except EngineError as error:
        raise PackError(f"{path}: {error}") from None
    parameters = engine.check(manifest.parameters, f"{path}: parameters")
    try:
        _check_weights(folder, manifest.weights_sha256)
    except OSError as error:
        raise _unreadable(Path(error.filename or folder), error) from None
    return StylePack(
        manifest.name, manifest.look, manifest.engine, engine.version, parameters, manifest.weights_sha256,
        manifest.licence, manifest.author, manifest.made, folder,
    )  # fmt: skip


def _unreadable(path: Path, error: OSError) -> PackError:
    said = (error.strerror or str(error)).lower()
    return PackError(f"{path} cannot be read ({said}): change its permissions, or get the pack again")


def _manifest_of(path: Path) -> bytes:
    if kind := no_file(path):
        raise PackError(f"{path} is {kind}; a style pack has a file of that name: get the pack again")
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise PackError(f"{path} is larger than {LARGEST_BYTES >> 10} KiB; this cannot be a style's manifest")
    return content


def _check_weights(folder: Path, sha256: str | None) -> None:
    foreign = [each.name for each in folder.iterdir() if each.suffix.lower() in _PICKLED]
    if foreign:
        raise PackError(f"{folder}: {foreign[0]} may run code when loaded; packs hold {WEIGHTS} only")
    weights = folder / WEIGHTS
    if kind := no_file(weights):
        raise PackError(f"{weights} is {kind}; a style pack has a file of that name, or none: get the pack again")
    if sha256 is None:
        if weights.exists():
            raise PackError(f"{folder}: {WEIGHTS} is not named in {MANIFEST}; add its weights_sha256")
        return
    if not weights.is_file():
        raise PackError(f"{folder}: {MANIFEST} names weights but {WEIGHTS} is missing; get the whole pack again")
    if weights.stat().st_size > LARGEST_WEIGHTS:
        raise PackError(f"{weights} is larger than {LARGEST_WEIGHTS >> 20} MiB; this cannot be a style")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise PackError(
            f"{weights} is not the file named in {MANIFEST} (its sha256 is {found[:12]}...): get the pack again"
        )
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy"):
            pass
    except SafetensorError as error:
        raise PackError(f"{weights} is no safetensors file ({error}); get the pack again") from None


@dataclass(frozen=True)
class Look:
    """A style reference made real: ``(pack, strength, weight)`` of each part; none for the original."""

    reference: str
    parts: tuple[tuple[StylePack, float, float], ...] = field(repr=False)

    @property
    def identity(self) -> str:
        """The exact look: ``ink-wash#ab12cd34ef56@0.6``, joined by ``+`` for blends."""
        if not self.parts:
            return ORIGINAL
        return "+".join(pack.identity + _settings(strength, weight) for pack, strength, weight in self.parts)

    @property
    def name(self) -> str:
        return "+".join(pack.name for pack, _, _ in self.parts) or ORIGINAL

    @property
    def slug(self) -> str:
        """Fit for file names and arms: ``ink-wash``, ``ink-wash-60``, ``ink-wash-50-pencil-50``."""
        if not self.parts:
            return ORIGINAL
        words = []
        for pack, strength, weight in self.parts:
            words.append(pack.name)
            if strength * weight != 1:
                words.append(f"{strength * weight * 100:g}".replace(".", "p"))
        return "-".join(words)

    @property
    def look(self) -> str:
        """In words."""
        return " + ".join(pack.look for pack, _, _ in self.parts) or "The photograph as it is."

    @property
    def engine(self) -> str:
        return self.parts[0][0].engine if self.parts else ORIGINAL

    @property
    def engine_version(self) -> str:
        return self.parts[0][0].engine_version if self.parts else "1"

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the one pack, or of each part of a blend by its identity."""
        if len(self.parts) == 1 and self.parts[0][1] == 1:
            return self.parts[0][0].parameters
        return {
            pack.identity: {"strength": strength, "weight": weight, **pack.parameters}
            for pack, strength, weight in self.parts
        }

    @property
    def weights_sha256(self) -> str | None:
        """Of the one pack; a blend names each pack by its identity, which holds it."""
        return self.parts[0][0].weights_sha256 if len(self.parts) == 1 else None

    @property
    def paper(self) -> tuple[int, int, int]:
        """What becomes of pure white."""
        white = np.full((1, 3), 255.0)
        for pack, strength, weight in self.parts:
            ground = engine_named(pack.engine).paper(pack.parameters)
            tint = np.array([int(ground[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float64)
            white = white + (tint - 255.0) * strength * weight
        return tuple(round(value) for value in white[0])

    def apply(self, rgb: Rgb, *, seed: int) -> Rgb:
        """The styled picture, ``(height, width, 3)`` uint8 like ``rgb``; the same seed gives the same picture."""
        if not self.parts:
            return rgb.copy()
        engine = engine_named(self.engine)
        shares = [strength * weight for _, strength, weight in self.parts]
        if shares == [1.0]:
            pack = self.parts[0][0]
            return engine.apply(rgb, pack.parameters, seed=seed, folder=pack.folder)
        if isinstance(engine, Mixing):
            parts = [Part(pack.parameters, pack.folder, strength, weight) for pack, strength, weight in self.parts]
            return engine.mix(rgb, parts, seed=seed)
        mixed = rgb.astype(np.float32) * (1 - sum(shares))
        for (pack, _, _), share in zip(self.parts, shares, strict=True):
            mixed += engine.apply(rgb, pack.parameters, seed=seed, folder=pack.folder).astype(np.float32) * share
        return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _settings(strength: float, weight: float) -> str:
    if weight != 1:
        return f"@{strength:g}*{weight:g}"
    return "" if strength == 1 else f"@{strength:g}"


class StyleLibrary:
    """The packs that are at hand: those shipped, and those in the given folders.

    One that breaks a rule is no style, and says why when it is asked for; all others are as good as without it.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._packs: dict[str, StylePack] = {}
        self._broken: dict[str, CreativeError] = {}
        for parent in (SHIPPED, *folders):
            for folder in sorted(parent.glob("*/")) if parent.is_dir() else ():
                if not folder.name.startswith((".", "_")):
                    self._take(folder)

    def _take(self, folder: Path) -> None:
        """Of two packs of one name neither is a style: nobody could tell which is meant."""
        name = folder.name
        other = "the untouched photograph" if name == ORIGINAL else getattr(self._packs.pop(name, None), "folder", None)
        try:
            if other:
                raise PackError(f"{folder}: the name {name!r} is taken by {other}; rename the pack")
            self._packs[name] = read_pack(folder)
        except CreativeError as error:
            self._broken[name] = error

    def packs(self) -> tuple[StylePack, ...]:
        """Every pack that is a style, by name."""
        return tuple(self._packs[name] for name in sorted(self._packs))

    @property
    def broken(self) -> Mapping[str, CreativeError]:
        """What is wrong with each of the others, by the name of its folder."""
        return self._broken

    def get(self, name: str) -> StylePack:
        """One pack, or an error that says what is wrong with it, or suggests a near name.

        Raises:
            CreativeError: where there is none that is a style.
        """
        if name in self._broken:
            raise self._broken[name]
        if name in self._packs:
            return self._packs[name]
        near = difflib.get_close_matches(name, self._packs, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self._packs))}"
        raise UnknownStyle(f"there is no style {name!r}: {advice}")

    def resolve(self, reference: str) -> Look:
        """``ink-wash``, ``ink-wash@0.6`` (strength), ``ink-wash@1*0.5+pencil@1*0.5`` (blend), ``original``.

        Raises:
            UnknownStyle: for names that are none, strengths outside 0..1, weights that do not sum to 1, or a blend of
                several engines or of styles that their engine cannot blend.
        """
        text = reference.strip()
        if text == ORIGINAL:
            return Look(ORIGINAL, ())
        parts = tuple(self._part(part, text) for part in text.split("+"))
        weights = sum(weight for _, _, weight in parts)
        if abs(weights - 1) > 1e-6:
            raise UnknownStyle(f"style {text!r}: the weights sum to {weights:g}; they must sum to 1")
        engines = sorted({pack.engine for pack, _, _ in parts})
        if len(engines) > 1:
            raise UnknownStyle(f"style {text!r} blends engines {' and '.join(engines)}; blend styles of one engine")
        if len({pack.name for pack, _, _ in parts}) < len(parts):
            raise UnknownStyle(f"style {text!r} names a style twice; give it one weight")
        engine = engine_named(engines[0])
        if len(parts) > 1 and isinstance(engine, Choosy):
            try:
                engine.check_blend([pack.parameters for pack, _, _ in parts])
            except EngineError as error:
                raise UnknownStyle(f"style {text!r}: {error}") from None
        canonical = "+".join(pack.name + _settings(strength, weight) for pack, strength, weight in parts)
        return Look(canonical, parts)

    def _part(self, text: str, whole: str) -> tuple[StylePack, float, float]:
        name, _, settings = text.strip().partition("@")
        strength, _, weight = settings.partition("*")
        try:
            numbers = float(strength or 1), float(weight or 1)
        except ValueError:
            raise UnknownStyle(
                f"style {whole!r}: {settings!r} is no strength; write {name}@0.6 or {name}@1*0.5"
            ) from None
        if not 0 < numbers[0] <= 1 or not 0 < numbers[1] <= 1:
            raise UnknownStyle(f"style {whole!r}: strength and weight lie above 0 and up to 1")
        return self.get(name), *numbers
