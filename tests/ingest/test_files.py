"""A file as a whole: each line accounted for, once, and nothing kept of people but hashes and networks."""

import gzip
import hmac
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from experiments.core.errors import TryLater
from experiments.events.append import Append
from experiments.ingest.hashing import UnitHasher, network_of
from experiments.ingest.log import FileRefused

GOOD = {"event_id": "i9", "experiment": "spring", "arm": "mosaic", "unit": "user-9"}


def test_a_file_is_accounted_for(deliver, impressions, as_csv, stored, lake, register, now):
    lines = as_csv(impressions(3)) + "i1,2026-11-07T00:00:00Z,spring,mosaic,user-1\n" + "broken\n"
    delivery = deliver("impressions.csv", lines)
    assert (delivery.read, delivery.accepted, delivery.duplicate, delivery.rejected) == (5, 3, 1, {"ragged_row": 1})
    assert (delivery.name, delivery.kind, delivery.size) == ("impressions.csv", "impression", len(lines))
    assert (delivery.finished_at, delivery.replay) == (now, False)
    assert delivery.lake_versions == lake.versions() == {"impressions": 1, "outcomes": 0, "rejects": 1, "counts": 0}
    assert register == {delivery.sha256: delivery}
    assert {(row["delivery"], row["delivered_at"]) for row in stored()} == {(delivery.sha256, now)}


def test_bytes_that_came_as_another_kind_are_refused_and_not_passed_over(deliver, stored):
    text = "event_id,ts,unit,impression_id\nc1,2026-11-08T12:00:00Z,u,i1\n"
    assert deliver("log.csv", text, "conversion").accepted == 1
    with pytest.raises(FileRefused, match=r"log.csv was ingested before, as conversions, .* if they are clicks, add"):
        deliver("log.csv", text, "click")
    assert deliver("log.csv", text, "conversion").replay
    assert deliver("log.csv", text + "\n", "click").accepted == 1
    assert [row["kind"] for row in stored("outcomes")] == ["click", "conversion"]


def test_the_same_file_again_adds_nothing(deliver, ingest, impressions, as_csv, lake, tmp_path):
    first = deliver("impressions.csv", as_csv(impressions(3)) + "broken\n")
    (tmp_path / "inbox" / "impressions.csv").rename(tmp_path / "renamed.csv")
    assert ingest(tmp_path / "renamed.csv") == replace(first, replay=True)
    assert lake.versions() == first.lake_versions


def test_the_same_events_in_another_file_are_duplicates(deliver, impressions, as_csv, as_jsonl, stored):
    deliver("impressions.csv", as_csv(impressions(3)))
    other = deliver("impressions.jsonl", as_jsonl(impressions(5)))
    assert (other.read, other.accepted, other.duplicate) == (5, 2, 3)
    third = deliver("impressions.jsonl.gz", as_jsonl(impressions(5)))
    assert (third.accepted, third.duplicate) == (0, 5)
    assert [row["event_id"] for row in stored()] == ["i0", "i1", "i2", "i3", "i4"]
    assert third.lake_versions == other.lake_versions, "nothing to add, no version"


def test_a_delivery_that_starts_with_known_events_and_goes_on_with_new_ones_loses_none(
    deliver, impressions, as_csv, stored, lake, tmp_path
):
    deliver("impressions.csv", as_csv(impressions(300)))
    passes = []
    grown = deliver(
        "again.csv", as_csv(impressions(302)) + "broken\n", "impression", progress=lambda at, _: passes.append(at)
    )
    assert (grown.read, grown.accepted, grown.duplicate, grown.rejected) == (303, 2, 300, {"ragged_row": 1})
    assert passes.count(0) == 2, "it looked like one that came before, and was read again when it was not"
    assert len(stored()) == 302
    (reject,) = stored("rejects")
    assert (reject["line"], reject["delivery"]) == (304, grown.sha256)
    told = {Path(tmp_path, "lake", name, file.path) for name in lake.versions() for file in lake.begin(name).files()}
    assert set(Path(tmp_path, "lake").rglob("*.parquet")) == told


def test_a_delivery_of_nothing_but_known_events_is_read_once_and_writes_nothing(
    deliver, impressions, as_csv, stored, lake
):
    first = deliver("impressions.csv", as_csv(impressions(300)))
    passes = []
    again = deliver("again.csv", as_csv(impressions(299)), "impression", progress=lambda at, _: passes.append(at))
    assert (again.accepted, again.duplicate, passes.count(0)) == (0, 299, 1)
    assert again.lake_versions == first.lake_versions
    assert len(stored()) == 300


