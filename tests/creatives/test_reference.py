"""Engine ``reference``: any picture as a style, at any size; strength through statistics; clear refusals."""

import hashlib

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402 - after torch is known to be there

from creatives.checks import sample_scene  # noqa: E402
from creatives.engines import EngineError, Mixing, Part  # noqa: E402
from creatives.engines import reference as engines  # noqa: E402
from creatives.engines.reference import Reference  # noqa: E402
from creatives.errors import CreativeError  # noqa: E402
from creatives.neural import likeness, tiling  # noqa: E402
from creatives.neural.exchange import Statistics, blend, exchange, roots_of  # noqa: E402
from creatives.neural.reference import EXCHANGES, REACH, STRIDE, ReferenceNetwork  # noqa: E402

SEED = 7


@pytest.fixture(scope="module")
def network():
    """A network that nobody trained: it has opinions, and none of them matter here."""
    torch.manual_seed(SEED)
    return ReferenceNetwork().eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """The network's file, and two pictures to take after."""
    folder = tmp_path_factory.mktemp("reference")
    save_file(network.state_dict(), folder / "reference.safetensors")
    y, x = np.mgrid[0:64, 0:80]
    stripes = np.stack([(x + y) % 8 < 4, y % 6 < 3, x % 10 < 2], axis=2).astype(np.uint8) * 200
    Image.fromarray(stripes).save(folder / "style.webp", lossless=True)
    Image.fromarray(255 - stripes[:, ::-1, ::-1]).save(folder / "other.webp", lossless=True)
    return folder


@pytest.fixture
def pack(files, monkeypatch):
    """Where both lie, the network as the shipped one."""
    monkeypatch.setattr(engines, "NETWORK", files / "reference.safetensors")
    return files


def wish(folder, **changes):
    path = folder / changes.get("picture", "style.webp")
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "0" * 64
    given = {"picture": "style.webp", "picture_sha256": digest, "network": engines.network_hash()}
    return Reference().check(given | changes, "here")


def apply(folder, rgb, **changes):
    return Reference().apply(rgb, wish(folder, **changes), seed=1, folder=folder)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(SEED))


def test_roots_and_their_inverses():
    square = noise(3, 24, 24)
    matrices = square @ square.mT / 24 + 0.02 * torch.eye(24)
    roots, inverses = roots_of(matrices)
    assert torch.allclose(roots @ roots, matrices, atol=1e-4)
    assert torch.allclose(roots @ inverses, torch.eye(24).expand(3, -1, -1), atol=1e-3)


def test_features_take_on_statistics():
    features = torch.einsum("ij,njhw->nihw", noise(6, 6), noise(2, 6, 20, 30)) + 3
    other = torch.einsum("ij,njhw->nihw", 2 * noise(6, 6).mT, noise(2, 6, 40, 10))
    wanted = Statistics.of(other)
    found = Statistics.of(exchange(Statistics.of(features), wanted)(features))
    assert torch.allclose(found.mean, wanted.mean, atol=1e-4)
    before = (Statistics.of(features).covariance - wanted.covariance).norm()
    assert (found.covariance - wanted.covariance).norm() < 0.2 * before
    same = Statistics.of(features)
    assert torch.allclose(exchange(same, same)(features), features, atol=1e-3)


def test_statistics_of_parts_blend_into_those_of_the_whole():
    left, right = noise(1, 5, 12, 10) * 3 + 1, noise(1, 5, 12, 30) - 2
    whole = Statistics.of(torch.cat([left, right], dim=3))
    blended = blend([(Statistics.of(left), 0.25), (Statistics.of(right), 0.75)])
    assert torch.allclose(blended.mean, whole.mean, atol=1e-5)
    assert torch.allclose(blended.covariance, whole.covariance, atol=1e-4)
    mask = torch.zeros(1, 1, 12, 40)
    mask[..., :10] = 1
    counted = Statistics.of(torch.cat([left, right], dim=3), mask)
    assert torch.allclose(counted.covariance, Statistics.of(left).covariance, atol=1e-4)


