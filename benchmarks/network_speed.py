"""Seconds and memory that pictures take: the network most examples are built on, and ours as it may be run.

    python -m benchmarks.network_speed

One picture of 1080 x 1080, one of 4096 x 4096, and one brief in 16 styles and 3 slots. Each figure is of a process of
its own, so that peaks of memory do not mix; networks are compiled beforehand, as they are from their second use on.
Ours are run in the styles of nobody: adapters at random, which take as long as any others.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.table import Table

SIDE, RUNS = 1080, 5
LARGE, LARGE_RUNS = 4096, 1
STYLES, SLOTS = 16, ("1080x1080", "300x250", "1200x628")
PRUNED = 72
"""Inner channels of each block that pruning to three quarters leaves."""

Ready = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Way:
    """A way of running a network: its parameters are those of ``network``."""

    network: str
    ready: Callable[[Path], Ready]
    """Given the folder of prepared files, what is to be called."""
    environment: Mapping[str, str] = field(default_factory=dict)


def _johnson_eager(_: Path) -> Ready:
    import torch

    from benchmarks.johnson import Johnson

    network, picture = Johnson().eval(), torch.from_numpy(_picture())
    return _without_gradients(lambda: network(picture))


def _johnson_openvino(_: Path) -> Ready:
    import torch

    from benchmarks.johnson import Johnson
    from creatives.neural.discreet import load_openvino

    openvino = load_openvino()
    picture = _picture()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, but it is the form OpenVINO reads
        model = openvino.convert_model(Johnson().eval(), example_input=torch.rand(1, 3, 64, 64), input=[picture.shape])
    compiled = openvino.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    return lambda: compiled({0: picture})


def _ours_eager(_: Path) -> Ready:
    import torch

    from creatives.neural.transformer import StyleTransformer

    network, picture = StyleTransformer().eval(), torch.from_numpy(_picture())
    picture = picture.contiguous(memory_format=torch.channels_last)
    network.to(memory_format=torch.channels_last)
    adapter = StyleTransformer.neutral_adapter()[None]
    return _without_gradients(lambda: network(picture, adapter))


def _ours(folder: Path, name: str = "whole") -> Ready:
    from creatives.neural.runner import runner_of
    from creatives.neural.shared import read_vector

    path = folder / f"{name}.safetensors"
    runner, picture, adapter = runner_of(path), _picture(), read_vector(path, "identity", 2252)
    return lambda: runner.whole(picture, adapter)


def _ours_pruned(folder: Path) -> Ready:
    return _ours(folder, "pruned")


def _reference(_: Path) -> Ready:
    from creatives.engines.reference import NETWORK
    from creatives.neural.likeness import network_in, statistics_of, take_after

    network, picture = network_in(NETWORK), _picture()[0].transpose(1, 2, 0)
    known = statistics_of(picture[:512, :512], network)
    return lambda: take_after(picture, [(known, 1.0)], network)


def _large(folder: Path) -> Ready:
    look = _looks(folder)[0]
    picture = np.random.default_rng(0).integers(0, 255, (LARGE, LARGE, 3), np.uint8)
    return lambda: look.apply(picture, seed=1)


def _brief(folder: Path) -> Ready:
    from creatives.briefs import load_brief
    from creatives.render import plan_render, render
    from creatives.slots import find_slot

    slots = [find_slot(name) for name in SLOTS]

    def draw() -> None:
        brief, looks = load_brief(folder / "brief.yaml"), {look.name: look for look in _looks(folder)}
        with tempfile.TemporaryDirectory() as out:
            made = render(plan_render(brief, looks, slots), out=Path(out))
        assert len(made) == STYLES * len(SLOTS)  # noqa: S101 - a figure of less work would lie

    return draw


def _looks(folder: Path) -> list[Any]:
    from creatives.packs import StyleLibrary

    library = StyleLibrary([folder / "packs"])
    return [library.resolve(f"style-{number:02}") for number in range(STYLES)]


INT8 = {"ADSTYLE_PRECISION": "int8"}
WAYS = {
    "pytorch/examples' network, eager, float32": Way("Johnson", _johnson_eager),
    "pytorch/examples' network, OpenVINO": Way("Johnson", _johnson_openvino),
    "ours, eager, float32": Way("ours", _ours_eager),
    "ours, OpenVINO, float32": Way("ours", _ours, {"ADSTYLE_PRECISION": "float32"}),
    "ours, OpenVINO, as shipped": Way("ours", _ours),
    "ours, OpenVINO, int8": Way("ours", _ours, INT8),
    "ours, pruned to three quarters, OpenVINO": Way("pruned", _ours_pruned),
    "ours, pruned to three quarters, OpenVINO, int8": Way("pruned", _ours_pruned, INT8),
    "ours that takes after any picture, float32": Way("reference", _reference, {"ADSTYLE_PRECISION": "float32"}),
    "ours that takes after any picture, as shipped": Way("reference", _reference),
}
LARGE_WAYS = {
    "ours, as shipped": Way("ours", _large),
    "ours, int8": Way("ours", _large, INT8),
}
BRIEF_WAYS = {
    "ours, as shipped": Way("ours", _brief),
    "ours, int8": Way("ours", _brief, INT8),
}
TABLES = {"one": WAYS, "large": LARGE_WAYS, "brief": BRIEF_WAYS}


def measure() -> tuple[Table, ...]:
    """The three tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = _in_a_process("prepare", "", folder, {})
        one = [(way, f"{sizes[how.network]:.2f} M", *_figures("one", way, folder)) for way, how in WAYS.items()]
        large = [(way, *_figures("large", way, folder)) for way in LARGE_WAYS]
        brief = [(way, *_figures("brief", way, folder)) for way in BRIEF_WAYS]
    load = f"load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    return (
        Table(
            f"One picture of {SIDE} x {SIDE}, best and median of {RUNS} after a warm-up; whole process ({load})",
            ("network", "parameters", "best", "median", "processor time", "peak memory"), one,
        ),
        Table(
            f"One picture of {LARGE} x {LARGE}, tiled, from pixels to pixels",
            ("network", "best", "median", "processor time", "peak memory"), large,
        ),
        Table(
            f"One brief in {STYLES} styles and {len(SLOTS)} slots ({', '.join(SLOTS)}), from the brief to the files",
            ("network", "best", "median", "processor time", "peak memory"), brief,
        ),
    )  # fmt: skip


