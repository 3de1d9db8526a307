"""Rejected lines made files again, repaired, and judged again: the lake ends as if they had been good at first."""

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from experiments.core.errors import ExperimentError
from experiments.events.append import Append
from experiments.events.lake import EventLake
from experiments.events.schema import REJECTS
from experiments.ingest.feed import feeds
from experiments.ingest.files import ingest_file
from experiments.ingest.layout import Mapped
from experiments.ingest.log import FileRefused
from experiments.ingest.rejected import counted, export
from experiments.ingest.replay import replay_rejects

ARMS = {"spring": frozenset({"original", "mosaic"}), "0": frozenset({"original", "1"})}
MORE_ARMS = {**ARMS, "autumn": frozenset({"original", "mosaic"})}
UNITS = ["ann@example.org", "Zoë, the 2nd", ' "quoted" ', "\N{NO-BREAK SPACE}bo", "0x00", "user-6"]
ADDRESSES = ["203.0.113.77", "2001:db8:7:8:9:a:b:c", "::ffff:198.51.100.3", "nowhere", "", "192.0.2.200"]
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
NOON = 1_794_139_200_000_000
"""2026-11-08 12:00 UTC in microseconds."""
MEANT = {
    "renderingid": {"101": ("spring", "original"), "102": ("spring", "mosaic")},
    "creativeid": {"101": ("spring", "original"), "102": ("spring", "mosaic")},
}
MEANT_MORE = {
    **MEANT, "adid": {"7": ("spring", "mosaic")}, "lineitemid": {"7": ("spring", "mosaic")},
}  # fmt: skip
UNKNOWN = {"unknown_experiment", "unknown_creative"}