@pytest.mark.parametrize(("tone", "style"), [(0.0, 0.0), (1.0, 0.5), (1.0, None), (None, 0.0)])
def test_pictures_of_nothing_are_no_trouble(tone, style):
    torch.manual_seed(SEED)
    network = ReferenceNetwork()
    pictures = [
        torch.rand(1, 3, 32, 32) if each is None else torch.full((1, 3, 32, 32), each) for each in (tone, style)
    ]
    styled = network(pictures[0], network.know(pictures[1])[1])
    styled.square().mean().backward()
    assert styled.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_the_network_is_small_and_exchanges_at_three_sizes(network):
    assert sum(parameter.numel() for parameter in network.parameters()) * 2 < 4e6
    _, known = network.know(torch.rand(1, 3, 32, 48))
    assert len(known) == EXCHANGES


def test_what_comes_out_has_the_style_s_colours_and_how_they_go_together(network):
    style = torch.rand(1, 3, 48, 48) * torch.tensor([0.2, 0.5, 0.8])[:, None, None]
    known = network.know(style)[1]
    styled = Statistics.of(network(torch.rand(1, 3, 40, 56), known))
    assert torch.allclose(styled.mean, known[-1].mean, atol=1e-3)
    assert torch.allclose(styled.covariance, known[-1].covariance, rtol=0.05, atol=1e-4)


def test_nothing_beyond_its_reach_changes_a_pixel(network):
    size = 2 * REACH + 4 * STRIDE
    pictures = torch.rand(1, 3, STRIDE * 2, size)
    _, folded = network.measure(pictures, network.know(pictures.flip(3))[1])
    other = pictures.clone()
    other[..., : size // 2 - REACH] = 0
    apart = (network.tiles(pictures, folded) - network.tiles(other, folded)).abs()
    assert apart[..., size // 2 :].max() < 1e-5
    assert apart.max() > 1e-3
    assert REACH <= tiling.MARGIN


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (8, 8), (37, 61), (96, 64)])
def test_any_size_is_styled_alike_each_time(pack, size):
    picture = sample_scene(*size)
    styled = apply(pack, picture)
    assert styled.shape == picture.shape
    assert styled.dtype == np.uint8
    assert np.array_equal(styled, apply(pack, picture))


def test_a_style_of_one_pixel_and_a_grey_photograph(pack, tmp_path):
    Image.new("L", (1, 1), 90).save(tmp_path / "style.webp", lossless=True)
    grey = np.repeat(sample_scene(40, 40)[..., :1], 3, axis=2)
    assert apply(tmp_path, grey).shape == grey.shape
    assert np.abs(apply(pack, grey).astype(int) - grey).mean() > 3


def test_tiles_come_out_as_the_whole(network, monkeypatch):
    picture = sample_scene(200, 328).astype(np.float32) / 255
    style = sample_scene(64, 64)[::-1].astype(np.float32) / 255
    known = likeness.statistics_of(style, network)
    whole, faint = (likeness.take_after(picture, [(known, share)], network) for share in (1.0, 0.4))
    monkeypatch.setattr(likeness, "WHOLE_PIXELS", 100 * 100)
    monkeypatch.setattr(tiling, "MEASURED_SIDE", 328)
    monkeypatch.setattr(tiling, "TILE", 96)
    for share, wanted in ((1.0, whole), (0.4, faint)):
        tiled = likeness.take_after(picture, [(known, share)], network)
        assert np.abs(tiled - wanted).max() < 0.02


def test_in_sixteen_bits_pictures_are_nearly_the_same_and_who_wants_them_exact_gets_them(monkeypatch):
    from skimage.color import deltaE_ciede2000, rgb2lab
    from skimage.data import coffee, rocket

    network = likeness.network_in(engines.NETWORK)
    picture, style = (each[:240, 100:420].astype(np.float32) / 255 for each in (coffee(), rocket()))

    def drawn(*, able: bool) -> np.ndarray:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": able})
        shares = [(likeness.statistics_of(style, network), 0.5), (likeness.statistics_of(picture, network), 0.3)]
        return np.clip(likeness.take_after(picture, shares, network), 0, 1)

    exact, quick = drawn(able=False), drawn(able=True)
    apart = deltaE_ciede2000(rgb2lab(exact), rgb2lab(quick))
    assert 0 < apart.mean() < 1
    monkeypatch.setenv("ADSTYLE_PRECISION", "float32")
    assert np.array_equal(drawn(able=True), exact)


