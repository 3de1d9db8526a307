"""Cutting a picture into pieces that keep to its edges: each pixel belongs to the seed that is nearest in place and
colour.

Seeds begin on a grid, one a cell, and move to the middle of their pieces (S. Lloyd, 1982), as superpixels do
(R. Achanta et al., "SLIC Superpixels Compared to State-of-the-art Superpixel Methods", PAMI 34, 2012). A pixel asks
only the seeds of its own cell and the eight around it, so the price does not depend on how many pieces there are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from creatives.brushes import Floats, blur
from creatives.strips import over_rows

Labels = NDArray[np.intp]
Distance = Callable[[Floats, Floats, Labels], Floats]
"""From offsets in rows and columns to seeds, and which seeds: how far a piece reaches in these directions, squared."""

_SEEN = 4
"""Pixels along a piece that are enough to find its middle."""
_FINE, _ALIKE = 0.6, 0.09
"""How fine a drawing is that no line may cross, and how far apart colours are that a line must keep apart."""
_NOWHERE = -1e6
"""A row that is far from every pixel."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """What pieces grow from: ``row`` and ``column`` in pixels and ``colour`` ``(n, 3)``, in a grid of cells."""

    grid: tuple[int, int]
    row: Floats
    column: Floats
    colour: Floats


def cut(
    colour: Floats,
    spacing: float,
    colour_weight: float,
    distance: Distance,
    rng: np.random.Generator,
    *,
    rounds: int = 4,
    bare: float = 0.0,
) -> Labels:
    """The piece of each pixel, ``(height, width)``.

    Args:
        colour: ``(height, width, 3)`` in a space whose distances are those seen.
        spacing: of seeds, in pixels.
        colour_weight: what a distance of 1 in colour counts for, in spacings.
        distance: of places.
        rng: shakes the grid, so that pieces do not stand in rows.
        rounds: how often seeds move.
        bare: share of cells without a seed, so that pieces differ in size.
    """
    seeds = _sown(colour, spacing, bare, rng)
    step = max(int(spacing / _SEEN), 1)
    small = colour[::step, ::step]
    for _ in range(rounds):
        seeds = _moved(seeds, small, step, _nearest(seeds, small, step, spacing, colour_weight, distance))
    return _nearest(seeds, colour, 1, spacing, colour_weight, distance)


def round_pieces(rows: Floats, columns: Floats, _labels: Labels) -> Floats:
    """Pieces grow as far in all directions."""
    return rows * rows + columns * columns


def square_pieces(angle: Floats) -> Distance:
    """Pieces are squares that lie along the ``angle`` at their seed, in radians by seed."""
    cosine, sine = np.cos(angle), np.sin(angle)

    def distance(rows: Floats, columns: Floats, labels: Labels) -> Floats:
        along = columns * cosine[labels] + rows * sine[labels]
        across = rows * cosine[labels] - columns * sine[labels]
        return np.maximum(np.abs(along), np.abs(across)) ** 2

    return distance


def cells_of(shape: tuple[int, ...], spacing: float) -> tuple[int, int]:
    """Rows and columns of the grid of seeds."""
    return max(round(shape[0] / spacing), 1), max(round(shape[1] / spacing), 1)


def mean_of(values: Floats, labels: Labels, count: int) -> Floats:
    """Each piece's mean, ``(count, channels)``; 0 of a piece that has no pixel."""
    flat = labels.ravel()
    size = np.maximum(np.bincount(flat, minlength=count), 1)
    channels = values.reshape(len(flat), -1)
    sums = [np.bincount(flat, channels[:, each], minlength=count) for each in range(channels.shape[1])]
    return (np.stack(sums, axis=1) / size[:, None]).astype(np.float32)


def joined(labels: Labels, colours: Floats, fine: Floats, *, most: int) -> Labels:
    """Pieces that a fine drawing runs across are one, as faces and lettering are painted on one piece of glass.

    Args:
        labels: the piece of each pixel.
        colours: of each piece, ``(n, 3)`` in Oklab: a line between two colours is one that the drawing needs.
        fine: how fine the drawing is at each pixel, in 0..1.
        most: so many pieces at most become one.
    """
    count = len(colours)
    borders = (np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])
    lines = [_line(labels[here], labels[there], np.minimum(fine[here], fine[there])) for here, there in borders]
    ends, depth = (np.concatenate(each) for each in zip(*lines, strict=True))
    between, at = np.unique(ends.min(axis=1) * count + ends.max(axis=1), return_inverse=True)
    drawn = np.bincount(at, depth) / np.bincount(at)
    one, other = between // count, between % count
    apart = np.sqrt(np.square(colours[one] - colours[other]).sum(axis=1))
    candidates = np.flatnonzero((drawn > _FINE) & (apart < _ALIKE))
    group, members = np.arange(count), [[piece] for piece in range(count)]
    for number in candidates[np.argsort(-drawn[candidates], kind="stable")]:
        into, gone = group[one[number]], group[other[number]]
        if into != gone and len(members[into]) + len(members[gone]) <= most:
            group[members[gone]] = into
            members[into] += members[gone]
    return group.astype(labels.dtype)[labels]


