"""Engine ``network``: any size, no seams, strength down to the photograph, clean whites, the same on every backend."""

import hashlib
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from creatives import enlarging, packs
from creatives.cache import CACHE_VARIABLE
from creatives.engines import EngineError, Part, engine_named
from creatives.engines.network import adapter_size
from creatives.errors import CreativeError
from creatives.grounds import keep_white_ground, white_ground
from creatives.keeping import keep_hues, keep_palette
from creatives.neural import runner, shared, tiling
from creatives.neural.discreet import load_openvino
from creatives.packs import Look, read_pack

torch = pytest.importorskip("torch")
from safetensors.numpy import save_file  # noqa: E402 - after torch is known to be there
from safetensors.torch import save_file as save_tensors  # noqa: E402

from creatives.checks import sample_scene  # noqa: E402
from creatives.neural.transformer import REACH, StyleTransformer  # noqa: E402

SEED = 3


@pytest.fixture(scope="module")
def network():
    """A network that nobody trained: it has opinions, and none of them matter here."""
    torch.manual_seed(SEED)
    return StyleTransformer().eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """The shared network's file and two packs of its styles."""
    folder = tmp_path_factory.mktemp("network")
    rng = np.random.default_rng(SEED)
    neutral = StyleTransformer.neutral_adapter().numpy()
    tensors = {shared.PREFIX + name: value.numpy() for name, value in network.state_dict().items()}
    save_file(tensors | {"identity": neutral}, folder / "shared.safetensors")
    digest = hashlib.sha256((folder / "shared.safetensors").read_bytes()).hexdigest()
    for name in ("wavy", "dotty"):
        write_pack(folder / name, neutral + rng.normal(0, 0.3, neutral.shape).astype(np.float32), digest[:12])
    return folder


def write_pack(folder, adapter, network, colours="style"):
    folder.mkdir()
    save_file({"adapter": adapter}, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "style.toml").write_text(
        f'name = "{folder.name}"\nlook = "Strokes of a test."\nengine = "network"\nlicence = "CC0"\nauthor = "us"\n'
        f'made = "at random"\nweights_sha256 = "{digest}"\n[parameters]\nnetwork = "{network}"\ncolours = "{colours}"\n'
    )


@pytest.fixture
def at_hand(files, tmp_path, monkeypatch):
    """That network as the shipped one, in plain torch."""
    monkeypatch.setattr(shared, "SHARED", files / "shared.safetensors")
    monkeypatch.setenv(runner.BACKEND_VARIABLE, "torch")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    runner._runner_of.cache_clear()
    yield files
    runner._runner_of.cache_clear()


def look(folder, name="wavy", strength=1.0):
    return Look(name, ((read_pack(folder / name), strength, 1.0),))


def test_the_size_of_an_adapter_is_the_networks():
    assert adapter_size() == StyleTransformer.adapter_size() == len(StyleTransformer.neutral_adapter())
    assert sum(value.numel() for value in StyleTransformer().parameters()) <= 600_000


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (8, 8), (37, 61), (96, 64)])
def test_any_size_is_styled_alike_each_time(at_hand, size):
    picture = sample_scene(*size)
    styled = look(at_hand).apply(picture, seed=1)
    assert styled.shape == picture.shape
    assert styled.dtype == np.uint8
    assert np.array_equal(styled, look(at_hand).apply(picture, seed=2)), "its strokes know no dice"


def test_tiles_come_out_as_in_the_whole(at_hand, network, monkeypatch):
    picture = sample_scene(300, 420).astype(np.float32) / 255
    adapter = shared.read_vector(at_hand / "wavy" / "weights.safetensors", "adapter", adapter_size())
    run = runner.open_runner(network.state_dict(), "torch")
    whole = tiling.style_picture(picture, adapter, run)
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1)
    monkeypatch.setattr(tiling, "reduced", lambda given: given)
    monkeypatch.setattr(tiling, "TILE", 128)
    tiled = tiling.style_picture(picture, adapter, run)
    assert np.abs(tiled - whole).max() < 1e-3
    monkeypatch.setattr(tiling, "MARGIN", 4)
    assert np.abs(tiling.style_picture(picture, adapter, run) - whole).max() > 1e-2, "a margin is needed"


