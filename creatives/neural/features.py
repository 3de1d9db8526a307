"""Perceptual networks: what a picture is to an eye that has learned to see, as feature maps of growing reach."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.errors import CreativeError
from creatives.kinds import no_file
from creatives.neural.mirror import mirrored

VGG_LAYERS = {0: "relu1_1", 2: "relu1_2", 5: "relu2_1", 7: "relu2_2", 10: "relu3_1", 12: "relu3_2", 14: "relu3_3",
              16: "relu3_4"}  # fmt: skip
"""Index in torchvision's ``vgg19().features`` -> name; Simonyan and Zisserman, ICLR 2015."""
_POOLED_BEFORE = (5, 10)
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures: what VGG-19 was shown is less the one, over the other."""


class WeightsError(CreativeError):
    """A file of weights that is missing, foreign or damaged; the message says which and what to do."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file as float32 tensors; of a ``.pth`` only plain tensors are taken, so nothing in it can run.

    Raises:
        WeightsError: for whatever is no such file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if kind := no_file(path):
        raise WeightsError(f"{path} is {kind}; name a file of weights")
    if not path.is_file():
        raise WeightsError(f"there is no file of weights {path}")
    try:
        found = _unpickled(path) if path.suffix in (".pth", ".pt") else load_file(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise WeightsError(f"{path} cannot be read as weights ({reason}); get the file again") from None
    except (SafetensorError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} cannot be read as weights ({reason}); get the file again") from None
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path} holds no table of tensors; give a state dict")
    return {str(name): _numbers(value, f"{path}: {name}") for name, value in found.items() if isinstance(value, Tensor)}


def _numbers(tensor: Tensor, where: str) -> Tensor:
    """As float32, all of them finite."""
    plain = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_complex() or tensor.is_meta)
    try:
        numbers = tensor.float() if plain else None
        finite = numbers is not None and bool(torch.isfinite(numbers).all())
    except RuntimeError:  # of a kind that torch only stores, or a few numbers that stand for more than memory holds
        numbers = None
    if numbers is None:
        kind = "meta" if tensor.is_meta else f"{tensor.layout} {tensor.dtype}".replace("torch.", "")
        raise WeightsError(f"{where} is a tensor of another kind ({kind}); save it as plain float32")
    if not finite:
        raise WeightsError(f"{where} holds values that are no numbers; get the file again")
    return numbers


def _unpickled(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice to those who write such files
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        if error.filename is not None:  # else torch has met the end of a file that was cut short
            raise
        raise ValueError("it is cut short") from None
    except Exception:  # a pickle that is none fails as it likes, and torch advises to run what lies in it
        raise ValueError("it is damaged, or holds more than plain tensors") from None


def convolution(
    weights: Mapping[str, Tensor], name: str, inputs: int, what: str, *, side: int = 3, padding: int = 0
) -> nn.Conv2d:
    """The layer of that name, which takes so many channels through a square kernel; ``what`` begins a refusal.

    Raises:
        WeightsError: where it is missing or of another shape.
    """
    kernel, bias = weights.get(f"{name}.weight"), weights.get(f"{name}.bias")
    if kernel is None or bias is None:
        raise WeightsError(f"{what}: it lacks {name}; give another file")
    if kernel.ndim != 4 or kernel.shape[1:] != (inputs, side, side) or not len(kernel):
        shape, wanted = tuple(kernel.shape), f"(any, {inputs}, {side}, {side})"
        raise WeightsError(f"{what}: {name}.weight has shape {shape}, not {wanted}; give another file")
    if bias.shape != kernel.shape[:1]:
        shape, wanted = tuple(bias.shape), f"({len(kernel)},)"
        raise WeightsError(f"{what}: {name}.bias has shape {shape}, not {wanted}; give another file")
    layer = nn.Conv2d(inputs, len(kernel), side, padding=padding)
    layer.load_state_dict({"weight": kernel, "bias": bias})
    return layer


class Vgg19(nn.Module):
    """VGG-19 up to relu3_4; ``(n, 3, height, width)`` in 0..1 to feature maps by layer."""

    mean: Tensor
    spread: Tensor

    def __init__(self, weights: Mapping[str, Tensor], where: str) -> None:
        super().__init__()
        self.layers, before = nn.ModuleDict(), 3
        for index, name in VGG_LAYERS.items():
            layer = convolution(weights, f"features.{index}", before, f"{where} is no VGG-19", padding=1)
            self.layers[name], before = layer, layer.out_channels
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, 3, 1, 1))
        self.requires_grad_(requires_grad=False)

    def forward(self, pictures: Tensor, deepest: str = "relu3_4") -> dict[str, Tensor]:
        x, found = (pictures - self.mean) / self.spread, {}
        for index, name in VGG_LAYERS.items():
            if index in _POOLED_BEFORE:
                x = functional.max_pool2d(x, 2)
            x = found[name] = functional.relu(self.layers[name](x))
            if name == deepest:
                break
        return found


class Distilled(nn.Module):
    """VGG-19 distilled to a sixteenth, up to relu4_1 (H. Wang et al., "Collaborative Distillation", CVPR 2020).

    Where VGG's own deeper layers are not at hand it stands in for them; ``embed`` gives features in VGG's space.
    """

    _STAGES = (("11",), ("12", "pool", "21"), ("22", "pool", "31"), ("32", "33", "34", "pool", "41"))

    def __init__(self, weights: Mapping[str, Tensor], where: str) -> None:
        super().__init__()
        what = f"{where} is no distilled VGG-19"
        self.layers, self.aux, before = nn.ModuleDict(), nn.ModuleDict(), 3
        for name in ("0", *(name for stage in self._STAGES for name in stage if name != "pool")):
            layer = convolution(weights, f"conv{name}", before, what, side=1 if name == "0" else 3)
            self.layers[name], before = layer, layer.out_channels
            if name in ("31", "41"):
                self.aux[name] = convolution(weights, f"conv{name}_aux", before, what, side=1)
        self.requires_grad_(requires_grad=False)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        x, found = self.layers["0"](pictures), {}
        for stage in self._STAGES:
            for name in stage:
                if name == "pool":
                    x = functional.max_pool2d(x, 2, ceil_mode=True)
                    continue
                x = functional.relu(self.layers[name](mirrored(x, 1)))
            found[f"small{stage[-1][0]}_1"] = x
        return found

    def embed(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``relu3_1`` and ``relu4_1`` of the normalised VGG-19, regressed from the distilled features."""
        return {f"relu{name[0]}_1": layer(features[f"small{name[0]}_1"]) for name, layer in self.aux.items()}
