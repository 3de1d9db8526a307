"""Round axis ticks and labels that do not overlap: computed here, so that no font's metrics move a chart."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise


def ticks(low: float, high: float, about: int) -> tuple[float, ...]:
    """Round values that span [low, high] with around ``about`` steps of 1, 2, 2.5 or 5 times a power of ten."""
    if not high > low:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(n * step, 12) for n in range(first, last + 1))


def inner_ticks(low: float, high: float, about: int) -> tuple[float, ...]:
    """Those round values that lie within [low, high]."""
    return tuple(tick for tick in ticks(low, high, about) if low <= tick <= high)


def labelled_ticks(
    low: float, high: float, about: int, width: float, room: Callable[[str], float], label: Callable[[float], str]
) -> tuple[tuple[float, str], ...]:
    """Inner ticks with their labels, as many of about ``about`` as leave each label its room on ``width`` pixels."""
    for wanted in range(about, 1, -1):
        marks = [(tick, label(tick)) for tick in inner_ticks(low, high, wanted)]
        pixels = width / (high - low)
        if all((b - a) * pixels >= (room(said) + room(next_said)) / 2 for (a, said), (b, next_said) in pairwise(marks)):
            return tuple(marks)
    return ((0.0, label(0.0)),) if low <= 0 <= high else ()


def decimals(step: float) -> int:
    """How many decimals write every multiple of a step exactly."""
    return next((n for n in range(10) if math.isclose(step * 10**n, round(step * 10**n), abs_tol=1e-9 * 10**n)), 10)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions at least ``gap`` apart, in the wanted order, close to the wanted ones, within [low, high].

    Pushing upwards and pushing downwards each keep the gaps, so their mean does too, and it favours neither side.
    """
    order = sorted(range(len(wanted)), key=lambda n: (wanted[n], n))
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    up, down = [0.0] * len(wanted), [0.0] * len(wanted)
    for rank, n in enumerate(order):
        room_above = high - gap * (len(order) - 1 - rank)
        up[n] = min(room_above, max(wanted[n], up[order[rank - 1]] + gap if rank else low))
    for rank, n in reversed(list(enumerate(order))):
        room_below = low + gap * rank
        last = rank == len(order) - 1
        down[n] = max(room_below, min(wanted[n], high if last else down[order[rank + 1]] - gap))
    return [(above + below) / 2 for above, below in zip(up, down, strict=True)]


def evenly(count: int, most: int) -> tuple[int, ...]:
    """At most ``most`` indices of ``count`` items: evenly stepped, the first always among them."""
    step = max(1, math.ceil((count - 1) / max(1, most - 1)))
    return tuple(range(0, count, step))
