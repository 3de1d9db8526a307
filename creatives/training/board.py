"""Losses and previews for TensorBoard, where someone asked for them."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from creatives.errors import CreativeError
from creatives.training.session import Step


class Board:
    """Writes into a folder; without one it does nothing.

    ``step`` is the one training goes on from: what an interrupted one drew beyond it is not shown.
    """

    def __init__(self, folder: Path | None, step: int = 0) -> None:
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise CreativeError("--tensorboard needs its package: pip install 'adstyle[train]'") from None
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def step(self, step: Step) -> None:
        """The loss and its parts, and the validation where it was measured."""
        if self._writer is None:
            return
        for name in ("loss", "style", "content", "white"):
            self._writer.add_scalar(f"training/{name}", getattr(step, name), step.number)
        if step.validation is not None:
            self._writer.add_scalar("validation/loss", step.validation, step.number)

    def preview(self, picture: Image.Image, number: int) -> None:
        """The style as it is at a step."""
        if self._writer is not None:
            self._writer.add_image("preview", np.asarray(picture), number, dataformats="HWC")

    def close(self) -> None:
        """Everything is on disk."""
        if self._writer is not None:
            self._writer.close()
