"""How much of alpha may be spent by each look: Lan and DeMets' families.

A family is an increasing function of the fraction t of the plan, 0 at 0 and alpha at 1:

    O'Brien-Fleming type   2 (1 - Phi(z_{a/2} / sqrt t))      hardly anything early; the default
    Pocock type            a log(1 + (e - 1) t)               early looks count nearly as much as late ones
    power family           a t^rho                            in between, as rho says

K. K. G. Lan, D. L. DeMets, Biometrika 70 (1983); K. Kim, D. L. DeMets, Biometrika 74 (1987) for the powers.

SciPy is loaded when something is to be computed: every plan names its family, and most commands compute nothing.
"""

import difflib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError

Array = NDArray[np.float64]


class BadSpending(ExperimentError):
    """A family of alpha spending that does not exist."""


class Family(StrEnum):
    """The form of the function."""

    OBRIEN_FLEMING = "obrien_fleming"
    POCOCK = "pocock"
    POWER = "power"


@dataclass(frozen=True, slots=True)
class Spending:
    """A family and, for powers, its exponent; written ``obrien_fleming``, ``pocock`` or ``power:3``."""

    family: Family = Family.OBRIEN_FLEMING
    rho: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.rho <= 20:
            raise BadSpending(f"a power of {self.rho:g} spends nothing sensible: choose one above 0 and up to 20")

    @classmethod
    def parse(cls, text: str) -> "Spending":
        """The family that ``text`` names.

        Raises:
            BadSpending: for a name that is none, with the nearest one.
        """
        name, colon, exponent = text.strip().partition(":")
        if name not in tuple(Family):
            near = difflib.get_close_matches(name, [family.value for family in Family], n=1)
            advice = f"did you mean {near[0]!r}?" if near else "choose obrien_fleming, pocock or power:RHO"
            raise BadSpending(f"there is no alpha spending {text!r}: {advice}")
        if bool(colon) is not (name == Family.POWER):
            raise BadSpending(f"alpha spending {text!r}: write power:RHO, like power:3; the others stand alone")
        try:
            return cls(Family(name), float(exponent) if colon else 1.0)
        except ValueError:
            raise BadSpending(f"alpha spending {text!r}: {exponent!r} is no number") from None

    def __str__(self) -> str:
        return f"{self.family}:{self.rho:g}" if self.family is Family.POWER else str(self.family)

    def spent(self, alpha: Array | float, fractions: Array | float) -> Array:
        """What may be spent by ``fractions`` (above 0, to 1) of the plan; broadcasts."""
        from scipy.special import ndtr, ndtri

        match self.family:
            case Family.OBRIEN_FLEMING:
                return np.asarray(2 * ndtr(ndtri(np.asarray(alpha) / 2) / np.sqrt(fractions)))
            case _:
                return np.asarray(alpha * self._share(fractions))

    def log_level(self, log_step: Array, before: float, now: float) -> Array:
        """log alpha for which ``exp(log_step)`` falls due between two fractions, where alpha is very small.

        O'Brien and Fleming's earlier looks have then spent nothing that counts.
        """
        from scipy.special import log_ndtr, ndtri_exp

        if self.family is Family.OBRIEN_FLEMING:
            half = ndtri_exp(np.minimum(log_step - np.log(2), np.log(0.5))) * np.sqrt(now)
            return np.asarray(np.log(2) + log_ndtr(half))
        return np.asarray(log_step - np.log(self._share(now) - (self._share(before) if before else 0.0)))

    def _share(self, fractions: Array | float) -> Array:
        if self.family is Family.POCOCK:
            return np.asarray(np.log1p((np.e - 1) * np.asarray(fractions)))
        return np.asarray(np.power(fractions, self.rho))


DEFAULT = Spending()
