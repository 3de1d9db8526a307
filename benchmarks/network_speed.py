"""Seconds and memory that one picture of 1080 x 1080 takes: the network most examples are built on, and ours.

Each way of running is measured in a process of its own, so that peaks of memory do not mix.
"""

import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.table import Table
from creatives.neural.runner import Backend, open_runner
from creatives.neural.transformer import StyleTransformer

SIDE, RUNS = 1080, 5


class Johnson(nn.Module):
    """The network of J. Johnson, A. Alahi, L. Fei-Fei, ECCV 2016, in the form pytorch/examples made common.

    Instance normalisation (D. Ulyanov et al., 2016) in place of batch normalisation, and resizing by nearest
    neighbours before convolutions in place of transposed ones. ``(n, 3, height, width)`` to the same.
    """

    def __init__(self) -> None:
        super().__init__()
        residuals = [_Residual() for _ in range(5)]
        self.layers = nn.Sequential(
            *_normalised(3, 32, 9), nn.ReLU(),
            *_normalised(32, 64, 3, stride=2), nn.ReLU(),
            *_normalised(64, 128, 3, stride=2), nn.ReLU(),
            *residuals,
            nn.Upsample(scale_factor=2, mode="nearest"), *_normalised(128, 64, 3), nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="nearest"), *_normalised(64, 32, 3), nn.ReLU(),
            nn.ReflectionPad2d(4), nn.Conv2d(32, 3, 9),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures)


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(*_normalised(128, 128, 3), nn.ReLU(), *_normalised(128, 128, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def _normalised(inputs: int, outputs: int, size: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.ReflectionPad2d(size // 2),
        nn.Conv2d(inputs, outputs, size, stride),
        nn.InstanceNorm2d(outputs, affine=True),
    )


def _johnson_eager() -> Callable[[], object]:
    network, picture = Johnson().eval(), torch.from_numpy(_picture())
    return lambda: network(picture)


def _johnson_openvino() -> Callable[[], object]:
    import openvino

    picture = _picture()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, but it is the form OpenVINO reads
        model = openvino.convert_model(Johnson().eval(), example_input=torch.rand(1, 3, 64, 64), input=[picture.shape])
    compiled = openvino.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    return lambda: compiled({0: picture})


def _ours_eager() -> Callable[[], object]:
    network, picture = StyleTransformer().eval(), torch.from_numpy(_picture())
    picture = picture.contiguous(memory_format=torch.channels_last)
    network.to(memory_format=torch.channels_last)
    adapter = StyleTransformer.neutral_adapter()[None]
    return lambda: network(picture, adapter)


def _ours_bfloat16() -> Callable[[], object]:
    run = _ours_eager()

    def cast() -> object:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return run()

    return cast


def _ours_by(backend: Backend) -> Callable[[], object]:
    runner, picture = open_runner(StyleTransformer().state_dict(), backend), _picture()
    adapter = StyleTransformer.neutral_adapter().numpy()
    return lambda: runner.measure(picture, adapter)


WAYS: dict[str, tuple[type[nn.Module], Callable[[], Callable[[], object]]]] = {
    "pytorch/examples' network, eager, float32": (Johnson, _johnson_eager),
    "pytorch/examples' network, OpenVINO": (Johnson, _johnson_openvino),
    "ours, eager, float32": (StyleTransformer, _ours_eager),
    "ours, eager, bfloat16": (StyleTransformer, _ours_bfloat16),
    "ours, as shipped (OpenVINO)": (StyleTransformer, lambda: _ours_by("openvino")),
}
"""What is measured -> its network, and what makes it ready to be called."""


def measure() -> Table:
    """Untrained numbers in every network: they take as long as any others."""
    rows = []
    for name, (network, _) in WAYS.items():
        told = subprocess.run([sys.executable, "-m", __spec__.name, name], check=True, capture_output=True, text=True)
        seconds, peak = json.loads(told.stdout.splitlines()[-1])
        rows.append((name, f"{_millions(network):.2f} M", f"{seconds:.2f}", f"{peak:,.0f} MiB"))
    return Table(
        f"One picture of {SIDE} x {SIDE}, median of {RUNS} after a warm-up; memory of the whole process",
        ("network", "parameters", "seconds", "peak memory"),
        rows,
    )


def run_one(name: str) -> tuple[float, float]:
    """Median seconds, and the most MiB this process has held."""
    torch.manual_seed(0)
    ready: Callable[[], Any] = WAYS[name][1]()
    with torch.inference_mode():
        ready()
        times = []
        for _ in range(RUNS):
            began = time.perf_counter()
            ready()
            times.append(time.perf_counter() - began)
    return median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _picture() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)


def _millions(network: type[nn.Module]) -> float:
    return sum(parameter.numel() for parameter in network().parameters()) / 1e6


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(run_one(sys.argv[1])))
    else:
        print(measure().markdown())