def as_csv(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def own_rows(now):
    """Two good ones, two of an experiment that is not started yet, one from the future, one of no experiment at all."""
    experiments = ["spring", "spring", "autumn", "autumn", "spring", "winter"]
    for number, (unit, address, experiment) in enumerate(zip(UNITS, ADDRESSES, experiments, strict=True)):
        late = timedelta(days=2) if number == 4 else timedelta(days=-1, seconds=number)
        yield {
            "event_id": f"i{number}", "ts": (now + late).isoformat(), "experiment": experiment, "arm": "mosaic",
            "unit": unit, "device": 'a "tab", new', "propensity": 0.5, "user_agent": AGENT, "ip": address,
            "user_mail": unit,
        }  # fmt: skip


def cm360_rows(now):
    for number, unit in enumerate(UNITS):
        late = 2 * 86_400_000_000 if number == 4 else 0
        rendering, ad = (("101", "9"), ("102", "9"), ("999", "7"), ("999", "7"), ("102", "9"), ("998", "8"))[number]
        yield {
            "Event Time": NOON + number + late, "User ID": "0" if number == 1 else unit, "Partner 1 ID": unit,
            "Rendering ID": rendering, "Ad ID": ad, "Placement ID": "55", "Country Code": "NO",
            "Impression ID": f"imp-{number}", "Advertiser": unit,
        }  # fmt: skip


def gam_rows(now):
    for number, unit in enumerate(UNITS):
        late = 2 * 86_400_000_000 if number == 4 else 0
        creative, line = (("101", "9"), ("102", "9"), ("999", "7"), ("999", "7"), ("102", "9"), ("998", "8"))[number]
        yield {
            "TimeUsec2": NOON + number + late, "PublisherProvidedId": "" if number == 2 else unit, "UserId": unit,
            "CreativeId": creative, "LineItemId": line, "AdUnitId": "77", "ImpressionId": f"i{number}", "KeyPart": "1",
        }  # fmt: skip


FORMS = {
    "impressions.csv": (own_rows, None),
    "impressions.jsonl": (own_rows, None),
    "dcm_account1234_impression_2026110812_20261108_140000_1.csv.gz": (cm360_rows, "cm360"),
    "NetworkImpressions_4321_20261108_12.gz": (gam_rows, "gam"),
}


@pytest.fixture(params=FORMS)
def feed_and_file(request, now):
    """A file of each form, as name, text and feed."""
    rows, feed = FORMS[request.param]
    made = list(rows(now))
    text = "".join(json.dumps(row) + "\n" for row in made) if "jsonl" in request.param else as_csv(made)
    return request.param, text, feeds()[feed] if feed else None


@pytest.fixture
def events():
    """What a lake holds, but for where each event came from."""

    def events(lake):
        rows = lake.dataset("impressions").to_table().drop_columns(["line", "delivery", "delivered_at"]).to_pylist()
        return sorted(rows, key=lambda row: row["event_id"])

    return events


@pytest.fixture
def from_the_start(feed_and_file, hasher, register, now, tmp_path, events):
    """The events, had all been known, and had it been later, when the file came."""

    def from_the_start(arms=MORE_ARMS, meant=MEANT_MORE, later=timedelta(days=5)):
        name, text, feed = feed_and_file
        lake, path = EventLake(tmp_path / "elsewhere"), tmp_path / "inbox" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        ingest_file(
            path, lake=lake, deliveries=type(register)(), hasher=hasher, arms=arms, now=now + later, feed=feed,
            trafficking=meant if feed else None,
        )  # fmt: skip
        return events(lake)

    return from_the_start


@pytest.fixture
def rejected_at_first(feed_and_file, deliver):
    """The file, when less was known."""
    name, text, feed = feed_and_file
    delivery = deliver(name, text, feed=feed, trafficking=MEANT if feed else None)
    assert delivery.accepted == 2
    assert sum(delivery.rejected.values()) == 4
    return delivery


@pytest.fixture
def judge(lake, register, hasher, now):
    """All that is kept, judged again."""

    def judge(reason=None, later=timedelta(0), **changed):
        settings = {"lake": lake, "deliveries": register, "hasher": hasher, "arms": MORE_ARMS, **changed}
        done = []
        for origin in dict.fromkeys(origin for origin, _ in counted(settings["lake"], reason)):
            feed = feeds().get(origin.feed)
            mapped = times = None
            if feed:
                (file,) = feed.kinds(origin.name, origin.kind)
                times = file.times
                mapped = Mapped.of([file], 0, MEANT_MORE, origin.delivery, hasher, origin.feed)
            done.append(replay_rejects(origin, reason, mapped=mapped, times=times, now=now + later, **settings))
        return done

    return judge


def test_judged_again_the_lake_is_as_if_all_had_been_known_at_first(
    rejected_at_first, judge, lake, events, from_the_start, stored, register
):
    (first,) = judge()
    assert (first.tried, first.accepted, first.duplicate, sum(first.rejected.values())) == (4, 2, 0, 2)
    assert first.rejected.keys() - UNKNOWN == {"future_timestamp"}
    (second,) = judge(later=timedelta(days=5))
    assert (second.tried, second.accepted) == (2, 1)
    assert events(lake) == from_the_start()
    assert [row["reason"] for row in stored("rejects")] == list(second.rejected)
    told = [each for each in register.values() if each.rejects_of]
    assert [(each.name, each.rejects_of, each.read, each.accepted, sum(each.rejected.values())) for each in told] == [
        (rejected_at_first.name, rejected_at_first.sha256, 4, 2, 2),
        (rejected_at_first.name, rejected_at_first.sha256, 2, 1, 1),
    ]


def test_what_is_still_bad_stays_and_nothing_grows(rejected_at_first, judge, lake, stored, register):
    judge()
    versions, rejects, accounts = lake.versions(), stored("rejects"), dict(register)
    for _ in range(2):
        (again,) = judge()
        assert (again.tried, again.accepted, again.delivery) == (2, 0, None)
    assert (lake.versions(), stored("rejects"), dict(register)) == (versions, rejects, accounts)


def test_exported_and_repaired_the_lake_is_as_if_all_had_been_good(
    rejected_at_first, feed_and_file, deliver, lake, register, hasher, events, tmp_path, now
):
    """Whoever repairs them sees hashes; a unit that came in a good line and in a repaired one is the same."""
    name, text, feed = feed_and_file
    (file,) = export(lake, hasher, tmp_path / "out")
    assert (file.lines, file.left) == (4, {})
    lines = file.path.read_text(encoding="utf-8").splitlines()
    assert file.path.name == f"{name}.rejects.{'jsonl' if 'jsonl' in name else 'csv'}"
    repairs = {
        "autumn": "spring", "winter": "spring", "999": "102", "998": "102",
        (now + timedelta(days=2)).isoformat(): (now - timedelta(days=2)).isoformat(),
        str(NOON + 4 + 2 * 86_400_000_000): str(NOON + 4),
    }  # fmt: skip
    good = text
    for wrong, right in repairs.items():
        lines = [line.replace(wrong, right) for line in lines]
        good = good.replace(wrong, right)
    settings = {"feed": feed, "trafficking": MEANT if feed else None}
    repaired = deliver(file.path.name, "".join(f"{line}\n" for line in lines), **settings)
    assert (repaired.accepted, repaired.duplicate, repaired.rejected) == (4, 0, {})
    assert repaired.slot is None, "it is no new edition of its hour"
    elsewhere = EventLake(tmp_path / "elsewhere")
    deliver(name, good, lake=elsewhere, deliveries=type(register)(), **settings)
    assert events(lake) == events(elsewhere)
    assert len(events(lake)) == 6
    for path in [*Path(lake.root).rglob("*"), file.path]:
        for secret in ("ann@", "Zoë", "2nd", "quoted", "\N{NO-BREAK SPACE}bo", "user-6", "203.0.113.77", "8:9:a:b"):
            assert not (path.is_file() and secret.encode() in path.read_bytes()), (path, secret)


def test_masked_columns_are_named_and_others_are_not(rejected_at_first, feed_and_file, lake, hasher, tmp_path):
    (file,) = export(lake, hasher, tmp_path / "out")
    first = file.path.read_text(encoding="utf-8").splitlines()[0]
    if feed_and_file[0].endswith(".jsonl"):
        assert list(json.loads(first)) == [
            "reject_reason", "event_id", "ts", "experiment", "arm", "unit (hashed)", "device", "propensity",
            "user_agent", "ip (hashed)",
        ]  # fmt: skip
        return
    names = first.split(",")
    assert names[0] == "reject_reason"
    assert {name for name in names if name.endswith(" (hashed)")} == {
        "impressions.csv": {"unit (hashed)", "ip (hashed)"},
        "dcm_ac": {"User ID (hashed)", "Partner 1 ID (hashed)"},
        "Networ": {"PublisherProvidedId (hashed)", "UserId (hashed)"},
    }.get(feed_and_file[0] if feed_and_file[2] is None else feed_and_file[0][:6])


def dies_at(monkeypatch, register, fatal):
    """Ends the call at that write of all, before or after it."""
    steps = iter(range(1, 1000))

    def step():
        if next(steps) == fatal:
            raise KeyboardInterrupt

    def counted_call(function):
        def call(*arguments):
            step()
            result = function(*arguments)
            step()
            return result

        return call

    monkeypatch.setattr(Append, "commit", counted_call(Append.commit))
    for name in ("record", "claim"):
        monkeypatch.setattr(type(register), name, counted_call(getattr(type(register), name)))


def test_killed_at_any_write_the_same_replay_again_ends_the_same(
    rejected_at_first, feed_and_file, judge, lake, register, events, stored, monkeypatch, tmp_path, hasher, now
):
    """Beside a lake in which nobody was killed."""
    name, _, feed = feed_and_file
    other, elsewhere = type(register)(), EventLake(tmp_path / "undisturbed")
    settings = {"feed": feed, "trafficking": MEANT if feed else None, "hasher": hasher, "arms": ARMS, "now": now}
    ingest_file(tmp_path / "inbox" / name, lake=elsewhere, deliveries=other, **settings)
    judge(lake=elsewhere, deliveries=other)
    deaths = 0
    while True:
        with monkeypatch.context() as patch:
            dies_at(patch, register, deaths + 1)
            try:
                judge()
            except KeyboardInterrupt:
                deaths += 1
                continue
            break
    judge()
    assert deaths >= 4, "before events, and after events, account and rejects"
    assert events(lake) == events(elsewhere)
    there = elsewhere.dataset("rejects").to_table().to_pylist()
    assert stored("rejects") == sorted(there, key=lambda row: row["line"])
    accounts = [
        [(each.accepted, each.duplicate, each.rejected, each.rejects_of) for each in of.values()]
        for of in (register, other)
    ]
    assert accounts[0] == accounts[1]


def test_what_was_entered_before_a_death_stands_and_what_became_good_since_waits(
    rejected_at_first, judge, lake, register, stored, monkeypatch
):
    def dies(self, delivery):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(register), "record", dies)
        with pytest.raises(KeyboardInterrupt):
            judge()
    (found,) = judge(later=timedelta(days=5))
    assert (found.accepted, sum(found.rejected.values())) == (2, 2), "as it was judged before the death"
    (last,) = judge(later=timedelta(days=5))
    assert last.accepted == 1
    assert len(stored()) == 5


