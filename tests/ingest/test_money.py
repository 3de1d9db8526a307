"""Money in the reporting currency: the arithmetic against fractions, the file of rates, and lines that have none."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.core.errors import ExperimentError
from experiments.ingest.money import Rates, read_rates
from experiments.workspace import SETTINGS_TEXT, create_workspace, open_workspace

EPOCH = date(1970, 1, 1)
LARGEST = 2**63 - 1


def whole(exact):
    """The nearest whole number, of two the even one: Python's own rule for fractions."""
    return round(exact)


rates = st.decimals("0.000000000001", "999999999999", places=12, allow_nan=False).filter(lambda rate: rate > 0)
days = st.integers(-400, 30_000)
tables = st.dictionaries(
    st.sampled_from(["SEK", "USD", "JPY"]), st.dictionaries(days, rates, min_size=1, max_size=4), max_size=3
)
amounts = st.none() | st.integers(-LARGEST, LARGEST) | st.integers(-(10**9), 10**9)
payments = st.lists(st.tuples(amounts, st.sampled_from([None, "EUR", "SEK", "USD", "JPY", "XXX"]), days), max_size=30)


@settings(deadline=None, max_examples=200)
@given(tables, payments)
def test_amounts_are_converted_as_fractions_say(table, paid):
    known = {name: tuple(zip(*sorted(each.items()), strict=True)) for name, each in table.items()}
    micros, currencies, on = zip(*paid, strict=True) if paid else ((), (), ())
    found = Rates("EUR", known).convert(
        pa.array(micros, pa.int64()), pa.array(currencies, pa.string()), np.array(on, np.int64)
    )
    for row, (amount, currency, day) in enumerate(paid):
        reasons = [reason for reason, where in found.reasons.items() if where[row]]
        if amount is None or currency in (None, "EUR"):
            assert (found.micros[row].as_py(), reasons) == (amount, [])
            continue
        since = [begin for begin in table.get(currency, ()) if begin <= day]
        if not since:
            assert reasons == [f"no_rate:{currency}"]
            continue
        exact = Fraction(amount) * Fraction(table[currency][max(since)])
        if abs(whole(exact)) > LARGEST:
            assert reasons == ["bad_value"]
        else:
            assert (found.micros[row].as_py(), reasons) == (whole(exact), [])


def test_halves_go_to_the_even_millionth():
    half = Rates("EUR", {"SEK": ((0,), (Decimal("0.5"),))})
    found = half.convert(pa.array([1, 3, 5, -1, -3]), pa.array(["SEK"] * 5), np.zeros(5, np.int64))
    assert found.micros.to_pylist() == [0, 2, 2, 0, -2]


@pytest.fixture
def table(tmp_path):
    """A file of rates of these lines."""

    def table(*lines, header="currency,from,rate"):
        path = tmp_path / "rates.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    return table


def test_a_rate_is_in_force_from_its_day_on_whatever_the_order_of_lines(table):
    found = read_rates(table("sek,2026-02-01,0.09", "", "SEK,2026-01-01,0.088", "USD,2026-01-01,0.9"), "EUR")
    january, february = ((date(2026, month, 1) - EPOCH).days for month in (1, 2))
    assert [found.at("SEK", january + day) for day in (-1, 0, 30, 31, 400)] == [
        None, Decimal("0.088"), Decimal("0.088"), Decimal("0.09"), Decimal("0.09"),
    ]  # fmt: skip
    assert (found.at("EUR", 0), found.at("GBP", february)) == (1, None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("SEK,2026-01-01", r"rates\.csv:3: has 2 values"),
        ("SEK,2026-01-01,0,088", r"rates\.csv:3: has 4 values"),
        ("kronor,2026-01-01,0.088", r"rates\.csv:3: 'kronor' is no currency"),
        ("SEK,1.1.2026,0.088", r"rates\.csv:3: '1\.1\.2026' is no date: write it as 2026-01-31"),
        ("SEK,2026-02-30,0.088", r"rates\.csv:3: '2026-02-30' is no date"),
        ("SEK,2026-01-01,0", r"rates\.csv:3: '0' is no rate"),
        ('"SEK,2026-01-01,' + "1" * 140_000, r"rates\.csv:3: field larger than field limit .*: is a quote left open\?"),
        ("SEK,2026-01-01,-1", r"rates\.csv:3: '-1' is no rate"),
        ("SEK,2026-01-01,1e3", r"rates\.csv:3: '1e3' is no rate"),
        ("SEK,2026-01-01,0.0000000000001", r"rates\.csv:3: .* at most 12 decimals"),
        ("USD,2026-01-01,0.8", r"rates\.csv:3: USD has a rate from 2026-01-01 already"),
        ("EUR,2026-01-01,1", r"rates\.csv:3: EUR is the reporting currency"),
    ],
)
def test_a_line_that_is_no_rate_is_named(table, line, says):
    with pytest.raises(ExperimentError, match=says):
        read_rates(table("USD,2026-01-01,0.9", line), "EUR")


