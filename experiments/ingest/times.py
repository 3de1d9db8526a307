"""Times as a log writes them, brought to RFC 3339 with an offset: a declared time zone, form or unit of epochs.

All is done to columns of text, before any time is judged: a form is matched and put in order by Arrow, and the offset
of a local time is asked of the time zone once a distinct minute (since 2000 no clock was changed within one). A local
time that the clocks skipped in spring is of no moment; one that they showed twice in autumn is of two, and is only
taken where it is declared which one is meant.
"""

import re
from collections.abc import Callable
from datetime import MAXYEAR, UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from experiments.core.errors import ExperimentError
from experiments.ingest.sieve import Sieve
from experiments.ingest.values import EARLIEST
from experiments.ingest.zones import known_zone

_NAIVE = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?$"
_TO_THE_MINUTE = len("2026-11-08T12:00")
_REMEMBERED = 1_000_000
"""Minutes, two years of them; a log of all times must not fill the memory."""
_NEVER = "99"
"""Where a part of a time is none: text that no calendar knows."""
_DATED = r"\d{4}-\d\d-\d\d[Tt ].*"
_UNITS = {"s": (9, 11), "ms": (12, 14), "us": (15, 17), "ns": (18, 19)}
"""How many digits an epoch in that unit has, from 2000 on."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": r"\d{1,2}",
    "b": r"[A-Za-z]{3}",
    "d": r"\d{1,2}",
    "H": r"\d{1,2}",
    "I": r"\d{1,2}",
    "p": r"[AaPp][Mm]",
    "M": r"\d{1,2}",
    "S": r"\d{1,2}",
    "f": r"\d{1,6}",
    "z": r"[Zz]|[+-]\d\d:?\d\d",
}
"""What a form may have of Python's own (``strptime``), and how each looks."""


class Times(BaseModel):
    """How a file writes its times; what is not declared is not guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zone: Annotated[str, AfterValidator(known_zone)] | None = None
    """Where its clocks hang: the zone of times without an offset, which are rejected without it."""
    form: str | None = None
    """Day first or otherwise unlike RFC 3339: ``%d/%m/%Y %H:%M:%S``; then every time must have this form."""
    unit: Literal["s", "ms", "us", "ns"] | None = None
    """Epochs, all in this unit; one of another magnitude is rejected instead of being understood otherwise. A date with
    its time, as a typed column has it, is understood by itself."""
    fold: Literal["reject", "first", "second"] = "reject"
    """Which of its two moments a time is that the clocks showed twice; by default such times are rejected."""

    @model_validator(mode="after")
    def _one_of_them(self) -> "Times":
        if self.form is not None and self.unit is not None:
            raise ValueError("times have a form or a unit of epochs, not both: leave one out")
        if self.form is not None:
            Form(self.form)
        return self

    def with_zone(self, zone: str | None) -> "Times":
        """These, in that zone where they declare none."""
        return self if zone is None or self.zone is not None else self.model_copy(update={"zone": zone})


def in_zone(name: str | None) -> Times | None:
    """Times of nothing but a declared zone.

    Raises:
        ExperimentError: for a name that is no zone's.
    """
    try:
        return None if name is None else Times(zone=known_zone(name))
    except ValueError as error:
        raise ExperimentError(str(error)) from None


class Form:
    """A form of times, such as ``%d/%m/%Y %H:%M:%S``, understood once."""

    def __init__(self, form: str) -> None:
        pieces = re.findall(r"%.|%$|[^%]+", form)
        asked = [each[1:] for each in pieces if each.startswith("%") and each != "%%"]
        for each in asked:
            if each not in _DIRECTIVES:
                raise ValueError(f"%{each} is no part of a form: there are {', '.join('%' + x for x in _DIRECTIVES)}")
            if asked.count(each) > 1:
                raise ValueError(f"the form {form!r} has %{each} more than once")
        if not ({"Y", "y"} & set(asked) and {"m", "b"} & set(asked) and "d" in asked):
            raise ValueError(f"the form {form!r} does not say year, month and day: %Y, %m and %d")
        if ("I" in asked) != ("p" in asked):
            raise ValueError(f"the form {form!r} has one of %I and %p: hours up to twelve need both")
        self.parts = frozenset(asked)
        self.pattern = "^" + "".join(_looks(pieces, place) for place in range(len(pieces))) + "$"

    def rfc3339(self, column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
        """Each time in the order of RFC 3339, and which ones had the form; the others as they came."""
        found = pc.extract_regex(column, self.pattern)
        fitting = pc.is_valid(found)
        part = {name: pc.struct_field(found, name) for name in self.parts}
        year = part["Y"] if "Y" in part else pc.binary_join_element_wise("20", part["y"], "")
        month = _told(part["b"], _month) if "b" in part else _two(part["m"])
        date = pc.binary_join_element_wise(year, month, _two(part["d"]), "-")
        if "I" in part:
            hour = _told(pc.binary_join_element_wise(part["I"], part["p"], ":"), _hour)
        else:
            hour = _two(part.get("H", pa.repeat("00", len(column))))
        minute, second = (_two(part.get(name, pa.repeat("00", len(column)))) for name in ("M", "S"))
        text = pc.binary_join_element_wise(date, pc.binary_join_element_wise(hour, minute, second, ":"), " ")
        if "f" in part:
            text = pc.binary_join_element_wise(text, part["f"], ".")
        if "z" in part:
            text = pc.binary_join_element_wise(text, _told(part["z"], _offset), "")
        return pc.if_else(fitting, text, column), fitting.to_numpy(zero_copy_only=False)


class LocalTimes:
    """The times of one file, with the memory of its zone's offsets."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._form = None if times.form is None else Form(times.form)
        self._epoch = None
        if times.unit is not None:
            least, most = _UNITS[times.unit]
            self._epoch = rf"^(?:\d{{{least},{most}}}(?:\.\d+)?|{_DATED})$"
        self._offsets = None if times.zone is None else _Offsets(ZoneInfo(times.zone), times.fold)

    def rfc3339(self, column: pa.Array, sieve: Sieve) -> pa.Array:
        """The column with an offset where there was none, or as it was; what cannot be told is rejected.

        ``bad_timestamp`` for what is not of the declared form or unit, ``nonexistent_time`` and ``ambiguous_time`` for
        what the clocks of the zone never showed, or showed twice.
        """
        if self._epoch is not None:
            epoch = pc.match_substring_regex(column, self._epoch).to_numpy(zero_copy_only=False)
            sieve.reject(~epoch, "bad_timestamp")
        if self._form is not None:
            column, fitting = self._form.rfc3339(column)
            sieve.reject(~fitting, "bad_timestamp")
        return column if self._offsets is None else self._placed(column, self._offsets, sieve)

    def _placed(self, column: pa.Array, offsets: "_Offsets", sieve: Sieve) -> pa.Array:
        naive = pc.match_substring_regex(column, _NAIVE)
        minutes = pc.if_else(naive, pc.utf8_slice_codeunits(column, 0, _TO_THE_MINUTE), "").dictionary_encode()
        found = [offsets[minute] for minute in minutes.dictionary.to_pylist()]
        places = minutes.indices.to_numpy()
        for reason in dict.fromkeys(why for _, why in found if why is not None):
            sieve.reject(np.array([why == reason for _, why in found])[places], reason)
        suffix = pa.array([offset for offset, _ in found], pa.string()).take(minutes.indices)
        return pc.binary_join_element_wise(column, suffix, "")


