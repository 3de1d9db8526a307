"""``render``: every style asked for is drawn, or none is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from creatives.packs import MANIFEST, SHIPPED, StyleLibrary
from experiments.cli.app import run
from experiments.core.errors import ExperimentError
from experiments.documents import ExperimentDocument


@pytest.fixture
def brief(tmp_path: Path) -> Path:
    """In a workspace with a style that is called as another's strength is written."""
    assert run(["init", str(tmp_path / "here")]) == 0
    pack = tmp_path / "here" / "packs" / "noir-50"
    shutil.copytree(SHIPPED / "noir", pack)
    manifest = pack / MANIFEST
    manifest.write_text(manifest.read_text().replace('name = "noir"', 'name = "noir-50"'))
    y, x = np.mgrid[0:90, 0:120]
    Image.fromarray(np.stack([x * 2, y * 2, x + y], axis=2).astype(np.uint8)).save(tmp_path / "photo.png")
    path = tmp_path / "brief.yaml"
    path.write_text(
        "brief: lamp\nadvertiser: Us\ncampaign: Spring\nconcept: Lamp\npicture: photo.png\nheadline: A lamp\n"
        "call_to_action: See it\nlanding_url: https://example.com/\nslots: [300x250]\n"
    )
    return path


def render(brief: Path, *styles: str) -> int:
    wished = [word for style in styles for word in ("--style", style)]
    here = str(brief.parent / "here")
    return run(["--workspace", here, "render", str(brief), *wished, "--out", str(brief.parent / "out")])


def test_two_styles_of_one_slug_are_refused_and_both_are_named(brief: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert render(brief, "noir@0.5", "noir-50") == 2
    (said,) = capfd.readouterr().err.splitlines()
    assert "'noir@0.5' and 'noir-50' would both be called 'noir-50'" in said
    assert not (brief.parent / "out").exists()


def test_a_style_that_is_named_twice_is_drawn_once(brief: Path) -> None:
    assert render(brief, "noir@0.5", "noir@0.50", "noir") == 0
    assert len(list((brief.parent / "out").glob("*_300x250_*"))) == 2


@pytest.mark.parametrize(
    ("styles", "said"),
    [
        (["noir@0.5", "noir-50"], "styles 'noir@0.5' and 'noir-50' would both be the arm 'noir-50'"),
        (["noir", "noir"], "style 'noir' is named twice"),
    ],
)
def test_an_experiment_with_two_styles_of_one_slug_says_which(brief: Path, styles: list[str], said: str) -> None:
    library = StyleLibrary([brief.parent / "here" / "packs"])
    document = ExperimentDocument(experiment="spring", brief="lamp", styles=styles)
    with pytest.raises(ExperimentError, match=said):
        document.looks_of(library)
