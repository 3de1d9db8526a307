"""Assignment: which arm a unit sees. A pure function of (salt, unit, weights); nothing is stored or looked up.

Weighted rendezvous hashing: every arm draws a score for the unit, its share over an exponential variate, and the
highest wins, which happens with a probability equal to the share. An arm's variate does not depend on the others, so
when one arm's weight rises (or an arm is added) units move only to it, and when it falls only away from it.
C. Schindelhauer and G. Schomaker, "Weighted distributed hash tables", SPAA 2005.

The draw, so that an ad server in any language can repeat it (test vectors: tests/core/assignment_vectors.csv):

    key      = BLAKE2b-256(message = arm, key = BLAKE2b-256(message = salt))
    hash     = BLAKE2b-64(message = unit, key = key), read as a big-endian unsigned integer
    uniform  = (floor(hash / 2^12) + 0.5) / 2^52       exact in a double and never 0 or 1
    score    = share / -ln(uniform)                    the highest wins; ties go to the first name in code point order

Strings are UTF-8 as they are: no normalisation, no trimming, no case folding; a lone surrogate is three bytes.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.core.errors import ExperimentError

_BLOCK = 65_536
"""Units hashed at a time: keeps the working set in cache and the memory flat."""
_HEAVIEST = 1e15
"""Keeps every sum of weights finite."""
_DROPPED_BITS = 12
_UNIFORM_STEPS = 2.0**52


class BadWeights(ExperimentError):
    """Weights from which no shares can be made."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The arm one unit sees, and how probable that was."""

    arm: str
    propensity: float


@dataclass(frozen=True, slots=True)
class Assignments:
    """The same for many units, in their order; both arrays have one entry a unit."""

    arms: NDArray[np.object_]
    """Names as str objects: numpy's own strings would drop trailing NULs, and these take less memory."""
    propensities: NDArray[np.float64]


def assign(salt: str, unit: str, weights: Mapping[str, float]) -> Assignment:
    """The arm of one unit. ``weights`` are relative; an arm of weight zero is never drawn.

    Raises:
        BadWeights: for a negative or infinite weight, or when no weight is positive.
    """
    shares = _shares(weights)
    message = _bytes(unit)
    arm = max(shares, key=lambda name: shares[name] / _variate(_hasher(salt, name), message))
    return Assignment(arm, shares[arm])


def assign_many(salt: str, units: Iterable[str], weights: Mapping[str, float]) -> Assignments:
    """As `assign`, for millions of units: the same arms, with the arithmetic done on arrays.

    Raises:
        BadWeights: as `assign`.
    """
    shares = _shares(weights)
    names, probabilities = np.array(list(shares), dtype=object), np.array(list(shares.values()))
    hashers = [_hasher(salt, name) for name in shares]
    blocks = [
        np.argmax(probabilities[:, np.newaxis] / [_variates(hasher, block) for hasher in hashers], axis=0)
        for block in _blocks(units)
    ]
    winners = np.concatenate(blocks) if blocks else np.empty(0, dtype=np.intp)
    return Assignments(names[winners], probabilities[winners])


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Shares of the arms that have any, in code point order, so that the order given cannot matter."""
    for arm, weight in weights.items():
        if not 0 <= weight <= _HEAVIEST:
            raise BadWeights(f"arm {arm!r} has weight {weight}; a weight is a number from 0 to {_HEAVIEST:g}")
    total = math.fsum(weights.values())
    shares = {arm: weights[arm] / total for arm in sorted(weights) if weights[arm] / total > 0} if total > 0 else {}
    if not shares:
        raise BadWeights("no arm has a weight above 0, so there is nothing to assign; give at least one arm a weight")
    return shares


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4096)
def _hasher(salt: str, arm: str) -> Any:
    """A keyed hash to copy for each unit, never to update (hashlib has no public name for its type)."""
    key = blake2b(_bytes(arm), key=blake2b(_bytes(salt), digest_size=32).digest(), digest_size=32).digest()
    return blake2b(key=key, digest_size=8)


def _variate(hasher: Any, message: bytes) -> float:
    hashing = hasher.copy()
    hashing.update(message)
    return -math.log(((int.from_bytes(hashing.digest()) >> _DROPPED_BITS) + 0.5) / _UNIFORM_STEPS)


def _variates(hasher: Any, messages: list[bytes]) -> NDArray[np.float64]:
    digests = bytearray()
    for message in messages:
        hashing = hasher.copy()
        hashing.update(message)
        digests += hashing.digest()
    hashes = np.frombuffer(digests, dtype=">u8").astype(np.uint64)
    variates: NDArray[np.float64] = -np.log(((hashes >> np.uint64(_DROPPED_BITS)) + 0.5) / _UNIFORM_STEPS)
    return variates


def _blocks(units: Iterable[str]) -> Iterator[list[bytes]]:
    remaining = iter(units)
    while block := [_bytes(unit) for unit in islice(remaining, _BLOCK)]:
        yield block
