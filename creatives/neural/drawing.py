"""Running a generator that draws on photographs: whole or in tiles, on OpenVINO or torch, as `runner` chooses.

What such a network gives at a pixel hangs on its surroundings alone, so tiles need no statistics of the whole.
"""

import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from creatives.cache import cache_folder
from creatives.neural.discreet import load_openvino
from creatives.neural.runner import ModelCache, chosen_backend
from creatives.neural.shared import PREFIX, file_sha256
from creatives.neural.tiling import WHOLE_PIXELS, padded_to, windows

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
FORM = 1
"""Raised when the compiled form of the same weights changes."""
STRIDE, SMALLEST = 4, 32
"""As the network's, known without loading torch; a test compares them."""
_SIZES = 4


class Drawer(Protocol):
    """One generator, ready to run."""

    def change(self, picture: Floats) -> Floats:
        """What is added to ``(1, 3, height, width)``, sides multiples of STRIDE."""
        ...


def draw(picture: Floats, drawer: Drawer) -> Floats:
    """``(height, width, 3)`` in 0..1, of any size from 1 x 1 on, drawn; not yet clipped."""
    height, width, _ = picture.shape
    padded = padded_to(picture, STRIDE, SMALLEST)
    rows, columns = padded.shape[:2]
    if rows * columns <= WHOLE_PIXELS:
        return (padded + _change(padded, drawer))[:height, :width]
    out = np.empty_like(padded)
    for window in windows(rows, columns):
        part = window.read(padded)
        window.put(part + _change(part, drawer), out)
    return out[:height, :width]


def _change(picture: Floats, drawer: Drawer) -> Floats:
    return drawer.change(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))[0].transpose(1, 2, 0)


def drawer_of(path: Path) -> Drawer:
    """The drawer of the generator in a safetensors file, made on first use in this process, by whichever thread.

    Raises:
        WeightsError: for a file that is missing, damaged or of another network.
    """
    with _making:
        return _drawer_of(path, file_sha256(path) if path.is_file() else "")


_making = threading.Lock()


@lru_cache(maxsize=4)
def _drawer_of(path: Path, sha256: str) -> Drawer:
    if chosen_backend() == "torch":
        return TorchDrawer(load_generator(path))
    return OpenVinoDrawer(lambda: load_generator(path), cache_folder() / f"{sha256[:16]}-drawing-{FORM}")


def load_generator(path: Path) -> Any:
    """The `cartoon.Cartoonist` in a file.

    Raises:
        WeightsError: for a file that is missing, damaged or of another network.
    """
    from creatives.neural.cartoon import Cartoonist
    from creatives.neural.features import WeightsError, read_weights

    found = read_weights(path)
    tensors = {name.removeprefix(PREFIX): value for name, value in found.items() if name.startswith(PREFIX)}
    module = Cartoonist()
    wanted = {name: value.shape for name, value in module.state_dict().items()}
    if {name: value.shape for name, value in tensors.items()} != wanted:
        raise WeightsError(f"{path} holds the weights of another network; get the pack again")
    module.load_state_dict(tensors)
    return module.eval().requires_grad_(requires_grad=False)


class TorchDrawer:
    """Eager torch: bfloat16 and channels last on CUDA, float32 elsewhere."""

    def __init__(self, network: Any) -> None:
        import torch

        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).to(memory_format=torch.channels_last)

    def change(self, picture: Floats) -> Floats:
        """As `Drawer.change`."""
        torch = self._torch
        given = torch.tensor(picture, device=self._device).contiguous(memory_format=torch.channels_last)
        mixed = torch.autocast("cuda", dtype=torch.bfloat16, enabled=self._device.type == "cuda")
        with torch.inference_mode(), mixed:
            return self._network.change(given).float().cpu().numpy()


class OpenVinoDrawer:
    """OpenVINO in its default precision; the compiled form is kept in ``folder`` where one is given."""

    def __init__(self, network: "Callable[[], Any]", folder: Path | None) -> None:
        self._cache = ModelCache(folder)
        self._form = self._cache.model("change", lambda: _form(network()))
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._compiling = threading.Lock()

    def change(self, picture: Floats) -> Floats:
        """As `Drawer.change`; a compiled model may be used from several threads, by a request for each call."""
        request = self._of_size(picture.shape).create_infer_request()
        return np.asarray(request.infer({0: picture})[0]).copy()

    def _of_size(self, shape: tuple[int, ...]) -> Any:
        """A fixed size compiles to faster code than a free one; the last few sizes are kept."""
        with self._compiling:
            if shape not in self._compiled:
                model = self._form.clone()
                model.reshape({0: list(shape)})
                while len(self._compiled) >= _SIZES:
                    self._compiled.pop(next(iter(self._compiled)))
                self._compiled[shape] = self._cache.compiled(model, {"PERFORMANCE_HINT": "LATENCY"})
            return self._compiled[shape]


def _form(module: Any) -> Any:
    """The generator as an OpenVINO model of free size."""
    openvino = load_openvino()
    import torch

    class Form(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, pictures: "Tensor") -> "Tensor":
            return self.module.change(pictures)

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, but it is the form OpenVINO reads with free sizes
        return openvino.convert_model(Form(), example_input=torch.rand(1, 3, 64, 64), input=[[1, 3, -1, -1]])
