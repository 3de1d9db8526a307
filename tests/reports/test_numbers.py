from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import measures, numbers
from reports.errors import ReportError
from reports.model import MetricView

CTR = MetricView("ctr", "clicks", "impressions")


@pytest.mark.parametrize(
    ("p", "text"),
    [(1e-300, "below 0.0001"), (0.0001, "0.0001"), (0.00046, "0.0005"), (0.0021, "0.0021"), (0.002, "0.002"),
     (0.034, "0.034"), (0.05, "0.050"), (0.4, "0.40"), (0.998, "above 0.99"), (None, "not known")],
)  # fmt: skip
def test_p_values(p, text):
    assert numbers.p_value(p) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0312, "3.12 %"), (0.124, "12.4 %"), (0.00312, "0.312 %"), (0.0, "0 %"), (1.0, "100 %"), (1e-9, "0.0000 %")],
)
def test_percent(share, text):
    assert numbers.percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.182, "+18.2 %"), (-0.012, "−1.2 %"), (0.0, "0.0 %"), (-1e-9, "0.00 %"), (2.5, "+250 %"), (None, "not known")],
)
def test_changes_carry_their_sign(share, text):
    assert numbers.signed(numbers.change(share)) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "below 1 %"), (0.984, "98 %"), (0.9999, "above 99 %")])
def test_chances_are_never_certain(value, text):
    assert numbers.probability(value) == text


@given(st.one_of(st.none(), st.floats(-1e15, 1e15), st.sampled_from([float("nan"), float("inf"), float("-inf")])))
def test_no_number_is_ever_printed_as_nan_or_infinity(value):
    plain = (numbers.count, numbers.plain, numbers.percent, numbers.limit, numbers.change, numbers.probability)
    texts = [write(value) for write in (*plain, numbers.p_value, numbers.p_phrase)]
    texts += [write(CTR, value) for write in (measures.level, measures.difference, measures.risk)]
    for text in map(numbers.signed, texts):
        assert "nan" not in text.lower()
        assert "inf" not in text.lower()


def test_dates_are_utc():
    oslo = timezone(timedelta(hours=1))
    assert numbers.instant(datetime(2026, 11, 23, 0, 30, tzinfo=oslo)) == "22 November 2026, 23:30 UTC"
    with pytest.raises(ReportError, match="without a time zone"):
        numbers.instant(datetime(2026, 11, 23))  # noqa: DTZ001 - the naive one is the point


def test_spans_of_days():
    assert numbers.days(date(2026, 11, 16), date(2026, 11, 22)) == "16 to 22 November 2026"
    assert numbers.days(date(2026, 11, 30), date(2026, 12, 6)) == "30 November to 6 December 2026"
    assert numbers.days(date(2026, 12, 28), date(2027, 1, 3)) == "28 December 2026 to 3 January 2027"
    assert numbers.days(date(2026, 11, 16), date(2026, 11, 16)) == "16 November 2026"


def test_days_in_a_row_name_each_year_once():
    days = [date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 1), date(2027, 1, 2)]
    assert numbers.short_days(days) == ["30 Dec 2026", "31 Dec", "1 Jan 2027", "2 Jan"]
    assert numbers.short_day(days[0]) == "30 Dec 2026"


def test_money_is_written_in_whole_currency():
    per_user = MetricView("revenue-per-unit", "value_micros", "units")
    assert measures.level(per_user, 1_250_000.0) == "1.25"
    assert measures.total(per_user, 1_234_567_890_000) == "1,234,567.89"
    per_mille = MetricView("revenue-per-mille", "value_micros", "impressions")
    assert measures.level(per_mille, 4_200.0) == "4.20"
    assert measures.per(per_mille, "user") == "revenue per 1,000 impressions"


def test_small_amounts_keep_their_digits():
    """A visitor is worth a fraction of a cent to many an advertiser."""
    revenue = MetricView("revenue-per-unit", "value_micros", "units")
    assert measures.level(revenue, 4_120.0) == "0.00412"
    assert measures.difference(revenue, -310.0) == "−0.000310"
    assert measures.risk(revenue, 40.0) == "below 0.001"


def test_a_tiny_risk_is_not_called_nothing():
    assert measures.risk(CTR, 1e-7) == "below 0.001 points"
    assert measures.risk(CTR, 0.0031) == "0.31 points"
