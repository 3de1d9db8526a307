"""Rendering: planned purely, cached by content, resumable, whole files only, the same bytes every time."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageOps

from creatives.briefs import Brief, Region
from creatives.errors import CreativeError
from creatives.manifest import MANIFEST, write_whole
from creatives.names import file_name, slugged
from creatives.packs import StyleLibrary
from creatives.render import RenderTask, plan_render, render
from creatives.slots import find_slots

Pixels = NDArray[np.uint8]
SLOTS = find_slots(["300x250", "728x90"])


@dataclass(frozen=True)
class FakeLook:
    """A look that counts how often it is applied."""

    slug: str
    change: Callable[[Pixels], Pixels]
    seen: list[tuple[int, tuple[int, ...]]] = field(default_factory=list, compare=False)

    @property
    def identity(self) -> str:
        return self.slug if self.slug == "original" else f"{self.slug}#0123456789ab"

    def apply(self, rgb: Pixels, *, seed: int) -> Pixels:
        self.seen.append((seed, rgb.shape))
        return self.change(rgb)


def looks() -> dict[str, FakeLook]:
    def toned(rgb: Pixels) -> Pixels:
        return np.asarray(ImageOps.colorize(Image.fromarray(rgb).convert("L"), "#1b1464", "#ffd6a5"))

    changes = {"original": lambda rgb: rgb, "duotone": toned, "negative": lambda rgb: 255 - rgb}
    return {slug: FakeLook(slug, change) for slug, change in changes.items()}


@pytest.fixture
def brief(tmp_path: Path) -> Brief:
    y, x = np.mgrid[:200, :300]
    disc = ((x - 150) ** 2 + (y - 90) ** 2 < 60**2)[..., None]
    pixels = np.where(disc, (230, 120, 40), np.stack([x * 0.4, y * 0.5, x * 0 + 90], axis=-1)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cup.png")
    return Brief(
        brief="coffee", advertiser="Nordlicht Coffee", campaign="Spring 2026", concept="cup",
        picture=tmp_path / "cup.png", headline="Slow mornings start here", call_to_action="Find your roast", landing_url="https://nordlicht.example",
    )  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_plan_is_every_look_in_every_slot(brief: Brief) -> None:
    gone = brief.model_copy(update={"picture": Path("nowhere.png")})
    tasks = plan_render(gone, looks(), SLOTS)  # pure: no file is touched
    assert [(task.arm, task.slot.name) for task in tasks] == [
        (arm, slot) for arm in ("original", "duotone", "negative") for slot in ("300x250", "728x90")
    ]


def test_variants_are_finished_files_with_their_provenance(brief: Brief, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    out = tmp_path / "out"
    variants = render(plan_render(brief, looks(), SLOTS), out=out, progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 6), (2, 6), (4, 6), (6, 6)]
    for variant in variants:
        data = variant.path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == variant.sha256
        assert len(data) == variant.bytes <= 150_000
        with Image.open(variant.path) as image:
            assert image.size == (variant.width, variant.height)
        assert f"{variant.width}x{variant.height}" == variant.slot
        assert variant.gate.ok, variant.gate
        assert variant.provenance["picture_sha256"] == hashlib.sha256(brief.picture.read_bytes()).hexdigest()
        assert variant.file_name.startswith(f"nordlicht-coffee_spring-2026_cup_{variant.arm}_{variant.slot}_en_v1_")
    assert variants[2].provenance["style"] == "duotone#0123456789ab"
    manifest = json.loads((out / MANIFEST).read_text())
    assert {entry["file_name"] for entry in manifest["variants"]} == {variant.file_name for variant in variants}
    assert len(files_of(out)) == 7


def test_a_look_is_applied_once_for_all_slots_with_one_seed(brief: Brief, tmp_path: Path) -> None:
    arms = looks()
    render(plan_render(brief, arms, SLOTS), out=tmp_path / "out")
    assert [len(look.seen) for look in arms.values()] == [1, 1, 1]
    (seed, shape) = arms["duotone"].seen[0]
    assert shape == (853, 1280, 3)
    assert seed == RenderTask("duotone", arms["duotone"], brief, SLOTS[0]).seed
    assert seed != arms["negative"].seen[0][0]


def test_rendering_again_makes_nothing_and_says_the_same(brief: Brief, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = render(plan_render(brief, looks(), SLOTS), out=out)
    before = files_of(out)
    arms, told = looks(), []
    again = render(plan_render(brief, arms, SLOTS), out=out, progress=lambda done, of: told.append((done, of)))
    assert again == first
    assert not any(look.seen for look in arms.values())
    assert told == [(6, 6)]
    assert files_of(out) == before


def test_the_same_inputs_give_the_same_bytes_anywhere(brief: Brief, tmp_path: Path) -> None:
    render(plan_render(brief, looks(), SLOTS), out=tmp_path / "here")
    with ThreadPoolExecutor(2) as executor:
        render(plan_render(brief, looks(), SLOTS), out=tmp_path / "there", executor=executor)
    assert files_of(tmp_path / "here") == files_of(tmp_path / "there")
    # The bytes of one slot depend on no other slot and no other arm.
    alone = render(plan_render(brief, {"duotone": looks()["duotone"]}, SLOTS[:1]), out=tmp_path / "alone")
    assert alone[0].path.read_bytes() == files_of(tmp_path / "here")[alone[0].file_name]


def test_only_what_is_missing_or_damaged_is_made_again(brief: Brief, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = render(plan_render(brief, looks(), SLOTS), out=out)
    first[2].path.unlink()
    first[4].path.write_bytes(b"cut short")
    arms = looks()
    assert render(plan_render(brief, arms, SLOTS), out=out) == first
    assert [len(look.seen) for look in arms.values()] == [0, 1, 1]


@pytest.mark.parametrize("content", ["", "{", '{"variants": [{"key": 1}]}', "[]"])
def test_a_broken_manifest_costs_time_only(brief: Brief, tmp_path: Path, content: str) -> None:
    out = tmp_path / "out"
    first = render(plan_render(brief, looks(), SLOTS[:1]), out=out)
    (out / MANIFEST).write_text(content)
    assert render(plan_render(brief, looks(), SLOTS[:1]), out=out) == first


def test_what_was_finished_before_a_failure_stays(brief: Brief, tmp_path: Path) -> None:
    def fails(rgb: Pixels) -> Pixels:
        raise CreativeError("the engine broke")

    arms = looks() | {"broken": FakeLook("broken", fails)}
    out = tmp_path / "out"
    with pytest.raises(CreativeError, match="the engine broke"):
        render(plan_render(brief, arms, SLOTS), out=out)
    assert len(files_of(out)) == 7
    with ThreadPoolExecutor(2) as executor, pytest.raises(CreativeError, match="the engine broke"):
        render(plan_render(brief, arms, SLOTS), out=out, executor=executor)


@pytest.mark.parametrize(
    "change",
    [
        {"headline": "Quick evenings end here"}, {"colours": {"accent": "#00ff00"}}, {"font": "serif"},
        {"focus": {"x": 0.1, "y": 0.1}}, {"legal": "T&Cs apply."},
    ],
)  # fmt: skip
def test_what_is_drawn_decides_what_is_drawn_again(brief: Brief, tmp_path: Path, change: dict[str, object]) -> None:
    out = tmp_path / "out"
    (first,) = render(plan_render(brief, {"original": looks()["original"]}, SLOTS[:1]), out=out)
    altered = Brief.model_validate(brief.model_dump() | change)
    (second,) = render(plan_render(altered, {"original": looks()["original"]}, SLOTS[:1]), out=out)
    assert second.file_name != first.file_name
    moved = brief.model_copy(update={"landing_url": "https://elsewhere.example"})
    (third,) = render(plan_render(moved, {"original": looks()["original"]}, SLOTS[:1]), out=out)
    assert third == first


def test_another_picture_under_the_same_name_is_noticed(brief: Brief, tmp_path: Path) -> None:
    (first,) = render(plan_render(brief, {"original": looks()["original"]}, SLOTS[:1]), out=tmp_path / "out")
    with Image.open(brief.picture) as image:
        ImageOps.mirror(image).save(brief.picture)
    (second,) = render(plan_render(brief, {"original": looks()["original"]}, SLOTS[:1]), out=tmp_path / "out")
    assert first.sha256 != second.sha256


def test_the_gate_finds_doubles_and_the_unrecognisable(brief: Brief, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (853, 1280, 3), np.uint8)
    arms = looks() | {
        "faint": FakeLook("faint", lambda rgb: np.clip(rgb * 1.01, 0, 255).astype(np.uint8)),
        "noise": FakeLook("noise", lambda _: noise),
    }
    for _ in range(2):  # made, then from the cache
        gates = {v.arm: v.gate for v in render(plan_render(brief, arms, SLOTS[:1]), out=tmp_path / "out")}
        assert [arm for arm, gate in gates.items() if gate.ok] == ["original", "duotone", "negative"]
        assert [finding.code for finding in gates["faint"].findings] == ["near_duplicate"]
        assert [finding.code for finding in gates["noise"].findings] == ["not_recognisable"]
    # A style that changes nothing is a double of the original even where that is no arm.
    (alone,) = render(plan_render(brief, {"faint": arms["faint"]}, SLOTS[:1]), out=tmp_path / "out")
    assert alone.gate.findings[0].parameters["of"] == "original"


def test_protected_parts_stay_unstyled(brief: Brief, tmp_path: Path) -> None:
    whole = Brief.model_validate(brief.model_dump() | {"protect": [{"left": 0, "top": 0, "right": 1, "bottom": 1}]})
    assert whole.protect == (Region(left=0, top=0, right=1, bottom=1),)
    original, negative = render(
        plan_render(whole, {arm: looks()[arm] for arm in ("original", "negative")}, SLOTS[:1]), out=tmp_path / "out"
    )
    assert original.path.read_bytes() == negative.path.read_bytes()


def test_a_cut_out_stands_on_the_brand_s_paper(brief: Brief, tmp_path: Path) -> None:
    pixels = np.zeros((200, 300, 4), np.uint8)
    pixels[60:140, 100:200] = (200, 30, 30, 255)
    Image.fromarray(pixels, "RGBA").save(brief.picture)
    (variant,) = render(plan_render(brief, {"original": looks()["original"]}, SLOTS[:1]), out=tmp_path / "out")
    with Image.open(variant.path) as image:
        assert min(image.convert("RGB").getpixel((8, 8))) > 245


def test_the_shipped_looks_make_advertisements_that_pass(brief: Brief, tmp_path: Path) -> None:
    library = StyleLibrary()
    photograph = brief.model_copy(update={"picture": Path(skimage.data_dir) / "coffee.png"})
    looks_ = {name: library.resolve(name) for name in ("original", "duotone-dusk", "warm-film@0.8")}
    variants = render(plan_render(photograph, looks_, SLOTS[:1]), out=tmp_path / "out")
    assert [variant.provenance["style"] for variant in variants] == [look.identity for look in looks_.values()]
    assert all(variant.gate.ok for variant in variants)
    assert len({variant.sha256 for variant in variants}) == 3


def test_file_names_follow_the_convention() -> None:
    name = file_name(
        advertiser="Pelle & Co", campaign="Größe/2026", concept="portrait", style="watercolor@0.8", size="300x250",
        language="de-CH", revision=3, key="0123456789abcdef", extension="jpg",
    )  # fmt: skip
    assert name == "pelle-co_grosse-2026_portrait_watercolor-0-8_300x250_de-ch_v3_01234567.jpg"
    assert slugged("珈琲") == slugged("珈琲") != slugged("紅茶")
    assert len(slugged("x" * 500)) == 40


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    write_whole(path, b"old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert files_of(tmp_path) == {"a.jpg": b"old"}


def test_a_write_that_fails_names_the_file_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken") as refusal:
        write_whole(tmp_path / "taken", b"...")
    assert refusal.value.filename == str(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_what_is_no_file_is_not_written_over(tmp_path: Path) -> None:
    """A pipe or a device would be renamed away, and a system's own with it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe; name a file") as refusal:
        write_whole(tmp_path / "pipe", b"...")
    assert refusal.value.filename == str(tmp_path / "pipe")
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


def test_a_faint_logo_fails_the_gate_by_name(brief: Brief, tmp_path: Path) -> None:
    pale = np.full((60, 200, 3), 255, np.uint8)
    pale[20:40, 20:180] = 226
    Image.fromarray(pale).save(tmp_path / "logo.png")
    faint = brief.model_copy(update={"logo": tmp_path / "logo.png"})
    tasks = plan_render(faint, {"original": looks()["original"]}, SLOTS[:1])
    (variant,) = render(tasks, out=tmp_path / "out")
    assert [finding.code for finding in variant.gate.findings] == ["faint_logo"]
    assert variant.provenance["logo_contrast"] < 1.5
