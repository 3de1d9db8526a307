"""The overview: every arm with its advertisements, under a name that can be read whole."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from creatives.errors import CreativeError
from creatives.overview import CARD, GAP, PAPER, draw_overview, write_overview


def finished(folder: Path, width: int, height: int) -> Path:
    path = folder / f"{width}x{height}.png"
    Image.new("RGB", (width, height), "navy").save(path)
    return path


@pytest.mark.parametrize("arm", ["original", f"{'very-' * 11}long"])
def test_names_keep_to_their_card(tmp_path: Path, arm: str) -> None:
    """A name that is cut off may be another's: nobody could say which is approved."""
    sheet = draw_overview({arm: [finished(tmp_path, 300, 250)]})
    paper = np.array(Image.new("RGB", (1, 1), PAPER))[0, 0]
    name = (np.asarray(sheet)[: GAP + 30] != paper).any(axis=(0, 2)).nonzero()[0]
    assert name[0] >= GAP
    assert name[-1] < GAP + CARD - 2


def test_a_file_that_cannot_be_read_is_named_and_leaves_the_old_overview(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"none")
    out = tmp_path / "overview.webp"
    with pytest.raises(CreativeError, match=r"broken.jpg: cannot be read as a picture .* render it again"):
        write_overview({"ink": [broken]}, out)
    assert not out.exists()
