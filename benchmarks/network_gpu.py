"""Pictures a second that a graphics card styles at 1080 x 1080, and how near that comes to what the card can do.

    python -m benchmarks.network_gpu

Needs CUDA, which is why `make bench` leaves it out. The ceiling is the card's own in the same run: a large product of
bfloat16 matrices and a large copy; the floor of a picture's time is the larger of its operations over the one and its
bytes over the other, each layer reading what it is given and writing what it makes once.
"""

from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks.johnson import Johnson
from benchmarks.network_speed import SIDE
from benchmarks.table import Table
from creatives.neural.transformer import StyleTransformer

BATCHES, RUNS, WARM = (1, 8), 20, 5


def seconds(work: Callable[[], object]) -> float:
    """Median of RUNS, by the card's own clock."""
    for _ in range(WARM):
        work()
    times = []
    for _ in range(RUNS):
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record()
        work()
        ended.record()
        ended.synchronize()
        times.append(began.elapsed_time(ended) / 1000)
    return median(times)


def ceilings() -> tuple[float, float]:
    """Operations a second of a product of matrices, and bytes a second of a copy, read and written."""
    side, large = 8192, 2**31
    left, right = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    operations = 2 * side**3 / seconds(lambda: left @ right)
    source = torch.empty(large, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return operations, 2 * large / seconds(lambda: target.copy_(source))


def demands(network: nn.Module, run: Callable[[], object]) -> tuple[float, float]:
    """Operations and bytes in 16 bits of every convolution in one run."""
    total = [0.0, 0.0]

    def count(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        kernel = layer.weight  # type: ignore[union-attr]
        total[0] += 2.0 * made.numel() * kernel[0].numel()  # type: ignore[operator, index, union-attr]
        total[1] += 2.0 * (given[0].numel() + made.numel())

    hooks = [each.register_forward_hook(count) for each in network.modules() if isinstance(each, nn.Conv2d)]  # type: ignore[arg-type]
    run()
    for hook in hooks:
        hook.remove()
    return total[0], total[1]


def captured(run: Callable[[], object]) -> Callable[[], object]:
    """The same kernels as one graph, started at once."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def measure() -> Table:
    """Random numbers in every network: they take as long as any others."""
    operations, bytes_ = ceilings()
    rows = []
    for name, make in (("pytorch/examples' network", Johnson), ("ours", StyleTransformer)):
        for batch in BATCHES:
            network = make().cuda().eval().to(memory_format=torch.channels_last)
            picture = torch.rand(batch, 3, SIDE, SIDE, device="cuda").contiguous(memory_format=torch.channels_last)
            given = (picture,)
            if isinstance(network, StyleTransformer):
                given += (StyleTransformer.neutral_adapter().cuda().expand(batch, -1),)
            compiled = torch.compile(network, dynamic=False)

            def run(call: Callable[..., object], given: tuple[Tensor, ...] = given) -> Callable[[], object]:
                def once() -> object:
                    with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16):
                        return call(*given)

                return once

            wanted = demands(network, run(network))
            floor = max(wanted[0] / operations, wanted[1] / bytes_)
            ways = {"eager": run(network), "compiled": run(compiled), "compiled, one graph": captured(run(compiled))}
            for way, work in ways.items():
                took = seconds(work)
                rows.append(
                    (name, way, str(batch), f"{1000 * took:.2f}", f"{batch / took:,.0f}", f"{100 * floor / took:.0f} %")
                )
    reached = f"{operations / 1e12:.0f} TFLOP/s and {bytes_ / 1e12:.2f} TB/s measured"
    return Table(
        f"{SIDE} x {SIDE} in bfloat16 on one {torch.cuda.get_device_name()}, {reached}",
        ("network", "way", "batch", "milliseconds", "pictures a second", "of the ceiling"),
        rows,
    )


if __name__ == "__main__":
    if not torch.cuda.is_available():
        raise SystemExit("this measures a graphics card, and there is none that CUDA knows of here")
    print(measure().markdown())
