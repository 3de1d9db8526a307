"""Running the transformer: OpenVINO on processors, torch on CUDA, plain torch where neither is at hand.

The compiled form of a network is kept on disk by the hash of its weights, so that torch is loaded once in its life and
not once in every process. Pictures are ``(1, 3, height, width)`` float32 in 0..1, both sides multiples of 4.

Precision is the processor's own unless it is chosen: bfloat16 where it computes in it, or else float32. ``int8`` is
faster where there are instructions for it (VNNI), and costs a little likeness: see `quantised`.
"""

import hashlib
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from creatives.cache import cache_folder
from creatives.errors import CreativeError
from creatives.neural.discreet import BACKEND_VARIABLE, load_openvino, unusable
from creatives.neural.shared import PREFIX, file_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from creatives.neural.inference import Form, Inference
    from creatives.neural.transformer import StyleTransformer

Floats = NDArray[np.float32]
Backend = Literal["openvino", "torch"]
Precision = Literal["own", "float32", "int8"]
_SIZES = 4
FORM = 2
"""Raised when the compiled form of the same weights changes."""
PRECISION_VARIABLE = "ADSTYLE_PRECISION"
TENSORS = "this table of tensors"
"""What is said of a network that came from no file."""


class Runner(Protocol):
    """One network, ready to run."""

    def whole(self, picture: Floats, adapter: Floats) -> Floats:
        """The styled picture."""
        ...

    def measure(self, picture: Floats, adapter: Floats) -> tuple[Floats, Floats]:
        """The styled picture and the folded normalisations it was made with, a vector for `tiles`."""
        ...

    def tiles(self, picture: Floats, folded: Floats) -> Floats:
        """A part of a larger picture under normalisations measured on the whole."""
        ...


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


def chosen_precision() -> Precision:
    """$ADSTYLE_PRECISION or, where it is not set, the processor's own."""
    wish = os.environ.get(PRECISION_VARIABLE, "")
    if wish in ("", "own"):
        return "own"
    if wish not in ("float32", "int8"):
        raise CreativeError(f"{PRECISION_VARIABLE} is {wish!r}: it may be float32 or int8, or not set")
    if wish == "float32":
        return "float32"
    if chosen_backend() != "openvino":
        raise CreativeError(f"{PRECISION_VARIABLE} is int8, which needs {BACKEND_VARIABLE}=openvino")
    return "int8"


def runner_of(path: Path) -> Runner:
    """The runner of the network in a safetensors file, made on first use in this process, by whichever thread."""
    with _making:
        return _runner_of(path)


_making = threading.Lock()


@lru_cache(maxsize=8)
def _runner_of(path: Path) -> Runner:
    precision = chosen_precision()
    if chosen_backend() == "torch":
        return TorchRunner(_network_in(path), precision, str(path))
    name = f"{file_sha256(path)[:16]}-{FORM}" + ("" if precision == "own" else f"-{precision}")
    return OpenVinoRunner(lambda: _network_in(path), cache_folder() / name, precision, str(path))


def open_runner(network: "dict[str, Tensor]", backend: Backend, precision: Precision = "own") -> Runner:
    """A runner of these tensors; nothing is kept on disk."""
    if backend == "torch":
        return TorchRunner(network, precision)
    return OpenVinoRunner(lambda: network, None, precision)


def _network_in(path: Path) -> "dict[str, Tensor]":
    from creatives.neural.features import read_weights

    tensors = read_weights(path)
    return {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}


class TorchRunner:
    """Eager torch: bfloat16 and channels last on CUDA, unless float32 is chosen; float32 elsewhere."""

    def __init__(self, network: "dict[str, Tensor]", precision: Precision = "own", where: str = TENSORS) -> None:
        import torch

        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._cast = self._device.type == "cuda" and precision != "float32"
        self._network = _module(network, where).to(self._device).to(memory_format=torch.channels_last)

    def whole(self, picture: Floats, adapter: Floats) -> Floats:
        """As `Runner.whole`."""
        return self.measure(picture, adapter)[0]

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
        given = torch.tensor(picture, device=self._device).contiguous(memory_format=torch.channels_last)
        numbers = torch.tensor(vector, device=self._device)[None]
        with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16, enabled=self._cast):
            return [each.float().cpu().numpy() for each in function(given, numbers)]


class ModelCache:
    """OpenVINO's models in a folder, and there what it compiles of them; without a folder nothing is kept.

    One that cannot be written spares nothing, and breaks nothing; what is damaged in it is made again.
    """

    def __init__(self, folder: Path | None) -> None:
        self._core, self._folder = _core(), folder
        if folder is not None:
            try:
                (folder / "compiled").mkdir(parents=True, exist_ok=True)
                self._core.set_property({"CACHE_DIR": str(folder / "compiled")})
            except OSError:
                self._folder = None

    def model(self, name: str, make: Callable[[], Any]) -> Any:
        """The model of that name, from the disk or made and kept."""
        if self._folder is None:
            return make()
        kept = self._folder / f"{name}.xml"
        model = self._read(kept)
        if model is None:
            made = make()
            self._write(made, kept)
            # What OpenVINO compiles of it as it was made would not be found by processes that read it.
            model = self._read(kept) or made
        return model

    def compiled(self, model: Any, hints: dict[str, str]) -> Any:
        """The model, ready to run.

        Raises:
            CreativeError: where OpenVINO cannot run it here.
        """
        try:
            return self._core.compile_model(model, "CPU", hints)
        except RuntimeError:  # of the cache, such as a full disk; whatever else it is comes again
            core = _core()
        try:
            return core.compile_model(model, "CPU", hints)
        except RuntimeError as error:
            raise unusable(error) from None

    def _read(self, kept: Path) -> Any:
        try:
            if kept.with_suffix(".sha256").read_text("ascii") == _digest(kept):
                return self._core.read_model(kept)
        except (OSError, RuntimeError, ValueError):  # missing, of another OpenVINO, no text
            pass
        return None

    def _write(self, model: Any, kept: Path) -> None:
        aside = kept.with_name(f"{kept.stem}.{os.getpid()}.part.xml")
        try:
            load_openvino().save_model(model, aside, compress_to_fp16=False)
            aside.with_suffix(".sha256").write_text(_digest(aside), "ascii")
            for suffix in _KEPT:
                os.replace(aside.with_suffix(suffix), kept.with_suffix(suffix))
        except (OSError, RuntimeError):  # a full disk is a RuntimeError to OpenVINO
            for suffix in _KEPT:
                with suppress(OSError):
                    aside.with_suffix(suffix).unlink()


