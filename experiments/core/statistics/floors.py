"""How little of the traffic an arm may have, so that each goes on being measured."""

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError

FLOOR = 0.02
"""Every arm's least share."""


class BadAllocation(ExperimentError):
    """Shares that cannot be, or evidence that no share can be taken from."""


def control_floor(arms: int, floor: float = FLOOR) -> float:
    """The control's least share: 1 / (1 + sqrt(arms - 1)), which every contrast's precision needs.

    It is Dunnett's optimum for arms that share the rest evenly (JASA 50, 1955).
    """
    return float(max(floor, 1 / (1 + np.sqrt(arms - 1))))


def check_floor(arms: int, floor: float = FLOOR) -> NDArray[np.float64]:
    """Every arm's least share, the control's first.

    Raises:
        BadAllocation: where together they are more than there is.
    """
    least = np.full(arms, floor)
    least[0] = control_floor(arms, floor)
    if not floor >= 0 or not least.sum() <= 1:
        raise BadAllocation(
            f"a floor of {floor:g} leaves no room: {arms} arms and their control need {least.sum():.3f}"
        )
    return least