def test_only_the_reason_that_is_asked_for_is_judged(rejected_at_first, judge, stored, register):
    (found,) = judge("future_timestamp", later=timedelta(days=5))
    assert (found.tried, found.accepted) == (1, 1)
    assert len(stored("rejects")) == 3
    (told,) = (each for each in register.values() if each.rejects_of)
    assert (told.read, sum(told.rejected.values())) == (4, 3), "its account is of all that is kept of the file"


def test_a_kept_line_that_came_repaired_meanwhile_is_a_duplicate(deliver, judge, as_csv, impressions, stored):
    deliver("impressions.csv", as_csv([*impressions(2), *impressions(2, first=7, experiment="autumn")]))
    deliver("again.csv", as_csv(impressions(1, first=7, experiment="spring")), "impression")
    (found,) = judge()
    assert (found.accepted, found.duplicate) == (1, 1)
    assert stored("rejects") == []
    assert len(stored()) == 4


def test_rejects_of_other_files_stay(deliver, judge, as_csv, impressions, stored, lake, register, hasher, now):
    deliver("impressions-a.csv", as_csv(impressions(1, experiment="autumn")) + "broken\n")
    deliver("impressions-b.csv", as_csv(impressions(1, first=5, experiment="autumn")) + "broken\n")
    (origin, *_) = (origin for origin, _ in counted(lake, "unknown_experiment"))
    replay_rejects(origin, lake=lake, deliveries=register, hasher=hasher, arms=MORE_ARMS, now=now)
    assert Counter((row["name"], row["reason"]) for row in stored("rejects")) == {
        ("impressions-a.csv", "ragged_row"): 1, ("impressions-b.csv", "ragged_row"): 1,
        ("impressions-b.csv", "unknown_experiment"): 1,
    }  # fmt: skip


