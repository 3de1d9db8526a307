"""Losses and previews for TensorBoard, where someone asked for them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from creatives.errors import CreativeError
from creatives.training.session import Step


class Board:
    """Writes into a folder; without one it does nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise CreativeError("--tensorboard needs its package: pip install 'adstyle[train]'") from None
        self._writer = SummaryWriter(str(folder))

    def step(self, step: Step) -> None:
        """The parts of the loss, and the validation where it was measured."""
        if self._writer is None:
            return
        for name in ("style", "content", "white"):
            self._writer.add_scalar(f"loss/{name}", getattr(step, name), step.number)
        if step.validation is not None:
            self._writer.add_scalar("validation", step.validation, step.number)

    def preview(self, rgb: NDArray[np.uint8], number: int) -> None:
        """The style as it is at a step."""
        if self._writer is not None:
            self._writer.add_image("preview", rgb, number, dataformats="HWC")

    def close(self) -> None:
        """Everything is on disk."""
        if self._writer is not None:
            self._writer.close()