def test_an_id_is_a_duplicate_within_its_kind_only(deliver, stored):
    deliver("clicks.csv", "event_id,ts,unit\ne1,2026-11-08T00:00:00Z,user-1\n")
    deliver("conversions.csv", "event_id,ts,unit\ne1,2026-11-08T00:00:01Z,user-1\n")
    assert {row["kind"] for row in stored("outcomes")} == {"click", "conversion"}


def test_every_column_arrives(deliver, as_jsonl, stored, hasher):
    fields = {"variant": "v1", "slot": "300x250", "placement": "news", "device": "phone", "country": "DE"}
    event = {**GOOD, "ts": "2026-11-08T01:02:03.000004Z", "propensity": 0.25, "ip": "203.0.113.77", **fields}
    deliver("impressions.jsonl", as_jsonl([event]))
    (row,) = stored()
    assert row.items() >= {"event_id": "i9", "experiment": "spring", "arm": "mosaic", "propensity": 0.25}.items()
    assert row.items() >= {**fields, "network": "203.0.113.0/24", "invalid": None}.items()
    assert row["unit"] == hasher.hashed("user-9")
    assert row["ts"].isoformat() == "2026-11-08T01:02:03.000004+00:00"
    assert row["date"].isoformat() == "2026-11-08"
    bought = {"event_id": "v1", "ts": "2026-11-08T23:59:59Z", "unit": "user-9", "value": 19.99, "currency": "eur"}
    deliver("conversions.jsonl", as_jsonl([{**bought, "action": "sale", "click_id": "c", "impression_id": "i9"}]))
    (row,) = stored("outcomes")
    assert row.items() >= {"kind": "conversion", "value_micros": 19_990_000, "currency": "EUR"}.items()
    assert row.items() >= {"action": "sale", "click_id": "c", "impression_id": "i9"}.items()


def test_declared_bots_are_marked(deliver, impressions, as_jsonl, stored):
    bot, person = impressions(2)
    agents = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Mozilla/5.0 Firefox/144.0"
    deliver("impressions.jsonl", as_jsonl([bot | {"user_agent": agents[0]}, person | {"user_agent": agents[1]}]))
    assert [row["invalid"] for row in stored()] == ["declared_bot", None]


JSON_REJECTS = {
    "missing_event_id": {"event_id": " "},
    "bad_timestamp": {"ts": "yesterday"},
    "naive_timestamp": {"ts": "2026-11-08 12:00:00"},
    "future_timestamp": {"ts": "2026-11-10T06:00:01Z"},
    "unknown_experiment": {"experiment": "autumn"},
    "unknown_arm": {"arm": "pencil"},
    "missing_unit": {"unit": None},
    "bad_value": {"propensity": "1.5"},
    "unexpanded_macro": {"unit": "%%USER_ID%%"},
    "not_utf8": {"arm": "\ud800"},
    "nul_byte": {"arm": "a\0b"},
}


@pytest.mark.parametrize("reason", JSON_REJECTS)
def test_each_reason_to_reject_an_impression(deliver, as_jsonl, stored, reason, now):
    event = {**GOOD, "ts": "2026-11-08T00:00:00Z"}
    delivery = deliver("impressions.jsonl", as_jsonl([event | JSON_REJECTS[reason], event]))
    assert (delivery.read, delivery.accepted, delivery.rejected) == (2, 1, {reason: 1})
    (reject,) = stored("rejects")
    assert (reject["reason"], reject["line"], reject["name"]) == (reason, 1, "impressions.jsonl")
    assert (reject["kind"], reject["delivery"], reject["date"]) == ("impression", delivery.sha256, now.date())


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("clicks.csv", "c1,2026-11-08T00:00:00Z,,", "missing_reference"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,user-1,-0.01", "negative_value"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,user-1,NaN", "bad_value"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,user-1,9223372036854.775808", "bad_value"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,user-1,1e999999999", "bad_value"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,user-1,1_000", "bad_value"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,user-1,\u0661\u0662", "bad_value"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,,5", "missing_unit"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,user-1,5,", "ragged_row"),
        ("conversions.csv", "v1,2026-11-08T00:00:00Z,user-1", "ragged_row"),
        ("conversions.csv", '"v1,2026-11-08T00:00:00Z,user-1,5', "ragged_row"),
        ("conversions.jsonl", '["v1", "2026-11-08T00:00:00Z", "user-1", 5]', "not_json"),
        ("conversions.jsonl", '{"event_id": "v1", "ts": NaN}', "not_json"),
        ("conversions.jsonl", '{"event_id": "v1", "ts": "2026-11-08T00:00:00Z", "unit": {"id": 1}}', "bad_value"),
        ("conversions.jsonl", "[" * 100_000, "not_json"),
    ],
)
def test_each_reason_to_reject_an_outcome(deliver, stored, name, line, reason):
    good = {
        "clicks.csv": "event_id,ts,impression_id,unit\nc0,2026-11-08T00:00:00Z,i1,",
        "conversions.csv": "event_id,ts,unit,value\nv0,2026-11-08T00:00:00Z,user-0,9223372036854.775807",
        "conversions.jsonl": '{"event_id": "v0", "ts": "2026-11-08T00:00:00Z", "unit": 17, '
        '"value": 9223372036854.775807}',
    }[name]
    delivery = deliver(name, f"{good}\n{line}\n")
    assert (delivery.accepted, delivery.rejected) == (1, {reason: 1})
    assert [reject["line"] for reject in stored("rejects")] == [good.count("\n") + 2]
    (row,) = stored("outcomes")
    assert row["value_micros"] == (None if "clicks" in name else 2**63 - 1)


