"""What may be kept of people: units as keyed hashes, addresses as networks.

The key can be changed although raw ids are gone, because hashes are hashed again: under keys k1 ... kn a unit is
h_n = HMAC(k_n, h_n-1), h_1 = HMAC(k1, unit), and a change adds a key; no table of links exists.

What that protects from: whoever got to know the old keys, or hashes made under them, cannot find a unit in the lake as
it is now without the newest key. What it does not: every key stays needed, the first too; whoever has an old copy of
the lake *and* the keys of its time can search that copy for units whose ids can be guessed; whoever has an old copy
*and* the lake as it is now can tell by the events' ids, which stay, which of its units is which, as long as both hold
the same events; and rejected lines keep the hashes that they were given, until they are forgotten.
"""

import hmac
import ipaddress
from functools import cached_property

import duckdb
import pyarrow as pa

from experiments.core.errors import ExperimentError, TryLater
from experiments.events.keys import UnitKeys
from experiments.events.numbers import DIGITS
from experiments.ingest.keyfile import LONGEST_KEY, SHORTEST_KEY

_BLOCK, _INNER, _OUTER = 64, 0x36, 0x5C
_IPV4_PREFIX, _IPV6_PREFIX = 24, 48
_KEYS_TOGETHER = "adstyle: the unit keys"
"""Hashed as if it were a unit, this says which keys those are, and nothing of what they are."""


_FOR_IDS = b"adstyle: units that ids of events are made of"


class KeyIsChanging(TryLater):
    """Some of the lake may be hashed under the new key already: a unit would not meet itself."""


class UnitHasher:
    """HMAC-SHA-256 (RFC 2104) of unit ids: the same unit, the same hash; without the key, no way back or across.

    Args:
        keys: the oldest first.
        changing: a change of key was begun and not ended; until it is, nothing is hashed.
    """

    def __init__(self, *keys: bytes, changing: bool = False) -> None:
        for key in keys:
            if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
                raise ExperimentError(f"the unit key has {len(key)} bytes: it needs {SHORTEST_KEY} to {LONGEST_KEY}")
        if not keys:
            raise ExperimentError("there is no unit key: units cannot be hashed without one")
        self._keys = keys
        self._changing = changing

    @cached_property
    def keys(self) -> UnitKeys:
        """Which keys these are, as the lake remembers them.

        Raises:
            KeyIsChanging: while a change of key is not ended; `hashed`, `hash_column` and `raised` do so too.
        """
        self._refuse_while_changing()
        return UnitKeys(len(self._keys), self._under(_KEYS_TOGETHER, self._keys)[:16])

    def hashed(self, unit: str) -> str:
        """Under every key, the first DIGITS of each hash.

        Those are 128 bits: two of a billion units collide with a probability of about 1e-21.
        """
        self._refuse_while_changing()
        return self._under(unit, self._keys)

    def raised(self, hashed: str, layers: int) -> str:
        """What a unit's hash under the first ``layers`` keys is under all of them."""
        self._refuse_while_changing()
        return self._under(hashed, self._keys[layers:])

    @property
    def of_ids(self) -> "UnitHasher":
        """For units that ids of events are made of: its hashes are no unit's, and stay when the key is changed.

        Ids are compared with those that came before, so a hash that changed would bring every such event in again.
        """
        return UnitHasher(hmac.digest(self._keys[0], _FOR_IDS, "sha256"), changing=self._changing)

    def earlier(self, unit: str) -> tuple[str, ...]:
        """The unit's hashes before each change of key, the oldest first: rejected lines keep what they were told."""
        self._refuse_while_changing()
        return tuple(self._under(unit, self._keys[:layers]) for layers in range(1, len(self._keys)))

    def all_of(self, text: str) -> tuple[str, ...]:
        """The hashes of a text before each change of key, the oldest first, and the present one."""
        return (*self.earlier(text), self.hashed(text))

    def hash_column(self, units: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
        """The same of a column, which is quicker; what is missing stays missing."""
        self._refuse_while_changing()
        self._engine.register("incoming", pa.table({"unit": units}))
        hashed = self._engine.sql(f"SELECT {self.raising('unit', 0)} AS unit FROM incoming").to_arrow_table()
        self._engine.unregister("incoming")
        return hashed["unit"]

    def raising(self, column: str, layers: int) -> str:
        """SQL for what a column of hashes under the first ``layers`` keys is under all of them."""
        for key in self._keys[layers:]:
            padded = key.ljust(_BLOCK, b"\0")
            inner, outer = (_literal(bytes(octet ^ pad for octet in padded)) for pad in (_INNER, _OUTER))
            once = f"sha256({inner} || encode({column}))"
            column = f"substr(sha256({outer} || unhex({once})), 1, {DIGITS})"
        return column

    def _under(self, text: str, keys: tuple[bytes, ...]) -> str:
        for key in keys:
            text = hmac.new(key, text.encode(), "sha256").hexdigest()[:DIGITS]
        return text

    def _refuse_while_changing(self) -> None:
        if self._changing:
            raise KeyIsChanging(
                "the unit key is being changed: wait until that has ended or, where it was interrupted, "
                "run adstyle events rekey"
            )

    @cached_property
    def _engine(self) -> duckdb.DuckDBPyConnection:
        """Units as they came must never reach a disk, so it has none to turn to."""
        return duckdb.connect(config={"threads": 1, "temp_directory": "", "preserve_insertion_order": "true"})


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
