"""Units as numbers: evidence tells millions of them apart, and their texts take ten times as long to read.

The lake keeps with an impression the number that is the end of its unit's hash. It has 63 bits: two of 15 million units
share one with a probability of 1.2e-5, and nobody can make them, because what the lake has of units is keyed hashes.
(Ids of events are compared as they are: anybody may choose those.)
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DIGITS = 32
"""Hexadecimal ones of a unit's hash; the number is made of the last half."""
UNIT_NUMBER = "unit_number"
"""The column. Files that are older than it have none, and whoever writes what is no hash writes none."""
LARGEST = 2**63 - 1


def with_numbers(rows: pa.Table) -> pa.Table:
    """Rows with ``unit``, and the number of each."""
    numbers = _numbers(rows["unit"])
    place = rows.schema.get_field_index(UNIT_NUMBER)
    if place < 0:
        return rows.append_column(UNIT_NUMBER, numbers)
    return rows.set_column(place, UNIT_NUMBER, numbers)


def number_of(text: str) -> str:
    """The same in DuckDB's SQL, of a column; nothing of what is no hash."""
    word = f"TRY_CAST('0x' || substr({text}, {DIGITS // 2 + 1}) AS UBIGINT)"
    return f"CASE WHEN strlen({text}) = {DIGITS} THEN {_signed(word)} END"


def numbered(rows: str) -> str:
    """Rows that DuckDB reads, with the numbers that go with their units, whatever they had."""
    column = f"SELECT NULL::BIGINT AS {UNIT_NUMBER} WHERE false"
    return f"(SELECT * REPLACE ({number_of('unit')} AS {UNIT_NUMBER}) FROM (FROM {rows} UNION ALL BY NAME {column}))"


def stand_in_for(text: str) -> str:
    """Another number, of any text: DuckDB's, and no version need have that of the next."""
    return f"CASE WHEN {text} IS NOT NULL THEN {_signed(f'hash({text})')} END"


def _signed(word: str) -> str:
    """All but the first bit."""
    return f"CAST({word} & CAST({LARGEST} AS UBIGINT) AS BIGINT)"


def _numbers(units: pa.ChunkedArray) -> pa.Array:
    """All of them or, where one unit is no hash, none."""
    count, texts = len(units), pc.cast(units, pa.large_string()).combine_chunks()
    if count and texts.null_count == 0 and pc.all(pc.equal(pc.binary_length(texts), DIGITS)).as_py():
        digits = np.frombuffer(texts.buffers()[2], np.uint8, count * DIGITS, texts.offset * DIGITS)
        try:
            words = bytes.fromhex(digits.reshape(count, DIGITS)[:, DIGITS // 2 :].tobytes().decode("ascii"))
        except ValueError:  # among them UnicodeDecodeError
            words = b""
        if len(words) == count * 8:  # spaces are skipped
            return pa.array((np.frombuffer(words, ">u8") & LARGEST).astype(np.int64))
    return pa.nulls(count, pa.int64())