def test_a_large_picture_is_drawn_as_a_small_one_and_keeps_its_detail(at_hand, monkeypatch):
    """Seen as a whole they are alike, which they are not where strokes are so many pixels wide in every picture."""
    monkeypatch.setattr(enlarging, "DRAWN_SIDE", 96)
    large = sample_scene(192, 240)
    large[:, 120] = 0
    small = reduced(large)
    wanted, found = (look(at_hand).apply(picture, seed=1) for picture in (small, large))
    monkeypatch.setattr(enlarging, "DRAWN_SIDE", 192)
    grainy = look(at_hand).apply(large, seed=1)
    apart, as_grain = (np.abs(reduced(each).astype(int) - wanted).mean() for each in (found, grainy))
    assert apart < 0.5 * as_grain
    line, beside = found[:, 120].astype(int), found[:, 118].astype(int)
    assert np.median(beside - line) > 40


def reduced(rgb):
    return np.asarray(Image.fromarray(rgb).resize((rgb.shape[1] // 2, rgb.shape[0] // 2), Image.Resampling.LANCZOS))


def test_the_margin_is_more_than_the_network_sees():
    assert tiling.MARGIN >= REACH
    assert tiling.MARGIN % tiling.STRIDE == tiling.TILE % tiling.STRIDE == 0


@pytest.mark.parametrize("size", [(4, 4), (700, 900), (772, 768), (1600, 772)])
def test_windows_cover_each_pixel_once(size):
    covered = np.zeros(size, int)
    for window in tiling.windows(*size):
        covered[window.inner_top : window.inner_bottom, window.inner_left : window.inner_right] += 1
        assert (window.bottom - window.top) % tiling.STRIDE == (window.right - window.left) % tiling.STRIDE == 0
    assert (covered == 1).all()


def test_what_a_network_cannot_give_back_is_remembered_for_a_few_pictures(at_hand, monkeypatch):
    seen, real, neutral = [], tiling.style_picture, StyleTransformer.neutral_adapter().numpy()

    def watched(picture, adapter, runner):
        if np.array_equal(adapter, neutral):
            seen.append(picture.shape)
        return real(picture, adapter, runner)

    monkeypatch.setattr(tiling, "style_picture", watched)
    monkeypatch.setattr(tiling, "_remembered", {})
    pictures = [sample_scene(48 + 4 * number, 64) for number in range(tiling.REMEMBERED + 1)]
    first = look(at_hand, strength=0.5).apply(pictures[0], seed=1)
    once = len(seen)
    again = look(at_hand, strength=0.5).apply(pictures[0], seed=1)
    assert np.array_equal(first, again)
    assert (once, len(seen)) == (1, 1), "the second time it is known"
    look(at_hand, "dotty", 0.7).apply(pictures[0], seed=1)
    assert len(seen) == 1, "it is the picture's and the network's, not the style's"
    for picture in pictures:
        look(at_hand, strength=0.5).apply(picture, seed=1)
    assert len(tiling._remembered) == tiling.REMEMBERED
    look(at_hand, strength=0.5).apply(pictures[0], seed=1)
    assert len(seen) == len(pictures) + 1, "the oldest is forgotten"


def test_strength_runs_from_the_photograph_to_the_style(at_hand):
    picture = sample_scene(64, 96)
    full = look(at_hand).apply(picture, seed=1).astype(int)
    away = [np.abs(look(at_hand, strength=s).apply(picture, seed=1).astype(int) - picture).mean() for s in (0.001, 0.5)]
    assert away[0] < 1
    assert away[0] < away[1]
    nearly = look(at_hand, strength=0.999).apply(picture, seed=1).astype(int)
    assert np.abs(nearly - full).mean() < 2


def test_full_strength_may_be_less_than_was_learned(at_hand):
    picture, pack = sample_scene(64, 96), read_pack(at_hand / "wavy")
    engine, half = engine_named("network"), {**pack.parameters, "full": 0.5}
    mild, asked = (
        engine.mix(picture, [Part(parameters, pack.folder, strength, 1.0)], seed=1)
        for parameters, strength in ((half, 1.0), (pack.parameters, 0.5))
    )
    assert np.array_equal(mild, asked)
    assert not np.array_equal(mild, look(at_hand).apply(picture, seed=1))


def test_a_blend_of_a_style_with_itself_is_the_style(at_hand):
    picture, pack = sample_scene(64, 96), read_pack(at_hand / "wavy")
    half = Part(pack.parameters, pack.folder, 1.0, 0.5)
    mixed = engine_named("network").mix(picture, [half, half], seed=1)
    assert np.abs(mixed.astype(int) - look(at_hand).apply(picture, seed=1)).max() <= 1


def test_a_blend_lies_between_and_goes_through_the_library(at_hand, monkeypatch):
    monkeypatch.setattr(packs, "SHIPPED", at_hand)
    library, picture = packs.StyleLibrary(), sample_scene(64, 96)
    blend = library.resolve("wavy@1*0.5+dotty@1*0.5").apply(picture, seed=1)
    singles = [library.resolve(name).apply(picture, seed=1) for name in ("wavy", "dotty")]
    assert not any(np.array_equal(blend, single) for single in singles)


def test_backends_agree(at_hand, network, tmp_path):
    picture = (sample_scene(128, 160).astype(np.float32) / 255).transpose(2, 0, 1)[None]
    adapter = shared.read_vector(at_hand / "wavy" / "weights.safetensors", "adapter", adapter_size())
    state = network.state_dict()
    plain, fast = (runner.open_runner(state, name) for name in ("torch", "openvino"))
    (styled, folded), (quick, quickly_folded) = plain.measure(picture, adapter), fast.measure(picture, adapter)
    assert difference(styled, quick) < 1
    assert difference(plain.tiles(picture, folded), fast.tiles(picture, quickly_folded)) < 1


def difference(one, other):
    """Mean CIEDE2000."""
    labs = [rgb2lab(np.clip(each[0].transpose(1, 2, 0), 0, 1)) for each in (one, other)]
    return deltaE_ciede2000(*labs).mean()


def test_once_compiled_torch_is_not_loaded_again_and_nobody_is_told(at_hand, tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from creatives.neural.runner import runner_of\n"
        "from creatives.neural.tiling import style_picture\n"
        "from creatives.neural.shared import read_vector\n"
        "path = Path(sys.argv[1])\n"
        "style_picture(np.zeros((32, 32, 3), np.float32), read_vector(path, 'identity', 2252), runner_of(path))\n"
        "print('torch' in sys.modules, sys.modules.get('openvino_telemetry'))\n"
    )
    environment = {"ADSTYLE_CACHE": str(tmp_path / "cache"), "ADSTYLE_BACKEND": "openvino", "PATH": "/usr/bin:/bin"}
    said = [
        subprocess.run(
            [sys.executable, "-c", script, str(at_hand / "shared.safetensors")],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout.strip()
        for _ in range(2)
    ]  # fmt: skip
    assert said == ["True None", "False None"]


def test_a_cache_that_cannot_be_written_breaks_nothing(network, tmp_path):
    (tmp_path / "cache").write_text("a file, no folder")
    run = runner.OpenVinoRunner(network.state_dict, tmp_path / "cache" / "network")
    styled, _ = run.measure(np.zeros((1, 3, 32, 32), np.float32), StyleTransformer.neutral_adapter().numpy())
    assert styled.shape == (1, 3, 32, 32)


def cached(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_cache_that_fills_up_breaks_nothing_and_leaves_no_parts(network, tmp_path):
    neutral, black = StyleTransformer.neutral_adapter().numpy(), np.zeros((1, 3, 32, 32), np.float32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        styled = runner.OpenVinoRunner(network.state_dict, tmp_path).whole(black, neutral)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert cached(tmp_path) == []
    assert list((tmp_path / "compiled").iterdir()) == [], "nor a part of what was compiled"
    again = runner.OpenVinoRunner(network.state_dict, tmp_path).whole(black, neutral)
    assert np.array_equal(styled, again)
    assert cached(tmp_path) == ["whole.bin", "whole.sha256", "whole.xml"]


def add_up():
    """A model of one sum."""
    openvino, given = load_openvino(), load_openvino().opset13.parameter([1, 3], np.float32)
    numbers = openvino.opset13.constant(np.arange(1, 4, dtype=np.float32))
    return openvino.Model([openvino.opset13.add(given, numbers)], [given], "sum")


def adds_up(ready):
    return ready(np.zeros((1, 3), np.float32))[0].tolist() == [[1, 2, 3]]


def test_where_compiling_fails_for_the_cache_it_is_done_without(tmp_path):
    class Full:
        def compile_model(self, *_):
            raise RuntimeError("no space left")

    cache = runner.ModelCache(tmp_path)
    cache._core = Full()
    assert adds_up(cache.compiled(add_up(), {}))


@pytest.mark.parametrize("fails", ["missing", "at its start", "compiling"])
def test_where_openvino_cannot_be_used_it_is_said_what_can(monkeypatch, fails):
    def unable():
        raise RuntimeError("src/core.cpp:107:\nno such instructions\n")

    if fails == "missing":
        monkeypatch.setitem(sys.modules, "openvino", None)
    if fails == "at its start":
        monkeypatch.setattr(load_openvino(), "Core", unable)
    with pytest.raises(
        CreativeError, match=r"^OpenVINO cannot be used here \(.+\): .*ADSTYLE_BACKEND=torch$"
    ) as refusal:
        runner.ModelCache(None).compiled(object(), {})
    assert "\n" not in str(refusal.value)


def test_the_process_that_makes_a_model_compiles_it_for_all_others(tmp_path):
    for _ in range(2):
        cache = runner.ModelCache(tmp_path)
        cache.compiled(cache.model("sum", add_up), {})
        assert len(list((tmp_path / "compiled").iterdir())) == 1


@pytest.mark.parametrize("suffix", [".bin", ".xml", ".sha256"])
@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "missing"])
def test_what_is_damaged_in_the_cache_is_made_again(tmp_path, suffix, damage):
    made = []

    def model():
        return runner.ModelCache(tmp_path).model("whole", lambda: made.append(1) or add_up())

    model()
    model()
    assert len(made) == 1, "what is whole is taken from the disk"
    path = tmp_path / f"whole{suffix}"
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-3], "zeros": bytes(len(whole))}.get(damage, b""))
    if damage == "missing":
        path.unlink()
    assert adds_up(runner.ModelCache(None).compiled(model(), {}))
    assert len(made) == 2
    assert adds_up(runner.ModelCache(None).compiled(model(), {}))
    assert len(made) == 2, "it is whole again"


def test_a_model_that_openvino_cannot_read_is_made_again(tmp_path):
    cache = runner.ModelCache(tmp_path)
    cache.model("whole", add_up)
    (tmp_path / "whole.xml").write_text("<net/>")
    (tmp_path / "whole.sha256").write_text(runner._digest(tmp_path / "whole.xml"))
    assert adds_up(cache.compiled(cache.model("whole", add_up), {}))


def test_a_white_ground_stays_and_the_product_does_not(at_hand):
    packshot = np.full((120, 160, 3), 255, np.uint8)
    packshot[40:90, 50:110] = sample_scene(50, 60)
    packshot[60:64, 70:80] = 255  # white inside the product
    styled = look(at_hand).apply(packshot, seed=1)
    assert (styled[:30] == 255).all()
    assert np.abs(styled[60:64, 70:80].astype(int) - 255).max() > 0
    assert np.abs(styled[45:85, 55:105].astype(int) - packshot[45:85, 55:105]).mean() > 3


def test_a_bright_sky_without_a_border_of_white_is_no_ground():
    picture = np.full((60, 80, 3), 180, np.uint8)
    picture[20:40, 20:60] = 255
    assert white_ground(picture) is None
    assert np.array_equal(keep_white_ground(picture, picture // 2), picture // 2)
    picture[:1, :3] = 255
    assert white_ground(picture) is None, "three pixels are a light"


def test_a_burnt_out_sky_is_styled_too():
    landscape = np.full((60, 80, 3), 120, np.uint8)
    landscape[:25] = 255
    assert white_ground(landscape) is None, "white along 130 of 280 pixels of the border"
    landscape[:30] = 255
    ground = white_ground(landscape)
    assert ground is not None, "white along 140 of 280"
    assert ground[:20].all()
    assert not ground[40:].any()


def test_hues_stay_where_they_are_to_be_kept():
    original, styled = (sample_scene(40, 50).astype(np.float32) / 255 for _ in range(2))
    styled = styled[::-1, :, ::-1].copy()
    lab = rgb2lab(keep_hues(original, styled))
    assert np.abs(lab[..., 0] - rgb2lab(styled)[..., 0]).mean() < 8
    mean, spread = (np.cov(each.reshape(-1, 3), rowvar=False) for each in (keep_palette(original, styled), original))
    assert np.abs(mean - spread).max() < 0.02


@pytest.mark.parametrize(
    ("damage", "says"),
    [("short", "no adapter of 2252"), ("nan", "no adapter of 2252"), ("name", "cannot be read")],
)
def test_a_damaged_adapter_is_refused_in_one_line(at_hand, tmp_path, damage, says):
    numbers = StyleTransformer.neutral_adapter().numpy().copy()
    if damage == "nan":
        numbers[3] = np.nan
    digest = hashlib.sha256((at_hand / "shared.safetensors").read_bytes()).hexdigest()
    write_pack(tmp_path / "bad", numbers[:100] if damage == "short" else numbers, digest[:12])
    if damage == "name":
        save_file({"other": numbers}, tmp_path / "bad" / "weights.safetensors")
    part = Part({"network": digest[:12]}, tmp_path / "bad", 1.0, 1.0)
    with pytest.raises(CreativeError, match=says) as refusal:
        engine_named("network").mix(sample_scene(16, 16), [part], seed=1)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "says"),
    [("bfloat16", "BF16"), ("float8_e4m3fn", "F8_E4M3"), ("float64", "F64"), ("complex64", "C64"), ("bool", "BOOL")],
)
def test_numbers_that_no_adapter_is_made_of_are_refused_in_one_line(tmp_path, kind, says):
    path = tmp_path / "weights.safetensors"
    save_tensors({"adapter": torch.ones(3).to(getattr(torch, kind))}, path)
    with pytest.raises(CreativeError, match=f"adapter is kept as {says}; save it as float32 or float16$"):
        shared.read_vector(path, "adapter", 3)
    save_tensors({"adapter": torch.ones(3).half()}, path)
    assert shared.read_vector(path, "adapter", 3).tolist() == [1, 1, 1]


def test_an_adapter_of_another_network_is_refused(at_hand, tmp_path):
    write_pack(tmp_path / "stranger", StyleTransformer.neutral_adapter().numpy(), "0" * 12)
    with pytest.raises(EngineError, match="made for network 000000000000, here is"):
        read_pack(tmp_path / "stranger")


def test_a_foreign_network_is_refused(tmp_path):
    save_file({"network.stem": np.zeros((2, 2), np.float32)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CreativeError, match="of another network"):
        runner.TorchRunner(runner._network_in(tmp_path / "foreign.safetensors"))
    with pytest.raises(CreativeError, match="is no shared network"):
        shared.load_shared(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stem.convolution.weight": None}, "it lacks stem.convolution.weight"),
        ({"stem.convolution.weight": (2,)}, "stem.convolution.weight has shape (2,), not (32, 12, 3, 3)"),
        ({"more": (2,)}, "more has no place in it"),
        ({"blocks.0.pointwise.convolution.weight": (96, 3, 1, 1)}, "it lacks blocks.0.kept"),
        ({"blocks.0.pointwise.convolution.weight": (0, 10**12, 1, 1)}, "(0, 1000000000000, 1, 1), not (96, 96, 1, 1)"),
        ({"blocks.0.pointwise.convolution.weight": (96, 0, 1, 1)}, "(96, 0, 1, 1), not (96, 96, 1, 1)"),
    ],
    ids=["lacks", "shape", "more", "pruned", "endless", "nothing"],
)
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_what_does_not_fit_of_a_pack_s_own_network_is_said_in_one_line(
    at_hand, network, tmp_path, monkeypatch, changes, says, backend
):
    monkeypatch.setenv(runner.BACKEND_VARIABLE, backend)
    tensors = network.state_dict() | {name: shape and torch.zeros(shape) for name, shape in changes.items()}
    named = {shared.PREFIX + name: value for name, value in tensors.items() if value is not None}
    path = tmp_path / "weights.safetensors"
    save_tensors(named | {"adapter": StyleTransformer.neutral_adapter()}, path)
    with pytest.raises(CreativeError) as refusal:
        engine_named("network").mix(sample_scene(16, 16), [Part({"network": "own"}, tmp_path, 1.0, 1.0)], seed=1)
    said = str(refusal.value)
    assert said.startswith(f"{path} holds the weights of another network (")
    assert f"{says}); get the file again" in said


def test_channels_that_a_pruned_network_cannot_have_kept_are_refused(network):
    small = StyleTransformer([8, *[96] * 4]).state_dict()
    assert StyleTransformer.of(small).body()[0].pruned
    for kept in (torch.arange(8) + 89, torch.arange(8) - 1):
        with pytest.raises(ValueError, match="it keeps channels beyond the 96 there are"):
            StyleTransformer.of(small | {"blocks.0.kept": kept})


def test_a_wrong_backend_is_named(monkeypatch):
    monkeypatch.setenv(runner.BACKEND_VARIABLE, "abacus")
    with pytest.raises(CreativeError, match="may be openvino or torch"):
        runner.chosen_backend()
