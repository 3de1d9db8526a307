"""Lines broken at random: no crash, exact accounting, and no whole line lost to a broken neighbour.

`make faults` takes a million of them, by ADSTYLE_FUZZED_LINES=1000000; `make test` the twenty thousand of the default.
"""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from experiments.events.lake import EventLake
from experiments.ingest import log
from experiments.ingest.files import ingest_file
from experiments.ingest.hashing import UnitHasher

NOW = datetime(2026, 11, 9, 6, tzinfo=UTC)
LINES = int(os.environ.get("ADSTYLE_FUZZED_LINES", "20000"))
ARMS = {"spring": frozenset({"original", "mosaic"})}
HEADER = b"event_id,ts,experiment,arm,unit,device,propensity,user_agent,ip,slot,purpose"
NASTY = [
    *(b'"', b'""', b",", b",,", b"\0", b"\r", b"\n", b"\r\n", b"\xff", b"\xc3", b"\xef\xbb\xbf", "\u2028".encode()),
    *(b"%%ID%%", b"${ID}", b"{", b"}", b"[", b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"NaN", b"1e999", b"-1"),
    *(
        b"9" * 40,
        b" ",
        b"\t",
        b"'",
        b"=1+1",
        b"2026-02-30T00:00:00Z",
        b"09/11/2026",
        b"2026-11-08T23:59:60Z",
        b"x" * 3000,
    ),
]

QUOTING = np.frombuffer(b'"""",,a \r', np.uint8)


class Register(dict):
    """Deliveries by hash, in memory."""

    def find(self, sha256):
        return self.get(sha256)

    def record(self, delivery):
        self[delivery.sha256] = delivery


def whole(form: str, number: int) -> bytes:
    at = (NOW - timedelta(days=2, seconds=number % 100_000)).isoformat()
    arm, unit = "mosaic" if number % 2 else "original", f"user-{number % 5000}"
    seen_by = ('a "tab"', "0.5", "Mozilla/5.0 (Windows NT 10.0)", "192.0.2.7", "300x250", "prefetch;prerender")
    cells = (f"i{number}", at, "spring", arm, unit, *seen_by)
    if form == "jsonl":
        return json.dumps(dict(zip(HEADER.decode().split(","), cells, strict=True))).encode()
    return ",".join('"' + cell.replace('"', '""') + '"' if '"' in cell else cell for cell in cells).encode()


def broken(line: bytes, rng: np.random.Generator) -> bytes:
    """One to three accidents."""
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(line) + 1))
        to = min(len(line), at + int(rng.integers(1, 12)))
        accident = rng.integers(0, 6)
        if accident == 0:
            line = line[:at] + bytes([rng.integers(0, 256)]) + line[at + 1 :]
        elif accident == 1:
            line = line[:at] + NASTY[rng.integers(0, len(NASTY))] + line[at:]
        elif accident == 2:
            line = line[:at] + NASTY[rng.integers(0, len(NASTY))] + line[to:]
        elif accident == 3:
            line = line[:at] + line[to:]
        elif accident == 4:
            line = line[:at] + bytes(rng.choice(QUOTING, to - at)) + line[to:]
        else:
            line = line[:to] + line[at:]
    return line


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("share", [0.05, 0.7])
def test_broken_lines_cost_themselves_and_nothing_else(tmp_path, monkeypatch, form, share):
    rng = np.random.default_rng(LINES)
    intact = [whole(form, number) for number in range(LINES // 4)]
    sent = [broken(line, rng) if rng.random() < share else line for line in intact]
    path = tmp_path / f"impressions.{form}"
    path.write_bytes(b"\n".join([HEADER, *sent][form == "jsonl" :]) + b"\n")
    lake = EventLake(tmp_path / "lake")
    settings = {"deliveries": Register(), "hasher": UnitHasher(b"k" * 32), "arms": ARMS, "now": NOW}
    told = ingest_file(path, lake=lake, kind="impression", **settings)
    lines = dict(enumerate(path.read_bytes().split(b"\n"), start=1))
    counted = {number: line for number, line in lines.items() if line.removesuffix(b"\r")}
    counted = {number: line for number, line in counted.items() if form == "jsonl" or number > 1}
    assert told.read == len(counted)
    assert told.read == told.accepted + told.duplicate + sum(told.rejected.values())
    events = lake.dataset("impressions").to_table(columns=["event_id", "line"]).to_pydict()
    rejects = lake.dataset("rejects").to_table(columns=["line", "reason"]).to_pydict()
    assert told.accepted == len(events["line"]) == len(set(events["event_id"]))
    assert dict(Counter(rejects["reason"])) == told.rejected
    taken = [*events["line"], *rejects["line"]]
    assert len(taken) == len(set(taken))
    assert set(taken) <= set(counted)
    assert len(set(counted) - set(taken)) == told.duplicate
    places = {line: number for number, line in enumerate(intact)}
    untouched = {places[line] for line in counted.values() if line in places}
    assert len(untouched) > LINES / 4 * (1 - share) * 0.9
    assert {f"i{number}" for number in untouched} <= set(events["event_id"])
    assert len(told.rejected) >= 5, "there are accidents of many kinds"
    monkeypatch.setattr(log, "BLOCK_BYTES", 100_000)
    path.write_bytes(path.read_bytes() + b"\n")  # the same lines under another hash, which are read for less
    passes = []
    again = ingest_file(path, lake=lake, kind="impression", progress=lambda at, _: passes.append(at), **settings)
    assert (again.read, again.rejected) == (told.read, told.rejected)
    assert (again.accepted, again.duplicate) == (0, told.accepted + told.duplicate)
    assert passes.count(0) == 1, "no line was taken for another than it had been, so it was not read anew"
