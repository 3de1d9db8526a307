"""Invalid traffic: which agents and addresses are not a person's, and the lists that say so."""

import ipaddress
import json

import pytest

from experiments.core.errors import ExperimentError
from experiments.ingest.traffic import BOTS, DATA_CENTRES, Agents, Filters, Purposes, Ranges, Sizes, read_filters

PEOPLE = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Opera/9.80 (Android; Opera Mini/36.2/191.249; U; en) Presto/2.12.423 Version/12.16",
    "Dalvik/2.1.0 (Linux; U; Android 14; SM-G991B Build/UP1A.231005.007)",
    "CoffeeShop/4.2 CFNetwork/1496.0.7 Darwin/23.5.0",
    "Roku/DVP-12.5 (12.5.0.4178-88)",
    "AppleCoreMedia/1.0.0.21L580 (Apple TV; U; CPU OS 17_6 like Mac OS X; en_us)",
]
ROBOTS = [
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "curl/8.5.0",
    "python-requests/2.32",
]
PROGRAMS = ["okapi-fetch 1.0", "MyLoadTest", "-"]


@pytest.fixture
def filters(tmp_path):
    """What is read of a folder with these files."""

    def filters(**texts):
        folder = tmp_path / "filters"
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            (folder / {"bots": BOTS, "ranges": DATA_CENTRES}[name]).write_text(text, encoding="utf-8")
        return read_filters(folder)

    return filters


@pytest.mark.parametrize(
    ("agents", "rule"), [(PEOPLE, None), (ROBOTS, "declared_bot"), (PROGRAMS, "not_a_browser")], ids=str
)
def test_agents_are_told_apart(agents, rule):
    told = Agents(Filters.shipped().declared)
    assert {agent: told[agent] for agent in agents} == dict.fromkeys(agents, rule)


def test_without_files_the_shipped_list_counts_and_no_address_is_a_data_centres(tmp_path):
    found = read_filters(tmp_path / "nowhere")
    assert found.declared is Filters.shipped().declared
    assert not found.data_centres


def test_ranges_hold_their_ends_and_nothing_beside_them(filters):
    ranges = filters(
        ranges="# ours\n198.51.100.0/25\n198.51.100.128/25  # the other half\n198.51.100.64/26\n\n2001:db8::/33\n"
    ).data_centres
    inside = ["198.51.100.0", "198.51.100.255", "::ffff:198.51.100.7", "2001:db8::", "2001:db8:7fff:ffff::1"]
    outside = ["198.51.99.255", "198.51.101.0", "2001:db8:8000::", "2001:db7::1", "::c633:6407", "nowhere", ""]
    assert [address in ranges for address in inside] == [True] * len(inside)
    assert [address in ranges for address in outside] == [False] * len(outside)
    assert "198.51.100.1" not in Ranges()


def test_events_are_marked_by_the_first_rule_that_fits_and_kept(deliver, impressions, as_jsonl, stored, filters):
    found = filters(ranges="203.0.113.0/24\n")
    person, robot, program = PEOPLE[0], ROBOTS[0], PROGRAMS[0]
    sent = [
        {"user_agent": person, "ip": "192.0.2.1"},
        {"user_agent": person, "ip": "203.0.113.9"},
        {"user_agent": robot, "ip": "203.0.113.9"},
        {"user_agent": program, "ip": ""},
        {"user_agent": "", "ip": ""},
        {"user_agent": "", "ip": "203.0.113.8"},
    ]
    events = [event | seen for event, seen in zip(impressions(len(sent)), sent, strict=True)]
    assert deliver("impressions.jsonl", as_jsonl(events), filters=found).accepted == len(sent)
    rules = [None, "data_centre", "declared_bot", "not_a_browser", None, "data_centre"]
    assert [row["invalid"] for row in stored()] == rules
    assert {row["network"] for row in stored()} == {"192.0.2.0/24", "203.0.113.0/24", None}


@pytest.mark.parametrize(
    ("purposes", "rule"),
    [
        (["prefetch", "prefetch;prerender", "prefetch; anonymous-client-ip", "PREFETCH", "prerender"], "prefetch"),
        (["preview", "preview, instant", "prefetch;prerender;preview"], "prefetch"),
        (["", "-", "navigate", "prefetched", "prefetching-page", "no-prefetch", "previewer"], None),
    ],
    ids=str,
)
def test_purposes_are_told_apart(purposes, rule):
    told = Purposes()
    assert {purpose: told[purpose] for purpose in purposes} == dict.fromkeys(purposes, rule)


