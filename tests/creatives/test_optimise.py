"""Engine ``optimise``: nearer to the style with every scale, the same each time, any size, clear refusals."""

import hashlib

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402 - after torch is known to be there

from creatives.checks import sample_scene  # noqa: E402
from creatives.colour import LUMA  # noqa: E402
from creatives.engines import EngineError, Mixing, Part  # noqa: E402
from creatives.engines.optimise import Optimise  # noqa: E402
from creatives.errors import CreativeError  # noqa: E402
from creatives.neural import optimise as neural  # noqa: E402
from creatives.neural import vgg  # noqa: E402
from creatives.neural.deep import DEEPER_LAYERS, DeepVgg19, Sight  # noqa: E402
from creatives.neural.eye import Eye, load_eye  # noqa: E402
from creatives.neural.features import VGG_LAYERS, Distilled, WeightsError  # noqa: E402
from creatives.neural.moments import feature_moments, relative_gap  # noqa: E402

SEED = 5
FAST = {"picture": "style.webp", "picture_sha256": "0" * 64, "size": 256, "scales": 2, "iterations": 4}


def tiny_vgg(last: str = "relu3_4") -> dict[str, "torch.Tensor"]:
    """VGG-19's shape with a handful of channels, at random."""
    torch.manual_seed(SEED)
    weights, inputs = {}, 3
    for index, name in (VGG_LAYERS | DEEPER_LAYERS).items():
        outputs = 4 * int(name[4])
        weights[f"features.{index}.weight"] = torch.randn(outputs, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5
        weights[f"features.{index}.bias"] = torch.zeros(outputs)
        inputs = outputs
        if name == last:
            break
    return weights


def tiny_distilled() -> dict[str, "torch.Tensor"]:
    names = ("11", "12", "21", "22", "31", "32", "33", "34", "41")
    shapes = {"0": (3, 3, 1), **{name: (6, 3 if name == "11" else 6, 3) for name in names}}
    shapes |= {"31_aux": (12, 6, 1), "41_aux": (12, 6, 1)}
    torch.manual_seed(SEED)
    weights = {f"conv{name}.weight": torch.randn(*shape, shape[-1]) * 0.3 for name, shape in shapes.items()}
    return weights | {f"conv{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def sight():
    return Sight(DeepVgg19(tiny_vgg(), "tiny"))


@pytest.fixture
def pack(tmp_path, monkeypatch):
    """A pack's folder with a striped picture, and weights at hand."""
    y, x = np.mgrid[0:64, 0:64]
    stripes = np.stack([(x + y) % 8 < 4, y % 6 < 3, x % 10 < 2], axis=2).astype(np.uint8) * 200
    Image.fromarray(stripes).save(tmp_path / "style.webp", lossless=True)
    Image.fromarray(stripes[:, ::-1, ::-1]).save(tmp_path / "other.webp", lossless=True)
    save_file(tiny_vgg(), tmp_path / "vgg.safetensors")
    monkeypatch.setenv(vgg.VARIABLE, str(tmp_path / "vgg.safetensors"))
    monkeypatch.delenv(vgg.SMALL_VARIABLE, raising=False)
    return tmp_path


def tensor(rgb):
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255


def pictures():
    """A photograph, and a style of another size."""
    return tensor(sample_scene(64, 48)), tensor(255 - sample_scene(40, 56)[:, ::-1, ::-1])


def run(sight, seed=1, *, photograph=None, styles=None, counted=None, **settings):
    scene, style = pictures()
    wish = neural.Settings(**{"scales": 2, "iterations": 10} | settings)
    given = scene if photograph is None else photograph
    return list(neural.optimise(given, styles or [(style, 1.0)], sight, wish, seed, counted))


def gap(sight, picture, style):
    """Mean relative gap of Gram matrices."""
    found, wanted = sight(picture), sight(style)
    names = sight.style_layers
    return np.mean(
        [float(relative_gap(feature_moments(found[n]).gram, feature_moments(wanted[n]).gram)) for n in names]
    )


def wish(folder, **changes):
    """Quick parameters of the pack in a folder, its picture's hash among them."""
    path = folder / changes.get("picture", "style.webp") if folder else None
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else "0" * 64
    return Optimise().check(FAST | {"picture_sha256": digest} | changes, "here")


def apply(folder, rgb, seed=1, **changes):
    return Optimise().apply(rgb, wish(folder, **changes), seed=seed, folder=folder)


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_the_picture_comes_nearer_to_the_style_and_the_work_tells_where_it_is(sight, method):
    scene, style = pictures()
    told = run(sight, method=method)
    assert [(each.scale, each.iteration) for each in told] == [(1, 5), (1, 10), (2, 5), (2, 10)]
    assert [tuple(each.picture.shape[2:]) for each in told] == [(32, 32), (32, 32), (64, 48), (64, 48)]
    assert told[1].loss < told[0].loss
    assert told[3].loss < told[2].loss
    result = told[-1].picture
    assert 0 <= result.min() <= result.max() <= 1
    assert gap(sight, result, style) < 0.5 * gap(sight, scene, style)


def test_the_same_seed_gives_the_same_picture_and_another_another(sight):
    first, again, other = (run(sight, seed)[-1].picture for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_whoever_stops_asking_stops_the_work(sight):
    asked = []

    class Watched(Sight):
        def forward(self, given):
            asked.append(1)
            return super().forward(given)

    scene, style = pictures()
    work = neural.optimise(scene, [(style, 1.0)], Watched(sight.vgg), neural.Settings(iterations=100), 1)
    next(work)
    work.close()
    assert len(asked) < 60


def test_moments_add(sight):
    """Half of a style and half of it again is the style; nothing of any is the photograph."""
    scene, style = pictures()
    whole = run(sight)[-1].picture
    halves = run(sight, styles=[(style, 0.5), (style, 0.5)])[-1].picture
    assert (whole - halves).abs().mean() < 0.02
    none = run(sight, styles=[(style, 1e-9)])[-1].picture
    assert (none - scene).abs().mean() < 0.02
    assert (whole - scene).abs().mean() > 0.05


def test_strokes_come_where_they_are_counted(sight):
    scene, _ = pictures()
    counted = torch.zeros(1, 1, 64, 48)
    counted[..., :32, :] = 1
    away = (run(sight, counted=counted)[-1].picture - scene).abs()
    assert away[:, :, 48:].mean() < 0.3 * away[:, :, :24].mean()


def test_strokes_come_where_there_is_something_to_draw(sight, monkeypatch):
    """Of a picture that is noise below a wall, the wall is left alone."""
    scene = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(SEED))
    scene[:, :, :48] = 0.6
    y, x = np.mgrid[0:64, 0:64]
    stripes = np.stack([(x + y) % 8 < 4, y % 6 < 3, x % 10 < 2], axis=2).astype(np.uint8) * 200
    monkeypatch.setenv("ADSTYLE_PRECISION", "float32")
    away = {}
    for calm in (0.0, 3.0):
        told = run(sight, photograph=scene, styles=[(tensor(stripes), 1.0)], scales=1, iterations=120, calm=calm)
        moved = (told[-1].picture - scene).abs()
        away[calm] = float(moved[:, :, :36].mean()), float(moved[:, :, 60:].mean())
    assert away[3.0][0] < 0.7 * away[0.0][0]
    assert away[3.0][1] > 0.9 * away[0.0][1]


@pytest.mark.parametrize(
    ("able", "method", "precision", "halved"),
    [
        ({"amx_bf16": True}, "lbfgs", "", True),
        ({}, "lbfgs", "", False),
        ({"amx_bf16": True}, "lbfgs", "float32", False),
        ({"amx_bf16": True}, "adam", "", False),
    ],
)
def test_it_computes_in_the_precision_that_is_fastest_here_and_suffices(
    sight, monkeypatch, able, method, precision, halved
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setenv("ADSTYLE_PRECISION", precision)
    seen = set()

    class Watched(Sight):
        def forward(self, given):
            found = super().forward(given)
            seen.add(found["relu2_1"].dtype)
            return found

    styled = run(Watched(sight.vgg), method=method, iterations=5)[-1].picture
    assert seen == {torch.bfloat16 if halved else torch.float32}
    assert styled.dtype == torch.float32


@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_what_leaves_the_numbers_is_told(sight, method):
    with pytest.raises(neural.Diverged, match="lower"):
        run(sight, style_weight=float("inf"), method=method)


def test_growing_gives_fine_detail_back():
    scene = tensor(sample_scene(64, 96))
    small = neural.resized(scene, (32, 48))
    bare = (neural.resized(small, (64, 96)) - scene).abs().mean()
    lightness = torch.einsum("nihw,i->nhw", neural.grown(small, scene) - scene, torch.from_numpy(LUMA))
    assert lightness.abs().mean() < 0.1 * bare
    assert (neural.grown(small, scene, 1.0) - scene).abs().mean() < 0.1 * bare
    assert (neural.grown(scene, scene) - scene).abs().max() < 1e-6


def test_a_deeper_layer_of_another_shape_is_refused():
    weights = tiny_vgg("relu5_1")
    weights["features.21.weight"] = torch.rand(20, 20, 5, 5)
    with pytest.raises(WeightsError, match=r"no VGG-19: features\.21\.weight has shape \(20, 20, 5, 5\), not"):
        DeepVgg19(weights, "tiny")


def test_as_deep_as_the_weights_go():
    deep = DeepVgg19(tiny_vgg("relu5_1"), "tiny")
    assert list(deep(torch.rand(1, 3, 32, 32)))[-1] == "relu5_1"
    assert deep(torch.rand(1, 3, 64, 32))["relu5_1"].shape == (1, 20, 4, 2)
    assert list(deep(torch.rand(1, 3, 32, 32), deepest="relu4_2"))[-1] == "relu4_2"
    small = Distilled(tiny_distilled(), "tiny")
    assert Sight(deep, small).content_layers == ("relu4_2",)
    assert Sight(deep, small).style_layers == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    short = DeepVgg19(tiny_vgg(), "tiny")
    assert Sight(short).content_layers == ("relu3_4",)
    helped = Sight(short, small)
    assert helped.style_layers[-1] == helped.content_layers[-1] == "relu4_1"
    assert helped.content_layers[0] == "relu3_4"
    assert set(helped.style_layers) | set(helped.content_layers) <= set(helped(torch.rand(1, 3, 32, 32)))
    own = Sight(Eye())
    assert (own.style_layers, own.content_layers) == (helped.style_layers, helped.content_layers)
    assert set(own.style_layers) | set(own.content_layers) <= set(own(torch.rand(1, 3, 32, 32)))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("conv0.weight", (3, 3, 3, 3)), ("conv22.weight", (6, 5, 3, 3)), ("conv41_aux.weight", (12, 5, 1, 1)),
     ("conv33.bias", (5,))],
)  # fmt: skip
def test_layers_that_do_not_fit_together_are_no_distilled_vgg(name, shape):
    with pytest.raises(CreativeError, match=f"^that file is no distilled VGG-19: {name} has shape .*; give another"):
        Distilled(tiny_distilled() | {name: torch.zeros(shape)}, "that file")


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (8, 8), (37, 61)])
def test_any_size_is_styled_alike_each_time(pack, size):
    picture = sample_scene(*size)
    styled = apply(pack, picture)
    assert styled.shape == picture.shape
    assert styled.dtype == np.uint8
    assert np.array_equal(styled, apply(pack, picture))


