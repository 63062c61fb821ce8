"""Times as spreadsheets and programs write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.appsflyer.postback_time import time_ms, zoned_ms
from flybridge.written_time import ABBREVIATIONS, moment_of

FORMS = (
    "%Y-%m-%d %I:%M:%S %p", "%Y/%m/%d %I:%M:%S%p", "%d %b %Y %H:%M:%S", "%d-%b-%Y %H:%M:%S", "%B %d, %Y %I:%M:%S %p",
    "%b %d, %Y, %I:%M:%S %p", "%a, %d %b %Y %H:%M:%S GMT", "%a %b %d %H:%M:%S UTC %Y", "%Y.%m.%d %H:%M:%S",
    "%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%SZ[UTC]", "%Y-%m-%d %H:%M:%S (UTC)",
)  # fmt: skip
OF_A_DAY = ("%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d-%m-%Y %H:%M:%S")
MOMENTS = st.datetimes(datetime(2008, 1, 2), datetime(2098, 12, 30)).map(lambda moment: moment.replace(microsecond=0))


def ms_of(moment: datetime) -> int:
    """Return milliseconds since 1970, UTC."""
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


@given(MOMENTS, st.sampled_from(FORMS))
def test_what_is_printed_in_a_form_is_read_back(moment, form):
    """Twelve hours and twenty-four, months by name and by number."""
    assert time_ms(moment.strftime(form)) == ms_of(moment)


@given(MOMENTS, st.sampled_from(OF_A_DAY))
def test_a_day_is_told_from_a_month_only_if_it_can_be_none(moment, form):
    """So is a day that has the number of its month."""
    found = time_ms(moment.strftime(form))
    assert found == (ms_of(moment) if moment.day > 12 or moment.day == moment.month else None)


@given(MOMENTS, st.integers(-14 * 60, 14 * 60), st.sampled_from(["{} {}", "{}{}", "{} UTC{}", "{}{} (local time)"]))
def test_an_offset_is_taken_off(moment, minutes, form):
    """Wherever it stands, and with or without `UTC` in front."""
    zone = timezone(timedelta(minutes=minutes))
    text = form.format(moment.strftime("%Y/%m/%d %I:%M:%S %p"), moment.replace(tzinfo=zone).strftime("%z"))
    expected = ms_of(moment.replace(tzinfo=zone))
    if "local" in form:
        text = text.replace("(local time)", "(CET)")
    assert time_ms(text) == expected == zoned_ms(text, "Asia/Tokyo")


@pytest.mark.parametrize("text", ["2026/01/31 1:00:11 PM", "1/31/2026 1:00:11 PM", "Jan 31, 2026 13:00:11"])
def test_a_time_without_a_zone_is_of_the_selected_one(text):
    """As one in AppsFlyer's own form is."""
    assert zoned_ms(text, "Europe/Berlin") == time_ms("2026-01-31 12:00:11")
    assert zoned_ms(text, "(GMT+01:00) Berlin") == time_ms("2026-01-31 12:00:11")
    assert zoned_ms(text, None) is None


@pytest.mark.parametrize(
    "text",
    ["1/2/2026 10:00", "13/13/2026 10:00", "2026-01-31 13:00 AM", "2026-01-31 0:10 pm", "31 Foo 2026 10:00", "10:00",
     "2026-01-31 10:00:00 XYZ", "46023.5", "31 Jan 26 10:00", "January 2026", "x" * 90, "2026-01-31 10:00:61"],
)  # fmt: skip
def test_what_may_be_two_moments_or_none_is_not_read(text):
    """A note says so, and the event is dated to its reception."""
    assert time_ms(text) is None


@pytest.mark.parametrize(("name", "hours"), ABBREVIATIONS.items())
@pytest.mark.parametrize("form", ["2026-{}-04 10:00:00 {}", "2026-{}-04 10:00:00 ({})", "4 {month} 2026 10:00 {}"])
@pytest.mark.parametrize("month", ["01", "07"])
def test_an_abbreviation_is_the_same_offset_all_year(name, hours, form, month):
    """Behind an offset, as Go prints it, it says nothing."""
    text = form.format(*([] if "{month}" in form else [month]), name, month={"01": "Jan", "07": "Jul"}[month])
    expected = ms_of(datetime(2026, int(month), 4, 10)) - hours * 3_600_000
    assert time_ms(text) == time_ms(text.lower()) == zoned_ms(text, "Asia/Tokyo") == expected
    assert time_ms(f"2026-{month}-04 10:00:00.5 +0200 {name}") == ms_of(datetime(2026, int(month), 4, 8)) + 500


@pytest.mark.parametrize("name", ["CST", "CDT", "IST", "BST", "AST", "LMT"])
def test_an_abbreviation_of_several_offsets_is_not_read(name):
    """America and China have a CST, India and Israel an IST."""
    assert time_ms(f"2026-07-04 10:00:00 {name}") is None


@given(st.text(max_size=90))
def test_no_text_raises(text):
    """And what is read is a moment."""
    assert moment_of(text) is None or isinstance(moment_of(text), datetime)