def test_a_replay_in_an_object_store(deliver, judge, as_csv, impressions, tmp_path):
    elsewhere = EventLake(f"file://{tmp_path}/store")
    text = as_csv([*impressions(1), *impressions(2, first=7, experiment="autumn")]) + "broken\n"
    deliver("impressions.csv", text, lake=elsewhere)
    deliver("impressions-2.csv", as_csv(impressions(1, first=9)) + "broken\n", lake=elsewhere)
    from_there = [origin for origin, _ in counted(elsewhere, "unknown_experiment")]
    assert len(from_there) == 1
    found = [each for each in judge(lake=elsewhere) if each.tried]
    assert [each.accepted for each in found] == [2]
    assert sorted(row["event_id"] for row in elsewhere.dataset("impressions").to_table().to_pylist()) == [
        "i0", "i7", "i8", "i9"
    ]  # fmt: skip
    assert {row["reason"] for row in elsewhere.dataset("rejects").to_table().to_pylist()} == {"ragged_row"}
    assert elsewhere.dataset("rejects").count_rows() == 2


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("impressions.csv", "i9,2026-11-08T00:00:00Z,autumn,mosaic", "values_not_told_apart"),
        ("impressions.csv", 'i9,"2026-11-08T00:00:00Z,autumn,mosaic,user-9', "values_not_told_apart"),
        ("impressions.csv", b"i9,2026-11-08T00:00:00Z,spring,mos\xffaic,user-9", "broken_text"),
        ("impressions.csv", b"i9,2026-11-08T00:00:00Z,spring,mos\0aic,user-9", "broken_text"),
        ("impressions.jsonl", '{"event_id": "i9", "unit": "user-9", "ts": NaN}', "values_not_told_apart"),
        ("impressions.jsonl", '{"event_id": "i9", "unit": "user-9", "arm": "\\ud800"}', "values_not_told_apart"),
        ("impressions.jsonl", '{"event_id": "i9", "unit": "user-9", "device": "' + "x" * 70_000 + '"}', "shortened"),
    ],
)
def test_what_cannot_be_judged_again_is_left_and_said(
    deliver, judge, as_csv, as_jsonl, impressions, stored, lake, hasher, tmp_path, name, line, reason
):
    text = (as_csv if name.endswith("csv") else as_jsonl)(impressions(1)).encode()
    deliver(name, text + (line if isinstance(line, bytes) else line.encode()) + b"\n")
    before = stored("rejects")
    (found,) = judge()
    assert (found.tried, found.left) == (0, {reason: 1})
    assert stored("rejects") == before
    (file,) = export(lake, hasher, tmp_path / "out")
    if reason == "broken_text":
        assert (file.lines, file.left) == (1, {}), "a person may look at it"
    else:
        assert (file.path, file.lines, file.left) == (None, 0, {reason: 1})
        assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("value", ["a\rb", "\r", 'say "a",\r'])
