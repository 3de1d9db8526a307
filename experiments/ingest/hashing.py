"""What may be kept of people: units as keyed hashes, addresses as networks."""

import hmac
import ipaddress
from functools import cached_property

import duckdb
import pyarrow as pa

from experiments.core.errors import ExperimentError

DIGITS = 32
"""Hexadecimal ones, 128 bits: two of a billion units collide with a probability of about 1e-21."""
SHORTEST_KEY, LONGEST_KEY = 16, 64
"""Bytes; a longer key than SHA-256's block would be hashed first."""
_BLOCK, _INNER, _OUTER = 64, 0x36, 0x5C
_IPV4_PREFIX, _IPV6_PREFIX = 24, 48


class UnitHasher:
    """HMAC-SHA-256 (RFC 2104) of unit ids: the same unit, the same hash; without the key, no way back or across."""

    def __init__(self, key: bytes) -> None:
        if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise ExperimentError(f"the unit key has {len(key)} bytes: it needs {SHORTEST_KEY} to {LONGEST_KEY}")
        self._key = key

    def hashed(self, unit: str) -> str:
        """The first DIGITS of the hash."""
        return hmac.new(self._key, unit.encode(), "sha256").hexdigest()[:DIGITS]

    def hash_column(self, units: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
        """The same of a column, which is quicker; what is missing stays missing."""
        self._engine.register("incoming", pa.table({"unit": units}))
        hashed = self._engine.sql(self._query).to_arrow_table()
        self._engine.unregister("incoming")
        return hashed["unit"]

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        """Units as they came must never reach a disk, so it has none to turn to."""
        return duckdb.connect(config={"threads": 1, "temp_directory": "", "preserve_insertion_order": "true"})

    @cached_property
    def _query(self) -> str:
        key = self._key.ljust(_BLOCK, b"\0")
        inner, outer = (_literal(bytes(octet ^ pad for octet in key)) for pad in (_INNER, _OUTER))
        once = f"sha256({inner} || encode(unit))"
        return f"SELECT substr(sha256({outer} || unhex({once})), 1, {DIGITS}) AS unit FROM incoming"  # noqa: S608


def _literal(data: bytes) -> str:
    return "'" + "".join(f"\\x{octet:02X}" for octet in data) + "'::BLOB"


class HashedUnits(dict[str, str]):
    """Hashes of the units of one file: each distinct unit is hashed once."""

    def __init__(self, hasher: UnitHasher) -> None:
        super().__init__()
        self._hasher = hasher

    def __missing__(self, unit: str) -> str:
        hashed = self[unit] = self._hasher.hashed(unit)
        return hashed


def network_of(address: str) -> str | None:
    """``203.0.113.9`` gives ``203.0.113.0/24``; IPv6 is cut to /48; what is no address gives None.

    An address that was cut already stays as it is.
    """
    try:
        parsed = ipaddress.ip_address(address.removesuffix(_cut_to(address)))
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            bits = _IPV6_PREFIX
            return str(ipaddress.IPv6Network((int(parsed), bits), strict=False))
        parsed = parsed.ipv4_mapped
    return str(ipaddress.IPv4Network((int(parsed), _IPV4_PREFIX), strict=False))


def _cut_to(address: str) -> str:
    return f"/{_IPV6_PREFIX if ':' in address else _IPV4_PREFIX}"


class Networks(dict[str, str | None]):
    """Networks of the addresses of one file: each distinct address is cut once."""

    def __missing__(self, address: str) -> str | None:
        network = self[address] = network_of(address)
        return network
