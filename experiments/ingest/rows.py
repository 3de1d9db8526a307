"""From columns of cells to rows of the lake: every rule a line must keep, kind by kind.

Each column is judged as a whole. What few values take many times (arms, agents, units within a block) is judged once a
value, by the same functions that judge single values; instants are parsed by Arrow, and those of another shape one by
one. Of several reasons to reject a row the first counts, in the order of the rules.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from experiments.events.schema import TABLES, TIMESTAMP, table_of
from experiments.ingest.adjusting import adjusting, adjustments
from experiments.ingest.feed import OWN
from experiments.ingest.formats import Rows
from experiments.ingest.hashing import Networks
from experiments.ingest.header import ADJUSTS, OF_ARMS
from experiments.ingest.masks import OF_A_UNIT, are_hashes
from experiments.ingest.money import Rates
from experiments.ingest.sieve import Sieve
from experiments.ingest.times import LocalTimes, Times
from experiments.ingest.traffic import Agents, Hosts, Purposes, Sizes
from experiments.ingest.values import (
    EARLIEST,
    Rejected,
    amount_micros,
    currency,
    day,
    has_macro,
    micros,
    probability,
    timestamp,
    value_micros,
    whole,
)

_DAY = 86_400_000_000
_EARLIEST = micros(EARLIEST)
_DELIVERED = 4
"""Columns at the end of each table that are the delivery's own: line, hash, instant and the events' date."""
_TELLING = {
    "impression": ("event_id", "ts", "experiment", "arm", "unit"),
    "click": ("event_id", "ts", "impression_id", "unit"),
    "conversion": ("event_id", "ts", "unit", "impression_id", "click_id", "adjusts"),
    "count": ("experiment", "arm", "ad"),
}
"""The columns by which events are told apart and joined: in them every macro must be expanded."""
_MACRO_BEGINS = r"%%|\$\{|\{\{|\[|__"
_RFC_3339 = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
_EPOCH = r"^\d{9,18}$"
_EPOCH_MICROS = ((11, 1_000_000, 1), (14, 1_000, 1), (17, 1, 1), (18, 1, 1_000))
"""An epoch of at most so many digits: microseconds are so many of it, over so many."""

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"

_Judge = Callable[[str], Any]


class Judged(dict[str, tuple[Any, str | None]]):
    """What each distinct value of a column is, or why it is rejected; judged once a file."""

    def __init__(self, judge: _Judge) -> None:
        super().__init__()
        self._judge = judge

    def __missing__(self, text: str) -> tuple[Any, str | None]:
        try:
            self[text] = (self._judge(text), None)
        except Rejected as rejected:
            self[text] = (None, rejected.reason)
        return self[text]


class Rules:
    """What rows are checked against, with the memories of one file."""

    def __init__(
        self,
        kind: str,
        arms: Mapping[str, frozenset[str]],
        latest: int,
        agents: Agents,
        hosts: Hosts | None,
        networks: Networks,
        times: Times | None = None,
        rates: Rates | None = None,
    ) -> None:
        self.kind = kind
        self._arms = arms
        self._latest = latest
        self._local = None if times is None else LocalTimes(times)
        self._moments = Judged(lambda text: timestamp(text, latest))
        self._networks, self._rates = networks, rates
        self._traffic: dict[str, Mapping[str, str | None]] = {"user_agent": agents}
        self._traffic |= {"ip": hosts} if hosts is not None else {}
        self._traffic |= {"purpose": Purposes(), "slot": Sizes()}
        self._judged: dict[str, Judged] = {
            "propensity": Judged(probability),
            "value": Judged(amount_micros if kind == "conversion" else value_micros),
            "currency": Judged(currency),
            "spend": Judged(value_micros),
            **{name: Judged(lambda text: day(text, latest)) for name in ("date", "last_date")},
            **{name: Judged(whole) for name in ("impressions", "clicks", "conversions")},
        }

    def sift(self, rows: Rows) -> tuple[pa.Table, Sieve]:
        """The rows as the lake's table has them but for the delivery, and which of them keep every rule.

        Units are still what they came as; they must be hashed before anything is kept, but for those that a column
        ``hashed`` tells.
        """
        count = len(rows.places)
        cells = {name: pc.ascii_trim_whitespace(column) for name, column in rows.cells.items()}
        sieve = Sieve.over(count)
        if rows.macros:
            self._macros(cells, sieve)
        if rows.fed and self.kind in OF_ARMS:
            sieve.reject(_length(cells, "experiment", count) == 0, "unknown_creative")
        judge = {
            "impression": self._impression, "click": self._click, "conversion": self._conversion, "count": self._count
        }[self.kind]  # fmt: skip
        columns = judge(cells, count, sieve)
        schema = TABLES[table_of(self.kind)].schema
        fields = [schema.field(number) for number in range(len(schema) - _DELIVERED)]
        arrays = [columns.get(each.name, pa.nulls(count, each.type)) for each in fields]
        if "ts" in columns:
            days = pc.divide(columns["ts"].cast(pa.int64()), _DAY).cast(pa.int32()).cast(pa.date32())
        else:
            days = columns["date"]
        events = pa.table([*arrays, days], schema=pa.schema([*fields, schema.field("date")]))
        if rows.hashed is not None and "unit" in cells:
            well = are_hashes(cells["unit"]).to_numpy(zero_copy_only=False)
            sieve.reject(rows.hashed & ~well & (_length(cells, "unit", count) > 0), "bad_hash")
            for name in ("event_id", "impression_id", "click_id"):
                if name in cells:
                    made = pc.equal(cells[name], OF_A_UNIT).to_numpy(zero_copy_only=False)
                    sieve.reject(rows.hashed & made, "id_of_a_unit")
            events = events.append_column("hashed", pa.array(rows.hashed))
        return events, sieve

    def _impression(self, cells: Mapping[str, pa.Array], count: int, sieve: Sieve) -> dict[str, pa.Array]:
        names = ("variant", "slot", "placement", "device", "country")
        columns = {"event_id": _present(cells, "event_id", count, sieve, "missing_event_id")}
        columns["ts"] = self._instants(cells, sieve)
        columns |= self._arm(cells, sieve)
        _present(cells, "unit", count, sieve, "missing_unit")
        columns["unit"] = _or_none(cells["unit"]) if "unit" in cells else pa.nulls(count, pa.string())
        columns |= {name: _or_none(cells[name]) for name in names if name in cells}
        columns["propensity"] = self._value("propensity", cells, pa.float64(), sieve, count)
        return columns | self._seen_by(cells, count)

    def _click(self, cells: Mapping[str, pa.Array], count: int, sieve: Sieve) -> dict[str, pa.Array]:
        columns = {"event_id": _present(cells, "event_id", count, sieve, "missing_event_id")}
        columns["ts"] = self._instants(cells, sieve)
        columns["kind"] = pa.repeat("click", count)
        named, known = (_length(cells, name, count) > 0 for name in ("impression_id", "unit"))
        sieve.reject(~(named | known), "missing_reference")
        columns |= {"impression_id": _or_none(cells["impression_id"])} if "impression_id" in cells else {}
        columns["unit"] = _or_none(cells["unit"]) if "unit" in cells else pa.nulls(count, pa.string())
        return columns | self._seen_by(cells, count)

    def _conversion(self, cells: Mapping[str, pa.Array], count: int, sieve: Sieve) -> dict[str, pa.Array]:
        columns = {"event_id": _present(cells, "event_id", count, sieve, "missing_event_id")}
        columns["ts"] = self._instants(cells, sieve)
        columns["kind"] = pa.repeat("conversion", count)
        adjusts = _length(cells, ADJUSTS, count) > 0
        sieve.reject(~adjusts & adjustments(cells.get("action"), count), "adjusts_nothing")
        sieve.reject(~adjusts & (_length(cells, "unit", count) == 0), "missing_unit")
        columns["unit"] = _or_none(cells["unit"]) if "unit" in cells else pa.nulls(count, pa.string())
        names = ("impression_id", "click_id", "action", ADJUSTS)
        columns |= {name: _or_none(cells[name]) for name in names if name in cells}
        return columns | self._money(cells, columns["ts"], count, sieve)

    def _money(self, cells: Mapping[str, pa.Array], ts: pa.Array, count: int, sieve: Sieve) -> dict[str, pa.Array]:
        """What was paid or paid back; in the reporting currency, where the workspace has one."""
        said = self._value("value", cells, pa.int64(), sieve, count)
        adjusts = _length(cells, ADJUSTS, count) > 0
        sieve.reject(~adjusts & (pc.fill_null(said, 0).to_numpy() < 0), "negative_value")
        paid, unclear = adjusting(said, cells.get("action"), adjusts)
        sieve.reject(unclear, "unclear_adjustment")
        currencies = self._value("currency", cells, pa.string(), sieve, count)
        if self._rates is None:
            return {"value_micros": paid, "currency": currencies}
        converted = self._rates.convert(paid, currencies, ts.cast(pa.int64()).to_numpy() // _DAY)
        for reason, where in converted.reasons.items():
            sieve.reject(where, reason)
        return {"value_micros": converted.micros, "paid_micros": paid, "currency": currencies}

    def _count(self, cells: Mapping[str, pa.Array], count: int, sieve: Sieve) -> dict[str, pa.Array]:
        """A day's sum. What a platform leaves blank it saw none of, but without impressions nothing was counted."""
        days = self._value("date", cells, pa.date32(), sieve, count)
        sieve.reject(_true(pc.is_null(days)), "bad_timestamp")
        last_days = self._value("last_date", cells, pa.date32(), sieve, count)
        sieve.reject(_true(pc.not_equal(last_days, days)), "several_days")
        columns = {"date": days} | self._arm(cells, sieve)
        if "broken_down_by" in cells:  # a feed's, which tells its ads apart
            _present(cells, "ad", count, sieve, "missing_ad")
        for name in ("impressions", "clicks", "conversions"):
            columns[name] = self._value(name, cells, pa.int64(), sieve, count)
        sieve.reject(_true(pc.is_null(columns["impressions"])), "missing_count")
        columns["clicks"] = pc.fill_null(columns["clicks"], 0)
        for name in ("value", "spend"):
            columns[f"{name}_micros"] = self._value(name, cells, pa.int64(), sieve, count)
        columns["currency"] = self._value("currency", cells, pa.string(), sieve, count)
        if self._rates is not None:
            columns |= self._reported(columns, self._rates, sieve)
        return columns | _counted(days, cells, count)

    def _reported(self, columns: Mapping[str, pa.Array], rates: Rates, sieve: Sieve) -> dict[str, pa.Array]:
        """A count's money in the reporting currency, by the rate of its day, beside what the platform said."""
        days = pc.fill_null(columns["date"].cast(pa.int32()), 0).to_numpy().astype(np.int64)
        found = {"paid_currency": columns["currency"], "currency": pa.repeat(rates.currency, len(days))}
        for name in ("value_micros", "spend_micros"):
            converted = rates.convert(columns[name], columns["currency"], days)
            for reason, where in converted.reasons.items():
                sieve.reject(where, reason)
            found |= {name: converted.micros, f"paid_{name}": columns[name]}
        return found

    def _seen_by(self, cells: Mapping[str, pa.Array], count: int) -> dict[str, pa.Array]:
        """By whom an event was seen: the first rule that says it was no person, in the order of the rules."""
        marks = [_looked_up(cells, name, rule, count) for name, rule in self._traffic.items() if name in cells]
        return {
            "invalid": pc.coalesce(*marks) if marks else pa.nulls(count, pa.string()),
            "network": _networks(cells["ip"], self._networks) if "ip" in cells else pa.nulls(count, pa.string()),
        }

    def _value(self, name: str, cells: Mapping[str, pa.Array], kind: pa.DataType, sieve: Sieve, count: int) -> pa.Array:
        """A column judged value by value."""
        if name not in cells:
            return pa.nulls(count, kind)
        encoded = cells[name].dictionary_encode()
        judged = self._judged[name]
        found = [judged[text] for text in encoded.dictionary.to_pylist()]
        places = encoded.indices.to_numpy()
        for reason in dict.fromkeys(why for _, why in found if why is not None):
            sieve.reject(np.array([why == reason for _, why in found])[places], reason)
        return pa.array([value for value, _ in found], kind).take(encoded.indices)

    def _arm(self, cells: Mapping[str, pa.Array], sieve: Sieve) -> dict[str, pa.Array]:
        """Known experiments, and arms that are theirs."""
        experiments, arms = (cells[name].dictionary_encode() for name in ("experiment", "arm"))
        names, looks = experiments.dictionary.to_pylist(), arms.dictionary.to_pylist()
        which, what = experiments.indices.to_numpy(), arms.indices.to_numpy()
        known = np.array([name in self._arms for name in names], dtype=np.bool_)
        sieve.reject(~known[which], "unknown_experiment")
        theirs = np.array([look in self._arms.get(name, ()) for name in names for look in looks], dtype=np.bool_)
        theirs = theirs.reshape(len(names), len(looks))
        sieve.reject(~theirs[which, what], "unknown_arm")
        return {"experiment": cells["experiment"], "arm": cells["arm"]}

    def _instants(self, cells: Mapping[str, pa.Array], sieve: Sieve) -> pa.Array:
        column = cells["ts"] if self._local is None else self._local.rfc3339(cells["ts"], sieve)
        moments = np.zeros(len(column), np.int64)
        usual = pc.match_substring_regex(column, _RFC_3339).to_numpy(zero_copy_only=False)
        try:
            parsed = column.filter(pa.array(usual)).cast(TIMESTAMP)
            moments[usual] = parsed.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid:  # a thirtieth of February: which one it is is found one by one
            usual[:] = False
        rest = np.flatnonzero(~usual)
        if len(rest):
            moments[rest] = self._other_instants(column.take(pa.array(rest)), rest, sieve)
        sieve.reject(usual & (moments < _EARLIEST), "bad_timestamp")
        sieve.reject(usual & (moments > self._latest), "future_timestamp")
        return pa.array(moments, pa.int64()).cast(TIMESTAMP)

    def _other_instants(self, column: pa.Array, places: NDArray[np.intp], sieve: Sieve) -> NDArray[np.int64]:
        """Epochs at once, what is neither those nor the usual text one by one."""
        moments = np.zeros(len(column), np.int64)
        epoch = pc.match_substring_regex(column, _EPOCH).to_numpy(zero_copy_only=False)
        if epoch.any():
            digits = pc.binary_length(column).to_numpy()
            whole = column.filter(pa.array(epoch)).cast(pa.int64()).to_numpy()
            size, instants, left = digits[epoch], np.zeros(len(whole), np.int64), np.ones(len(whole), np.bool_)
            for most, times, over in _EPOCH_MICROS:
                here = left & (size <= most)
                instants[here] = whole[here] * times // over
                left &= ~here
            moments[epoch] = instants
            early, late = (np.zeros(len(sieve.codes), np.bool_) for _ in range(2))
            early[places[epoch]], late[places[epoch]] = instants < _EARLIEST, instants > self._latest
            sieve.reject(early, "bad_timestamp")
            sieve.reject(late, "future_timestamp")
        for at in np.flatnonzero(~epoch).tolist():
            moment, reason = self._moments[column[at].as_py()]
            if reason is not None:
                where = np.zeros(len(sieve.codes), np.bool_)
                where[places[at]] = True
                sieve.reject(where, reason)
            moments[at] = moment or 0
        return moments

    def _macros(self, cells: Mapping[str, pa.Array], sieve: Sieve) -> None:
        """An ad server left a placeholder in an identifying value."""
        for name in _TELLING[self.kind]:
            if name not in cells:
                continue
            suspect = pc.match_substring_regex(cells[name], f"^(?:{_MACRO_BEGINS})").to_numpy(zero_copy_only=False)
            for at in np.flatnonzero(suspect).tolist():
                if not has_macro(cells[name][at].as_py()):
                    suspect[at] = False
            sieve.reject(suspect, "unexpanded_macro")


