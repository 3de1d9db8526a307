"""The whole programme by which styles are made and shipped, in miniature: network, identity, packs."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from creatives import previews
from creatives.errors import CreativeError
from creatives.neural.shared import load_shared
from creatives.neural.transformer import StyleTransformer
from creatives.packaging import write_pack
from creatives.packs import StyleLibrary, read_pack
from creatives.training import base, ship
from creatives.training.catalogue import read_catalogue
from creatives.training.checkpoint import load_checkpoint

STAGES = ("11", "12", "21", "22", "31", "32", "33", "34", "41")


@pytest.fixture
def small_file(tmp_path):
    """The distilled network's shape with few channels."""
    generator, tensors = torch.Generator().manual_seed(4), {}
    shapes = {"0": (3, 3, 1), **{name: (6, 3 if name == "11" else 6, 3) for name in STAGES}}
    for name, (outputs, inputs, size) in (shapes | {"31_aux": (12, 6, 1), "41_aux": (12, 6, 1)}).items():
        tensors[f"conv{name}.weight"] = torch.randn(outputs, inputs, size, size, generator=generator) * 0.3
        tensors[f"conv{name}.bias"] = torch.zeros(outputs)
    save_file(tensors, tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


@pytest.fixture
def trained(shared_file, vgg_file, small_file, photos, painting, tmp_path, monkeypatch):
    """A checkpoint of two steps with one style of the catalogue; its network stands in the shipped one's place."""
    monkeypatch.setattr(base, "IDENTITY_STEPS", 2)
    wave = tmp_path / "great_wave.png"
    wave.write_bytes(painting.read_bytes())
    checkpoint = tmp_path / "base.safetensors"
    given = {"photos": photos, "vgg": vgg_file, "small": small_file, "checkpoint": checkpoint, "out": shared_file}
    base.main([str(wave), "--steps=2", *(f"--{name}={path}" for name, path in given.items())])
    return checkpoint


def test_a_style_of_the_catalogue_is_trained_and_shipped(trained, shared_file, tmp_path, monkeypatch):
    wave = {**read_catalogue()["great-wave"], "full": 0.5}
    monkeypatch.setattr(ship, "read_catalogue", lambda: {"great-wave": wave})
    assert load_shared(shared_file).identity.isfinite().all()
    (folder,) = ship.ship(trained, tmp_path / "packs", (), "two photographs")
    pack = read_pack(folder)
    assert pack.name == "great-wave"
    assert "Hokusai" in pack.made
    assert pack.parameters["full"] == 0.5
    assert "2 steps of 4 crops of 192 px, styles at once: 1, seed 0, cpu" in pack.made
    with Image.open(folder / "preview.webp") as preview:
        assert max(preview.size) == previews.SIDE


@pytest.mark.parametrize(("full", "shown"), [({}, 1.0), ({"full": 0.25}, 0.25)])
def test_shipped_styles_learn_on_from_what_their_packs_show(
    full, shown, shared_file, vgg_file, small_file, photos, painting, tmp_path
):
    wave, begun = tmp_path / "great_wave.png", load_shared(shared_file)
    wave.write_bytes(painting.read_bytes())
    adapter = torch.linspace(-1, 1, StyleTransformer.adapter_size()).half()
    write_pack(
        tmp_path / "shipped" / "great-wave", name="great-wave", look="Strokes of a test.", engine="network",
        licence="CC0", author="us", made="at random", weights={"adapter": adapter.numpy()},
        parameters={"network": begun.sha256[:12], **full},
    )  # fmt: skip
    given = {"photos": photos, "vgg": vgg_file, "small": small_file, "checkpoint": tmp_path / "on.safetensors"}
    options = ["--shipped", "--frozen", "--steps=1", "--adapter-rate=0"]
    base.main([str(wave), *options, *(f"--{name}={path}" for name, path in given.items())])
    found = load_checkpoint(tmp_path / "on.safetensors")
    wanted = begun.identity + shown * (adapter.float() - begun.identity)
    assert torch.allclose(found.tensors["adapters"][0], wanted, atol=1e-6)
    assert all(torch.equal(found.tensors[f"network.{name}"], value) for name, value in begun.network.items())


@pytest.mark.parametrize("name", ["scream", "nobody"])
def test_a_style_that_was_not_trained_cannot_be_shipped(trained, tmp_path, name):
    with pytest.raises(CreativeError, match="is not in"):
        ship.ship(trained, tmp_path / "packs", [name], "two photographs")
    assert not (tmp_path / "packs").exists()


def test_every_style_of_the_catalogue_says_what_it_is():
    for name, entry in read_catalogue().items():
        assert {"picture", "work", "look"} <= set(entry) <= {"picture", "work", "look", "content", "full"}, name
        assert entry["look"].endswith(".")


def test_packs_are_shipped_as_far_as_the_catalogue_says():
    shipped = {pack.name: pack.parameters["full"] for pack in StyleLibrary().packs() if pack.engine == "network"}
    catalogue = read_catalogue()
    assert {name: catalogue[name].get("full", 1.0) for name in shipped} == shipped
    assert min(shipped.values()) < 1


def test_a_picture_that_is_not_there_cannot_count_twice(capsys):
    with pytest.raises(SystemExit):
        base.main(["scream.jpg", "--photos=.", "--vgg=a", "--small=b", "--checkpoint=c", "--twice", "screem"])
    assert "--twice names screem, which is no picture here" in capsys.readouterr().err


def test_every_pack_that_comes_along_has_a_preview():
    for pack in StyleLibrary().packs():
        with Image.open(pack.folder / "preview.webp") as preview:
            assert preview.size == (previews.SIDE, previews.SIDE * 2 // 3), pack.name


@pytest.mark.parametrize("name", ["noir", "pencil", "great-wave", "flat-cartoon"])
def test_previews_show_what_packs_draw_now(name):
    """One of each engine; what is lost between is WebP's."""
    pack = StyleLibrary().get(name)
    with Image.open(pack.folder / "preview.webp") as preview:
        apart = np.asarray(preview.convert("RGB"), float) - np.asarray(previews.preview_of(pack), float)
    assert np.abs(apart).mean() < 5
