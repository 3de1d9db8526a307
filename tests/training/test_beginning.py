"""Where learning a style begins."""

import hashlib
from dataclasses import replace

import pytest
import torch
from PIL import Image

from creatives.neural import shared
from creatives.neural.features import Vgg19, read_weights
from creatives.neural.transformer import StyleTransformer
from creatives.packaging import write_pack
from creatives.training.beginning import MIXED, begin
from creatives.training.fit import Wish, settings_of
from creatives.training.lesson import how_made, prepare
from creatives.training.objective import Perception, Weights
from creatives.training.photographs import read_photographs

COLOUR = -3
"""Of an adapter, where its offset of colour begins."""


@pytest.fixture
def ship(shared_file, tmp_path):
    """Writes an adapter as a shipped pack; each pulls photographs to a colour."""

    def write(name, colour):
        adapter = StyleTransformer.neutral_adapter()
        adapter[COLOUR:] = torch.tensor(colour)
        adapter = adapter.half()
        write_pack(
            tmp_path / "shipped" / name, name=name, look="Strokes of a test.", engine="network", licence="CC0",
            author="us", made="at random", weights={"adapter": adapter.numpy()},
            parameters={"network": hashlib.sha256(shared_file.read_bytes()).hexdigest()[:12]},
        )  # fmt: skip
        return adapter.float()

    return write


@pytest.fixture
def first(shared_file, vgg_file, photos):
    """Where learning begins from a picture that is a photograph under an adapter."""
    learn_on = read_photographs(photos)
    perception = Perception(Vgg19(read_weights(vgg_file), str(vgg_file)))

    @torch.inference_mode()
    def found(adapter, network=None):
        network = network or shared.load_shared()
        photograph = torch.from_numpy(learn_on.middles(1, 192)[0].copy()).permute(2, 0, 1)[None].float() / 255
        picture = StyleTransformer.of(network.network)(photograph, adapter[None]).clamp(0, 1)
        return begin(network, picture, learn_on, perception, Weights(style=1000.0))

    return found


def test_none_being_shipped_photographs_are_left_as_they_are(first):
    beginning = first(StyleTransformer.neutral_adapter())
    assert beginning.styles == ()
    assert torch.equal(beginning.adapter, shared.load_shared().identity)


def test_the_nearest_is_chosen(first, ship):
    red, blue = ship("red", [2.0, -2.0, -2.0]), ship("blue", [-2.0, -2.0, 2.0])
    assert first(red).styles == ("red",)
    assert torch.equal(first(red).adapter, red)
    assert torch.equal(first(blue).adapter, blue)


def test_where_the_middle_of_several_is_nearer_it_is_that(first, ship):
    red, blue = ship("red", [2.0, -2.0, -2.0]), ship("blue", [-2.0, -2.0, 2.0])
    ship("green", [-2.0, 2.0, -2.0])
    beginning = first((red + blue) / 2)
    assert set(beginning.styles) == {"red", "blue"}
    assert torch.equal(beginning.adapter, (red + blue) / 2)


def test_styles_of_another_network_are_none(first, ship):
    red = ship("red", [2.0, -2.0, -2.0])
    assert first(red).styles == ("red",)
    assert first(red, replace(shared.load_shared(), sha256="0" * 64)).styles == ()


def test_each_adapter_is_tried_once(first, ship, monkeypatch):
    for number in range(6):
        ship(f"style-{number}", [1.0 / (1 + number), 0.0, 0.0])
    tried = []
    forward = StyleTransformer.forward
    monkeypatch.setattr(
        StyleTransformer, "forward", lambda self, *given: tried.append(given[1]) or forward(self, *given)
    )
    first(StyleTransformer.neutral_adapter())
    assert len(tried) == 1 + 6 + MIXED, "the photograph, six, the middles of two to four, and of all"


def test_a_lesson_begins_there_and_says_so(shared_file, vgg_file, photos, tmp_path, ship):
    def lesson():
        return prepare(tmp_path / "red.png", "red", vgg=vgg_file, photos=photos)

    Image.new("RGB", (64, 64), (250, 8, 8)).save(tmp_path / "red.png")
    before = lesson()
    red = ship("warm", [2.0, -2.0, -2.0])
    ship("cold", [-2.0, -2.0, 2.0])
    found = lesson()
    assert found.key != before.key, "a checkpoint belongs to where it began"
    assert found.key == lesson().key
    session = found.session(settings_of(Wish(steps=1, batch=1, size=64)), tmp_path / "training.safetensors")
    assert torch.equal(session.adapter(found.key), red)
    assert how_made(session, found, tmp_path / "red.png").endswith(", beginning with warm.")
    assert "beginning" not in how_made(session, before, tmp_path / "red.png")