def _looked_up(cells: Mapping[str, pa.Array], name: str, memory: Mapping[str, str | None], count: int) -> pa.Array:
    """What is remembered of each value; nothing of an empty one."""
    if name not in cells:
        return pa.nulls(count, pa.string())
    encoded = cells[name].dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    found = list(map(memory.__getitem__, texts))
    if "" in texts:
        found[texts.index("")] = None
    if not any(found):
        return pa.nulls(len(encoded), pa.string())
    return pa.array(found, pa.string()).take(encoded.indices)


def _networks(column: pa.Array, memory: Mapping[str, str | None]) -> pa.Array:
    """Addresses of four plain octets cut at once, the others one by one."""
    cut = pc.replace_substring_regex(column, rf"^({_OCTET}\.{_OCTET}\.{_OCTET})\.{_OCTET}$", r"\1.0/24")
    plain = pc.not_equal(cut, column)
    if pc.all(plain).as_py():
        return cut
    others = _looked_up({"ip": column.filter(pc.invert(plain))}, "ip", memory, 0)
    return pc.replace_with_mask(cut, pc.invert(plain), others)


def _length(cells: Mapping[str, pa.Array], name: str, count: int) -> NDArray[np.int32]:
    return pc.binary_length(cells[name]).to_numpy() if name in cells else np.zeros(count, np.int32)


