"""Arms that were shown in unlike shares at unlike times, as if all times had been alike: indirect standardisation.

What arms together counted at a time is what one of them could expect of its exposure then. An arm's exposure is weighed
by that, so that its rate is relative to what was to be had when it was shown, and a good week makes nobody good.
N. E. Breslow and N. E. Day, Statistical Methods in Cancer Research II (IARC, 1987), chapter 2.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

from experiments.core.statistics.moments import PairMoments


def standardised(batches: Sequence[Mapping[str, PairMoments]]) -> dict[str, PairMoments]:
    """By arm, all batches pooled, with denominators as good as each other; every batch has the same arms.

    Nothing is changed where there is one batch, or nothing was counted.
    """
    whole = {arm: reduce(add, (batch[arm] for batch in batches)) for arm in batches[0]}
    counted, shown = (sum(getattr(pair, field) for pair in whole.values()) for field in ("y", "x"))
    if counted <= 0 or len(batches) == 1:
        return whole
    expected = dict.fromkeys(whole, 0.0)
    for batch in batches:
        y, x = (sum(getattr(pair, field) for pair in batch.values()) for field in ("y", "x"))
        for arm, pair in batch.items():
            expected[arm] += pair.x * (y / x) if x > 0 else 0.0
    return {
        arm: _weighed(pair, expected[arm] / (counted / shown) / pair.x if pair.x > 0 and expected[arm] > 0 else 1.0)
        for arm, pair in whole.items()
    }


def _weighed(pair: PairMoments, weight: float) -> PairMoments:
    return PairMoments(pair.units, pair.y, pair.x * weight, pair.yy, pair.xx * weight**2, pair.xy * weight)
