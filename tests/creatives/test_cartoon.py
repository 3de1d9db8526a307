"""Engine ``cartoon``: any size, no seams, the same each time, clean whites, one clear line for wrong weights."""

import hashlib

import numpy as np
import pytest

from creatives.cache import CACHE_VARIABLE
from creatives.engines import EngineError, engine_named
from creatives.engines.cartoon import Cartoon
from creatives.errors import CreativeError
from creatives.neural import drawing
from creatives.neural.runner import BACKEND_VARIABLE
from creatives.packs import Look, PackError, read_pack

torch = pytest.importorskip("torch")
from safetensors.numpy import save_file  # noqa: E402 - after torch is known to be there

from creatives.checks import check_style, sample_scene  # noqa: E402
from creatives.neural import tiling  # noqa: E402
from creatives.neural.cartoon import REACH, SMALLEST, STRIDE, Cartoonist  # noqa: E402
from creatives.neural.shared import PREFIX  # noqa: E402


@pytest.fixture(scope="module")
def generator():
    """Nobody trained it: at first it would only give the photograph, so it is shaken."""
    torch.manual_seed(3)
    network = Cartoonist()
    with torch.no_grad():
        network.head.convolution.weight.normal_(std=0.03)
        for block in network.blocks:
            block.pointwise.weight.normal_(std=0.05)
    return network.eval().requires_grad_(requires_grad=False)


@pytest.fixture
def pack(generator, tmp_path, monkeypatch):
    monkeypatch.setenv(BACKEND_VARIABLE, "torch")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    tensors = {PREFIX + name: value.numpy() for name, value in generator.state_dict().items()}
    return write_pack(tmp_path / "toon", tensors)


def write_pack(folder, tensors, parameters=""):
    folder.mkdir()
    save_file(tensors, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "style.toml").write_text(
        f'name = "{folder.name}"\nlook = "A test of cartoons."\nengine = "cartoon"\nlicence = "CC0"\nauthor = "us"\n'
        f'made = "at random"\nweights_sha256 = "{digest}"\n[parameters]\n{parameters}'
    )
    return folder


def look(folder, strength=1.0):
    return Look(folder.name, ((read_pack(folder), strength, 1.0),))


def test_it_is_registered():
    assert isinstance(engine_named("cartoon"), Cartoon)


def test_it_is_small_and_gives_the_photograph_before_it_learns():
    network = Cartoonist().eval()
    assert sum(value.numel() for value in network.parameters()) <= 500_000
    picture = torch.rand(1, 3, 40, 52)
    assert torch.equal(network(picture), picture)
    assert (STRIDE, SMALLEST) == (drawing.STRIDE, drawing.SMALLEST)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (8, 8), (37, 61), (96, 64)])
def test_any_size_is_drawn_alike_each_time(pack, size):
    picture = sample_scene(*size)
    drawn = look(pack).apply(picture, seed=1)
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn, look(pack).apply(picture, seed=2)), "its pen knows no dice"


