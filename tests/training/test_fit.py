"""What may be asked of a training, and where the eye it is judged by lies."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image

from creatives.errors import CreativeError
from creatives.training.fit import Wish, settings_of, usable_device, weighted
from creatives.training.lesson import glimpse_of, learned, look_of, prepare
from creatives.training.photographs import COME_ALONG, NoPhotographs, photographs_that_come_along
from creatives.training.session import Settings


def test_nothing_asked_only_the_adapter_learns():
    settings = settings_of(Wish())
    assert settings.frozen
    assert (settings.steps, settings.adapter_rate, settings.rate) == (280, 8e-3, 2e-3)
    assert settings_of(Wish(full=True)).steps == 2000


def test_every_wish_is_heard():
    wish = Wish(
        full=True, steps=40, batch=3, size=64, rate=1e-3, style_weight=3.0, content_weight=0.5, weight_decay=0.01,
        dropout=0.2, patience=2, seed=9, mixed=False,
    )  # fmt: skip
    settings = settings_of(wish)
    plain = settings_of(Wish())
    changed = {field.name for field in fields(Settings) if getattr(settings, field.name) != getattr(plain, field.name)}
    assert changed == {field.name for field in fields(Settings)} - {"device", "seconds", "content_goals", "shares"}
    assert settings.validate_every == settings.checkpoint_every == 2, "a twentieth of the steps"
    assert (settings.weights.style, settings.weights.content) == (3.0, 0.5)
    assert weighted(plain, style=3.0, content=0.5, rate=1e-3).weights == settings.weights
    assert weighted(plain, style=3.0, content=0.5, rate=1e-3).rate == settings.rate


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish(size=100), "multiple of 16, such as 96"),
        (Wish(size=8), "such as 16"),
        (Wish(rate=float("nan")), "a rate of nan"),
        (Wish(style_weight=-1), "a style weight of -1"),
        (Wish(content_weight=float("inf")), "a content weight of inf"),
    ],
    ids=str,
)
def test_impossible_wishes_are_named(wish, says):
    with pytest.raises(CreativeError, match=says):
        settings_of(wish)


def test_a_device_that_is_not_there_is_named(monkeypatch):
    assert usable_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CreativeError, match="no CUDA device"):
        usable_device("cuda")


def test_photographs_come_along_and_one_is_held_back():
    photographs = photographs_that_come_along()
    assert len(photographs.training) == len(COME_ALONG) - 1
    assert [picture.shape for picture in photographs.validation] == [(400, 600, 3)]
    assert all(picture.shape[2] == 3 for picture in photographs.training), "grey ones in three channels"


def test_photographs_that_were_stripped_are_named(monkeypatch):
    from creatives.training import photographs

    monkeypatch.setattr(photographs, "find_spec", lambda _name: None)
    with pytest.raises(NoPhotographs, match="give a folder of your own"):
        photographs_that_come_along()


@pytest.fixture
def lesson(shared_file, painting, vgg_file, photos):
    return prepare(painting, "stripes", vgg=vgg_file, photos=photos)


def test_the_key_tells_what_is_learned_from(lesson, shared_file, vgg_file, photos, painting, tmp_path):
    assert prepare(painting, "stripes", vgg=vgg_file, photos=photos).key == lesson.key
    Image.open(painting).rotate(90).save(tmp_path / "turned.png")
    assert prepare(tmp_path / "turned.png", "stripes", vgg=vgg_file, photos=photos).key != lesson.key
    assert prepare(painting, "stripes", vgg=vgg_file, photos=None).key != lesson.key
    assert lesson.key.startswith("stripes ")


@pytest.mark.parametrize("size", [(20, 20), (4000, 40)])
def test_a_style_too_small_to_show_strokes_is_refused(shared_file, vgg_file, photos, tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "small.png")
    with pytest.raises(CreativeError, match="give a larger picture, or a squarer one"):
        prepare(tmp_path / "small.png", "small", vgg=vgg_file, photos=photos)


def test_what_is_no_number_becomes_no_style(lesson, tmp_path):
    session = lesson.session(settings_of(Wish(steps=1, batch=1, size=64)), tmp_path / "training.safetensors")
    assert learned(session, lesson).weights["adapter"].dtype == np.float16
    with torch.no_grad():
        session.adapters[0, 5] = float("nan")
    with pytest.raises(CreativeError, match="came to no numbers"):
        learned(session, lesson)


def test_a_preview_is_of_the_photograph_held_back(lesson, tmp_path):
    session = lesson.session(settings_of(Wish(steps=1, batch=1, size=64)), tmp_path / "training.safetensors")
    assert glimpse_of(session, lesson).size == (160, 120)


def test_a_name_that_is_no_text_still_makes_a_sentence(tmp_path):
    assert look_of(tmp_path / "sea\udcff.png") == "The strokes and colours of sea?."
    assert len(look_of(tmp_path / ("x" * 300))) < 200
