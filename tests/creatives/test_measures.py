"""The measures' own scale: nothing changed is 0 content and SSIM 1, the style itself is 0 Gram."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from creatives.neural.features import Distilled, Vgg19, read_weights
from creatives.neural.measures import measure

DATA = Path(__file__).resolve().parents[3] / "shared" / "style"


@pytest.fixture(scope="module")
def eyes():
    folder = DATA / "weights"
    if not folder.is_dir():
        pytest.skip(f"the perceptual networks are not here ({folder})")
    vgg = Vgg19(read_weights(folder / "vgg19_relu3_4_fp16.safetensors"), "vgg")
    return vgg, Distilled(read_weights(folder / "vgg19_small16x_relu5_1_fp16.safetensors"), "small")


def picture(path, side=256):
    image = Image.open(path).convert("RGB")
    image.thumbnail((side, side))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def test_an_untouched_photograph_is_all_content_and_no_style(eyes):
    photograph, style = picture(DATA / "photos_large" / "casa-mila.jpg"), picture(DATA / "paintings" / "great_wave.jpg")
    found = measure(photograph, photograph, style, *eyes)
    assert (found.content, found.deep_content, found.ssim) == (0, 0, 1)
    assert 0.5 < found.gram < 1.5, "elsewhere, on more pictures at twice the size, 0.92 was measured"


def test_the_style_itself_is_all_style(eyes):
    style = picture(DATA / "paintings" / "great_wave.jpg")
    photograph = torch.flip(style, dims=(2,))
    found = measure(style, photograph, style, *eyes)
    assert (found.gram, found.moments, found.unseen_gram) == (0, 0, 0)
    assert found.content > 0.3
    assert found.ssim < 0.9