def test_a_carriage_return_within_a_value_does_not_keep_a_line_from_being_judged_again(deliver, judge, stored, value):
    quoted = '"' + value.replace('"', '""') + '"'
    row = f"r1,2026-11-08T12:00:00Z,autumn,original,u1,{quoted}\n"
    deliver("impressions.csv", "event_id,ts,experiment,arm,unit,placement\n" + row)
    (found,) = judge(arms={"autumn": frozenset({"original"})})
    assert (found.accepted, found.left) == (1, {})
    assert [each["placement"] for each in stored()] == [value.strip() or None]


def test_a_line_cut_off_at_the_files_end_is_left(deliver, judge, as_csv, impressions, stored):
    """Its unit may have been longer."""
    deliver("impressions.csv", as_csv(impressions(2)).removesuffix("\n"))
    (found,) = judge()
    assert found.left == {"cut_off": 1}
    assert len(stored()) == 1


@pytest.mark.parametrize("value", ["%%USER_ID%%", "${USER}", ""])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_was_no_unit_becomes_none_by_being_kept(
    deliver, judge, as_csv, as_jsonl, impressions, stored, form, value
):
    rows = [*impressions(1), *impressions(1, first=7, unit=value)]
    deliver(f"impressions.{form}", (as_csv if form == "csv" else as_jsonl)(rows))
    (reject,) = stored("rejects")
    (found,) = judge()
    assert (found.tried, found.accepted, found.rejected) == (1, 0, {reject["reason"]: 1})
    assert value == "" or value not in reject["text"]


