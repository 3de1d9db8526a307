"""Styles that cannot be blended are refused where a blend is named, long before it is drawn."""

from pathlib import Path

import numpy as np
import pytest

from creatives.engines import EngineError, Part, engine_named
from creatives.engines.reference import network_hash
from creatives.packaging import write_pack
from creatives.packs import StyleLibrary, UnknownStyle

PICTURE = {"picture": "style.webp", "picture_sha256": "0" * 64}
LIKENESS = {**PICTURE, "network": network_hash()}


def library(folder: Path, engine: str, *parameters: dict) -> StyleLibrary:
    """Styles named ``a-style``, ``b-style``, and so on."""
    weights = {"adapter": np.zeros(4, np.float32)} if engine == "network" else None
    for letter, each in zip("abc", parameters, strict=False):
        write_pack(
            folder / f"{letter}-style", name=f"{letter}-style", look="A look of a test.", engine=engine,
            parameters=each, weights=weights, licence="CC0", author="us", made="by hand",
        )  # fmt: skip
    return StyleLibrary([folder])


@pytest.mark.parametrize(
    ("engine", "one", "other", "says"),
    [
        ("network", {"network": "own"}, {"network": "own"}, "networks of their own"),
        ("reference", LIKENESS, {**LIKENESS, "colours": "photograph"}, "different networks or settings"),
        ("optimise", PICTURE, {**PICTURE, "size": 512}, "different settings"),
    ],
)
def test_what_cannot_be_blended_is_refused_by_name(tmp_path, engine, one, other, says):
    reference = "a-style@1*0.5+b-style@1*0.5"
    styles = library(tmp_path, engine, one, other)
    with pytest.raises(UnknownStyle, match=says) as refusal:
        styles.resolve(reference)
    assert f"style {reference!r}: " in str(refusal.value)
    assert [styles.resolve(name).slug for name in ("a-style", "b-style@0.5")] == ["a-style", "b-style-50"]
    parts = [Part(styles.get(name).parameters, tmp_path, 1.0, 0.5) for name in ("a-style", "b-style")]
    with pytest.raises(EngineError, match=says):
        engine_named(engine).mix(np.zeros((8, 8, 3), np.uint8), parts, seed=1)


def test_the_shared_network_and_a_pack_s_own_are_two(tmp_path):
    with pytest.raises(UnknownStyle, match="cannot be blended"):
        library(tmp_path, "network", {"network": "own"}).resolve("a-style@1*0.5+starry-night@1*0.5")
    with pytest.raises(UnknownStyle, match="cannot be blended"):
        StyleLibrary([tmp_path]).resolve("starry-night@1*0.5+a-style@1*0.5")


@pytest.mark.parametrize(
    ("engine", "one", "other"),
    [
        ("reference", LIKENESS, {**LIKENESS, "picture": "other.webp", "size": 256}),
        ("optimise", PICTURE, {"picture": "other.webp", "picture_sha256": "1" * 64}),
        ("palette", {"look": "film"}, {"look": "duotone", "colours": ["#000000", "#ffffff"]}),
    ],
)
def test_what_can_be_blended_still_is(tmp_path, engine, one, other):
    assert len(library(tmp_path, engine, one, other).resolve("a-style@1*0.5+b-style@1*0.5").parts) == 2