def _line(here: Labels, there: Labels, fine: Floats) -> tuple[Labels, Floats]:
    """Along lines between neighbours: the two pieces ``(n, 2)``, and how fine the drawing is."""
    differ = here != there
    return np.stack([here[differ], there[differ]], axis=1), fine[differ]


def seams(labels: Labels, width: float) -> Floats:
    """1 in the middle of the lines between pieces, which are ``width`` pixels thick, 0 within pieces."""
    line = np.zeros(labels.shape, dtype=np.float32)
    line[:, 1:] += labels[:, 1:] != labels[:, :-1]
    line[1:] += labels[1:] != labels[:-1]
    sigma = max(width / 2, 0.5)
    # A thin line that is blurred has its peak at 1 / (sigma sqrt(2 pi)), and half of it 1.2 sigma away.
    height = blur(np.minimum(line, 1), sigma) * sigma * np.sqrt(2 * np.pi)
    return np.clip(height * 2 - 0.5, 0, 1).astype(np.float32)


def _sown(colour: Floats, spacing: float, bare: float, rng: np.random.Generator) -> Seeds:
    height, width = colour.shape[:2]
    grid = rows, columns = cells_of(colour.shape, spacing)
    shaken = rng.uniform(-0.35, 0.35, size=(2, rows, columns)).astype(np.float32)
    row = (np.arange(rows, dtype=np.float32)[:, None] + 0.5 + shaken[0]) * (height / rows)
    column = (np.arange(columns, dtype=np.float32)[None] + 0.5 + shaken[1]) * (width / columns)
    row, column = row.ravel(), column.ravel()
    shades = colour[row.astype(np.intp), column.astype(np.intp)]
    return Seeds(grid, np.where(rng.random(row.shape) < bare, np.float32(_NOWHERE), row), column, shades)


def _nearest(
    seeds: Seeds, colour: Floats, step: int, spacing: float, colour_weight: float, distance: Distance
) -> Labels:
    """Of every pixel of ``colour``, which has every ``step``-th of the picture, the seed."""
    height, width = colour.shape[:2]
    labels = np.empty((height, width), np.intp)
    row, column = (np.arange(length, dtype=np.float32) * step for length in (height, width))
    cell_row, cell_column = (
        np.arange(length) * cells // length for length, cells in zip((height, width), seeds.grid, strict=True)
    )
    shades = [np.ascontiguousarray(seeds.colour[:, each]) for each in range(3)]

    def strip(top: int, end: int) -> None:
        channels = [np.ascontiguousarray(colour[top:end, :, each]) for each in range(3)]
        best, found = np.full((end - top, width), np.inf, np.float32), np.zeros((end - top, width), np.intp)
        for asked in _around(seeds.grid, cell_row[top:end], cell_column):
            far = distance(row[top:end, None] - seeds.row[asked], column[None] - seeds.column[asked], asked)
            far *= np.float32(1 / spacing**2)
            for channel, shade in zip(channels, shades, strict=True):
                far += np.float32(colour_weight**2) * (channel - shade[asked]) ** 2
            nearer = far < best
            np.copyto(best, far, where=nearer)
            np.copyto(found, asked, where=nearer)
        labels[top:end] = found

    over_rows(strip, height)
    return labels


def _around(grid: tuple[int, int], row: Labels, column: Labels) -> Iterator[Labels]:
    """The seed of each pixel's cell, then those of the cells around; at the rim some come twice."""
    rows, columns = grid
    for down in (0, -1, 1):
        for right in (0, -1, 1):
            across = np.clip(column + right, 0, columns - 1)
            yield np.clip(row + down, 0, rows - 1)[:, None] * columns + across[None]


def _moved(seeds: Seeds, colour: Floats, step: int, labels: Labels) -> Seeds:
    """Each in the middle of its piece; one that has none stays."""
    count = len(seeds.row)
    row, column = np.mgrid[: colour.shape[0], : colour.shape[1]].astype(np.float32) * step
    found = mean_of(np.dstack([row, column, colour]), labels, count)
    some = np.bincount(labels.ravel(), minlength=count) > 0
    kept = np.column_stack([seeds.row, seeds.column, seeds.colour])
    moved = np.where(some[:, None], found, kept).astype(np.float32)
    return Seeds(seeds.grid, moved[:, 0], moved[:, 1], moved[:, 2:])