def test_bytes_that_are_no_text_cost_their_own_line(deliver, impressions, as_csv, stored):
    lines = as_csv(impressions(4)).encode().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"mosaic", b"mos\xffaic")
    lines[3] = lines[3].replace(b"mosaic", b"mos\0aic")
    delivery = deliver("impressions.csv", b"".join(lines))
    assert (delivery.accepted, delivery.rejected) == (2, {"not_utf8": 1, "nul_byte": 1})
    assert [reject["line"] for reject in stored("rejects")] == [3, 4]


def test_a_last_line_without_an_end_may_have_been_cut(deliver, impressions, as_csv, as_jsonl):
    csv = deliver("impressions.csv", as_csv(impressions(2)).removesuffix("\n"))
    assert (csv.accepted, csv.rejected) == (1, {"unterminated_line": 1})
    whole = deliver("impressions.jsonl", as_jsonl(impressions(2, first=5)).removesuffix("\n"))
    assert (whole.accepted, whole.rejected) == (2, {}), "a JSON object says itself where it ends"


def test_numbers_as_names_stay_what_was_written(deliver, stored):
    line = '{"event_id": 12345678901234567890, "ts": 1794096000, "experiment": 0, "arm": 1, "unit": 1.50}\n'
    deliver("impressions.jsonl", line)
    (row,) = stored()
    assert (row["event_id"], row["experiment"], row["arm"]) == ("12345678901234567890", "0", "1")


def test_a_unit_is_the_same_in_csv_and_json(deliver, stored, hasher):
    deliver("a-impressions.csv", "event_id,ts,experiment,arm,unit\n1,1794096000,spring,mosaic, 0042 \n")
    deliver(
        "impressions.jsonl", '{"event_id":"2","ts":1794096000,"experiment":"spring","arm":"mosaic","unit":"0042"}\n'
    )
    assert {row["unit"] for row in stored()} == {hasher.hashed("0042")}


