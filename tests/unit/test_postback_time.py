"""AppsFlyer's times."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flybridge.appsflyer.postback_time import EARLIEST_MS, LATEST_MS, has_fraction, local_time, time_ms, zoned_ms

NOON = 1_769_860_811_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31 12:00:11", NOON),
        ("2026-01-31 12:00:11.311", NOON + 311),
        ("2026-01-31 12:00:11.311999", NOON + 311),
        ("2026-01-31T12:00:11Z", NOON),
        ("2026-01-31T12:00:11.311Z", NOON + 311),
        ("2026-01-31 12:00:11.311+0000", NOON + 311),
        ("2026-01-31 13:00:11.311+0100", NOON + 311),
        ("2026-01-31 13:00:11.311+01:00", NOON + 311),
        ("2026-01-31 04:00:11 -0800", NOON),
        ("2026-01-31 13:00:11.311 0100", NOON + 311),
        ("2026-01-31 12:00:11 UTC", NOON),
        (" 2026-01-31 12:00:11 ", NOON),
        ("2026/01/31 12:00:11", NOON),
        ("2026/01/31 12:00:11.311", NOON + 311),
        ("2026/01/31T13:00:11+01:00", NOON),
        ("2026/01/31 13:00:11 0100", NOON),
        ("2026.01.31 12:00:11", NOON),
        ("2026/31/01 12:00:11", None),
        ("1769860811", NOON),
        ("1769860811311", NOON + 311),
        ("", None),
        ("yesterday", None),
        ("2026-02-30 12:00:00", None),
        ("2026-01-31 25:00:00", None),
        ("0001-01-01 00:00:00", None),
        ("1970-01-01 00:00:00", None),
        ("9999-12-31 23:59:59", None),
        ("0001-01-01 00:00:00+2300", None),
        ("9" * 400, None),
    ],
)
def test_times_are_milliseconds_utc_or_nothing(text: str, expected: int | None) -> None:
    """What is no time is None; without a zone a time is UTC."""
    assert time_ms(text) == expected


@given(st.integers(EARLIEST_MS, LATEST_MS - 1))
@example(1_770_112_800_000)  # the 28th of November 1770, it seems
@example(2_008_112_810_000)
def test_a_number_is_a_time_since_1970_whatever_date_its_digits_look_like(ms: int) -> None:
    """In milliseconds, with a fraction, in microseconds, and without a zone of its own."""
    assert time_ms(str(ms)) == time_ms(f"{ms}.0") == time_ms(f" {ms}") == zoned_ms(str(ms), "Asia/Tokyo") == ms
    assert time_ms(f"{ms}999") == time_ms(f"{ms}999999") == ms
    assert time_ms(str(ms // 1000)) == ms // 1000 * 1000
    assert local_time(str(ms)) is None


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-01-31 13:00:11.311+0100", "Europe/Berlin", NOON + 311),
        ("2026-01-31 13:00:11.311+0100", None, NOON + 311),
        ("2026-01-31 13:00:11.311", "Europe/Berlin", NOON + 311),
        ("2026/01/31 13:00:11", "Europe/Berlin", NOON),
        ("2026-01-31 04:00:11", "America/Los_Angeles", NOON),
        ("2026-01-31 17:30:11", "Asia/Kolkata", NOON),
        ("2026-01-31 12:00:11.311", "UTC", NOON + 311),
        ("2026-01-31 12:00:11", "gmt", NOON),
        ("2026-01-31 15:00:11", "UTC+3", NOON),
        ("2026-01-31 08:30:11", "GMT-03:30", NOON),
        ("2026-01-31 13:00:11", "+0100", NOON),
        ("2026-01-31 13:00:11", "europe/berlin", NOON),
        ("2026-01-31 07:00:11", "America/New York", NOON),
        ("2026-01-31 13:00:11", "Middle/Earth", None),
        ("2026-01-31 13:00:11", "../../etc/passwd", None),
        ("2026-01-31 13:00:11", "Europe", None),
        ("2026-01-31 13:00:11", "UTC+99", None),
        ("2026-01-31 13:00:11", None, None),
        ("2026-01-31 13:00:11", " ", None),
        ("nonsense", "UTC", None),
    ],
)
def test_a_local_time_is_of_the_selected_zone(text: str, zone: str | None, expected: int | None) -> None:
    """An offset wins; without one the zone decides, and what it does not know is no time."""
    assert zoned_ms(text, zone) == expected


def test_a_local_time_follows_the_clocks_of_its_zone() -> None:
    """Summer and winter differ by an hour."""
    winter, summer = "2026-01-31 12:00:00", "2026-07-31 12:00:00"
    for text, hours in ((winter, 1), (summer, 2)):
        assert zoned_ms(text, "UTC") == (zoned_ms(text, "Europe/Berlin") or 0) + hours * 3_600_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31 12:00:11.311", True),
        ("2026-01-31 12:00:11,3", True),
        ("2026-01-31 12:00:11.311+01:00", True),
        ("2026.01.31 12:00:11.311", True),
        ("1769860811311", True),
        ("2026-01-31 12:00:11", False),
        ("2026.01.31 12:00:11", False),
        ("2026-01-31T12:00:11+01:00", False),
        ("1769860811", False),
        ("1769860811.5", True),
        ("31.01.2026 12:00:11", False),
        ("31.01.2026 12:00:11.311", True),
        ("Jan 31, 2026, 12:00:11 p.m.", False),
        ("2026-01-31 12:00:11:311", True),
    ],
)
def test_a_fraction_is_of_the_second(text: str, expected: bool) -> None:
    """Dots in the date and offsets are none."""
    assert has_fraction(text) is expected
