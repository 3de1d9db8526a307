"""The shared style transformer: one feed-forward network, and a style is the parameters of its normalisations.

V. Dumoulin, J. Shlens, M. Kudlur, "A Learned Representation for Artistic Style", ICLR 2017 (conditional instance
normalisation); J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and
Super-Resolution", ECCV 2016 (residual network between down- and upsampling); A. Odena, V. Dumoulin, C. Olah,
"Deconvolution and Checkerboard Artifacts", Distill 2016 (resize, then convolve).

We leave them in three places. The picture enters as 2 x 2 blocks and the body works at a quarter of its size, half of
its convolutions separable: a third of the parameters of Johnson's network. A style also has an affine map of colour
behind the last layer, twelve numbers that spare the shared layers its palette. And normalisation is *folded*: each
one, with the statistics of a picture, is a scale and a shift per channel, so that what was measured on a whole picture
can be applied to its tiles.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from creatives.neural.mirror import mirrored

HALF, QUARTER, BLOCKS = 32, 96, 5
"""Channels at half and quarter size, and residual blocks at the quarter."""
REACH = 4 * 4 * BLOCKS + 24
"""Pixels beyond which nothing around a pixel changes it, once statistics are given."""
STRIDE = 4
"""Pictures have sides that are multiples of it."""
EPSILON = 1e-5
"""Added to variances."""
_COLOUR = 12
"""A 3 x 3 matrix and an offset."""

Normalise = Callable[[int, Tensor], Tensor]


class Padded(nn.Module):
    """A convolution that sees the picture mirrored at its edges: zeros would frame it in the style's darkest tone."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1, bias: bool = False):
        super().__init__()
        self.margin = size // 2
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.margin:
            x = mirrored(x, self.margin)
        return self.convolution(x)


class Block(nn.Module):
    """A dense convolution, then a separable one, around which the picture also passes untouched."""

    kept: Tensor

    def __init__(self, channels: int, first: int, inner: int) -> None:
        super().__init__()
        self.first = first
        self.pruned = inner < channels
        self.dense = Padded(channels, inner, 3)
        self.depthwise = Padded(inner, inner, 3, groups=inner)
        self.pointwise = Padded(inner, channels, 1)
        if self.pruned:
            self.register_buffer("kept", torch.arange(inner))

    def forward(self, x: Tensor, normalise: Normalise) -> Tensor:
        inner = functional.relu(normalise(self.first, self.dense(x)))
        return x + normalise(self.first + 1, self.pointwise(self.depthwise(inner)))