class _Offsets(dict[str, tuple[str, str | None]]):
    """By minute of local time: the zone's offset, and why it cannot be told."""

    def __init__(self, zone: ZoneInfo, fold: str) -> None:
        super().__init__({"": ("", None)})
        self._zone, self._fold = zone, fold

    def __missing__(self, minute: str) -> tuple[str, str | None]:
        found = self._offset(minute)
        if len(self) < _REMEMBERED:
            self[minute] = found
        return found

    def _offset(self, minute: str) -> tuple[str, str | None]:
        try:
            local = datetime.fromisoformat(minute.upper())
        except ValueError:
            return "Z", None  # no date: it is rejected as that
        if local.year < EARLIEST.year or local.year == MAXYEAR:
            return "Z", None  # rejected as well, whatever the offset, which once had seconds
        first, second = (local.replace(tzinfo=self._zone, fold=fold) for fold in (0, 1))
        if first.utcoffset() == second.utcoffset():
            return _written(first), None
        if first.astimezone(UTC).astimezone(self._zone).replace(tzinfo=None) != local:
            return _written(first), "nonexistent_time"
        return _written(second if self._fold == "second" else first), (
            "ambiguous_time" if self._fold == "reject" else None
        )


def _written(moment: datetime) -> str:
    text = moment.strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


def _looks(pieces: list[str], place: int) -> str:
    """A piece of a form as a regular expression; numbers without anything between them have all their digits."""
    piece = pieces[place]
    if not piece.startswith("%"):
        return re.escape(piece)
    if piece == "%%":
        return "%"
    beside = [*pieces[max(0, place - 1) : place], *pieces[place + 1 : place + 2]]
    tight = any(each.startswith("%") and each != "%%" for each in beside)
    look = _DIRECTIVES[piece[1]]
    return f"(?P<{piece[1]}>{look.replace('{1,2}', '{2}') if tight else look})"


def _two(column: pa.Array) -> pa.Array:
    return pc.utf8_lpad(column, 2, "0")


def _told(column: pa.Array, meaning: Callable[[str], str]) -> pa.Array:
    """What each distinct text means."""
    encoded = column.dictionary_encode()
    said = [meaning(text) for text in encoded.dictionary.to_pylist()]
    return pa.array(said, pa.string()).take(encoded.indices)


def _month(name: str) -> str:
    return f"{_MONTHS.index(name.lower()) + 1:02}" if name.lower() in _MONTHS else _NEVER


def _hour(text: str) -> str:
    hour, _, half = text.partition(":")
    if not 1 <= int(hour) <= 12:
        return _NEVER
    return f"{int(hour) % 12 + 12 * (half.lower() == 'pm'):02}"


def _offset(text: str) -> str:
    return text.upper() if ":" in text or len(text) == 1 else f"{text[:3]}:{text[3:]}"
