"""Which photographs the cartoon's targets are rendered from and which its generator reads; targets in one file."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from creatives.errors import CreativeError
from creatives.training.photographs import SUFFIXES

Bytes = NDArray[np.uint8]

QUALITY = 84
"""Of WebP: lines stay clean."""


def targets_among(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The photographs that targets are rendered from."""
    return tuple(paths[1::2])


def read_among(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Those that the generator reads."""
    return tuple(paths[::2])


def photographs_in(folder: Path) -> tuple[Path, ...]:
    """Files of pictures, by name."""
    return tuple(sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES))


def save_targets(pictures: Sequence[Bytes], path: Path) -> None:
    """One file: WebP after WebP, and where each begins."""
    encoded = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "WEBP", quality=QUALITY, method=4)
        encoded.append(buffer.getvalue())
    ends = np.cumsum([len(each) for each in encoded])
    np.savez(path, ends=ends, pictures=np.frombuffer(b"".join(encoded), np.uint8))


def load_targets(path: Path) -> NDArray[np.uint8]:
    """Targets ``(count, SIDE, SIDE, 3)``.

    Raises:
        CreativeError: for a file that is none of ours.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            ends, data = file["ends"], file["pictures"].tobytes()
        starts = [0, *ends[:-1]]
        parts = [data[start:end] for start, end in zip(starts, ends, strict=True)]
        return np.stack([np.asarray(Image.open(io.BytesIO(part)).convert("RGB")) for part in parts])
    except (OSError, ValueError, KeyError) as error:
        raise CreativeError(
            f"{path} holds no targets ({error}); render them with creatives.training.cartoon_targets"
        ) from None