def test_strength_and_blends_go_through_statistics(pack):
    picture, engine, given = sample_scene(48, 64), Reference(), wish(pack)
    assert isinstance(engine, Mixing)
    little, half, full = (
        engine.mix(picture, [Part(given, pack, strength, 1.0)], seed=1).astype(int) for strength in (0.001, 0.5, 1.0)
    )
    away = [np.abs(each - picture).mean() for each in (little, half, full)]
    assert away[0] < 2
    assert away[0] < away[1] < away[2]
    halves = engine.mix(picture, [Part(given, pack, 1.0, 0.5), Part(given, pack, 1.0, 0.5)], seed=1)
    assert np.abs(halves.astype(int) - full).max() <= 1
    other = [Part(wish(pack, picture=name), pack, 1.0, 0.5) for name in ("style.webp", "other.webp")]
    assert not np.array_equal(engine.mix(picture, other, seed=1), full)


def test_a_blend_of_different_settings_is_refused(pack):
    parts = [Part(wish(pack, colours=colours), pack, 1.0, 0.5) for colours in ("style", "photograph")]
    with pytest.raises(EngineError, match="cannot be blended"):
        Reference().mix(sample_scene(16, 16), parts, seed=1)


def test_a_white_ground_stays_and_tells_nothing_of_the_product(pack):
    small, large = (np.full((side, side, 3), 255, np.uint8) for side in (96, 160))
    small[32:64, 32:64] = large[64:96, 64:96] = sample_scene(32, 32)
    styled = [apply(pack, packshot) for packshot in (small, large)]
    assert all((each[:24] == 255).all() for each in styled)
    inside = styled[0][40:56, 40:56].astype(int), styled[1][72:88, 72:88].astype(int)
    assert np.abs(inside[0] - inside[1]).mean() < 6
    assert np.abs(inside[0] - small[40:56, 40:56]).mean() > 3
    assert not (apply(pack, small, white_ground=False)[:24] == 255).all()


def test_colours_may_be_the_photographs(pack):
    picture = sample_scene(64, 64)
    own, kept, palette = (apply(pack, picture, colours=colours) for colours in ("style", "photograph", "palette"))
    assert not np.array_equal(own, kept)
    assert not np.array_equal(own, palette)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"picture": "../style.webp"}, "no path"),
        ({"picture": ""}, "no path"),
        ({"picture_sha256": "abc"}, "picture_sha256"),
        ({"size": 8}, "size"),
        ({"network": "0" * 12}, "make the style again"),
        ({"network": "own"}, "network"),
        ({"vgg": "vgg.pth"}, "vgg is no known key"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(pack, change, says):
    with pytest.raises(CreativeError, match=says) as refusal:
        wish(pack, **change)
    assert "\n" not in str(refusal.value)


def test_defaults_are_filled_in(pack):
    checked = wish(pack)
    assert (checked["size"], checked["colours"], checked["white_ground"]) == (512, "style", True)
    assert Reference().paper(checked) == "#ffffff"


def test_the_picture_must_be_the_one_the_pack_names(pack):
    digest = hashlib.sha256((pack / "style.webp").read_bytes()).hexdigest()
    for folder, change, says in (
        (pack, {"picture_sha256": digest, "picture": "other.webp"}, "not the picture"),
        (pack, {"picture": "none.webp"}, "there is no picture"),
        (None, {}, "folder"),
    ):
        with pytest.raises(CreativeError, match=says) as refusal:
            Reference().apply(sample_scene(8, 8), wish(pack, **change), seed=1, folder=folder)
        assert "\n" not in str(refusal.value)


def test_weights_that_are_missing_or_anothers_are_told_in_one_line(pack, tmp_path, monkeypatch):
    given = wish(pack)
    monkeypatch.setattr(engines, "NETWORK", tmp_path / "reference.safetensors")
    with pytest.raises(CreativeError, match="there is no file of weights") as refusal:
        Reference().check(given, "here")
    assert "\n" not in str(refusal.value)
    save_file({"some": torch.zeros(3)}, tmp_path / "reference.safetensors")
    with pytest.raises(CreativeError, match="is of another network") as refusal:
        Reference().apply(sample_scene(8, 8), given, seed=1, folder=pack)
    assert "\n" not in str(refusal.value)