def test_without_vgg_pictures_are_compared_through_the_eye_that_comes_along(pack, monkeypatch):
    monkeypatch.delenv(vgg.VARIABLE)
    monkeypatch.setenv("TORCH_HOME", str(pack))
    picture = sample_scene(48, 64)
    styled = apply(pack, picture, eye=vgg.eye_hash(), iterations=20)
    sight, style = Sight(load_eye()), tensor(np.asarray(Image.open(pack / "style.webp")))
    assert gap(sight, tensor(styled), style) < 0.5 * gap(sight, tensor(picture), style)


def test_a_large_photograph_is_worked_at_smaller_and_keeps_its_detail(pack):
    rng = np.random.default_rng(SEED)
    picture = np.repeat(rng.integers(60, 190, (40, 520, 1), np.uint8), 3, axis=2)
    styled = apply(pack, picture, iterations=1, scales=1)
    assert styled.shape == picture.shape
    fine = [each[..., 1].astype(float) - np.roll(each[..., 1], 1, axis=1) for each in (picture, styled)]
    assert np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1] > 0.8


def test_a_white_ground_stays_and_the_product_is_painted(pack):
    packshot = np.full((80, 96, 3), 255, np.uint8)
    packshot[24:56, 30:66] = sample_scene(32, 36)
    styled = apply(pack, packshot, iterations=10)
    assert (styled[:16] == 255).all()
    assert np.abs(styled[28:52, 34:62].astype(int) - packshot[28:52, 34:62]).mean() > 3