SECRETS = ("secret-person", "192.0.2.55", "2001:db8:7:8:9:a:b:c")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_units_and_addresses_are_kept_nowhere(deliver, as_csv, as_jsonl, stored, tmp_path, form, hasher):
    unit, four, six = SECRETS
    whole = {**GOOD, "ts": "2026-11-08T00:00:00Z", "unit": unit, "ip": four, "user_mail": unit, "client_ip": six}
    troubled = [
        whole,
        whole | {"event_id": "i2", "ip": six},
        whole | {"event_id": "i3", "arm": "pencil"},
        whole | {"event_id": "i4", "ts": "never", "ip": six},
        whole | {"event_id": "i5", "ip": f"{unit} at {four}", "arm": "x"},
    ]
    text = (as_csv if form == "csv" else as_jsonl)(troubled)
    good = text.splitlines()[1]
    text += good.replace(unit, f'"{unit}"') + "\n"  # a quote too many, or what is no JSON any more
    text += good.replace(",", "", 1) + "\n" + good.replace(",", ",,", 1) + "\n" + good.replace(":", "", 1) + "\n"
    text += good.replace("T00:00:00Z", "\0") + "\n" + f'["{unit}", "{four}"]\n{unit}\n"{six}"\n{four}:{unit}\n'
    text += good[: good.index(unit) + len(unit)]
    delivery = deliver(f"impressions.{form}", text)
    assert sum(delivery.rejected.values()) >= 9
    kept = [path for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    rows = stored() + stored("outcomes") + stored("rejects")
    for secret in (*SECRETS, "2001:db8:7:8"):
        assert not [path for path in kept if secret.encode() in path.read_bytes()]
        assert secret not in repr(rows)
    assert {row["unit"] for row in stored()} == {hasher.hashed(unit)}
    assert {row["network"] for row in stored()} >= {"192.0.2.0/24", "2001:db8:7::/48"}


def test_a_rejected_line_can_be_repaired(deliver, as_csv, as_jsonl, stored, hasher):
    event = {**GOOD, "ts": "2026-11-08T00:00:00Z", "arm": "pencil", "ip": "192.0.2.55", "device": 'a "tab"'}
    deliver("impressions.jsonl", as_jsonl([event]))
    (reject,) = stored("rejects")
    for public in ('"event_id": "i9"', "2026-11-08T00:00:00Z", '"pencil"', "192.0.2.0/24", r"a \"tab\""):
        assert public in reject["text"]
    assert hasher.hashed("user-9") in reject["text"]
    repaired = deliver("impressions.csv", as_csv([event | {"arm": "mosaic"}]))
    assert repaired.accepted == 1


def test_an_endless_rejected_line_is_kept_shortened(deliver, stored, as_jsonl):
    deliver("impressions.jsonl", as_jsonl([{**GOOD, "ts": "never", "device": "ü" * 100_000}]))
    (reject,) = stored("rejects")
    assert len(reject["text"].encode()) <= 64 << 10


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:abcd:12::7", "2001:db8:abcd::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("203.0.113.009", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_addresses_are_cut_to_networks(address, network):
    assert network_of(address) == network


def test_another_key_gives_other_hashes():
    first, second = UnitHasher(b"a" * 16), UnitHasher(b"b" * 16)
    assert first.hashed("user-1") == UnitHasher(b"a" * 16).hashed("user-1") != second.hashed("user-1")
    assert len(first.hashed("user-1")) == 32


def test_a_column_is_hashed_as_its_values_are():
    hasher = UnitHasher(bytes(range(40)))
    units = ["user-1", "", "Zoë's", "\\x41\\", "x" * 500, "1" * 64, None, "user-1"]
    found = hasher.hash_column(pa.array(units, pa.string())).to_pylist()
    assert found == [None if unit is None else hasher.hashed(unit) for unit in units]
    assert hasher.hashed("user-1") == hmac.new(bytes(range(40)), b"user-1", "sha256").hexdigest()[:32]


@pytest.mark.parametrize("length", [15, 65])
def test_a_key_of_a_wrong_length_is_refused(length):
    with pytest.raises(Exception, match=f"the unit key has {length} bytes"):
        UnitHasher(b"k" * length)


def test_progress_runs_to_the_files_end(deliver, impressions, as_csv):
    seen = []
    delivery = deliver("impressions.csv", as_csv(impressions(9000)), progress=lambda done, of: seen.append((done, of)))
    assert len(seen) > 1
    assert seen[-1] == (delivery.size, delivery.size)
    assert delivery.accepted == 9000


def test_a_file_that_grows_while_it_is_read_is_refused_whole(deliver, impressions, as_csv, stored, register, tmp_path):
    def grow(_done, _of):
        with (tmp_path / "inbox" / "impressions.csv").open("a") as file:
            file.write("i1,2026-11-07T00:00:00Z,spring,mosaic,user-1\n")

    with pytest.raises(FileRefused, match=r"impressions\.csv was written to while it was read"):
        deliver("impressions.csv", as_csv(impressions(2)), progress=grow)
    assert stored() == []
    assert register == {}


@pytest.mark.parametrize("line", ['i8,x",", y', 'i8,"x"y","', 'a"",b', '",",x"', '""x,"', 'i8,x,"y'])
def test_a_quote_out_of_place_costs_its_own_line(deliver, impressions, as_csv, stored, line):
    quoted = 'i9,2026-11-08T00:00:00Z,spring,mosaic,"user ""9"""\n'
    delivery = deliver("impressions.csv", as_csv(impressions(2)) + line + "\n" + quoted + quoted.replace("i9", "i10"))
    assert (delivery.accepted, delivery.rejected) == (4, {"ragged_row": 1})
    assert [row["event_id"] for row in stored()] == ["i0", "i1", "i10", "i9"]


def test_a_packed_file_is_known_by_its_bytes_not_its_name(deliver, impressions, as_csv, stored):
    text = as_csv(impressions(3)).encode()
    first = deliver("impressions.csv", text)
    packed = deliver("impressions.csv.zst", pa.compress(text, "zstd", asbytes=True))
    assert (first.accepted, packed.duplicate, packed.read) == (3, 3, 3)
    misnamed = deliver("impressions.log", gzip.compress(as_csv(impressions(4)).encode()), "impression")
    assert (misnamed.accepted, misnamed.duplicate) == (1, 3)
    assert len(stored()) == 4


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: pa.compress(data, "zstd", asbytes=True)])
def test_a_packed_file_that_was_cut_is_refused_whole(deliver, impressions, as_csv, stored, pack):
    whole = pack(as_csv(impressions(2_000)).encode())
    for size in (len(whole) // 2, len(whole) - 1):
        with pytest.raises(FileRefused, match="cut or damaged: deliver it again"):
            deliver("impressions.log", whole[:size], "impression")
    assert stored() == []


def test_a_missing_file_is_named(ingest, tmp_path):
    with pytest.raises(FileRefused, match=r"gone\.csv cannot be read: No such file"):
        ingest(tmp_path / "gone.csv")
    with pytest.raises(FileRefused, match="cannot be read: Is a directory"):
        ingest(tmp_path)


def test_an_ingest_that_meets_another_adds_nothing_and_can_be_repeated(
    deliver, ingest, impressions, as_csv, lake, stored, tmp_path, monkeypatch
):
    def overtaken(*arguments):
        monkeypatch.setattr(Append, "commit", real)
        deliver("other-impressions.csv", as_csv(impressions(3)))
        return real(*arguments)

    real = Append.commit
    monkeypatch.setattr(Append, "commit", overtaken)
    with pytest.raises(TryLater, match="another ingest wrote to impressions"):
        deliver("impressions.csv", as_csv(impressions(5)))
    again = ingest(tmp_path / "inbox" / "impressions.csv")
    assert (again.accepted, again.duplicate) == (2, 3)
    assert len(stored()) == 5


def test_what_an_interrupted_ingest_judged_stands_and_what_it_left_is_done_later(
    deliver, ingest, impressions, as_csv, stored, register, tmp_path, now
):
    """Between the death and the repetition a day goes by, and lines from the future are none any more."""
    future, deaths = (now + timedelta(days=1, hours=2)).isoformat(), []

    class Dies(type(register)):
        def record(self, delivery):
            deaths.append(delivery)
            raise KeyboardInterrupt

    lines = as_csv([*impressions(2), *impressions(1, first=7, ts=future)])
    with pytest.raises(KeyboardInterrupt):
        deliver("impressions.csv", lines, deliveries=Dies())
    later = ingest(tmp_path / "inbox" / "impressions.csv", now=now + timedelta(days=3))
    assert (later.accepted, later.rejected) == (deaths[0].accepted, deaths[0].rejected) == (2, {"future_timestamp": 1})
    assert len(stored()) == 2
    assert len(stored("rejects")) == 1


def test_an_ingest_that_died_before_its_rejects_accounts_for_what_is_in_the_lake(
    deliver, ingest, impressions, as_csv, stored, tmp_path, now, monkeypatch
):
    future, real = (now + timedelta(days=1, hours=2)).isoformat(), Append.commit

    def dies(self, rows, delivery):
        if rows.folder.name == "rejects":
            raise KeyboardInterrupt
        real(self, rows, delivery)

    with monkeypatch.context() as patch:
        patch.setattr(Append, "commit", dies)
        with pytest.raises(KeyboardInterrupt):
            deliver("impressions.csv", as_csv([*impressions(2), *impressions(1, first=7, ts=future)]))
    later = ingest(tmp_path / "inbox" / "impressions.csv", now=now + timedelta(days=3))
    assert (later.accepted, later.duplicate, later.rejected) == (3, 0, {})
    assert [row["event_id"] for row in stored()] == ["i0", "i1", "i7"]


def test_the_lake_holds_no_file_that_is_not_its_own(deliver, impressions, as_csv, tmp_path):
    deliver("impressions.csv", as_csv(impressions(3)) + "broken\n")
    kept = {path.suffix for path in Path(tmp_path, "lake").rglob("*") if path.is_file()}
    assert kept == {".parquet", ".json"}
