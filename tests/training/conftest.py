"""The smallest world in which a style can be learned: an eye of random weights, two photographs, a striped picture."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from creatives import packaging, packs
from creatives.cache import CACHE_VARIABLE
from creatives.neural import shared
from creatives.neural.features import VGG_LAYERS
from creatives.neural.runner import BACKEND_VARIABLE
from creatives.neural.transformer import StyleTransformer
from creatives.training.base import write_shared

WIDTHS = {0: 8, 2: 8, 5: 16, 7: 16, 10: 24, 12: 24, 14: 24, 16: 24}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Pictures this small are done before a second thread has begun."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """VGG-19's shape with few channels."""
    generator, before, tensors = torch.Generator().manual_seed(1), 3, {}
    for index in VGG_LAYERS:
        kernel = torch.randn(WIDTHS[index], before, 3, 3, generator=generator) * (2 / (9 * before)) ** 0.5
        tensors |= {f"features.{index}.weight": kernel, f"features.{index}.bias": torch.zeros(WIDTHS[index])}
        before = WIDTHS[index]
    path = tmp_path_factory.mktemp("vgg") / "vgg19-tiny.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, picture in (("cat", data.chelsea()), ("cup", data.coffee())):
        Image.fromarray(picture).resize((160, 120)).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes(b"\x89PNG broken")
    return folder


@pytest.fixture(scope="session")
def painting(tmp_path_factory):
    y, x = np.mgrid[0:96, 0:128]
    stripes = np.stack([128 + 120 * np.sin(x / 3), 128 + 100 * np.sin(y / 5), 60 + x], axis=2)
    path = tmp_path_factory.mktemp("style") / "stripes.png"
    Image.fromarray(stripes.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def shared_file(tmp_path, monkeypatch):
    """A network at random in the place of the shipped one, and of the shipped styles one that needs none."""
    torch.manual_seed(2)
    path, real = tmp_path / "shared.safetensors", shared.load_shared
    write_shared(StyleTransformer(), StyleTransformer.neutral_adapter(), path)
    monkeypatch.setattr(shared, "SHARED", path)
    monkeypatch.setattr(shared, "load_shared", lambda: real(path))
    shutil.copytree(packs.SHIPPED / "ink-wash", tmp_path / "shipped" / "ink-wash")
    for module in (packs, packaging):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv(BACKEND_VARIABLE, "torch")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return path