def test_a_grey_photograph_is_drawn(pack):
    grey = np.repeat(sample_scene(40, 50).mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    assert look(pack).apply(grey, seed=1).shape == grey.shape


def test_a_pack_keeps_every_promise_of_a_style(pack):
    assert list(check_style(look(pack))) == []


def test_strength_leads_from_the_photograph_to_the_drawing(pack):
    picture = sample_scene(48, 64)
    away = [
        np.abs(look(pack, strength).apply(picture, seed=1).astype(float) - picture).mean() for strength in (0.3, 0.6, 1)
    ]
    assert 0 < away[0] < away[1] < away[2]


def test_tiles_come_out_as_in_the_whole(generator, monkeypatch):
    picture = sample_scene(300, 420).astype(np.float32) / 255
    drawer = drawing.TorchDrawer(generator)
    whole = drawing.draw(picture, drawer)
    monkeypatch.setattr(drawing, "WHOLE_PIXELS", 1)
    monkeypatch.setattr(tiling, "TILE", 128)
    assert np.abs(drawing.draw(picture, drawer) - whole).max() < 1e-4
    monkeypatch.setattr(tiling, "MARGIN", 4)
    assert np.abs(drawing.draw(picture, drawer) - whole).max() > 1e-3, "a margin is needed"


def test_nothing_beyond_its_reach_changes_a_pixel(generator):
    assert tiling.MARGIN >= REACH
    one = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    other = one.clone()
    other[..., 128 + REACH :] = 0
    assert torch.allclose(generator(one)[..., :128], generator(other)[..., :128], atol=1e-6)


def test_backends_agree(generator):
    picture = (sample_scene(96, 128).astype(np.float32) / 255).transpose(2, 0, 1)[None]
    plain = drawing.TorchDrawer(generator).change(picture)
    fast = drawing.OpenVinoDrawer(lambda: generator, None).change(picture)
    assert np.abs(plain - fast).mean() < 0.01
    assert plain.std() > 0.01


def test_a_damaged_cache_is_made_again(generator, tmp_path):
    picture = (sample_scene(40, 48).astype(np.float32) / 255).transpose(2, 0, 1)[None]
    drawn = drawing.OpenVinoDrawer(lambda: generator, tmp_path).change(picture)
    numbers = (tmp_path / "change.bin").read_bytes()
    (tmp_path / "change.bin").write_bytes(bytes(len(numbers)))
    assert np.array_equal(drawing.OpenVinoDrawer(lambda: generator, tmp_path).change(picture), drawn)
    assert (tmp_path / "change.bin").read_bytes() == numbers
    nobody = drawing.OpenVinoDrawer(lambda: pytest.fail("it is on the disk"), tmp_path)
    assert np.array_equal(nobody.change(picture), drawn)


def test_a_white_ground_stays_and_the_product_does_not(pack):
    packshot = np.full((120, 160, 3), 255, np.uint8)
    packshot[40:90, 50:110] = sample_scene(50, 60)
    drawn = look(pack).apply(packshot, seed=1)
    assert (drawn[:30] == 255).all()
    assert np.abs(drawn[45:85, 55:105].astype(int) - packshot[45:85, 55:105]).mean() > 1


def test_parameters_are_read_strictly(pack, tmp_path):
    assert Cartoon().check({}, "here") == {"colours": "style", "white_ground": True, "calm": True, "tones": 0}
    with pytest.raises(CreativeError, match="here"):
        Cartoon().check({"ink": 3}, "here")
    picture = sample_scene(48, 64)
    own = Cartoon().apply(picture, {}, seed=1, folder=pack)
    kept = Cartoon().apply(picture, {"colours": "photograph"}, seed=1, folder=pack)
    assert not np.array_equal(own, kept)


@pytest.mark.parametrize(
    ("damage", "says"),
    [("missing", "there is no file of weights"), ("foreign", "another network"), ("torn", "cannot be read"),
     ("nan", "no numbers")],
)  # fmt: skip
def test_wrong_weights_are_refused_in_one_line(pack, generator, damage, says):
    weights = pack / "weights.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "torn":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "foreign":
        save_file({PREFIX + "stem": np.zeros((2, 2), np.float32)}, weights)
    else:
        tensors = {PREFIX + name: value.numpy() for name, value in generator.state_dict().items()}
        save_file(tensors | {PREFIX + "head.convolution.bias": np.full(3, np.nan, np.float32)}, weights)
    with pytest.raises(CreativeError, match=says) as refusal:
        Cartoon().apply(sample_scene(16, 16), {}, seed=1, folder=pack)
    assert "\n" not in str(refusal.value)


def test_weights_with_another_hash_are_refused(pack):
    with (pack / "weights.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(PackError, match="is not the file named"):
        read_pack(pack)


def test_without_its_folder_it_says_so():
    with pytest.raises(EngineError, match="needs its pack's folder"):
        Cartoon().apply(sample_scene(8, 8), {}, seed=1)


def test_tones_are_laid_over_the_drawing(pack):
    picture = sample_scene(96, 128)
    smooth = Cartoon().apply(picture, {}, seed=1, folder=pack)
    toned = Cartoon().apply(picture, {"tones": 4}, seed=1, folder=pack)
    apart = np.abs(toned.astype(int) - smooth)
    assert 2 < apart.mean() < 40
    with pytest.raises(CreativeError, match=r"here.*tones"):
        Cartoon().check({"tones": 65}, "here")
