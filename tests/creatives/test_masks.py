"""Masks: styled where they are white, the photograph where they are black, and another advertisement than without."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from creatives.briefs import Brief, Region, load_brief
from creatives.documents import DocumentError
from creatives.masks import load_mask, masked
from creatives.pictures import PictureError
from creatives.render import plan_render, render
from creatives.slots import find_slots


class Negative:
    """A look that cannot be overlooked."""

    identity = "negative#0123456789ab"
    slug = "negative"

    def apply(self, rgb: np.ndarray, *, seed: int) -> np.ndarray:  # noqa: ARG002 - the same whatever the dice
        return 255 - rgb


@pytest.fixture
def brief(tmp_path: Path) -> Brief:
    pixels = np.random.default_rng(0).integers(0, 120, (100, 200, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cup.png")
    half = np.zeros((50, 100), np.uint8)
    half[:, :50] = 255
    Image.fromarray(half).save(tmp_path / "mask.png")
    (tmp_path / "coffee.yaml").write_text(
        "brief: coffee\nadvertiser: Nordlicht\ncampaign: spring\nconcept: cup\npicture: cup.png\nmask: mask.png\n"
        "headline: Slow mornings\ncall_to_action: Find yours\nlanding_url: https://nordlicht.example\n"
    )
    return load_brief(tmp_path / "coffee.yaml")


def test_white_is_styled_black_is_not_and_grey_lies_between():
    original, styled = np.full((1, 3, 3), 40, np.uint8), np.full((1, 3, 3), 240, np.uint8)
    mixed = masked(styled, original, np.array([[255, 51, 0]], np.uint8))
    assert mixed[0, :, 0].tolist() == [240, 80, 40]


def test_a_mask_is_read_at_the_working_size(tmp_path):
    cover = np.zeros((10, 20), np.uint8)
    cover[:, 10:] = 255
    Image.fromarray(cover).save(tmp_path / "mask.png")
    large = load_mask(tmp_path / "mask.png", (500, 1000), (640, 1280))
    assert large.shape == (640, 1280)
    assert (large[:, :500] == 0).all()
    assert (large[:, -500:] == 255).all()


def test_what_is_transparent_is_not_styled(tmp_path):
    white = np.full((10, 20, 4), 255, np.uint8)
    white[:, :10, 3] = 0
    Image.fromarray(white).save(tmp_path / "mask.png")
    cover = load_mask(tmp_path / "mask.png", (10, 20), (10, 20))
    assert (cover[:, :9] == 0).all()
    assert (cover[:, 11:] == 255).all()


@pytest.mark.parametrize(
    ("size", "level", "says"), [((30, 30), 255, "draw it at the picture's size"), ((40, 20), 0, "black all over")]
)
def test_a_mask_that_cannot_be_meant_is_refused_in_one_line(tmp_path, size, level, says):
    Image.new("L", size, level).save(tmp_path / "mask.png")
    with pytest.raises(PictureError, match=says) as refusal:
        load_mask(tmp_path / "mask.png", (100, 200), (640, 1280))
    assert "\n" not in str(refusal.value)


def test_an_advertisement_is_styled_inside_its_mask_only(brief, tmp_path):
    slots = find_slots(["1080x1080"])
    drawn = {}
    for name, document in (("masked", brief), ("plain", brief.model_copy(update={"mask": None}))):
        (variant,) = render(plan_render(document, {"negative": Negative()}, slots), out=tmp_path / name)
        drawn[name] = variant
    pixels = {name: np.asarray(Image.open(variant.path).convert("RGB")) for name, variant in drawn.items()}
    assert not np.array_equal(pixels["masked"], pixels["plain"])
    assert drawn["masked"].provenance["key"] != drawn["plain"].provenance["key"]
    assert len(drawn["masked"].provenance["mask_sha256"]) == 64
    assert "mask_sha256" not in drawn["plain"].provenance


def test_another_mask_is_another_advertisement_and_the_same_is_not_made_again(brief, tmp_path):
    tasks = plan_render(brief, {"negative": Negative()}, find_slots(["300x250"]))
    (first,) = render(tasks, out=tmp_path / "out")
    (again,) = render(tasks, out=tmp_path / "out")
    assert again.provenance["key"] == first.provenance["key"]
    Image.new("L", (100, 50), 128).save(brief.mask)
    (other,) = render(tasks, out=tmp_path / "out")
    assert other.provenance["key"] != first.provenance["key"]


def test_what_is_protected_stays_whatever_the_mask_says(brief, tmp_path):
    Image.new("L", (100, 50), 255).save(brief.mask)
    everything = brief.model_copy(update={"protect": (Region(left=0, top=0, right=1, bottom=1),)})
    look = {"negative": Negative()}
    (kept,) = render(plan_render(everything, look, find_slots(["300x250"])), out=tmp_path / "kept")
    assert any(finding.code == "near_duplicate" for finding in kept.gate.findings), "it is the original"


def test_a_mask_that_is_not_there_is_named(brief):
    brief.mask.unlink()
    with pytest.raises(DocumentError, match="mask: there is no file"):
        load_brief(brief.mask.parent / "coffee.yaml")
