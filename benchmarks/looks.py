"""Milliseconds a look takes on a photograph of 1280 x 853 pixels, what every slot of a brief is cut from."""

import time
from statistics import median

import numpy as np
from PIL import Image
from skimage.data import coffee

from benchmarks.table import Table
from experiments.composition import library_of

SIZE = (1280, 853)
RUNS = 3


def measure() -> Table:
    """Every shipped pack, warm."""
    picture = np.asarray(Image.fromarray(coffee()).resize(SIZE, Image.Resampling.LANCZOS))
    library = library_of(None)
    rows = []
    for pack in library.packs():
        look = library.resolve(pack.name)
        look.apply(picture, seed=0)
        rows.append((f"`{pack.name}`", f"{median(_milliseconds(look, picture) for _ in range(RUNS)):,.0f}"))
    return Table(f"A look on {SIZE[0]} x {SIZE[1]} pixels, median of {RUNS}", ("style", "milliseconds"), rows)


def _milliseconds(look, picture: np.ndarray) -> float:
    began = time.perf_counter()
    look.apply(picture, seed=0)
    return 1000 * (time.perf_counter() - began)