@pytest.mark.parametrize(
    ("sizes", "rule"),
    [
        (["0x0", "0x250", "300x0", "0 x 0", "0X0", "00x90", "0×600"], "zero_size"),
        (["1x1", "300x250", "10x10", "100x90", "fluid", "native", "pixel-0x0", "0x0-tracking", "0", "x", ""], None),
        (["0x" + "0" * 5000, "٠x٠"], None),
    ],
    ids=["nothing to see", "sizes and names", "no sizes"],
)
def test_slots_are_told_apart_by_their_size_alone(sizes, rule):
    told = Sizes()
    assert {size: told[size] for size in sizes} == dict.fromkeys(sizes, rule)


def test_the_first_rule_that_fits_counts_and_whatever_fits_is_kept(deliver, impressions, as_jsonl, stored, filters):
    found = filters(ranges="203.0.113.0/24\n")
    reasons = [
        ("user_agent", ROBOTS[1], PEOPLE[1], "declared_bot"),
        ("ip", "203.0.113.9", "192.0.2.1", "data_centre"),
        ("purpose", "prefetch;prerender", "", "prefetch"),
        ("slot", "0x0", "300x250", "zero_size"),
    ]
    events, rules = impressions(2 ** len(reasons)), []
    for number, event in enumerate(events):
        fits = [bool(number >> place & 1) for place in range(len(reasons))]
        event |= {name: bad if fit else good for fit, (name, bad, good, _) in zip(fits, reasons, strict=True)}
        rules.append(next((rule for fit, (*_, rule) in zip(fits, reasons, strict=True) if fit), None))
    assert deliver("impressions.jsonl", as_jsonl(events), filters=found).accepted == len(events)
    told = {row["event_id"]: row["invalid"] for row in stored()}
    assert told == {event["event_id"]: rule for event, rule in zip(events, rules, strict=True)}
    assert set(rules) == {None, *(rule for *_, rule in reasons)}


def test_a_click_that_was_fetched_in_advance_is_marked(deliver, stored):
    header, at = "Event-ID,ts,impression_id,Purpose\n", "2026-11-07T06:00:00Z"
    assert deliver("clicks.csv", f"{header}c1,{at},i1,prefetch\nc2,{at},i2,\n").accepted == 2
    assert [row["invalid"] for row in stored("outcomes")] == ["prefetch", None]


def test_a_newer_list_of_robots_takes_the_shipped_ones_place(filters):
    told = Agents(filters(bots=json.dumps([{"pattern": "Shopbot\\/", "url": "https://example.org"}])).declared)
    assert told["Mozilla/5.0 (compatible; Shopbot/3.1)"] == "declared_bot"
    assert told[ROBOTS[0]] is None


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"ranges": "198.51.100.0/24\n198.51.100.7/24\n"}, r"data_centres\.txt:2: .*host bits set"),
        ({"ranges": "example.org\n"}, r"data_centres\.txt:1: .*ranges look like"),
        ({"bots": "{"}, r"bots\.json is no JSON"),
        ({"bots": "7"}, r"bots\.json is no list of robots"),
        ({"bots": "[]"}, r"bots\.json is no list of robots"),
        ({"bots": '[{"patern": "x"}]'}, r"bots\.json is no list of robots"),
        ({"bots": '[{"pattern": "(x"}]'}, r"bots\.json: '\(x' is no regular expression"),
    ],
)
def test_a_list_that_is_none_is_refused_with_its_place(filters, files, says):
    with pytest.raises(ExperimentError, match=says):
        filters(**files)


@pytest.mark.parametrize("name", ["bots.json", "data_centres.txt"])
def test_a_list_that_cannot_be_read_is_not_taken_for_none(tmp_path, name):
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(ExperimentError, match=rf"{name} cannot be read \(No such file or directory\): mend it"):
        read_filters(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(ExperimentError, match=rf"{name} cannot be read \(Is a directory\): mend it"):
        read_filters(tmp_path)


def test_an_address_that_was_cut_is_a_data_centres_where_all_of_its_network_is():
    ranges = Ranges(map(ipaddress.ip_network, ("198.51.100.0/23", "203.0.113.0/25", "2001:db8::/32")))
    assert "198.51.101.0/24" in ranges
    assert "203.0.113.0/24" not in ranges, "half of it is"
    assert "203.0.113.9" in ranges
    assert "2001:db8:7::/48" in ranges