def test_a_file_that_is_no_table_of_rates_is_named(table, tmp_path):
    with pytest.raises(ExperimentError, match=r"rates\.csv:1: has not the columns currency, from, rate"):
        read_rates(table(header="currency,rate"), "EUR")
    with pytest.raises(ExperimentError, match=r"other\.csv is missing, which \[money\] in adstyle\.toml names"):
        read_rates(tmp_path / "other.csv", "EUR")


SALES = (
    "event_id,ts,unit,value,currency\n"
    "v1,2026-11-01T23:59:59Z,u1,100,SEK\n"
    "v2,2026-11-02T00:00:00Z,u1,100,sek\n"
    "v3,2026-11-02T01:00:00+02:00,u1,100,SEK\n"
    "v4,2026-11-02T00:00:00Z,u1,19.99,EUR\n"
    "v5,2026-11-02T00:00:00Z,u1,19.99,\n"
    "v6,2026-11-02T00:00:00Z,u1,5,NOK\n"
    "v7,2026-10-31T23:59:59Z,u1,5,SEK\n"
    "v8,2026-11-02T00:00:00Z,u1,,NOK\n"
)
RATES = ("SEK,2026-11-01,0.0881", "SEK,2026-11-02,0.09")


def test_money_is_converted_on_its_utc_day_and_what_was_paid_is_kept(deliver, stored, table):
    delivery = deliver("conversions.csv", SALES, rates=read_rates(table(*RATES), "EUR"))
    assert (delivery.accepted, delivery.rejected) == (6, {"no_rate:NOK": 1, "no_rate:SEK": 1})
    assert [
        (row["event_id"], row["value_micros"], row["paid_micros"], row["currency"]) for row in stored("outcomes")
    ] == [
        ("v1", 8_810_000, 100_000_000, "SEK"),
        ("v2", 9_000_000, 100_000_000, "SEK"),
        ("v3", 8_810_000, 100_000_000, "SEK"),
        ("v4", 19_990_000, 19_990_000, "EUR"),
        ("v5", 19_990_000, 19_990_000, None),
        ("v8", None, None, "NOK"),
    ]
    assert [reject["reason"] for reject in stored("rejects")] == ["no_rate:NOK", "no_rate:SEK"]


def test_without_a_reporting_currency_money_stays_as_it_came(deliver, stored):
    assert deliver("conversions.csv", SALES).accepted == 8
    assert {row["event_id"]: row["value_micros"] for row in stored("outcomes")}["v1"] == 100_000_000
    assert {row["paid_micros"] for row in stored("outcomes")} == {None}


def test_later_rates_change_nothing_that_is_in_the_lake(deliver, stored, table):
    deliver("conversions.csv", SALES, rates=read_rates(table(*RATES), "EUR"))
    before = stored("outcomes")
    later = read_rates(table("SEK,2026-01-01,7", "NOK,2026-01-01,0.5"), "EUR")
    again = deliver("conversions-again.csv", SALES.replace("v1,", "v1 ,"), rates=later)
    assert again.duplicate == 6
    assert [row for row in stored("outcomes") if row["event_id"] not in ("v6", "v7")] == before
    repaired = {row["event_id"]: row["value_micros"] for row in stored("outcomes")}
    assert (repaired["v6"], repaired["v7"]) == (2_500_000, 35_000_000), "what was rejected is taken when it comes again"


def test_a_workspace_names_its_currency_and_its_rates(tmp_path, table):
    workspace = create_workspace(tmp_path / "ads")
    assert workspace.rates() is None, "the table is there, commented out"
    settings = tmp_path / "ads" / "adstyle.toml"
    told = "\n".join(line.removeprefix("# ") for line in SETTINGS_TEXT.format(name="ads").splitlines()[1:])
    assert "[money]" in told
    settings.write_text(told.replace("memory =", "# memory ="))
    with pytest.raises(ExperimentError, match=r"rates\.csv is missing"):
        open_workspace(tmp_path / "ads").rates()
    (tmp_path / "ads" / "rates.csv").write_bytes(table(*RATES).read_bytes())
    found = open_workspace(tmp_path / "ads").rates()
    assert (found.currency, tuple(found.known)) == ("EUR", ("SEK",))


def test_a_currency_in_small_letters_is_refused(tmp_path):
    create_workspace(tmp_path / "ads")
    with (tmp_path / "ads" / "adstyle.toml").open("a") as file:
        file.write('[money]\ncurrency = "euro"\n')
    with pytest.raises(Exception, match=r"money\.currency"):
        open_workspace(tmp_path / "ads")
