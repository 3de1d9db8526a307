"""The network as it is run: rewritten, the same function; in other precisions and pruned, nearly the same pictures."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from creatives.checks import sample_scene
from creatives.errors import CreativeError
from creatives.neural import runner, tiling

torch = pytest.importorskip("torch")

from creatives.neural.inference import LAYERS, Inference  # noqa: E402 - after torch is known to be there
from creatives.neural.quantised import Quantised, calibrate  # noqa: E402
from creatives.neural.transformer import QUARTER, StyleTransformer  # noqa: E402


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(7)
    return StyleTransformer().eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def pruned():
    torch.manual_seed(7)
    module = StyleTransformer([48, 96, 64, 80, 96]).eval().requires_grad_(requires_grad=False)
    for block in module.blocks:
        if block.pruned:
            block.kept.copy_(torch.randperm(QUARTER)[: len(block.kept)].sort().values)
    return module


def adapters(count=1):
    generator = torch.Generator().manual_seed(3)
    return (
        StyleTransformer.neutral_adapter()
        + torch.randn(count, StyleTransformer.adapter_size(), generator=generator) / 4
    )


def pictures(height, width):
    """A photograph's likeness, ``(1, 3, height, width)``."""
    return torch.tensor(sample_scene(height, width)).permute(2, 0, 1)[None] / 255


def difference(one, other):
    """Mean CIEDE2000."""
    labs = [rgb2lab(np.clip(np.asarray(each)[0].transpose(1, 2, 0), 0, 1)) for each in (one, other)]
    return deltaE_ciede2000(*labs).mean()


@pytest.mark.parametrize("size", [(16, 16), (16, 72), (100, 132), (256, 320)])
@pytest.mark.parametrize("which", ["network", "pruned"])
def test_rewritten_it_is_the_same_function_up_to_its_frame(size, which, request):
    module, picture, adapter = request.getfixturevalue(which), torch.rand(1, 3, *size), adapters()
    styled, folded = module.measure(picture, adapter)
    also_styled, also_folded = Inference(module, "measure")(picture, adapter)
    assert (Inference(module, "whole")(picture, adapter) - styled).abs().max() < 1e-4
    assert (also_styled - styled).abs().max() < 1e-4
    assert (also_folded - folded).abs().max() < 1e-4
    assert (Inference(module, "tiles")(picture, folded) - module.tiles(picture, folded)).abs().max() < 1e-4


@pytest.mark.parametrize("which", ["network", "pruned"])
@pytest.mark.parametrize("precision", ["own", "float32"])
def test_openvino_draws_what_torch_draws(which, precision, request):
    module, picture, adapter = request.getfixturevalue(which), pictures(192, 256).numpy(), adapters()[0].numpy()
    state = module.state_dict()
    plain, fast = runner.open_runner(state, "torch"), runner.open_runner(state, "openvino", precision)
    wanted, folded = plain.measure(picture, adapter)
    styled, also_folded = fast.measure(picture, adapter)
    most = 0.01 if precision == "float32" else 1
    assert difference(fast.whole(picture, adapter), wanted) < most
    assert difference(styled, wanted) < most
    assert difference(fast.tiles(picture, also_folded), plain.tiles(picture, folded)) < most


def test_int8_draws_nearly_the_same_whole_and_in_tiles(network, monkeypatch):
    adapter, picture = adapters()[0].numpy(), pictures(192, 256).numpy()
    eight = runner.open_runner(network.state_dict(), "openvino", "int8")
    wanted = runner.open_runner(network.state_dict(), "torch").whole(picture, adapter)
    # A network that nobody trained is the worst case.
    assert difference(eight.whole(picture, adapter), wanted) < 3
    scene = picture[0].transpose(1, 2, 0)
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 1)
    monkeypatch.setattr(tiling, "reduced", lambda given: given)
    monkeypatch.setattr(tiling, "TILE", 128)
    tiled = tiling.style_picture(scene, adapter, eight)
    assert difference(tiled.transpose(2, 0, 1)[None], wanted) < 3


def test_one_calibration_fits_adapters_of_any_size(network):
    """A style ten times as loud as all that were calibrated on loses no more: steps follow the adapter."""
    picture = pictures(96, 128)
    reaches = calibrate(network, [picture], [StyleTransformer.neutral_adapter()])
    loud = adapters().clone()
    loud[:, : 2 * 32 + 2 * QUARTER] *= 10
    eight = Quantised(network, "whole", reaches)
    for adapter in (adapters(), loud):
        assert difference(eight(picture, adapter), network(picture, adapter)) < 3


def test_rounding_is_felt_where_steps_are_too_coarse(network):
    picture, adapter = pictures(96, 128), adapters()
    coarse = Quantised(network, "whole", [1000.0] * LAYERS)
    assert difference(coarse(picture, adapter), network(picture, adapter)) > 5


def test_a_wrong_precision_is_named(monkeypatch):
    monkeypatch.setenv(runner.PRECISION_VARIABLE, "int3")
    with pytest.raises(CreativeError, match="may be float32 or int8"):
        runner.chosen_precision()
    monkeypatch.setenv(runner.PRECISION_VARIABLE, "int8")
    monkeypatch.setenv(runner.BACKEND_VARIABLE, "torch")
    with pytest.raises(CreativeError, match="needs ADSTYLE_BACKEND=openvino"):
        runner.chosen_precision()
