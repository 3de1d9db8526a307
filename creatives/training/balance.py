"""How hard each style pulls: steered until every one leaves as much of the photograph as was agreed.

One weight for all styles makes a loud one drown the product and a quiet one hardly seen. Content distance is a
constraint and the style's weight its multiplier, moved after every step in which the style was drawn (dual ascent:
J. C. Platt, A. H. Barr, "Constrained Differential Optimization", NIPS 1987).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

RATE = 0.02
LARGEST = 16.0
"""Factors lie between its inverse and it."""


class Balance:
    """A factor for each of ``styles``, 1 at first; all stay 1 without ``goals``, a content distance for each."""

    def __init__(self, styles: int, goals: Sequence[float], device: torch.device) -> None:
        self.goals = torch.tensor(goals, device=device) if goals else None
        self.logs = torch.zeros(styles, device=device)

    def factors(self, chosen: Tensor) -> Tensor:
        """Of the styles ``chosen`` (n,)."""
        return self.logs[chosen].exp()

    @torch.no_grad()
    def learn(self, chosen: Tensor, content: Tensor) -> None:
        """From one step: the content distance (n,) at which the styles ``chosen`` (n,) stood."""
        if self.goals is None:
            return
        # One picture may be far off, and must not outweigh a hundred that are near.
        apart = (1 - content.detach() / self.goals[chosen]).clamp(-1, 1)
        self.logs.index_add_(0, chosen, RATE * apart)
        self.logs.clamp_(-math.log(LARGEST), math.log(LARGEST))