def _figures(table: str, way: str, folder: Path) -> tuple[str, ...]:
    environment = {
        "ADSTYLE_CACHE": str(folder / "cache"),
        "ADSTYLE_NETWORK": str(folder / "whole.safetensors"),
        "ADSTYLE_BACKEND": "openvino",
        **TABLES[table][way].environment,
    }
    _in_a_process(table, way, folder, environment | {"ADSTYLE_BENCHMARK_RUNS": "0"})
    *seconds, peak = _in_a_process(table, way, folder, environment)
    return *(f"{each:.2f} s" for each in seconds), f"{peak:,.0f} MiB"


def _in_a_process(table: str, way: str, folder: Path, environment: Mapping[str, str]) -> Any:
    command = [sys.executable, "-m", __spec__.name, table, way, str(folder)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
    return json.loads(told.stdout.splitlines()[-1])


def run_one(table: str, way: str, folder: Path) -> tuple[float, float, float, float]:
    """Best and median seconds, those that all cores worked together, and the most MiB this process has held."""
    runs = int(os.environ.get("ADSTYLE_BENCHMARK_RUNS", RUNS if table == "one" else LARGE_RUNS))
    ready = TABLES[table][way].ready(folder)
    ready()
    times, before = [], time.process_time()
    for _ in range(runs):
        began = time.perf_counter()
        ready()
        times.append(time.perf_counter() - began)
    if not times:
        return 0.0, 0.0, 0.0, 0.0
    work = (time.process_time() - before) / runs
    return min(times), median(times), work, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prepare(folder: Path) -> dict[str, float]:
    """The shipped network, a pruned one, styles and a brief in ``folder``; millions of parameters by network."""
    import shutil

    import torch
    import yaml
    from PIL import Image
    from skimage.data import coffee

    from benchmarks.johnson import Johnson
    from creatives.neural.reference import ReferenceNetwork
    from creatives.neural.shared import SHARED, file_sha256
    from creatives.neural.transformer import BLOCKS, StyleTransformer
    from creatives.packaging import write_pack
    from creatives.training.prune import write_pruned

    shutil.copyfile(SHARED, folder / "whole.safetensors")
    whole = file_sha256(folder / "whole.safetensors")
    neutral, pruned = StyleTransformer.neutral_adapter(), StyleTransformer([PRUNED] * BLOCKS)
    write_pruned(pruned, neutral, whole, folder / "pruned.safetensors")
    generator = torch.Generator().manual_seed(0)
    for number in range(STYLES):
        adapter = neutral + torch.randn(neutral.shape, generator=generator) / 10
        name, look = f"style-{number:02}", "Strokes of nobody in particular."
        write_pack(
            folder / "packs" / name, name=name, look=look, engine="network", parameters={"network": whole[:12]},
            weights={"adapter": adapter.numpy()}, licence="CC0-1.0", author="nobody", made="at random",
        )  # fmt: skip
    Image.fromarray(coffee()).save(folder / "picture.png")
    brief = {
        "brief": "coffee", "advertiser": "Kornblum", "campaign": "spring", "concept": "cup", "picture": "picture.png",
        "headline": "Coffee that waits for you", "call_to_action": "Order a bag",
        "landing_url": "https://example.com/coffee",
    }  # fmt: skip
    (folder / "brief.yaml").write_text(yaml.safe_dump(brief), encoding="utf-8")
    counted = {"Johnson": Johnson(), "ours": StyleTransformer(), "pruned": pruned, "reference": ReferenceNetwork()}
    return {name: sum(each.numel() for each in network.parameters()) / 1e6 for name, network in counted.items()}


def _without_gradients(call: Ready) -> Ready:
    import torch

    return torch.inference_mode()(call)


def _picture() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(
            json.dumps(
                prepare(Path(sys.argv[3])) if sys.argv[1] == "prepare" else run_one(*sys.argv[1:3], Path(sys.argv[3]))
            )
        )
    else:
        for table in measure():
            print(table.markdown(), flush=True)