def _present(cells: Mapping[str, pa.Array], name: str, count: int, sieve: Sieve, reason: str) -> pa.Array:
    sieve.reject(_length(cells, name, count) == 0, reason)
    return cells[name] if name in cells else pa.repeat("", count)


def _true(column: pa.Array) -> NDArray[np.bool_]:
    """Where it is true; not where it is unknown."""
    return pc.fill_null(column, pa.scalar(value=False)).to_numpy(zero_copy_only=False)


def _counted(days: pa.Array, cells: Mapping[str, pa.Array], count: int) -> dict[str, pa.Array]:
    """What a count is of, and its id, made of just that: the same counted anew has the same id.

    An ad is what the platform calls one; where nobody says which, an arm is one ad.
    """
    named = {name: cells.get(name, pa.repeat("", count)) for name in ("source", "ad", "breakdown")}
    named["source"] = pc.coalesce(_or_none(named["source"]), pa.scalar(OWN))
    arms = pc.binary_join_element_wise(_part(cells["experiment"]), _part(cells["arm"]), ":")
    ads = pc.coalesce(_or_none(_part(named["ad"])), arms)
    days = pc.fill_null(days.cast(pa.string()), "")
    said = pc.binary_join_element_wise(days, _part(named["source"]), ads, _part(named["breakdown"]), "/")
    by = cells.get("broken_down_by", pc.if_else(pc.not_equal(named["breakdown"], ""), "breakdown", ""))
    columns = named | {"broken_down_by": by}
    return {"event_id": said, **{name: _or_none(column) for name, column in columns.items()}}


def _part(column: pa.Array) -> pa.Array:
    """Text that can stand between slashes and colons and be told apart from them."""
    for character, written in (("%", "%25"), ("/", "%2F"), (":", "%3A")):
        column = pc.replace_substring(column, character, written)
    return column


def _or_none(column: pa.Array) -> pa.Array:
    """Nothing in place of empty text."""
    return pc.if_else(pc.equal(pc.binary_length(column), 0), pa.scalar(None, pa.string()), column)
