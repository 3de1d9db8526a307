"""What may be kept of people: units as keyed hashes, addresses as networks."""

import ipaddress
from hashlib import blake2b

from experiments.core.errors import ExperimentError

DIGEST_BYTES = 16
"""Two of a billion units collide with a probability of about 1e-21."""
SHORTEST_KEY, LONGEST_KEY = 16, 64
"""Bytes; the longest is BLAKE2b's own limit."""
_IPV4_PREFIX, _IPV6_PREFIX = 24, 48


class UnitHasher:
    """Keyed BLAKE2b (RFC 7693) of unit ids: the same unit, the same hash; without the key, no way back or across."""

    def __init__(self, key: bytes) -> None:
        if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise ExperimentError(f"the unit key has {len(key)} bytes: it needs {SHORTEST_KEY} to {LONGEST_KEY}")
        self._key = key

    def hashed(self, unit: str) -> str:
        """32 hexadecimal digits."""
        return blake2b(unit.encode(), digest_size=DIGEST_BYTES, key=self._key).hexdigest()


class HashedUnits(dict[str, str]):
    """Hashes of the units of one file: each distinct unit is hashed once."""

    def __init__(self, hasher: UnitHasher) -> None:
        super().__init__()
        self._hasher = hasher

    def __missing__(self, unit: str) -> str:
        hashed = self[unit] = self._hasher.hashed(unit)
        return hashed


def network_of(address: str) -> str | None:
    """``203.0.113.9`` gives ``203.0.113.0/24``; IPv6 is cut to /48; what is no address gives None."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            bits = _IPV6_PREFIX
            return str(ipaddress.IPv6Network((int(parsed), bits), strict=False))
        parsed = parsed.ipv4_mapped
    return str(ipaddress.IPv4Network((int(parsed), _IPV4_PREFIX), strict=False))


class Networks(dict[str, str | None]):
    """Networks of the addresses of one file: each distinct address is cut once."""

    def __missing__(self, address: str) -> str | None:
        network = self[address] = network_of(address)
        return network