def _core() -> Any:
    openvino = load_openvino()
    try:
        return openvino.Core()
    except RuntimeError as error:
        raise unusable(error) from None


_KEPT = (".bin", ".xml", ".sha256")
"""A model's files, as they are put in place. The last has the hash of the others: zeros would be read as numbers."""


def _digest(kept: Path) -> str:
    return hashlib.sha256(kept.read_bytes() + kept.with_suffix(".bin").read_bytes()).hexdigest()


class OpenVinoRunner:
    """OpenVINO, whose own precision is bfloat16 where the processor computes in it."""

    def __init__(
        self, network: "Callable[[], dict[str, Tensor]]", folder: Path | None, precision: Precision = "own",
        where: str = TENSORS,
    ) -> None:  # fmt: skip
        self._hints = {"PERFORMANCE_HINT": "LATENCY"}
        if precision == "float32":
            self._hints["INFERENCE_PRECISION_HINT"] = "f32"
        self._cache = ModelCache(folder)
        self._forms = _Forms(network, self._cache, precision, where)
        self._compiled: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._compiling = threading.Lock()

    def whole(self, picture: Floats, adapter: Floats) -> Floats:
        """As `Runner.whole`."""
        return self._run("whole", picture, adapter)[0].copy()

    def measure(self, picture: Floats, adapter: Floats) -> tuple[Floats, Floats]:
        """As `Runner.measure`."""
        found = self._run("measure", picture, adapter)
        return found[0].copy(), found[1][0].copy()

    def tiles(self, picture: Floats, folded: Floats) -> Floats:
        """As `Runner.tiles`."""
        return self._run("tiles", picture, folded)[0].copy()

    def _run(self, form: "Form", picture: Floats, vector: Floats) -> list[Floats]:
        # A request of its own for each call: a compiled model may be used from several threads.
        request = self._of_size(form, picture.shape, len(vector)).create_infer_request()
        found = request.infer({0: np.ascontiguousarray(picture), 1: vector[None]})
        return [np.asarray(found[index]) for index in range(len(found))]

    def _of_size(self, form: "Form", shape: tuple[int, ...], numbers: int) -> Any:
        """A fixed size compiles to faster code than a free one; the last few sizes are kept."""
        with self._compiling:
            key = form, shape
            if key not in self._compiled:
                model = self._forms.model(form)
                model.reshape({0: list(shape), 1: [1, numbers]})
                while len(self._compiled) >= _SIZES:
                    self._compiled.pop(next(iter(self._compiled)))
                self._compiled[key] = self._cache.compiled(model, self._hints)
            return self._compiled[key]


def _module(network: "dict[str, Tensor]", where: str) -> "StyleTransformer":
    from creatives.neural.features import WeightsError
    from creatives.neural.transformer import StyleTransformer

    try:
        return StyleTransformer.of(network)
    except ValueError as error:
        raise WeightsError(f"{where} holds the weights of another network ({error}); get the file again") from None


class _Forms:
    """The ways of running a network as OpenVINO models of free size, from the disk or made from torch's."""

    def __init__(
        self, network: "Callable[[], dict[str, Tensor]]", cache: ModelCache, precision: Precision, where: str
    ) -> None:
        self._network, self._cache, self._precision, self._where = network, cache, precision, where
        self._made: dict[str, Any] = {}
        self._module: StyleTransformer | None = None
        self._reaches: list[float] | None = None

    def model(self, form: "Form") -> Any:
        """A copy, to be given a size."""
        if form not in self._made:
            self._made[form] = self._cache.model(form, lambda: self._make(form))
        return self._made[form].clone()

    def _make(self, form: "Form") -> Any:
        openvino = load_openvino()
        import torch

        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing is deprecated, but it is the form OpenVINO reads with free sizes
            module = self._to_convert(form)
            example = torch.rand(1, 3, 64, 64), torch.ones(1, module.vector_size())
            return openvino.convert_model(module, example_input=example, input=[[1, 3, -1, -1], [1, -1]])

    def _to_convert(self, form: "Form") -> "Inference":
        from creatives.neural.inference import Inference

        if self._module is None:
            self._module = _module(self._network(), self._where)
        if self._precision != "int8":
            return Inference(self._module, form).eval()
        from creatives.neural.calibration import reaches_of
        from creatives.neural.quantised import Quantised

        if self._reaches is None:
            self._reaches = reaches_of(self._module)
        return Quantised(self._module, form, self._reaches).eval()
