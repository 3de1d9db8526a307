"""Rows as they are judged, and the first reason to reject each."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Sieve:
    """Rows as they are judged: for each the first reason to reject it, or none."""

    reasons: list[str] = field(default_factory=list)
    codes: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))

    @classmethod
    def over(cls, rows: int) -> "Sieve":
        return cls([""], np.zeros(rows, np.int16))

    def reject(self, where: NDArray[np.bool_], reason: str) -> None:
        """Those rows, unless they are rejected already."""
        if where.any():
            if reason not in self.reasons:
                self.reasons.append(reason)
            self.codes[where & (self.codes == 0)] = self.reasons.index(reason)

    def accept(self, where: NDArray[np.bool_]) -> None:
        """Those rows, whatever was found."""
        self.codes[where] = 0

    def overrule(self, row: int, reason: str) -> None:
        """One row is rejected, whatever was found."""
        self.codes[row] = 0
        where = np.zeros(len(self.codes), np.bool_)
        where[row] = True
        self.reject(where, reason)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Rows without a reason."""
        return self.codes == 0

    def rejected(self) -> list[tuple[int, str]]:
        """(row, reason), in order."""
        return [(int(row), self.reasons[self.codes[row]]) for row in np.flatnonzero(self.codes)]
