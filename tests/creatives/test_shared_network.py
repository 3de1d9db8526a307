"""The network we ship: the one its code describes, with an identity worth its name."""

import numpy as np
import pytest

from creatives.checks import sample_scene
from creatives.engines.network import adapter_size
from creatives.neural.runner import open_runner
from creatives.neural.shared import SHARED, load_shared
from creatives.neural.tiling import style_picture
from creatives.neural.transformer import StyleTransformer


@pytest.fixture(scope="module")
def shipped():
    return load_shared()


def test_it_is_the_network_of_the_code(shipped):
    network = StyleTransformer()
    network.load_state_dict(shipped.network)
    assert sum(value.numel() for value in network.parameters()) <= 600_000
    assert shipped.identity.shape == (adapter_size(),)
    assert SHARED.stat().st_size < 3_000_000


def test_its_identity_comes_nearer_to_the_photograph_than_plain_normalisation(shipped):
    picture = sample_scene(96, 128).astype(np.float32) / 255
    run = open_runner(shipped.network, "torch")
    plain, identity = StyleTransformer.neutral_adapter().numpy(), shipped.identity.numpy()
    misses = [np.abs(style_picture(picture, adapter, run) - picture).mean() for adapter in (identity, plain)]
    assert misses[0] < misses[1]
    assert misses[0] < 0.2
