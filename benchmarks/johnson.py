"""The network that most examples of style transfer are built on, as a measure for ours."""

from torch import Tensor, nn


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
