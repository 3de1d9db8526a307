"""Running the transformer: OpenVINO on processors, torch on CUDA, plain torch where neither is at hand.

The compiled form of a network is kept on disk by the hash of its weights, so that torch is loaded once in its life and
not once in every process. Pictures are ``(1, 3, height, width)`` float32 in 0..1, both sides multiples of 4.
"""

import os
import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from creatives.errors import CreativeError
from creatives.neural.shared import PREFIX, file_sha256

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Backend = Literal["openvino", "torch"]
_SIZES = 4
FORM = 1
"""Raised when the compiled form of the same weights changes."""
CACHE_VARIABLE, BACKEND_VARIABLE = "ADSTYLE_CACHE", "ADSTYLE_BACKEND"


class Runner(Protocol):
    """One network, ready to run."""

    def measure(self, picture: Floats, adapter: Floats) -> tuple[Floats, Floats]:
        """The styled picture and the folded normalisations ``(adapter_size,)`` it was made with."""
        ...

    def tiles(self, picture: Floats, folded: Floats) -> Floats:
        """A part of a larger picture under normalisations measured on the whole."""
        ...


def cache_folder() -> Path:
    """Where compiled networks are kept: $ADSTYLE_CACHE, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(chosen) if chosen else Path(home) / "adstyle"


def chosen_backend() -> Backend:
    """$ADSTYLE_BACKEND or, where it is not set, what is fastest here."""
    wish = os.environ.get(BACKEND_VARIABLE, "")
    if wish and wish not in ("openvino", "torch"):
        raise CreativeError(f"{BACKEND_VARIABLE} is {wish!r}: it may be openvino or torch")
    if wish:
        return "openvino" if wish == "openvino" else "torch"
    if Path("/dev/nvidiactl").exists():
        return "torch"
    from importlib.util import find_spec

    return "openvino" if find_spec("openvino") else "torch"


def runner_of(path: Path) -> Runner:
    """The runner of the network in a safetensors file, made on first use in this process, by whichever thread."""
    with _making:
        return _runner_of(path)


_making = threading.Lock()


@lru_cache(maxsize=8)
def _runner_of(path: Path) -> Runner:
    if chosen_backend() == "torch":
        return TorchRunner(_network_in(path))
    return OpenVinoRunner(lambda: _network_in(path), cache_folder() / f"{file_sha256(path)[:16]}-{FORM}")


def open_runner(network: "dict[str, Tensor]", backend: Backend) -> Runner:
    """A runner of these tensors; nothing is kept on disk."""
    return TorchRunner(network) if backend == "torch" else OpenVinoRunner(lambda: network, None)


def _network_in(path: Path) -> "dict[str, Tensor]":
    from creatives.neural.features import read_weights

    tensors = read_weights(path)
    return {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}


class TorchRunner:
    """Eager torch: bfloat16 and channels last on CUDA, float32 elsewhere."""

    def __init__(self, network: "dict[str, Tensor]") -> None:
        import torch

        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = _module(network).to(self._device).to(memory_format=torch.channels_last)

    def measure(self, picture: Floats, adapter: Floats) -> tuple[Floats, Floats]:
        """As `Runner.measure`."""
        styled, folded = self._run(self._network.measure, picture, adapter)
        return styled, folded[0]

    def tiles(self, picture: Floats, folded: Floats) -> Floats:
        """As `Runner.tiles`."""
        (styled,) = self._run(lambda *given: (self._network.tiles(*given),), picture, folded)
        return styled

    def _run(self, function: Callable[..., tuple[Any, ...]], picture: Floats, vector: Floats) -> list[Floats]:
        torch = self._torch
        cuda = self._device.type == "cuda"
        given = torch.tensor(picture, device=self._device).contiguous(memory_format=torch.channels_last)
        numbers = torch.tensor(vector, device=self._device)[None]
        with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16, enabled=cuda):
            return [each.float().cpu().numpy() for each in function(given, numbers)]


class OpenVinoRunner:
    """OpenVINO in its default precision, which is bfloat16 where the processor computes in it."""

    def __init__(self, network: "Callable[[], dict[str, Tensor]]", folder: Path | None) -> None:
        import openvino

        self._core = openvino.Core()
        if folder is not None:
            try:
                (folder / "compiled").mkdir(parents=True, exist_ok=True)
                self._core.set_property({"CACHE_DIR": str(folder / "compiled")})
            except OSError:
                folder = None  # a cache that cannot be written spares nothing, and breaks nothing
        self._forms = {name: _form(name, network, folder) for name in ("measure", "tiles")}
        self._compiled: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._compiling = threading.Lock()

    def measure(self, picture: Floats, adapter: Floats) -> tuple[Floats, Floats]:
        """As `Runner.measure`."""
        found = self._run("measure", picture, adapter)
        return found[0].copy(), found[1][0].copy()

    def tiles(self, picture: Floats, folded: Floats) -> Floats:
        """As `Runner.tiles`."""
        return self._run("tiles", picture, folded)[0].copy()

    def _run(self, form: str, picture: Floats, vector: Floats) -> list[Floats]:
        # A request of its own for each call: a compiled model may be used from several threads.
        request = self._of_size(form, picture.shape, len(vector)).create_infer_request()
        found = request.infer({0: np.ascontiguousarray(picture), 1: vector[None]})
        return [np.asarray(found[index]) for index in range(len(found))]

    def _of_size(self, form: str, shape: tuple[int, ...], numbers: int) -> Any:
        """A fixed size compiles to faster code than a free one; the last few sizes are kept."""
        with self._compiling:
            key = form, shape
            if key not in self._compiled:
                model = self._forms[form].clone()
                model.reshape({0: list(shape), 1: [1, numbers]})
                while len(self._compiled) >= _SIZES:
                    self._compiled.pop(next(iter(self._compiled)))
                self._compiled[key] = self._core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
            return self._compiled[key]


def _module(network: "dict[str, Tensor]") -> Any:
    from creatives.neural.features import WeightsError
    from creatives.neural.transformer import StyleTransformer

    module = StyleTransformer()
    try:
        module.load_state_dict(network)
    except RuntimeError as error:
        raise WeightsError(f"these weights are of another network ({str(error).splitlines()[0]})") from None
    return module.eval().requires_grad_(requires_grad=False)


def _form(name: str, network: "Callable[[], dict[str, Tensor]]", folder: Path | None) -> Any:
    """One way of running the network as an OpenVINO model of free size, from the disk or made from torch's."""
    import openvino

    kept = folder / f"{name}.xml" if folder else None
    if kept is not None and kept.is_file() and kept.with_suffix(".bin").is_file():
        return openvino.Core().read_model(kept)
    import torch

    module = _module(network())

    class Form(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, pictures: "Tensor", vectors: "Tensor") -> Any:
            return getattr(self.module, name)(pictures, vectors)

    example = torch.rand(1, 3, 64, 64), torch.ones(1, module.adapter_size())
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, but it is the form OpenVINO reads with free sizes
        model = openvino.convert_model(Form(), example_input=example, input=[[1, 3, -1, -1], [1, -1]])
    if kept is not None:
        aside = kept.with_name(f"{kept.stem}.{os.getpid()}.part.xml")
        openvino.save_model(model, aside, compress_to_fp16=False)
        os.replace(aside.with_suffix(".bin"), kept.with_suffix(".bin"))
        os.replace(aside, kept)  # last: a form that has its .xml is whole
    return model