def test_strength_and_blends_go_through_moments(pack):
    picture, engine, given = sample_scene(48, 64), Optimise(), wish(pack, iterations=40)
    assert isinstance(engine, Mixing)
    little, half, full = (
        engine.mix(picture, [Part(given, pack, strength, 1.0)], seed=1).astype(int) for strength in (0.001, 0.5, 1.0)
    )
    away = [np.abs(each - picture).mean() for each in (little, half, full)]
    assert away[0] < 2
    assert away[0] < away[1] < away[2]
    parts = [Part(wish(pack, iterations=40, picture=name), pack, 1.0, 0.5) for name in ("style.webp", "other.webp")]
    assert not np.array_equal(engine.mix(picture, parts, seed=1), full)


def test_a_blend_of_different_settings_is_refused(pack):
    parts = [Part(wish(pack, smooth=smooth), pack, 1.0, 0.5) for smooth in (0.1, 0.2)]
    with pytest.raises(EngineError, match="share all but"):
        Optimise().mix(sample_scene(16, 16), parts, seed=1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"picture": "../style.webp"}, "no path"),
        ({"picture": "a\\style.webp"}, "no path"),
        ({"picture": ""}, "no path"),
        ({"picture": ".."}, "no path"),
        ({"picture_sha256": "abc"}, "picture_sha256"),
        ({"size": 2048}, "size"),
        ({"iterations": 0}, "iterations"),
        ({"style_weight": float("nan")}, "style_weight"),
        ({"method": "sgd"}, "method"),
        ({"vgg": "vgg.pth"}, "vgg is no known key"),
        ({"eye": "vgg16"}, "eye"),
        ({"eye": "0" * 12}, "made for eye 000000000000, here is [0-9a-f]{12}: make the style again"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(change, says):
    with pytest.raises(CreativeError, match=says) as refusal:
        Optimise().check(FAST | change, "here")
    assert "\n" not in str(refusal.value)


def test_defaults_are_filled_in():
    checked = Optimise().check({name: FAST[name] for name in ("picture", "picture_sha256")}, "here")
    assert (checked["size"], checked["method"]) == (768, "lbfgs")
    assert "eye" not in checked, "a style that says nothing of it is called what it was before there was a choice"
    assert Optimise().check(FAST | {"eye": "vgg19"}, "here") == Optimise().check(FAST, "here")
    assert Optimise().paper(checked) == "#ffffff"


def test_the_picture_must_be_the_one_the_pack_names(pack):
    digest = hashlib.sha256((pack / "style.webp").read_bytes()).hexdigest()
    assert apply(pack, sample_scene(8, 8), picture_sha256=digest).shape == (8, 8, 3)
    for folder, change, says in (
        (pack, {"picture_sha256": digest, "picture": "other.webp"}, "not the picture"),
        (pack, {"picture": "none.webp"}, "there is no picture"),
        (None, {}, "folder"),
    ):
        with pytest.raises(CreativeError, match=says):
            apply(folder, sample_scene(8, 8), **change)


def test_without_weights_one_line_says_what_to_do(pack, tmp_path, monkeypatch):
    monkeypatch.delenv(vgg.VARIABLE)
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(vgg.VggMissing, match="set ADSTYLE_VGG to a file") as refusal:
        apply(pack, sample_scene(8, 8))
    assert "\n" not in str(refusal.value)
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "vgg19_bn-c79401a0.pth").touch()
    with pytest.raises(vgg.VggMissing):
        vgg.find_vgg()
    torch.save(tiny_vgg(), cache / "vgg19-dcbb9e9d.pth")
    assert vgg.find_vgg().name == "vgg19-dcbb9e9d.pth"
    assert apply(pack, sample_scene(8, 8)).shape == (8, 8, 3)
    for variable, find in ((vgg.VARIABLE, vgg.find_vgg), (vgg.SMALL_VARIABLE, vgg.find_small)):
        monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
        with pytest.raises(vgg.VggMissing, match=f"{variable} names"):
            find()


def test_a_distilled_network_helps_out(pack, monkeypatch):
    alone = apply(pack, sample_scene(40, 40))
    save_file(tiny_distilled(), pack / "small.safetensors")
    monkeypatch.setenv(vgg.SMALL_VARIABLE, str(pack / "small.safetensors"))
    assert not np.array_equal(apply(pack, sample_scene(40, 40)), alone)