class StyleTransformer(nn.Module):
    """``(n, 3, height, width)`` pictures in 0..1, and one adapter a picture, ``(n, adapter_size)``, to styled ones.

    Sides are multiples of STRIDE. The result may leave 0..1 a little: clamp it. ``inner`` counts the channels within
    each block: a pruned network has fewer than QUARTER, and takes what it has kept from adapters of the usual size.
    """

    def __init__(self, inner: Sequence[int] = (QUARTER,) * BLOCKS) -> None:
        super().__init__()
        self.stem = Padded(12, HALF, 3)
        self.down = Padded(HALF, QUARTER, 3, stride=2)
        self.blocks = nn.ModuleList(Block(QUARTER, 2 + 2 * number, count) for number, count in enumerate(inner))
        self.up = Padded(QUARTER, HALF, 3)
        self.head = Padded(HALF, 3, 5, bias=True)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "StyleTransformer":
        """The network that these tensors are the `state_dict` of, pruned or not.

        Raises:
            ValueError: in one line, for tensors of another network.
        """
        sizes = [f"blocks.{number}.pointwise.convolution.weight" for number in range(BLOCKS)]
        found = [tensors[name].shape[1] if name in tensors and tensors[name].dim() == 4 else QUARTER for name in sizes]
        module = cls([count if 0 < count < QUARTER else QUARTER for count in found])
        wanted = module.state_dict()
        for name, tensor in wanted.items():
            if name not in tensors:
                raise ValueError(f"it lacks {name}")
            if tensors[name].shape != tensor.shape:
                raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}")
        if strangers := [name for name in tensors if name not in wanted]:
            raise ValueError(f"{strangers[0]} has no place in it")
        module.load_state_dict(dict(tensors))
        if any(block.pruned and not 0 <= block.kept.min() <= block.kept.max() < QUARTER for block in module.body()):
            raise ValueError(f"it keeps channels beyond the {QUARTER} there are")
        return module.eval().requires_grad_(requires_grad=False)

    @staticmethod
    def channels() -> tuple[int, ...]:
        """Of each normalisation, in order."""
        return (HALF, QUARTER, *[QUARTER] * (2 * BLOCKS), HALF)

    @classmethod
    def adapter_size(cls) -> int:
        """Numbers in an adapter: a scale and a shift for every channel, and the map of colour."""
        return 2 * sum(cls.channels()) + _COLOUR

    @classmethod
    def neutral_adapter(cls) -> Tensor:
        """Where training starts: plain normalisation, residual branches held back, colours as they come."""
        parts: list[Tensor] = []
        for index, count in enumerate(cls.channels()):
            branch_end = index >= 2 and index % 2 == 1 and index < 2 + 2 * BLOCKS
            parts += [torch.full((count,), 0.3 if branch_end else 1.0), torch.zeros(count)]
        return torch.cat([*parts, torch.eye(3).flatten(), torch.zeros(3)])

    def body(self) -> list[Block]:
        """The blocks, as what they are: to type checkers a `ModuleList` holds any modules."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def forward(self, pictures: Tensor, adapters: Tensor) -> Tensor:
        return self.measure(pictures, adapters)[0]

    def measure(self, pictures: Tensor, adapters: Tensor) -> tuple[Tensor, Tensor]:
        """The styled pictures, and what the normalisations amounted to on them, ``(n, adapter_size)``, for `tiles`."""
        given = self.split(adapters)
        folded: list[Tensor] = []

        def normalise(index: int, x: Tensor) -> Tensor:
            scale, shift = given[2 * index], given[2 * index + 1]
            variance, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0)
            scale = scale * torch.rsqrt(variance + EPSILON)
            shift = shift - mean * scale
            folded.extend((scale, shift))
            return x * scale[:, :, None, None].to(x.dtype) + shift[:, :, None, None].to(x.dtype)

        styled = self._run(pictures, given[-1], normalise)
        return styled, self.join([*folded, given[-1]])

    def tiles(self, pictures: Tensor, folded: Tensor) -> Tensor:
        """Styled pictures under normalisations measured elsewhere: parts of a picture come out as in the whole."""
        given = self.split(folded)

        def normalise(index: int, x: Tensor) -> Tensor:
            scale, shift = given[2 * index], given[2 * index + 1]
            return x * scale[:, :, None, None].to(x.dtype) + shift[:, :, None, None].to(x.dtype)

        return self._run(pictures, given[-1], normalise)

    @staticmethod
    def coloured(x: Tensor, colour: Tensor) -> Tensor:
        """The last layer's result under the style's map of colour, ``(n, 12)``."""
        x = x.float()
        matrix, offset = colour[:, :9].reshape(-1, 3, 3), colour[:, 9:]
        x = torch.einsum("nij,njhw->nihw", matrix, x) + offset[:, :, None, None]
        # Pure black and white must be reached without driving the last layer to infinity.
        return 0.5 + 0.55 * torch.tanh(x)

    def _run(self, pictures: Tensor, colour: Tensor, normalise: Normalise) -> Tensor:
        relu, grow = functional.relu, functional.interpolate
        x = relu(normalise(0, self.stem(functional.pixel_unshuffle(pictures, 2))))
        x = relu(normalise(1, self.down(x)))
        for block in self.body():
            x = block(x, normalise)
        x = relu(normalise(2 + 2 * BLOCKS, self.up(grow(x, scale_factor=2.0, mode="nearest"))))
        return self.coloured(self.head(grow(x, scale_factor=2.0, mode="nearest")), colour)

    def split(self, adapters: Tensor) -> list[Tensor]:
        """Each normalisation's scale and shift in turn, ``(n, channels)``, and at last the map of colour."""
        sizes = [size for count in self.channels() for size in (count, count)]
        given = list(torch.split(adapters, [*sizes, _COLOUR], dim=1))
        for block in self.body():
            if block.pruned:
                for place in (2 * block.first, 2 * block.first + 1):
                    given[place] = given[place][:, block.kept]
        return given

    def join(self, given: Sequence[Tensor]) -> Tensor:
        """What `split` would split so; where a block has been pruned, zeros stand for what it has lost."""
        whole = list(given)
        for block in self.body():
            if block.pruned:
                for place in (2 * block.first, 2 * block.first + 1):
                    zeros = whole[place].new_zeros(len(whole[place]), QUARTER)
                    whole[place] = zeros.index_copy(1, block.kept, whole[place])
        return torch.cat(whole, dim=1)