def test_nothing_in_json_becomes_something_by_being_kept(deliver, judge, as_jsonl, impressions, stored):
    changes = [{"unit": {"id": 7}}, {"unit": True}, {"device": ["x"]}, {"experiment": False}]
    deliver("impressions.jsonl", as_jsonl([{**impressions(1, first=n)[0], **each} for n, each in enumerate(changes)]))
    (found,) = judge()
    assert (found.accepted, found.rejected) == (0, {"bad_value": 4})
    missing = [{key: value for key, value in impressions(1)[0].items() if key != "unit"} | {"unit": None}]
    deliver("impressions-2.jsonl", as_jsonl([*impressions(1, first=20), *missing]))
    assert [each.rejected for each in judge()] == [{"missing_unit": 1}, {"bad_value": 4}]


def test_values_that_stand_for_none_stay_none(deliver, judge, stored, lake):
    """CM360 writes 0 where it knows nobody: hashed, it would be one unit that saw everything."""
    rows = [{**row, "User ID": "0", "Partner 1 ID": "0"} for row in cm360_rows(None)][:2]
    rows[1] |= {"Rendering ID": "999", "Ad ID": "7"}
    settings = {"feed": feeds()["cm360"], "trafficking": MEANT}
    delivery = deliver("dcm_account1_impression_2026110812_20261108_140000_1.csv", as_csv(rows), **settings)
    assert delivery.rejected == {"missing_unit": 1, "unknown_creative": 1}
    (found,) = judge()
    assert found.rejected == {"missing_unit": 2}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_hash_that_is_none_is_rejected_and_kept_nowhere(deliver, judge, as_csv, as_jsonl, impressions, stored, form):
    rows = [
        {("unit (hashed)" if key == "unit" else key): value for key, value in row.items()} for row in impressions(3)
    ]
    rows[0]["unit (hashed)"], rows[1]["unit (hashed)"] = "AB" * 16, "ab" * 16
    delivery = deliver(f"impressions.{form}", (as_csv if form == "csv" else as_jsonl)(rows))
    assert (delivery.accepted, delivery.rejected) == (2, {"bad_hash": 1})
    assert {row["unit"] for row in stored()} == {"ab" * 16}
    assert "user-2" not in repr(stored("rejects"))
    (found,) = judge()
    assert found.rejected == {"bad_hash": 1}, "it is not a hash because its own hash was kept"


def test_units_both_hashed_and_not(deliver, as_jsonl, impressions, stored, hasher):
    rows = impressions(2)
    rows[1]["Unit (Hashed)"] = hasher.hashed(rows[1].pop("unit"))
    assert deliver("impressions.jsonl", as_jsonl(rows)).accepted == 2, "each line says for itself"
    assert [row["unit"] for row in stored()] == [hasher.hashed("user-0"), hasher.hashed("user-1")]
    both = impressions(1, first=5)[0] | {"unit (hashed)": "ab" * 16}
    assert deliver("impressions-2.jsonl", as_jsonl([both])).rejected == {"ragged_row": 1}
    with pytest.raises(FileRefused, match="has unit more than once"):
        deliver("impressions.csv", "event_id,ts,experiment,arm,unit,unit (hashed)\n")
    header = "Event Time,User ID (hashed),Partner 1 ID,Rendering ID,Impression ID\n"
    with pytest.raises(FileRefused, match=r"units both hashed and not \(Partner 1 ID\): deliver two files"):
        deliver("dcm_account1_impression_1.csv", header, feed=feeds()["cm360"], trafficking=MEANT)


def test_an_address_that_was_cut_stays_cut(deliver, as_csv, impressions, stored):
    rows = [{**row, "ip (hashed)": ip} for row, ip in zip(
        impressions(4), ["203.0.113.0/24", "2001:db8:7::/48", "203.0.113.9", "ab" * 16], strict=True
    )]  # fmt: skip
    deliver("impressions.csv", as_csv(rows))
    assert [row["network"] for row in stored()] == ["203.0.113.0/24", "2001:db8:7::/48", "203.0.113.0/24", None]


