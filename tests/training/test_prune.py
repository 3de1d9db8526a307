"""Pruning: fewer channels, nearly the same pictures, the same adapters, another identity."""

import hashlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.numpy import save_file  # noqa: E402 - after torch is known to be there

from creatives.errors import CreativeError  # noqa: E402
from creatives.neural import runner, shared  # noqa: E402
from creatives.neural.transformer import BLOCKS, StyleTransformer  # noqa: E402
from creatives.packs import Look, read_pack  # noqa: E402
from creatives.training import prune as pruning  # noqa: E402
from creatives.training.photographs import photographs_that_come_along  # noqa: E402


@pytest.fixture(scope="module")
def network():
    """Nobody trained it; of the first block's channels, a quarter are copies of others."""
    torch.manual_seed(5)
    module = StyleTransformer().eval().requires_grad_(requires_grad=False)
    first = module.blocks[0]
    for layer in (first.dense, first.depthwise):
        layer.convolution.weight[72:] = layer.convolution.weight[:24]
    return module


@pytest.fixture(scope="module")
def crops():
    batch = photographs_that_come_along().batch(np.random.default_rng(1), 2, 64)
    return torch.from_numpy(batch.pictures.copy()).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def adapter():
    return StyleTransformer.neutral_adapter()


@pytest.fixture(scope="module")
def pruned(network, crops, adapter):
    said: list[str] = []
    return pruning.prune(network, [adapter], crops, 0.75, tell=said.append), said


def test_what_can_be_made_good_goes_first(network, pruned):
    small, said = pruned
    assert [block.pointwise.convolution.in_channels for block in small.blocks] == [72] * BLOCKS
    kept = set(small.blocks[0].kept.tolist())
    assert all(channel in kept or channel + 72 in kept for channel in range(24)), "of two alike one stays"
    assert said[0].startswith("block 0: 72 of 96 channels, 0.")
    count, before = (sum(value.numel() for value in each.parameters()) for each in (small, network))
    assert count < 0.8 * before


def test_the_pruned_network_draws_nearly_the_same(network, pruned, crops, adapter):
    given = adapter.expand(len(crops), -1)
    wanted, still = network(crops, given), pruned[0](crops, given)
    other = StyleTransformer.of(network.state_dict())
    for block in other.blocks:
        block.pointwise.convolution.weight[:, 72:] = 0
    careless = other(crops, given)
    assert (still - wanted).abs().mean() < 0.6 * (careless - wanted).abs().mean()


def test_nothing_pruned_is_the_network_itself(network, crops, adapter):
    same = pruning.prune(network, [adapter], crops, 1.0)
    given = adapter.expand(len(crops), -1)
    assert torch.equal(same(crops, given), network(crops, given))


def test_folded_statistics_fit_the_usual_vector(pruned, crops, adapter):
    small = pruned[0]
    styled, folded = small.measure(crops, adapter.expand(len(crops), -1))
    assert folded.shape == (len(crops), StyleTransformer.adapter_size())
    assert (small.tiles(crops, folded) - styled).abs().max() < 1e-4


def test_training_on_draws_it_nearer(network, pruned, adapter, monkeypatch):
    monkeypatch.setattr(pruning, "SIDE", 48)
    photographs = photographs_that_come_along()
    batch = photographs.batch(np.random.default_rng(99), 6, 48)
    unseen = torch.from_numpy(batch.pictures.copy()).permute(0, 3, 1, 2).float() / 255
    given = adapter.expand(len(unseen), -1)
    small = StyleTransformer.of(pruned[0].state_dict())
    before = (small(unseen, given) - network(unseen, given)).abs().mean()
    after = pruning.distil(small, network, [adapter], photographs, steps=120)
    assert (after(unseen, given) - network(unseen, given)).abs().mean() < before


def test_a_pruned_file_takes_the_networks_styles_under_another_identity(network, adapter, tmp_path, monkeypatch):
    whole = tmp_path / "shared.safetensors"
    tensors = {shared.PREFIX + name: value.numpy() for name, value in network.state_dict().items()}
    save_file(tensors | {"identity": adapter.numpy()}, whole)
    digest = hashlib.sha256(whole.read_bytes()).hexdigest()
    pack = tmp_path / "packs" / "wavy"
    pack.mkdir(parents=True)
    save_file({"adapter": adapter.numpy()}, pack / "weights.safetensors")
    weights = hashlib.sha256((pack / "weights.safetensors").read_bytes()).hexdigest()
    (pack / "style.toml").write_text(
        f'name = "wavy"\nlook = "Strokes of a test."\nengine = "network"\nlicence = "CC0"\nauthor = "us"\n'
        f'made = "at random"\nweights_sha256 = "{weights}"\n[parameters]\nnetwork = "{digest[:12]}"\n'
    )
    monkeypatch.setattr(pruning, "SIDE", 32)
    arguments = ["--network", str(whole), "--packs", str(tmp_path / "packs"), "--out", str(tmp_path / "small")]
    pruning.main([*arguments, "--keep", "0.5"])

    monkeypatch.setattr(shared, "SHARED", whole)
    monkeypatch.setenv(runner.BACKEND_VARIABLE, "torch")
    picture = (np.random.default_rng(0).random((40, 48, 3)) * 255).astype(np.uint8)
    looks = []
    for path in (whole, tmp_path / "small" / "shared.safetensors"):
        monkeypatch.setenv(shared.NETWORK_VARIABLE, str(path))
        runner._runner_of.cache_clear()
        looks.append(Look("wavy", ((read_pack(pack), 0.5, 1.0),)))
        assert looks[-1].apply(picture, seed=1).shape == picture.shape
    runner._runner_of.cache_clear()
    assert looks[0].identity != looks[1].identity, "evidence belongs to one exact picture-making"
    monkeypatch.setenv(shared.NETWORK_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(CreativeError, match="where there is no file"):
        read_pack(pack)


def test_a_share_that_is_none_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        pruning.main(["--keep", "1.5", "--out", str(tmp_path)])
    assert "above 0 and up to 1" in capsys.readouterr().err
