"""Rendering: one brief x looks x slots as finished files. Planned purely, cached by content, resumable.

The unit of work is one look: the picture is styled once and cut for every slot that is still missing. Workers only
compute, so they may run anywhere an executor takes them; the caller's process alone writes.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL
from numpy.typing import NDArray

from creatives.brand import ready_logo
from creatives.briefs import Brief
from creatives.compose import Direction, compose, direct, restore_protected
from creatives.encode import encode, thumbnail
from creatives.manifest import Entry, load_manifest
from creatives.masks import Cover, load_mask, masked
from creatives.names import file_name
from creatives.pictures import at_working_size, load_photograph, load_picture, on_ground
from creatives.quality import (
    Finding,
    GateResult,
    fingerprint,
    judge_file,
    judge_layer,
    judge_logo,
    likeness,
    near_duplicates,
    sound_layer,
)
from creatives.slots import Slot

__all__ = ["ORIGINAL", "RenderTask", "RenderedVariant", "plan_render", "render", "thumbnail"]

ORIGINAL = "original"
"""The identity of the look that changes nothing."""

Progress = Callable[[int, int], None]


class Look(Protocol):
    """A style at a strength, ready to be applied (`creatives.packs.Look`)."""

    @property
    def identity(self) -> str: ...
    @property
    def slug(self) -> str: ...
    def apply(self, rgb: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class RenderTask:
    """One variant to be made."""

    arm: str
    look: Look
    brief: Brief
    slot: Slot
    revision: int = 1

    @property
    def seed(self) -> int:
        """The same look draws the same brief alike, on every machine and in every slot."""
        name = f"{self.brief.brief}/{self.look.identity}".encode()
        return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) >> 1


@dataclass(frozen=True, slots=True)
class RenderedVariant:
    """One finished advertisement."""

    arm: str
    slot: str
    file_name: str
    path: Path
    sha256: str
    bytes: int
    width: int
    height: int
    provenance: Mapping[str, Any]
    gate: GateResult


@dataclass(frozen=True, slots=True)
class _Source:
    """What all looks of a brief start from."""

    picture: NDArray[np.uint8]
    direction: Direction
    inputs: Mapping[str, Any]
    """Hashes of the files."""
    cover: Cover | None = None
    """How far each pixel is styled; all of them fully where no mask is given."""


def plan_render(
    brief: Brief, looks: Mapping[str, Look], slots: Sequence[Slot], *, revision: int = 1
) -> tuple[RenderTask, ...]:
    """Every look (by the name of its arm) in every slot; touches no file."""
    return tuple(RenderTask(arm, look, brief, slot, revision) for arm, look in looks.items() for slot in slots)


def render(
    tasks: Sequence[RenderTask], *, out: Path, executor: Executor | None = None, progress: Progress | None = None
) -> tuple[RenderedVariant, ...]:
    """Make what is missing in ``out``, and return every variant in the order of ``tasks``.

    Finished files are kept from run to run by the hash of their inputs; ``manifest.json`` beside them says where each
    comes from. ``progress`` is told (variants ready, variants in all). Without an ``executor`` the work is done here.

    Raises:
        CreativeError: a picture, font, style or text that cannot be used. What was finished before stays.
    """
    manifest = load_manifest(out)
    sources = {brief: _source(brief) for brief in dict.fromkeys(task.brief for task in tasks)}
    keys = [_key(task, sources[task.brief]) for task in tasks]
    entries = {key: entry for key in keys if (entry := manifest.usable(key))}
    missing: dict[tuple[str, str, Brief], list[tuple[RenderTask, str]]] = {}
    for task, key in zip(tasks, keys, strict=True):
        if key not in entries:
            missing.setdefault((task.arm, task.look.identity, task.brief), []).append((task, key))

    def tell() -> None:
        if progress:
            progress(sum(key in entries for key in keys), len(keys))

    tell()
    jobs = [(job, sources[brief]) for (_, _, brief), job in missing.items()]
    for made in _run(jobs, executor):
        manifest.save(made)
        entries |= {entry.key: entry for entry, _ in made}
        tell()
    return _judged(tasks, [entries[key] for key in keys], sources, out)


_Job = Sequence[tuple[RenderTask, str]]
_Made = list[tuple[Entry, bytes]]


def _run(jobs: Sequence[tuple[_Job, _Source]], executor: Executor | None) -> Iterable[_Made]:
    if executor is None:
        yield from (_make(job, source) for job, source in jobs)
        return
    futures = [executor.submit(_make, job, source) for job, source in jobs]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _make(job: _Job, source: _Source) -> _Made:
    """One look in all its missing slots."""
    first = job[0][0]
    styled, findings = sound_layer(
        first.look.apply(source.picture.copy(), seed=first.seed), source.picture.shape, first.look.identity
    )
    if source.cover is not None:
        styled = masked(styled, source.picture, source.cover)
    styled = restore_protected(styled, source.picture, first.brief.protect)
    alike = likeness(source.picture, styled)
    findings += judge_layer(alike) + judge_logo(source.direction.logo_contrast)
    print_ = base64.b64encode(fingerprint(styled).tobytes()).decode()
    made: _Made = []
    for task, key in job:
        brief, slot = task.brief, task.slot
        composition = compose(styled, brief, slot, source.direction)
        encoded = encode(composition.image, slot.max_bytes)
        name = file_name(
            advertiser=brief.advertiser, campaign=brief.campaign, concept=brief.concept, style=task.look.slug,
            size=slot.name, language=brief.language, revision=task.revision, key=key, extension=encoded.extension,
        )  # fmt: skip
        provenance = {
            **source.inputs,
            "brief": brief.brief,
            "style": task.look.identity,
            "seed": task.seed,
            "code": code_version(),
            "key": key,
            "contrasts": dict(composition.contrasts),
            "logo_contrast": source.direction.logo_contrast,
            "scrim": round(composition.scrim, 4),
            "likeness": round(alike, 4),
            "quality": encoded.quality,
        }
        problems = findings + judge_file(composition.contrasts, len(encoded.data), slot.max_bytes)
        entry = Entry(
            key=key, arm=task.arm, slot=slot.name, file_name=name,
            sha256=hashlib.sha256(encoded.data).hexdigest(), bytes=len(encoded.data), width=slot.width,
            height=slot.height, provenance=provenance,
            findings=problems, fingerprint=print_,
        )  # fmt: skip
        made.append((entry, encoded.data))
    return made


def _judged(
    tasks: Sequence[RenderTask], entries: Sequence[Entry], sources: Mapping[Brief, _Source], out: Path
) -> tuple[RenderedVariant, ...]:
    """Variants with their gates: arms are compared here, where all of them are at hand."""
    twins: dict[tuple[Brief, str], Finding] = {}
    for brief, source in sources.items():
        # A style that changes nothing is a double of the original, whether that is an arm or not.
        prints = {ORIGINAL: fingerprint(source.picture)}
        for task, entry in zip(tasks, entries, strict=True):
            if task.brief == brief and task.look.identity != ORIGINAL:
                shape = prints[ORIGINAL].shape
                prints[task.arm] = np.frombuffer(base64.b64decode(entry.fingerprint), np.uint8).reshape(shape)
        twins |= {(brief, arm): finding for arm, finding in near_duplicates(prints).items()}
    variants = []
    for task, entry in zip(tasks, entries, strict=True):
        twin = twins.get((task.brief, task.arm))
        gate = GateResult.of([*entry.findings, *([twin] if twin else [])])
        variant = RenderedVariant(
            task.arm, entry.slot, entry.file_name, out / entry.file_name, entry.sha256, entry.bytes, entry.width,
            entry.height, entry.provenance, gate,
        )  # fmt: skip
        variants.append(variant)
    return tuple(variants)


def _source(brief: Brief) -> _Source:
    picture = load_photograph(brief.picture)
    original = at_working_size(on_ground(picture, brief.colours.rgb("paper")))
    logo = ready_logo(load_picture(brief.logo)) if brief.logo else None
    cover = load_mask(brief.mask, picture.rgb.shape[:2], original.shape[:2]) if brief.mask else None
    inputs = {
        "picture_sha256": _sha256(brief.picture),
        **({"mask_sha256": _sha256(brief.mask)} if brief.mask else {}),
        "logo_sha256": _sha256(brief.logo) if brief.logo else None,
        "font_sha256": _sha256(Path(brief.font)) if Path(brief.font).is_file() else None,
    }
    return _Source(original, direct(brief, original, logo), inputs, cover)


def _key(task: RenderTask, source: _Source) -> str:
    """The hash of everything that the bytes, the name and the provenance of a variant depend on."""
    brief = task.brief.model_dump(mode="json", exclude={"picture", "mask", "logo", "slots", "landing_url"})
    if source.inputs["font_sha256"]:
        brief["font"] = source.inputs["font_sha256"]  # its contents, not where it lies
    inputs = {
        **source.inputs,
        "brief": brief,
        "arm": task.arm,
        "style": task.look.identity,
        "slug": task.look.slug,
        "slot": task.slot.model_dump(mode="json", exclude={"title", "platforms", "source", "checked_on"}),
        "seed": task.seed,
        "revision": task.revision,
        "code": code_version(),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@cache
def code_version() -> str:
    """A hash of this package's code and of the library that rasterises and encodes: other code may draw other bytes."""
    digest = hashlib.sha256(PIL.__version__.encode())
    modules = (path for path in files("creatives").iterdir() if path.name.endswith(".py"))
    for path in sorted(modules, key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