def test_a_file_that_is_there_is_not_written_over_and_none_is_written(
    deliver, as_csv, impressions, lake, hasher, tmp_path
):
    for name in ("impressions-a.csv", "impressions-b.csv"):
        deliver(name, as_csv(impressions(1, experiment=name)))
    out = tmp_path / "out"
    out.mkdir()
    (out / "impressions-b.csv.rejects.csv").write_text("half repaired")
    with pytest.raises(ExperimentError, match=r"impressions-b\.csv\.rejects\.csv is there already"):
        export(lake, hasher, out)
    assert [path.name for path in out.iterdir()] == ["impressions-b.csv.rejects.csv"]


def test_files_of_one_name_are_written_apart(deliver, as_csv, impressions, lake, hasher, tmp_path):
    first = deliver("impressions.csv", as_csv(impressions(1, experiment="autumn")))
    second = deliver("impressions.csv", as_csv(impressions(2, experiment="autumn")))
    done = export(lake, hasher, tmp_path / "out")
    assert {each.path.name for each in done} == {
        f"impressions.csv.{each.sha256[:8]}.impression.rejects.csv" for each in (first, second)
    }


def test_rejects_of_rejects_have_one_reason_column(deliver, as_csv, impressions, lake, hasher, tmp_path):
    deliver("impressions.csv", as_csv(impressions(1, experiment="autumn")))
    (file,) = export(lake, hasher, tmp_path / "out")
    deliver(file.path.name, file.path.read_text().replace("autumn", "winter"))
    _, again = export(lake, hasher, tmp_path / "more")
    assert again.path.read_text().splitlines()[0] == ("reject_reason,event_id,ts,experiment,arm,unit (hashed)")


def test_when_an_hour_is_replaced_what_was_taken_from_its_rejects_goes_too(deliver, judge, stored, register, now):
    rows = list(cm360_rows(now))
    settings = {"feed": feeds()["cm360"], "trafficking": MEANT}
    deliver("dcm_account1_impression_2026110812_20261108_140000_1.csv", as_csv(rows), **settings)
    judge()
    assert len(stored()) == 4
    deliver("dcm_account1_impression_2026110812_20261108_150000_2.csv", as_csv(rows[:1]), **settings)
    assert [row["event_id"] for row in stored()] == ["imp-0"]
    assert stored("rejects") == []


def test_rejects_of_an_ingest_that_died_are_not_judged(
    deliver, as_csv, impressions, lake, register, hasher, now, monkeypatch
):
    def dies(self, delivery):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(register), "record", dies)
        with pytest.raises(KeyboardInterrupt):
            deliver("impressions.csv", as_csv(impressions(2, experiment="autumn")))
    ((origin, _),) = counted(lake)
    with pytest.raises(FileRefused, match="was not ingested to its end"):
        replay_rejects(origin, lake=lake, deliveries=register, hasher=hasher, arms=MORE_ARMS, now=now)


def test_rejects_from_before_headers_were_kept_are_left(
    deliver, judge, as_csv, impressions, lake, hasher, stored, tmp_path
):
    deliver("impressions.csv", as_csv(impressions(1, experiment="autumn")))
    ((origin, _),) = counted(lake)
    old = replace(origin, header=None)
    handle = lake.begin("rejects", {origin.delivery})
    rows = [{**row, "header": None} for row in stored("rejects")]
    handle.commit(pa.Table.from_pylist(rows, schema=REJECTS), "an older version")
    assert next(iter(counted(lake)))[0] == old
    (found,) = judge()
    assert found.left == {"columns_not_kept": 1}
    (file,) = export(lake, hasher, tmp_path / "out")
    assert (file.path, file.left) == (None, {"columns_not_kept": 1})
