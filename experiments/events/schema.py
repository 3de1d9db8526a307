"""What the lake's tables hold: one Arrow schema each, and how their files are laid out."""

from dataclasses import dataclass

import pyarrow as pa

from experiments.events.numbers import UNIT_NUMBER

TIMESTAMP = pa.timestamp("us", tz="UTC")
DECLARED_BOT = "declared_bot"
"""Rule name in ``invalid``: the user agent says of itself that it is a robot."""
NOT_A_BROWSER = "not_a_browser"
"""The user agent names no browser and no device that people hold."""
DATA_CENTRE = "data_centre"
"""The address lies in a range where servers stand."""
PREFETCH = "prefetch"
"""The browser said that it fetched this in advance: nobody had asked for it, and perhaps nobody saw it."""
ZERO_SIZE = "zero_size"
"""The slot has no width or no height."""
IMPOSSIBLE_RATE = "impossible_rate"
"""No event has this one by itself: its unit did more in an hour than a person can."""
REPEATED_CLICK = "repeated_click"
"""Likewise: the click followed another one, on the same impression or within seconds on the same creative."""

_DELIVERED = [
    pa.field("line", pa.int64()),  # of that file, 1 is its first: every number can be traced to lines
    pa.field("delivery", pa.string(), nullable=False),  # SHA-256 of the file the line came in
    pa.field("delivered_at", TIMESTAMP, nullable=False),
    pa.field("date", pa.date32(), nullable=False),
]
_SEEN_BY = [
    pa.field("invalid", pa.string()),  # name of the rule that says the event is not a person's
    pa.field("network", pa.string()),  # the IP address cut to /24 or /48
]

IMPRESSIONS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("ts", TIMESTAMP, nullable=False),
        pa.field("experiment", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),  # keyed hash, hexadecimal
        pa.field(UNIT_NUMBER, pa.int64()),  # the end of it, which evidence reads in its place
        pa.field("variant", pa.string()),
        pa.field("slot", pa.string()),
        pa.field("placement", pa.string()),
        pa.field("device", pa.string()),
        pa.field("country", pa.string()),
        pa.field("propensity", pa.float64()),
        *_SEEN_BY,
        *_DELIVERED,
    ]
)

OUTCOMES = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("ts", TIMESTAMP, nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # click or conversion
        pa.field("impression_id", pa.string()),
        pa.field("click_id", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("action", pa.string()),
        pa.field("value_micros", pa.int64()),  # in the reporting currency, where a workspace has one
        pa.field("currency", pa.string()),
        *_SEEN_BY,
        pa.field("paid_micros", pa.int64()),  # as it was delivered, in ``currency``; nothing where nothing is converted
        pa.field("adjusts", pa.string()),  # the conversion that this one refunds (value below 0), restates or retracts
        *_DELIVERED,
    ]
)

COUNTS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),  # what was counted: day, source, ad and breakdown in one
        pa.field("source", pa.string(), nullable=False),  # who counted: the feed, or what a file by hand says
        pa.field("experiment", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("ad", pa.string()),  # the platform's own id
        pa.field("breakdown", pa.string()),
        pa.field("broken_down_by", pa.string()),  # names of the columns that the breakdown is made of
        pa.field("impressions", pa.int64(), nullable=False),
        pa.field("clicks", pa.int64(), nullable=False),
        pa.field("conversions", pa.int64()),
        pa.field("value_micros", pa.int64()),
        pa.field("spend_micros", pa.int64()),
        pa.field("currency", pa.string()),  # the reporting one, where a workspace has one; what was said is ``paid``
        pa.field("paid_value_micros", pa.int64()),
        pa.field("paid_spend_micros", pa.int64()),
        pa.field("paid_currency", pa.string()),
        *_DELIVERED,
    ]
)
"""As platforms counted them, of audiences that they chose: nothing here was randomised, and no evidence reads it."""

REJECTS = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),  # of the file
        pa.field("kind", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # the line, without raw units and addresses
        pa.field("layers", pa.int64()),  # under so many keys its units are hashed; none: under the first
        pa.field("header", pa.string()),  # the file's first line, where it says what the cells of the others are
        pa.field("feed", pa.string()),  # the mapping by which the file was read; none for files in our own format
        *_DELIVERED,
    ]
)


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A table's columns and the ones its folders are split by."""

    schema: pa.Schema
    partition_by: tuple[str, ...]

    @property
    def told(self) -> list[str]:
        """The columns in which others say something; any other is made of these."""
        return [name for name in self.schema.names if name != UNIT_NUMBER]


TABLES: dict[str, TableLayout] = {
    "impressions": TableLayout(IMPRESSIONS, ("experiment", "date")),
    "outcomes": TableLayout(OUTCOMES, ("date",)),
    "rejects": TableLayout(REJECTS, ("date",)),
    "counts": TableLayout(COUNTS, ("date",)),
}


def table_of(kind: str) -> str:
    """The table that keeps events of this kind."""
    return {"impression": "impressions", "count": "counts"}.get(kind, "outcomes")
